//! Asks the quota ledger when an order is leased, and charges it.

use otscert_hq_ca::operation::Deferral;

use crate::store::{Charge, OutboxRow, QuotaQuestion, StoreError, Tx};
use crate::types::{CaOperation, Operation, Timestamp};

use super::quota::{QuotaLimit, QuotaScope, Verdict, name_set};

/// Asks the ledger about an order that has not gone out yet, and charges it if it may.
pub(super) async fn charge(
    tx: &mut Tx<'_>,
    row: &OutboxRow,
    limits: &[QuotaLimit],
    now: Timestamp,
) -> Result<Option<Deferral>, StoreError> {
    let (Operation::Ca(CaOperation::NewOrder(order)), None) = (&row.operation, &row.answer) else {
        return Ok(None);
    };
    let subject = &row.exchange.subject;
    let charge = Charge {
        ca: order.ca.clone(),
        price: order.price,
        proved: order.proved,
        name_set: name_set(order),
    };
    let mut latest: Option<Deferral> = None;
    let mine = |limit: &&QuotaLimit| limit.applies_to(order.price, order.proved);
    for limit in limits.iter().filter(mine) {
        let question = QuotaQuestion {
            ca: &order.ca,
            prices: &limit.prices,
            name_set: match limit.scope {
                QuotaScope::Account => None,
                QuotaScope::NameSet => Some(&charge.name_set),
            },
            unproved_only: limit.unproved_only,
            // Nobody who proved something stands behind those who did not.
            ahead_of_proved: order.proved,
            since: now.minus_millis(limit.window_ms),
            limit: limit.max,
        };
        let taken = tx.charges(&question).await?;
        let ahead = match limit.scope {
            QuotaScope::Account => tx.deferred_ahead(&question, subject, now).await?,
            // Whoever else wants these names is the same subject.
            QuotaScope::NameSet => 0,
        };
        if let Verdict::NotBefore { at, reason } = limit.decide(&order.ca, &taken, ahead, now)
            && latest
                .as_ref()
                .is_none_or(|latest| latest.not_before_ms < at.as_millis())
        {
            latest = Some(Deferral {
                not_before_ms: at.as_millis(),
                reason,
            });
        }
    }
    match &latest {
        None => tx.charge(subject, &charge, now).await?,
        Some(deferral) => {
            tx.defer(
                subject,
                &charge,
                Timestamp::from_millis(deferral.not_before_ms),
            )
            .await?;
        }
    }
    Ok(latest)
}
