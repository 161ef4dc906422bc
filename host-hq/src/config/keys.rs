//! Keys and what they are worth: secrets come by file, with a mode that keeps others out.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::types::Ed25519Public;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::trust::{Delegation, Roots, TrustError};
use zeroize::Zeroizing;

use crate::types::Timestamp;

/// 32 secret bytes, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(Zeroizing<[u8; 32]>);

/// The delegation of HQ's protocol key, checked against key and roots.
#[derive(Debug, Clone)]
pub struct CheckedDelegation {
    /// As the root signed it (flattened JWS, JSON).
    pub bytes: Vec<u8>,
    /// Rises with each rotation.
    pub epoch: u64,
    /// Boxes refuse it from then on.
    pub not_after: Timestamp,
}

/// Why a key is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error("the key file {} cannot be read: check `{setting}`, and that the file belongs to this user", path.display())]
    Read {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others could read it.
    #[error("the key file {} has mode {mode:03o}, so others can use it: `chmod 600 {}`", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds no key.
    #[error("the key file {} does not hold one line of 43 characters base64url (32 bytes): restore it from a backup", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The delegation does not hold.
    #[error(
        "the delegation {} is not one of the keys in `{setting}`: let the holder of a root sign again with \
         `otscert-hq delegate`", path.display()
    )]
    Delegation {
        /// The setting that it must fit.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What does not hold.
        #[source]
        source: DelegationError,
    },
}

/// What is wrong with a delegation.
#[derive(Debug, thiserror::Error)]
pub enum DelegationError {
    /// The file holds no JSON of its kind.
    #[error("it is no flattened JWS: {detail}")]
    Syntax {
        /// What the parser said.
        detail: String,
    },
    /// The machine refuses it.
    #[error(transparent)]
    Trust(Box<TrustError>),
    /// It is for another key.
    #[error("it is for the key {got}, and the signing key is {expected}")]
    OtherKey {
        /// The public key of the signing key.
        expected: String,
        /// The delegated one.
        got: String,
    },
}

impl Seed {
    /// A key from its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes, for whoever has to use it.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The line that a key file holds.
    #[must_use]
    pub fn to_line(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n", Base64UrlUnpadded::encode_string(&*self.0)))
    }

    /// The Ed25519 public key, if this is the seed of one.
    #[must_use]
    pub fn ed25519_public(&self) -> Ed25519Public {
        Ed25519Public::new(RustCrypto.ed25519_public(&self.to_machine()))
    }

    /// The same, as the machine takes it.
    pub(crate) fn to_machine(&self) -> Secret<32> {
        Secret::new(*self.0)
    }

    /// Reads a key file that nobody else can read.
    ///
    /// # Errors
    ///
    /// [`KeyError`] names file and fault.
    pub fn read(setting: &'static str, path: &Path) -> Result<Self, KeyError> {
        let text = Zeroizing::new(read_private(setting, path)?);
        let refused = || KeyError::NoKey {
            path: path.to_owned(),
        };
        let text = std::str::from_utf8(&text).map_err(|_| refused())?.trim();
        let mut bytes = Zeroizing::new([0; SEED]);
        match Base64UrlUnpadded::decode(text, &mut *bytes) {
            Ok(decoded) if decoded.len() == SEED => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(refused()),
        }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(redacted)")
    }
}

impl CheckedDelegation {
    /// Reads a delegation and checks that it is one of `key`, signed by one of `roots`. Whether it has ended is
    /// for the caller to judge: boxes refuse an ended one and go on serving.
    ///
    /// # Errors
    ///
    /// [`KeyError`] names file and fault.
    pub fn read(
        path: &Path,
        hq_id: &str,
        key: &Seed,
        roots: &[[u8; 32]],
    ) -> Result<Self, KeyError> {
        let bytes = read_bounded(path).map_err(|source| KeyError::Read {
            setting: "keys.delegation",
            path: path.to_owned(),
            source,
        })?;
        let checked = Self::check(&bytes, hq_id, key, roots);
        let (epoch, not_after) = checked.map_err(|(setting, source)| KeyError::Delegation {
            setting,
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            bytes,
            epoch,
            not_after,
        })
    }

    fn check(
        bytes: &[u8],
        hq_id: &str,
        key: &Seed,
        roots: &[[u8; 32]],
    ) -> Result<(u64, Timestamp), (&'static str, DelegationError)> {
        let object = Object::parse(bytes).map_err(|error| {
            (
                "keys.roots",
                DelegationError::Syntax {
                    detail: error.to_string(),
                },
            )
        })?;
        let keys = roots.iter().map(|root| Ed25519Public::new(*root)).collect();
        let roots = Roots {
            hq_id: hq_id.to_owned(),
            keys,
        };
        let delegation = Delegation::open(&RustCrypto, &roots, &object)
            .map_err(|error| ("keys.roots", DelegationError::Trust(Box::new(error))))?;
        let expected = key.ed25519_public();
        if delegation.key != expected {
            let other = DelegationError::OtherKey {
                expected: expected.to_string(),
                got: delegation.key.to_string(),
            };
            return Err(("keys.signing_key", other));
        }
        Ok((
            delegation.epoch,
            Timestamp::from_millis(delegation.not_after.millis()),
        ))
    }
}

/// Reads a secret file, unless others could read it as well.
pub(crate) fn read_private(setting: &'static str, path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::Read {
        setting,
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    if let Some(mode) = open_to_others(&file).map_err(failed)? {
        return Err(KeyError::Mode {
            path: path.to_owned(),
            mode,
        });
    }
    let mut bytes = Vec::new();
    file.take(MAX_KEY_FILE)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

/// Reads a file that is small, or not what it should be.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_KEY_FILE)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The file's permission bits, if they let anybody in besides its owner.
#[cfg(unix)]
fn open_to_others(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn open_to_others(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

const SEED: usize = 32;
/// The largest is a certificate chain.
const MAX_KEY_FILE: u64 = 256 * 1024;
