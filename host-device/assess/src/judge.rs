//! The judgement: what the samples of several units are worth, and what must be refused.
//!
//! Rules come from SP 800-90B where it has one (restart tests), from the machine where the machine has one (health
//! tests, the least that it believes), and else from docs/ASSESSMENT.md, which gives the reasons. What no statistic can
//! find (emulators, a board that is one of many tenants) is refused by the evidence that was taken with the samples.

mod rules;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use otscert_machine::entropy::jitter::Jitter;
use otscert_machine::entropy::{Source, SourceId, SourceKind};

use crate::estimate::{Estimates, Initial, Symbols};
use crate::evidence::{Evidence, Start};
use crate::restart::{Matrix, Sanity};
use crate::sibling::column_guess;

/// Everything that was collected on one unit.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// The step of its clock, in nanoseconds; 0 if unknown.
    pub step_ns: u64,
    /// Runtime samples: deltas in nanoseconds.
    pub deltas: Vec<u32>,
    /// One for each row of restart samples.
    pub starts: Vec<Start>,
    /// Restart samples, [`ROW`] deltas a start.
    pub rows: Vec<u32>,
    /// The circumstances.
    pub evidence: Evidence,
}

/// What may be wrong with an assessment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Less than [`LEAST_UNITS`] units.
    Units,
    /// Less than [`LEAST_SAMPLES`] runtime samples.
    Samples,
    /// Less than [`LEAST_ROWS`] restarts.
    Rows,
    /// The program was started again, not the board.
    ProcessRestarts,
    /// Two units are one board.
    OneBoard,
    /// An emulator, a hypervisor, a container.
    Virtual,
    /// Something else ran.
    Busy,
    /// The clock counts in steps of [`COARSE_STEP_NS`] or more.
    CoarseClock,
    /// The units' clocks count in different steps.
    OtherSteps,
    /// The machine would strike the source.
    Health,
    /// Less than the machine believes.
    Entropy,
    /// SP 800-90B section 3.1.4.3.
    RestartSanity,
    /// SP 800-90B section 3.1.4.2.
    RestartValidation,
    /// Two units gave the same sequence.
    SharedSequence,
    /// Units foretell each other's start.
    ColumnGuess,
}

impl Rule {
    /// The flag that overrides it, for those that a trial of the kit meets; none for the others.
    #[must_use]
    pub const fn danger_flag(self) -> Option<&'static str> {
        match self {
            Self::Samples | Self::Rows => Some("--danger-few"),
            Self::ProcessRestarts => Some("--danger-process-restarts"),
            Self::OneBoard => Some("--danger-one-board"),
            Self::Virtual => Some("--danger-virtual"),
            Self::Busy => Some("--danger-busy"),
            Self::Units
            | Self::CoarseClock
            | Self::OtherSteps
            | Self::Health
            | Self::Entropy
            | Self::RestartSanity
            | Self::RestartValidation
            | Self::SharedSequence
            | Self::ColumnGuess => None,
        }
    }
}

/// Why an assessment is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which rule.
    pub rule: Rule,
    /// What was found, and what to do, for people.
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

/// What was found out about one unit.
#[derive(Debug, Clone)]
pub struct UnitResult {
    /// Its name.
    pub name: String,
    /// The step of its clock, in nanoseconds.
    pub step_ns: u64,
    /// The median of its deltas, in nanoseconds.
    pub median_ns: u32,
    /// How often the machine's tests found a fault in its runtime samples.
    pub faults: usize,
    /// From runtime samples; the least is H_I.
    pub initial: Initial,
    /// From restart samples, row by row (H_r) and column by column (H_c); none without any.
    pub restarts: Option<(Estimates, Estimates, Sanity)>,
}

impl UnitResult {
    /// H_I: what the estimators say of runtime samples, and no more than is claimed ([`CLAIM`]), in bits a delta.
    #[must_use]
    pub fn initial_entropy(&self) -> f64 {
        claimed(&self.initial)
    }

