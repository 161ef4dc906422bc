//! The ACME CA against a real ACME server.
//!
//! Every operation of [`Hq`] is performed by a client object of its own, loaded from the account's
//! file, as after a crash of HQ between any two operations.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected fails the test"
)]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use otscert_hq_ca::operation::{
    Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblem, CaProblemKind,
    ChallengeRef, Finalize, NewOrder, OrderPrice, OrderRef, OrderReport, OrderState, RenewalQuery,
    RenewalWindow, Revoke,
};
use otscert_hq_ca::pebble::{
    BLOCKED_DOMAIN, CertStatus, ORDERS_IN_FLIGHT, Pebble, PebbleOptions, test_ca,
};
use otscert_hq_ca::{
    AcmeCa, AcmeConfig, CaError, CertificateAuthority, Contact, DirectoryUrl, EabConfig,
    FailureKind, KeyRollover, MasterKey, ProfileName, RequestCounters,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tempfile::TempDir;
use x509_parser::parse_x509_certificate;

#[tokio::test]
async fn a_wildcard_certificate_is_issued_by_single_operations() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let names = ["*.a.fleet.test", "a.fleet.test"];
        let order = hq.ordered(&names, None).await;
        assert_eq!(order.state, OrderState::Pending);
        assert!(order.expires_ms.unwrap() > now_ms());

        let found = hq.authorizations(&order.order).await;
        assert_eq!(found.len(), 2);
        for authorization in &found {
            // The owner of the TXT record has no `*.`.
            assert_eq!(authorization.name, "a.fleet.test");
            assert_eq!(authorization.state, AuthorizationState::Pending);
            // SHA-256 in base64url (RFC 8555 section 8.4).
            assert_eq!(authorization.txt_value.len(), 43);
        }
        assert_ne!(found[0].txt_value, found[1].txt_value);
        // The value is a function of token and account key: a new client finds the same.
        let mut again = hq.authorizations(&order.order).await;
        again.sort_by(|a, b| a.txt_value.cmp(&b.txt_value));
        let mut sorted = found.clone();
        sorted.sort_by(|a, b| a.txt_value.cmp(&b.txt_value));
        assert_eq!(again, sorted);

        for authorization in &found {
            assert_eq!(
                hq.ready(&order.order, authorization).await,
                CaAnswer::Accepted
            );
        }
        hq.wait_for(&order.order, OrderState::Ready).await;
        for authorization in &found {
            // Told again after a crash.
            assert_eq!(
                hq.ready(&order.order, authorization).await,
                CaAnswer::Accepted
            );
        }

        let key = KeyPair::generate().unwrap();
        let csr = csr(&names, &key);
        let finalized = hq.finalize(&order.order, &csr).await;
        assert!(matches!(finalized, CaAnswer::Order(_)), "{finalized:?}");
        hq.wait_for(&order.order, OrderState::Valid).await;
        // Finalised again after a crash: nothing more is issued.
        let again = hq.finalize(&order.order, &csr).await;
        let CaAnswer::Order(again) = again else {
            panic!("{again:?}")
        };
        assert_eq!(again.state, OrderState::Valid);
        assert_eq!(hq.pebble.issued(), 1);

        let chain = hq.chain(&order.order).await;
        let root = hq.pebble.issuance_root_pem().await.unwrap();
        verify(&root, &chain, "192-168-1-7.a.fleet.test");
        verify(&root, &chain, "a.fleet.test");
        let (_, leaf) = parse_x509_certificate(&chain[0]).unwrap();
        assert_eq!(
            leaf.public_key().subject_public_key.data.as_ref(),
            key.public_key_raw()
        );
        assert_eq!(
            hq.pebble.cert_status(&serial(&chain[0])).await.unwrap(),
            CertStatus::Valid
        );
    })
    .await;
}

