//! What the image and the board say about a box.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::crypto::{Crypto, SecretBytes};
use crate::entropy::{Assessment, Entropy};
use crate::time::Timestamp;
use crate::types::ShortText;
use crate::wire::trust::Roots;

/// The config of one device.
#[derive(Clone)]
pub struct Config {
    /// The primitives.
    pub crypto: &'static dyn Crypto,
    /// HQ's id and the pinned roots.
    pub roots: Roots,
    /// Kind of box.
    pub model: ShortText,
    /// Version of the firmware.
    pub firmware: ShortText,
    /// Build date of the image.
    pub build_time: Timestamp,
    /// What tells this unit apart; credited nothing, never sent.
    pub personal: Vec<u8>,
    /// How HQ may know this unit.
    pub credential: Credential,
    /// Keys may be made where only HQ could compute them.
    pub hq_trusted: bool,
    /// What the image says of the clocks of its board.
    pub assessments: Vec<Assessment>,
    /// What storage says is written stays written; else the seed that one boot leaves for the next
    /// counts nothing.
    pub durable_storage: bool,
}

/// How HQ may know a unit.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nothing.
    Open,
    /// The code on the label.
    ClaimCode(SecretBytes),
    /// A secret written at the factory.
    UnitSecret {
        /// The unit's serial.
        serial: ShortText,
        /// Which master secret it was derived from.
        epoch: u32,
        /// The secret.
        secret: SecretBytes,
    },
}

/// Why a config is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ConfigError {
    /// Which field.
    pub field: &'static str,
    /// Why.
    pub reason: String,
}

impl Config {
    /// A pool with all that is known before anything is sampled or read.
    #[must_use]
    pub fn entropy(&self) -> Entropy {
        let covers = |assessment: &&Assessment| {
            let mut models = assessment.models.iter();
            models.any(|model| [self.model.as_str(), ANY_MODEL].contains(&model.as_str()))
        };
        let assessments = self.assessments.iter().filter(covers).cloned().collect();
        let mut entropy = Entropy::new(self.crypto, &self.personal).with_assessments(assessments);
        match &self.credential {
            Credential::Open => {}
            Credential::ClaimCode(code) => {
                entropy.label(self.crypto, code.expose());
            }
            Credential::UnitSecret { secret, .. } => {
                entropy.unit_secret(self.crypto, secret.expose());
            }
        }
        entropy
    }

    /// Checks what the parts cannot know of each other.
    ///
    /// # Errors
    ///
    /// The first field that is unusable.
    pub fn check(&self) -> Result<(), ConfigError> {
        let error = |field, reason: &str| {
            Err(ConfigError {
                field,
                reason: reason.into(),
            })
        };
        if !(1..=2).contains(&self.roots.keys.len()) {
            return error("roots", "one or two Ed25519 public keys are needed");
        }
        if !(1..=MAX_HQ_ID).contains(&self.roots.hq_id.len()) {
            return error("hq-id", "1 to 128 characters are needed");
        }
        if self.personal.len() > MAX_PERSONAL {
            return error("personal", "at most 1024 bytes are taken");
        }
        match &self.credential {
            Credential::Open => Ok(()),
            Credential::ClaimCode(code) if (10..=64).contains(&code.expose().len()) => Ok(()),
            Credential::ClaimCode(_) => error("credential", "a claim code has 10 to 64 characters"),
            Credential::UnitSecret { secret, .. } if (16..=64).contains(&secret.expose().len()) => {
                Ok(())
            }
            Credential::UnitSecret { .. } => {
                error("credential", "a unit secret has 16 to 64 bytes")
            }
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("roots", &self.roots)
            .field("model", &self.model)
            .field("firmware", &self.firmware)
            .field("build_time", &self.build_time)
            .field("credential", &self.credential)
            .field("hq_trusted", &self.hq_trusted)
            .finish_non_exhaustive()
    }
}

/// In an assessment: any kind of box.
const ANY_MODEL: &str = "*";
const MAX_HQ_ID: usize = 128;
const MAX_PERSONAL: usize = 1024;
