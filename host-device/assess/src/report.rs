//! The judged file: what `otscert-device assess judge` writes and `otscert-hq assessment sign` signs.

use serde::{Deserialize, Serialize};

/// What an assessment came to, before HQ signs it. The members `id` to `cause` go into the signed file
/// (docs/PROTOCOL.md, `otscert-assessment+jws`); the rest is for whoever decides whether to sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// Version of the format: [`Report::FORMAT`].
    pub format: u32,
    /// The assessment's name.
    pub id: String,
    /// Kinds of box that it holds for.
    pub models: Vec<String>,
    /// Nanoseconds that the clock counts in.
    pub step_ns: u64,
    /// The lowest estimate, in thousandths of a bit per delta, rounded down.
    pub min_entropy: u64,
    /// The physical cause, for people.
    pub cause: String,
    /// Refusals that were overridden by a `--danger` flag, in words. Empty for an assessment that may be shipped.
    pub overridden: Vec<String>,
    /// The table, for people.
    pub table: Vec<String>,
}

/// Why a file is no judged file.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It is no JSON of this kind.
    #[error("it is no file that `otscert-device assess judge` wrote")]
    Syntax(#[source] serde_json::Error),
    /// Another version of the program wrote it.
    #[error("it has format {got}, and this program knows {expected}: judge again with this version", expected = Report::FORMAT)]
    Format {
        /// The file's.
        got: u32,
    },
}

impl Report {
    /// The one version so far.
    pub const FORMAT: u32 = 1;

    /// Reads a judged file. Whether its members hold is the machine's to say.
    ///
    /// # Errors
    ///
    /// [`ReportError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        let report: Self = serde_json::from_slice(bytes).map_err(ReportError::Syntax)?;
        match report.format {
            Self::FORMAT => Ok(report),
            got => Err(ReportError::Format { got }),
        }
    }

    /// As the file has it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers alone: nothing in it can fail to be written.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}
