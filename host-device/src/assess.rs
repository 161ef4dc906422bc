//! `otscert-device assess`: finds out what the clock of a kind of board is worth (docs/ASSESSMENT.md).
//!
//! `collect` and `restart` run on the boards and only take samples. `judge` runs anywhere and decides, by the rules of
//! `otscert-assess`; what it accepts, HQ signs (`otscert-hq assessment sign`), and the image ships. Nothing here is
//! used by a box in service.

mod evidence;
mod folder;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use otscert_assess::evidence::{Start, UnitFile};
use otscert_assess::judge::{Judgement, LEAST_ROWS, ROW, Rule};
use otscert_assess::report::{Report, ReportError};
use otscert_assess::table;
use otscert_host::files;

use crate::board::jitter::JitterCollector;
use crate::cli::{AssessCommand, CollectArgs, JudgeArgs, RestartArgs};
use folder::{Folder, MAX_SAMPLES};

/// Why a command of `assess` did nothing.
#[derive(Debug, thiserror::Error)]
pub enum AssessError {
    /// A file cannot be read.
    #[error("reading {} failed: name a folder that `otscert-device assess collect` wrote", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("writing {} failed: check the folder's owner, and that there is room", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged: {problem}; copy the unit's folder again, or collect again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A unit's name does not fit.
    #[error(
        "`{got}` is no name for a unit: 1 to 32 characters a-z A-Z 0-9 - _ . are, without a dot in front"
    )]
    Name {
        /// The name.
        got: String,
    },
    /// A number of samples does not fit.
    #[error("{got} samples: take 1000 to {MAX_SAMPLES}; a real assessment takes 1000000")]
    Samples {
        /// How many.
        got: u64,
    },
    /// Another one runs.
    #[error("another otscert-device adds a row in {}: let each start run one", path.display())]
    Locked {
        /// The unit's folder.
        path: PathBuf,
    },
    /// The system was not started anew.
    #[error(
        "nothing was taken: {rows} rows are there, and one was taken since this system started. Cut the power and start \
         again. (--process-restarts takes it all the same, for a trial; `judge` refuses such rows)"
    )]
    SameBoot {
        /// How many rows are there.
        rows: usize,
    },
    /// A folder without a unit.
    #[error("{} holds no unit: `otscert-device assess collect --out` writes a folder for each", path.display())]
    NoUnit {
        /// The folder.
        path: PathBuf,
    },
    /// Too many units.
    #[error("{got} units; {most} are the most that are judged at once")]
    TooMany {
        /// How many.
        got: usize,
        /// How many may be.
        most: usize,
    },
    /// What is to be written does not fit.
    #[error("the assessment cannot be written")]
    Report(#[from] ReportError),
    /// Nobody reads the output.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

impl AssessError {
    fn read(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Read { path, source }
    }

    fn write(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Write { path, source }
    }

    fn damaged(path: &Path, problem: String) -> Self {
        let path = path.to_owned();
        Self::Damaged { path, problem }
    }
}

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All is well: exit code 0.
    Well,
    /// The clock is refused, and it has been said why: exit code 1.
    Refused,
}

/// Runs a command, and says for people what came of it.
///
/// # Errors
///
/// [`AssessError`]; nothing was written then.
pub fn run(command: &AssessCommand, out: &mut dyn Write) -> Result<Verdict, AssessError> {
    match command {
        AssessCommand::Collect(args) => collect(args, out),
        AssessCommand::Restart(args) => restart(args, out),
        AssessCommand::Judge(args) => judge(args, out),
    }
}

