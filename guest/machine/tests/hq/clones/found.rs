//! What a search is bounded by, and what it finds.

use std::fmt;

/// What may happen, and how often.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// Requests that a box sends: HQ takes them, or they are lost. Replays count too.
    pub(super) messages: u8,
    /// The storage is copied into a second box.
    pub(super) copied: bool,
    /// Somebody on the way sends a request again that he saw, or gives a box an answer that he saw.
    pub(super) replays: u8,
    /// HQ is set back to a backup, which was taken at any time before.
    pub(super) restores: u8,
    /// The storage of the first box is set back to a copy, which was taken at any time before.
    pub(super) turned_back: u8,
    /// A box may stay on when it has been answered. Otherwise it is switched off: all that it would
    /// do in another way is to draw other nonces.
    pub(super) stays_on: bool,
    /// It begins when the first order has been answered, instead of before.
    pub(super) ordered: bool,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// States of the whole.
    pub(super) states: usize,
    /// Different questions put to the device and to HQ.
    pub(super) calls: usize,
    /// A copy, and an alarm.
    pub(super) clones_found: usize,
    /// Both copies have had [`ENOUGH`] answers since the copy, and no alarm.
    pub(super) clones_missed: usize,
    /// Both copies have had one answer since the copy, and no alarm yet.
    pub(super) clones_not_yet: usize,
    /// No copy; the storage was turned back, and an alarm.
    pub(super) turned_back_alarms: usize,
    /// No copy, nothing turned back, and an alarm all the same.
    pub(super) false_alarms: usize,
    /// A box that cannot go on.
    pub(super) lost: usize,
    /// Boxes that enrolled again.
    pub(super) rejoined: usize,
    /// Boxes that HQ found to be ahead of it.
    pub(super) restored: usize,
    /// How it came to the first of what should not be.
    pub(super) story: Option<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} states by {} calls; with a copy: {} alarms, {} missed, {} not yet; turned back: {} \
             alarms; {} false alarms; {} lost; {} enrolled again, {} were ahead of HQ",
            self.states,
            self.calls,
            self.clones_found,
            self.clones_missed,
            self.clones_not_yet,
            self.turned_back_alarms,
            self.false_alarms,
            self.lost,
            self.rejoined,
            self.restored,
        )?;
        match &self.story {
            Some(story) => write!(f, "\n{story}"),
            None => Ok(()),
        }
    }
}
