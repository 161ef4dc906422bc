//! A CA that keeps books, and a zone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use otscert_crypto::RustCrypto;
use otscert_machine::peer::{
    Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblem, CaProblemKind, Challenge,
    DnsAnswer, DnsOperation, DnsRecord, OrderRef, OrderReport, OrderState, Price, SuggestedWindow,
};
use otscert_machine::time::{Span, Timestamp};
use otscert_machine::types::{CertName, DnsName};
use otscert_machine::x509::csr;

use super::certificate;

/// A CA that keeps books.
#[derive(Clone, Default)]
pub(crate) struct TestCa {
    pub(crate) orders: Vec<TestOrder>,
    pub(crate) revoked: Vec<Vec<u8>>,
    pub(crate) issued: Vec<Vec<u8>>,
    pub(crate) life: u64,
    pub(crate) window: Option<(u64, u64, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct TestOrder {
    pub(crate) names: Vec<CertName>,
    pub(crate) state: OrderState,
    pub(crate) validated: Vec<DnsName>,
    pub(crate) finalized: u32,
    pub(crate) csr: Vec<u8>,
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) replaces: Option<String>,
    pub(crate) price: Price,
}

/// What HQ's DNS serves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zone {
    pub(crate) labels: Vec<DnsName>,
    pub(crate) txt: Vec<(String, String)>,
    pub(crate) addresses: BTreeMap<DnsName, Vec<IpAddr>>,
}

impl TestCa {
    pub(crate) fn perform(
        &mut self,
        now: Timestamp,
        zone: &Zone,
        operation: &CaOperation,
    ) -> CaAnswer {
        match operation {
            CaOperation::NewOrder {
                names,
                profile,
                replaces,
                price,
                ..
            } => {
                assert_eq!(
                    profile.as_deref(),
                    Some("short"),
                    "the profile is always named"
                );
                let replaced = self.orders.iter().any(|order| {
                    order.state == OrderState::Valid
                        && order.replaces.is_some()
                        && order.replaces == *replaces
                });
                if replaced {
                    return problem(CaProblemKind::AlreadyReplaced, "replaced already");
                }
                self.orders.push(TestOrder {
                    names: names.clone(),
                    state: OrderState::Pending,
                    validated: Vec::new(),
                    finalized: 0,
                    csr: Vec::new(),
                    chain: Vec::new(),
                    replaces: replaces.clone(),
                    price: *price,
                });
                self.report(self.orders.len() - 1)
            }
            CaOperation::Authorizations(order) => {
                let at = index(order);
                let order = &self.orders[at];
                let list = order.names.iter().map(|name| {
                    let done = order.validated.contains(&name.base);
                    let state = match done {
                        true => AuthorizationState::Valid,
                        false => AuthorizationState::Pending,
                    };
                    let url = format!("https://ca.test/challenge/{at}/{}", name.base);
                    let txt_value = format!("proof-{at}-{}", name.base);
                    let challenge = Some(Challenge { url, txt_value });
                    Authorization {
                        name: name.base.clone(),
                        state,
                        challenge,
                        problem: None,
                    }
                });
                CaAnswer::Authorizations(list.collect())
            }
            CaOperation::ChallengeReady { order, challenge } => {
                let at = index(order);
                let name = challenge.rsplit('/').next().unwrap();
                let wanted = (
                    format!("_acme-challenge.{name}"),
                    format!("proof-{at}-{name}"),
                );
                let order = &mut self.orders[at];
                if !zone.txt.contains(&wanted) {
                    order.state = OrderState::Invalid;
                    return CaAnswer::Accepted;
                }
                order.validated.push(DnsName::parse(name).unwrap());
                if order.validated.len() == order.names.len() {
                    order.state = OrderState::Ready;
                }
                CaAnswer::Accepted
            }
            CaOperation::OrderStatus(order) => {
                let at = index(order);
                let report = self.report(at);
                if self.orders[at].state == OrderState::Processing {
                    self.issue(now, at);
                }
                report
            }
            CaOperation::Finalize { order, csr } => {
                let at = index(order);
                let order = &mut self.orders[at];
                if order.state != OrderState::Ready {
                    return problem(CaProblemKind::OrderNotReady, "not ready");
                }
                order.finalized += 1;
                order.csr = csr.clone();
                order.state = OrderState::Processing;
                self.report(at)
            }
            CaOperation::FetchChain(order) => {
                CaAnswer::Chain(self.orders[index(order)].chain.clone())
            }
            CaOperation::RenewalInfo { .. } => {
                CaAnswer::RenewalWindow(self.window.map(|(start, end, retry)| SuggestedWindow {
                    start: Timestamp::from_millis(start),
                    end: Timestamp::from_millis(end),
                    retry_after: Span::from_millis(retry),
                }))
            }
            CaOperation::Revoke {
                certificate,
                reason,
                ..
            } => {
                assert_eq!(*reason, 5);
                if self.revoked.contains(certificate) {
                    return problem(CaProblemKind::AlreadyRevoked, "revoked already");
                }
                self.revoked.push(certificate.clone());
                CaAnswer::Revoked
            }
        }
    }

