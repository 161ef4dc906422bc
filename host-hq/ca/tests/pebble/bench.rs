//! HQ's side of an account, and its Pebble.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use otscert_hq_ca::operation::{
    Authorization, CaAnswer, CaOperation, CaProblemKind, ChallengeRef, Finalize, NewOrder,
    OrderPrice, OrderRef, OrderReport, OrderState, RenewalQuery, RenewalWindow,
};
use otscert_hq_ca::pebble::{Pebble, PebbleOptions};
use otscert_hq_ca::testing::{self, csr};
use otscert_hq_ca::{
    AcmeCa, AcmeConfig, CaError, CertificateAuthority, Contact, DirectoryUrl, MasterKey,
    ProfileName, RequestCounters,
};
use rcgen::KeyPair;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use tempfile::TempDir;
use x509_parser::parse_x509_certificate;

/// HQ's side of an account, and its Pebble.
pub(crate) struct Hq {
    pub(crate) pebble: Pebble,
    pub(crate) config: AcmeConfig,
    pub(crate) folder: TempDir,
    pub(crate) counters: Arc<RequestCounters>,
    /// Tasks share the file; only the first of them registers.
    registered: tokio::sync::OnceCell<()>,
}

impl Hq {
    pub(crate) async fn new(options: PebbleOptions) -> Self {
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
        }
    }

    pub(crate) fn account_file(&self) -> PathBuf {
        self.folder.path().join("pebble.account.json")
    }

    pub(crate) fn stored(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.account_file()).unwrap()).unwrap()
    }

    pub(crate) fn store(&self, value: &serde_json::Value) {
        std::fs::write(self.account_file(), value.to_string()).unwrap();
    }

    pub(crate) fn open(&self) -> AcmeCa {
        open(&self.config, &self.account_file(), &self.counters)
    }

    pub(crate) async fn try_perform(&self, operation: CaOperation) -> Result<CaAnswer, CaError> {
        self.open().perform(&operation).await
    }

    pub(crate) async fn perform(&self, operation: CaOperation) -> CaAnswer {
        self.try_perform(operation)
            .await
            .unwrap_or_else(|error| panic!("{error}: {error:?}"))
    }

    /// As HQ's rows: what is transient is tried again.
    pub(crate) async fn patient(&self, operation: CaOperation) -> CaAnswer {
        for _ in 0..TRIES {
            match self.perform(operation.clone()).await {
                CaAnswer::Problem(problem) if problem.kind == CaProblemKind::Transient => {}
                answer => return answer,
            }
        }
        panic!("transient for ever");
    }

    pub(crate) async fn try_order(&self, names: &[&str]) -> Result<CaAnswer, CaError> {
        self.try_perform(CaOperation::NewOrder(new_order(names, None)))
            .await
    }

    pub(crate) async fn order(&self, names: &[&str], replaces: Option<&str>) -> CaAnswer {
        self.perform(CaOperation::NewOrder(new_order(names, replaces)))
            .await
    }

    pub(crate) async fn ordered(&self, names: &[&str], replaces: Option<&str>) -> OrderReport {
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

    pub(crate) async fn authorizations(&self, order: &OrderRef) -> Vec<Authorization> {
        match self
            .perform(CaOperation::Authorizations(order.clone()))
            .await
        {
            CaAnswer::Authorizations(found) => found,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn ready(&self, order: &OrderRef, authorization: &Authorization) -> CaAnswer {
        let challenge = authorization.challenge.clone().expect("a dns-01 challenge");
        let challenge = ChallengeRef {
            order: order.clone(),
            challenge,
        };
        self.perform(CaOperation::ChallengeReady(challenge)).await
    }

    pub(crate) async fn validated(&self, order: &OrderRef) {
        for authorization in self.authorizations(order).await {
            assert_eq!(self.ready(order, &authorization).await, CaAnswer::Accepted);
        }
        self.wait_for(order, OrderState::Ready).await;
    }

    pub(crate) async fn wait_for(&self, order: &OrderRef, state: OrderState) -> OrderReport {
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

    pub(crate) async fn finalize(&self, order: &OrderRef, csr: &[u8]) -> CaAnswer {
        let finalize = Finalize {
            order: order.clone(),
            csr: csr.to_vec(),
        };
        self.perform(CaOperation::Finalize(finalize)).await
    }

    pub(crate) async fn chain(&self, order: &OrderRef) -> Vec<Vec<u8>> {
        match self.perform(CaOperation::FetchChain(order.clone())).await {
            CaAnswer::Chain(chain) => chain,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn issue(&self, order: OrderRef) -> Vec<u8> {
        self.validated(&order).await;
        let names = self.authorizations(&order).await;
        let names: Vec<_> = names.iter().map(|a| a.name.as_str()).collect();
        let key = KeyPair::generate().unwrap();
        let answer = self.finalize(&order, &csr(&names, &key)).await;
        assert!(matches!(answer, CaAnswer::Order(_)), "{answer:?}");
        self.wait_for(&order, OrderState::Valid).await;
        self.chain(&order).await.swap_remove(0)
    }

    pub(crate) async fn issued(&self, names: &[&str]) -> Vec<u8> {
        let order = self.ordered(names, None).await.order;
        self.validated(&order).await;
        let key = KeyPair::generate().unwrap();
        let answer = self.finalize(&order, &csr(names, &key)).await;
        assert!(matches!(answer, CaAnswer::Order(_)), "{answer:?}");
        self.wait_for(&order, OrderState::Valid).await;
        self.chain(&order).await.swap_remove(0)
    }

    pub(crate) async fn window(&self, certificate: &[u8]) -> Result<RenewalWindow, CaError> {
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
pub(crate) async fn within_limit(test: impl Future<Output = ()>) {
    tokio::time::timeout(TEST_LIMIT, test)
        .await
        .expect("the test passed its time limit");
}

pub(crate) fn always_valid() -> PebbleOptions {
    PebbleOptions {
        always_valid: true,
        ..PebbleOptions::default()
    }
}

pub(crate) fn open(config: &AcmeConfig, file: &Path, counters: &Arc<RequestCounters>) -> AcmeCa {
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

pub(crate) fn new_order(names: &[&str], replaces: Option<&str>) -> NewOrder {
    NewOrder {
        ca: NAME.into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        profile: None,
        replaces: replaces.map(str::to_owned),
        price: OrderPrice::First,
        proved: true,
    }
}

pub(crate) fn serial(certificate: &[u8]) -> Vec<u8> {
    parse_x509_certificate(certificate)
        .unwrap()
        .1
        .raw_serial()
        .to_vec()
}

pub(crate) fn now_ms() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "compared with what a real server says"
    )]
    let now = SystemTime::now();
    u64::try_from(now.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub(crate) fn verify(root_pem: &str, chain: &[Vec<u8>], name: &str) {
    let root = CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now_ms()));
    testing::verify(&root, chain, name, now);
}

pub(crate) const NAME: &str = "pebble";
pub(crate) const TRIES: u32 = 400;
const TEST_LIMIT: Duration = Duration::from_secs(120);
