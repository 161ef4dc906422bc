//! The device role: from power-on to HTTPS, and for life.
//!
//! # The story of a box
//!
//! A box starts in [`state::Loading`]: nothing is known until its records are read. A fresh one
//! makes contact ([`state::AwaitingContact`]): it has no keys, so the message is unsigned, and all
//! it brings back is HQ's time, a nonce and a seed, signed by HQ. If the board has not gathered
//! enough entropy by then it waits ([`state::AwaitingEntropy`]), for as long as it takes. Then it
//! makes its identity key and asks for a name ([`state::Enrolling`]). With a name it makes a TLS
//! key and orders a certificate ([`state::AwaitingCertificate`]), and with a certificate it serves
//! ([`state::Serving`]), looking in on HQ now and then. When HQ's window says so it orders again
//! with a new key ([`state::Renewing`]), and the old certificate serves until the new one has
//! passed every check.
//!
//! # Rules that hold in every state
//!
//! - At most one signed request is outstanding. Its exact bytes are stored before it is sent and
//!   are sent again unchanged until HQ has answered them: an answer or a signed refusal.
//! - [`event::Effect::Persist`] stands before every [`event::Effect::Submit`] that relies on it.
//! - An answer counts only if HQ signed it and it is bound to the stored request. Anything else is
//!   a failed exchange, tried again later.
//! - Nothing leaves the generator before it is ready.
//! - No refusal makes a box forget its identity or its certificate. Only `reset` does.
//!
//! [`drive`] connects [`step()`] to a host.

mod agenda;
mod bootstrap;
mod clock;
pub mod config;
pub mod drive;
mod enrolled;
pub mod event;
mod inspect;
mod open;
pub mod progress;
pub mod records;
mod refusals;
mod requests;
mod seeds;
pub mod state;
mod step;

pub use self::config::Config;
pub use self::drive::Device;
pub use self::event::{Effect, Event, Step};
pub use self::state::State;
pub use self::step::step;
