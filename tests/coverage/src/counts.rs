//! What LLVM counted, added up over all programs that the machine is part of.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::SOURCES;

/// What `llvm-cov export` prints, as far as it is of use here.
#[derive(Deserialize)]
pub(crate) struct Counts {
    data: Vec<Export>,
}

#[derive(Deserialize)]
struct Export {
    functions: Vec<Function>,
}

/// A function in one program: the same function stands here once for each.
#[derive(Deserialize)]
struct Function {
    filenames: Vec<String>,
    regions: Vec<Region>,
    branches: Vec<Branch>,
}

/// Line and column where it begins, line and column where it ends, how often it ran, two places in
/// `filenames` (the second for expansions), and its kind.
#[derive(Deserialize)]
struct Region(u32, u32, u32, u32, u64, usize, IgnoredAny, u32);

/// As [`Region`], with how often it came out true and how often false.
#[derive(Deserialize)]
struct Branch(u32, u32, u32, u32, u64, u64, usize, IgnoredAny, IgnoredAny);

/// Where code stands: lines and columns from 1, the end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Line and column.
    pub(crate) begin: (u32, u32),
    /// Line and column.
    pub(crate) end: (u32, u32),
}

/// One source file.
pub(crate) struct File {
    /// Under `guest/machine/src`.
    pub(crate) name: String,
    /// Its lines, without the unit tests at its end.
    pub(crate) lines: Vec<String>,
    /// How often each piece of code ran.
    pub(crate) regions: BTreeMap<Place, u64>,
    /// How often each condition came out true, and how often false.
    pub(crate) branches: BTreeMap<Place, (u64, u64)>,
}

impl Counts {
    /// # Errors
    ///
    /// If it is not what `llvm-cov export` prints.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        serde_json::from_slice(text).context("reading what llvm-cov says")
    }

    /// The counts by file.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or none was counted.
    pub(crate) fn files(self) -> Result<Vec<File>> {
        let mut files = BTreeMap::new();
        for function in self.data.into_iter().flat_map(|export| export.functions) {
            for Region(line, column, end_line, end_column, count, file, _, kind) in function.regions
            {
                let place = Place {
                    begin: (line, column),
                    end: (end_line, end_column),
                };
                if kind == CODE
                    && let Some(file) = named(&mut files, &function.filenames, file)?
                    && file.has(place)
                {
                    *file.regions.entry(place).or_default() += count;
                }
            }
            for Branch(line, column, end_line, end_column, yes, no, file, _, _) in function.branches
            {
                let place = Place {
                    begin: (line, column),
                    end: (end_line, end_column),
                };
                if let Some(file) = named(&mut files, &function.filenames, file)?
                    && file.has(place)
                {
                    let counted = file.branches.entry(place).or_default();
                    counted.0 += yes;
                    counted.1 += no;
                }
            }
        }
        ensure!(!files.is_empty(), "llvm-cov says nothing of {SOURCES}");
        Ok(files.into_values().collect())
    }
}

/// The file at this place of `names`, if it is one of the machine's.
fn named<'a>(
    files: &'a mut BTreeMap<String, File>,
    names: &[String],
    place: usize,
) -> Result<Option<&'a mut File>> {
    let full = names.get(place).context("llvm-cov names no file")?;
    let Some((_, name)) = full.split_once(&format!("{SOURCES}/")) else {
        return Ok(None);
    };
    if FOR_TESTS.contains(&name) {
        return Ok(None);
    }
    if !files.contains_key(name) {
        files.insert(name.to_owned(), File::read(name)?);
    }
    Ok(files.get_mut(name))
}

impl File {
    fn read(name: &str) -> Result<Self> {
        let path = Path::new(SOURCES).join(name);
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // Unit tests stand at the bottom.
        let tests = lines
            .windows(2)
            .position(|it| it == ["#[cfg(test)]", "mod tests {"]);
        lines.truncate(tests.unwrap_or(lines.len()));
        Ok(Self {
            name: name.to_owned(),
            lines,
            regions: BTreeMap::new(),
            branches: BTreeMap::new(),
        })
    }

    fn has(&self, place: Place) -> bool {
        self.line(place.begin.0).is_some()
    }

    /// How often each line ran that has code: the most of what stands in it.
    pub(crate) fn line_counts(&self) -> BTreeMap<u32, u64> {
        let mut lines: BTreeMap<u32, u64> = BTreeMap::new();
        for (place, count) in &self.regions {
            let most = lines.entry(place.begin.0).or_default();
            *most = (*most).max(*count);
        }
        lines
    }

    /// A line, from 1.
    pub(crate) fn line(&self, number: u32) -> Option<&str> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.lines.get(index).map(String::as_str)
    }
}

impl Place {
    /// Whether the other lies in it.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        self.begin <= other.begin && other.end <= self.end
    }
}

/// Of [`Region`]: neither an expansion, nor skipped, nor a gap between others.
const CODE: u32 = 0;
/// Modules that only the machine's own tests have.
const FOR_TESTS: [&str; 1] = ["wire/json/oracle.rs"];
