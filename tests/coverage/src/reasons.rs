//! Why there are gaps.

use std::fmt;

use serde::Deserialize;

use crate::counts::File;

/// The file of reasons.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reasons {
    #[serde(default)]
    reason: Vec<Reason>,
}

/// A reason, and the gaps that it is the reason for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// Why no test reaches it.
    because: String,
    gaps: Vec<Named>,
}

/// A gap, by its place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    /// Under `guest/machine/src`.
    file: String,
    /// Its first line, without the indentation. Gaps that begin alike stand in their order.
    line: String,
    /// How many lines it has.
    #[serde(default = "one")]
    lines: u32,
}

/// What came out.
pub(crate) struct Report {
    text: String,
    unexplained: usize,
    outdated: usize,
}

impl Reasons {
    /// Every gap with its reason.
    pub(crate) fn of(&self, files: &[File]) -> Report {
        let mut named: Vec<(&Named, Option<&str>)> = Vec::new();
        for reason in &self.reason {
            named.extend(
                reason
                    .gaps
                    .iter()
                    .map(|gap| (gap, Some(reason.because.as_str()))),
            );
        }
        let (mut text, mut unexplained) = (String::new(), 0);
        for file in files {
            for gap in file.gaps() {
                let lines = gap.last - gap.first + 1;
                let reason = named.iter_mut().find(|(it, because)| {
                    because.is_some()
                        && it.file == file.name
                        && it.line == gap.text
                        && it.lines == lines
                });
                let because = reason.and_then(|(_, because)| because.take());
                unexplained += usize::from(because.is_none());
                text.push_str(&format!(
                    "{}:{}{}  {}\n    {}\n    {}\n",
                    file.name,
                    gap.first,
                    if lines > 1 {
                        format!(" ({lines} lines)")
                    } else {
                        String::new()
                    },
                    gap.missing,
                    gap.text,
                    because.map_or_else(
                        || String::from("NO REASON GIVEN"),
                        |it| format!("because {it}")
                    ),
                ));
            }
        }
        let left: Vec<&Named> = named
            .iter()
            .filter(|(_, it)| it.is_some())
            .map(|(it, _)| *it)
            .collect();
        for it in &left {
            text.push_str(&format!(
                "{}: a reason for {} lines from\n    {}\n    NO SUCH GAP\n",
                it.file, it.lines, it.line
            ));
        }
        Report {
            text,
            unexplained,
            outdated: left.len(),
        }
    }
}

impl Report {
    /// Whether every gap has a reason, and every reason a gap.
    pub(crate) const fn is_complete(&self) -> bool {
        self.unexplained == 0 && self.outdated == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{} gaps without a reason, {} reasons without a gap",
            self.text, self.unexplained, self.outdated
        )
    }
}

const fn one() -> u32 {
    1
}
