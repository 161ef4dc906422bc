//! The registrar: the component in the role that takes every decision about a device.
//!
//! # The life of a call
//!
//! 1. An input comes in: a message of a device, an answer of a CA, a wake-up time, the operator. [`Registrar::decide`]
//!    puts it into a bounded queue; a request that finds the queue full is told to come back.
//! 2. One of a fixed set of plain OS threads takes it. Each owns one warm instance of the component and one read
//!    connection. The guest runs to its end without waiting for anything: what it reads is noted with its version
//!    ([`Call`]), what it writes and submits is collected.
//! 3. The finished call goes to the committer (`work/committer.rs`), which checks the versions again. Somebody was
//!    faster: the call runs once more on fresh reads, in front of the queue, at most [`MAX_ATTEMPTS`] times.
//! 4. After the commit, and only then, the reply leaves and workers are nudged.
//!
//! A guest that traps, or runs out of memory, fuel or time, loses its instance and nothing else: the call fails, the
//! next one gets a fresh instance.

mod call;
mod config;
mod guest;
mod pool;
mod queue;
mod wasm;
mod worker;

pub use call::{Call, CallEffects, CallLimit, Change, ReadError, Records, Submission};
pub use config::{CaRule, Model, NameMode, RegistrarConfig, SecretKey};
pub use guest::{Guest, GuestError, GuestFactory, Refusal};
pub use pool::{CallError, MAX_ATTEMPTS, PoolOptions, PoolTotals, Registrar, StartError};
pub use wasm::{WasmFactory, WasmGuest};
