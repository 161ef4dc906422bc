//! The judgement in words and figures.

use crate::estimate::Estimator;
use crate::judge::{Judgement, Refusal, UnitResult};

/// The figures of all units, for a fixed-width font.
#[must_use]
pub fn figures(judgement: &Judgement) -> Vec<String> {
    let name = judgement
        .units
        .iter()
        .map(|unit| unit.name.len())
        .max()
        .unwrap_or(0)
        .max(4);
    let mut lines = vec![format!(
        "{:<name$}  {:>10}  {:>10}  {:>6}  {:>7}  {:>7}  {:>7}  {:>7}",
        "unit", "step", "median", "faults", "H_I", "H_r", "H_c", "least"
    )];
    for unit in &judgement.units {
        let restarts = |pick: fn(&UnitResult) -> Option<f64>| bits(pick(unit));
        lines.push(format!(
            "{:<name$}  {:>10}  {:>10}  {:>6}  {:>7}  {:>7}  {:>7}  {:>7}",
            unit.name,
            format!("{} ns", unit.step_ns),
            format!("{} ns", unit.median_ns),
            unit.faults,
            bits(Some(unit.initial_entropy())),
            restarts(|unit| unit.restarts.as_ref().map(|(rows, _, _)| rows.least())),
            restarts(|unit| unit
                .restarts
                .as_ref()
                .map(|(_, columns, _)| columns.least())),
            bits(Some(unit.least())),
        ));
    }
    lines.push(String::new());
    let heads: String = Estimator::ALL
        .iter()
        .map(|estimator| format!("  {:>11}", estimator.name()))
        .collect();
    lines.push(format!("{:<name$}  {:<7}{heads}", "unit", "from"));
    for unit in &judgement.units {
        let mut line = |from: &str, by: &dyn Fn(Estimator) -> Option<f64>| {
            let cells: String = Estimator::ALL
                .iter()
                .map(|it| format!("  {:>11}", bits(by(*it))))
                .collect();
            lines.push(format!("{:<name$}  {from:<7}{cells}", unit.name));
        };
        line("runtime", &|it| unit.initial.by(it));
        if let Some((rows, columns, _)) = &unit.restarts {
            line("rows", &|it| rows.by(it));
            line("columns", &|it| columns.by(it));
        }
    }
    lines.push(String::new());
    lines.push(format!(
        "Guessing a unit's deltas after a start from the other units: {} bits a delta at the worst place.",
        bits(judgement.column_guess)
    ));
    lines.push("All figures but step, median and faults are bits of min-entropy a delta (SP 800-90B section 6.3).".into());
    lines.push("H_I is the least of a unit's runtime figures, and no more than the third of a bit that is claimed.".into());
    lines
}

/// The verdict, for people.
#[must_use]
pub fn verdict(judgement: &Judgement) -> Vec<String> {
    let mut lines = Vec::new();
    let item = |refusal: &Refusal| match refusal.rule.danger_flag() {
        Some(flag) => format!("  - {refusal} ({flag} overrides it, for a trial)"),
        None => format!("  - {refusal}"),
    };
    if !judgement.overridden.is_empty() {
        lines.push("Overridden; an assessment with any of this is for a trial only:".to_owned());
        lines.extend(
            judgement
                .overridden
                .iter()
                .map(|refusal| format!("  - {refusal}")),
        );
    }
    if judgement.refusals.is_empty() {
        lines.push(format!(
            "Accepted: at least {} thousandths of a bit a delta, with a clock step of {} ns. A box credits 4.",
            judgement.min_entropy(),
            judgement.step_ns()
        ));
    } else {
        lines.push("Refused. This clock must count nothing, because:".to_owned());
        lines.extend(judgement.refusals.iter().map(item));
    }
    lines
}

fn bits(bits: Option<f64>) -> String {
    bits.map_or("-".to_owned(), |bits| format!("{:.4}", bits.max(0.0)))
}
