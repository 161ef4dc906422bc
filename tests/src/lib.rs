//! What needs several parts at once: a whole world on one machine, for the demo and the tests.
//!
//! [`World`] is a CA (Pebble or HQ's own), an HQ as a real process, and a folder that goes away
//! with it. Boxes are real processes ([`BoxProcess`]), boxes inside this process
//! ([`BoxInside`]), or the machine alone with every byte in the test's hands ([`NativeBox`]).
//! [`Client`] is the browser: it resolves names through HQ's DNS and trusts one root. [`Browser`] is a
//! real one, for pages with scripts. [`stock`] is a runtime that knows nothing of this project. [`boards`] differ in where their randomness comes from.
//!
//! Everything listens on loopback, on ports that were free; what was started is ended with its
//! handle, by its process id.

pub mod attack;
pub mod boards;
mod boxes;
mod browser;
mod client;
mod eventually;
mod hq;
mod native;
mod ports;
mod process;
mod relay;
mod small_disk;
pub mod stock;
mod store;
mod wire;
mod world;

pub use boxes::{BoxInside, BoxOptions, BoxProcess, shared_machine};
pub use browser::{Browser, Key, Scheme};
pub use client::{Client, Kept, Leaf, Page, plain_get};
pub use eventually::{Tried, eventually, wall_ms};
pub use hq::{CaChoice, Hq, HqOptions, ModelChoice};
pub use native::{Exchange, MemoryHost, NativeBox, NativeOptions};
pub use otscert_replay::Seeded;
pub use ports::{free_port, free_ports};
pub use process::{Process, program};
pub use relay::Relay;
pub use small_disk::SmallDisk;
pub use store::{Row, Snapshot, StoreEdit, StoreView};
pub use wire::{HandBox, HandUnit, Lane, Poster, Reply};
pub use world::{World, WorldOptions};