fn collect(args: &CollectArgs, out: &mut dyn Write) -> Result<Verdict, AssessError> {
    if !(LEAST_SAMPLES..=MAX_SAMPLES).contains(&args.samples) {
        return Err(AssessError::Samples { got: args.samples });
    }
    let folder = Folder::of(&args.out, &args.unit_name)?;
    let mut collector = JitterCollector::new();
    // Before the samples are taken: taking them is load.
    let evidence = evidence::look(Path::new(SYSTEM), collector.buffer_bytes());
    let deltas = collector.deltas(args.samples as usize);
    let file = UnitFile {
        format: UnitFile::FORMAT,
        unit: args.unit_name.clone(),
        step_ns: collector.step_ns(),
        samples: args.samples,
        evidence,
    };
    folder.write(&file, &deltas)?;
    writeln!(
        out,
        "{} runtime samples of unit {} are in {}: clock step {} ns, clock source {}.",
        file.samples,
        file.unit,
        folder.path().display(),
        file.step_ns,
        file.evidence.clock_source
    )?;
    for sign in &file.evidence.virtual_signs {
        writeln!(
            out,
            "This is not a board of its own: {sign}. `judge` will refuse it."
        )?;
    }
    writeln!(
        out,
        "Next: `otscert-device assess restart --out {} --unit-name {}` once after each of {LEAST_ROWS} power cycles.",
        args.out.display(),
        args.unit_name
    )?;
    Ok(Verdict::Well)
}

fn restart(args: &RestartArgs, out: &mut dyn Write) -> Result<Verdict, AssessError> {
    // First of all, as a box does: what it samples at its start is what counts.
    let mut collector = JitterCollector::new();
    let deltas = collector.deltas(ROW);
    let folder = Folder::of(&args.out, &args.unit_name)?;
    let rows = folder.rows()?;
    let there = rows.len();
    if there >= LEAST_ROWS {
        writeln!(
            out,
            "Unit {} has its {LEAST_ROWS} rows; nothing more was taken.",
            args.unit_name
        )?;
        return Ok(Verdict::Well);
    }
    let boot = evidence::boot(Path::new(SYSTEM));
    if rows.has_boot(&boot) && !args.process_restarts {
        return Err(AssessError::SameBoot { rows: there });
    }
    let start = Start {
        boot,
        step_ns: collector.step_ns(),
        process_restart: args.process_restarts,
    };
    let there = rows.push(&start, &deltas)?;
    let left = LEAST_ROWS.saturating_sub(there);
    match left {
        0 => writeln!(
            out,
            "Unit {} has its {LEAST_ROWS} rows. Next: copy {} to where you judge.",
            args.unit_name,
            folder.path().display()
        )?,
        left => writeln!(
            out,
            "Unit {} has {there} of {LEAST_ROWS} rows; {left} more power cycles.",
            args.unit_name
        )?,
    }
    Ok(Verdict::Well)
}

fn judge(args: &JudgeArgs, out: &mut dyn Write) -> Result<Verdict, AssessError> {
    let units = Folder::read_all(&args.folders)?;
    let allowed = args.allowed();
    writeln!(
        out,
        "Judging {} units; this takes half a minute for each, or more on a busy machine.",
        units.len()
    )?;
    out.flush()?;
    let judgement = Judgement::of(&units, &allowed);
    let report = Report::of(&judgement, &args.id, &args.models, &args.cause)?;
    writeln!(out)?;
    for line in table::figures(&judgement) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)?;
    for line in table::verdict(&judgement) {
        writeln!(out, "{line}")?;
    }
    let Some(report) = report else {
        return Ok(Verdict::Refused);
    };
    files::replace(&args.out, &report.to_bytes())
        .map_err(|source| AssessError::write(&args.out, source))?;
    writeln!(
        out,
        "Written: {}. Next, at HQ: `otscert-hq assessment sign {}`.",
        args.out.display(),
        args.out.display()
    )?;
    Ok(Verdict::Well)
}

impl JudgeArgs {
    /// The rules that a flag overrides.
    fn allowed(&self) -> Vec<Rule> {
        [
            (self.danger_virtual, Rule::Virtual),
            (self.danger_busy, Rule::Busy),
            (self.danger_one_board, Rule::OneBoard),
            (self.danger_process_restarts, Rule::ProcessRestarts),
            (self.danger_few, Rule::Samples),
            (self.danger_few, Rule::Rows),
        ]
        .into_iter()
        .filter_map(|(is_set, rule)| is_set.then_some(rule))
        .collect()
    }
}

/// The system that this program runs on.
const SYSTEM: &str = "/";
const LEAST_SAMPLES: u64 = 1000;
