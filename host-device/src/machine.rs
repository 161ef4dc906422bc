//! The component, compiled once, and instances of it.
//!
//! An instance lives until it traps; then its store is thrown away, since wasmtime promises nothing about its memory.
//! The next one needs nothing of it: everything is in storage (DESIGN 2.2).

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use otscert_component::{
    COMPONENT, EpochTicker, Limits, LoadError, Role, engine_config, load, require, sha256_hex_of,
};
use wasmtime::component::Linker;
use wasmtime::{Engine, Store, StoreLimits, UpdateDeadline};

use crate::bindings::exports::otscert::provision::{inspect, provisioner};
use crate::bindings::{Device, DevicePre};
use crate::board::Board;
use crate::convert;
use crate::host::{Outbox, Provision, ProvisionCtx, ProvisionView, add_to_linker};
use crate::record::{self, Record};
use crate::types::{CredentialPair, Input, Moment, Progress, StartConfig};

/// The component, compiled and checked, for any number of boxes in one process.
pub struct Machine {
    engine: Engine,
    pre: DevicePre<State>,
    limits: Limits,
    sha256: String,
    ticker: Ticker,
}

/// Why a component cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Its file cannot be read.
    #[error("reading the component {} failed: `component` in the config names it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is not what this host runs.
    #[error("the component cannot be used")]
    Load(#[from] LoadError),
    /// The engine refused.
    #[error(
        "this build's engine settings or the component's types do not fit: use the component of the same release"
    )]
    Engine(#[source] wasmtime::Error),
}

impl Machine {
    /// The component that this build carries.
    ///
    /// # Errors
    ///
    /// [`MachineError`] if the build is broken.
    pub fn shipped() -> Result<Self, MachineError> {
        Self::from_bytes(COMPONENT, Limits::default())
    }

    /// Another component file.
    ///
    /// # Errors
    ///
    /// [`MachineError`] says what is wrong with it.
    pub fn from_file(path: &Path) -> Result<Self, MachineError> {
        let mut bytes = Vec::new();
        fs::File::open(path)
            .and_then(|file| file.take(MAX_COMPONENT).read_to_end(&mut bytes))
            .map_err(|source| MachineError::Read {
                path: path.to_owned(),
                source,
            })?;
        Self::from_bytes(&bytes, Limits::default())
    }

    /// A component under limits of the caller's choice.
    ///
    /// # Errors
    ///
    /// [`MachineError`] says what is wrong with it.
    pub fn from_bytes(bytes: &[u8], limits: Limits) -> Result<Self, MachineError> {
        let engine = Engine::new(&engine_config(&limits)).map_err(MachineError::Engine)?;
        let component = load(&engine, bytes)?;
        require(&engine, &component, Role::Device)?;
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker).map_err(MachineError::Engine)?;
        let pre = linker
            .instantiate_pre(&component)
            .and_then(DevicePre::new)
            .map_err(MachineError::Engine)?;
        Ok(Self {
            ticker: Ticker::default(),
            sha256: sha256_hex_of(bytes),
            engine,
            pre,
            limits,
        })
    }

    /// SHA-256 of the component's bytes, in hex.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

/// One box's instance.
pub struct Instance {
    machine: Arc<Machine>,
    store: Store<State>,
    device: Device,
    record: Option<Arc<Record>>,
}

/// Why a call of the machine failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The instance is gone: it trapped, ran out of fuel, time or memory. Make a new one.
    #[error(
        "the component stopped in `{call}` and is started afresh from storage: a bug of the component's"
    )]
    Gone {
        /// The call.
        call: &'static str,
        /// What wasmtime said.
        #[source]
        source: wasmtime::Error,
    },
    /// The config is unusable.
    #[error("the machine refuses its config: {reason}")]
    BadConfig {
        /// Which field, and why.
        reason: String,
    },
    /// Storage failed; the machine has not moved.
    #[error("the machine could not store what it has to, and has not moved: {reason}")]
    Storage {
        /// For people.
        reason: String,
    },
    /// Not before readiness.
    #[error("`{call}` is not possible before the machine has enough entropy")]
    NotReady {
        /// The call.
        call: &'static str,
    },
    /// `start` was not called, or twice: this host's fault.
    #[error("`{call}` came before `start`, or `start` twice: a bug of this host's")]
    NotStarted {
        /// The call.
        call: &'static str,
    },
    /// Anything else.
    #[error("the machine refused `{call}`: {reason}")]
    Other {
        /// The call.
        call: &'static str,
        /// For people.
        reason: String,
    },
}

