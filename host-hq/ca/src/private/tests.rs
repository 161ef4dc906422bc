//! The private CA through its trait, on real files.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected fails the test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ED25519};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tempfile::TempDir;
use time::Duration;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::*;
use crate::clock::unix_ms;
use crate::config::{CertificateLife, DnsSuffix};
use crate::operation::{
    Authorization, AuthorizationState, ChallengeRef, Finalize, NewOrder, OrderPrice, OrderRef,
    OrderReport, OrderState, RenewalQuery, RenewalWindow, Revoke,
};

#[tokio::test]
async fn an_order_goes_its_way_with_a_new_process_between_any_two_operations() {
    let bench = Bench::new("90d", &["fleet.test"]);
    let order = bench.ordered(&["*.a.fleet.test", "a.fleet.test"]).await;
    assert_eq!(order.state, OrderState::Pending);

    // Apex and wildcard share the owner of their TXT records.
    let found = bench.authorizations(&order.order).await;
    assert_eq!(
        found.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(),
        ["a.fleet.test"; 2]
    );
    assert_ne!(found[0].txt_value, found[1].txt_value);
    for authorization in &found {
        assert_eq!(authorization.state, AuthorizationState::Pending);
        bench.publish("_acme-challenge.a.fleet.test", &authorization.txt_value);
    }
    for authorization in &found {
        let answer = bench.ready(&order.order, authorization).await;
        assert_eq!(answer, CaAnswer::Accepted);
        // At least once means: sometimes twice.
        assert_eq!(
            bench.ready(&order.order, authorization).await,
            CaAnswer::Accepted
        );
    }
    assert_eq!(bench.status(&order.order).await.state, OrderState::Ready);

    let key = KeyPair::generate().unwrap();
    let csr = csr(&["*.a.fleet.test", "a.fleet.test"], &key);
    assert_eq!(
        bench.finalized(&order.order, &csr).await.state,
        OrderState::Valid
    );
    let chain = bench.chain(&order.order).await;
    assert_eq!(chain.len(), 2);
    verify(
        &bench.open().root_der(),
        &chain,
        "192-168-1-7.a.fleet.test",
        bench.now(),
    )
    .unwrap();
    verify(
        &bench.open().root_der(),
        &chain,
        "a.fleet.test",
        bench.now(),
    )
    .unwrap();
    let (_, leaf) = parse_x509_certificate(&chain[0]).unwrap();
    assert_eq!(
        leaf.public_key().subject_public_key.data.as_ref(),
        key.public_key_raw()
    );
    assert_eq!(leaf.subject().iter().count(), 0);
}

#[tokio::test]
async fn finalised_twice_gives_the_same_certificate() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ready_order(&["a.fleet.test"]).await;
    let key = KeyPair::generate().unwrap();
    bench.finalized(&order, &csr(&["a.fleet.test"], &key)).await;
    let first = bench.chain(&order).await;

    // Another key even: an order has one certificate.
    let other = KeyPair::generate().unwrap();
    let again = bench
        .finalized(&order, &csr(&["a.fleet.test"], &other))
        .await;
    assert_eq!(again.state, OrderState::Valid);
    assert_eq!(bench.chain(&order).await, first);
}

#[tokio::test]
async fn two_who_finalise_at_once_get_one_certificate() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ready_order(&["a.fleet.test"]).await;
    let ca = Arc::new(bench.open());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (ca, order) = (Arc::clone(&ca), order.clone());
        tasks.spawn(async move {
            let csr = csr(&["a.fleet.test"], &KeyPair::generate().unwrap());
            ca.perform(&CaOperation::Finalize(Finalize {
                order: order.clone(),
                csr,
            }))
            .await
            .unwrap();
            match ca.perform(&CaOperation::FetchChain(order)).await.unwrap() {
                CaAnswer::Chain(chain) => chain,
                other => panic!("{other:?}"),
            }
        });
    }
    let mut chains = tasks.join_all().await;
    chains.dedup();
    assert_eq!(chains.len(), 1);
}

