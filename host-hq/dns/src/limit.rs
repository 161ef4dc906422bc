//! How often a network may ask over UDP before it is sent to TCP.
//!
//! A UDP source may be forged, and a server that answers it floods the victim. So a network over its
//! rate gets an answer that is no larger than its question and says "ask by TCP" (TC=1); a real
//! resolver does, a victim's does not. Nothing is dropped: CAs look from several places and a lost
//! look is a failed order.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// How often one network, a /24 or a /56, may ask over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Queries a second, in the long run.
    pub per_second: NonZeroU32,
    /// Queries at once.
    pub burst: NonZeroU32,
}

impl Default for RateLimit {
    /// 200 queries a second, 1,000 at once: more than a CA or a large public resolver needs here, where
    /// an answer may be kept for a day.
    fn default() -> Self {
        const PER_SECOND: NonZeroU32 = NonZeroU32::new(200).expect("it is not zero");
        const BURST: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");
        Self {
            per_second: PER_SECOND,
            burst: BURST,
        }
    }
}

/// Counts the queries of each network.
///
/// The number of keys is bounded by what a key is: one of 65,536 cells, into which networks are
/// hashed with a secret made at start. Two networks may share a cell, and then a rate; nobody can
/// choose whose.
#[derive(Debug)]
pub(crate) struct Limiter {
    cells: DefaultKeyedRateLimiter<u16>,
    secret: RandomState,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        let quota = Quota::per_second(limit.per_second).allow_burst(limit.burst);
        Self {
            cells: RateLimiter::keyed(quota),
            secret: RandomState::new(),
        }
    }

    /// Counts one query from `source` and tells whether its network is over its rate.
    pub(crate) fn is_over(&self, source: IpAddr) -> bool {
        // The low 16 bits choose the cell.
        let cell = (self.secret.hash_one(network(source)) & 0xffff) as u16;
        self.cells.check_key(&cell).is_err()
    }
}

/// Returns the network that shares a limit with `source`: its /24, its /56.
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            [a, b, c, 0].into()
        }
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 72 << 72).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_over_its_rate_and_others_are_not() {
        let one = NonZeroU32::new(1).unwrap();
        let limiter = Limiter::new(RateLimit {
            per_second: one,
            burst: NonZeroU32::new(3).unwrap(),
        });
        let source: IpAddr = "203.0.113.7".parse().unwrap();
        let over: Vec<bool> = (0..5).map(|_| limiter.is_over(source)).collect();
        assert_eq!(over, [false, false, false, true, true]);
        assert!(
            limiter.is_over("203.0.113.200".parse().unwrap()),
            "the same /24"
        );
        let others = (0..100)
            .filter(|n| limiter.is_over(IpAddr::from([198, 51, *n, 1])))
            .count();
        assert!(others <= 1, "cells are shared by chance only: {others}");
    }

    #[test]
    fn networks_are_cut_at_24_and_56_bits() {
        for (source, expected) in [
            ("203.0.113.7", "203.0.113.0"),
            ("::ffff:203.0.113.7", "203.0.113.0"),
            ("2001:db8:1:22ff::9", "2001:db8:1:2200::"),
        ] {
            assert_eq!(
                network(source.parse().unwrap()),
                expected.parse::<IpAddr>().unwrap()
            );
        }
    }
}
