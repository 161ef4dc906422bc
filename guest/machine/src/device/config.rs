//! What the image and the board say about a box.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::crypto::Crypto;
use crate::entropy::{Assessment, Entropy};
use crate::factory::{ClaimCode, UnitSecret};
use crate::time::Timestamp;
use crate::types::ShortText;
use crate::wire::message::UnitName;
use crate::wire::trust::Roots;

/// The config of one device.
#[derive(Clone)]
pub struct Config {
    /// The primitives.
    pub crypto: &'static dyn Crypto,
    /// HQ's id and the pinned roots.
    pub roots: Roots,
    /// A second operator, who is asked for a seed where HQ's is not enough; none: nobody.
    pub seeder: Option<Roots>,
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

/// What a unit has from its factory, by which HQ may know it.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    /// The code on the label.
    pub claim_code: Option<ClaimCode>,
    /// The unit's serial.
    pub serial: Option<ShortText>,
    /// The secret written at the factory; HQ finds it by the serial.
    pub secret: Option<UnitSecret>,
}

impl Credential {
    /// By what HQ finds the unit's secret, if it has one.
    pub(super) fn name(&self) -> Option<UnitName> {
        let epoch = self.secret.as_ref()?.epoch;
        let serial = self.serial.clone()?;
        Some(UnitName { serial, epoch })
    }
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
        if let Some(code) = &self.credential.claim_code {
            entropy.label(self.crypto, code);
        }
        if let Some(unit) = &self.credential.secret {
            entropy.unit_secret(self.crypto, unit.secret.expose());
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
        let seeder = self.seeder.as_ref().unwrap_or(&self.roots);
        for roots in [&self.roots, seeder] {
            if !(1..=2).contains(&roots.keys.len()) {
                return error("roots", "one or two Ed25519 public keys");
            }
            if !(1..=MAX_HQ_ID).contains(&roots.hq_id.len()) {
                return error("hq-id", "1 to 128 characters");
            }
        }
        if self.seeder.is_some() && seeder.hq_id == self.roots.hq_id {
            return error("seeder", "it is HQ itself");
        }
        if self.personal.len() > MAX_PERSONAL {
            return error("personal", "at most 1024 bytes");
        }
        match (&self.credential.secret, &self.credential.serial) {
            (Some(unit), _) if !(16..=64).contains(&unit.secret.expose().len()) => {
                error("credential", "a unit secret has 16 to 64 bytes")
            }
            (Some(_), None) => error("credential", "a unit secret needs the unit's serial"),
            (Some(_) | None, _) => Ok(()),
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
