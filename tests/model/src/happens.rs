//! What must happen on the way, or a search has looked at nothing.

/// Two boxes use one identity, and HQ knows.
pub(crate) const CLONE_FOUND: &str = "a clone is found";
/// Two answers are needed.
pub(crate) const CLONE_NOT_YET: &str = "a clone that has had one answer is not found yet";
/// To HQ it is a copy.
pub(crate) const TURNED_BACK_FOUND: &str = "a box whose storage was turned back is challenged";
/// A stranger became a device.
pub(crate) const ENROLLED: &str = "a box enrolled";
/// HQ was set back, and a box showed it.
pub(crate) const RESTORED: &str = "HQ learnt that it had lost something";
/// A farewell arrived.
pub(crate) const RETIRED: &str = "a box retired";
/// A box had no token that HQ takes.
pub(crate) const REJOINED: &str = "a box enrolled again";
/// Nothing was served before.
pub(crate) const FIRST: &str = "a box took its first certificate";
/// A renewal came to its end.
pub(crate) const NEXT: &str = "a box took the next certificate";
/// It is refused.
pub(crate) const SWAPPED: &str = "a box was given the answer to another request";
/// For good.
pub(crate) const BY_OPERATOR: &str = "the operator retired a box";
/// In a run without faults, after an alarm.
pub(crate) const ACCEPTED: &str = "the operator accepted a box";
/// It ends a run without faults.
pub(crate) const REFUSED: &str = "a refusal for good was heard";
/// HQ drew a name that another has.
pub(crate) const TAKEN: &str = "HQ drew a name that is taken";
