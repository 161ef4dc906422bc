//! Which network a message comes from, and how many may come from one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// A source network: /24 for IPv4, /48 for IPv6, which is what one customer gets at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourcePrefix(IpAddr);

impl SourcePrefix {
    /// The network of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
        })
    }
}

impl fmt::Display for SourcePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = if self.0.is_ipv4() { 24 } else { 48 };
        write!(f, "{}/{length}", self.0)
    }
}

/// A token bucket for each source network, asked before the component runs.
pub struct SourceLimiter {
    buckets: DefaultKeyedRateLimiter<SourcePrefix>,
    clock: DefaultClock,
}

impl SourceLimiter {
    /// Buckets of this size. Both numbers are at least one.
    #[must_use]
    pub fn new(per_minute: u32, burst: u32) -> Self {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_minute(at_least_one(per_minute)).allow_burst(at_least_one(burst));
        Self {
            buckets: RateLimiter::dashmap(quota),
            clock: DefaultClock::default(),
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// In how many seconds there is one again.
    pub fn take(&self, source: SourcePrefix) -> Result<(), u32> {
        self.buckets.check_key(&source).map_err(|not_until| {
            let wait = not_until
                .wait_time_from(self.clock.now())
                .as_secs()
                .saturating_add(1);
            u32::try_from(wait).unwrap_or(u32::MAX)
        })
    }

    /// Forgets full buckets, which are as good as none. Called now and then, it bounds the memory by the number of
    /// networks that were heard of since a bucket takes to fill.
    pub fn forget_idle(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
    }
}

impl fmt::Debug for SourceLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceLimiter")
            .field("networks", &self.buckets.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_prefix_and_mapped_addresses_are_ipv4() {
        for (address, expected) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.0/24"),
            ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
            ("::1", "::/48"),
        ] {
            assert_eq!(
                SourcePrefix::of(address.parse().unwrap()).to_string(),
                expected
            );
        }
    }

    #[test]
    fn one_network_uses_up_its_own_bucket_only() {
        let limiter = SourceLimiter::new(1, 2);
        let (one, other) = (
            "192.0.2.1".parse().unwrap(),
            "198.51.100.1".parse().unwrap(),
        );
        assert_eq!(limiter.take(SourcePrefix::of(one)), Ok(()));
        assert_eq!(limiter.take(SourcePrefix::of(one)), Ok(()));
        let wait = limiter.take(SourcePrefix::of(one)).unwrap_err();
        assert!((1..=61).contains(&wait), "{wait}");
        assert_eq!(limiter.take(SourcePrefix::of(other)), Ok(()));
    }
}
