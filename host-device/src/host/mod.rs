//! The three interfaces that a box gives to the component: [`ProvisionCtx`] holds what they stand on,
//! [`ProvisionView`] lends it to one call, [`add_to_linker`] puts them into a linker.
//!
//! Nothing of the protocol is here. What the guest asks for is checked and clamped, then passed on.

mod entropy;
mod network;
mod storage;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use otscert_log::{Asked, Call, Got};
use wasmtime::component::{HasData, Linker};

use crate::bindings::Device;
use crate::board::Board;
use crate::types::{ExchangeId, MAX_BODY, Submission};

/// What the interfaces stand on.
pub struct ProvisionCtx {
    board: Arc<dyn Board>,
    outbox: Outbox,
    /// Time of the current call that passed in the board, not in the guest.
    board_time: Duration,
    /// What the current call has asked for, where that is recorded.
    calls: Option<Vec<Call>>,
}

/// The context, lent for one call.
pub struct ProvisionView<'a> {
    ctx: &'a mut ProvisionCtx,
}

/// A store's data that has the context.
pub trait Provision: Send + 'static {
    /// Lends it.
    fn provision(&mut self) -> ProvisionView<'_>;
}

/// Puts `entropy`, `network` and `storage` into a linker, and nothing else.
///
/// # Errors
///
/// If the linker has one of them.
pub fn add_to_linker<T: Provision>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    Device::add_to_linker::<T, HasProvision>(linker, T::provision)
}

/// Why a submission was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// A box reaches HQ and nobody else.
    #[error("the component wants to talk to `{peer}`, which a box cannot")]
    NoSuchPeer {
        /// The peer.
        peer: &'static str,
    },
    /// Too many exchanges are outstanding.
    #[error("{MAX_OUTSTANDING} exchanges are outstanding")]
    Busy,
    /// The message is larger than the protocol allows.
    #[error("the component wants to send {got} bytes; {MAX_BODY} are the most")]
    TooLarge {
        /// Its size.
        got: usize,
    },
}

impl ProvisionCtx {
    /// A context over a board. What the guest submits is put into the outbox, which outlives the context.
    #[must_use]
    pub fn new(board: Arc<dyn Board>, outbox: Outbox) -> Self {
        Self {
            board,
            outbox,
            board_time: Duration::ZERO,
            calls: None,
        }
    }

    /// Notes from here on what the machine asks for, without secrets.
    #[must_use]
    pub fn recording(mut self, is_on: bool) -> Self {
        self.calls = is_on.then(Vec::new);
        self
    }

    /// What the machine has asked for since this was last called; nothing where that is not recorded.
    pub fn take_calls(&mut self) -> Vec<Call> {
        self.calls.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn board(&self) -> &dyn Board {
        self.board.as_ref()
    }

    /// A view for one call.
    pub fn view(&mut self) -> ProvisionView<'_> {
        ProvisionView { ctx: self }
    }

    /// Time that passed in the board since this was last asked: a slow disk is no endless loop of the guest's.
    pub(crate) fn take_board_time(&mut self) -> Duration {
        std::mem::take(&mut self.board_time)
    }
}

impl ProvisionView<'_> {
    /// Does something with the board and counts the time.
    fn on_board<T>(&mut self, act: impl FnOnce(&dyn Board) -> T) -> T {
        let begun = Instant::now();
        let result = act(self.ctx.board.as_ref());
        self.ctx.board_time += begun.elapsed();
        result
    }

    /// Whether what the machine asks for is recorded.
    const fn is_recorded(&self) -> bool {
        self.ctx.calls.is_some()
    }

    fn note(&mut self, call: impl FnOnce() -> (Asked, Got)) {
        if let Some(calls) = &mut self.ctx.calls {
            let (asked, got) = call();
            calls.push(Call { asked, got });
        }
    }
}

impl fmt::Debug for ProvisionCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvisionCtx")
            .field("outbox", &self.outbox)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ProvisionView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ctx.fmt(f)
    }
}