#[tokio::test]
async fn the_configured_profile_decides_the_life() {
    within_limit(async {
        let mut hq = Hq::new(PebbleOptions {
            profiles: vec![("blink".to_owned(), 120), ("classic".to_owned(), 7_776_000)],
            ..always_valid()
        })
        .await;
        hq.config.profile = Some(ProfileName::try_from("blink".to_owned()).unwrap());
        let leaf = hq.issued(&["a.fleet.test"]).await;
        let (_, parsed) = parse_x509_certificate(&leaf).unwrap();
        let validity = parsed.validity();
        let life = validity.not_after.timestamp() - validity.not_before.timestamp();
        // Pebble counts the last second.
        assert!((118..=121).contains(&life), "{life}");

        // The order's own profile goes first.
        let mut new = new_order(&["a.fleet.test"], None);
        new.profile = Some("classic".to_owned());
        let answer = hq.perform(CaOperation::NewOrder(new)).await;
        assert!(matches!(answer, CaAnswer::Order(_)), "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn a_profile_that_the_ca_has_not_is_refused_with_those_that_it_has() {
    within_limit(async {
        let mut hq = Hq::new(always_valid()).await;
        hq.config.profile = Some(ProfileName::try_from("tlsclient".to_owned()).unwrap());
        let refused = problem(hq.order(&["a.fleet.test"], None).await);
        assert_eq!(refused.kind, CaProblemKind::InvalidProfile);
        assert!(
            refused.detail.contains("classic, shortlived, tlsserver"),
            "{}",
            refused.detail
        );
    })
    .await;
}

#[tokio::test]
async fn a_certificate_is_replaced_once() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let mut leaf = hq.issued(&["a.fleet.test"]).await;
        // Pebble does not find its own order where the serial number has a leading zero byte.
        for _ in 0..TRIES {
            if serial(&leaf)[0] != 0 {
                break;
            }
            leaf = hq.issued(&["a.fleet.test"]).await;
        }
        let id = identifier(&leaf);
        let second = hq
            .issue(hq.ordered(&["a.fleet.test"], Some(&id)).await.order)
            .await;
        let refused = problem(hq.order(&["a.fleet.test"], Some(&id)).await);
        assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced, "{refused:?}");
        // Once without, as HQ does then.
        hq.issued(&["a.fleet.test"]).await;
        // The one that replaced it can be replaced itself (but for what Pebble does not find).
        let third = hq
            .order(&["a.fleet.test"], Some(&identifier(&second)))
            .await;
        let found = serial(&second)[0] != 0;
        assert_eq!(
            matches!(third, CaAnswer::Order(_)),
            found,
            "{:x?} {third:?}",
            serial(&second)
        );
        // Another name's certificate replaces nothing.
        let other = hq.issued(&["b.fleet.test"]).await;
        let refused = problem(hq.order(&["a.fleet.test"], Some(&identifier(&other))).await);
        assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced, "{refused:?}");
        for nonsense in ["nonsense", "AAAA.AAAA"] {
            let refused = problem(hq.order(&["a.fleet.test"], Some(nonsense)).await);
            assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced, "{nonsense}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_renewal_window_is_the_cas() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let leaf = hq.issued(&["a.fleet.test"]).await;
        let window = hq.window(&leaf).await.unwrap();
        assert!(window.start_ms < window.end_ms && window.start_ms > now_ms());
        assert_eq!(window.retry_after_ms, 6 * 3600 * 1000);

        let soon = r#"{"suggestedWindow":{"start":"2020-01-01T00:00:00Z","end":"2020-01-02T00:00:00.5Z"}}"#;
        hq.pebble.set_renewal_info(&leaf, soon).await.unwrap();
        let window = hq.window(&leaf).await.unwrap();
        assert_eq!((window.start_ms, window.end_ms), (1_577_836_800_000, 1_577_923_200_500));

        for broken in [
            "{}",
            "<html>",
            r#"{"suggestedWindow":{"start":"2020-01-02T00:00:00Z","end":"2020-01-01T00:00:00Z"}}"#,
            r#"{"suggestedWindow":{"start":"soon","end":"later"}}"#,
        ] {
            hq.pebble.set_renewal_info(&leaf, broken).await.unwrap();
            let Err(error) = hq.window(&leaf).await else { panic!("{broken} was taken") };
            assert_eq!(error.kind(), FailureKind::NotUnderstood, "{broken}");
        }
        // A certificate of another CA.
        let refused = hq.perform(CaOperation::RenewalInfo(RenewalQuery {
            ca: NAME.into(),
            certificate: foreign_certificate(),
        }));
        let refused = problem(refused.await);
        let kinds = [CaProblemKind::NotFound, CaProblemKind::Other];
        assert!(kinds.contains(&refused.kind), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_certificate_is_revoked_once_and_its_window_is_past() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let leaf = hq.issued(&["a.fleet.test"]).await;
        let revoke = |reason| {
            CaOperation::Revoke(Revoke {
                ca: NAME.into(),
                certificate: leaf.clone(),
                reason,
            })
        };
        let refused = hq.try_perform(revoke(2)).await.unwrap_err();
        assert_eq!(refused.kind(), FailureKind::Misconfigured);
        assert_eq!(hq.perform(revoke(5)).await, CaAnswer::Revoked);
        let status = hq.pebble.cert_status(&serial(&leaf)).await.unwrap();
        assert_eq!(status, CertStatus::Revoked(Some(5)));
        let again = problem(hq.perform(revoke(5)).await);
        assert_eq!(again.kind, CaProblemKind::AlreadyRevoked);
        assert!(hq.window(&leaf).await.unwrap().end_ms < now_ms());
        assert_eq!(
            hq.pebble.cert_status(&[0, 0x12]).await.unwrap(),
            CertStatus::Unknown
        );
    })
    .await;
}

