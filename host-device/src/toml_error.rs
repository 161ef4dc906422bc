//! TOML with errors that name the line, the key and the nearest right one.

use std::fmt;

use serde::de::DeserializeOwned;

/// Why a TOML text is refused.
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

impl std::error::Error for TomlError {}

/// Parses a text whose type denies unknown fields; `known` are the keys it has.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, known: &[&str]) -> Result<T, TomlError> {
    toml::from_str(text).map_err(|error| {
        let span = error.span();
        // A missing field has the span of the whole text, which says nothing.
        let line = span
            .clone()
            .filter(|span| span.start > 0 || span.end < text.len())
            .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let message = error.message();
        let unknown = message
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split('`').next());
        let problem = match unknown {
            Some(key) => format!("unknown key `{key}`; {}", suggestion(key, known)),
            None => message.lines().next().unwrap_or_default().to_owned(),
        };
        // An unknown key on the first line has a span that starts at 0, too.
        let line = line.or_else(|| {
            unknown
                .and(span)
                .map(|span| text[..span.start].matches('\n').count() + 1)
        });
        TomlError { line, problem }
    })
}

fn suggestion(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(key, candidate), candidate))
        .max_by(|one, two| one.0.total_cmp(&two.0));
    match nearest {
        Some((likeness, candidate)) if likeness >= LIKELY => format!("did you mean `{candidate}`?"),
        Some(_) | None => format!("the keys are {}", known.join(", ")),
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
        storage: String,
    }

    #[test]
    fn the_error_names_the_line_the_key_and_the_nearest_right_one() {
        for (text, expected) in [
            (
                "storgae = \"x\"",
                "line 1: unknown key `storgae`; did you mean `storage`?",
            ),
            (
                "# c\n\nstorage = \"x\"\nzzz = 1",
                "line 4: unknown key `zzz`; the keys are storage, bundle",
            ),
            (
                "\nstorage = 1",
                "line 2: invalid type: integer `1`, expected a string",
            ),
            ("", "missing field `storage`"),
        ] {
            assert_eq!(
                parse::<Sample>(text, &["storage", "bundle"])
                    .unwrap_err()
                    .to_string(),
                expected,
                "{text:?}"
            );
        }
        assert!(
            parse::<Sample>("a = [", &[])
                .unwrap_err()
                .to_string()
                .starts_with("line 1: ")
        );
    }
}
