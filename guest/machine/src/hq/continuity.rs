//! Repeats, replays, lost state and clones: told apart by a counter and by remembered digests.
//!
//! A device has one request outstanding and sends its very bytes again until it is answered. So of
//! a request that carries a token made here for the device, HQ asks in this order:
//!
//! 1. Are these the bytes answered last? Then the stored answer goes out again: the first was lost.
//! 2. Were these bytes answered, or refused, before? Then somebody replays a capture.
//! 3. Is the counter the current one? Then it is the device's next request.
//! 4. Is it higher? Then HQ gave a token that it has no record of: it was restored from a backup.
//! 5. Is it lower, and from the time that HQ remembers? Then two boxes took their next step from
//!    the same token: a clone, the only thing that HQ alarms about.
//! 6. Is it lower, and older than HQ remembers? Then it cannot be told from a replay, and is
//!    treated as one. A copy of flash that is more than [`REMEMBERED`] requests behind is refused
//!    just the same, only without an alarm.
//!
//! Refusals do not advance the counter: a problem document carries no token. But the refused
//! request is remembered, else its replay, after the counter has moved on, would look like a clone.
//!
//! A box without a token that HQ takes (its flash was restored from an old copy, or HQ lost the key
//! that tokens are made with) enrols again, with its identity key and a nonce that HQ gave after the
//! last enrolment ([`Continuity::begin_again`]). The token that was current is a used one from then
//! on: if another box holds it, this is a clone, and case 5 finds it.
//!
//! (One limit remains: of more than [`REMEMBERED`] requests refused on one and the same token the
//! oldest is forgotten, and would be decided about again if it were replayed before the next
//! request that is taken.)

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::types::Digest;

/// Which requests of a device were answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuity {
    /// The counter in the token that the device was given last.
    counter: u64,
    /// The request whose answer is stored.
    last: Seen,
    /// Requests before it, oldest first.
    recent: Vec<Seen>,
    /// Below this counter requests may have been forgotten.
    floor: u64,
    /// The last enrolment.
    begun: Timestamp,
}

/// A request that was answered or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    digest: Digest,
    counter: u64,
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The one answered last.
    Repeat,
    /// One answered before, or too old to tell.
    Stale,
    /// The next one.
    Next,
    /// The next one; HQ has lost what came before it.
    Ahead,
    /// A new request on a token that was used by another.
    Behind,
}

impl Continuity {
    /// Begins with the enrolment. The first counter is the time: if HQ forgets the device and
    /// takes it back later, the counters begin above all that were given before, so that a request
    /// captured then does not pass for a new one.
    #[must_use]
    pub fn begin(enrolment: Digest, now: Timestamp) -> Self {
        let counter = now.millis().max(1);
        Self {
            counter,
            last: Seen {
                digest: enrolment,
                counter: counter - 1,
            },
            recent: Vec::new(),
            floor: counter,
            begun: now,
        }
    }

    /// The device has enrolled again. Whoever holds the token that was current until then is
    /// another box.
    pub fn begin_again(&mut self, enrolment: Digest, now: Timestamp) {
        self.replace_last(enrolment);
        self.counter = now.millis().max(self.counter.saturating_add(1));
        self.begun = now;
    }

    /// The last enrolment: a nonce given before it may be the one of a captured request.
    #[must_use]
    pub const fn begun(&self) -> Timestamp {
        self.begun
    }

    /// The counter for the next token.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// Whether these bytes were answered last.
    #[must_use]
    pub fn is_last(&self, digest: &Digest) -> bool {
        self.last.digest == *digest
    }

    /// Whether these bytes were answered or refused, as far as HQ remembers.
    #[must_use]
    pub fn remembers(&self, digest: &Digest) -> bool {
        self.is_last(digest) || self.recent.iter().any(|seen| seen.digest == *digest)
    }

    /// What a request is.
    #[must_use]
    pub fn judge(&self, counter: u64, digest: &Digest) -> Judgement {
        if self.is_last(digest) {
            return Judgement::Repeat;
        }
        if self.recent.iter().any(|seen| seen.digest == *digest) {
            return Judgement::Stale;
        }
        if counter == self.counter {
            return Judgement::Next;
        }
        if counter > self.counter {
            return Judgement::Ahead;
        }
        match counter < self.floor {
            true => Judgement::Stale,
            false => Judgement::Behind,
        }
    }