    /// min(H_I, H_r, H_c), in bits a delta.
    #[must_use]
    pub fn least(&self) -> f64 {
        let initial = self.initial_entropy();
        match &self.restarts {
            Some((rows, columns, _)) => initial.min(rows.least()).min(columns.least()),
            None => initial,
        }
    }
}

/// The judgement over all units.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Each unit's figures.
    pub units: Vec<UnitResult>,
    /// What is left of a unit's start to whoever has the others, in bits a delta.
    pub column_guess: Option<f64>,
    /// Why it is refused; empty if it is not.
    pub refusals: Vec<Refusal>,
    /// Refusals that a `--danger` flag overrode.
    pub overridden: Vec<Refusal>,
}

impl Judgement {
    /// Judges units. `allowed` are the rules that a `--danger` flag overrides; a rule without such a flag stays. Takes
    /// half a minute of a core for each unit of a million samples and as many after restarts, and 200 MB a thread.
    #[must_use]
    pub fn of(units: &[Unit], allowed: &[Rule]) -> Self {
        let (results, matrices) = examine(units);
        let column_guess = column_guess(&matrices.iter().collect::<Vec<_>>());
        let mut refusals = Vec::new();
        let mut refuse = |rule, why: String| refusals.push(Refusal { rule, why });
        rules::fleet(units, &mut refuse);
        for (unit, result) in units.iter().zip(&results) {
            rules::circumstances(unit, &mut refuse);
            rules::figures(unit, result, &mut refuse);
        }
        rules::siblings(units, &results, column_guess, &mut refuse);
        let is_overridden = |refusal: &Refusal| {
            refusal.rule.danger_flag().is_some() && allowed.contains(&refusal.rule)
        };
        let (overridden, refusals) = refusals.into_iter().partition(is_overridden);
        Self {
            units: results,
            column_guess,
            refusals,
            overridden,
        }
    }

    /// The lowest of all figures, in bits a delta.
    #[must_use]
    pub fn least(&self) -> f64 {
        let units = self.units.iter().map(UnitResult::least);
        let least = units.chain(self.column_guess).reduce(f64::min);
        least.unwrap_or(0.0)
    }

    /// The lowest of all figures as the signed file has it: thousandths of a bit per delta, rounded down.
    #[must_use]
    pub fn min_entropy(&self) -> u64 {
        (self.least().max(0.0) * 1000.0) as u64
    }

    /// The step that the signed file names: the median of the units', in nanoseconds.
    #[must_use]
    pub fn step_ns(&self) -> u64 {
        let mut steps: Vec<u64> = self.units.iter().map(|unit| unit.step_ns).collect();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().unwrap_or(0)
    }
}

/// What the machine looks at: the low byte of each delta, in steps of the clock
/// (`guest/machine/src/entropy/jitter.rs`).
fn symbols(deltas: &[u32], step_ns: u64) -> Vec<u8> {
    let step = step_ns.max(1);
    deltas
        .iter()
        .map(|delta| (u64::from(*delta) / step) as u8)
        .collect()
}

