//! Interface `entropy` over `wasi:random`.
//!
//! **What it claims, and on whose word.** `wasi:random/random` promises data "at least as cryptographically secure as
//! an adequately seeded CSPRNG", at the first call and without blocking: a runtime that keeps its word has waited for
//! its system's generator before it started the component. That is exactly the contract's kind `system`, so there is
//! one source of that kind. It is the runtime's word: from inside nothing can be seen of it, and no health test tells
//! a seeded generator from a constant seed. A runtime whose generator has been replaced by a deterministic one (as
//! wasmtime's API allows) makes keys that others can compute.
//!
//! **What it does not claim.** No `hardware`: the interface does not say what feeds the generator. No `jitter`:
//! runtimes coarsen their clocks, and no assessment of a board's clock covers what a runtime makes of it. Never
//! `wasi:random/insecure` or `insecure-seed`.

mod bindings;

use bindings::exports::otscert::provision::entropy::{Error, Guest, Kind, Source};
use wasi::random::random::get_random_bytes;

/// What the world's exports are implemented on.
struct EntropyWasi;

impl Guest for EntropyWasi {
    fn sources() -> Vec<Source> {
        vec![Source {
            id: ID,
            kind: Kind::System,
            family: "system".to_owned(),
            assessment: None,
            observed_step_ns: 0,
            label: "the runtime's generator (wasi:random)".to_owned(),
        }]
    }

    fn sample(source: u32, len: u32) -> Result<Vec<u8>, Error> {
        if source != ID {
            return Err(Error::NoSuchSource);
        }
        let len = otscert_contract::sample_len(len);
        let mut bytes = get_random_bytes(len as u64);
        bytes.truncate(len);
        Ok(bytes)
    }
}

const ID: u32 = 0;
