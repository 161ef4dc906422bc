//! The numbers, for people.

use std::fmt::Write as _;

use crate::counts::File;

/// One line per file, and one for all.
pub(crate) fn of(files: &[File]) -> String {
    let mut table = format!(
        "{:<32} {:>17} {:>17} {:>6}\n",
        "guest/machine/src", "lines", "branches", "gaps"
    );
    let mut all = Numbers::default();
    for file in files {
        let numbers = Numbers::of(file);
        all.add(&numbers);
        numbers.write(&mut table, &file.name);
    }
    all.write(&mut table, "all");
    table
}

/// Of what there is, how much was reached.
#[derive(Default)]
struct Numbers {
    lines: (usize, usize),
    branches: (usize, usize),
    gaps: usize,
}

impl Numbers {
    fn of(file: &File) -> Self {
        let lines = file.line_counts();
        let sides = file.branches.values().flat_map(|(yes, no)| [*yes, *no]);
        Self {
            lines: (
                lines.values().filter(|count| **count > 0).count(),
                lines.len(),
            ),
            branches: (
                sides.filter(|count| *count > 0).count(),
                2 * file.branches.len(),
            ),
            gaps: file.gaps().len(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.lines.0 += other.lines.0;
        self.lines.1 += other.lines.1;
        self.branches.0 += other.branches.0;
        self.branches.1 += other.branches.1;
        self.gaps += other.gaps;
    }

    fn write(&self, table: &mut String, name: &str) {
        let _infallible = writeln!(
            table,
            "{name:<32} {:>17} {:>17} {:>6}",
            share(self.lines),
            share(self.branches),
            self.gaps
        );
    }
}

fn share((reached, all): (usize, usize)) -> String {
    if all == 0 {
        return String::from("-");
    }
    // Rounded down: 100 % is all.
    let tenths = reached * 1000 / all;
    format!("{reached}/{all} {:>3}.{} %", tenths / 10, tenths % 10)
}
