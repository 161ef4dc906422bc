//! A CA that keeps books, and a zone that does as it is told. What a row of HQ's outbox brings
//! depends on the orders of its subject alone.

use std::sync::Arc;

use otscert_machine::peer::{
    Answer, Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblem, CaProblemKind,
    Challenge, DnsAnswer, DnsOperation, OrderRef, OrderReport, OrderState, Request,
};
use otscert_machine::types::{CertName, ExchangeId};
use otscert_machine::x509::csr;

use crate::broken::Broken;
use crate::certificate;
use crate::hq::Ask;
use crate::system::System;
use crate::table::Number;
use crate::world::{CRYPTO, NOW};

/// A row of HQ's outbox.
pub(crate) struct Row {
    pub(crate) subject: String,
    pub(crate) subject_number: Number,
    pub(crate) exchange: ExchangeId,
    pub(crate) request: Request,
}

/// The orders of each subject.
pub(crate) type CaState = Vec<(Number, Vec<Order>)>;

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Order {
    names: Vec<CertName>,
    state: OrderState,
    chain: Vec<Vec<u8>>,
    /// The chain was fetched.
    over: bool,
    /// HQ was set back since: it may know nothing of this order.
    forgotten: bool,
}

/// What the CA does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mood {
    /// What it should.
    Good,
    /// It finds an order invalid that it was asked about.
    Refuses,
}

/// What a worker did.
pub(crate) struct Worked {
    pub(crate) ca: Number,
    pub(crate) outcome: Number,
    pub(crate) broken: Broken,
}

impl System {
    /// A worker performs a row.
    pub(crate) fn work(&mut self, ca: Number, row: Number, mood: Mood) -> Worked {
        let row = Arc::clone(&self.rows[row as usize]);
        let mut state = (**self.cas.of(ca)).clone();
        let mut broken = Broken::default();
        let answer = match &row.request {
            Request::Hq { .. } | Request::Seeder(_) => panic!("HQ asks itself"),
            Request::Dns(DnsOperation::Publish(_) | DnsOperation::Withdraw(_)) => {
                Answer::Dns(DnsAnswer::Done)
            }
            Request::Dns(DnsOperation::Visible(_)) => Answer::Dns(DnsAnswer::Visible(true)),
            Request::Ca(operation) => {
                let place = state
                    .iter()
                    .position(|(subject, _)| *subject == row.subject_number);
                let place = place.unwrap_or_else(|| {
                    state.push((row.subject_number, Vec::new()));
                    state.len() - 1
                });
                let orders = &mut state[place].1;
                let answer = perform(orders, &row.subject, operation, mood);
                let live = orders.iter().filter(|order| order.is_live()).count();
                broken.note(Broken::TWO_ORDERS, live > 1);
                Answer::Ca(answer)
            }
        };
        state.sort_unstable_by_key(|(subject, _)| *subject);
        state.retain(|(_, orders)| !orders.is_empty());
        let outcome = self.outcome_number(answer);
        Worked {
            ca: self.cas.number(state),
            outcome,
            broken,
        }
    }

    /// A worker performs a row, and HQ hears of it.
    pub(crate) fn work_and_tell(
        &mut self,
        (store, ca): (Number, Number),
        row: Number,
        mood: Mood,
        quarter: u16,
    ) -> (Number, Number, Broken) {
        let Worked {
            ca,
            outcome,
            mut broken,
        } = self.work(ca, row, mood);
        let (store, decided) = self.ask(store, Ask::Answered(row, outcome), quarter);
        broken.note_all(decided.broken);
        (store, ca, broken)
    }

    /// HQ was set back: what the CA has HQ may know nothing of.
    pub(crate) fn forget(&mut self, ca: Number) -> Number {
        let mut state = (**self.cas.of(ca)).clone();
        for order in state.iter_mut().flat_map(|(_, orders)| orders) {
            order.forgotten = true;
        }
        self.cas.number(state)
    }

    /// Whether what a row asks ends a stage: before it others may come first.
    pub(crate) fn ends_a_stage(&self, row: Number) -> bool {
        match &self.rows[row as usize].request {
            Request::Ca(CaOperation::Finalize { .. } | CaOperation::FetchChain(_)) => true,
            Request::Ca(
                CaOperation::NewOrder { .. }
                | CaOperation::Authorizations(_)
                | CaOperation::ChallengeReady { .. }
                | CaOperation::OrderStatus(_)
                | CaOperation::RenewalInfo { .. }
                | CaOperation::Revoke { .. },
            )
            | Request::Hq { .. }
            | Request::Seeder(_)
            | Request::Dns(_) => false,
        }
    }

