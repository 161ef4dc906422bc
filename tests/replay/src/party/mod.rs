//! One instance of the machine: native or in the component.

mod component;
mod native;

use crate::bindings::exports::otscert::provision::{provisioner, registrar};
use crate::bindings::otscert::provision::types;
use crate::imports::Imports;
use crate::log::{Input, Outcome, PartyConfig};

pub use component::{Compiled, OnComponent};
pub use native::Native;

/// A device or HQ, with or without an instance.
pub trait Party<I> {
    /// What its imports reach.
    fn imports(&mut self) -> &mut I;

    /// Makes a new instance, with nothing of the one before.
    ///
    /// # Errors
    ///
    /// If the engine failed, not the machine.
    fn start(&mut self) -> anyhow::Result<Outcome>;

    /// Hands an input to the device.
    ///
    /// # Errors
    ///
    /// If there is no instance of that role, or the engine failed.
    fn device(&mut self, now: types::Moment, input: provisioner::Input) -> anyhow::Result<Outcome>;

    /// Hands an input to HQ.
    ///
    /// # Errors
    ///
    /// If there is no instance of that role, or the engine failed.
    fn hq(&mut self, now: types::Moment, input: registrar::Input) -> anyhow::Result<Outcome>;

    /// `inspect.state-digest`; none without a started device.
    ///
    /// # Errors
    ///
    /// If the engine failed.
    fn digest(&mut self) -> anyhow::Result<Option<Vec<u8>>>;

    /// `provisioner.credential`; none before the first.
    ///
    /// # Errors
    ///
    /// If the engine failed.
    fn credential(&mut self) -> anyhow::Result<Option<provisioner::CredentialPair>>;

    /// `inspect.view`; none without a started device.
    ///
    /// # Errors
    ///
    /// If the engine failed.
    fn view(&mut self) -> anyhow::Result<Option<String>>;

    /// Hands an input over, whatever it is.
    ///
    /// # Errors
    ///
    /// As the others.
    fn take(&mut self, now: types::Moment, input: Input) -> anyhow::Result<Outcome> {
        match input {
            Input::Start => self.start(),
            Input::Device(input) => self.device(now, input),
            Input::Hq(input) => self.hq(now, input),
        }
    }
}

/// A party of a native machine.
#[must_use]
pub fn native<I: Imports>(config: &PartyConfig, imports: I) -> Native<I> {
    Native::new(config.clone(), imports)
}
