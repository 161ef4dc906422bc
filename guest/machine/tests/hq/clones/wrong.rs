//! Wrong rules, put in the place of the right ones from outside: by the storage of a box, or by
//! somebody who edits HQ's record between two calls. The search must find each of them out.

use otscert_machine::hq::continuity::Continuity;
use serde_json::Value;

use super::storage::{Records, with_member};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    /// The token before the current one is taken with any nonce until the current one is shown,
    /// and brings the same token again.
    OldTokenUntilShown,
    /// HQ takes every token that it made.
    AnyToken,
    /// HQ remembers the last request and none before it.
    RemembersTheLastOnly,
    /// A box that is ahead of HQ is taken for a clone.
    AheadIsAClone,
    /// After a power cut the box's storage has all but the request that is outstanding: sent, and
    /// not persisted.
    RequestNotStored,
}

impl Wrong {
    /// Whether HQ takes a token so many steps behind the current one for the current one.
    pub(super) const fn takes_old_tokens(self, back: u64) -> bool {
        match self {
            Self::OldTokenUntilShown => back == 1,
            Self::AnyToken => back < 20,
            Self::Nothing
            | Self::RemembersTheLastOnly
            | Self::AheadIsAClone
            | Self::RequestNotStored => false,
        }
    }

    /// What is left in a box's storage after a power cut.
    pub(super) fn after_cut(self, records: Records) -> Records {
        match self {
            Self::RequestNotStored => with_member(records, |member| member.pending = None),
            Self::Nothing
            | Self::OldTokenUntilShown
            | Self::AnyToken
            | Self::RemembersTheLastOnly
            | Self::AheadIsAClone => records,
        }
    }
}

/// Forgets all requests but the last.
pub(super) fn forget(continuity: &mut Continuity) {
    let mut edited = serde_json::to_value(&*continuity).unwrap();
    edited["recent"] = Value::Array(Vec::new());
    *continuity = serde_json::from_value(edited).unwrap();
}