impl CallError {
    /// Whether the instance must be thrown away.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }
}

impl Instance {
    /// Makes an instance. What it submits goes into `outbox`; what it is told and does, without secrets, into `record`.
    ///
    /// # Errors
    ///
    /// [`CallError::Gone`] if the component does not even start.
    pub fn create(
        machine: Arc<Machine>,
        board: Arc<dyn Board>,
        outbox: Outbox,
        record: Option<Arc<Record>>,
    ) -> Result<Self, CallError> {
        let state = State {
            ctx: ProvisionCtx::new(board, outbox).recording(record.is_some()),
            limits: machine.limits.store_limits(),
            tick: machine.limits.tick,
        };
        let mut store = Store::new(&machine.engine, state);
        store.limiter(|state| &mut state.limits);
        store.epoch_deadline_callback(|mut context| {
            let state = context.data_mut();
            // The clock of the guest stands still while the board works: fsync on a worn card takes seconds.
            let ticks = state.ctx.take_board_time().as_millis() / state.tick.as_millis().max(1);
            match u64::try_from(ticks) {
                Ok(0) | Err(_) => Ok(UpdateDeadline::Interrupt),
                Ok(ticks) => Ok(UpdateDeadline::Continue(ticks)),
            }
        });
        let gone = |source| CallError::Gone {
            call: "instantiate",
            source,
        };
        let running = machine
            .ticker
            .run(&machine.engine, machine.limits.tick)
            .map_err(|error| gone(error.into()))?;
        machine.limits.refill(&mut store).map_err(gone)?;
        let device = machine.pre.instantiate(&mut store).map_err(gone)?;
        drop(running);
        Ok(Self {
            machine,
            store,
            device,
            record,
        })
    }

    /// Hands over the config, once.
    ///
    /// # Errors
    ///
    /// [`CallError::BadConfig`] names the field.
    pub fn start(&mut self, config: &StartConfig) -> Result<(), CallError> {
        let config = convert::start_config(config);
        let started = self
            .call("start", |store, device| {
                device
                    .otscert_provision_provisioner()
                    .call_start(store, &config)
            })
            .and_then(|started| started.map_err(|error| refused("start", error)));
        if let Some(record) = &self.record {
            let ctx = &mut self.store.data_mut().ctx;
            record.started(ctx.board().now(), ctx.take_calls(), started.as_ref());
        }
        started
    }

    /// Hands over one input. What the call submitted is in the outbox, to be released if this returned `Ok` and
    /// discarded otherwise.
    ///
    /// # Errors
    ///
    /// [`CallError::Storage`] leaves the machine where it was.
    pub fn advance(&mut self, now: Moment, input: Input) -> Result<Progress, CallError> {
        let shown = self.record.as_ref().map(|_| record::shown(&input));
        let (moment, input) = (convert::moment(now), convert::input(input));
        let advanced = self
            .call("advance", |store, device| {
                device
                    .otscert_provision_provisioner()
                    .call_advance(store, moment, &input)
            })
            .and_then(|advanced| advanced.map_err(|error| refused("advance", error)))
            .map(convert::progress);
        if let (Some(record), Some(shown)) = (&self.record, shown) {
            let calls = self.store.data_mut().ctx.take_calls();
            record.advanced(now, shown, calls, advanced.as_ref());
        }
        advanced
    }

