//! A chain from a CA, cut where the fuzzer likes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otscert_machine::x509::chain::Chain;

fuzz_target!(|data: &[u8]| {
    let _ = Chain::read(vec![data.to_vec()]);
    if let Some((&cut, rest)) = data.split_first() {
        let (first, second) = rest.split_at(usize::from(cut).min(rest.len()));
        let _ = Chain::read(vec![first.to_vec(), second.to_vec()]);
    }
});
