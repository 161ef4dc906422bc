//! A double for tests: a registrar that refuses everything. It shows that HQ decides nothing by itself: with this
//! component in place of the shipped one, HQ refuses every device.
//!
//! It stores nothing, submits nothing, needs no entropy, and signs nothing, so no device believes it.

mod bindings;

use bindings::exports::otscert::provision::inspect;
use bindings::exports::otscert::provision::registrar::{
    Config, Decision, Error, Guest, Input, Outcome, Reply,
};
use bindings::otscert::provision::types::Moment;

/// What the world's exports are implemented on.
struct RefuseAll;

impl Guest for RefuseAll {
    fn open(_: Config) -> Result<(), Error> {
        Ok(())
    }

    fn advance(_: Moment, input: Input) -> Result<Decision, Error> {
        let reply = match input {
            Input::Request(_) => Some(Reply {
                outcome: Outcome::Forbidden,
                problem: PROBLEM.to_owned(),
                body: BODY.to_vec(),
                retry_after_s: None,
            }),
            Input::Answered(_) | Input::Due(_) | Input::Command(_) => None,
        };
        Ok(Decision {
            reply,
            summaries: Vec::new(),
            notes: Vec::new(),
        })
    }
}

impl inspect::Guest for RefuseAll {
    fn state_digest() -> Result<Vec<u8>, inspect::Error> {
        Err(inspect::Error::Unavailable)
    }

    fn view() -> Result<String, inspect::Error> {
        Err(inspect::Error::Unavailable)
    }

    fn describe_record(_: String, _: Vec<u8>) -> Result<String, inspect::Error> {
        Err(inspect::Error::Unavailable)
    }

    fn describe_message(_: Vec<u8>) -> Result<String, inspect::Error> {
        Err(inspect::Error::Unavailable)
    }
}

/// The `type` of every refusal.
const PROBLEM: &str = "refused-by-double";
const BODY: &[u8] =
    br#"{"type":"refused-by-double","title":"this HQ runs a test double that refuses everything"}"#;
