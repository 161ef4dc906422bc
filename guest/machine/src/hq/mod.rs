//! The HQ role: every decision HQ takes about a device.
//!
//! # The story of a device, as HQ sees it
//!
//! A stranger makes contact and gets HQ's time, a seed and a nonce; nothing is stored. With that
//! nonce it enrols: policy lets it in, a name is drawn, and from then on it has a record
//! ([`records::DeviceRecord`]). It orders a certificate and polls until it is there; what happens
//! in between is the story of an [`issuance`]. Years of polls and renewals follow. At the end the
//! name is given up, by the device or the operator, and never given to anybody else.
//!
//! # How a decision is taken
//!
//! The state of HQ is far too large to hand to a function, and most of it does not matter to a
//! decision. So a decision begins by naming the few records it needs ([`reads`]), by exact key, in
//! at most three rounds: the envelope names the device, the device's record what it touches. The
//! host reads them, inside a transaction that fails if anybody changes one of them before the
//! decision is committed. Then [`step()`] runs once, on a [`Bundle`] of what was read, and orders
//! writes, submissions and a reply. It reads nothing, so two decisions about different devices
//! never touch each other, and one that lost a race is simply taken again.
//!
//! # Rules
//!
//! - Nothing is believed before its signature has been checked, and no rule sees bytes
//!   ([`open`]).
//! - Nobody gets a name but by the operator's policy for the model ([`admission`]).
//! - Every authentic request is processed at most once ([`continuity`]).
//! - A name, an identity key and a TLS key belong to one device for ever ([`records`]).
//! - What is submitted is committed together with the state that awaits the answer.

pub mod admission;
mod bundle;
pub mod config;
pub mod continuity;
pub mod describe;
mod desk;
pub mod drive;
mod enrol;
pub mod event;
mod import;
pub mod issuance;
mod member;
pub mod names;
pub mod open;
mod order;
mod poll;
pub mod records;
pub mod seal;
mod step;
mod subject;
mod summary;
pub mod token;
mod words;

pub use self::bundle::Bundle;
pub use self::config::{Config, ConfigError};
pub use self::drive::{AdvanceError, Decision, Input, advance};
pub use self::event::{Effect, Event, Reply, Step, Subject, Verdict};
pub use self::member::{GRACE, is_lan};
pub use self::step::{MAX_READS, MAX_ROUNDS, reads, step};
