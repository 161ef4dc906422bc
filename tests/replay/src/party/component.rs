//! The machine in the component, on wasmtime.

use anyhow::Context as _;
use otscert_component::COMPONENT;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store};

use super::Party;
use crate::bindings::exports::otscert::provision::{provisioner, registrar};
use crate::bindings::otscert::provision::{entropy, network, storage, types};
use crate::bindings::{Otscert, OtscertPre};
use crate::imports::Imports;
use crate::log::{Outcome, PartyConfig};

/// The built component, compiled.
pub struct Compiled<I: Imports + 'static> {
    engine: Engine,
    prepared: OtscertPre<Data<I>>,
}

/// What the store of an instance holds.
struct Data<I>(I);

/// A party whose machine is the component.
pub struct OnComponent<'a, I: Imports + 'static> {
    compiled: &'a Compiled<I>,
    config: PartyConfig,
    store: Store<Data<I>>,
    world: Option<Otscert>,
}

impl<I: Imports> Compiled<I> {
    /// Compiles it.
    ///
    /// # Errors
    ///
    /// If wasmtime does not take it.
    pub fn new() -> anyhow::Result<Self> {
        let engine = Engine::default();
        let component = any(Component::new(&engine, COMPONENT))?;
        let mut linker = Linker::new(&engine);
        any(Otscert::add_to_linker::<_, HasSelf<_>>(
            &mut linker,
            |data| data,
        ))?;
        let prepared = any(linker.instantiate_pre(&component).and_then(OtscertPre::new))?;
        Ok(Self { engine, prepared })
    }

    /// A party with that config, without an instance yet.
    pub fn party(&self, config: &PartyConfig, imports: I) -> OnComponent<'_, I> {
        OnComponent {
            compiled: self,
            config: config.clone(),
            store: Store::new(&self.engine, Data(imports)),
            world: None,
        }
    }
}

impl<I: Imports> Party<I> for OnComponent<'_, I> {
    fn imports(&mut self) -> &mut I {
        &mut self.store.data_mut().0
    }

    fn start(&mut self) -> anyhow::Result<Outcome> {
        let world = any(self.compiled.prepared.instantiate(&mut self.store))?;
        let outcome = match &self.config {
            PartyConfig::Device(config) => {
                let role = world.otscert_provision_provisioner();
                Outcome::DeviceStarted(any(role.call_start(&mut self.store, config))?)
            }
            PartyConfig::Hq(config) => {
                let role = world.otscert_provision_registrar();
                Outcome::HqStarted(any(role.call_open(&mut self.store, config))?)
            }
        };
        self.world = Some(world);
        Ok(outcome)
    }

    fn device(&mut self, now: types::Moment, input: provisioner::Input) -> anyhow::Result<Outcome> {
        let world = self.world.as_ref().context("there is no instance")?;
        let role = world.otscert_provision_provisioner();
        let progress = any(role.call_advance(&mut self.store, now, &input))?;
        Ok(Outcome::Device(progress))
    }

    fn hq(&mut self, now: types::Moment, input: registrar::Input) -> anyhow::Result<Outcome> {
        let world = self.world.as_ref().context("there is no instance")?;
        let role = world.otscert_provision_registrar();
        let decision = any(role.call_advance(&mut self.store, now, &input))?;
        Ok(Outcome::Hq(decision))
    }

    fn digest(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(world) = &self.world else {
            return Ok(None);
        };
        let inspect = world.otscert_provision_inspect();
        Ok(any(inspect.call_state_digest(&mut self.store))?.ok())
    }

    fn credential(&mut self) -> anyhow::Result<Option<provisioner::CredentialPair>> {
        let Some(world) = &self.world else {
            return Ok(None);
        };
        let role = world.otscert_provision_provisioner();
        any(role.call_credential(&mut self.store))
    }

    fn view(&mut self) -> anyhow::Result<Option<String>> {
        let Some(world) = &self.world else {
            return Ok(None);
        };
        let inspect = world.otscert_provision_inspect();
        Ok(any(inspect.call_view(&mut self.store))?.ok())
    }
}

impl<I: Imports> entropy::Host for Data<I> {
    fn sources(&mut self) -> wasmtime::Result<Vec<entropy::Source>> {
        Ok(self.0.sources())
    }

    fn sample(
        &mut self,
        source: u32,
        len: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, entropy::Error>> {
        Ok(self.0.sample(source, len))
    }
}

impl<I: Imports> storage::Host for Data<I> {
    fn read(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, storage::Error>> {
        Ok(self.0.read(&key))
    }

    fn write(
        &mut self,
        key: String,
        value: Vec<u8>,
        expires_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), storage::Error>> {
        Ok(self.0.write(&key, &value, expires_ms))
    }

    fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), storage::Error>> {
        Ok(self.0.remove(&key))
    }
}

impl<I: Imports> network::Host for Data<I> {
    fn submit(
        &mut self,
        exchange: types::Exchange,
        request: network::Request,
    ) -> wasmtime::Result<Result<(), network::Error>> {
        Ok(self.0.submit(&exchange, &request))
    }
}

impl<I: Imports> types::Host for Data<I> {}

/// Wasmtime's errors are of a kind of their own.
fn any<T>(result: wasmtime::Result<T>) -> anyhow::Result<T> {
    result.map_err(|error| anyhow::anyhow!("{error:?}"))
}