/// What the machine submitted. It outlives instances: an exchange that is under way while an instance is replaced
/// is still under way for the next one.
///
/// Submissions of a call are kept apart until [`Outbox::release`], which the driver calls once the call has returned
/// without an error: what a call wrote is durable by then, so nothing is sent that relies on bytes not yet stored.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Mutex<Exchanges>>);

#[derive(Debug, Default)]
struct Exchanges {
    outstanding: BTreeSet<ExchangeId>,
    of_this_call: Vec<Submission>,
}

impl Outbox {
    /// Takes what the call that has just returned submitted, to be sent.
    #[must_use]
    pub fn release(&self) -> Vec<Submission> {
        let mut exchanges = self.lock();
        let released = std::mem::take(&mut exchanges.of_this_call);
        exchanges
            .outstanding
            .extend(released.iter().map(|submission| submission.exchange));
        released
    }

    /// Forgets what the call that has just failed submitted.
    pub fn discard(&self) {
        self.lock().of_this_call.clear();
    }

    /// Notes that an exchange has its answer. False: it was not outstanding.
    pub fn settle(&self, exchange: ExchangeId) -> bool {
        self.lock().outstanding.remove(&exchange)
    }

    fn submit(&self, submission: Submission) -> Result<(), SubmitError> {
        if submission.body.len() > MAX_BODY {
            return Err(SubmitError::TooLarge {
                got: submission.body.len(),
            });
        }
        let mut exchanges = self.lock();
        let known = exchanges.outstanding.contains(&submission.exchange)
            || exchanges
                .of_this_call
                .iter()
                .any(|earlier| earlier.exchange == submission.exchange);
        if known {
            return Ok(());
        }
        if exchanges.outstanding.len() + exchanges.of_this_call.len() >= MAX_OUTSTANDING {
            return Err(SubmitError::Busy);
        }
        exchanges.of_this_call.push(submission);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Exchanges> {
        // Every change above is a single insertion or removal; there is no half of one to fear.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct HasProvision;

impl HasData for HasProvision {
    type Data<'a> = ProvisionView<'a>;
}

/// The machine keeps one signed request and one contact outstanding.
const MAX_OUTSTANDING: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Endpoint, Peer};

    #[test]
    fn an_exchange_that_is_outstanding_is_sent_once_until_it_is_settled() {
        let outbox = Outbox::default();
        outbox.submit(message(1)).unwrap();
        outbox.submit(message(1)).unwrap();
        assert_eq!(outbox.release(), [message(1)]);
        outbox.submit(message(1)).unwrap();
        assert_eq!(outbox.release(), []);
        assert!(outbox.settle(ExchangeId(1)));
        assert!(!outbox.settle(ExchangeId(1)));
        outbox.submit(message(1)).unwrap();
        assert_eq!(outbox.release(), [message(1)]);
    }

    #[test]
    fn what_a_failed_call_submitted_is_never_sent() {
        let outbox = Outbox::default();
        outbox.submit(message(1)).unwrap();
        outbox.discard();
        assert_eq!(outbox.release(), []);
    }

    #[test]
    fn too_many_and_too_large_are_refused() {
        let outbox = Outbox::default();
        for number in 0..MAX_OUTSTANDING as u64 {
            outbox.submit(message(number)).unwrap();
        }
        assert!(matches!(outbox.submit(message(99)), Err(SubmitError::Busy)));
        let _sent = outbox.release();
        assert!(matches!(outbox.submit(message(99)), Err(SubmitError::Busy)));
        let large = Submission {
            body: vec![0; MAX_BODY + 1],
            ..message(100)
        };
        assert!(
            matches!(outbox.submit(large), Err(SubmitError::TooLarge { got }) if got == MAX_BODY + 1)
        );
    }

    fn message(number: u64) -> Submission {
        Submission {
            exchange: ExchangeId(number),
            peer: Peer::Hq,
            endpoint: Endpoint::Contact,
            body: vec![1],
        }
    }
}
