//! The whole system, end to end: real processes, the built component, a real ACME server, real DNS.
//!
//! One module a theme. Every test has a time limit ([`limited`]), and prints the last words of every
//! process it started when it fails; `OTSCERT_KEEP=1` keeps its folder.

mod admission;
mod attacks;
mod bad_input;
mod boards;
mod component;
mod contest;
mod crash;
mod damage;
mod demo;
mod dig;
mod disk;
mod drill;
mod entropy;
mod flood;
mod journey;
mod parity;
mod recorded;
mod renewal;
mod replay;
mod sandbox;
mod taint;
mod vectors;

use std::future::Future;
use std::time::Duration;

use anyhow::Context;

/// Ends a test that takes too long, with what it was for.
async fn limited(
    seconds: u64,
    test: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::time::timeout(Duration::from_secs(seconds), test)
        .await
        .with_context(|| format!("the test took more than {seconds} s"))?
}

/// How long a box may take to HTTPS on a busy machine.
const TO_HTTPS: Duration = Duration::from_secs(60);
