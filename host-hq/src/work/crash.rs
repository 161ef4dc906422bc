//! Places at which a test can kill the process, to see that it comes back.
//!
//! Only in builds with debug assertions, which are never shipped, or with the feature `danger-crash-points`; otherwise
//! nothing of this is in the binary. tests/tests/end_to_end/crash.rs kills HQ at each of them.

/// A step of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// A row has been leased, durably.
    Lease,
    /// Just before the operation.
    BeforeOperation,
    /// The operation has been performed and nobody has been told.
    AfterOperation,
    /// The answer has been decided on and written, and is not durable.
    BeforeCommit,
    /// It is durable, and nobody has been told.
    AfterCommit,
}

impl CrashPoint {
    /// As `OTSCERT_DANGER_CRASH_AT` names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::BeforeOperation => "before-operation",
            Self::AfterOperation => "after-operation",
            Self::BeforeCommit => "before-commit",
            Self::AfterCommit => "after-commit",
        }
    }
}

/// Ends the process here, if `OTSCERT_DANGER_CRASH_AT=<step>:<n>` says so and this is the n-th time.
#[cfg(any(feature = "danger-crash-points", debug_assertions))]
pub fn crash_point(point: CrashPoint) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PLAN: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let plan = std::env::var("OTSCERT_DANGER_CRASH_AT").ok()?;
        let (step, n) = plan.split_once(':')?;
        Some((step.to_owned(), n.parse().ok()?))
    });
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let Some((step, n)) = &*PLAN else { return };
    if step == point.name() && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *n {
        std::process::abort();
    }
}

/// Does nothing: this build has no crash points.
#[cfg(not(any(feature = "danger-crash-points", debug_assertions)))]
pub const fn crash_point(_: CrashPoint) {}
