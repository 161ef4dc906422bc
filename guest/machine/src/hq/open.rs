//! From bytes to facts: syntax, then signer, then signature, then members. What does not pass
//! becomes a [`Refusal`]; what does is a typed [`Message`], and nothing after this sees bytes.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::admission::unit_digest;
use super::bundle::Bundle;
use super::event::{Candidates, Csr, Enrolment, MemberBody, MemberMessage, Message, Refusal};
use super::records::Key;
use super::{Config, token};
use crate::crypto::Crypto;
use crate::entropy::Generator;
use crate::peer::Endpoint;
use crate::time::Timestamp;
use crate::types::{DeviceId, Digest, Ed25519Public, text_of};
use crate::wire::MAX_MESSAGE;
use crate::wire::json::{JsonError, Object};
use crate::wire::jws::{JwsError, Signer, Typ, Unverified};
use crate::wire::message::{Address, Contact, Enrol, Order, Poll, Retire};
use crate::wire::problem::ProblemKind;
use crate::wire::trust::Grant;
use crate::x509::csr;

/// A message whose syntax is right. Its signature has not been looked at.
#[derive(Clone, Debug)]
pub struct Envelope {
    digest: Digest,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Contact(Contact),
    Enrol {
        key: Ed25519Public,
        unverified: Unverified,
    },
    Member {
        device: DeviceId,
        endpoint: Endpoint,
        unverified: Unverified,
    },
}

/// What a message is opened with.
#[derive(Debug)]
pub struct Opening<'a> {
    /// What the operator decided.
    pub config: &'a Config,
    /// The time.
    pub now: Timestamp,
}

impl Envelope {
    /// Parses a message that came by the path of an endpoint.
    ///
    /// # Errors
    ///
    /// If it is no message of this protocol, of another type, or for another HQ.
    pub fn parse(config: &Config, endpoint: Endpoint, body: &[u8]) -> Result<Self, Box<Refusal>> {
        let digest = Digest::of(config.crypto, body);
        let nobody = |kind, detail: String| refusal("", digest, kind, detail);
        if body.len() > MAX_MESSAGE {
            let error = JwsError::TooLarge { got: body.len() };
            return Err(nobody(ProblemKind::TooLarge, text_of(&error)));
        }
        if endpoint == Endpoint::Contact {
            let contact =
                Contact::parse(body).map_err(|error| nobody((&error).into(), text_of(&error)))?;
            let sub = contact.nonce.to_string();
            for_this_hq(config, digest, &sub, &contact.aud)?;
            return Ok(Self {
                digest,
                content: Content::Contact(contact),
            });
        }
        let unverified =
            Unverified::parse(body).map_err(|error| nobody((&error).into(), text_of(&error)))?;
        let header = unverified.header();
        let signer = match &header.signer {
            Signer::Key(key) => Ok(*key),
            Signer::Kid(kid) => Err(kid.clone()),
        };
        let sub = match &signer {
            Ok(key) => key.thumbprint(config.crypto).to_string(),
            Err(kid) => kid.clone(),
        };
        for_this_hq(config, digest, &sub, &header.aud)?;
        let expected = typ_of(endpoint);
        if Some(header.typ) != expected {
            let got = header.typ.as_str();
            let expected = expected.map_or("another", Typ::as_str);
            let detail = alloc::format!("this path takes {expected}, the message is {got}");
            return Err(refusal(&sub, digest, ProblemKind::WrongType, detail));
        }
        let content = match signer {
            Ok(key) => Content::Enrol { key, unverified },
            Err(kid) => match DeviceId::parse(&kid) {
                Ok(device) => Content::Member {
                    device,
                    endpoint,
                    unverified,
                },
                Err(error) => {
                    let kind = ProblemKind::UnknownDevice;
                    return Err(refusal(&sub, digest, kind, text_of(&error)));
                }
            },
        };
        Ok(Self { digest, content })
    }

    /// SHA-256 of the message.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The record that says which key to check the signature with, if one does.
    #[must_use]
    pub fn signer(&self) -> Option<Key> {
        match &self.content {
            Content::Contact(_) | Content::Enrol { .. } => None,
            Content::Member { device, .. } => Some(Key::Device(device.clone())),
        }
    }

