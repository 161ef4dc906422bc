//! HQ in the simulation: what answers boxes, works off its outbox, and can be stopped at any point.
//!
//! There are two. `real` is HQ's own host as it is shipped (store, registrar, committer, workers) around the native machine,
//! with a database in memory. `map` is the machine alone over a map, some ten times as fast: for a thousand boxes.

mod map;
mod real;

use otscert_replay::bindings::otscert::provision::types::{self, Endpoint};

use crate::around::Around;
use crate::calls::How;

pub(crate) use map::Map;
pub(crate) use real::{ConvertError, Real};

/// An HQ.
pub(crate) trait Headquarters {
    /// Starts it, or stops and starts it: what is durable is still there, and nothing else.
    fn start(&mut self, around: &mut Around) -> anyhow::Result<()>;

    /// A box's message; none: HQ did not come to an answer.
    fn request(
        &mut self,
        around: &mut Around,
        endpoint: Endpoint,
        body: Vec<u8>,
    ) -> anyhow::Result<Option<Vec<u8>>>;

    /// Does something whose time has come.
    fn work(&mut self, around: &mut Around, chore: Chore) -> anyhow::Result<()>;

    /// Copies its records.
    fn back_up(&mut self, around: &mut Around) -> anyhow::Result<()>;

    /// Goes back to the copy, if there is one; returns whether there was.
    fn restore(&mut self, around: &mut Around) -> anyhow::Result<bool>;

    /// Strikes the call of an import that comes after so many others.
    fn strike_after(&mut self, calls: u64, how: How);

    /// How many calls of imports there were.
    fn calls(&self) -> u64;

    /// What its records say.
    fn books(&mut self, around: &Around) -> anyhow::Result<Books>;
}

/// Something that HQ does by itself.
#[derive(Clone, Debug)]
pub(crate) enum Chore {
    /// Performs a row of its outbox (`map`).
    Perform(types::Exchange),
    /// A subject is due, since that time (`map`).
    Due(String, u64),
    /// Works off a lane of the outbox, as planned for that time (`real`).
    Lane(usize, u64),
    /// Tells the subjects that are due, as planned for that time (`real`).
    Round(u64),
    /// Removes what has expired (`real`).
    Sweep,
}

/// What HQ's records say when nothing is under way.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) devices: Vec<Device>,
    /// Rows of the outbox that should have been worked off, or that nobody will.
    pub(crate) stuck: u64,
}

/// What HQ knows of a box.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) not_after_ms: Option<u64>,
}
