//! The machine as Rust, behind the adapter of the component.

use std::fmt;

use anyhow::{Context as _, bail};
use otscert_machine::crypto::Crypto;
use otscert_machine::device::Device;
use otscert_machine::entropy::{SampleError, Source, SourceId};
use otscert_machine::host::{Host, HostError};
use otscert_machine::hq;
use otscert_machine::peer::Request;
use otscert_machine::time::{Moment, Timestamp};
use otscert_machine::types::ExchangeId;

use super::Party;
use crate::CRYPTO;
use crate::bindings::exports::otscert::provision::{provisioner, registrar};
use crate::bindings::otscert::provision::types;
use crate::convert;
use crate::imports::Imports;
use crate::log::{Outcome, PartyConfig};

/// A party of a native machine.
pub struct Native<I> {
    config: PartyConfig,
    imports: I,
    crypto: &'static dyn Crypto,
    instance: Option<Instance>,
}

#[derive(Debug)]
enum Instance {
    Device(Box<Device>, Option<Moment>),
    Hq(Box<hq::Config>),
}

impl<I: fmt::Debug> fmt::Debug for Native<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native")
            .field("config", &self.config)
            .field("imports", &self.imports)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl<I> Native<I> {
    pub(super) const fn new(config: PartyConfig, imports: I) -> Self {
        Self {
            config,
            imports,
            crypto: &CRYPTO,
            instance: None,
        }
    }

    /// With another provider of the primitives, from its next start on. It must give the same bytes, or what it writes
    /// down replays nowhere.
    #[must_use]
    pub fn with_crypto(mut self, crypto: &'static dyn Crypto) -> Self {
        self.crypto = crypto;
        self
    }

    /// What its imports reach, to look at.
    pub const fn imports_ref(&self) -> &I {
        &self.imports
    }
}

impl<I: Imports> Party<I> for Native<I> {
    fn imports(&mut self) -> &mut I {
        &mut self.imports
    }

    fn start(&mut self) -> anyhow::Result<Outcome> {
        self.instance = None;
        Ok(match self.config.clone() {
            PartyConfig::Device(config) => Outcome::DeviceStarted(
                start_device(config, self.crypto)
                    .map(|device| self.instance = Some(Instance::Device(Box::new(device), None))),
            ),
            PartyConfig::Hq(config) => Outcome::HqStarted(
                convert::registrar::parse_config(config)
                    .map(|config| {
                        let crypto = self.crypto;
                        let config = hq::Config { crypto, ..config };
                        self.instance = Some(Instance::Hq(Box::new(config)));
                    })
                    .map_err(|error| registrar::Error::BadConfig(error.to_string())),
            ),
        })
    }

    fn device(&mut self, now: types::Moment, input: provisioner::Input) -> anyhow::Result<Outcome> {
        let Some(Instance::Device(device, last)) = &mut self.instance else {
            bail!("there is no started device");
        };
        let now = convert::moment(now);
        let input = match convert::provisioner::parse_input(input) {
            Ok(input) => input,
            Err(error) => {
                let error = provisioner::Error::Other(error.to_string());
                return Ok(Outcome::Device(Err(error)));
            }
        };
        *last = Some(now);
        let progress = device.advance(&mut Adapter(&mut self.imports), now, input);
        Ok(Outcome::Device(match progress {
            Ok(progress) => Ok(convert::provisioner::write_progress(progress)),
            Err(error) => Err(convert::provisioner::write_error(&error)),
        }))
    }

    fn hq(&mut self, now: types::Moment, input: registrar::Input) -> anyhow::Result<Outcome> {
        let Some(Instance::Hq(config)) = &self.instance else {
            bail!("HQ has not been opened");
        };
        let now = convert::moment(now);
        let input = match convert::registrar::parse_input(input) {
            Ok(input) => input,
            Err(error) => {
                let error = registrar::Error::Other(format!("the host's input: {error}"));
                return Ok(Outcome::Hq(Err(error)));
            }
        };
        let decision = hq::advance(config, &mut Adapter(&mut self.imports), now, input);
        Ok(Outcome::Hq(match decision {
            Ok(decision) => Ok(convert::registrar::write_decision(decision)),
            Err(error) => Err(convert::registrar::write_error(&error)),
        }))
    }

    fn digest(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(match &self.instance {
            Some(Instance::Device(device, _)) => Some(device.state_digest().to_vec()),
            Some(Instance::Hq(_)) | None => None,
        })
    }

    fn credential(&mut self) -> anyhow::Result<Option<provisioner::CredentialPair>> {
        let Some(Instance::Device(device, _)) = &self.instance else {
            return Ok(None);
        };
        Ok(device.credential().map(|pair| provisioner::CredentialPair {
            version: pair.version,
            private_key: pair.private_key.expose().to_vec(),
            chain: pair.chain,
        }))
    }

    fn view(&mut self) -> anyhow::Result<Option<String>> {
        match &self.instance {
            Some(Instance::Device(device, now)) => {
                let now = now.context("the device has had no input")?;
                Ok(Some(device.view(now)))
            }
            Some(Instance::Hq(_)) | None => Ok(None),
        }
    }
}

fn start_device(
    config: provisioner::Config,
    crypto: &'static dyn Crypto,
) -> Result<Device, provisioner::Error> {
    let mut config = convert::provisioner::parse_config(config)
        .map_err(|error| convert::provisioner::bad_config(&error))?;
    config.crypto = crypto;
    Device::new(config).map_err(|error| provisioner::Error::BadConfig(error.to_string()))
}

/// The machine's imports over the contract's.
struct Adapter<'a, I>(&'a mut I);

impl<I: Imports> Host for Adapter<'_, I> {
    fn sources(&mut self) -> Vec<Source> {
        let sources = self.0.sources().into_iter();
        sources.map(convert::source).collect()
    }

    fn sample(&mut self, source: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        let sample = self.0.sample(source.number(), len);
        sample.map_err(convert::sample_error)
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        let read = self.0.read(key);
        read.map_err(|error| convert::storage_error("read", key, error))
    }

    fn write(
        &mut self,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<(), HostError> {
        let written = self.0.write(key, value, expires.map(Timestamp::millis));
        written.map_err(|error| convert::storage_error("write", key, error))
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        let removed = self.0.remove(key);
        removed.map_err(|error| convert::storage_error("remove", key, error))
    }

    fn submit(
        &mut self,
        subject: &str,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), HostError> {
        let exchange = types::Exchange {
            subject: subject.into(),
            number: exchange.number(),
        };
        let taken = self.0.submit(&exchange, &convert::request(request));
        taken.map_err(convert::network_error)
    }
}
