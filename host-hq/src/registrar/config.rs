//! What the operator decided, as the registrar is opened with it.

use std::fmt;

use zeroize::Zeroize;

use crate::bindings::exports::otscert::provision::registrar as wit;

/// A key of 32 bytes that never leaves HQ.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// A key from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for whoever has to use it.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The registrar's config, `registrar.config` of the contract.
#[derive(Debug, Clone)]
pub struct RegistrarConfig {
    /// HQ's id: the `aud` of every message.
    pub hq_id: String,
    /// The device zone, without the final dot.
    pub zone: String,
    /// Seed of the delegated Ed25519 protocol key.
    pub signing_seed: SecretKey,
    /// The delegation of that key, as the root signed it (flattened JWS, JSON).
    pub delegation: Vec<u8>,
    /// Key for continuity tokens and contact nonces.
    pub token_key: SecretKey,
    /// Roots, as in the image: Ed25519 public keys.
    pub roots: Vec<[u8; 32]>,
    /// The models this HQ serves; `*` as the name is the fallback.
    pub models: Vec<Model>,
    /// Keys of the factory's batches, with their epochs.
    pub batch_keys: Vec<(u32, SecretKey)>,
    /// Ed25519 public keys whose vouchers are believed.
    pub voucher_keys: Vec<[u8; 32]>,
    /// CAs in the order of preference.
    pub cas: Vec<CaRule>,
    /// Names for HQ's own public certificate; empty: none.
    pub own_names: Vec<String>,
    /// Grants of an epoch below this one are not believed; none: below the epoch of `delegation`.
    pub oldest_grant_epoch: Option<u64>,
    /// Loopback addresses are LAN addresses: for a demo on one machine.
    pub danger_loopback: bool,
}

/// A kind of box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// As devices send it, or `*`.
    pub name: String,
    /// How its names are used.
    pub mode: NameMode,
    /// Who may have a name: alternatives, in the contract's words.
    pub admission: Vec<String>,
    /// Boxes that prove nothing may enrol so often within an hour from one network.
    pub enrolments_from_prefix: u32,
    /// And so often from everywhere.
    pub enrolments_of_model: u32,
    /// Name of the CA to use, if not the first.
    pub ca: Option<String>,
}

/// How a device's names are used (DESIGN 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameMode {
    /// Wildcard below a random label.
    Address,
    /// Two words.
    Word,
}

/// A CA as the rules need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaRule {
    /// Its name in HQ's config.
    pub name: String,
    /// Profile to ask for, where the CA has profiles.
    pub profile: Option<String>,
    /// The CA answers RFC 9773.
    pub ari: bool,
}

impl RegistrarConfig {
    /// For the guest. Whoever calls it wipes the secret keys after use ([`wipe`]).
    pub(super) fn to_guest(&self) -> wit::Config {
        wit::Config {
            hq_id: self.hq_id.clone(),
            zone: self.zone.clone(),
            signing_seed: self.signing_seed.expose().to_vec(),
            delegation: self.delegation.clone(),
            token_key: self.token_key.expose().to_vec(),
            roots: self.roots.iter().map(|root| root.to_vec()).collect(),
            models: self
                .models
                .iter()
                .map(|model| wit::Model {
                    name: model.name.clone(),
                    mode: match model.mode {
                        NameMode::Address => wit::NameMode::Address,
                        NameMode::Word => wit::NameMode::Word,
                    },
                    admission: model.admission.clone(),
                    enrolments_from_prefix: model.enrolments_from_prefix,
                    enrolments_of_model: model.enrolments_of_model,
                    ca: model.ca.clone(),
                })
                .collect(),
            batch_keys: self
                .batch_keys
                .iter()
                .map(|(epoch, key)| wit::BatchKey {
                    epoch: *epoch,
                    key: key.expose().to_vec(),
                })
                .collect(),
            voucher_keys: self.voucher_keys.iter().map(|key| key.to_vec()).collect(),
            cas: self
                .cas
                .iter()
                .map(|ca| wit::Ca {
                    name: ca.name.clone(),
                    profile: ca.profile.clone(),
                    ari: ca.ari,
                })
                .collect(),
            own_names: self.own_names.clone(),
            oldest_grant_epoch: self.oldest_grant_epoch,
            danger_loopback: self.danger_loopback,
        }
    }
}

/// Wipes the secret keys of a config that the guest has had.
pub(super) fn wipe(config: &mut wit::Config) {
    config.signing_seed.zeroize();
    config.token_key.zeroize();
    for batch in &mut config.batch_keys {
        batch.key.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_key_is_not_printed() {
        let key = SecretKey::from_bytes([0xab; 32]);
        let text = format!("{key:?} {:?}", Some(&key));
        assert!(!text.contains("171") && !text.contains("ab, "), "{text}");
        assert_eq!(key.expose(), &[0xab; 32]);
    }
}
