//! The model checker: two boxes, copies of them, HQ and a CA; every order of events within bounds.
//!
//! # What is driven
//!
//! The real device and the real registrar, by the drivers that the component uses, with their real
//! `step`, `open` and `seal`, their records and their messages as bytes; only the primitives are
//! insecure ones. (Typed messages instead of bytes would leave `open` out, and save little: each
//! question is put to a role once. A state is a handful of numbers, and what a role made of an input
//! is looked up; a million states come of some thousand calls.) A box is known by what it shows, what
//! it has stored and its clocks (`boxes`), so no secret needs a `Hash` and the machine no feature
//! for this.
//!
//! # What happens
//!
//! A box is switched on, wakes, sends, is answered. A worker performs rows of HQ's outbox. Messages
//! are lost and overtake each other. The power of a box is cut before, between and after all of its
//! writes: between persist and send, too. And as often as a search's `Budget` says: somebody sends
//! any request again that he saw, or gives a box any answer that he saw, of whomever; HQ is set back
//! to a backup of any earlier moment, or stops with everything that is in flight; the storage of a
//! box is set back to any earlier moment, as a whole or in one record (a write that storage took and
//! lost); it is copied into another box; clocks jump, of boxes and of HQ, ahead and back; an owner
//! renews or resets, his server refuses a certificate, the operator retires a box; a worker dies
//! between what it did and what it tells, and the CA refuses an order.
//!
//! # What must hold
//!
//! The names stand in `properties`, and `just model` prints them all. In detail:
//!
//! - *No name is held by two live keys*: among the devices that HQ knows and that are not retired.
//!   One search lets HQ draw the same names for everybody.
//! - *A device has at most one live order*: an order is live from when its CSR was taken until HQ has
//!   the chain. What HQ has forgotten when it was set back does not count.
//! - *A refused or retired device never gets a new certificate*: HQ, which knows it as retired, sends
//!   none, and asks the CA for none.
//! - *Every clone is challenged by its second check-in*: before both copies have had two answers with
//!   a token since the copy. Two exceptions, and no more: a copy whose request HQ had answered to the
//!   other is told `stale-request`, which no replay may turn into an alarm, and enrols again; then
//!   each must have had one answer since. And what an HQ that was set back has lost is no evidence: it
//!   counts from there. (`tests/hq/clones.rs` of the machine argues both, and searches deeper.)
//! - *No replay and no restore alarms*: nothing does, but a copy, or storage that was turned back:
//!   to HQ that is one.
//! - *Without faults a box comes to Serving or to a named refusal*: a search has no fairness, so from
//!   every state a run without a choice follows (`settle`): the faults end, and the box must be
//!   served, or hear a refusal that lasts.
//!
//! No saved seed is used twice either: that has a search of its own, on the real device, with nothing
//! but the seed (`tests/device/seeds.rs` of the machine).
//!
//! An alarm ends a branch. A search that never comes to what it is about fails too: each names what
//! must happen in it (`happens`).
//!
//! # What is left out
//!
//! Time stands still but for a quarter of an hour after each enrolment that HQ takes, and for clocks
//! that jump: timers go off in any order, as if any time could have passed. A box waits in vain once
//! in a life, and is switched off when it has been answered (one search leaves it on). Renewals begin
//! because the owner wants one. The zone does as it is told.
#![cfg(test)]

mod boxes;
mod broken;
mod ca;
#[path = "../../../guest/machine/tests/hq/certificate.rs"]
mod certificate;
mod happens;
mod host;
mod hq;
mod model;
mod next;
mod properties;
mod scopes;
mod settle;
mod state;
mod system;
mod table;
mod world;
