//! What no test reaches.

use std::collections::BTreeSet;

use crate::counts::{File, Place};

/// Lines that follow each other, in each of which something is missing.
pub(crate) struct Gap {
    /// From 1.
    pub(crate) first: u32,
    /// From 1, the last of them.
    pub(crate) last: u32,
    /// The first line, without its indentation.
    pub(crate) text: String,
    /// For people: what is missing.
    pub(crate) missing: String,
}

impl File {
    /// All gaps, from top to bottom.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        for (place, missing) in self.missing() {
            // A region ends where the next begins, often with the line.
            let last = place.end.0.max(place.begin.0);
            if let Some(gap) = gaps.last_mut()
                && place.begin.0 <= gap.last + 1
            {
                gap.last = gap.last.max(last);
                if !gap.missing.contains(missing) {
                    gap.missing.push_str(", ");
                    gap.missing.push_str(missing);
                }
                continue;
            }
            gaps.push(Gap {
                first: place.begin.0,
                last,
                text: self
                    .line(place.begin.0)
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
                missing: missing.to_owned(),
            });
        }
        gaps
    }

    /// Every place where something is missing, and what. What lies in code that never ran is not
    /// listed again.
    fn missing(&self) -> BTreeSet<(Place, &'static str)> {
        let never: Vec<Place> = self
            .regions
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(place, _)| *place)
            .collect();
        let inside = |place: &Place| never.iter().any(|it| it != place && it.holds(place));
        let code = never
            .iter()
            .filter(|place| !inside(place))
            .map(|place| (*place, "never runs"));
        let branches = self.branches.iter().filter(|(place, _)| !inside(place));
        let conditions = branches.filter_map(|(place, counts)| match counts {
            (0, 0) => Some((*place, "never asked")),
            (0, _) => Some((*place, "never true")),
            (_, 0) => Some((*place, "never false")),
            _ => None,
        });
        code.chain(conditions).collect()
    }
}
