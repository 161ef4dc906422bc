//! Waiting with a limit, and saying what was seen when it ran out.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::bail;

/// What one look found.
#[derive(Debug)]
pub enum Tried<T> {
    /// What was waited for.
    Done(T),
    /// Not yet: what stands there instead.
    Not(String),
}

impl<T> Tried<T> {
    /// `value` if it is there, else what stands there instead.
    pub fn of(value: Option<T>, instead: impl Debug) -> Self {
        value.map_or_else(|| Self::Not(format!("{instead:?}")), Self::Done)
    }

    /// Done once `condition` holds.
    pub fn when(condition: bool, value: T, instead: impl Debug) -> Self {
        if condition {
            Self::Done(value)
        } else {
            Self::Not(format!("{instead:?}"))
        }
    }
}

/// Looks again and again until `look` is done, at most `limit` long.
///
/// # Errors
///
/// If it is not done by then: with what it last found. An error of `look` ends it at once.
pub async fn eventually<T, F>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Tried<T>>>,
{
    let start = Instant::now();
    loop {
        let instead = match look().await? {
            Tried::Done(value) => return Ok(value),
            Tried::Not(instead) => instead,
        };
        if start.elapsed() > limit {
            bail!("not within {limit:?}: {what}; instead: {instead}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Milliseconds since 1970, by this machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "real processes and a real CA use the real time"
)]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

const PAUSE: Duration = Duration::from_millis(20);
