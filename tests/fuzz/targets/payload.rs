//! The payload of every message: what reads must read again after it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::message::{
    Address, AddressAnswer, ContactAnswer, Enrol, EnrolAnswer, Order, OrderAnswer, Poll,
    PollAnswer, Problem, Retire, RetireAnswer,
};

macro_rules! holds {
    ($object:expr, $($message:ty),+) => {
        $(if let Ok(message) = <$message>::parse($object) {
            let written = message.to_object();
            let again = <$message>::parse(&written).expect("what was written reads");
            assert_eq!(again.to_object(), written);
        })+
    };
}

fuzz_target!(|data: &[u8]| {
    let Ok(object) = Object::parse(data) else {
        return;
    };
    assert_eq!(Object::parse(&object.to_bytes()).as_ref(), Ok(&object));
    holds!(
        &object,
        ContactAnswer,
        Enrol,
        EnrolAnswer,
        Order,
        OrderAnswer,
        Poll
    );
    holds!(
        &object,
        PollAnswer,
        Address,
        AddressAnswer,
        Retire,
        RetireAnswer,
        Problem
    );
});