    /// HQ has lost state: goes on where the device is. What happened in between is unknown, so
    /// none of it counts as evidence.
    pub fn adopt(&mut self, counter: u64) {
        self.counter = counter;
        self.floor = counter;
    }

    /// The request was taken: its answer will be stored, the next token has the next counter.
    pub fn answered(&mut self, digest: Digest) {
        self.replace_last(digest);
        self.counter = self.counter.saturating_add(1);
    }

    /// The request was refused by a rule: the refusal will be stored, the token stays.
    pub fn refused(&mut self, digest: Digest) {
        self.replace_last(digest);
    }

    /// The request was evidence of a clone: remembered, so that its repeat is not another.
    pub fn remember(&mut self, digest: Digest, counter: u64) {
        self.push(Seen { digest, counter });
    }

    fn replace_last(&mut self, digest: Digest) {
        let seen = Seen {
            digest,
            counter: self.counter,
        };
        let before = core::mem::replace(&mut self.last, seen);
        self.push(before);
    }

    fn push(&mut self, seen: Seen) {
        if self.recent.len() >= REMEMBERED {
            let forgotten = self.recent.remove(0);
            self.floor = self.floor.max(forgotten.counter.saturating_add(1));
        }
        self.recent.push(seen);
    }
}

/// Requests of a device that HQ remembers, besides the last.
pub const REMEMBERED: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(n: u16) -> Digest {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        Digest::new(bytes)
    }

    #[test]
    fn each_case_of_the_story() {
        let mut it = Continuity::begin(digest(0), Timestamp::from_millis(100));
        assert_eq!(it.judge(99, &digest(0)), Judgement::Repeat);
        assert_eq!(it.judge(100, &digest(1)), Judgement::Next);
        it.answered(digest(1));
        assert_eq!(it.judge(100, &digest(1)), Judgement::Repeat);
        assert_eq!(it.judge(99, &digest(0)), Judgement::Stale);
        assert_eq!(it.judge(100, &digest(2)), Judgement::Behind);
        it.remember(digest(2), 100);
        assert_eq!(it.judge(100, &digest(2)), Judgement::Stale);
        assert_eq!(
            it.judge(99, &digest(3)),
            Judgement::Stale,
            "from before the enrolment"
        );
        assert_eq!(it.judge(140, &digest(4)), Judgement::Ahead);
        it.adopt(140);
        it.answered(digest(4));
        assert_eq!(
            it.judge(120, &digest(5)),
            Judgement::Stale,
            "HQ lost what happened then"
        );
        assert_eq!(it.judge(140, &digest(6)), Judgement::Behind);
    }

    #[test]
    fn a_copy_is_found_as_far_back_as_hq_remembers_and_no_further() {
        let mut it = Continuity::begin(digest(0), Timestamp::from_millis(100));
        let first = it.counter();
        for n in 1..=REMEMBERED as u16 + 1 {
            it.answered(digest(n));
            assert_eq!(it.judge(first, &digest(999)), Judgement::Behind, "{n}");
        }
        it.answered(digest(998));
        assert_eq!(it.judge(first, &digest(999)), Judgement::Stale);
        assert_eq!(it.judge(first + 1, &digest(999)), Judgement::Behind);
    }

    proptest! {
        /// Whatever was answered or refused, in whatever order: a replay of it, at any later time,
        /// is neither processed nor an alarm.
        #[test]
        fn no_replay_is_news(refusals in prop::collection::vec(0u8..4, 1..300)) {
            let mut it = Continuity::begin(digest(0), Timestamp::from_millis(7));
            let mut sent = std::vec![(6, digest(0))];
            for refused in refusals {
                for _ in 0..refused {
                    let next = digest(sent.len() as u16);
                    prop_assert_eq!(it.judge(it.counter(), &next), Judgement::Next);
                    sent.push((it.counter(), next));
                    it.refused(next);
                }
                let next = digest(sent.len() as u16);
                prop_assert_eq!(it.judge(it.counter(), &next), Judgement::Next);
                sent.push((it.counter(), next));
                it.answered(next);
                for (counter, digest) in &sent {
                    let judged = it.judge(*counter, digest);
                    prop_assert!(matches!(judged, Judgement::Repeat | Judgement::Stale));
                }
            }
        }
    }
}
