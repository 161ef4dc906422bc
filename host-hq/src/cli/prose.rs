//! Makes what the component says of a record readable: a line for each member, bytes as hexadecimal, times as dates.
//!
//! It knows braces, quotes and numbers, and nothing of what a record means.

use std::fmt::Write;

use super::format::rfc3339;
use crate::types::Timestamp;

/// Breaks a long line of nested braces into lines.
pub(super) fn indented(text: &str) -> String {
    let mut lines = String::new();
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let after = &rest[char.len_utf8()..];
        if let Some((token, left)) = token(rest, &lines) {
            lines.push_str(&token);
            rest = left;
            continue;
        }
        rest = after;
        match char {
            '{' if after.starts_with('}') => lines.push(char),
            '{' => {
                depth += 1;
                lines.push(char);
                new_line(&mut lines, depth);
                rest = after.trim_start_matches(' ');
            }
            '}' if lines.ends_with('{') => lines.push(char),
            '}' => {
                depth = depth.saturating_sub(1);
                new_line(&mut lines, depth);
                lines.push(char);
            }
            ',' => {
                lines.push(char);
                new_line(&mut lines, depth);
                rest = after.trim_start_matches(' ');
            }
            other => lines.push(other),
        }
    }
    lines
}

/// What is taken as a whole at the start of `rest`: a quoted text, bytes, a time. `before` is what stands before it.
fn token<'t>(rest: &'t str, before: &str) -> Option<(String, &'t str)> {
    if rest.starts_with('"') {
        return Some(quoted(rest));
    }
    if let Some(inside) = rest.strip_prefix('[') {
        let (list, left) = inside.split_once(']')?;
        return Some((hexadecimal(list)?, left));
    }
    let follows_a_word = before.ends_with(|char: char| char.is_alphanumeric() || char == '_');
    if let (Some(number), false) = (rest.strip_prefix('t'), follows_a_word) {
        let digits = number.len()
            - number
                .trim_start_matches(|char: char| char.is_ascii_digit())
                .len();
        let (digits, left) = number.split_at(digits);
        if digits.len() == DIGITS_OF_MS {
            let at = Timestamp::from_millis(digits.parse().ok()?);
            return Some((rfc3339(at), left));
        }
    }
    None
}

/// A quoted text, cut if it is long; an end that is missing is the end of all.
fn quoted(rest: &str) -> (String, &str) {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, char)| {
        let ends = *char == '"' && !escaped;
        escaped = *char == '\\' && !escaped;
        ends
    });
    let (whole, left) = rest.split_at(end.map_or(rest.len(), |(at, _)| at + 1));
    match whole.chars().count() {
        0..=LONGEST_TEXT => (whole.to_owned(), left),
        length => {
            let start: String = whole.chars().take(START_OF_TEXT).collect();
            (format!("{start}…\" ({length} characters)"), left)
        }
    }
}

/// A list of bytes; none, if it is a list of something else.
fn hexadecimal(list: &str) -> Option<String> {
    let bytes = list.split(',').map(|number| number.trim().parse::<u8>());
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().ok()?;
    if bytes.len() < FEWEST_BYTES {
        return None;
    }
    let mut text = String::new();
    for byte in bytes {
        // Unwrap safety: writing to a String does not fail, and its result says so by being ignored.
        let _infallible = write!(text, "{byte:02x}");
    }
    Some(text)
}

fn new_line(lines: &mut String, depth: usize) {
    lines.truncate(lines.trim_end_matches(' ').len());
    lines.push('\n');
    lines.push_str(&"  ".repeat(depth.min(MAX_DEPTH)));
}

/// Milliseconds since 1970, from 2001 to 2286.
const DIGITS_OF_MS: usize = 13;
const FEWEST_BYTES: usize = 4;
const LONGEST_TEXT: usize = 160;
const START_OF_TEXT: usize = 40;
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nested_text_gets_a_line_for_each_member() {
        let text = r#"Device { name: "a, {b}", line: Line { x: None, y: [] }, z: {} }"#;
        let expected = "Device {\n  name: \"a, {b}\",\n  line: Line {\n    x: None,\n    y: []\n  },\n  z: {}\n}";
        assert_eq!(indented(text), expected);
    }

    #[test]
    fn bytes_are_hexadecimal_and_times_are_dates() {
        assert_eq!(indented("serial: [1, 220, 203, 236]"), "serial: 01dccbec");
        assert_eq!(indented("[1, 2]"), "[1,\n2]", "few numbers are numbers");
        assert_eq!(indented("at: t1795453500000"), "at: 2026-11-23T17:05:00Z");
        assert_eq!(indented("part1795453500000 t17"), "part1795453500000 t17");
    }

    #[test]
    fn long_texts_are_cut_and_short_ones_whole() {
        let long = format!("chain: \"{}\", x", "M".repeat(500));
        let cut = format!("chain: \"{}…\" (502 characters),\nx", "M".repeat(39));
        assert_eq!(indented(&long), cut);
        assert_eq!(indented(r#""a\"b", c"#), "\"a\\\"b\",\nc");
    }

    proptest! {
        #[test]
        fn nonsense_does_no_harm(text in "[{}\\[\\]\",t0-9aä\\\\ ]{0,80}") {
            let lines = indented(&text);
            prop_assert!(lines.len() <= (text.len() + 1) * (2 * MAX_DEPTH + 40));
        }
    }
}
