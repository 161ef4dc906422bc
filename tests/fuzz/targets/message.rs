//! Bytes from a stranger, as HQ and a device first see them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otscert_machine::describe;
use otscert_machine::wire::jws::Unverified;
use otscert_machine::wire::message::Contact;

fuzz_target!(|data: &[u8]| {
    let contact = Contact::parse(data);
    if let Ok(contact) = &contact {
        assert_eq!(Contact::parse(&contact.to_bytes()).as_ref(), Ok(contact));
    }
    let message = Unverified::parse(data);
    if contact.is_ok() || message.is_ok() {
        let _ = describe::message(data);
    }
});
