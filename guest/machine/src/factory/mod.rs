//! What a unit has from its factory: a code on its label, a secret in its flash.
//!
//! One rule each, for the box, for HQ and for the tools of the factory line:
//! [`claim_code`] (drawn, printed, typed, checked) and [`unit_secret`] (derived, proved, and what HQ
//! seals under it).

pub mod claim_code;
pub mod unit_secret;

pub use claim_code::ClaimCode;
pub use unit_secret::UnitSecret;
