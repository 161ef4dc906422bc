//! Who may sign for HQ: two pinned roots delegate keys, delegated keys sign answers and grants.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::json::{JsonError, Object};
use super::jws::{self, Header, JwsError, Signer, Typ, Unverified, Verified};
use crate::crypto::{Crypto, Secret};
use crate::time::Timestamp;
use crate::types::{CertName, DeviceId, Ed25519Public, Malformed, NameMode, Quoted, Thumbprint};

/// A root's word that a key signs for HQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The delegated key.
    pub key: Ed25519Public,
    /// Rises with each rotation; a device never goes back to a lower one.
    pub epoch: u64,
    /// The key signs no longer after this.
    pub not_after: Timestamp,
}

/// HQ's word that a name belongs to a key. The box keeps it and shows it to an HQ that has
/// forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Thumbprint of the device's identity key.
    pub key: Thumbprint,
    /// What HQ calls the device.
    pub device: DeviceId,
    /// How the name is used.
    pub mode: NameMode,
    /// The granted name, without `*.`.
    pub name: crate::types::DnsName,
    /// Rises when the device gets another name.
    pub serial: u64,
    /// When it was given.
    pub issued: Timestamp,
}

/// What a device pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// HQ's id.
    pub hq_id: String,
    /// The pinned keys: active, then cold spare; one or two.
    pub keys: Vec<Ed25519Public>,
}

/// Why a message does not come from HQ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No message, or a signature that does not verify.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// A member of the payload is missing or wrong.
    #[error("payload: {0}")]
    Payload(#[from] JsonError),
    /// The message carries no delegation.
    #[error("the message carries no delegation of its key")]
    NoDelegation,
    /// The delegation is signed by no pinned root.
    #[error("the delegation is signed by no root that this image pins")]
    UnknownRoot,
    /// The delegation is of an epoch that was cut off.
    #[error("the delegation is of epoch {got}, and only {floor} and later ones are believed here")]
    OldEpoch {
        /// Its epoch.
        got: u64,
        /// The lowest that is believed.
        floor: u64,
    },
    /// The delegation has ended.
    #[error("the delegation ended at {ended}")]
    Ended {
        /// When.
        ended: Timestamp,
    },
    /// The message is signed by another key than the delegated one.
    #[error("the message names another key than its delegation")]
    OtherKey,
    /// The message is for, or from, another HQ.
    #[error("the message is of HQ {}, this one is {}", Quoted(.got), Quoted(.expected))]
    OtherHq {
        /// This HQ's id.
        expected: String,
        /// The message's `aud`.
        got: String,
    },
    /// The message is of another type.
    #[error("expected {expected}, got {got}")]
    OtherType {
        /// What should have come.
        expected: &'static str,
        /// What came.
        got: &'static str,
    },
}

/// How strictly a delegation's end is held against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Answers: it must not have ended at the lower bound of the time.
    NotBefore(Timestamp),
    /// Grants: they outlive the delegation of the key that signed them.
    Ignored,
}

impl Delegation {
    /// Signs a delegation with a root's seed.
    #[must_use]
    pub fn sign(&self, crypto: &dyn Crypto, hq_id: &str, root: &Secret<32>) -> Object {
        let root_key = Ed25519Public::new(crypto.ed25519_public(root));
        let header = Header {
            typ: Typ::Delegation,
            aud: hq_id.to_string(),
            signer: Signer::Kid(root_key.thumbprint(crypto).to_string()),
            delegation: None,
        };
        let payload = Object::default()
            .with_text("key", self.key)
            .with_number("epoch", self.epoch)
            .with_number("notAfter", self.not_after.millis());
        jws::sign(crypto, root, &header, &payload)
    }

    /// Checks a delegation against the pinned roots.
    ///
    /// # Errors
    ///
    /// If it is signed by none of them, or not well formed.
    pub fn open(crypto: &dyn Crypto, roots: &Roots, object: &Object) -> Result<Self, TrustError> {
        let unverified = Unverified::from_object(object)?;
        expect_type(&unverified, Typ::Delegation)?;
        expect_hq(&unverified, roots)?;
        let Signer::Kid(kid) = &unverified.header().signer else {
            return Err(TrustError::UnknownRoot);
        };
        let root = roots
            .keys
            .iter()
            .find(|key| key.thumbprint(crypto).to_string() == *kid);
        let payload = unverified
            .clone()
            .verify(crypto, root.ok_or(TrustError::UnknownRoot)?)?;
        Ok(Self {
            key: payload.payload.parsed("key", Ed25519Public::parse)?,
            epoch: payload.payload.number("epoch")?,
            not_after: Timestamp::from_millis(payload.payload.number("notAfter")?),
        })
    }
}

impl Roots {
    /// Checks a message of HQ: root, delegation, signature, type. The epoch must not be below
    /// `epoch_floor`.
    ///
    /// # Errors
    ///
    /// If any of them does not hold.
    pub fn open(
        &self,
        crypto: &dyn Crypto,
        unverified: Unverified,
        typ: Typ,
        epoch_floor: u64,
        expiry: Expiry,
    ) -> Result<(Verified, Delegation), TrustError> {
        expect_type(&unverified, typ)?;
        expect_hq(&unverified, self)?;
        let object = unverified
            .header()
            .delegation
            .as_ref()
            .ok_or(TrustError::NoDelegation)?;
        let delegation = Delegation::open(crypto, self, object)?;
        if delegation.epoch < epoch_floor {
            return Err(TrustError::OldEpoch {
                got: delegation.epoch,
                floor: epoch_floor,
            });
        }
        if let Expiry::NotBefore(now) = expiry
            && delegation.not_after < now
        {
            return Err(TrustError::Ended {
                ended: delegation.not_after,
            });
        }
        let kid = delegation.key.thumbprint(crypto).to_string();
        if unverified.header().signer != Signer::Kid(kid) {
            return Err(TrustError::OtherKey);
        }
        let verified = unverified.verify(crypto, &delegation.key)?;
        Ok((verified, delegation))
    }
}

