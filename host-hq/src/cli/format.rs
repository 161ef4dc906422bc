//! Times, sizes and tables for people.

use std::fmt::Write;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::types::Timestamp;

/// A moment, as `2026-11-23 17:05 UTC`.
#[must_use]
pub fn date(at: Timestamp) -> String {
    match moment(at) {
        Some(time) => {
            let (date, clock) = (time.date(), time.time());
            format!("{date} {:02}:{:02} UTC", clock.hour(), clock.minute())
        }
        None => at.to_string(),
    }
}

/// A moment in RFC 3339 form, for machines.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    moment(at)
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| at.to_string())
}

/// How far a moment is from `now`: `in 3 days`, `5 min ago`.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    match at.as_millis().checked_sub(now.as_millis()) {
        Some(ahead) => match span(ahead) {
            Some(text) => format!("in {text}"),
            None => "now".to_owned(),
        },
        None => match span(now.as_millis() - at.as_millis()) {
            Some(text) => format!("{text} ago"),
            None => "just now".to_owned(),
        },
    }
}

/// A table: columns as wide as their widest cell, the last one free. No space at the end of a line.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain([head.get(column).map_or(0, |cell| cell.chars().count())])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    for row in [&head].into_iter().chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Unwrap safety: writing to a String does not fail, and its result says so by being ignored.
            let _infallible = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Foreign text without control characters: a terminal must not obey what a device says.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}

fn moment(at: Timestamp) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.as_millis()) * 1_000_000).ok()
}

/// The largest unit that fits; none below a second.
fn span(ms: u64) -> Option<String> {
    let (count, unit) = [
        (86_400_000, "day"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
    ]
    .into_iter()
    .map(|(length, unit)| (ms / length, unit))
    .find(|(count, _)| *count > 0)?;
    let plural = if unit == "day" && count > 1 { "s" } else { "" };
    Some(format!("{count} {unit}{plural}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_write_them() {
        let at = Timestamp::from_millis(1_795_453_500_000);
        assert_eq!(date(at), "2026-11-23 17:05 UTC");
        assert_eq!(rfc3339(at), "2026-11-23T17:05:00Z");
        assert_eq!(relative(at, at), "now");
        assert_eq!(
            relative(at.plus_millis(3 * 86_400_000 + 5), at),
            "in 3 days"
        );
        assert_eq!(relative(at.minus_millis(90_000), at), "1 min ago");
        assert_eq!(relative(at.plus_millis(86_400_000), at), "in 1 day");
        assert_eq!(
            date(Timestamp::from_millis(u64::MAX)),
            format!("{} ms", u64::MAX)
        );
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let rows = vec![
            vec!["a".to_owned(), "long one".to_owned()],
            vec!["bcd".to_owned(), String::new()],
        ];
        assert_eq!(table(&["x", "y"], &rows), "x    y\na    long one\nbcd\n");
    }

    #[test]
    fn a_terminal_does_not_obey_a_device() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