/// Runs all estimators, as many at once as there are processors, at most [`MOST_THREADS`].
fn examine(units: &[Unit]) -> (Vec<UnitResult>, Vec<Matrix>) {
    enum Done {
        Initial(Initial),
        Rows(Estimates),
        Columns(Estimates),
    }
    let matrices: Vec<Matrix> = units
        .iter()
        .map(|unit| Matrix::new(symbols(&unit.rows, unit.step_ns), ROW))
        .collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            let (number, part) = (task / 3, task % 3);
            let (Some(unit), Some(matrix)) = (units.get(number), matrices.get(number)) else {
                return;
            };
            let result = match part {
                0 => Done::Initial(Initial::of(&Symbols::new(symbols(
                    &unit.deltas,
                    unit.step_ns,
                )))),
                1 => Done::Rows(matrix.estimate_rows()),
                _ => Done::Columns(matrix.estimate_columns()),
            };
            if let Ok(mut done) = done.lock() {
                done.push((number, result));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..threads.min(MOST_THREADS) {
            scope.spawn(work);
        }
        work();
    });
    let done = done.into_inner().unwrap_or_default();
    let results = units.iter().zip(&matrices).enumerate();
    let results = results.map(|(number, (unit, matrix))| {
        let of_unit = || done.iter().filter(|(other, _)| *other == number);
        let initial = of_unit().find_map(|(_, done)| match done {
            Done::Initial(initial) => Some(initial.clone()),
            Done::Rows(_) | Done::Columns(_) => None,
        });
        let rows = of_unit().find_map(|(_, done)| match done {
            Done::Rows(rows) => Some(rows.clone()),
            Done::Initial(_) | Done::Columns(_) => None,
        });
        let columns = of_unit().find_map(|(_, done)| match done {
            Done::Columns(columns) => Some(columns.clone()),
            Done::Initial(_) | Done::Rows(_) => None,
        });
        // A worker that is lost takes the whole judgement with it, so each has been done.
        let initial = initial.unwrap_or_else(|| Initial::of(&Symbols::new(Vec::new())));
        let sanity = matrix.sanity(claimed(&initial));
        let both = rows.zip(columns).filter(|_| matrix.rows() > 0);
        UnitResult {
            name: unit.name.clone(),
            step_ns: unit.step_ns,
            median_ns: median(&unit.deltas),
            faults: faults(unit).iter().sum(),
            initial,
            restarts: both.map(|(rows, columns)| (rows, columns, sanity)),
        }
    });
    (results.collect(), matrices)
}

/// H_I of SP 800-90B section 3.1.3, with [`CLAIM`] as the submitter's.
fn claimed(initial: &Initial) -> f64 {
    initial.least().min(CLAIM)
}

fn median(deltas: &[u32]) -> u32 {
    let mut sorted = deltas.to_vec();
    let middle = sorted.len() / 2;
    match sorted.is_empty() {
        true => 0,
        false => *sorted.select_nth_unstable(middle).1,
    }
}

/// How many faults the machine's own tests find in each stretch of [`FIRST_BOOT`] runtime samples.
fn faults(unit: &Unit) -> Vec<usize> {
    let source = Source {
        id: SourceId::new(0),
        kind: SourceKind::Jitter,
        family: String::new(),
        assessment: None,
        observed_step_ns: unit.step_ns,
        label: String::new(),
    };
    let of_stretch = |deltas: &[u32]| {
        let mut tests = Jitter::new(&source, &[]);
        let samples = deltas.chunks(SAMPLE);
        let faults = samples.filter(|sample| {
            let bytes: Vec<u8> = sample
                .iter()
                .flat_map(|delta| delta.to_le_bytes())
                .collect();
            tests.test(&source, &bytes).is_err()
        });
        faults.count()
    };
    unit.deltas.chunks(FIRST_BOOT).map(of_stretch).collect()
}

/// Units that it takes.
pub const LEAST_UNITS: usize = 3;
/// Runtime samples that it takes of each unit (SP 800-90B section 3.1.1).
pub const LEAST_SAMPLES: usize = 1_000_000;
/// Starts that it takes of each unit (SP 800-90B section 3.1.4.1).
pub const LEAST_ROWS: usize = 1000;
/// Samples after each start (SP 800-90B section 3.1.4.1).
pub const ROW: usize = 1000;
/// What is claimed at most, in bits a delta: a third, as the machine's health tests assume (docs/adr/0011). What the
/// estimators say beyond it is neither needed nor believed.
pub const CLAIM: f64 = 1.0 / 3.0;
/// A clock step that is too coarse, in nanoseconds: rounded to it, deltas of an honest board had 0.03 bits.
pub const COARSE_STEP_NS: u64 = 100;
/// The most load before samples are taken, in hundredths of a process.
pub const MOST_LOAD: u32 = 50;

/// What a box samples at its first boot.
const FIRST_BOOT: usize = 65_536;
/// Deltas in one sample of a box (`wit/entropy.wit`): its tests start afresh after a fault.
const SAMPLE: usize = 1024;
const MOST_THREADS: usize = 4;
