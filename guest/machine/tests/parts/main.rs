//! The machine's parts below the two roles, held against the real primitives and against other
//! implementations: certificate requests and chains, key files, stored records, entropy.
//!
//! They live here and not in unit tests, because the real provider implements the trait of the
//! library as it is built for others.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do, by a panic"
)]

mod chain;
mod csr;
mod der;
mod entropy;
mod generator;
mod jitter;
mod predictor;
mod record;
mod structure;
mod waits;
