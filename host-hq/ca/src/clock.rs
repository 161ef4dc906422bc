//! Time, as an argument.

use time::OffsetDateTime;

/// Where the private CA reads the time from, so that a simulation can own it.
pub trait Clock: Send + Sync {
    /// The time.
    fn now(&self) -> OffsetDateTime;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others take"
    )]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// Milliseconds since 1970; 0 before that.
pub(crate) fn unix_ms(moment: OffsetDateTime) -> u64 {
    u64::try_from(moment.unix_timestamp_nanos() / NANOS_PER_MS).unwrap_or(0)
}

const NANOS_PER_MS: i128 = 1_000_000;
