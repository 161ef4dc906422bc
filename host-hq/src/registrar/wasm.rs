//! The component under wasmtime.

use std::fmt;
use std::sync::Arc;

use otscert_component::{EpochTicker, Limits, LoadError, Role};
use wasmtime::component::Linker;
use wasmtime::{Engine, Store};

use crate::bindings::exports::otscert::provision::{inspect, registrar as wit};
use crate::bindings::{Hq as World, HqPre};
use crate::convert;
use crate::host::entropy::EntropySource;
use crate::host::{self, HqCtx};
use crate::types::{Decision, Input, Moment, RecordKey};

use super::config::wipe;
use super::{Call, Guest, GuestError, GuestFactory, Refusal, RegistrarConfig};

/// Makes instances of one component.
pub struct WasmFactory {
    engine: Engine,
    prepared: HqPre<HqCtx>,
    limits: Limits,
    config: RegistrarConfig,
    entropy: Arc<dyn EntropySource>,
    sha256: String,
    _ticker: EpochTicker,
}

impl WasmFactory {
    /// Compiles and checks a component. No instance is made yet.
    ///
    /// # Errors
    ///
    /// If the bytes are no component for HQ.
    pub fn new(
        component: &[u8],
        limits: Limits,
        config: RegistrarConfig,
        entropy: Arc<dyn EntropySource>,
    ) -> Result<Self, LoadError> {
        let pooled_instances = limits.pooled_instances.or(Some(INSTANCES));
        let limits = Limits {
            pooled_instances,
            ..limits
        };
        let engine =
            Engine::new(&otscert_component::engine_config(&limits)).map_err(LoadError::Engine)?;
        let ticker = EpochTicker::start(&engine, limits.tick)
            .map_err(|error| LoadError::Engine(wasmtime::Error::from(error)))?;
        let loaded = otscert_component::load(&engine, component)?;
        otscert_component::require(&engine, &loaded, Role::Hq)?;
        let mut linker = Linker::new(&engine);
        host::add_to_linker(&mut linker).map_err(LoadError::Link)?;
        let prepared = linker
            .instantiate_pre(&loaded)
            .and_then(HqPre::new)
            .map_err(LoadError::Link)?;
        let sha256 = otscert_component::sha256_hex_of(component);
        Ok(Self {
            engine,
            prepared,
            limits,
            config,
            entropy,
            sha256,
            _ticker: ticker,
        })
    }

    /// The component's SHA-256 in lower-case hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// An instance that has not been opened: it can describe records and messages, and decides nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn instantiate(&self) -> Result<WasmGuest, GuestError> {
        let ctx = HqCtx::new(self.limits.store_limits(), Arc::clone(&self.entropy));
        let mut store = Store::new(&self.engine, ctx);
        store.limiter(|ctx| &mut ctx.limits);
        self.limits
            .refill(&mut store)
            .map_err(GuestError::Instantiate)?;
        let world = self
            .prepared
            .instantiate(&mut store)
            .map_err(GuestError::Instantiate)?;
        Ok(WasmGuest {
            store,
            world,
            limits: self.limits.clone(),
        })
    }
}

impl fmt::Debug for WasmFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmFactory")
            .field("sha256", &self.sha256)
            .field("limits", &self.limits)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl GuestFactory for WasmFactory {
    fn open(&self) -> Result<Box<dyn Guest>, GuestError> {
        let mut guest = self.instantiate()?;
        guest.open(&self.config)?;
        Ok(Box::new(guest))
    }
}

/// An instance of the component.
pub struct WasmGuest {
    store: Store<HqCtx>,
    world: World,
    limits: Limits,
}

impl fmt::Debug for WasmGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmGuest")
            .field("ctx", self.store.data())
            .finish_non_exhaustive()
    }
}

impl WasmGuest {
    fn open(&mut self, config: &RegistrarConfig) -> Result<(), GuestError> {
        self.limits
            .refill(&mut self.store)
            .map_err(GuestError::Trap)?;
        let mut config = config.to_guest();
        let opened = self
            .world
            .otscert_provision_registrar()
            .call_open(&mut self.store, &config);
        wipe(&mut config);
        opened
            .map_err(GuestError::Trap)?
            .map_err(|error| GuestError::Refused(refusal(error)))
    }

    fn decide(&mut self, now: Moment, input: &Input) -> Result<Decision, GuestError> {
        self.limits
            .refill(&mut self.store)
            .map_err(GuestError::Trap)?;
        let registrar = self.world.otscert_provision_registrar();
        let (now, input) = (
            convert::moment_to_guest(now),
            convert::input_to_guest(input),
        );
        let decision = registrar
            .call_advance(&mut self.store, now, &input)
            .map_err(GuestError::Trap)?;
        Ok(convert::decision_from_guest(
            decision.map_err(|error| GuestError::Refused(refusal(error)))?,
        )?)
    }

    /// How much fuel the last call took.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        // The engine always has fuel switched on.
        self.limits.fuel - self.store.get_fuel().unwrap_or(0)
    }
}

impl Guest for WasmGuest {
    fn advance(
        &mut self,
        call: Call,
        now: Moment,
        input: &Input,
    ) -> (Call, Result<Decision, GuestError>) {
        self.store.data_mut().begin(call);
        let decided = self.decide(now, input);
        // Unwrap safety: it was put there above, and no host function takes it.
        let call = self
            .store
            .data_mut()
            .end()
            .expect("the call is still there");
        (call, decided)
    }

    fn describe_record(&mut self, key: &RecordKey, value: &[u8]) -> Result<String, GuestError> {
        self.limits
            .refill(&mut self.store)
            .map_err(GuestError::Trap)?;
        let inspect = self.world.otscert_provision_inspect();
        shown(inspect.call_describe_record(&mut self.store, key.as_str(), value))
    }

    fn describe_message(&mut self, message: &[u8]) -> Result<String, GuestError> {
        self.limits
            .refill(&mut self.store)
            .map_err(GuestError::Trap)?;
        shown(
            self.world
                .otscert_provision_inspect()
                .call_describe_message(&mut self.store, message),
        )
    }
}

fn shown(result: wasmtime::Result<Result<String, inspect::Error>>) -> Result<String, GuestError> {
    result.map_err(GuestError::Trap)?.map_err(|error| {
        GuestError::Inspect(match error {
            inspect::Error::Unavailable => "it is not built for it".to_owned(),
            inspect::Error::Damaged(why) => why,
        })
    })
}

fn refusal(error: wit::Error) -> Refusal {
    match error {
        wit::Error::NotOpen => Refusal::NotOpen,
        wit::Error::BadConfig(text) => Refusal::BadConfig(text),
        wit::Error::Record(text) => Refusal::Record(text),
        wit::Error::Storage(text) => Refusal::Storage(text),
        wit::Error::Entropy(text) => Refusal::Entropy(text),
        wit::Error::Other(text) => Refusal::Other(text),
    }
}

/// Instances alive at once, unless the limits say otherwise: one for each thread there can be, and some for tools. The
/// pool takes address space for them, and memory only when they live.
const INSTANCES: u32 = 72;
