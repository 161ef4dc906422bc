//! A certificate signing request from a device.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otscert_crypto::insecure::Insecure;
use otscert_machine::x509::csr;

fuzz_target!(|data: &[u8]| {
    let _ = csr::check(&Insecure, data);
});