/// The key with which HQ signs, and the delegation it shows.
#[derive(Clone, Debug)]
pub struct HqSigner {
    hq_id: String,
    seed: Secret<32>,
    kid: String,
    epoch: u64,
    delegation: Object,
}

impl HqSigner {
    /// Takes the key and its delegation.
    ///
    /// # Errors
    ///
    /// If the delegation is not of a root, or is for another key.
    pub fn new(
        crypto: &dyn Crypto,
        roots: &Roots,
        seed: Secret<32>,
        delegation: Object,
    ) -> Result<Self, TrustError> {
        let opened = Delegation::open(crypto, roots, &delegation)?;
        let key = Ed25519Public::new(crypto.ed25519_public(&seed));
        if opened.key != key {
            return Err(TrustError::OtherKey);
        }
        let kid = key.thumbprint(crypto).to_string();
        Ok(Self {
            hq_id: roots.hq_id.clone(),
            seed,
            kid,
            epoch: opened.epoch,
            delegation,
        })
    }

    /// Epoch of the key's delegation.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Signs a stored message anew if it went out under another delegation, which its receiver may
    /// have to refuse by now; none if it is still as this key signs.
    #[must_use]
    pub fn sign_again(&self, crypto: &dyn Crypto, stored: &[u8]) -> Option<Object> {
        let unverified = Unverified::parse(stored).ok()?;
        let header = unverified.header();
        if header.delegation.as_ref() == Some(&self.delegation) {
            return None;
        }
        let payload = Object::parse(unverified.payload_unchecked()).ok()?;
        Some(self.sign(crypto, header.typ, &payload))
    }

    /// Signs a payload.
    #[must_use]
    pub fn sign(&self, crypto: &dyn Crypto, typ: Typ, payload: &Object) -> Object {
        let header = Header {
            typ,
            aud: self.hq_id.clone(),
            signer: Signer::Kid(self.kid.clone()),
            delegation: Some(self.delegation.clone()),
        };
        jws::sign(crypto, &self.seed, &header, payload)
    }
}

impl Grant {
    /// The names a certificate under this grant must hold, exactly.
    #[must_use]
    pub fn cert_names(&self) -> Vec<CertName> {
        let wildcard = match self.mode {
            NameMode::Address => true,
            NameMode::Word => false,
        };
        alloc::vec![CertName {
            wildcard,
            base: self.name.clone()
        }]
    }

    /// Signs the grant.
    #[must_use]
    pub fn sign(&self, crypto: &dyn Crypto, signer: &HqSigner) -> Object {
        let payload = Object::default()
            .with_text("key", self.key)
            .with_text("device", &self.device)
            .with_text("mode", self.mode.as_str())
            .with_text("name", &self.name)
            .with_number("serial", self.serial)
            .with_number("issued", self.issued.millis());
        signer.sign(crypto, Typ::Grant, &payload)
    }

    /// Checks a grant: it outlives the delegation of the key that signed it, but not the epoch.
    ///
    /// # Errors
    ///
    /// If it does not come from HQ, is of an epoch below `epoch_floor`, or is not well formed.
    pub fn open(
        crypto: &dyn Crypto,
        roots: &Roots,
        object: &Object,
        epoch_floor: u64,
    ) -> Result<Self, TrustError> {
        let unverified = Unverified::from_object(object)?;
        let (verified, _) =
            roots.open(crypto, unverified, Typ::Grant, epoch_floor, Expiry::Ignored)?;
        let payload = verified.payload;
        Ok(Self {
            key: payload.parsed("key", Thumbprint::parse)?,
            device: payload.parsed("device", DeviceId::parse)?,
            mode: payload.parsed("mode", NameMode::parse)?,
            name: payload.parsed("name", crate::types::DnsName::parse)?,
            serial: payload.number("serial")?,
            issued: Timestamp::from_millis(payload.number("issued")?),
        })
    }
}

/// Reads a list of certificate names.
pub(crate) fn parse_cert_names(
    object: &Object,
    member: &'static str,
) -> Result<Vec<CertName>, JsonError> {
    let names = object.texts(member, MAX_NAMES, CertName::parse)?;
    match names.is_empty() {
        true => Err(JsonError::member(
            member,
            Malformed::new("names", "at least one name", "an empty list"),
        )),
        false => Ok(names),
    }
}

fn expect_type(unverified: &Unverified, typ: Typ) -> Result<(), TrustError> {
    let got = unverified.header().typ;
    match got == typ {
        true => Ok(()),
        false => Err(TrustError::OtherType {
            expected: typ.as_str(),
            got: got.as_str(),
        }),
    }
}

fn expect_hq(unverified: &Unverified, roots: &Roots) -> Result<(), TrustError> {
    let got = &unverified.header().aud;
    match *got == roots.hq_id {
        true => Ok(()),
        false => Err(TrustError::OtherHq {
            expected: roots.hq_id.clone(),
            got: got.chars().take(64).collect(),
        }),
    }
}

/// Most names a certificate of ours holds.
const MAX_NAMES: usize = 8;
