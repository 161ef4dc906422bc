//! Facts for the device role, and its orders.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::records::{CredentialRecord, DeviceRecord, Retirement};
use super::state::State;
use crate::crypto::SecretBytes;
use crate::entropy::{SampleError, Source};
use crate::factory::ClaimCode;
use crate::peer::{Endpoint, Failure};
use crate::time::Timestamp;
use crate::types::ExchangeId;
use crate::wire::message::{
    AddressAnswer, ContactAnswer, EnrolAnswer, OrderAnswer, PollAnswer, Problem, RetireAnswer,
};

/// A fact.
#[derive(Clone, Debug)]
pub enum Event {
    /// An instance began; these are its records.
    Resumed(Box<Records>),
    /// A source gave something, or nothing.
    Sampled {
        /// Which source.
        source: Source,
        /// What it gave.
        outcome: Result<Vec<u8>, SampleError>,
    },
    /// Raw bytes for a public nonce; never mixed into the pool. Empty if no source gave any.
    NoiseDrawn(Vec<u8>),
    /// A timer expired, or may have.
    TimerExpired,
    /// HQ answered an exchange, and the answer holds.
    Answered {
        /// Which exchange.
        exchange: ExchangeId,
        /// The answer.
        reply: Reply,
    },
    /// An exchange brought nothing that holds.
    Failed {
        /// Which exchange.
        exchange: ExchangeId,
        /// Why.
        failure: Failure,
    },
    /// The box's LAN addresses.
    AddressesReported(Vec<IpAddr>),
    /// The owner's browser brought random bytes.
    SeedBrought {
        /// The bytes.
        seed: SecretBytes,
        /// They came sealed under the label.
        sealed: bool,
    },
    /// The owner typed the code on the label.
    CodeTyped(ClaimCode),
    /// The owner wants a factory reset.
    ResetRequested,
    /// The owner wants a new certificate.
    RenewRequested,
    /// The host's server could not use the credential of that version.
    CredentialRefused {
        /// Which.
        version: u64,
        /// Why, for people.
        reason: String,
    },
}

/// What storage holds.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Who the box is.
    pub device: Option<Box<DeviceRecord>>,
    /// What it serves.
    pub credential: Option<Box<CredentialRecord>>,
    /// Retirements to deliver.
    pub outbox: Vec<Retirement>,
}

/// An answer that HQ signed for this box and this request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HQ's time in it.
    pub time: Timestamp,
    /// Epoch of the delegation it came under.
    pub epoch: u64,
    /// The answer.
    pub body: ReplyBody,
}

/// What HQ answered.
#[derive(Clone, Debug)]
pub enum ReplyBody {
    /// To `contact`.
    Contact(ContactAnswer),
    /// To `enrol`.
    Enrol(EnrolAnswer),
    /// To `order`.
    Order(OrderAnswer),
    /// To `poll`.
    Poll(PollAnswer),
    /// To `address`.
    Address(AddressAnswer),
    /// To `retire`.
    Retire(RetireAnswer),
    /// A refusal.
    Problem(Problem),
}

/// An order to the driver.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Draw raw bytes for a public nonce and report [`Event::NoiseDrawn`].
    DrawNoise,
    /// Store who the box is.
    Persist(Box<DeviceRecord>),
    /// Store what it serves; none: nothing any more.
    PersistCredential(Option<Box<CredentialRecord>>),
    /// Store the retirements to deliver.
    PersistOutbox(Vec<Retirement>),
    /// Send a request.
    Submit {
        /// The exchange.
        exchange: ExchangeId,
        /// Which message.
        endpoint: Endpoint,
        /// Its bytes.
        body: Vec<u8>,
    },
    /// Ask the second operator for a seed.
    AskSeeder {
        /// The exchange.
        exchange: ExchangeId,
        /// The `contact`.
        body: Vec<u8>,
    },
    /// The credential changed: the host's server should look.
    Serve {
        /// The new version.
        version: u64,
    },
}

/// What follows from an event.
#[derive(Debug)]
pub struct Step {
    /// Where the box stands.
    pub state: State,
    /// What is to be done, in this order.
    pub effects: Vec<Effect>,
    /// How the event was taken.
    pub verdict: Verdict,
}

/// How an event was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was waited for, or always means something.
    Taken,
    /// A harmless repeat, or an answer that came too late.
    NoOp,
    /// It cannot happen here; the driver has a fault.
    Unexpected,
}