    fn issue(&mut self, now: Timestamp, at: usize) {
        let (serial, life) = (self.issued.len() as u64 + 1, self.life);
        let order = &mut self.orders[at];
        let public = csr::check(&RustCrypto, &order.csr).unwrap().public;
        let start = now.seconds() - 60;
        order.chain = certificate::chain(&public, &order.names, start, start + life, serial);
        order.state = OrderState::Valid;
        self.issued.push(order.chain[0].clone());
    }

    fn report(&self, at: usize) -> CaAnswer {
        CaAnswer::Order(OrderReport {
            order: OrderRef {
                ca: "ca".into(),
                order: format!("https://ca.test/order/{at}"),
            },
            state: self.orders[at].state,
            expires: None,
            retry_after: None,
            problem: None,
        })
    }
}

fn index(order: &OrderRef) -> usize {
    order.order.rsplit('/').next().unwrap().parse().unwrap()
}

pub(crate) fn problem(kind: CaProblemKind, detail: &str) -> CaAnswer {
    CaAnswer::Problem(CaProblem {
        kind,
        detail: detail.into(),
        retry_after: None,
    })
}

impl Zone {
    pub(crate) fn perform(&mut self, operation: &DnsOperation) -> DnsAnswer {
        match operation {
            DnsOperation::Publish(DnsRecord::Txt { owner, value, .. }) => {
                let entry = (owner.clone(), value.clone());
                if !self.txt.contains(&entry) {
                    self.txt.push(entry);
                }
                DnsAnswer::Done
            }
            DnsOperation::Withdraw(DnsRecord::Txt { owner, value, .. }) => {
                self.txt
                    .retain(|entry| *entry != (owner.clone(), value.clone()));
                DnsAnswer::Done
            }
            DnsOperation::Visible(DnsRecord::Txt { owner, value, .. }) => {
                DnsAnswer::Visible(self.txt.contains(&(owner.clone(), value.clone())))
            }
            DnsOperation::Publish(DnsRecord::Label(name)) => {
                if !self.labels.contains(name) {
                    self.labels.push(name.clone());
                }
                DnsAnswer::Done
            }
            DnsOperation::Withdraw(DnsRecord::Label(name)) => {
                self.labels.retain(|label| label != name);
                DnsAnswer::Done
            }
            DnsOperation::Publish(DnsRecord::Addresses { name, addresses }) => {
                self.addresses.insert(name.clone(), addresses.clone());
                DnsAnswer::Done
            }
            DnsOperation::Withdraw(DnsRecord::Addresses { name, .. }) => {
                self.addresses.remove(name);
                DnsAnswer::Done
            }
            DnsOperation::Visible(DnsRecord::Label(_) | DnsRecord::Addresses { .. }) => {
                DnsAnswer::Visible(true)
            }
        }
    }
}