    /// The credential to serve.
    ///
    /// # Errors
    ///
    /// [`CallError::Gone`].
    pub fn credential(&mut self) -> Result<Option<CredentialPair>, CallError> {
        let pair = self.call("credential", |store, device| {
            device
                .otscert_provision_provisioner()
                .call_credential(store)
        })?;
        Ok(pair.map(convert::credential))
    }

    /// 32 bytes for the host's own pool.
    ///
    /// # Errors
    ///
    /// [`CallError::NotReady`] before readiness.
    pub fn derive(&mut self, context: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, CallError> {
        self.call("derive", |store, device| {
            device
                .otscert_provision_provisioner()
                .call_derive(store, context)
        })?
        .map(zeroize::Zeroizing::new)
        .map_err(|error| refused("derive", error))
    }

    /// The machine's state as JSON, secrets redacted.
    ///
    /// # Errors
    ///
    /// [`CallError::Other`] where the component shows none.
    pub fn view(&mut self) -> Result<String, CallError> {
        self.call("view", |store, device| {
            device.otscert_provision_inspect().call_view(store)
        })?
        .map_err(|error| hidden("view", error))
    }

    /// A stored record as JSON, secrets redacted. The instance need not have been started.
    ///
    /// # Errors
    ///
    /// [`CallError::Other`] says what is wrong with the record.
    pub fn describe_record(&mut self, key: &str, value: &[u8]) -> Result<String, CallError> {
        self.call("describe-record", |store, device| {
            device
                .otscert_provision_inspect()
                .call_describe_record(store, key, value)
        })?
        .map_err(|error| hidden("describe-record", error))
    }

    /// SHA-256 over the machine's state.
    ///
    /// # Errors
    ///
    /// [`CallError::Other`] where the component shows none.
    pub fn state_digest(&mut self) -> Result<Vec<u8>, CallError> {
        self.call("state-digest", |store, device| {
            device.otscert_provision_inspect().call_state_digest(store)
        })?
        .map_err(|error| hidden("state-digest", error))
    }

    fn call<T>(
        &mut self,
        call: &'static str,
        act: impl FnOnce(&mut Store<State>, &Device) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        let gone = |source| CallError::Gone { call, source };
        let machine = Arc::clone(&self.machine);
        let _running = machine
            .ticker
            .run(&machine.engine, machine.limits.tick)
            .map_err(|error| gone(error.into()))?;
        machine.limits.refill(&mut self.store).map_err(gone)?;
        act(&mut self.store, &self.device).map_err(gone)
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

struct State {
    ctx: ProvisionCtx,
    limits: StoreLimits,
    tick: Duration,
}

impl Provision for State {
    fn provision(&mut self) -> ProvisionView<'_> {
        self.ctx.view()
    }
}

/// Ticks while any instance runs, so that an idle box sleeps.
#[derive(Default)]
struct Ticker(Mutex<(usize, Option<EpochTicker>)>);

struct Running<'a>(&'a Ticker);

impl Ticker {
    fn run(&self, engine: &Engine, tick: Duration) -> io::Result<Running<'_>> {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if users.1.is_none() {
            users.1 = Some(EpochTicker::start(engine, tick)?);
        }
        users.0 += 1;
        Ok(Running(self))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut users = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        users.0 -= 1;
        if users.0 == 0 {
            users.1 = None;
        }
    }
}

fn refused(call: &'static str, error: provisioner::Error) -> CallError {
    match error {
        provisioner::Error::NotStarted => CallError::NotStarted { call },
        provisioner::Error::BadConfig(reason) => CallError::BadConfig { reason },
        provisioner::Error::Storage(reason) => CallError::Storage { reason },
        provisioner::Error::NotReady => CallError::NotReady { call },
        provisioner::Error::Other(reason) => CallError::Other { call, reason },
    }
}

fn hidden(call: &'static str, error: inspect::Error) -> CallError {
    let reason = match error {
        inspect::Error::Unavailable => "not started, or not built for it".to_owned(),
        inspect::Error::Damaged(reason) => reason,
    };
    CallError::Other { call, reason }
}

const MAX_COMPONENT: u64 = 16 * 1024 * 1024;