    /// Checks the signature with the key that the message shows, or that the bundle holds for its
    /// signer, and reads the members.
    ///
    /// # Errors
    ///
    /// If the signer is unknown, the signature does not verify, or a member is wrong.
    pub fn open(
        self,
        opening: &Opening<'_>,
        bundle: &Bundle,
        random: &mut Generator,
    ) -> Result<Message, Box<Refusal>> {
        let Opening { config, now } = *opening;
        let digest = self.digest;
        match self.content {
            Content::Contact(contact) => {
                let hq_nonce = token::contact_nonce(config, now);
                Ok(Message::Contact { contact, hq_nonce })
            }
            Content::Enrol { key, unverified } => {
                let thumbprint = key.thumbprint(config.crypto);
                let refuse = |kind, detail| refusal(&thumbprint.to_string(), digest, kind, detail);
                let payload = unverified
                    .verify(config.crypto, &key)
                    .map_err(|error| refuse((&error).into(), text_of(&error)))?
                    .payload;
                let enrol = Enrol::parse(&payload)
                    .map_err(|error| refuse((&error).into(), text_of(&error)))?;
                let given = token::contact_nonce_given(config, &enrol.hq_nonce, now);
                let grant = enrol
                    .grant
                    .as_ref()
                    .map(|grant| grant_of(config, grant, &key));
                let candidates = match config.model(&enrol.model) {
                    Some(model) => Candidates::draw(config, model.mode, random),
                    None => Candidates {
                        device: DeviceId::from_random(&random.bytes(config.crypto)),
                        labels: Vec::new(),
                    },
                };
                let credential = &enrol.credential;
                let claim = credential
                    .claim_code
                    .as_ref()
                    .map(|code| code.digest(config.crypto));
                let unit = credential
                    .unit
                    .as_ref()
                    .map(|unit| unit_digest(config, &enrol.model, &unit.serial));
                Ok(Message::Enrol(Box::new(Enrolment {
                    key,
                    thumbprint,
                    claim,
                    unit,
                    enrol,
                    given,
                    grant,
                    candidates,
                })))
            }
            Content::Member {
                device,
                endpoint,
                unverified,
            } => {
                let refuse = |kind, detail| refusal(device.as_str(), digest, kind, detail);
                let Some(record) = bundle.device(&device) else {
                    let detail = String::from("enrol again and show the grant");
                    return Err(refuse(ProblemKind::UnknownDevice, detail));
                };
                let payload = unverified
                    .verify(config.crypto, &record.key)
                    .map_err(|error| refuse((&error).into(), text_of(&error)))?
                    .payload;
                let (token, body) = member_body(config.crypto, endpoint, &payload)
                    .map_err(|error| refuse((&error).into(), text_of(&error)))?;
                let counter = token::continuity_counter(config, &device, &token);
                Ok(Message::Member(MemberMessage {
                    device,
                    counter,
                    body,
                }))
            }
        }
    }
}

impl Csr {
    /// Reads a CSR and verifies that its sender has the key.
    ///
    /// # Errors
    ///
    /// If it does not hold: for people.
    pub fn check(crypto: &dyn Crypto, der: &[u8]) -> Result<Self, String> {
        let checked = csr::check(crypto, der).map_err(|error| text_of(&error))?;
        Ok(Self {
            der: der.to_vec(),
            digest: Digest::of(crypto, der),
            names: checked.names,
            spki: checked.spki_digest,
            signature_r: Digest::of(crypto, &checked.signature_r),
        })
    }
}

fn member_body(
    crypto: &dyn Crypto,
    endpoint: Endpoint,
    payload: &Object,
) -> Result<(String, MemberBody), JsonError> {
    Ok(match endpoint {
        Endpoint::Order => {
            let order = Order::parse(payload)?;
            (
                order.continuity.token,
                MemberBody::Order(Csr::check(crypto, &order.csr)),
            )
        }
        Endpoint::Poll => {
            let Poll {
                continuity,
                firmware,
                boot_count,
                serving,
                trouble,
            } = Poll::parse(payload)?;
            (
                continuity.token,
                MemberBody::Poll {
                    firmware,
                    boot_count,
                    serving,
                    trouble,
                },
            )
        }
        Endpoint::Address => {
            let address = Address::parse(payload)?;
            (
                address.continuity.token,
                MemberBody::Address(address.addresses),
            )
        }
        // The first two are no messages of members and never come here.
        Endpoint::Contact | Endpoint::Enrol | Endpoint::Retire => {
            (Retire::parse(payload)?.continuity.token, MemberBody::Retire)
        }
    })
}

/// The grant, if HQ made it for this key.
fn grant_of(config: &Config, grant: &Object, key: &Ed25519Public) -> Result<Grant, String> {
    let grant = Grant::open(
        config.crypto,
        &config.roots,
        grant,
        config.oldest_grant_epoch,
    )
    .map_err(|error| text_of(&error))?;
    match grant.key == key.thumbprint(config.crypto) {
        true => Ok(grant),
        false => Err(String::from("the grant was made for another key")),
    }
}

fn for_this_hq(config: &Config, digest: Digest, sub: &str, aud: &str) -> Result<(), Box<Refusal>> {
    if aud == config.roots.hq_id {
        return Ok(());
    }
    let detail = alloc::format!("this is {}", config.roots.hq_id);
    Err(refusal(sub, digest, ProblemKind::WrongAudience, detail))
}

const fn typ_of(endpoint: Endpoint) -> Option<Typ> {
    match endpoint {
        Endpoint::Contact => None,
        Endpoint::Enrol => Some(Typ::Enrol),
        Endpoint::Order => Some(Typ::Order),
        Endpoint::Poll => Some(Typ::Poll),
        Endpoint::Address => Some(Typ::Address),
        Endpoint::Retire => Some(Typ::Retire),
    }
}

fn refusal(sub: &str, digest: Digest, kind: ProblemKind, detail: String) -> Box<Refusal> {
    Box::new(Refusal {
        sub: sub.to_string(),
        digest,
        kind,
        detail,
    })
}
