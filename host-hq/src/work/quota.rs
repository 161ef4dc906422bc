//! The quota ledger: whether an order may go out to a CA that limits.
//!
//! Pure: rows in, verdict out. The rows are read and written in the transaction that leases a `new-order`
//! (`work/outbox.rs`), so two workers never spend the same slot. A lease that is repeated after a crash is charged
//! again: the first may have reached the CA, and a ledger that errs must err on the side of waiting.
//!
//! docs/ACME.md, "three prices", says where the limits come from.

use otscert_hq_ca::operation::{NewOrder, OrderPrice};

use crate::types::Timestamp;

/// One limit of a CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaLimit {
    /// Orders of these prices count, and are held back.
    pub prices: Vec<OrderPrice>,
    /// What the limit counts over.
    pub scope: QuotaScope,
    /// Only orders of devices that proved nothing count, and are held back.
    pub unproved_only: bool,
    /// So many orders.
    pub max: u32,
    /// In any window of so many milliseconds.
    pub window_ms: u64,
}

/// What a limit counts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaScope {
    /// All orders of the account. HQ's names share one registered domain, so a limit for one counts the same.
    Account,
    /// Orders for the same set of names.
    NameSet,
}

/// What the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The order may go out.
    Granted,
    /// Not before then.
    NotBefore {
        /// The soonest moment.
        at: Timestamp,
        /// For people: which limit.
        reason: String,
    },
}

impl QuotaLimit {
    /// Let's Encrypt's limits of 2026, renewals inside the suggested window being exempt from all of them.
    #[must_use]
    pub fn lets_encrypt() -> Vec<Self> {
        let limited = vec![OrderPrice::Renewal, OrderPrice::First];
        let mut limits = Self::first_orders(50, WEEK_HOURS);
        limits.extend([
            Self {
                prices: limited.clone(),
                scope: QuotaScope::NameSet,
                unproved_only: false,
                max: 5,
                window_ms: WEEK_MS,
            },
            Self {
                prices: limited,
                scope: QuotaScope::Account,
                unproved_only: false,
                max: 300,
                window_ms: 3 * HOUR_MS,
            },
        ]);
        limits
    }

    /// So many names are certified for the first time in so many hours; those who prove nothing have their share of it.
    #[must_use]
    pub fn first_orders(max: u32, hours: u32) -> Vec<Self> {
        let first = Self {
            prices: vec![OrderPrice::First],
            scope: QuotaScope::Account,
            unproved_only: false,
            max,
            window_ms: u64::from(hours) * HOUR_MS,
        };
        vec![first.for_unproved(), first]
    }

    /// Whether it counts first orders and no others.
    #[must_use]
    pub fn is_of_first_orders(&self) -> bool {
        self.prices == [OrderPrice::First]
    }

    /// The share of a limit that all devices have together that proved nothing: a fifth. Whoever floods HQ with
    /// strangers takes no more.
    #[must_use]
    pub fn for_unproved(&self) -> Self {
        Self {
            unproved_only: true,
            max: (self.max / UNPROVED_PART).max(1),
            ..self.clone()
        }
    }

    /// Whether the limit is for orders of this price.
    #[must_use]
    pub fn applies_to(&self, price: OrderPrice, proved: bool) -> bool {
        self.prices.contains(&price) && !(self.unproved_only && proved)
    }

    /// Decides by the times at which the last [`QuotaLimit::max`] orders went out, the newest first, and how many
    /// others wait in front.
    ///
    /// Each of those who wait is told a turn of its own: the moment at which a slot comes free that nobody in front
    /// will have taken.
    #[must_use]
    pub fn decide(
        &self,
        ca: &str,
        newest_first: &[Timestamp],
        ahead: u32,
        now: Timestamp,
    ) -> Verdict {
        let max = usize::try_from(self.max.max(1)).unwrap_or(usize::MAX);
        let window_begin = now.minus_millis(self.window_ms);
        let mut counted: Vec<_> = newest_first
            .iter()
            .copied()
            .filter(|at| *at > window_begin)
            .take(max)
            .collect();
        if counted.len() < max {
            return Verdict::Granted;
        }
        counted.reverse();
        // Slots come free in the order in which they were taken; whoever takes one holds it for another window.
        let ahead = usize::try_from(ahead).unwrap_or(usize::MAX);
        let (rounds, slot) = (ahead / max, ahead % max);
        let rounds = u64::try_from(rounds).unwrap_or(u64::MAX);
        let at = counted[slot].plus_millis(self.window_ms.saturating_mul(rounds.saturating_add(1)));
        let what = match self.scope {
            QuotaScope::Account => "orders",
            QuotaScope::NameSet => "orders for the same names",
        };
        let whose = match self.unproved_only {
            true => " of boxes that prove nothing",
            false => "",
        };
        Verdict::NotBefore {
            at,
            reason: format!(
                "CA {ca} takes {} {what}{whose} in {}: {ahead} wait in front",
                self.max,
                duration(self.window_ms)
            ),
        }
    }
}

