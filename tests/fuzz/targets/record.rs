//! Bytes from storage, of every kind, with the checksum made right so that the body is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otscert_crypto::insecure::Insecure;
use otscert_machine::crypto::Crypto;
use otscert_machine::describe;
use otscert_machine::record::RecordKind;

fuzz_target!(|data: &[u8]| {
    let _ = describe::record(&Insecure, "fuzz", data);
    for kind in RecordKind::ALL {
        let mut record = Vec::from(*b"OTSC\x01");
        record.push(kind as u8);
        record.extend_from_slice(&(data.len() as u32).to_le_bytes());
        record.extend_from_slice(data);
        let checksum = Insecure.sha256(&[&record]);
        record.extend_from_slice(&checksum[..16]);
        let _ = describe::record(&Insecure, "fuzz", &record);
    }
});