#[tokio::test]
async fn a_missing_txt_record_fails_the_order_and_says_so() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ordered(&["a.fleet.test"]).await.order;
    let found = bench.authorizations(&order).await;
    bench.publish("_acme-challenge.a.fleet.test", "something-else");
    assert_eq!(bench.ready(&order, &found[0]).await, CaAnswer::Accepted);

    let report = bench.status(&order).await;
    assert_eq!(report.state, OrderState::Invalid);
    let problem = report.problem.unwrap();
    assert_eq!(problem.kind, CaProblemKind::Validation);
    assert!(
        problem
            .detail
            .contains("_acme-challenge.a.fleet.test has 1 TXT"),
        "{problem:?}"
    );
    assert_eq!(
        bench.authorizations(&order).await[0].state,
        AuthorizationState::Unusable
    );
}

#[tokio::test]
async fn a_dns_that_does_not_answer_leaves_the_challenge_pending() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ordered(&["a.fleet.test"]).await.order;
    let found = bench.authorizations(&order).await;
    bench.txt.0.lock().unwrap().down = true;
    let problem = problem(bench.ready(&order, &found[0]).await);
    assert_eq!(problem.kind, CaProblemKind::Transient);
    assert_eq!(bench.status(&order).await.state, OrderState::Pending);
}

#[tokio::test]
async fn a_csr_must_be_for_the_names_of_the_order_and_signed_by_its_key() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ready_order(&["a.fleet.test"]).await;
    let key = KeyPair::generate().unwrap();
    let good = csr(&["a.fleet.test"], &key);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let edwards = csr(
        &["a.fleet.test"],
        &KeyPair::generate_for(&PKCS_ED25519).unwrap(),
    );
    for (bad, why) in [
        (csr(&["b.fleet.test"], &key), "b.fleet.test"),
        (csr(&["a.fleet.test", "b.fleet.test"], &key), "b.fleet.test"),
        (csr(&["*.a.fleet.test"], &key), "*.a.fleet.test"),
        (csr(&[], &key), "the order is for"),
        (forged, "not usable"),
        (edwards, "P-256"),
        (good[..good.len() - 1].to_vec(), "not usable"),
        (vec![0; 9000], "longer than"),
    ] {
        let problem = problem(bench.finalize(&order, &bad).await);
        assert_eq!(problem.kind, CaProblemKind::BadCsr);
        assert!(
            problem.detail.contains(why),
            "{why} not in {}",
            problem.detail
        );
    }
    // A bad CSR does not spoil the order.
    assert_eq!(
        bench.finalized(&order, &good).await.state,
        OrderState::Valid
    );
}

#[tokio::test]
async fn nothing_is_issued_before_validation() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ordered(&["a.fleet.test"]).await.order;
    let csr = csr(&["a.fleet.test"], &KeyPair::generate().unwrap());
    assert_eq!(
        problem(bench.finalize(&order, &csr).await).kind,
        CaProblemKind::OrderNotReady
    );
    let chain = bench.perform(CaOperation::FetchChain(order)).await;
    assert_eq!(problem(chain).kind, CaProblemKind::OrderNotReady);
}

#[tokio::test]
async fn an_order_lapses() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ready_order(&["a.fleet.test"]).await;
    bench.advance(Duration::days(8));
    let report = bench.status(&order).await;
    assert_eq!(report.state, OrderState::Invalid);
    assert!(report.problem.unwrap().detail.contains("lapsed"));
    let csr = csr(&["a.fleet.test"], &KeyPair::generate().unwrap());
    assert_eq!(
        bench.finalized(&order, &csr).await.state,
        OrderState::Invalid
    );
    // A week later it is forgotten.
    bench.advance(Duration::days(7));
    assert_eq!(bench.open().sweep().unwrap(), 0, "swept at opening");
    let answer = bench.perform(CaOperation::OrderStatus(order)).await;
    assert_eq!(problem(answer).kind, CaProblemKind::NotFound);
}

