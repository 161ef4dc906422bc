//! Errors as the log shows them.

use std::error::Error;
use std::fmt::Write;

/// An error with all its causes on one line: each message says its own part only.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Unwrap safety: writing to a String does not fail, and its result says so by being ignored.
        let _infallible = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
