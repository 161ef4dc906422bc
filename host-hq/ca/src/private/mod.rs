//! HQ's own CA: for fleets without a way out, and for a demo without any other CA.
//!
//! It follows the same order flow as ACME, so that HQ's machine does not know the difference: an
//! order is pending until each name's TXT record was seen (through a [`TxtLookup`] that the caller
//! supplies, which is HQ's own DNS), then ready, then valid. Each order is one file. The write that
//! adds the chain to it is the moment of issue: an order is finalised before it or after it, and
//! asked twice it gives the same certificate. The serial number is the order's id, so even a
//! certificate signed just before a crash is never a second one under another number.

mod hierarchy;
mod issue;
mod ledger;
mod orders;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use time::OffsetDateTime;

use self::hierarchy::Hierarchy;
use self::ledger::{Expected, Halt, Ledger};
use crate::authority::{CaError, CaaIdentity, CertificateAuthority};
use crate::clock::Clock;
use crate::config::PrivateConfig;
use crate::operation::{CaAnswer, CaOperation, CaProblem, CaProblemKind, ChallengeRef};
use crate::stop::Stop;

/// Sees TXT records as the world does, or as HQ's own DNS serves them.
#[async_trait]
pub trait TxtLookup: Send + Sync {
    /// All TXT values at an owner (absolute, no final dot); none if there is no record.
    ///
    /// # Errors
    ///
    /// It could not be found out; the challenge stays pending.
    async fn txt(&self, owner: &str) -> Result<Vec<String>, TxtLookupError>;
}

/// Why TXT records could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("cannot look up TXT records: {0}")]
pub struct TxtLookupError(
    /// What happened and what to do.
    pub String,
);

/// HQ's own CA.
pub struct PrivateCa {
    name: String,
    ledger: Arc<Ledger>,
    txt: Arc<dyn TxtLookup>,
    clock: Arc<dyn Clock>,
}

impl PrivateCa {
    /// Loads the root, the intermediate and the orders of a folder, or makes the first two.
    ///
    /// `root.key` is needed only to make an intermediate: it may be kept elsewhere. Where
    /// `issuing.pem` and `issuing.key` are missing, a new intermediate is made under the same root.
    ///
    /// # Errors
    ///
    /// A file is unreadable or damaged, or does not fit the config.
    pub fn load_or_create(
        name: &str,
        config: PrivateConfig,
        folder: &Path,
        txt: Arc<dyn TxtLookup>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PrivateCaError> {
        let now = clock.now();
        let hierarchy = Hierarchy::load_or_create(name, folder, &config.zones, now)?;
        let ledger = Ledger::open(name, config, hierarchy, folder)?;
        ledger.sweep(now)?;
        Ok(Self {
            name: name.to_owned(),
            ledger: Arc::new(ledger),
            txt,
            clock,
        })
    }

    /// The root, PEM: what is installed where the pages are opened.
    pub fn root_pem(&self) -> String {
        self.ledger.hierarchy().root_pem()
    }

    /// The root, DER.
    pub fn root_der(&self) -> Vec<u8> {
        self.ledger.hierarchy().root_der().to_vec()
    }

    /// A CRL of the intermediate over everything revoked and not yet expired, DER, good for a week
    /// (RFC 5280 section 5). Reads files: not for an async task.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or the list cannot be signed.
    pub fn crl(&self) -> Result<Vec<u8>, PrivateCaError> {
        self.ledger.crl(self.clock.now())
    }

    /// Deletes orders that nobody can need any more: unfinished ones a week after they lapsed,
    /// finished ones a week after their certificate ended. Done at start; a long-running HQ calls
    /// it once a day. Reads files: not for an async task.
    ///
    /// # Errors
    ///
    /// A file cannot be read or removed.
    pub fn sweep(&self) -> Result<usize, PrivateCaError> {
        self.ledger.sweep(self.clock.now())
    }

    async fn challenge_ready(
        &self,
        challenge: ChallengeRef,
        now: OffsetDateTime,
    ) -> Result<CaAnswer, Stop> {
        let asked = challenge.clone();
        let expected = self
            .blocking(move |ledger| ledger.expected_txt(&asked, now))
            .await;
        let (owner, value) = match expected? {
            Expected::Txt { owner, value } => (owner, value),
            Expected::Settled => return Ok(CaAnswer::Accepted),
        };
        let values = self.txt.txt(&owner).await.map_err(|error| {
            Stop::Problem(CaProblem {
                kind: CaProblemKind::Transient,
                detail: error.to_string(),
                retry_after_ms: None,
            })
        })?;
        let seen = values.len();
        let problem = if values.contains(&value) {
            None
        } else {
            Some(format!(
                "dns: {owner} has {seen} TXT values, none of them the expected one"
            ))
        };
        self.blocking(move |ledger| ledger.settle(&challenge, problem, now))
            .await?;
        Ok(CaAnswer::Accepted)
    }

    /// File operations sync to disk, which is no work for an async task.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Ledger) -> Result<T, Halt> + Send + 'static,
    ) -> Result<T, Stop> {
        let ledger = Arc::clone(&self.ledger);
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            Stop::Error(CaError::Misconfigured {
                ca: self.name.clone(),
                detail: "its files failed it: free the disk or correct their owner".to_owned(),
                source: Some(source),
            })
        };
        match tokio::task::spawn_blocking(move || work(&ledger)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Halt::Problem(problem))) => Err(Stop::Problem(problem)),
            Ok(Err(Halt::Files(error))) => Err(failed(error.into())),
            Err(error) => Err(failed(error.into())),
        }
    }
}

