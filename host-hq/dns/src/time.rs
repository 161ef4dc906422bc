//! Time as this crate needs it: whole seconds, given by the host's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, in seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(u64);

impl UnixSeconds {
    /// Makes a moment from its count of seconds.
    pub const fn new(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Returns the count of seconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the moment `later` after this one, in whole seconds; it stops at the end of time.
    pub const fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later.as_secs()))
    }

    /// Returns how many seconds lie between `earlier` and this moment, 0 if it is not earlier.
    pub(crate) const fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A clock before 1970 reads as 1970.
impl From<SystemTime> for UnixSeconds {
    fn from(time: SystemTime) -> Self {
        Self(
            time.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }
}

/// Tells the server what time it is; the host gives its own clock, tests a clock that stands still.
pub trait Clock: Send + Sync + 'static {
    /// Returns the present moment.
    fn now(&self) -> UnixSeconds;
}

impl<F: Fn() -> UnixSeconds + Send + Sync + 'static> Clock for F {
    fn now(&self) -> UnixSeconds {
        self()
    }
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that others take it from"
    )]
    fn now(&self) -> UnixSeconds {
        SystemTime::now().into()
    }
}
