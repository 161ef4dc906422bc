//! Performs what the component submitted, one operation at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use otscert_hq_ca::operation::Deferral;
use otscert_hq_ca::{CertificateAuthority, FailureKind as CaFailureKind};

use crate::error::chain;
use crate::host::entropy::{EntropyError, EntropySource};
use crate::registrar::{CallError, Registrar};
use crate::store::{Lane, Lease, LeaseToken, OutboxRow, Store, StoreError, operation_name};
use crate::types::{
    Answer, CaAnswer, CaOperation, DnsAnswer, DnsOperation, DnsRecord, Failure, FailureKind, Input,
    Note, Operation, Timestamp,
};

use super::charge::charge;
use super::quota::QuotaLimit;
use super::{CommitterHandle, CrashPoint, Zone, ZoneError, crash_point};

/// A CA and how it may be used.
#[derive(Clone)]
pub struct Ca {
    /// Performs the operations.
    pub authority: Arc<dyn CertificateAuthority>,
    /// Operations under way at once.
    pub concurrency: usize,
    /// Its limits, as far as HQ keeps to them by itself.
    pub quota: Vec<QuotaLimit>,
}

/// CAs by their names in HQ's config.
pub type CaSet = BTreeMap<String, Ca>;

/// How the outbox is worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxOptions {
    /// How long a lease lasts, in milliseconds: longer than any operation's own time limit.
    pub lease_ms: u64,
    /// How long an outcome waits that could not be told, in milliseconds.
    pub tell_again_ms: u64,
    /// Failures of the component at one outcome; at the last the row is parked.
    pub max_traps: u32,
}

impl Default for OutboxOptions {
    fn default() -> Self {
        Self {
            lease_ms: 180_000,
            tell_again_ms: 10_000,
            max_traps: 3,
        }
    }
}

/// What one pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Nothing is due.
    Idle {
        /// When something is; none: nobody knows.
        next: Option<Timestamp>,
    },
    /// A row was worked off: the registrar has heard the outcome.
    Told,
    /// The registrar could not be told; the outcome waits in the row.
    Kept,
    /// The component failed at the outcome once too often; a person must look.
    Parked,
    /// Another worker has the row; its outcome counts.
    LeaseLost,
    /// HQ is stopping; the row stays.
    Stopped,
}

