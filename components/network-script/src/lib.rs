//! A double for tests: takes what the machine submits, keeps it for the test, and **sends nothing**. The test plays
//! the answers itself, as inputs.

mod bindings;

use std::cell::{Cell, RefCell};

use bindings::exports::otscert::doubles::network_control::{self, Refusal, Submission};
use bindings::exports::otscert::provision::network::{self, Error, Exchange, Request};

/// What the world's exports are implemented on.
struct NetworkScript;

thread_local! {
    static TAKEN: RefCell<Vec<Submission>> = const { RefCell::new(Vec::new()) };
    static REFUSAL: Cell<Option<Refusal>> = const { Cell::new(None) };
}

impl network::Guest for NetworkScript {
    fn submit(exchange: Exchange, request: Request) -> Result<(), Error> {
        match REFUSAL.get() {
            None => {}
            Some(Refusal::Busy) => return Err(Error::Busy),
            Some(Refusal::NoSuchPeer) => return Err(Error::NoSuchPeer),
        }
        let request = match request {
            Request::Hq(message) => network_control::Request::Hq(message),
            Request::Courier(message) => network_control::Request::Courier(message),
            Request::Seeder(message) => network_control::Request::Seeder(message),
            Request::Ca(_) => network_control::Request::Ca,
            Request::Dns(_) => network_control::Request::Dns,
        };
        TAKEN.with_borrow_mut(|taken| {
            if taken.len() >= MAX_KEPT {
                return Err(Error::Busy);
            }
            taken.push(Submission { exchange, request });
            Ok(())
        })
    }
}

impl network_control::Guest for NetworkScript {
    fn taken() -> Vec<Submission> {
        TAKEN.take()
    }

    fn refuse(refusal: Option<Refusal>) {
        REFUSAL.set(refusal);
    }
}

/// As `components/wit/doubles` says.
const MAX_KEPT: usize = 64;
