//! What HQ serves over HTTP: messages of devices, pages for people, health and metrics for this machine.
//!
//! [`server`] owns connections and their limits; the rest are routers that tests call without a socket. Statuses and
//! problem documents are made in [`problem`] and nowhere else.

pub mod admin;
pub mod device;
pub mod load;
pub mod metrics;
pub mod people;
pub mod problem;
pub mod server;
pub mod source;