/// Why a pass failed. The worker holds on to what it had, and stores it at its next pass.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The database failed.
    #[error("the outbox cannot be worked off")]
    Store(#[from] StoreError),
    /// No token for a lease.
    #[error("the outbox cannot lease a row")]
    Token(#[from] EntropyError),
}

/// Works off the outbox.
pub struct OutboxWorker {
    store: Arc<Store>,
    registrar: Arc<Registrar>,
    committer: CommitterHandle,
    cas: CaSet,
    zone: Arc<dyn Zone>,
    entropy: Arc<dyn EntropySource>,
    options: OutboxOptions,
    /// Leases that could not be given back because the database failed; at most one for each pass under way.
    unsettled: Mutex<Vec<Unsettled>>,
}

/// A lease to give back, with the outcome if there is one.
#[derive(Debug, Clone)]
struct Unsettled {
    lease: Lease,
    answer: Option<Answer>,
    trapped: bool,
}

impl OutboxWorker {
    /// A worker over these parts.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        registrar: Arc<Registrar>,
        committer: CommitterHandle,
        cas: CaSet,
        zone: Arc<dyn Zone>,
        entropy: Arc<dyn EntropySource>,
        options: OutboxOptions,
    ) -> Self {
        let unsettled = Mutex::new(Vec::new());
        Self {
            store,
            registrar,
            committer,
            cas,
            zone,
            entropy,
            options,
            unsettled,
        }
    }

    /// Every lane there is work in, with the number of passes that may be under way in it at once.
    #[must_use]
    pub fn lanes(&self) -> Vec<(Lane, usize)> {
        let cas = self
            .cas
            .iter()
            .map(|(name, ca)| (Lane::Ca(name.clone()), ca.concurrency.max(1)));
        let stray = Lane::Stray(self.cas.keys().cloned().collect());
        cas.chain([(Lane::Zone, ZONE_CONCURRENCY), (stray, 1)])
            .collect()
    }

    /// Leases one due row of a lane, performs its operation, and tells the registrar the outcome.
    ///
    /// # Errors
    ///
    /// If the database fails. Whatever a CA or the zone does is an outcome and no error.
    pub async fn run_once(&self, lane: &Lane, now: Timestamp) -> Result<Pass, WorkError> {
        self.settle(now).await?;
        // A look through a read connection first: most passes find nothing, and need not trouble the writer.
        match self.store.next_in_lane(lane).await? {
            Some(next) if next <= now => {}
            next => return Ok(Pass::Idle { next }),
        }
        let Some((row, deferral)) = self.lease(lane, now).await? else {
            return Ok(Pass::Idle { next: None });
        };
        crash_point(CrashPoint::Lease);
        let answer = match (&row.answer, deferral) {
            (Some(answer), _) => answer.clone(),
            (None, Some(deferral)) => Answer::Ca(CaAnswer::Deferred(deferral)),
            (None, None) => {
                crash_point(CrashPoint::BeforeOperation);
                let performed = self.perform(&row, now).await;
                let answer = match performed {
                    Ok(answer) => answer,
                    Err(error) => {
                        self.hold(Unsettled {
                            lease: row.lease,
                            answer: None,
                            trapped: false,
                        });
                        return Err(error);
                    }
                };
                crash_point(CrashPoint::AfterOperation);
                answer
            }
        };
        self.tell(row, answer, now).await
    }

    /// Leases a row and, if it is an order, asks the quota ledger, in one transaction.
    async fn lease(
        &self,
        lane: &Lane,
        now: Timestamp,
    ) -> Result<Option<(OutboxRow, Option<Deferral>)>, WorkError> {
        let mut bits = [0; 8];
        self.entropy.fill(&mut bits)?;
        let token = LeaseToken::from_random(u64::from_le_bytes(bits));
        let until = now.plus_millis(self.options.lease_ms);
        let limits = match lane {
            Lane::Ca(name) => self
                .cas
                .get(name)
                .map_or_else(Vec::new, |ca| ca.quota.clone()),
            Lane::Zone | Lane::Stray(_) => Vec::new(),
        };
        let lane = lane.clone();
        let leased = self
            .committer
            .run(move |mut tx| {
                let (lane, limits) = (lane.clone(), limits.clone());
                Box::pin(async move {
                    let Some(row) = tx.lease(&lane, now, until, token, 1).await?.pop() else {
                        return Ok(None);
                    };
                    let deferral = charge(&mut tx, &row, &limits, now).await?;
                    Ok(Some((row, deferral)))
                })
            })
            .await?;
        Ok(leased)
    }

    async fn perform(&self, row: &OutboxRow, now: Timestamp) -> Result<Answer, WorkError> {
        let operation = operation_name(&row.operation);
        let answer = match &row.operation {
            Operation::Ca(wanted) => self.perform_at_ca(wanted, row.attempts).await,
            Operation::Dns(wanted) => Answer::Dns(self.perform_on_zone(wanted, now).await?),
        };
        let outcome = outcome_name(&answer);
        metrics::counter!("otscert_hq_operations_total", "operation" => operation, "outcome" => outcome)
            .increment(1);
        tracing::debug!(exchange = %row.exchange, operation, outcome, attempts = row.attempts, "performed");
        Ok(answer)
    }

    async fn perform_at_ca(&self, wanted: &CaOperation, attempts: u32) -> Answer {
        let Some(ca) = self.cas.get(wanted.ca()) else {
            return Answer::Failed(Failure {
                kind: FailureKind::Misconfigured,
                detail: format!(
                    "HQ's config has no CA {:?}: put it back, or let the device order anew",
                    wanted.ca()
                ),
                retry_after_ms: None,
            });
        };
        // An earlier lease may have got as far as the CA. A CSR is sent again only after the order's state is known to
        // be `ready`, and that is for the component to see: the answer is the order either way.
        let instead = match wanted {
            CaOperation::Finalize(finalize) if attempts > 1 => {
                Some(CaOperation::OrderStatus(finalize.order.clone()))
            }
            CaOperation::NewOrder(_)
            | CaOperation::Authorizations(_)
            | CaOperation::ChallengeReady(_)
            | CaOperation::OrderStatus(_)
            | CaOperation::Finalize(_)
            | CaOperation::FetchChain(_)
            | CaOperation::RenewalInfo(_)
            | CaOperation::Revoke(_) => None,
        };
        match ca
            .authority
            .perform(instead.as_ref().unwrap_or(wanted))
            .await
        {
            Ok(answer) => Answer::Ca(answer),
            Err(error) => {
                tracing::warn!(
                    ca = wanted.ca(),
                    operation = wanted.name(),
                    error = chain(&error),
                    "no answer"
                );
                Answer::Failed(Failure {
                    kind: match error.kind() {
                        CaFailureKind::Unreachable => FailureKind::Unreachable,
                        CaFailureKind::TimedOut => FailureKind::TimedOut,
                        CaFailureKind::UntrustedPeer => FailureKind::UntrustedPeer,
                        CaFailureKind::TooLarge => FailureKind::TooLarge,
                        CaFailureKind::NotUnderstood => FailureKind::NotUnderstood,
                        CaFailureKind::Misconfigured => FailureKind::Misconfigured,
                    },
                    detail: chain(&error),
                    retry_after_ms: error
                        .retry_after()
                        .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
                })
            }
        }
    }

    /// The zone in memory first: it may refuse. Then the row from which it is rebuilt. Killed in between, HQ finds the
    /// exchange in the outbox again.
    async fn perform_on_zone(
        &self,
        wanted: &DnsOperation,
        now: Timestamp,
    ) -> Result<DnsAnswer, WorkError> {
        let done = match wanted {
            DnsOperation::Publish(record) => match self.zone.publish(record) {
                Ok(()) => {
                    let record = record.clone();
                    self.committer
                        .run(move |mut tx| {
                            let record = record.clone();
                            Box::pin(async move { tx.publish(&record).await })
                        })
                        .await?;
                    Ok(DnsAnswer::Done)
                }
                Err(error) => Err(error),
            },
            DnsOperation::Withdraw(record) => match self.zone.withdraw(record) {
                Ok(()) => {
                    let record = record.clone();
                    self.committer
                        .run(move |mut tx| {
                            let record = record.clone();
                            Box::pin(async move { tx.withdraw(&record).await })
                        })
                        .await?;
                    Ok(DnsAnswer::Done)
                }
                Err(error) => Err(error),
            },
            DnsOperation::Visible(DnsRecord::Txt {
                owner,
                value,
                expires: _,
            }) => self
                .zone
                .is_visible(owner, value, now)
                .await
                .map(DnsAnswer::Visible),
            // Only this server has them: there is no transfer to others.
            DnsOperation::Visible(record @ (DnsRecord::Label(_) | DnsRecord::Addresses { .. })) => {
                Ok(DnsAnswer::Visible(self.store.is_published(record).await?))
            }
        };
        Ok(done.unwrap_or_else(|error: ZoneError| DnsAnswer::Refused(chain(&error))))
    }

    /// Tells the registrar; the commit of its decision deletes the row.
    async fn tell(
        &self,
        row: OutboxRow,
        answer: Answer,
        now: Timestamp,
    ) -> Result<Pass, WorkError> {
        let input = Input::Answered {
            exchange: row.exchange.clone(),
            answer: answer.clone(),
        };
        let trapped = match self.registrar.decide(input, Some(row.lease)).await {
            Ok(_) => return Ok(Pass::Told),
            Err(CallError::LeaseLost) => return Ok(Pass::LeaseLost),
            Err(CallError::Stopped) => return Ok(Pass::Stopped),
            Err(CallError::Busy { .. } | CallError::Store(_)) => false,
            Err(CallError::Guest(error)) => {
                tracing::error!(exchange = %row.exchange, error = chain(&error), "the component failed at an answer");
                true
            }
        };
        if trapped && row.traps + 1 >= self.options.max_traps {
            return self.park(row, now).await;
        }
        let kept = Unsettled {
            lease: row.lease,
            answer: Some(answer),
            trapped,
        };
        match self.give_back(kept.clone(), now).await {
            Ok(true) => Ok(Pass::Kept),
            Ok(false) => Ok(Pass::LeaseLost),
            Err(error) => {
                self.hold(kept);
                Err(error.into())
            }
        }
    }

    /// Gives a row back: with its outcome, to be told again after a while; without, to be performed again.
    async fn give_back(&self, unsettled: Unsettled, now: Timestamp) -> Result<bool, StoreError> {
        let later = now.plus_millis(self.options.tell_again_ms);
        self.committer
            .run(move |mut tx| {
                let Unsettled {
                    lease,
                    answer,
                    trapped,
                } = unsettled.clone();
                Box::pin(async move {
                    match answer {
                        Some(answer) => tx.keep_answer(lease, &answer, trapped, later).await,
                        None => tx.release(lease, now).await,
                    }
                })
            })
            .await
    }

    /// Stores what an earlier pass could not.
    async fn settle(&self, now: Timestamp) -> Result<(), StoreError> {
        // Bounded: nothing is added while the database fails, since every pass ends here then.
        loop {
            let Some(unsettled) = self.unsettled().pop() else {
                return Ok(());
            };
            if let Err(error) = self.give_back(unsettled.clone(), now).await {
                self.hold(unsettled);
                return Err(error);
            }
        }
    }

    fn hold(&self, unsettled: Unsettled) {
        self.unsettled().push(unsettled);
    }

    fn unsettled(&self) -> MutexGuard<'_, Vec<Unsettled>> {
        self.unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn park(&self, row: OutboxRow, now: Timestamp) -> Result<Pass, WorkError> {
        let note = Note {
            subject: row.exchange.subject.clone(),
            kind: "alarm-outbox-parked".to_owned(),
            text: format!(
                "the component failed {} times at the outcome of exchange {} ({}): replace the component, then \
                 unpark it",
                row.traps + 1,
                row.exchange.number,
                operation_name(&row.operation),
            ),
        };
        tracing::error!(exchange = %row.exchange, operation = operation_name(&row.operation), "parked");
        let parked = self
            .committer
            .run(move |mut tx| {
                let note = note.clone();
                Box::pin(async move {
                    if !tx.park(row.lease).await? {
                        return Ok(false);
                    }
                    tx.note(&[note], now).await?;
                    Ok(true)
                })
            })
            .await?;
        Ok(if parked {
            Pass::Parked
        } else {
            Pass::LeaseLost
        })
    }
}

impl fmt::Debug for OutboxWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxWorker")
            .field("lanes", &self.lanes())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca")
            .field("name", &self.authority.name())
            .field("concurrency", &self.concurrency)
            .field("quota", &self.quota)
            .finish()
    }
}

/// For logs and metrics.
fn outcome_name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Ca(CaAnswer::Problem(_)) => "problem",
        Answer::Ca(CaAnswer::Deferred(_)) => "deferred",
        Answer::Dns(DnsAnswer::Refused(_)) => "refused",
        Answer::Dns(DnsAnswer::Visible(false)) => "not-visible",
        Answer::Failed(_) => "failed",
        Answer::Ca(
            CaAnswer::Order(_)
            | CaAnswer::Authorizations(_)
            | CaAnswer::Accepted
            | CaAnswer::Chain(_)
            | CaAnswer::RenewalWindow(_)
            | CaAnswer::Revoked,
        )
        | Answer::Dns(DnsAnswer::Done | DnsAnswer::Visible(true)) => "done",
    }
}

/// Zone operations are quick; several at once share a commit.
const ZONE_CONCURRENCY: usize = 16;

#[cfg(test)]
mod tests;