#[tokio::test]
async fn names_are_checked() {
    let bench = Bench::new("90d", &["fleet.test"]);
    for names in [
        &[][..],
        &["a.other.test"],
        &["*.*.fleet.test"],
        &["*"],
        &["A.fleet.test"],
        &["a..fleet.test"],
        &["a.fleet.test", "a.fleet.test"],
        &["a.fleet.test."],
        &["../../etc/passwd"],
    ] {
        let problem = problem(bench.new_order(names, None).await);
        assert_eq!(problem.kind, CaProblemKind::RejectedIdentifier, "{names:?}");
    }
}

#[tokio::test]
async fn references_of_others_are_not_found() {
    let bench = Bench::new("90d", &[]);
    let order = bench.ordered(&["a.fleet.test"]).await.order;
    for text in [
        "",
        "private:fleet/order/../root",
        "private:fleet/order/00000000000000000000000000000000",
        "private:other/order/00000000000000000000000000000000",
        &order.order.to_uppercase(),
        &format!("{}0", order.order),
    ] {
        let other = OrderRef {
            ca: "fleet".into(),
            order: text.into(),
        };
        let answer = bench.perform(CaOperation::OrderStatus(other)).await;
        assert_eq!(problem(answer).kind, CaProblemKind::NotFound, "{text}");
    }
    for challenge in [
        "/challenge/1",
        "/challenge/-1",
        "/challenge/",
        "/challenge/99999999999999999999",
    ] {
        let challenge = format!("{}{challenge}", order.order);
        let challenge = ChallengeRef {
            order: order.clone(),
            challenge,
        };
        let answer = bench.perform(CaOperation::ChallengeReady(challenge)).await;
        assert_eq!(problem(answer).kind, CaProblemKind::NotFound);
    }
}

#[tokio::test]
async fn the_window_is_the_last_third_to_quarter_and_past_once_revoked() {
    let bench = Bench::new("120s", &[]);
    let (certificate, _) = bench.issued(&["a.fleet.test"]).await;
    let now = unix_ms(bench.now());
    let window = bench.window(&certificate).await;
    // 120 s and 12 s of backdating: 132 s.
    assert_eq!(window.start_ms, now + 120_000 - 44_000);
    assert_eq!(window.end_ms, now + 120_000 - 33_000);
    assert_eq!(window.retry_after_ms, 6_600);

    bench.advance(Duration::seconds(5));
    assert_eq!(bench.revoke(&certificate, 4).await, CaAnswer::Revoked);
    let window = bench.window(&certificate).await;
    assert!(window.start_ms < window.end_ms);
    assert!(window.end_ms <= unix_ms(bench.now()));
}

#[tokio::test]
async fn a_certificate_is_revoked_once_and_stands_in_the_crl() {
    let bench = Bench::new("90d", &[]);
    let (certificate, _) = bench.issued(&["a.fleet.test"]).await;
    let (kept, _) = bench.issued(&["b.fleet.test"]).await;
    assert_eq!(
        problem(bench.revoke(&certificate, 2).await).kind,
        CaProblemKind::Other
    );
    assert_eq!(bench.revoke(&certificate, 5).await, CaAnswer::Revoked);
    let again = problem(bench.revoke(&certificate, 5).await);
    assert_eq!(again.kind, CaProblemKind::AlreadyRevoked);

    let crl = bench.open().crl().unwrap();
    let (_, crl) = CertificateRevocationList::from_der(&crl).unwrap();
    let serial = |der: &[u8]| parse_x509_certificate(der).unwrap().1.raw_serial().to_vec();
    let listed: Vec<_> = crl
        .iter_revoked_certificates()
        .map(|r| r.raw_serial().to_vec())
        .collect();
    assert_eq!(listed, [serial(&certificate)]);
    assert_ne!(serial(&kept), serial(&certificate));

    // Another CA's certificate.
    let other = Bench::new("90d", &[]);
    let (foreign, _) = other.issued(&["a.fleet.test"]).await;
    assert_eq!(
        problem(bench.revoke(&foreign, 5).await).kind,
        CaProblemKind::NotFound
    );

    // Ended certificates leave the list.
    bench.advance(Duration::days(91));
    let crl = bench.open().crl().unwrap();
    let (_, crl) = CertificateRevocationList::from_der(&crl).unwrap();
    assert_eq!(crl.iter_revoked_certificates().count(), 0);
}