#[tokio::test]
async fn a_validation_that_fails_is_told_with_its_detail() {
    within_limit(async {
        // The validation is real and asks a server that is not there.
        let hq = Hq::new(PebbleOptions::default()).await;
        let order = hq.ordered(&["*.a.fleet.test"], None).await.order;
        let found = hq.authorizations(&order).await;
        assert_eq!(hq.ready(&order, &found[0]).await, CaAnswer::Accepted);
        let report = hq.wait_for(&order, OrderState::Invalid).await;
        let failed = report.problem.expect("a reason");
        assert_eq!(failed.kind, CaProblemKind::Validation);

        let found = hq.authorizations(&order).await;
        assert_eq!(found[0].state, AuthorizationState::Unusable);
        let failed = found[0].problem.clone().expect("a reason");
        assert_eq!(failed.kind, CaProblemKind::Validation);
        assert!(failed.detail.contains("TXT"), "{}", failed.detail);
        // Told again after that: the same reason.
        let again = problem(hq.ready(&order, &found[0]).await);
        assert_eq!(again.kind, CaProblemKind::Validation);
    })
    .await;
}

#[tokio::test]
async fn refusals_have_their_kind() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let blocked = format!("a.{BLOCKED_DOMAIN}");
        let refused = problem(hq.order(&[&blocked], None).await);
        assert_eq!(refused.kind, CaProblemKind::RejectedIdentifier);
        assert!(
            refused.detail.contains(BLOCKED_DOMAIN),
            "{}",
            refused.detail
        );

        let order = hq.ordered(&["a.fleet.test"], None).await.order;
        let key = KeyPair::generate().unwrap();
        let early = problem(hq.finalize(&order, &csr(&["a.fleet.test"], &key)).await);
        assert_eq!(early.kind, CaProblemKind::OrderNotReady);
        let early = problem(hq.perform(CaOperation::FetchChain(order.clone())).await);
        assert_eq!(early.kind, CaProblemKind::OrderNotReady);

        hq.validated(&order).await;
        let mut torn = csr(&["a.fleet.test"], &key);
        *torn.last_mut().unwrap() ^= 1;
        for bad in [csr(&["b.fleet.test"], &key), torn] {
            let refused = problem(hq.finalize(&order, &bad).await);
            assert!(
                matches!(refused.kind, CaProblemKind::BadCsr | CaProblemKind::Account),
                "{refused:?}"
            );
        }
        let gone = OrderRef {
            ca: NAME.into(),
            order: format!("{}-gone", order.order),
        };
        let refused = problem(hq.perform(CaOperation::OrderStatus(gone)).await);
        assert_eq!(refused.kind, CaProblemKind::NotFound);
        let challenge = ChallengeRef {
            order,
            challenge: "https://localhost/none".into(),
        };
        let refused = problem(hq.perform(CaOperation::ChallengeReady(challenge)).await);
        assert_eq!(refused.kind, CaProblemKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn rejected_nonces_do_not_matter() {
    within_limit(async {
        let hq = Hq::new(PebbleOptions {
            nonce_reject: 5,
            ..always_valid()
        })
        .await;
        // Three rejections in a row end an operation as transient; HQ's rows try it again.
        for number in 0..4 {
            let name = format!("n{number}.fleet.test");
            let order = hq
                .patient(CaOperation::NewOrder(new_order(&[&name], None)))
                .await;
            let CaAnswer::Order(order) = order else {
                panic!("{order:?}")
            };
            let found = hq
                .patient(CaOperation::Authorizations(order.order.clone()))
                .await;
            let CaAnswer::Authorizations(found) = found else {
                panic!("{found:?}")
            };
            let challenge = found[0].challenge.clone().unwrap();
            let order = order.order;
            let challenge = ChallengeRef {
                order: order.clone(),
                challenge,
            };
            hq.patient(CaOperation::ChallengeReady(challenge)).await;
            let csr = csr(&[&name], &KeyPair::generate().unwrap());
            hq.wait_for(&order, OrderState::Ready).await;
            hq.patient(CaOperation::Finalize(Finalize {
                order: order.clone(),
                csr,
            }))
            .await;
            hq.wait_for(&order, OrderState::Valid).await;
        }
        assert_eq!(hq.pebble.issued(), 4);
        // 5 % is by chance: asked until it happened, or this tested nothing.
        let order = hq.ordered(&["last.fleet.test"], None).await.order;
        for _ in 0..TRIES {
            if hq.counters.refused() > 0 {
                break;
            }
            hq.patient(CaOperation::OrderStatus(order.clone())).await;
        }
        assert!(hq.counters.refused() > 0, "not one nonce was rejected");
    })
    .await;
}

#[tokio::test]
async fn an_external_account_is_bound() {
    within_limit(async {
        let mac = vec![7; 32];
        let eab = Some(("kid-1".to_owned(), mac.clone()));
        let mut hq = Hq::new(PebbleOptions {
            eab,
            ..always_valid()
        })
        .await;
        let error = hq.try_order(&["a.fleet.test"]).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Misconfigured);
        assert!(error.to_string().contains("`eab`"), "{error}");

        let key_file = hq.folder.path().join("eab");
        let eab = |kid: &str| {
            Some(EabConfig {
                key_id: kid.to_owned(),
                hmac_key_file: key_file.clone(),
            })
        };
        // The wrong key, then the wrong key id, then what the CA handed out.
        std::fs::write(&key_file, "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg").unwrap();
        hq.config.eab = eab("kid-1");
        let refused = problem(hq.order(&["a.fleet.test"], None).await);
        assert!(
            matches!(refused.kind, CaProblemKind::Account | CaProblemKind::Other),
            "{refused:?}"
        );
        std::fs::write(&key_file, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\n").unwrap();
        hq.config.eab = eab("kid-2");
        let refused = problem(hq.order(&["a.fleet.test"], None).await);
        assert!(
            matches!(refused.kind, CaProblemKind::Account | CaProblemKind::Other),
            "{refused:?}"
        );
        hq.config.eab = eab("kid-1");
        hq.issued(&["a.fleet.test"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_ca_that_is_down_is_unreachable_and_back_when_it_is_back() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let ca = hq.open();
        ca.connect().await.unwrap().unwrap();
        let Hq {
            pebble,
            config,
            folder,
            ..
        } = hq;
        let fresh = open(&config, &folder.path().join("other.json"), &Arc::default());
        drop(pebble);
        let order = CaOperation::NewOrder(new_order(&["a.fleet.test"], None));
        // With a session, and as a new process.
        for ca in [ca, fresh] {
            let error = ca.perform(&order).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::Unreachable);
            for said in [
                "https://localhost",
                "pebble",
                "firewall",
                "tries again by itself",
            ] {
                assert!(error.to_string().contains(said), "{said} not in {error}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn another_root_is_an_untrusted_peer() {
    within_limit(async {
        let mut hq = Hq::new(always_valid()).await;
        let stranger = hq.folder.path().join("stranger.pem");
        std::fs::write(&stranger, test_ca().unwrap().0).unwrap();
        hq.config.root_pem = Some(stranger);
        let error = hq.try_order(&["a.fleet.test"]).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::UntrustedPeer);
        // The system's roots do not vouch for it either.
        hq.config.root_pem = None;
        let error = hq.try_order(&["a.fleet.test"]).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::UntrustedPeer);
    })
    .await;
}

#[tokio::test]
async fn a_crash_at_registration_gives_the_same_account() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        hq.ordered(&["a.fleet.test"], None).await;
        let account = hq.open().caa().account_uri.expect("an account");
        // The CA had answered, the URL was not written.
        let text = std::fs::read_to_string(hq.account_file()).unwrap();
        let torn = text.replace(&format!("\"{account}\""), "null");
        assert_ne!(torn, text);
        std::fs::write(hq.account_file(), torn).unwrap();
        assert_eq!(hq.open().caa().account_uri, None);
        hq.ordered(&["b.fleet.test"], None).await;
        assert_eq!(hq.open().caa().account_uri, Some(account));
    })
    .await;
}

#[tokio::test]
async fn a_new_account_key_takes_over_whenever_hq_crashes() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let order = hq.ordered(&["a.fleet.test"], None).await.order;
        let account = hq.open().caa().account_uri;
        let before = hq.stored();
        let rolling = hq.open();
        assert_eq!(rolling.roll_account_key().await.unwrap(), KeyRollover::Done);
        let after = hq.stored();
        assert_ne!(before["key"], after["key"]);
        assert_eq!(hq.open().caa().account_uri, account);
        // The same object and a new one go on.
        let status = CaOperation::OrderStatus(order);
        assert!(matches!(
            rolling.perform(&status).await.unwrap(),
            CaAnswer::Order(_)
        ));
        assert!(matches!(
            hq.perform(status.clone()).await,
            CaAnswer::Order(_)
        ));

        // The CA has the new key, HQ crashed before it heard so.
        let mut crashed = before.clone();
        crashed["next_key"] = after["key"].clone();
        hq.store(&crashed);
        assert!(matches!(
            hq.perform(status.clone()).await,
            CaAnswer::Order(_)
        ));
        assert_eq!(hq.stored(), after);

        // HQ crashed before the CA heard of it.
        let mut crashed = after.clone();
        crashed["next_key"] = before["key"].clone();
        hq.store(&crashed);
        assert!(matches!(
            hq.perform(status.clone()).await,
            CaAnswer::Order(_)
        ));
        assert_eq!(hq.stored(), after);

        // What stays in use is the new key.
        hq.issued(&["b.fleet.test"]).await;
        hq.store(&before);
        let refused = problem(hq.perform(status).await);
        assert_eq!(refused.kind, CaProblemKind::Account, "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn eight_orders_in_flight_over_one_account() {
    within_limit(async {
        let hq = Arc::new(Hq::new(always_valid()).await);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..ORDERS_IN_FLIGHT {
            let hq = Arc::clone(&hq);
            tasks.spawn(async move {
                // One object for all, as in a running HQ, is tested by the counts below.
                hq.issued(&[&format!("*.d{number}.fleet.test")]).await
            });
        }
        let leaves = tasks.join_all().await;
        assert_eq!(leaves.len(), ORDERS_IN_FLIGHT);
        assert_eq!(hq.pebble.issued(), ORDERS_IN_FLIGHT);
        assert_eq!(
            hq.pebble.log().matches("There are now 1 accounts").count(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn a_running_hq_needs_few_round_trips() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let ca = hq.open();
        ca.connect().await.unwrap().unwrap();
        let new = CaOperation::NewOrder(new_order(&["*.a.fleet.test"], None));
        let CaAnswer::Order(order) = ca.perform(&new).await.unwrap() else {
            panic!("no order")
        };
        let order = order.order;

        // A nonce of the operation before serves: the order and nothing else.
        let before = hq.counters.requests();
        ca.perform(&CaOperation::OrderStatus(order.clone()))
            .await
            .unwrap();
        assert_eq!(hq.counters.requests() - before, 1);
        let before = hq.counters.requests();
        ca.perform(&CaOperation::Authorizations(order))
            .await
            .unwrap();
        assert_eq!(hq.counters.requests() - before, 2);
    })
    .await;
}

#[tokio::test]
async fn what_caa_records_need_is_known_after_the_first_contact() {
    within_limit(async {
        let hq = Hq::new(always_valid()).await;
        let ca = hq.open();
        assert_eq!(ca.caa().account_uri, None);
        ca.connect().await.unwrap().unwrap();
        let caa = ca.caa();
        assert!(caa.account_uri.unwrap().starts_with("https://localhost"));
        assert!(
            !caa.issuers.is_empty(),
            "Pebble names itself in caaIdentities"
        );
        assert_eq!(ca.profiles().len(), 3);
    })
    .await;
}

/// HQ's side of an account, and its Pebble.
struct Hq {
    pebble: Pebble,
    config: AcmeConfig,
    folder: TempDir,
    counters: Arc<RequestCounters>,
    /// Tasks share the file; only the first of them registers.
    registered: tokio::sync::OnceCell<()>,
    performed: AtomicU64,
}

impl Hq {
    async fn new(options: PebbleOptions) -> Self {
        let pebble = Pebble::start(&options)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let profile = options.profiles[0].0.clone();
        let config = AcmeConfig {
            directory: DirectoryUrl::try_from(pebble.directory_url()).unwrap(),
            root_pem: Some(pebble.ca_pem_path()),
            contact: vec![Contact::try_from("mailto:ops@fleet.test".to_owned()).unwrap()],
            profile: Some(ProfileName::try_from(profile).unwrap()),
            eab: None,
            terms_of_service_agreed: true,
        };
        Self {
            pebble,
            config,
            folder: tempfile::tempdir().unwrap(),
            counters: Arc::default(),
            registered: tokio::sync::OnceCell::new(),
            performed: AtomicU64::new(0),
        }
    }

    fn account_file(&self) -> PathBuf {
        self.folder.path().join("pebble.account.json")
    }

    fn stored(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.account_file()).unwrap()).unwrap()
    }

    fn store(&self, value: &serde_json::Value) {
        std::fs::write(self.account_file(), value.to_string()).unwrap();
    }

    fn open(&self) -> AcmeCa {
        open(&self.config, &self.account_file(), &self.counters)
    }

    async fn try_perform(&self, operation: CaOperation) -> Result<CaAnswer, CaError> {
        self.performed.fetch_add(1, Ordering::Relaxed);
        self.open().perform(&operation).await
    }

    async fn perform(&self, operation: CaOperation) -> CaAnswer {
        self.try_perform(operation)
            .await
            .unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    /// As HQ's rows: what is transient is tried again.
    async fn patient(&self, operation: CaOperation) -> CaAnswer {
        for _ in 0..TRIES {
            match self.perform(operation.clone()).await {
                CaAnswer::Problem(problem) if problem.kind == CaProblemKind::Transient => {}
                answer => return answer,
            }
        }
        panic!("transient for ever");
    }

    async fn try_order(&self, names: &[&str]) -> Result<CaAnswer, CaError> {
        self.try_perform(CaOperation::NewOrder(new_order(names, None)))
            .await
    }

    async fn order(&self, names: &[&str], replaces: Option<&str>) -> CaAnswer {
        self.perform(CaOperation::NewOrder(new_order(names, replaces)))
            .await
    }

    async fn ordered(&self, names: &[&str], replaces: Option<&str>) -> OrderReport {
        // Two clients that register one file at once are no case of HQ: one process, one object.
        self.registered
            .get_or_init(|| async {
                self.open().connect().await.unwrap().unwrap();
            })
            .await;
        match self.order(names, replaces).await {
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
        let challenge = authorization.challenge.clone().expect("a dns-01 challenge");
        let challenge = ChallengeRef {
            order: order.clone(),
            challenge,
        };
        self.perform(CaOperation::ChallengeReady(challenge)).await
    }

    async fn validated(&self, order: &OrderRef) {
        for authorization in self.authorizations(order).await {
            assert_eq!(self.ready(order, &authorization).await, CaAnswer::Accepted);
        }
        self.wait_for(order, OrderState::Ready).await;
    }

    async fn wait_for(&self, order: &OrderRef, state: OrderState) -> OrderReport {
        for _ in 0..TRIES {
            let answer = self.patient(CaOperation::OrderStatus(order.clone())).await;
            let CaAnswer::Order(report) = answer else {
                panic!("{answer:?}")
            };
            if report.state == state {
                return report;
            }
            assert_ne!(report.state, OrderState::Invalid, "{report:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{order:?} did not become {state:?}");
    }

    async fn finalize(&self, order: &OrderRef, csr: &[u8]) -> CaAnswer {
        let finalize = Finalize {
            order: order.clone(),
            csr: csr.to_vec(),
        };
        self.perform(CaOperation::Finalize(finalize)).await
    }

    async fn chain(&self, order: &OrderRef) -> Vec<Vec<u8>> {
        match self.perform(CaOperation::FetchChain(order.clone())).await {
            CaAnswer::Chain(chain) => chain,
            other => panic!("{other:?}"),
        }
    }

    async fn issue(&self, order: OrderRef) -> Vec<u8> {
        self.validated(&order).await;
        let names = self.authorizations(&order).await;
        let names: Vec<_> = names.iter().map(|a| a.name.as_str()).collect();
        let key = KeyPair::generate().unwrap();
        let answer = self.finalize(&order, &csr(&names, &key)).await;
        assert!(matches!(answer, CaAnswer::Order(_)), "{answer:?}");
        self.wait_for(&order, OrderState::Valid).await;
        self.chain(&order).await.swap_remove(0)
    }

    async fn issued(&self, names: &[&str]) -> Vec<u8> {
        let order = self.ordered(names, None).await.order;
        self.validated(&order).await;
        let key = KeyPair::generate().unwrap();
        let answer = self.finalize(&order, &csr(names, &key)).await;
        assert!(matches!(answer, CaAnswer::Order(_)), "{answer:?}");
        self.wait_for(&order, OrderState::Valid).await;
        self.chain(&order).await.swap_remove(0)
    }

    async fn window(&self, certificate: &[u8]) -> Result<RenewalWindow, CaError> {
        let query = RenewalQuery {
            ca: NAME.into(),
            certificate: certificate.to_vec(),
        };
        match self.try_perform(CaOperation::RenewalInfo(query)).await? {
            CaAnswer::RenewalWindow(Some(window)) => Ok(window),
            other => panic!("{other:?}"),
        }
    }
}

/// Pebble may deadlock; a test must not.
async fn within_limit(test: impl Future<Output = ()>) {
    tokio::time::timeout(TEST_LIMIT, test)
        .await
        .expect("the test passed its time limit");
}

fn always_valid() -> PebbleOptions {
    PebbleOptions {
        always_valid: true,
        ..PebbleOptions::default()
    }
}

fn open(config: &AcmeConfig, file: &Path, counters: &Arc<RequestCounters>) -> AcmeCa {
    let observer = Arc::clone(counters);
    AcmeCa::open(
        NAME,
        config.clone(),
        file,
        MasterKey::new([5; 32]),
        observer,
    )
    .unwrap()
}

fn new_order(names: &[&str], replaces: Option<&str>) -> NewOrder {
    NewOrder {
        ca: NAME.into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        profile: None,
        replaces: replaces.map(str::to_owned),
        price: OrderPrice::First,
    }
}

fn csr(names: &[&str], key: &KeyPair) -> Vec<u8> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key).unwrap().der().to_vec()
}

fn foreign_certificate() -> Vec<u8> {
    let (_, issuer) = test_ca().unwrap();
    let mut params = CertificateParams::new(["a.fleet.test".to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    params
        .signed_by(&KeyPair::generate().unwrap(), &issuer)
        .unwrap()
        .der()
        .to_vec()
}

fn problem(answer: CaAnswer) -> CaProblem {
    match answer {
        CaAnswer::Problem(problem) => problem,
        other => panic!("expected a problem, got {other:?}"),
    }
}

fn identifier(certificate: &[u8]) -> String {
    let certificate = CertificateDer::from(certificate);
    instant_acme::CertificateIdentifier::try_from(&certificate)
        .unwrap()
        .to_string()
}

fn serial(certificate: &[u8]) -> Vec<u8> {
    parse_x509_certificate(certificate)
        .unwrap()
        .1
        .raw_serial()
        .to_vec()
}

fn now_ms() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "compared with what a real server says"
    )]
    let now = SystemTime::now();
    u64::try_from(now.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn verify(root_pem: &str, chain: &[Vec<u8>], name: &str) {
    let root = CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap();
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    let chain: Vec<_> = chain
        .iter()
        .map(|c| CertificateDer::from(c.as_slice()))
        .collect();
    let leaf = webpki::EndEntityCert::try_from(&chain[0]).unwrap();
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        &chain[1..],
        UnixTime::since_unix_epoch(Duration::from_millis(now_ms())),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )
    .unwrap();
    leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name.to_owned()).unwrap())
        .unwrap();
}

const NAME: &str = "pebble";
const TRIES: u32 = 400;
const TEST_LIMIT: Duration = Duration::from_secs(120);
