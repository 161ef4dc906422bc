//! The built component on the same memory that the native machine gets.

use anyhow::Context;
use otscert_component::COMPONENT;
use otscert_machine::device::drive::Input as DeviceInput;
use otscert_machine::entropy::{SampleError, SourceId};
use otscert_machine::host::Host;
use otscert_machine::hq::drive::Input as HqInput;
use otscert_machine::time::{Moment, Timestamp};
use otscert_tests::MemoryHost;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store};

use super::outcome::{Decided, Served, Stands};
use otscert_replay::bindings::exports::otscert::provision::{provisioner, registrar};
use otscert_replay::bindings::otscert::provision::{entropy, network, storage, types};
use otscert_replay::bindings::{Otscert, OtscertPre};
use otscert_replay::reverse as convert;

/// The built component, compiled.
pub(super) struct Compiled {
    engine: Engine,
    prepared: OtscertPre<MemoryImports>,
}

/// The imports, over memory.
struct MemoryImports(MemoryHost);

/// An instance.
pub(super) struct Instance {
    store: Store<MemoryImports>,
    world: Otscert,
}

impl Compiled {
    pub(super) fn new() -> anyhow::Result<Self> {
        let engine = Engine::default();
        let component = any(Component::new(&engine, COMPONENT))?;
        let mut linker = Linker::new(&engine);
        any(Otscert::add_to_linker::<_, HasSelf<_>>(
            &mut linker,
            |state| state,
        ))?;
        let prepared = any(linker.instantiate_pre(&component).and_then(OtscertPre::new))?;
        Ok(Self { engine, prepared })
    }

    pub(super) fn instance(&self, host: MemoryHost) -> anyhow::Result<Instance> {
        let mut store = Store::new(&self.engine, MemoryImports(host));
        let world = any(self.prepared.instantiate(&mut store))?;
        Ok(Instance { store, world })
    }
}

impl Instance {
    pub(super) fn host(&mut self) -> &mut MemoryHost {
        &mut self.store.data_mut().0
    }

    pub(super) fn start(&mut self, config: &provisioner::Config) -> anyhow::Result<()> {
        let role = self.world.otscert_provision_provisioner();
        any(role.call_start(&mut self.store, config))?
            .map_err(|error| anyhow::anyhow!("start: {error:?}"))
    }

    pub(super) fn device(&mut self, now: Moment, input: &DeviceInput) -> anyhow::Result<Stands> {
        let role = self.world.otscert_provision_provisioner();
        let input = convert::device_input(input);
        let progress = any(role.call_advance(&mut self.store, convert::moment(now), &input))?
            .map_err(|error| anyhow::anyhow!("advance: {error:?}"))?;
        let pair = any(role.call_credential(&mut self.store))?;
        Ok(Stands {
            progress: format!("{progress:?}"),
            credential: pair.map(|pair| Served {
                version: pair.version,
                chain: pair.chain,
                key: pair.private_key,
            }),
        })
    }

    pub(super) fn derive(&mut self, context: &str) -> anyhow::Result<Vec<u8>> {
        let role = self.world.otscert_provision_provisioner();
        any(role.call_derive(&mut self.store, context))?
            .map_err(|error| anyhow::anyhow!("derive: {error:?}"))
    }

    pub(super) fn open(&mut self, config: &registrar::Config) -> anyhow::Result<()> {
        let role = self.world.otscert_provision_registrar();
        any(role.call_open(&mut self.store, config))?
            .map_err(|error| anyhow::anyhow!("open: {error:?}"))
    }

    pub(super) fn hq(&mut self, now: Moment, input: &HqInput) -> anyhow::Result<Decided> {
        let role = self.world.otscert_provision_registrar();
        let input = convert::hq_input(input);
        let decision = any(role.call_advance(&mut self.store, convert::moment(now), &input))?;
        Ok(match decision {
            Ok(decision) => Decided::Taken(format!("{decision:?}")),
            Err(_) => Decided::Failed,
        })
    }
}

impl entropy::Host for MemoryImports {
    fn sources(&mut self) -> wasmtime::Result<Vec<entropy::Source>> {
        let sources = self.0.sources().into_iter();
        Ok(sources
            .map(|source| entropy::Source {
                id: source.id.number(),
                kind: entropy::Kind::System,
                family: source.family,
                assessment: source.assessment,
                observed_step_ns: source.observed_step_ns,
                label: source.label,
            })
            .collect())
    }

    fn sample(
        &mut self,
        source: u32,
        len: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, entropy::Error>> {
        Ok(self
            .0
            .sample(SourceId::new(source), len)
            .map_err(|error| match error {
                SampleError::NotReady => entropy::Error::NotReady,
                SampleError::Unhealthy(why) => entropy::Error::Unhealthy(why),
                SampleError::NoSuchSource => entropy::Error::NoSuchSource,
                SampleError::Other(why) => entropy::Error::Other(why),
            }))
    }
}

impl storage::Host for MemoryImports {
    fn read(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, storage::Error>> {
        Ok(self
            .0
            .read(&key)
            .map_err(|error| storage::Error::Other(error.to_string())))
    }

    fn write(
        &mut self,
        key: String,
        value: Vec<u8>,
        expires_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), storage::Error>> {
        let expires = expires_ms.map(Timestamp::from_millis);
        let written = self.0.write(&key, &value, expires);
        Ok(written.map_err(|error| storage::Error::Other(error.to_string())))
    }

    fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), storage::Error>> {
        Ok(self
            .0
            .remove(&key)
            .map_err(|error| storage::Error::Other(error.to_string())))
    }
}

impl network::Host for MemoryImports {
    fn submit(
        &mut self,
        exchange: types::Exchange,
        request: network::Request,
    ) -> wasmtime::Result<Result<(), network::Error>> {
        let request = convert::request(request).context("the component submitted nonsense");
        let request = request.map_err(|error| wasmtime::Error::msg(format!("{error:#}")))?;
        let number = convert::exchange(&exchange);
        let taken = self.0.submit(&exchange.subject, number, &request);
        Ok(taken.map_err(|error| network::Error::Other(error.to_string())))
    }
}

impl types::Host for MemoryImports {}

/// Wasmtime's errors are of a kind of their own.
fn any<T>(result: wasmtime::Result<T>) -> anyhow::Result<T> {
    result.map_err(|error| anyhow::anyhow!("{error:?}"))
}
