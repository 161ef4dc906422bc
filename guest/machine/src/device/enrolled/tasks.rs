//! What a box with a name is to ask HQ next, and the request for it.

use alloc::string::ToString;

use super::Enrolled;
use crate::device::agenda::monotonic_of;
use crate::device::config::Config;
use crate::device::records::{Member, Pending, Pursuit};
use crate::device::requests::{pending, public_contact};
use crate::entropy::Generator;
use crate::peer::Endpoint;
use crate::time::{Moment, Monotonic};
use crate::types::{Digest, NameMode, Nonce};
use crate::wire::json::Object;
use crate::wire::jws::{self, Header, Signer, Typ};
use crate::wire::message::{Address, Continuity, Order, Poll};
use crate::x509::csr;

/// What to ask HQ next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Contact,
    Order,
    Address,
    Poll,
}

impl Enrolled {
    pub(super) fn task(&self, now: Moment) -> Option<Task> {
        let unsent = self
            .pursuit
            .as_ref()
            .is_some_and(|pursuit| !pursuit.ordered);
        if self.member.reinstating {
            Some(Task::Contact)
        } else if unsent || (self.pursuit.is_none() && self.order_due(now)) {
            Some(Task::Order)
        } else if self.addresses_differ() {
            Some(Task::Address)
        } else if self.agenda.poll_at <= now.monotonic {
            Some(Task::Poll)
        } else {
            None
        }
    }

    fn order_due(&self, now: Moment) -> bool {
        self.order_at(now).is_some_and(|at| at <= now.monotonic)
    }

    /// When the next order is due, if there is no pursuit.
    pub(super) fn order_at(&self, now: Moment) -> Option<Monotonic> {
        let wanted = match &self.credential {
            None => Some(now.monotonic),
            Some(_) if self.agenda.renew_now => Some(now.monotonic),
            Some(record) => monotonic_of(record.renew_at(), &self.unit, now),
        };
        wanted.map(|at| at.max(self.agenda.order_after))
    }

    fn addresses_differ(&self) -> bool {
        match self.member.mode {
            NameMode::Address => false,
            NameMode::Word => {
                !self.unit.addresses.is_empty() && self.unit.addresses != self.member.reported
            }
        }
    }

    /// Makes the request; none while the generator is not ready.
    pub(super) fn request(&mut self, config: &Config, task: Task) -> Option<Pending> {
        if task == Task::Contact {
            return public_contact(config, &mut self.unit);
        }
        let crypto = config.crypto;
        let generator = self.unit.entropy.ready(crypto, config.hq_trusted)?;
        let continuity = continuity(config, &self.member, generator);
        let (endpoint, payload) = match task {
            Task::Contact => return None,
            Task::Order => {
                if self.pursuit.is_none() {
                    let (key, _) = generator.p256_key(crypto)?;
                    let extra = generator.bytes(crypto);
                    let csr = csr::build(crypto, &key, &self.member.names, &extra)?;
                    self.pursuit = Some(Pursuit {
                        key,
                        csr,
                        ordered: false,
                    });
                }
                let csr = self.pursuit.as_ref().map(|pursuit| pursuit.csr.clone())?;
                (Endpoint::Order, Order { continuity, csr }.to_object())
            }
            Task::Address => {
                let addresses = self.unit.addresses.clone();
                (
                    Endpoint::Address,
                    Address {
                        continuity,
                        addresses,
                    }
                    .to_object(),
                )
            }
            Task::Poll => {
                let leaf = self
                    .credential
                    .as_ref()
                    .and_then(|record| record.current.chain.first());
                let poll = Poll {
                    continuity,
                    firmware: config.firmware.clone(),
                    boot_count: Some(self.unit.boot_count),
                    serving: leaf.map(|der| Digest::of(crypto, der)),
                    trouble: self.agenda.complaint.clone(),
                };
                (Endpoint::Poll, poll.to_object())
            }
        };
        Some(self.sign(config, endpoint, &payload))
    }

    pub(super) fn sign(
        &mut self,
        config: &Config,
        endpoint: Endpoint,
        payload: &Object,
    ) -> Pending {
        let typ = match endpoint {
            Endpoint::Contact | Endpoint::Enrol | Endpoint::Order => Typ::Order,
            Endpoint::Poll => Typ::Poll,
            Endpoint::Address => Typ::Address,
            Endpoint::Retire => Typ::Retire,
        };
        let header = Header {
            typ,
            aud: config.roots.hq_id.clone(),
            signer: Signer::Kid(self.member.device.to_string()),
            delegation: None,
        };
        let body = jws::sign(config.crypto, &self.member.identity.seed, &header, payload);
        let exchange = self.unit.next_exchange();
        pending(config, endpoint, exchange, body.to_bytes())
    }
}

fn continuity(config: &Config, member: &Member, generator: &mut Generator) -> Continuity {
    let nonce = Nonce::new(generator.bytes(config.crypto));
    Continuity {
        token: member.token.clone(),
        nonce,
    }
}
