//! TOML with errors that name the line, the key and the nearest right one.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;

/// Why a TOML text is refused. Whoever wrote the text erred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TomlError {
    line: Option<usize>,
    problem: String,
}

impl fmt::Display for TomlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl TomlError {
    /// The same without what it quotes of a value, for a text that holds secrets.
    #[must_use]
    pub fn concealed(self) -> Self {
        let kind = ["invalid type", "invalid value", "invalid length"]
            .into_iter()
            .find(|kind| self.problem.starts_with(kind));
        let Some(kind) = kind else { return self };
        let expected = self.problem.rsplit_once(", expected ");
        let problem = match expected {
            Some((_quoted, expected)) => format!("{kind}, expected {expected}"),
            None => kind.to_owned(),
        };
        Self { problem, ..self }
    }
}

impl std::error::Error for TomlError {}

/// Parses a text whose types deny unknown fields.
///
/// # Errors
///
/// [`TomlError`]: the line, and the key with the nearest right one, or what was expected.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, TomlError> {
    ::toml::from_str(text).map_err(|error| {
        let message = error.message().lines().next().unwrap_or_default();
        let unknown = unknown_field(message);
        let problem = match &unknown {
            Some((key, known)) => format!("unknown key `{key}`; {}", suggestion(key, known)),
            None => message.to_owned(),
        };
        let line = match (error.span(), unknown) {
            (Some(span), Some((key, _))) => Some(line_of_key(text, span, key)),
            // A missing field has the span of the whole text, which says nothing.
            (Some(span), None) if span.start > 0 || span.end < text.len() => {
                Some(line_at(text, span.start))
            }
            (Some(_) | None, _) => None,
        };
        TomlError { line, problem }
    })
}

/// The key that serde does not know, and those it expected in its place.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let (key, rest) = message.strip_prefix("unknown field `")?.split_once('`')?;
    Some((key, rest.split('`').skip(1).step_by(2).collect()))
}

/// The line in which a key stands. The span is that of the key, or of the head of its table where serde had to look
/// at the table as a whole first.
fn line_of_key(text: &str, span: Range<usize>, key: &str) -> usize {
    let start = span.start.min(text.len());
    let inside = text.get(start..).unwrap_or_default();
    let is_key = |line: &str| {
        line.trim_start()
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let below = inside.lines().position(is_key).unwrap_or(0);
    line_at(text, start) + below
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
        + 1
}

fn suggestion(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .max_by(|one, other| one.0.total_cmp(&other.0));
    match nearest {
        Some((likeness, candidate)) if likeness >= LIKELY => format!("did you mean `{candidate}`?"),
        Some(_) | None => format!("the keys here are {}", known.join(", ")),
    }
}

/// Below this, a guess would puzzle more than the list of all keys.
const LIKELY: f64 = 0.75;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only parsed")]
        store: String,
        #[serde(default)]
        #[expect(dead_code, reason = "only parsed")]
        dns: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only parsed")]
        hostmaster: String,
    }

    #[test]
    fn the_error_names_the_line_the_key_and_the_nearest_right_one() {
        for (text, expected) in [
            (
                "stroe = \"x\"",
                "line 1: unknown key `stroe`; did you mean `store`?",
            ),
            (
                "# c\n\nstore = \"x\"\nzz = 1",
                "line 4: unknown key `zz`; the keys here are store, dns",
            ),
            (
                "store = \"x\"\n[dns]\nhostmster = \"y\"",
                "line 3: unknown key `hostmster`; did you mean `hostmaster`?",
            ),
            (
                "\nstore = 1",
                "line 2: invalid type: integer `1`, expected a string",
            ),
            ("", "missing field `store`"),
        ] {
            assert_eq!(
                parse::<Sample>(text).unwrap_err().to_string(),
                expected,
                "{text:?}"
            );
        }
        let quoting = parse::<Inner>("hostmaster = 4711").unwrap_err();
        assert!(quoting.to_string().contains("4711"), "{quoting}");
        assert_eq!(
            quoting.concealed().to_string(),
            "line 1: invalid type, expected a string"
        );
        assert!(
            parse::<Sample>("a = [")
                .unwrap_err()
                .to_string()
                .starts_with("line 1: ")
        );
    }
}