#[async_trait]
impl CertificateAuthority for PrivateCa {
    fn name(&self) -> &str {
        &self.name
    }

    async fn perform(&self, operation: &CaOperation) -> Result<CaAnswer, CaError> {
        if operation.ca() != self.name {
            let detail = format!("an operation for {:?} was sent to it", operation.ca());
            return Err(CaError::misconfigured(&self.name, detail));
        }
        let now = self.clock.now();
        let performed = if let CaOperation::ChallengeReady(challenge) = operation {
            self.challenge_ready(challenge.clone(), now).await
        } else {
            let operation = operation.clone();
            self.blocking(move |ledger| ledger.perform(&operation, now))
                .await
        };
        Stop::answer(performed)
    }

    /// No CA of the world is admitted by a CAA record for this one.
    fn caa(&self) -> CaaIdentity {
        CaaIdentity::default()
    }
}

/// Why the private CA's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateCaError {
    /// The system refused.
    #[error("cannot {attempt} {}: check the folder's owner and the disk", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what this program wrote.
    #[error("{} is damaged ({detail}); restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Half of a pair is there.
    #[error(
        "{} is there but {} is not: restore both from one backup, or remove both to get new ones",
        found.display(), missing.display()
    )]
    Half {
        /// What is there.
        found: PathBuf,
        /// What is not.
        missing: PathBuf,
    },
    /// A new intermediate is needed and the root's key is elsewhere.
    #[error(
        "a new intermediate is needed, and {} is not there: bring the root's key back for one start",
        path.display()
    )]
    RootKeyAway {
        /// Where the key was looked for.
        path: PathBuf,
    },
    /// `zones` in the config differs from what the intermediate is limited to.
    #[error(
        "the intermediate {} is limited to {got:?}, the config says `zones = {expected:?}`: remove \
         issuing.pem and issuing.key to get a new one under the same root, or correct `zones`",
        path.display()
    )]
    Zones {
        /// The intermediate.
        path: PathBuf,
        /// What the config says.
        expected: Vec<String>,
        /// What the intermediate says.
        got: Vec<String>,
    },
    /// The intermediate has ended or is about to.
    #[error(
        "the intermediate {} ends before a certificate made now would: remove issuing.pem and \
         issuing.key to get a new one under the same root",
        path.display()
    )]
    IssuerEnds {
        /// The intermediate.
        path: PathBuf,
    },
    /// Making or signing a certificate failed.
    #[error("cannot {attempt}; this is a fault of this program")]
    Sign {
        /// What was attempted.
        attempt: &'static str,
        /// What rcgen said.
        #[source]
        source: rcgen::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    NoRandomness,
}

#[cfg(test)]
mod tests;
