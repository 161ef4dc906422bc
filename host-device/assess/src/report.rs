//! The judged file: what `otscert-device assess judge` writes and `otscert-hq assessment sign` signs.

use otscert_machine::types::{Malformed, ShortText};
use serde::{Deserialize, Serialize};

use crate::judge::Judgement;
use crate::table;

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
    /// A text that is given does not fit.
    #[error("the assessment cannot be named so")]
    Name(#[from] Malformed),
    /// Too few or too many models.
    #[error("{got} models: name 1 to {MAX_MODELS} kinds of box that it holds for, or * for any")]
    Models {
        /// How many.
        got: usize,
    },
    /// No cause, or a novel.
    #[error(
        "the cause has {got} characters: say in 10 to {MAX_CAUSE}, without control characters, what makes the clock vary, \
         as in \"CPU and DRAM run on two oscillators\""
    )]
    Cause {
        /// How many.
        got: usize,
    },
}

impl Report {
    /// The one version so far.
    pub const FORMAT: u32 = 1;

    /// What an accepted judgement is written as. None for one that is refused.
    ///
    /// # Errors
    ///
    /// [`ReportError`] says which text does not fit.
    pub fn of(
        judgement: &Judgement,
        id: &str,
        models: &[String],
        cause: &str,
    ) -> Result<Option<Self>, ReportError> {
        let id = ShortText::parse("id", id)?;
        if models.is_empty() || models.len() > MAX_MODELS {
            return Err(ReportError::Models { got: models.len() });
        }
        for model in models {
            ShortText::parse("model", model)?;
        }
        let length = cause.chars().count();
        if !(LEAST_CAUSE..=MAX_CAUSE).contains(&length) || cause.chars().any(char::is_control) {
            return Err(ReportError::Cause { got: length });
        }
        let overridden: Vec<String> = judgement
            .overridden
            .iter()
            .map(ToString::to_string)
            .collect();
        // Whoever reads the signed file shall see it, too.
        let trial = if overridden.is_empty() { "" } else { TRIAL };
        let report = Self {
            format: Self::FORMAT,
            id: id.to_string(),
            models: models.to_vec(),
            step_ns: judgement.step_ns(),
            min_entropy: judgement.min_entropy(),
            cause: format!("{trial}{cause}"),
            overridden,
            table: table::figures(judgement),
        };
        Ok(judgement.refusals.is_empty().then_some(report))
    }

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

/// Kinds of box that one assessment may hold for (docs/PROTOCOL.md).
const MAX_MODELS: usize = 16;
const LEAST_CAUSE: usize = 10;
const MAX_CAUSE: usize = 256;
const TRIAL: &str = "FOR A TRIAL ONLY, not to be shipped: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_do_not_fit_are_named() {
        let judgement = Judgement::of(&[], &[]);
        let models = |count: usize| vec!["m".to_owned(); count];
        let cause = "two oscillators";
        for (id, models, cause, says) in [
            ("", models(1), cause, "cannot be named so"),
            ("é", models(1), cause, "cannot be named so"),
            ("r2", vec![String::new()], cause, "cannot be named so"),
            ("r2", models(0), cause, "0 models: name 1 to 16"),
            ("r2", models(17), cause, "17 models: name 1 to 16"),
            ("r2", models(1), "noise", "the cause has 5 characters"),
            (
                "r2",
                models(1),
                "two\noscillators",
                "the cause has 15 characters",
            ),
        ] {
            let error = Report::of(&judgement, id, &models, cause)
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{id} {cause}: {error}");
        }
        let refused = Report::of(&judgement, "r2", &models(16), cause).unwrap();
        assert_eq!(refused, None, "what is refused is not written");
    }

    #[test]
    fn a_file_is_read_as_it_was_written_and_nothing_else_is() {
        let report = Report {
            format: Report::FORMAT,
            id: "r2".to_owned(),
            models: vec!["*".to_owned()],
            step_ns: 10,
            min_entropy: 333,
            cause: "two oscillators".to_owned(),
            overridden: Vec::new(),
            table: vec!["a line".to_owned()],
        };
        let bytes = report.to_bytes();
        assert_eq!(Report::parse(&bytes).unwrap(), report);
        let text = String::from_utf8(bytes).unwrap();
        let newer = text.replace("\"format\": 1", "\"format\": 2");
        assert!(matches!(
            Report::parse(newer.as_bytes()),
            Err(ReportError::Format { got: 2 })
        ));
        let unknown = text.replace("\"id\"", "\"name\"");
        assert!(matches!(
            Report::parse(unknown.as_bytes()),
            Err(ReportError::Syntax(_))
        ));
        // What HQ signs stands under the names that the protocol has.
        for member in ["\"stepNs\": 10", "\"minEntropy\": 333"] {
            assert!(text.contains(member), "{text}");
        }
    }
}
