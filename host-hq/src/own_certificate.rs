//! HQ's own certificate for people, obtained the way boxes get theirs.
//!
//! # The story
//!
//! HQ makes a key and a CSR, keeps the key as `own/pending.key`, and hands the CSR to the registrar (`own-csr`). From
//! there everything is as for a box: order, challenge in HQ's own DNS, chain. The chain passes through HQ's hands when
//! a worker fetches it ([`OwnCertificate::offer`]); the leaf that holds the pending key is HQ's. It is written beside
//! its key, and the endpoint answers with it from the next handshake on. When a third of its life is left, the same
//! begins again with a new key. Where anything fails, the certificate in use stays.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use otscert_host::files;
use otscert_hq_ca::certificate_pem;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::config::{KeyError, read_private};
use crate::error::chain;
use crate::hq::Hq;
use crate::registrar::CallError;
use crate::store::StoreError;
use crate::tls::{self, Resolver, TlsError};
use crate::types::{OperatorOrder, Subject, Timestamp};

/// HQ's own certificate and the way to the next.
#[derive(Debug)]
pub struct OwnCertificate {
    folder: PathBuf,
    names: Vec<String>,
    resolver: Arc<Resolver>,
    /// The key a chain is awaited for.
    pending: Mutex<Option<Pending>>,
    arrived: Notify,
}

struct Pending {
    key: KeyPair,
    /// The registrar has had its CSR from this process.
    handed_in: bool,
}

