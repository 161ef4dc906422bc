//! The CA, and the zone that it looks into.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use otscert_machine::peer::{Answer, CaAnswer, CaOperation, CaProblem, CaProblemKind, Request};
use otscert_machine::time::{Span, Timestamp};
use otscert_machine::x509::chain::Chain;

use crate::configs::{DAY, HOUR};
use crate::faults::Faults;
use crate::peers::{TestCa, Zone};

/// A CA and a zone. Its copies are one and the same.
#[derive(Clone)]
pub(crate) struct Authority {
    shared: Arc<Mutex<Peers>>,
    faults: Faults,
}

/// What it keeps.
pub(crate) struct Peers {
    pub(crate) ca: TestCa,
    pub(crate) zone: Zone,
    /// Milliseconds since 1970.
    pub(crate) now: u64,
    /// The CA cannot be reached before then.
    pub(crate) down_until: u64,
    /// Orders that were finalized since somebody looked.
    pub(crate) finalized: Vec<String>,
}

impl Authority {
    /// `life_ms`: how long its certificates live.
    pub(crate) fn new(life_ms: u64, faults: Faults) -> Self {
        let peers = Peers {
            ca: TestCa {
                life: life_ms / 1000,
                ..TestCa::default()
            },
            zone: Zone::default(),
            now: 0,
            down_until: 0,
            finalized: Vec::new(),
        };
        Self {
            shared: Arc::new(Mutex::new(peers)),
            faults,
        }
    }

    pub(crate) fn peers(&self) -> MutexGuard<'_, Peers> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the CA can be reached.
    pub(crate) fn is_up(&self) -> bool {
        let peers = self.peers();
        peers.now >= peers.down_until
    }

    /// Carries out one operation.
    pub(crate) fn perform(&self, request: &Request) -> anyhow::Result<Answer> {
        Ok(match request {
            Request::Ca(operation) => Answer::Ca(self.perform_at_ca(operation)?),
            Request::Dns(operation) => Answer::Dns(self.peers().zone.perform(operation)),
            Request::Hq { .. } | Request::Seeder(_) => anyhow::bail!("HQ asks HQ"),
        })
    }

    pub(crate) fn perform_at_ca(&self, operation: &CaOperation) -> anyhow::Result<CaAnswer> {
        if self.faults.strike(200) {
            return Ok(self.trouble());
        }
        let window = match operation {
            CaOperation::RenewalInfo { certificate, .. } => Some(self.window(certificate)?),
            CaOperation::NewOrder { .. }
            | CaOperation::Authorizations(_)
            | CaOperation::ChallengeReady { .. }
            | CaOperation::OrderStatus(_)
            | CaOperation::Finalize { .. }
            | CaOperation::FetchChain(_)
            | CaOperation::Revoke { .. } => None,
        };
        let peers = &mut *self.peers();
        if let Some(window) = window {
            peers.ca.window = window;
        }
        if let CaOperation::Finalize { order, .. } = operation {
            peers.finalized.push(order.order.clone());
        }
        let now = Timestamp::from_millis(peers.now);
        Ok(peers.ca.perform(now, &peers.zone, operation))
    }

    /// A CA that has too much to do, or something else in hand.
    fn trouble(&self) -> CaAnswer {
        let kind = match self.faults.below(2) {
            0 => CaProblemKind::RateLimited,
            _ => CaProblemKind::Transient,
        };
        let hours = self.faults.below(5);
        CaAnswer::Problem(CaProblem {
            kind,
            detail: "the CA of the simulation has too much to do".to_owned(),
            retry_after: (hours > 0).then(|| Span::from_millis(hours * HOUR)),
        })
    }

    /// What the CA suggests: from a third to half of a certificate's life, and now and then something else.
    fn window(&self, certificate: &[u8]) -> anyhow::Result<Option<(u64, u64, u64)>> {
        let chain = Chain::read(vec![certificate.to_vec()])?;
        let leaf = chain.leaf();
        let issued = leaf.not_before.millis();
        let life = leaf.not_after.millis() - issued;
        let (start, end) = (issued + life / 3, issued + life / 2);
        Ok(match self.faults.strike(10) {
            false => Some((start, end, 6 * HOUR)),
            true => match self.faults.below(4) {
                0 => None,
                // It has to go.
                1 => Some((issued, issued, 6 * HOUR)),
                // It never comes.
                2 => Some((start + life, end + life, 6 * HOUR)),
                _ => Some((end, start, 400 * DAY)),
            },
        })
    }
}
