//! The rules, each with what was found and what to do.

use otscert_machine::entropy::MOST_FAULTS;
use otscert_machine::entropy::assessment::LEAST_ENTROPY;

use super::{
    COARSE_STEP_NS, LEAST_ROWS, LEAST_SAMPLES, LEAST_UNITS, MOST_LOAD, ROW, Rule, Unit, UnitResult,
    faults, symbols,
};
use crate::sibling::shared_sequence;

/// What is asked of all units together.
pub(super) fn fleet(units: &[Unit], refuse: &mut dyn FnMut(Rule, String)) {
    if units.len() < LEAST_UNITS {
        let got = units.len();
        let why = format!(
            "{got} of at least {LEAST_UNITS} units: what one board does says nothing of its kind; collect on more of them"
        );
        refuse(Rule::Units, why);
    }
    for (number, unit) in units.iter().enumerate() {
        let twin = units
            .iter()
            .take(number)
            .find(|other| other.evidence.board == unit.evidence.board);
        if let Some(twin) = twin {
            let why = format!(
                "{} and {}: taken on one and the same board; take each unit's on a board of its own",
                twin.name, unit.name
            );
            refuse(Rule::OneBoard, why);
        }
    }
    let steps = || units.iter().map(|unit| unit.step_ns);
    if let (Some(least), Some(most)) = (steps().min(), steps().max())
        && most > least.saturating_mul(2)
    {
        let why = format!(
            "the units' clocks count in steps of {least} to {most} ns: they are not boards of one kind, or their kernels \
             are configured differently; assess each kind by itself"
        );
        refuse(Rule::OtherSteps, why);
    }
}

/// What the circumstances of a unit's samples forbid.
pub(super) fn circumstances(unit: &Unit, refuse: &mut dyn FnMut(Rule, String)) {
    let name = &unit.name;
    let evidence = &unit.evidence;
    if !evidence.virtual_signs.is_empty() {
        let signs = evidence.virtual_signs.join("; ");
        let why = format!(
            "{name}: not a board of its own ({signs}): whoever runs the host or shares its processor sees or sets this \
             clock; assess on the boards that are sold"
        );
        refuse(Rule::Virtual, why);
    }
    match evidence.load_hundredths {
        Some(load) if load <= MOST_LOAD => {}
        load => {
            let load = load.map_or("unknown".to_owned(), |load| {
                format!("{:.2}", f64::from(load) / 100.0)
            });
            let why = format!(
                "{name}: busy (load {load} before the samples were taken): other work adds noise that a box in a cupboard \
                 does not have; assess on an idle unit, some minutes after its start"
            );
            refuse(Rule::Busy, why);
        }
    }
    let samples = unit.deltas.len();
    if samples < LEAST_SAMPLES {
        let why = format!(
            "{name}: {samples} of {LEAST_SAMPLES} runtime samples; run `otscert-device assess collect` again with more"
        );
        refuse(Rule::Samples, why);
    }
    let rows = unit.starts.len();
    if rows < LEAST_ROWS {
        let why = format!(
            "{name}: {rows} of {LEAST_ROWS} power cycles; let `otscert-device assess restart` run at each start until \
             they are there"
        );
        refuse(Rule::Rows, why);
    }
    let mut boots: Vec<&str> = unit
        .starts
        .iter()
        .map(|start| start.boot.as_str())
        .collect();
    boots.sort_unstable();
    boots.dedup();
    let of_process = unit
        .starts
        .iter()
        .filter(|start| start.process_restart)
        .count();
    let again = of_process.max(rows - boots.len());
    if again > 0 {
        let why = format!(
            "{name}: {again} rows were taken after a restart of the program only: the board kept its state, so this says \
             nothing of a power cycle; cut the power between rows"
        );
        refuse(Rule::ProcessRestarts, why);
    }
}

/// What the figures of a unit forbid.
pub(super) fn figures(unit: &Unit, result: &UnitResult, refuse: &mut dyn FnMut(Rule, String)) {
    let name = &unit.name;
    match unit.step_ns {
        0 => {
            let why =
                format!("{name}: its clock shows no step at all, as one that stands still does");
            refuse(Rule::CoarseClock, why);
        }
        step if step >= COARSE_STEP_NS => {
            let why = format!(
                "{name}: its clock counts in steps of {step} ns, and {COARSE_STEP_NS} is too coarse: what varies is \
                 smaller than that; use a finer clock source, or another source of randomness"
            );
            refuse(Rule::CoarseClock, why);
        }
        _ => {}
    }
    let stretches = faults(unit);
    let given_up = stretches
        .iter()
        .filter(|faults| **faults >= usize::from(MOST_FAULTS))
        .count();
    if given_up > 0 {
        let why = format!(
            "{name}: a box would give this clock up: its health tests found {} faults, {MOST_FAULTS} or more in {given_up} \
             of {} stretches as long as a first boot (docs/adr/0011); its deltas can be foretold",
            result.faults,
            stretches.len()
        );
        refuse(Rule::Health, why);
    }
    let least = (result.least().max(0.0) * 1000.0) as u64;
    if least < LEAST_ENTROPY {
        let why = format!(
            "{name}: {:.4} bits a delta at least, less than a sixteenth: its deltas can be foretold",
            result.least().max(0.0)
        );
        refuse(Rule::Entropy, why);
    }
    let Some((rows, columns, sanity)) = &result.restarts else {
        return;
    };
    if !sanity.passes() {
        let why = format!(
            "{name}: one value is {} of {ROW} deltas after one start, and {} of {} at one place of all starts, too often for \
             {:.4} bits a delta (SP 800-90B section 3.1.4.3): it starts the same again and again",
            sanity.in_row,
            sanity.in_column,
            unit.starts.len(),
            result.initial_entropy()
        );
        refuse(Rule::RestartSanity, why);
    }
    let (of_rows, of_columns) = (rows.least(), columns.least());
    if of_rows.min(of_columns) < result.initial_entropy() / 2.0 {
        let why = format!(
            "{name}: after a start its deltas have {of_rows:.4} bits in rows and {of_columns:.4} in columns, less than half \
             of the {:.4} that stand for runtime samples (SP 800-90B section 3.1.4.2)",
            result.initial_entropy()
        );
        refuse(Rule::RestartValidation, why);
    }
}

/// What units say of each other.
pub(super) fn siblings(
    units: &[Unit],
    results: &[UnitResult],
    column_guess: Option<f64>,
    refuse: &mut dyn FnMut(Rule, String),
) {
    for (number, (unit, result)) in units.iter().zip(results).enumerate() {
        for (other, others) in units.iter().zip(results).take(number) {
            let bits = result.initial_entropy().min(others.initial_entropy());
            let of = |unit: &Unit| symbols(&unit.deltas, unit.step_ns);
            let (shared, limit) = shared_sequence(&of(other), &of(unit), bits);
            if shared > limit {
                let why = format!(
                    "{} and {}: the same {shared} deltas in a row, where chance gives no more than {limit}: their clock is \
                     a fixed sequence, whatever the estimators say of each",
                    other.name, unit.name
                );
                refuse(Rule::SharedSequence, why);
            }
        }
    }
    if let Some(bits) = column_guess
        && ((bits.max(0.0) * 1000.0) as u64) < LEAST_ENTROPY
    {
        let why = format!(
            "whoever has the other units guesses a delta after a start up to {bits:.4} bits: units start alike"
        );
        refuse(Rule::ColumnGuess, why);
    }
}