/// Why there is no certificate, or no way to the next.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// A key could not be made, or a CSR of it.
    #[error("HQ's own key or request could not be made")]
    Make(#[source] rcgen::Error),
    /// A key could not be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A stored key is none.
    #[error("{} holds no key: remove it, and HQ makes another", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: rcgen::Error,
    },
    /// A file could not be written.
    #[error("{} cannot be written: check its folder, owner and disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The chain and the key do not do.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The database failed.
    #[error("it cannot be seen how HQ's own order stands")]
    Ask(#[source] StoreError),
    /// The registrar did not take the request.
    #[error("the registrar did not take the request for HQ's own certificate")]
    Refused(#[source] CallError),
}

impl OwnCertificate {
    /// Loads what there is in `folder`, and lets `resolver` answer with it.
    #[must_use]
    pub fn new(folder: PathBuf, names: Vec<String>, resolver: Arc<Resolver>) -> Self {
        let own = Self {
            folder,
            names,
            resolver,
            pending: Mutex::new(None),
            arrived: Notify::new(),
        };
        match own.load() {
            Ok(true) => {}
            Ok(false) => tracing::info!("HQ has no certificate for people yet and orders one"),
            Err(error) => {
                tracing::error!(error = chain(&error), "HQ's own certificate is not used")
            }
        }
        match own.load_pending() {
            Ok(pending) => *own.lock() = pending,
            Err(error) => tracing::error!(error = chain(&error), "HQ's pending key is not used"),
        }
        own
    }

    /// Takes a chain (DER, leaf first) that a worker has fetched, if it is for HQ's own pending key.
    pub fn offer(&self, certificates: &[Vec<u8>]) {
        match self.take(certificates) {
            Ok(true) => {
                tracing::info!("HQ has a new certificate for people");
                self.arrived.notify_one();
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = chain(&error), "HQ's new certificate is not used")
            }
        }
    }

    /// Orders a certificate whenever one is needed, until `stop`.
    pub async fn run(&self, hq: Arc<Hq>, clock: Arc<dyn Clock>, stop: CancellationToken) {
        loop {
            let now = clock.now().wall;
            let rest = match self.due(now) {
                None => match self.order(&hq).await {
                    Ok(()) => ASK_AGAIN,
                    Err(error) => {
                        tracing::warn!(
                            error = chain(&error),
                            "HQ's own certificate was not ordered; again later"
                        );
                        ASK_AGAIN
                    }
                },
                Some(wait) => wait.min(LONGEST_REST),
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = self.arrived.notified() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// How long the certificate in use does; none: a new one is needed at once.
    fn due(&self, now: Timestamp) -> Option<Duration> {
        let end = self.resolver.not_after()?;
        let begin = fs::read(self.path(CURRENT))
            .ok()
            .and_then(|pem| begin_of(&leaf_of(&pem)?))?;
        let life = end.as_millis().saturating_sub(begin.as_millis());
        let renew_at = end.as_millis().saturating_sub(life / RENEW_AT_PART);
        let wait = renew_at
            .checked_sub(now.as_millis())
            .filter(|wait| *wait > 0)?;
        Some(Duration::from_millis(wait))
    }

    async fn order(&self, hq: &Hq) -> Result<(), OwnError> {
        let own = hq.store().device(OWN).await.map_err(OwnError::Ask)?;
        if own.is_some_and(|own| !SETTLED.contains(&own.summary.summary.state.as_str())) {
            // An order is on its way, or waits for its turn.
            return Ok(());
        }
        let csr = self.request()?;
        // Unwrap safety: it is a subject of the contract.
        let subject = Subject::try_from(OWN.to_owned()).expect("`own` is a subject");
        hq.command(subject, OperatorOrder::OwnCsr(csr))
            .await
            .map(drop)
            .map_err(OwnError::Refused)
    }

    /// The CSR of a key that this process has not handed in yet: the one left by the process before, or a new one.
    fn request(&self) -> Result<Vec<u8>, OwnError> {
        let mut pending = self.lock();
        let key = match pending.take() {
            Some(Pending {
                key,
                handed_in: false,
            }) => key,
            // The registrar is through with that one, and no certificate came of it.
            Some(Pending {
                key: _,
                handed_in: true,
            })
            | None => {
                let key = KeyPair::generate().map_err(OwnError::Make)?;
                let pem = Zeroizing::new(key.serialize_pem());
                self.replace(PENDING_KEY, pem.as_bytes())?;
                key
            }
        };
        let mut params = CertificateParams::new(self.names.clone()).map_err(OwnError::Make)?;
        // CAs ignore a subject or dislike it (CA/Browser Forum BR 7.1.2.7.2): names are in the SAN.
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).map_err(OwnError::Make);
        *pending = Some(Pending {
            key,
            handed_in: true,
        });
        Ok(csr?.der().to_vec())
    }

    fn take(&self, certificates: &[Vec<u8>]) -> Result<bool, OwnError> {
        let Some(leaf) = certificates.first() else {
            return Ok(false);
        };
        let mut pending = self.lock();
        let Some(Pending { key, handed_in: _ }) = &*pending else {
            return Ok(false);
        };
        if !holds(leaf, key) {
            return Ok(false);
        }
        let chain_pem: String = certificates
            .iter()
            .map(|der| certificate_pem(der))
            .collect();
        let key_pem = Zeroizing::new(key.serialize_pem());
        // One file for both, so that no crash can part them.
        let both = Zeroizing::new(format!("{}{chain_pem}", *key_pem));
        let path = self.path(CURRENT);
        let pair = tls::pair_from_pem(&path, both.as_bytes(), &path, both.as_bytes())?;
        self.replace(CURRENT, both.as_bytes())?;
        self.resolver.set(&pair);
        *pending = None;
        self.forget_pending()?;
        Ok(true)
    }

    /// Uses the certificate of an earlier run, if it is for the names of today.
    fn load(&self) -> Result<bool, OwnError> {
        let path = self.path(CURRENT);
        if !path.exists() {
            return Ok(false);
        }
        let pair = tls::read_pair(&path, &path)?;
        let mut names = pair.names.clone();
        let mut wanted = self.names.clone();
        names.sort();
        wanted.sort();
        if names != wanted {
            return Ok(false);
        }
        self.resolver.set(&pair);
        Ok(true)
    }

    fn load_pending(&self) -> Result<Option<Pending>, OwnError> {
        let path = self.path(PENDING_KEY);
        if !path.exists() {
            return Ok(None);
        }
        let pem = Zeroizing::new(read_private("data", &path)?);
        let pem = Zeroizing::new(String::from_utf8_lossy(&pem).into_owned());
        let key = KeyPair::from_pem(&pem).map_err(|source| OwnError::NoKey { path, source })?;
        let current = fs::read(self.path(CURRENT))
            .ok()
            .and_then(|pem| leaf_of(&pem));
        if current.is_some_and(|leaf| holds(&leaf, &key)) {
            // It was certified and HQ was killed before it could be forgotten. The next certificate has another key.
            self.forget_pending()?;
            return Ok(None);
        }
        Ok(Some(Pending {
            key,
            handed_in: false,
        }))
    }

    fn forget_pending(&self) -> Result<(), OwnError> {
        let path = self.path(PENDING_KEY);
        fs::remove_file(&path).map_err(|source| OwnError::Write { path, source })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn replace(&self, name: &str, content: &[u8]) -> Result<(), OwnError> {
        let path = self.path(name);
        files::replace(&path, content).map_err(|source| OwnError::Write { path, source })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

/// Whether a leaf holds the public half of a key.
fn holds(leaf: &[u8], key: &KeyPair) -> bool {
    x509_parser::parse_x509_certificate(leaf)
        .is_ok_and(|(_, leaf)| leaf.public_key().raw == key.subject_public_key_info())
}

fn leaf_of(pem: &[u8]) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem).ok()
}

fn begin_of(leaf: &[u8]) -> Option<Timestamp> {
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let begin = u64::try_from(leaf.validity().not_before.timestamp()).ok()?;
    Some(Timestamp::from_millis(begin.saturating_mul(1000)))
}

/// The subject of HQ's own certificate (the contract's `registrar.command`).
const OWN: &str = "own";
/// States of the summary (docs/ARCHITECTURE.md) in which no order is on its way.
const SETTLED: [&str; 4] = ["Enrolled", "Issued", "Expired", "Failed"];
/// Key and chain.
const CURRENT: &str = "current.pem";
const PENDING_KEY: &str = "pending.key";
/// A third of its life before its end.
const RENEW_AT_PART: u64 = 3;
/// After an order that failed: under the five failed validations an hour that a public CA allows.
const ASK_AGAIN: Duration = Duration::from_secs(900);
const LONGEST_REST: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
