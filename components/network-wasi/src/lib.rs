//! Interface `network` over `wasi:http/outgoing-handler`: one POST per exchange, as the device host makes them
//! (`host-device/src/hq.rs`).
//!
//! `submit` only takes a message; it is sent in `deliveries.wait`, which the runner calls between two calls of the
//! component, so that everything the message relies on is in storage by then. Peer `hq` is all there is.
//!
//! TLS is the runtime's, with the roots that it trusts: HQ's device endpoint has a certificate of HQ's private TLS CA,
//! so the runtime has to be told of that root. The messages are signed both ways and do not depend on it.

mod bindings;
mod convert;
mod exchange;

use std::cell::RefCell;
use std::net::IpAddr;

use bindings::exports::otscert::provision::network::{
    Error, Exchange as ExchangeId, Guest, Request,
};
use bindings::exports::otscert::wasi::deliveries::{self, Delivery, Hq};
use otscert_contract::MAX_BODY;
use otscert_host::bundle::{MAX_ORIGINS, Origin};
use wasi::clocks::monotonic_clock;
use wasi::io::poll::{Pollable, poll};

use exchange::Exchange;

/// What the world's exports are implemented on.
struct NetworkWasi;

/// Where HQ is, and what is under way.
#[derive(Default)]
struct Network {
    way: Option<Way>,
    exchanges: Vec<Exchange>,
}

/// The way to HQ.
struct Way {
    origins: Vec<Origin>,
    danger_plain_http: bool,
    /// The origin that answered last is asked first.
    preferred: usize,
}

thread_local! {
    static NETWORK: RefCell<Network> = RefCell::default();
}

impl Guest for NetworkWasi {
    fn submit(exchange: ExchangeId, request: Request) -> Result<(), Error> {
        let message = match request {
            Request::Hq(message) => message,
            Request::Courier(_) | Request::Seeder(_) | Request::Ca(_) | Request::Dns(_) => {
                return Err(Error::NoSuchPeer);
            }
        };
        if message.body.len() > MAX_BODY {
            return Err(Error::TooLarge);
        }
        NETWORK.with_borrow_mut(|network| {
            let Some(way) = &network.way else {
                return Err(Error::Other("nobody has said where HQ is".to_owned()));
            };
            let known = network
                .exchanges
                .iter()
                .any(|known| known.number() == exchange.number);
            if known {
                return Ok(());
            }
            if network.exchanges.len() >= MAX_OUTSTANDING {
                return Err(Error::Busy);
            }
            let exchange = Exchange::new(exchange, message, way);
            network.exchanges.push(exchange);
            Ok(())
        })
    }
}

impl deliveries::Guest for NetworkWasi {
    fn connect(hq: Hq) -> Result<(), deliveries::Error> {
        if !(1..=MAX_ORIGINS).contains(&hq.origins.len()) {
            let got = hq.origins.len();
            return Err(deliveries::Error::Other(format!(
                "{got} origins; 1 to {MAX_ORIGINS} are expected"
            )));
        }
        let origins = hq
            .origins
            .iter()
            .map(|text| {
                Origin::parse(text)
                    .map_err(|problem| deliveries::Error::BadOrigin(format!("{text:?} {problem}")))
            })
            .collect::<Result<_, _>>()?;
        NETWORK.with_borrow_mut(|network| {
            network.way = Some(Way {
                origins,
                danger_plain_http: hq.danger_plain_http,
                preferred: 0,
            });
        });
        Ok(())
    }

    fn wait(until_ms: Option<u64>) -> Vec<Delivery> {
        let until = until_ms.map(|ms| ms.saturating_mul(NS_PER_MS));
        NETWORK.with_borrow_mut(|network| network.wait(until))
    }
}

impl Network {
    fn wait(&mut self, until: Option<u64>) -> Vec<Delivery> {
        let Some(way) = &mut self.way else {
            return Vec::new();
        };
        loop {
            let mut deliveries = Vec::new();
            self.exchanges.retain_mut(|exchange| {
                match exchange.drive(way, monotonic_clock::now()) {
                    None => true,
                    Some(answer) => {
                        deliveries.push(Delivery {
                            exchange: exchange.id(),
                            answer,
                        });
                        false
                    }
                }
            });
            let over = until.is_some_and(|until| monotonic_clock::now() >= until);
            let nothing_to_wait_for = until.is_none() && self.exchanges.is_empty();
            if !deliveries.is_empty() || over || nothing_to_wait_for {
                return deliveries;
            }
            let deadlines = self.exchanges.iter().map(Exchange::deadline);
            let soonest = deadlines.chain(until).min().unwrap_or(0);
            let timer = monotonic_clock::subscribe_instant(soonest);
            let streams: Vec<Pollable> = self
                .exchanges
                .iter()
                .flat_map(Exchange::subscribe)
                .collect();
            let all: Vec<&Pollable> = streams.iter().chain([&timer]).collect();
            poll(&all);
        }
    }
}

impl Way {
    /// Whether a message may travel over an origin. Only the first contact may go without TLS (DESIGN 3): it carries
    /// nothing secret, and is signed by HQ.
    fn may_carry(&self, origin: usize, is_contact: bool) -> bool {
        let origin = &self.origins[origin];
        origin.is_tls() || is_contact || self.danger_plain_http && is_loopback(origin)
    }
}

/// A name is none, whatever it resolves to.
fn is_loopback(origin: &Origin) -> bool {
    let host = origin.uri().host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse()
        .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The most exchanges at a time; the device host allows as many.
const MAX_OUTSTANDING: usize = 4;
const NS_PER_MS: u64 = 1_000_000;
