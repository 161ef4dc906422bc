//! The records that one decision needs: what was asked for, and what was there.

use alloc::vec::Vec;

use super::event::Subject;
use super::names::Label;
use super::records::{
    ClaimRecord, DeviceRecord, Key, NameRecord, OwnRecord, Record, Stored, TlsRecord, UnitRecord,
};
use crate::map::SmallMap;
use crate::types::{DeviceId, Digest, Thumbprint};

/// The records that one decision needs: what was asked for, and what was there.
#[derive(Clone, Debug, Default)]
pub struct Bundle(SmallMap<Key, Option<Record>>);

impl Bundle {
    /// Notes what stands under a key; none: nothing does.
    pub fn put(&mut self, key: Key, record: Option<Record>) {
        self.0.insert(key, record);
    }

    /// Whether the key was asked for.
    #[must_use]
    pub fn knows(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    /// A device.
    #[must_use]
    pub fn device(&self, id: &DeviceId) -> Option<&DeviceRecord> {
        let Record::Device(device) = self.get(&Key::Device(id.clone()))? else {
            return None;
        };
        Some(device)
    }

    /// HQ's own certificate.
    #[must_use]
    pub fn own(&self) -> Option<&OwnRecord> {
        let Record::Own(own) = self.get(&Key::Own)? else {
            return None;
        };
        Some(own)
    }

    /// The last answer to a device.
    #[must_use]
    pub fn answer(&self, id: &DeviceId) -> Option<&Stored> {
        let Record::Answer(stored) = self.get(&Key::Answer(id.clone()))? else {
            return None;
        };
        Some(stored)
    }

    /// The chain of a subject.
    #[must_use]
    pub fn chain(&self, subject: &Subject) -> Option<&[Vec<u8>]> {
        let Record::Chain(chain) = self.get(&Key::Chain(subject.clone()))? else {
            return None;
        };
        Some(chain)
    }

    /// The device of an identity key.
    #[must_use]
    pub fn identity(&self, thumbprint: &Thumbprint) -> Option<&DeviceId> {
        let Record::Identity(device) = self.get(&Key::Identity(*thumbprint))? else {
            return None;
        };
        Some(device)
    }

    /// Whose a label is.
    #[must_use]
    pub fn name(&self, label: &Label) -> Option<&NameRecord> {
        let Record::Name(name) = self.get(&Key::Name(label.clone()))? else {
            return None;
        };
        Some(name)
    }

    /// Whose a TLS key is.
    #[must_use]
    pub fn tls(&self, spki: &Digest) -> Option<&TlsRecord> {
        let Record::Tls(tls) = self.get(&Key::Tls(*spki))? else {
            return None;
        };
        Some(tls)
    }

    /// The CSR that a signature was seen in.
    #[must_use]
    pub fn signature(&self, r: &Digest) -> Option<&Digest> {
        let Record::Signature(csr) = self.get(&Key::Signature(*r))? else {
            return None;
        };
        Some(csr)
    }

    /// A claim code.
    #[must_use]
    pub fn claim(&self, code: &Digest) -> Option<&ClaimRecord> {
        let Record::Claim(claim) = self.get(&Key::Claim(*code))? else {
            return None;
        };
        Some(claim)
    }

    /// A unit of the factory.
    #[must_use]
    pub fn unit(&self, digest: &Digest) -> Option<&UnitRecord> {
        let Record::Unit(unit) = self.get(&Key::Unit(*digest))? else {
            return None;
        };
        Some(unit)
    }

    fn get(&self, key: &Key) -> Option<&Record> {
        self.0.get(key)?.as_ref()
    }
}
