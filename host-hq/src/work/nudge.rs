//! Tells workers that there is something to do, so that nobody has to wait for a timer.

use std::collections::BTreeMap;

use tokio::sync::Notify;

use crate::registrar::Submission;
use crate::store::Lane;
use crate::types::Summary;

/// One bell for each lane of the outbox, one for the scheduler.
///
/// A nudge is a hint: whoever misses one finds the row by its timer.
#[derive(Debug)]
pub struct Nudges {
    lanes: BTreeMap<Lane, Notify>,
    stray: Notify,
    scheduler: Notify,
}

impl Nudges {
    /// Bells for the lanes of these CAs, and for the zone.
    pub fn new(cas: impl IntoIterator<Item = String>) -> Self {
        let lanes = cas.into_iter().map(Lane::Ca).chain([Lane::Zone]);
        Self {
            lanes: lanes.map(|lane| (lane, Notify::new())).collect(),
            stray: Notify::new(),
            scheduler: Notify::new(),
        }
    }

    /// A call has been committed with these submissions and summaries.
    pub fn committed(&self, submissions: &[Submission], summaries: &[Summary]) {
        for submission in submissions {
            self.lane(&Lane::of(&submission.operation)).notify_one();
        }
        if summaries.iter().any(|summary| summary.wake_at.is_some()) {
            self.scheduler.notify_one();
        }
    }

    /// The bell of a lane.
    #[must_use]
    pub fn lane(&self, lane: &Lane) -> &Notify {
        self.lanes.get(lane).unwrap_or(&self.stray)
    }

    /// The bell of the scheduler.
    #[must_use]
    pub fn scheduler(&self) -> &Notify {
        &self.scheduler
    }
}