/// An order's names as the ledger compares them: sorted, in lower case, separated by spaces.
#[must_use]
pub fn name_set(order: &NewOrder) -> String {
    let mut names: Vec<_> = order
        .names
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(" ")
}

fn duration(ms: u64) -> String {
    match ms {
        WEEK_MS => "a week".to_owned(),
        ms if ms.is_multiple_of(HOUR_MS) => format!("{} h", ms / HOUR_MS),
        ms => format!("{} s", ms / 1000),
    }
}

/// Those who prove nothing share one part in so many.
const UNPROVED_PART: u32 = 5;
const HOUR_MS: u64 = 60 * 60 * 1000;
const WEEK_HOURS: u32 = 7 * 24;
const WEEK_MS: u64 = 7 * 24 * HOUR_MS;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn limit(max: u32) -> QuotaLimit {
        QuotaLimit {
            prices: vec![OrderPrice::First],
            scope: QuotaScope::Account,
            unproved_only: false,
            max,
            window_ms: 1_000,
        }
    }

    fn turn(verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Granted => panic!("granted"),
            Verdict::NotBefore { at, .. } => at.as_millis(),
        }
    }

    #[test]
    fn an_order_goes_out_while_the_window_has_room() {
        let limit = limit(2);
        assert_eq!(limit.decide("le", &[], 0, at(5_000)), Verdict::Granted);
        assert_eq!(
            limit.decide("le", &[at(4_900)], 7, at(5_000)),
            Verdict::Granted
        );
        assert_eq!(
            limit.decide("le", &[at(4_900), at(4_000)], 0, at(5_000)),
            Verdict::Granted,
            "the older one left the window just now"
        );
    }

    #[test]
    fn each_of_those_who_wait_gets_a_turn_of_its_own() {
        let limit = limit(2);
        let taken = [at(4_900), at(4_500)];
        let turns: Vec<_> = (0..5)
            .map(|ahead| turn(limit.decide("le", &taken, ahead, at(5_000))))
            .collect();
        assert_eq!(turns, [5_500, 5_900, 6_500, 6_900, 7_500]);
    }

    #[test]
    fn the_reason_names_the_ca_and_the_limit() {
        let limits = QuotaLimit::lets_encrypt();
        let taken = vec![at(1_000); 50];
        let Verdict::NotBefore { reason, .. } = limits[1].decide("le", &taken, 3, at(2_000)) else {
            panic!("the window is full")
        };
        assert_eq!(reason, "CA le takes 50 orders in a week: 3 wait in front");
    }

    #[test]
    fn those_who_prove_nothing_share_a_fifth() {
        let limits = QuotaLimit::lets_encrypt();
        let of = |proved| {
            let mut of = limits.iter();
            of.find(|it| it.applies_to(OrderPrice::First, proved))
        };
        assert_eq!(of(false).map(|it| it.max), Some(10));
        assert_eq!(of(true).map(|it| it.max), Some(50));
        let taken = vec![at(1_000); 10];
        let Verdict::NotBefore { reason, .. } = limits[0].decide("le", &taken, 3, at(2_000)) else {
            panic!("their share is used up")
        };
        assert_eq!(
            reason,
            "CA le takes 10 orders of boxes that prove nothing in a week: 3 wait in front"
        );
    }

    #[test]
    fn renewals_in_their_window_meet_no_limit_of_lets_encrypt() {
        assert!(
            QuotaLimit::lets_encrypt()
                .iter()
                .all(|limit| !limit.applies_to(OrderPrice::Ari, false))
        );
    }

    #[test]
    fn name_sets_compare_without_order_and_case() {
        let order = |names: &[&str]| NewOrder {
            ca: "le".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            profile: None,
            replaces: None,
            price: OrderPrice::First,
            proved: false,
        };
        assert_eq!(
            name_set(&order(&["b.test", "*.A.test"])),
            name_set(&order(&["*.a.test", "B.test"]))
        );
    }
}