#[tokio::test]
async fn a_certificate_is_replaced_once() {
    let bench = Bench::new("90d", &[]);
    let (certificate, _) = bench.issued(&["a.fleet.test"]).await;
    let id = identifier(&certificate);
    let refused = problem(bench.new_order(&["b.fleet.test"], Some(&id)).await);
    assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced);

    let first = bench.new_order(&["a.fleet.test"], Some(&id)).await;
    assert!(matches!(first, CaAnswer::Order(_)), "{first:?}");
    let refused = problem(bench.new_order(&["a.fleet.test"], Some(&id)).await);
    assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced);

    // The first one came to nothing.
    bench.advance(Duration::days(8));
    let second = bench.new_order(&["a.fleet.test"], Some(&id)).await;
    assert!(matches!(second, CaAnswer::Order(_)), "{second:?}");
    for nonsense in ["", ".", "a.b", "a.b.c", "AA.AQ"] {
        let refused = problem(bench.new_order(&["a.fleet.test"], Some(nonsense)).await);
        assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced, "{nonsense}");
    }
}

#[tokio::test]
async fn a_profile_is_refused() {
    let bench = Bench::new("90d", &[]);
    let new = NewOrder {
        ca: "fleet".into(),
        names: vec!["a.fleet.test".into()],
        profile: Some("tlsserver".into()),
        replaces: None,
        price: OrderPrice::First,
    };
    let refused = problem(bench.perform(CaOperation::NewOrder(new)).await);
    assert_eq!(refused.kind, CaProblemKind::InvalidProfile);
}

