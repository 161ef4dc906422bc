//! The native machine in the place of the component, behind the component's own adapter; and the kill.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use otscert_hq::registrar::{Call, CallLimit, Guest, GuestError, GuestFactory, ReadError, Refusal};
use otscert_hq::types::{Decision, Input, MAX_RECORD_BYTES, Moment, RecordKey, Timestamp};
use otscert_replay::bindings::exports::otscert::provision::registrar;
use otscert_replay::bindings::otscert::provision::{entropy, network, storage, types};
use otscert_replay::imports::{Imports, Recorder};
use otscert_replay::party::{Native, Party as _, native};
use otscert_replay::{Outcome, PartyConfig, Seeded};
use tokio::sync::Notify;

use super::convert;
use crate::calls::{Calls, Fate};
use crate::crypto::REMEMBERING;
use crate::memory::{dead, is_done, sample, sources, stored};

/// What the world and the registrar's thread share.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) calls: Calls,
    /// What the registrar took, in order.
    pub(super) entries: Vec<Taken>,
    /// It has submitted something since this was looked at.
    pub(super) has_submitted: bool,
    /// The earliest wake-up time it named since this was looked at, in milliseconds since 1970.
    pub(super) wakes_at: Option<u64>,
    random: Seeded,
    records: bool,
}

/// One input that the registrar took.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) now: types::Moment,
    pub(super) input: otscert_replay::Input,
    pub(super) calls: Vec<otscert_replay::log::Call>,
    pub(super) outcome: Outcome,
}

impl Side {
    pub(super) fn new(seed: u64, records: bool) -> Self {
        Self {
            calls: Calls::default(),
            entries: Vec::new(),
            has_submitted: false,
            wakes_at: None,
            random: Seeded::new(seed),
            records,
        }
    }
}

/// Makes registrars of the native machine.
pub(super) struct Guests {
    pub(super) config: registrar::Config,
    pub(super) side: Arc<Mutex<Side>>,
    pub(super) kill: Kill,
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guests").finish_non_exhaustive()
    }
}

impl GuestFactory for Guests {
    fn open(&self) -> Result<Box<dyn Guest>, GuestError> {
        let slot = Slot {
            side: Arc::clone(&self.side),
            call: None,
        };
        let records = lock(&self.side).records;
        let config = PartyConfig::Hq(self.config.clone());
        let machine = native(&config, Recorder::new(slot).recording(records));
        let mut machine = machine.with_crypto(&REMEMBERING);
        let outcome = machine.start().map_err(|error| other(&error))?;
        if !matches!(outcome, Outcome::HqStarted(Ok(()))) {
            return Err(other(&format!("{outcome:?}")));
        }
        Ok(Box::new(Registrar {
            machine,
            is_new: true,
            side: Arc::clone(&self.side),
            kill: self.kill.clone(),
        }))
    }
}

/// A registrar.
struct Registrar {
    machine: Native<Recorder<Slot>>,
    /// The log does not know of it yet.
    is_new: bool,
    side: Arc<Mutex<Side>>,
    kill: Kill,
}

impl Guest for Registrar {
    fn advance(
        &mut self,
        call: Call,
        now: Moment,
        input: &Input,
    ) -> (Call, Result<Decision, GuestError>) {
        let now = convert::moment_to_guest(now);
        let input = convert::input_to_guest(input);
        self.machine.imports().inner.call = Some(call);
        let outcome = self.machine.hq(now, input.clone());
        let call = self.machine.imports().inner.call.take();
        // Unwrap safety: it was put there above, and no import takes it.
        let call = call.expect("the call is still there");
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => return (call, Err(other(&error))),
        };
        let calls = self.machine.imports().take();
        let mut side = lock(&self.side);
        if side.records {
            let input = otscert_replay::Input::Hq(input);
            if std::mem::take(&mut self.is_new) {
                side.entries.push(Taken {
                    now,
                    input: otscert_replay::Input::Start,
                    calls: Vec::new(),
                    outcome: Outcome::HqStarted(Ok(())),
                });
            }
            side.entries.push(Taken {
                now,
                input,
                calls,
                outcome: outcome.clone(),
            });
        }
        if side.calls.is_cut {
            drop(side);
            self.kill.strike_and_wait();
            return (call, Err(other(&"the process was killed")));
        }
        let decision = match outcome {
            Outcome::Hq(Ok(decision)) => decision,
            Outcome::Hq(Err(error)) => {
                let refused = Refusal::Other(format!("{error:?}"));
                return (call, Err(GuestError::Refused(refused)));
            }
            Outcome::DeviceStarted(_) | Outcome::HqStarted(_) | Outcome::Device(_) => {
                return (call, Err(other(&"HQ answered as something else")));
            }
        };
        let wakes = decision.summaries.iter().filter_map(|it| it.wake_at_ms);
        let earliest = wakes.chain(side.wakes_at).min();
        side.wakes_at = earliest;
        drop(side);
        let decision = convert::decision_from_guest(decision);
        (call, decision.map_err(|error| other(&error)))
    }

    fn describe_record(&mut self, key: &RecordKey, _: &[u8]) -> Result<String, GuestError> {
        Err(GuestError::Inspect(format!("{key} is not shown here")))
    }

    fn describe_message(&mut self, _: &[u8]) -> Result<String, GuestError> {
        Err(GuestError::Inspect(
            "messages are not shown here".to_owned(),
        ))
    }
}

