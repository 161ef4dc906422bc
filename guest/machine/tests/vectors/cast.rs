//! Who sends the messages of the vectors: fixed seeds, ids and times.

use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::factory::{UnitSecret, unit_secret};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Timestamp};
use otscert_machine::types::{DeviceId, Digest, DnsName, Ed25519Public, NameMode, Nonce};
use otscert_machine::wire::base64url;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::trust::{Delegation, Grant, HqSigner, Roots};
use serde_json::{Value, json};

use super::CRYPTO;

pub(crate) const HQ_ID: &str = "hq.example.com";
pub(crate) const MODEL: &str = "acme-router";
pub(crate) const FIRMWARE: &str = "1.4.2";
pub(crate) const DEVICE: &str = "abcdefghij234567klmn";
pub(crate) const NAME: &str = "ovsbggbrp2dikgkdddpdmgsm2m.boxes.example.net";
/// As printed on the label.
pub(crate) const CLAIM_CODE: &str = "7K3M-Q2WT-9XHB-04ZF-J";
/// 2026-11-23T00:00:00Z.
pub(crate) const NOW: u64 = 1_795_392_000_000;
/// 2027-11-23T00:00:00Z.
pub(crate) const DELEGATION_END: u64 = 1_826_928_000_000;

/// The keys, each made of the SHA-256 of its name.
pub(crate) struct Cast;

type Pair = (Secret<32>, Ed25519Public);

impl Cast {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn root(&self) -> Pair {
        pair("root")
    }

    pub(crate) fn spare_root(&self) -> Pair {
        pair("spare root")
    }

    pub(crate) fn hq_key(&self) -> Pair {
        pair("hq")
    }

    pub(crate) fn next_hq_key(&self) -> Pair {
        pair("next hq")
    }

    pub(crate) fn identity(&self) -> Pair {
        pair("identity")
    }

    pub(crate) fn stranger(&self) -> Pair {
        pair("stranger")
    }

    pub(crate) fn tls_key(&self) -> Secret<32> {
        seed("tls")
    }

    pub(crate) fn ca_key(&self) -> Secret<32> {
        seed("ca")
    }

    /// The maker's secret, of which everything in its units comes.
    pub(crate) fn factory_master(&self) -> Secret<32> {
        seed("factory master")
    }

    /// What signs vouchers, and nothing else.
    pub(crate) fn factory(&self) -> Pair {
        pair("factory")
    }

    pub(crate) fn batch_key(&self) -> Secret<32> {
        unit_secret::batch_key(&CRYPTO, &self.factory_master(), 1)
    }

    pub(crate) fn unit_secret(&self) -> UnitSecret {
        let (model, serial) = (
            super::messages::short(MODEL),
            super::messages::short("SN-0001"),
        );
        UnitSecret::derive(&CRYPTO, &self.batch_key(), 1, &model, &serial)
    }

    pub(crate) fn sealed_seed(&self) -> Secret<32> {
        seed("sealed seed")
    }

    pub(crate) fn hq_seed(&self) -> Secret<32> {
        seed("hq seed")
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots {
            hq_id: HQ_ID.into(),
            keys: vec![self.root().1, self.spare_root().1],
        }
    }

    pub(crate) fn delegation(&self) -> Delegation {
        let not_after = Timestamp::from_millis(DELEGATION_END);
        Delegation {
            key: self.hq_key().1,
            epoch: 1,
            not_after,
        }
    }

    pub(crate) fn next_delegation(&self) -> Delegation {
        let not_after = Timestamp::from_millis(DELEGATION_END);
        Delegation {
            key: self.next_hq_key().1,
            epoch: 2,
            not_after,
        }
    }

    pub(crate) fn signed_delegation(&self) -> Object {
        self.delegation().sign(&CRYPTO, HQ_ID, &self.root().0)
    }

    pub(crate) fn hq(&self) -> HqSigner {
        HqSigner::new(
            &CRYPTO,
            &self.roots(),
            self.hq_key().0,
            self.signed_delegation(),
        )
        .unwrap()
    }

    pub(crate) fn grant(&self) -> Grant {
        Grant {
            key: self.identity().1.thumbprint(&CRYPTO),
            device: device(),
            mode: NameMode::Address,
            name: DnsName::parse(NAME).unwrap(),
            serial: 1,
            issued: Timestamp::from_millis(NOW),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let both = |(seed, public): Pair| {
            json!({
                "seed": base64url::encode(seed.expose()),
                "public": public.to_string(),
                "thumbprint": public.thumbprint(&CRYPTO).to_string(),
            })
        };
        let point = |scalar: Secret<32>| {
            json!({
                "scalar": base64url::encode(scalar.expose()),
                "public": base64url::encode(&CRYPTO.p256_public(&scalar).unwrap()),
            })
        };
        json!({
            "hqId": HQ_ID,
            "ed25519": {
                "root": both(self.root()),
                "spare-root": both(self.spare_root()),
                "hq": both(self.hq_key()),
                "next-hq": both(self.next_hq_key()),
                "identity": both(self.identity()),
                "stranger": both(self.stranger()),
                "factory": both(self.factory()),
            },
            "p256": { "tls": point(self.tls_key()), "ca": point(self.ca_key()) },
            "factoryMaster": base64url::encode(self.factory_master().expose()),
            "batchKey": base64url::encode(self.batch_key().expose()),
            "unitSecret": base64url::encode(self.unit_secret().secret.expose()),
            "sealedSeed": base64url::encode(self.sealed_seed().expose()),
            "claimCode": CLAIM_CODE,
            "now": NOW,
        })
    }
}

pub(crate) fn device() -> DeviceId {
    DeviceId::parse(DEVICE).unwrap()
}

pub(crate) fn moment() -> Moment {
    Moment {
        wall: Timestamp::from_millis(NOW),
        trust: ClockTrust::Trusted,
        monotonic: Monotonic::from_millis(0),
    }
}

/// A nonce that differs from message to message.
pub(crate) fn nonce(of: &str) -> Nonce {
    let digest = digest(of);
    Nonce::new(*digest.bytes().first_chunk().unwrap())
}

/// A stand-in for what HQ alone makes and reads: a token or a nonce.
pub(crate) fn opaque(of: &str) -> String {
    base64url::encode(&digest(of).bytes()[..24])
}

pub(crate) fn digest(of: &str) -> Digest {
    Digest::new(CRYPTO.sha256(&[b"otscert vectors: ", of.as_bytes()]))
}

fn seed(of: &str) -> Secret<32> {
    Secret::new(*digest(of).bytes())
}

fn pair(of: &str) -> Pair {
    let seed = seed(of);
    let public = Ed25519Public::new(CRYPTO.ed25519_public(&seed));
    (seed, public)
}
