//! A private CA with a clock and a DNS of its own.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rcgen::KeyPair;
use tempfile::TempDir;
use time::Duration;

use crate::config::{CertificateLife, DnsSuffix};
use crate::operation::{
    Authorization, ChallengeRef, Finalize, NewOrder, OrderPrice, OrderRef, OrderReport,
    RenewalQuery, RenewalWindow, Revoke,
};
use crate::private::*;
use crate::testing::csr;

pub(super) struct Bench {
    pub(super) folder: TempDir,
    pub(super) config: PrivateConfig,
    pub(super) txt: Arc<TestTxt>,
    pub(super) clock: Arc<TestClock>,
}

pub(super) struct TestClock(Mutex<OffsetDateTime>);

impl Clock for TestClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

#[derive(Default)]
pub(super) struct Records {
    sets: BTreeMap<String, Vec<String>>,
    pub(super) down: bool,
}

#[derive(Default)]
pub(super) struct TestTxt(pub(super) Mutex<Records>);

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
    pub(super) fn new(life: &str, zones: &[&str]) -> Self {
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

    pub(super) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    pub(super) fn advance(&self, by: Duration) {
        *self.clock.0.lock().unwrap() += by;
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("fleet").join(file)
    }

    pub(super) fn try_open(&self) -> Result<PrivateCa, PrivateCaError> {
        PrivateCa::load_or_create(
            "fleet",
            self.config.clone(),
            &self.folder.path().join("fleet"),
            Arc::clone(&self.txt) as Arc<dyn TxtLookup>,
            Arc::clone(&self.clock) as Arc<dyn Clock>,
        )
    }

    /// As a new process would.
    pub(super) fn open(&self) -> PrivateCa {
        self.try_open().unwrap()
    }

    pub(super) async fn perform(&self, operation: CaOperation) -> CaAnswer {
        self.open().perform(&operation).await.unwrap()
    }

    pub(super) fn publish(&self, owner: &str, value: &str) {
        let mut records = self.txt.0.lock().unwrap();
        records
            .sets
            .entry(owner.to_owned())
            .or_default()
            .push(value.to_owned());
    }

    pub(super) async fn new_order(&self, names: &[&str], replaces: Option<&str>) -> CaAnswer {
        self.perform(CaOperation::NewOrder(NewOrder {
            ca: "fleet".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            profile: None,
            replaces: replaces.map(str::to_owned),
            price: OrderPrice::First,
            proved: false,
        }))
        .await
    }

    pub(super) async fn ordered(&self, names: &[&str]) -> OrderReport {
        match self.new_order(names, None).await {
            CaAnswer::Order(report) => report,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn authorizations(&self, order: &OrderRef) -> Vec<Authorization> {
        match self
            .perform(CaOperation::Authorizations(order.clone()))
            .await
        {
            CaAnswer::Authorizations(found) => found,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn ready(&self, order: &OrderRef, authorization: &Authorization) -> CaAnswer {
        let challenge = authorization.challenge.clone().unwrap();
        let challenge = ChallengeRef {
            order: order.clone(),
            challenge,
        };
        self.perform(CaOperation::ChallengeReady(challenge)).await
    }

    pub(super) async fn status(&self, order: &OrderRef) -> OrderReport {
        match self.perform(CaOperation::OrderStatus(order.clone())).await {
            CaAnswer::Order(report) => report,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn finalize(&self, order: &OrderRef, csr: &[u8]) -> CaAnswer {
        let finalize = Finalize {
            order: order.clone(),
            csr: csr.to_vec(),
        };
        self.perform(CaOperation::Finalize(finalize)).await
    }

    pub(super) async fn finalized(&self, order: &OrderRef, csr: &[u8]) -> OrderReport {
        match self.finalize(order, csr).await {
            CaAnswer::Order(report) => report,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn chain(&self, order: &OrderRef) -> Vec<Vec<u8>> {
        match self.perform(CaOperation::FetchChain(order.clone())).await {
            CaAnswer::Chain(chain) => chain,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn ready_order(&self, names: &[&str]) -> OrderRef {
        let order = self.ordered(names).await.order;
        for authorization in self.authorizations(&order).await {
            let owner = format!("_acme-challenge.{}", authorization.name);
            self.publish(&owner, &authorization.txt_value);
            assert_eq!(self.ready(&order, &authorization).await, CaAnswer::Accepted);
        }
        order
    }

    pub(super) async fn issued(&self, names: &[&str]) -> (Vec<u8>, OrderRef) {
        let order = self.ready_order(names).await;
        self.finalized(&order, &csr(names, &KeyPair::generate().unwrap()))
            .await;
        (self.chain(&order).await.swap_remove(0), order)
    }

    pub(super) async fn window(&self, certificate: &[u8]) -> RenewalWindow {
        let query = RenewalQuery {
            ca: "fleet".into(),
            certificate: certificate.to_vec(),
        };
        match self.perform(CaOperation::RenewalInfo(query)).await {
            CaAnswer::RenewalWindow(Some(window)) => window,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn revoke(&self, certificate: &[u8], reason: u8) -> CaAnswer {
        let certificate = certificate.to_vec();
        self.perform(CaOperation::Revoke(Revoke {
            ca: "fleet".into(),
            certificate,
            reason,
        }))
        .await
    }
}
