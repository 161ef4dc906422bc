//! A question from the Internet.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| otscert_hq_dns::fuzz_question(data));