    /// Whether a row asks how an order stands.
    pub(crate) fn asks_for_status(&self, row: Number) -> bool {
        matches!(
            &self.rows[row as usize].request,
            Request::Ca(CaOperation::OrderStatus(_))
        )
    }

    fn outcome_number(&mut self, answer: Answer) -> Number {
        let number = self.outcomes.number(format!("{answer:?}"));
        if number as usize == self.outcome_list.len() {
            self.outcome_list.push(answer);
        }
        number
    }

    pub(crate) fn outcome(&self, outcome: Number) -> Answer {
        self.outcome_list[outcome as usize].clone()
    }
}

impl Order {
    /// The CA has been asked to issue, and HQ has not had the certificate.
    fn is_live(&self) -> bool {
        let asked = match self.state {
            OrderState::Processing | OrderState::Valid => true,
            OrderState::Pending | OrderState::Ready | OrderState::Invalid => false,
        };
        asked && !self.over && !self.forgotten
    }
}

fn perform(
    orders: &mut Vec<Order>,
    subject: &str,
    operation: &CaOperation,
    mood: Mood,
) -> CaAnswer {
    match operation {
        CaOperation::NewOrder { names, .. } => {
            orders.push(Order {
                names: names.clone(),
                state: OrderState::Pending,
                chain: Vec::new(),
                over: false,
                forgotten: false,
            });
            report(orders, subject, orders.len() - 1)
        }
        CaOperation::Authorizations(order) => {
            let at = index(order);
            let list = orders[at].names.iter().map(|name| Authorization {
                name: name.base.clone(),
                state: match orders[at].state {
                    OrderState::Pending => AuthorizationState::Pending,
                    OrderState::Ready
                    | OrderState::Processing
                    | OrderState::Valid
                    | OrderState::Invalid => AuthorizationState::Valid,
                },
                challenge: Some(Challenge {
                    url: format!("{}/challenge", order.order),
                    txt_value: format!("proof-{at}"),
                }),
                problem: None,
            });
            CaAnswer::Authorizations(list.collect())
        }
        CaOperation::ChallengeReady { order, .. } => {
            let order = &mut orders[index(order)];
            if order.state == OrderState::Pending {
                order.state = OrderState::Ready;
            }
            CaAnswer::Accepted
        }
        CaOperation::OrderStatus(order) => {
            let at = index(order);
            if mood == Mood::Refuses && orders[at].state != OrderState::Valid {
                orders[at].state = OrderState::Invalid;
            }
            report(orders, subject, at)
        }
        CaOperation::Finalize { order, csr } => {
            let at = index(order);
            if orders[at].state != OrderState::Ready {
                return problem(CaProblemKind::OrderNotReady, "not ready");
            }
            let public = csr::check(&CRYPTO, csr).unwrap().public;
            let (start, serial) = (NOW / 1000 - 60, u8::try_from(at + 1).unwrap());
            let end = start + 400 * 86_400;
            let order = &mut orders[at];
            order.chain = certificate::chain(&public, &order.names, start, end, serial.into());
            order.state = OrderState::Valid;
            report(orders, subject, at)
        }
        CaOperation::FetchChain(order) => {
            let order = &mut orders[index(order)];
            order.over = true;
            CaAnswer::Chain(order.chain.clone())
        }
        CaOperation::RenewalInfo { .. } => CaAnswer::RenewalWindow(None),
        CaOperation::Revoke { .. } => CaAnswer::Revoked,
    }
}

fn report(orders: &[Order], subject: &str, at: usize) -> CaAnswer {
    CaAnswer::Order(OrderReport {
        order: OrderRef {
            ca: "ca".into(),
            order: format!("https://ca.test/{subject}/{at}"),
        },
        state: orders[at].state,
        expires: None,
        retry_after: None,
        problem: None,
    })
}

fn index(order: &OrderRef) -> usize {
    order.order.rsplit('/').next().unwrap().parse().unwrap()
}

fn problem(kind: CaProblemKind, detail: &str) -> CaAnswer {
    CaAnswer::Problem(CaProblem {
        kind,
        detail: detail.into(),
        retry_after: None,
    })
}
