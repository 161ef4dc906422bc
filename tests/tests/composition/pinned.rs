//! The attenuator, before a double that takes everything.

use std::sync::OnceLock;

use otscert_compositions::PINNED;
use wasmtime::Store;
use wasmtime::component::Component;

use crate::bindings::instance;
use crate::bindings::pinned::PinnedBeforeADouble;
use crate::bindings::pinned::exports::otscert::doubles::network_control::{
    Refusal, Request as Taken, Submission,
};
use crate::bindings::pinned::exports::otscert::provision::network::{Error, Request};
use crate::bindings::pinned::exports::otscert::provision::types::{
    AddressRecord, CaOperation, DnsOperation, DnsRecord, Endpoint, Exchange, HqRequest, NewOrder,
    OrderPrice,
};

#[test]
pub(crate) fn a_device_reaches_its_own_peers_and_nobody_else() {
    let mut pinned = Pinned::new();
    pinned.submit(Request::Hq(message(7))).unwrap();
    pinned.submit(Request::Courier(message(7))).unwrap();
    pinned.submit(Request::Seeder(message(7))).unwrap();
    let ca = Request::Ca(CaOperation::NewOrder(NewOrder {
        ca: "ca".to_owned(),
        names: vec!["box.test".to_owned()],
        profile: None,
        replaces: None,
        price: OrderPrice::First,
        proved: false,
    }));
    let dns = Request::Dns(DnsOperation::Publish(DnsRecord::Addresses(AddressRecord {
        name: "box.test".to_owned(),
        addresses: vec!["192.0.2.1".to_owned()],
    })));
    assert_eq!(pinned.submit(ca), Err(Error::NoSuchPeer));
    assert_eq!(pinned.submit(dns), Err(Error::NoSuchPeer));

    let passed = |request| Submission {
        exchange: exchange(""),
        request,
    };
    assert_eq!(
        pinned.taken(),
        [
            passed(Taken::Hq(message(7))),
            passed(Taken::Courier(message(7))),
            passed(Taken::Seeder(message(7)))
        ],
        "unchanged, and nothing else"
    );
}

#[test]
fn what_is_larger_than_the_contract_allows_is_refused_before_anything_behind_it_is_asked() {
    let mut pinned = Pinned::new();
    for peer in [Request::Hq, Request::Courier, Request::Seeder] {
        pinned.submit(peer(message(64 * 1024))).unwrap();
        let over = peer(message(64 * 1024 + 1));
        assert_eq!(pinned.submit(over), Err(Error::TooLarge));
    }
    let long = exchange(&"s".repeat(129));
    let refused = pinned.submit_as(&long, Request::Hq(message(1)));
    assert_eq!(refused, Err(Error::TooLarge));
    assert_eq!(pinned.taken().len(), 3);
}

#[test]
fn what_stands_behind_it_is_heard() {
    let mut pinned = Pinned::new();
    for (refusal, error) in [
        (Refusal::Busy, Error::Busy),
        (Refusal::NoSuchPeer, Error::NoSuchPeer),
    ] {
        pinned.refuse(Some(refusal));
        assert_eq!(pinned.submit(Request::Hq(message(1))), Err(error));
    }
    pinned.refuse(None);
    assert_eq!(pinned.submit(Request::Hq(message(1))), Ok(()));
}

struct Pinned {
    store: Store<()>,
    exports: PinnedBeforeADouble,
}

impl Pinned {
    fn new() -> Self {
        static COMPILED: OnceLock<Component> = OnceLock::new();
        let (store, exports) = instance(PINNED, &COMPILED, |store, component, linker| {
            PinnedBeforeADouble::instantiate(store, component, linker)
        });
        Self { store, exports }
    }

    fn submit(&mut self, request: Request) -> Result<(), Error> {
        self.submit_as(&exchange(""), request)
    }

    fn submit_as(&mut self, exchange: &Exchange, request: Request) -> Result<(), Error> {
        let network = self.exports.otscert_provision_network();
        network
            .call_submit(&mut self.store, exchange, &request)
            .unwrap()
    }

    fn taken(&mut self) -> Vec<Submission> {
        let control = self.exports.otscert_doubles_network_control();
        control.call_taken(&mut self.store).unwrap()
    }

    fn refuse(&mut self, refusal: Option<Refusal>) {
        let control = self.exports.otscert_doubles_network_control();
        control.call_refuse(&mut self.store, refusal).unwrap();
    }
}

fn exchange(subject: &str) -> Exchange {
    Exchange {
        subject: subject.to_owned(),
        number: 1,
    }
}

fn message(len: usize) -> HqRequest {
    HqRequest {
        endpoint: Endpoint::Contact,
        body: vec![b'm'; len],
    }
}
