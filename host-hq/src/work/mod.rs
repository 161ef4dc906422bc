//! Everything HQ does that nobody waits for at the other end of a connection, and the committer behind everything.
//!
//! # The story
//!
//! The component never waits. What it wants from a CA or the zone it submits, and the submission is a row of the
//! [outbox](OutboxWorker), committed with the records that rely on it. A worker leases a row, performs **one** operation
//! and feeds the outcome back to the registrar as an input; the commit of that decision deletes the row. Killed at any
//! point, HQ finds the row again at its next start. So an operation is performed at least once; the component knows that.
//! Nobody here retries: the component hears of a failure and decides.
//!
//! The [`Scheduler`] tells the registrar about subjects whose wake-up time has come, the [`Sweeper`] removes what has
//! expired, the [`RoomWatch`] finds out when a full disk has room again. All are `run_once`, without spawn, sleep or clock inside, so that a simulator can call them in any
//! order; [`Driver`] calls them on a timer and on nudges.
//!
//! The [`Committer`] is the one writer: it puts up to 64 units of work into one transaction, each under a savepoint.

mod charge;
mod committer;
mod crash;
mod driver;
mod nudge;
mod outbox;
pub mod quota;
mod room;
mod scheduler;
mod sweeper;
mod zone;

pub use committer::{Committer, CommitterHandle, Declined, MAX_BATCH, Unit};
pub use crash::{CrashPoint, crash_point};
pub use driver::{Driver, DriverOptions};
pub use nudge::Nudges;
pub use outbox::{Ca, CaSet, OutboxOptions, OutboxWorker, Pass, WorkError};
pub use room::RoomWatch;
pub use scheduler::{MAX_DUE, Round, Scheduler};
pub use sweeper::{MAX_SWEPT, Sweeper, SweeperOptions, Swept};
pub use zone::{HqZone, Zone, ZoneError};