#[test]
fn keys_are_private_and_survive() {
    let bench = Bench::new("90d", &[]);
    let root = bench.open().root_pem();
    assert_eq!(bench.open().root_pem(), root);
    assert_eq!(root, fs::read_to_string(bench.path("root.pem")).unwrap());
    for key in ["root.key", "issuing.key"] {
        let mode = fs::metadata(bench.path(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    // Kept in a safe.
    fs::remove_file(bench.path("root.key")).unwrap();
    assert_eq!(bench.open().root_pem(), root);
}

#[test]
fn a_crash_while_the_ca_is_made_is_healed_at_the_next_start() {
    for kept in [
        &["root.key"][..],
        &["root.key", "root.pem"],
        &["root.key", "root.pem", "issuing.key"],
    ] {
        let bench = Bench::new("90d", &[]);
        bench.open();
        let key = fs::read(bench.path("root.key")).unwrap();
        for file in ["root.pem", "issuing.key", "issuing.pem"] {
            if !kept.contains(&file) {
                fs::remove_file(bench.path(file)).unwrap();
            }
        }
        if !kept.contains(&"issuing.pem") {
            let _ = fs::remove_file(bench.path("issuing.pem"));
        }
        bench.open();
        assert_eq!(fs::read(bench.path("root.key")).unwrap(), key);
    }
}

#[test]
fn files_that_do_not_fit_are_refused_and_say_what_to_do() {
    let bench = Bench::new("90d", &["fleet.test"]);
    bench.open();
    let refused = |bench: &Bench| bench.try_open().err().expect("a refusal").to_string();

    let mut other = bench.config.clone();
    other.zones = vec![DnsSuffix::try_from("other.test".to_owned()).unwrap()];
    let moved = Bench {
        config: other,
        ..bench
    };
    assert!(
        refused(&moved).contains("remove issuing.pem"),
        "{}",
        refused(&moved)
    );
    // Following the advice works.
    fs::remove_file(moved.path("issuing.pem")).unwrap();
    fs::remove_file(moved.path("issuing.key")).unwrap();
    moved.open();

    let issuing = fs::read(moved.path("issuing.pem")).unwrap();
    fs::write(moved.path("issuing.pem"), &issuing[..issuing.len() / 2]).unwrap();
    assert!(refused(&moved).contains("damaged"));
    fs::write(moved.path("issuing.pem"), &issuing).unwrap();
    fs::remove_file(moved.path("issuing.key")).unwrap();
    assert!(refused(&moved).contains("restore both"));
    fs::remove_file(moved.path("issuing.pem")).unwrap();
    fs::remove_file(moved.path("root.key")).unwrap();
    assert!(refused(&moved).contains("bring the root's key back"));
}

#[tokio::test]
async fn a_damaged_order_is_an_error_of_that_order_only() {
    let bench = Bench::new("90d", &[]);
    let ca = bench.open();
    let damaged = bench.ordered(&["a.fleet.test"]).await.order;
    let fine = bench.ordered(&["b.fleet.test"]).await.order;
    let id = damaged.order.rsplit('/').next().unwrap().to_owned();
    fs::write(
        bench.path(&format!("orders/{id}.json")),
        "{\"version\":1,\"na",
    )
    .unwrap();

    let error = ca
        .perform(&CaOperation::OrderStatus(damaged))
        .await
        .unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("damaged") && cause.contains(&id), "{cause}");
    let status = ca.perform(&CaOperation::OrderStatus(fine)).await.unwrap();
    assert!(matches!(status, CaAnswer::Order(_)));
}

struct Bench {
    folder: TempDir,
    config: PrivateConfig,
    txt: Arc<TestTxt>,
    clock: Arc<TestClock>,
}

struct TestClock(Mutex<OffsetDateTime>);

impl Clock for TestClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

#[derive(Default)]
struct Records {
    sets: BTreeMap<String, Vec<String>>,
    down: bool,
}

#[derive(Default)]
struct TestTxt(Mutex<Records>);

#[async_trait]
impl TxtLookup for TestTxt {
    async fn txt(&self, owner: &str) -> Result<Vec<String>, TxtLookupError> {
        let records = self.0.lock().unwrap();
        if records.down {
            return Err(TxtLookupError("SERVFAIL".to_owned()));
        }
        Ok(records.sets.get(owner).cloned().unwrap_or_default())
    }
}

impl Bench {
    fn new(life: &str, zones: &[&str]) -> Self {
        let zones = zones
            .iter()
            .map(|z| DnsSuffix::try_from((*z).to_owned()).unwrap());
        Self {
            folder: tempfile::tempdir().unwrap(),
            config: PrivateConfig {
                life: CertificateLife::try_from(life.to_owned()).unwrap(),
                zones: zones.collect(),
            },
            txt: Arc::default(),
            clock: Arc::new(TestClock(Mutex::new(
                OffsetDateTime::from_unix_timestamp(1_795_000_000).unwrap(),
            ))),
        }
    }

    fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    fn advance(&self, by: Duration) {
        *self.clock.0.lock().unwrap() += by;
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("fleet").join(file)
    }

    fn try_open(&self) -> Result<PrivateCa, PrivateCaError> {
        PrivateCa::load_or_create(
            "fleet",
            self.config.clone(),
            &self.folder.path().join("fleet"),
            Arc::clone(&self.txt) as Arc<dyn TxtLookup>,
            Arc::clone(&self.clock) as Arc<dyn Clock>,
        )
    }

    /// As a new process would.
    fn open(&self) -> PrivateCa {
        self.try_open().unwrap()
    }

    async fn perform(&self, operation: CaOperation) -> CaAnswer {
        self.open().perform(&operation).await.unwrap()
    }

    fn publish(&self, owner: &str, value: &str) {
        let mut records = self.txt.0.lock().unwrap();
        records
            .sets
            .entry(owner.to_owned())
            .or_default()
            .push(value.to_owned());
    }

    async fn new_order(&self, names: &[&str], replaces: Option<&str>) -> CaAnswer {
        self.perform(CaOperation::NewOrder(NewOrder {
            ca: "fleet".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            profile: None,
            replaces: replaces.map(str::to_owned),
            price: OrderPrice::First,
        }))
        .await
    }

    async fn ordered(&self, names: &[&str]) -> OrderReport {
        match self.new_order(names, None).await {
            CaAnswer::Order(report) => report,
            other => panic!("{other:?}"),
        }
    }

    async fn authorizations(&self, order: &OrderRef) -> Vec<Authorization> {
        match self
            .perform(CaOperation::Authorizations(order.clone()))
            .await
        {
            CaAnswer::Authorizations(found) => found,
            other => panic!("{other:?}"),
        }
    }

    async fn ready(&self, order: &OrderRef, authorization: &Authorization) -> CaAnswer {
        let challenge = authorization.challenge.clone().unwrap();
        let challenge = ChallengeRef {
            order: order.clone(),
            challenge,
        };
        self.perform(CaOperation::ChallengeReady(challenge)).await
    }

    async fn status(&self, order: &OrderRef) -> OrderReport {
        match self.perform(CaOperation::OrderStatus(order.clone())).await {
            CaAnswer::Order(report) => report,
            other => panic!("{other:?}"),
        }
    }

    async fn finalize(&self, order: &OrderRef, csr: &[u8]) -> CaAnswer {
        let finalize = Finalize {
            order: order.clone(),
            csr: csr.to_vec(),
        };
        self.perform(CaOperation::Finalize(finalize)).await
    }

    async fn finalized(&self, order: &OrderRef, csr: &[u8]) -> OrderReport {
        match self.finalize(order, csr).await {
            CaAnswer::Order(report) => report,
            other => panic!("{other:?}"),
        }
    }

    async fn chain(&self, order: &OrderRef) -> Vec<Vec<u8>> {
        match self.perform(CaOperation::FetchChain(order.clone())).await {
            CaAnswer::Chain(chain) => chain,
            other => panic!("{other:?}"),
        }
    }

    async fn ready_order(&self, names: &[&str]) -> OrderRef {
        let order = self.ordered(names).await.order;
        for authorization in self.authorizations(&order).await {
            let owner = format!("_acme-challenge.{}", authorization.name);
            self.publish(&owner, &authorization.txt_value);
            assert_eq!(self.ready(&order, &authorization).await, CaAnswer::Accepted);
        }
        order
    }

    async fn issued(&self, names: &[&str]) -> (Vec<u8>, OrderRef) {
        let order = self.ready_order(names).await;
        self.finalized(&order, &csr(names, &KeyPair::generate().unwrap()))
            .await;
        (self.chain(&order).await.swap_remove(0), order)
    }

    async fn window(&self, certificate: &[u8]) -> RenewalWindow {
        let query = RenewalQuery {
            ca: "fleet".into(),
            certificate: certificate.to_vec(),
        };
        match self.perform(CaOperation::RenewalInfo(query)).await {
            CaAnswer::RenewalWindow(Some(window)) => window,
            other => panic!("{other:?}"),
        }
    }

    async fn revoke(&self, certificate: &[u8], reason: u8) -> CaAnswer {
        let certificate = certificate.to_vec();
        self.perform(CaOperation::Revoke(Revoke {
            ca: "fleet".into(),
            certificate,
            reason,
        }))
        .await
    }
}

fn csr(names: &[&str], key: &KeyPair) -> Vec<u8> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key).unwrap().der().to_vec()
}

fn identifier(certificate: &[u8]) -> String {
    let certificate = CertificateDer::from(certificate);
    instant_acme::CertificateIdentifier::try_from(&certificate)
        .unwrap()
        .to_string()
}

fn problem(answer: CaAnswer) -> CaProblem {
    match answer {
        CaAnswer::Problem(problem) => problem,
        other => panic!("expected a problem, got {other:?}"),
    }
}

fn verify(root: &[u8], chain: &[Vec<u8>], name: &str, now: OffsetDateTime) -> Result<(), String> {
    let root = CertificateDer::from(root);
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    let chain: Vec<_> = chain
        .iter()
        .map(|c| CertificateDer::from(c.as_slice()))
        .collect();
    let leaf = webpki::EndEntityCert::try_from(&chain[0]).map_err(|e| e.to_string())?;
    let now = std::time::Duration::from_secs(now.unix_timestamp().unsigned_abs());
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        &chain[1..],
        UnixTime::since_unix_epoch(now),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )
    .map_err(|e| e.to_string())?;
    leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name.to_owned()).unwrap())
        .map_err(|e| e.to_string())
}