/// The imports of the call under way.
struct Slot {
    side: Arc<Mutex<Side>>,
    call: Option<Call>,
}

impl Slot {
    fn fate(&self) -> Fate {
        lock(&self.side).calls.next()
    }

    /// The call under way, and the key if it is one.
    fn at(&mut self, key: &str) -> Result<(&mut Call, RecordKey), storage::Error> {
        let key = RecordKey::try_from(key.to_owned()).map_err(|_| storage::Error::BadKey)?;
        let outside = || storage::Error::Other("storage is used outside a decision".to_owned());
        Ok((self.call.as_mut().ok_or_else(outside)?, key))
    }
}

impl Imports for Slot {
    fn sources(&mut self) -> Vec<entropy::Source> {
        sources()
    }

    fn sample(&mut self, source: u32, len: u32) -> Result<Vec<u8>, entropy::Error> {
        match self.fate() {
            Fate::Goes => sample(&mut lock(&self.side).random, source, len),
            Fate::Refused | Fate::Cut { .. } => Err(entropy::Error::NotReady),
        }
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, storage::Error> {
        match self.fate() {
            Fate::Goes => {}
            Fate::Refused | Fate::Cut { .. } => return Err(dead()),
        }
        let (call, key) = self.at(key)?;
        call.read(&key).map_err(|error| match error {
            ReadError::Limit(limit) => storage::Error::Other(limit.to_string()),
            ReadError::Store => dead(),
        })
    }

    fn write(
        &mut self,
        key: &str,
        value: &[u8],
        expires_ms: Option<u64>,
    ) -> Result<(), storage::Error> {
        let fate = self.fate();
        let (call, key) = self.at(key)?;
        if value.len() > MAX_RECORD_BYTES {
            return Err(storage::Error::TooLarge);
        }
        if is_done(fate) {
            let expires = expires_ms.map(Timestamp::from_millis);
            call.write(key, value.to_vec(), expires).map_err(limit)?;
        }
        stored(fate)
    }

    fn remove(&mut self, key: &str) -> Result<(), storage::Error> {
        let fate = self.fate();
        let (call, key) = self.at(key)?;
        if is_done(fate) {
            call.remove(key).map_err(limit)?;
        }
        stored(fate)
    }

    fn submit(
        &mut self,
        exchange: &types::Exchange,
        request: &network::Request,
    ) -> Result<(), network::Error> {
        match self.fate() {
            Fate::Goes => {}
            Fate::Refused | Fate::Cut { .. } => return Err(network::Error::Busy),
        }
        let refused = |why: String| network::Error::Other(why);
        let exchange = convert::exchange_from_guest(exchange.clone());
        let exchange = exchange.map_err(|error| refused(error.to_string()))?;
        let operation = convert::operation_from_guest(request.clone())?;
        let call = self.call.as_mut();
        let call = call.ok_or_else(|| refused("outside a decision".to_owned()))?;
        let taken = call.submit(exchange, operation);
        taken.map_err(|error| refused(error.to_string()))?;
        lock(&self.side).has_submitted = true;
        Ok(())
    }
}

fn limit(limit: CallLimit) -> storage::Error {
    storage::Error::Other(limit.to_string())
}

fn other(error: &impl fmt::Display) -> GuestError {
    GuestError::Refused(Refusal::Other(error.to_string()))
}

/// Ends a process, wherever it is.
#[derive(Clone, Debug)]
pub(super) struct Kill(Arc<Killed>);

#[derive(Debug, Default)]
struct Killed {
    notify: Notify,
    is_over: Mutex<bool>,
    over: Condvar,
}

impl Kill {
    pub(super) fn new() -> Self {
        Self(Arc::new(Killed::default()))
    }

    /// Ends when the process is killed.
    pub(super) async fn struck(&self) {
        self.0.notify.notified().await;
    }

    /// Kills the process. Whoever is on its runtime waits for ever after this.
    pub(super) fn strike(&self) {
        self.0.notify.notify_one();
    }

    /// Kills the process from one of its other threads, which goes on when nothing can come of it any longer.
    fn strike_and_wait(&self) {
        self.strike();
        let mut is_over = lock(&self.0.is_over);
        while !*is_over {
            is_over = self
                .0
                .over
                .wait(is_over)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nobody polls the process any longer.
    pub(super) fn release(&self) {
        *lock(&self.0.is_over) = true;
        self.0.over.notify_all();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
