//! Leaves out of a failing run what it does not need to fail.

use crate::invariants::Broken;
use crate::options::Options;
use crate::world::run;

/// The smallest set of accidents found with which the same invariant still breaks; `tried` hears of each run: how many
/// accidents are left, how many runs there were.
///
/// Boxes count as accidents here: one that is left out is never switched on. What it finds is a run that fails, and no part
/// of the half that was tried last can be left out (delta debugging: Zeller and Hildebrandt, 2002).
///
/// # Errors
///
/// As [`run`].
pub fn shrink(
    options: &Options,
    broken: &Broken,
    most_runs: u32,
    mut tried: impl FnMut(usize, u32),
) -> anyhow::Result<Options> {
    let mut options = options.clone();
    options.record = false;
    let mut left = run(&options)?.accidents;
    let mut runs = 0;
    let fails = |only: &[u64]| -> anyhow::Result<Option<Vec<u64>>> {
        let options = Options {
            only: Some(only.to_vec()),
            ..options.clone()
        };
        let report = run(&options)?;
        let same = report
            .broken
            .is_some_and(|it| it.invariant == broken.invariant);
        Ok(same.then_some(report.accidents))
    };
    let mut parts = 2;
    while left.len() > 1 && parts <= left.len() {
        let size = left.len().div_ceil(parts);
        let mut smaller = None;
        for part in left.chunks(size) {
            if runs == most_runs {
                break;
            }
            runs += 1;
            let rest: Vec<u64> = left
                .iter()
                .filter(|it| !part.contains(it))
                .copied()
                .collect();
            smaller = fails(&rest)?;
            tried(left.len(), runs);
            if smaller.is_some() {
                break;
            }
        }
        match smaller {
            // Those that did not happen any more are gone, too.
            Some(smaller) => {
                left = smaller;
                parts = 2.max(parts - 1);
            }
            None if runs == most_runs || size == 1 => break,
            None => parts = (parts * 2).min(left.len()),
        }
    }
    options.only = Some(left);
    Ok(options)
}
