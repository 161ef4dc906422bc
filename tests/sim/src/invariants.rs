//! What must be true whatever happens.
//!
//! Each is stated over what can be seen from outside: what boxes serve, what they sent, what the CA's books say. None of it
//! asks the machine whether it did right.

use std::collections::{BTreeMap, BTreeSet};

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto as _, Secret};
use otscert_machine::x509::chain::Chain;
use otscert_replay::bindings::exports::otscert::provision::provisioner::CredentialPair;

use crate::configs::BoxName;
use crate::crypto::REMEMBERING;
use crate::memory::Memory;
use crate::peers::TestCa;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {what}")]
pub struct Broken {
    /// Its name.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
}

/// What is remembered to judge by.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    /// The version that each box served last.
    versions: BTreeMap<usize, u64>,
    /// Who serves a name, or served it last.
    holders: BTreeMap<String, usize>,
    /// Names that a reset gave up, and how many certificates there were for them.
    pub(crate) given_up: BTreeSet<String>,
    /// Digests of everything that was sent, and by which box.
    sent: BTreeMap<[u8; 32], usize>,
    /// Digests of certificate requests, by the order that had them first.
    requests: BTreeMap<[u8; 32], usize>,
    pub(crate) checks: u64,
    /// How many certificates ended in use although HQ could be reached.
    pub(crate) expired: u64,
}

/// What a box serves.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) version: u64,
    pub(crate) not_after_ms: u64,
}

impl Memo {
    /// A certificate is served for the key that the box holds, for the names that it was granted, and the next is newer.
    pub(crate) fn serves(
        &mut self,
        at: usize,
        pair: &CredentialPair,
        granted: &[String],
    ) -> Result<Served, Broken> {
        let who = BoxName(at);
        self.checks += 3;
        let chain = Chain::read(pair.chain.clone())
            .map_err(|error| broken("a-served-chain-reads", format!("{who}: {error}")))?;
        let leaf = chain.leaf();
        let held = scalar(&pair.private_key).and_then(|key| REMEMBERING.p256_public(&key));
        if held != Some(leaf.public) {
            let what = format!("{who} serves a certificate for a key that it does not hold");
            return Err(broken("the-served-key-is-held", what));
        }
        let names: Vec<String> = leaf.names.iter().map(ToString::to_string).collect();
        if names != granted {
            let what = format!("{who} serves {names:?}, granted were {granted:?}");
            return Err(broken("the-served-names-are-granted", what));
        }
        let last = self.versions.insert(at, pair.version).unwrap_or(0);
        if pair.version < last {
            let what = format!("{who} went from version {last} to {}", pair.version);
            return Err(broken("versions-rise", what));
        }
        Ok(Served {
            version: pair.version,
            not_after_ms: leaf.not_after.millis(),
        })
    }

    /// No two boxes have one name.
    pub(crate) fn holds(&mut self, at: usize, names: &[String]) -> Result<(), Broken> {
        let who = BoxName(at);
        self.checks += 1;
        for name in names {
            let holder = *self.holders.entry(name.clone()).or_insert(at);
            if holder != at {
                let what = format!("{} and {who} both have {name}", BoxName(holder));
                return Err(broken("a-name-is-one-box's", what));
            }
            if self.given_up.contains(name) {
                let what = format!("{who} has {name}, which a reset gave up");
                return Err(broken("a-given-up-name-stays-so", what));
            }
        }
        Ok(())
    }

    /// What leaves a box was stored before, and is its own.
    pub(crate) fn sends(&mut self, at: usize, body: &[u8], memory: &Memory) -> Result<(), Broken> {
        let who = BoxName(at);
        self.checks += 2;
        if !memory.holds(body) {
            let what = format!("{who} sent {} bytes that no record holds", body.len());
            return Err(broken("stored-before-sent", what));
        }
        let digest = RustCrypto.sha256(&[body]);
        let sender = *self.sent.entry(digest).or_insert(at);
        if sender != at {
            let what = format!("{} and {who} sent the same bytes", BoxName(sender));
            return Err(broken("a-message-is-one-box's", what));
        }
        Ok(())
    }

    /// A box was reset: its names are given up.
    pub(crate) fn reset(&mut self, names: &[String]) {
        self.given_up.extend(names.iter().cloned());
    }

    /// The CA's books: no order is finalized twice, and none for another order's key.
    pub(crate) fn books(&mut self, ca: &TestCa, url: &str) -> Result<(), Broken> {
        self.checks += 2;
        let number = url
            .rsplit('/')
            .next()
            .and_then(|tail| tail.parse::<usize>().ok());
        let Some((number, order)) = number.and_then(|at| Some((at, ca.orders.get(at)?))) else {
            return Ok(());
        };
        if order.finalized > 1 {
            let what = format!("order {number} was finalized {} times", order.finalized);
            return Err(broken("finalized-once", what));
        }
        let digest = RustCrypto.sha256(&[&order.csr]);
        let first = *self.requests.entry(digest).or_insert(number);
        if order.finalized == 1 && first != number {
            let what = format!("orders {first} and {number} have one certificate request");
            return Err(broken("a-new-key-for-each-order", what));
        }
        Ok(())
    }

    /// A box that can reach HQ has a certificate that lives.
    pub(crate) fn lives(&mut self, at: usize, served: &Served, now: u64) -> Result<(), Broken> {
        let who = BoxName(at);
        self.checks += 1;
        if served.not_after_ms < now {
            self.expired += 1;
            let what = format!(
                "{who} serves a certificate that ended {} s ago, and HQ could be reached",
                (now - served.not_after_ms) / 1000
            );
            return Err(broken("none-expires-while-reachable", what));
        }
        Ok(())
    }
}

/// The private key in a PKCS #8 of a P-256 key (RFC 5915: an OCTET STRING of 32 bytes).
fn scalar(pkcs8: &[u8]) -> Option<Secret<32>> {
    let begin = pkcs8.windows(2).position(|pair| pair == [0x04, 0x20])? + 2;
    let bytes = pkcs8.get(begin..begin + 32)?;
    Some(Secret::new(bytes.try_into().ok()?))
}

pub(crate) fn broken(invariant: &'static str, what: String) -> Broken {
    Broken { invariant, what }
}
