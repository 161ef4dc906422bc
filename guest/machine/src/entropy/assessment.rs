//! A person's word that the clock of a kind of board is worth something.
//!
//! The image ships it as a message signed by the maker's HQ key (docs/PROTOCOL.md, registry:
//! `otscert-assessment+jws`): measured on several units of that board, with the estimators of
//! SP 800-90B section 6.3, and with a sentence that names the physical cause.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::source::Source;
use crate::crypto::Crypto;
use crate::types::{Malformed, ShortText};
use crate::wire::json::{JsonError, Object};
use crate::wire::jws::{Typ, Unverified};
use crate::wire::trust::{Expiry, Roots, TrustError};

/// What was found out about one kind of board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// Its name: sources name it in `assessment`.
    pub id: ShortText,
    /// Kinds of box that it holds for.
    pub models: Vec<ShortText>,
    /// Nanoseconds that the clock counts in.
    pub step_ns: u64,
    /// The lowest estimate, in thousandths of a bit per delta.
    pub min_entropy: u64,
    /// The physical cause, for people.
    pub cause: String,
}

impl Assessment {
    /// Reads an assessment that the image ships.
    ///
    /// # Errors
    ///
    /// If HQ did not sign it, or a member is missing or wrong.
    pub fn open(crypto: &dyn Crypto, roots: &Roots, object: &Object) -> Result<Self, TrustError> {
        let unverified = Unverified::from_object(object)?;
        // It is as old as the image: neither epoch nor end of the delegation count.
        let (verified, _) = roots.open(crypto, unverified, Typ::Assessment, 0, Expiry::Ignored)?;
        let payload = verified.payload;
        let short = |text: &str| ShortText::parse("model", text);
        Ok(Self {
            id: payload.parsed("id", |text| ShortText::parse("id", text))?,
            models: payload.texts("models", MAX_MODELS, short)?,
            step_ns: payload.number("stepNs")?,
            min_entropy: enough(payload.number("minEntropy")?)?,
            cause: payload.text("cause")?.to_string(),
        })
    }

    /// Whether it is about this source: by name, and by a clock that counts as the assessed one
    /// did, within a factor of two.
    #[must_use]
    pub fn covers(&self, source: &Source) -> bool {
        let named = source.assessment.as_deref() == Some(self.id.as_str());
        let step = source.observed_step_ns;
        named
            && step > 0
            && step <= self.step_ns.saturating_mul(2)
            && self.step_ns <= step.saturating_mul(2)
    }
}

/// An estimate that leaves the margin that is asked for: sixteen times what is credited.
fn enough(min_entropy: u64) -> Result<u64, JsonError> {
    match min_entropy >= LEAST_ENTROPY {
        true => Ok(min_entropy),
        false => Err(JsonError::member(
            "minEntropy",
            Malformed::new(
                "minEntropy",
                "at least 63, a sixteenth of a bit",
                min_entropy,
            ),
        )),
    }
}

/// Thousandths of a bit per delta: 1/16, rounded up.
pub const LEAST_ENTROPY: u64 = 63;
const MAX_MODELS: usize = 16;
