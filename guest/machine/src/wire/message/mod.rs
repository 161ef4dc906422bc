//! Each message of the protocol as a type, with its reader and its writer side by side.
//!
//! Requests are what a device sends, answers are what HQ sends. Every answer carries `sub`, whom it
//! is for, and `req`, the SHA-256 of the very bytes it answers: an answer that was meant for another
//! request, or another device, is refused.

mod address;
mod contact;
mod continuity;
mod enrol;
mod fields;
mod order;
mod poll;
mod problem;
mod retire;

pub use address::{Address, AddressAnswer, MAX_ADDRESSES};
pub use contact::{CONTACT_TYP, Contact, ContactAnswer, ContactError, SealedSeed, UnitName};
pub use continuity::{Binding, Continuity};
pub use enrol::{Credential, Enrol, EnrolAnswer, EntropyReport, UnitClaim, UnitProof};
pub use fields::for_people;
pub use order::{Order, OrderAnswer};
pub use poll::{Command, Issued, MAX_CHAIN, OrderStatus, Poll, PollAnswer, Window};
pub use problem::Problem;
pub use retire::{Retire, RetireAnswer};
