//! Any CA that speaks ACME (RFC 8555), with profiles and ARI (RFC 9773) where it has them.
//!
//! An [`AcmeCa`] begins with files only: HQ must start while its CA is down. The first operation
//! reads the directory and registers the account; both then stay in a session that later operations
//! share. The directory is read again once a day, for new profiles and URLs; while that fails the
//! old one serves on. Between two operations nothing about an order is kept: an order is its URL.

mod account;
mod directory;
mod http;
mod jws;
mod operations;
mod problem;
mod transport;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use instant_acme::Account;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::sync::{Mutex, Semaphore};
use zeroize::Zeroizing;

use self::account::AcmeAccount;
use self::directory::Directory;

use self::jws::{EabKey, Signer};
use self::problem::Context;
use self::transport::Transport;
use crate::authority::{CaError, CaaIdentity, CertificateAuthority};
use crate::config::{AcmeConfig, OpenError, read_eab_key};
use crate::operation::{CaAnswer, CaOperation, CaProblem};
use crate::seal::MasterKey;
use crate::stop::Stop;

pub(crate) use self::http::HttpLimits;
pub(crate) use self::http::HttpsClient;
pub use self::http::{RequestCounters, RequestObserver, RequestOutcome, RequestRecord};

/// A CA that speaks ACME.
pub struct AcmeCa {
    name: String,
    config: AcmeConfig,
    eab: Option<EabKey>,
    transport: Transport,
    /// Locked while the CA is being connected to, so that one task does it.
    account: Mutex<AcmeAccount>,
    session: ArcSwapOption<Session>,
    /// Apart from the session, since CAA records must not change while the CA is being asked.
    account_url: ArcSwapOption<String>,
    in_flight: Semaphore,
}

/// What the account said to a request for a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRollover {
    /// The new key is in use. The account's URL, and so every CAA record, stays.
    Done,
    /// The CA refused; the old key stays in use.
    Refused(CaProblem),
}

struct Session {
    account: Account,
    directory: Directory,
    /// When the directory is to be read again.
    stale_at: Instant,
}

impl AcmeCa {
    /// Loads the account's key from `account_file`, or makes one. No network is used.
    ///
    /// # Errors
    ///
    /// The roots, the EAB key or the account's file cannot be used.
    pub fn open(
        name: &str,
        config: AcmeConfig,
        account_file: &Path,
        master_key: MasterKey,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, OpenError> {
        Self::open_with(
            name,
            config,
            account_file,
            master_key,
            observer,
            HttpLimits::default(),
        )
    }

    fn open_with(
        name: &str,
        config: AcmeConfig,
        account_file: &Path,
        master_key: MasterKey,
        observer: Arc<dyn RequestObserver>,
        limits: HttpLimits,
    ) -> Result<Self, OpenError> {
        let http = HttpsClient::new(name, config.root_pem.as_deref(), limits, observer)?;
        let eab = match &config.eab {
            Some(eab) => Some(EabKey {
                key_id: eab.key_id.clone(),
                mac: Zeroizing::new(read_eab_key(name, &eab.hmac_key_file)?),
            }),
            None => None,
        };
        let directory = config.directory.as_str();
        let account = AcmeAccount::load_or_create(account_file, name, directory, master_key)?;
        let account_url = account.url().map(|url| Arc::new(url.to_owned()));
        Ok(Self {
            name: name.to_owned(),
            config,
            eab,
            transport: Transport::new(http),
            account: Mutex::new(account),
            session: ArcSwapOption::empty(),
            account_url: ArcSwapOption::new(account_url),
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
        })
    }

    /// Reads the directory and registers the account if that has not happened, so that
    /// [`CertificateAuthority::caa`] and `doctor` have something to show. No order is made.
    ///
    /// # Errors
    ///
    /// As [`CertificateAuthority::perform`]; a refusal of the CA is `Ok` with the problem.
    pub async fn connect(&self) -> Result<Result<(), CaProblem>, CaError> {
        let _permit = self.permit().await?;
        split(self.transport.operation(self.session()).await.map(drop))
    }

    /// Reads the directory again now, as happens by itself once a day.
    ///
    /// # Errors
    ///
    /// As [`AcmeCa::connect`]; the old directory serves on.
    pub async fn reread_directory(&self) -> Result<Result<(), CaProblem>, CaError> {
        let _permit = self.permit().await?;
        let read = self.transport.operation(async {
            let mut account = self.account.lock().await;
            let session = self.read_session(&mut account).await?;
            self.session.store(Some(Arc::new(session)));
            Ok(())
        });
        split(read.await)
    }

    /// Profiles that the CA offers, with their descriptions, as last read.
    pub fn profiles(&self) -> Vec<(String, String)> {
        match self.session.load_full() {
            Some(session) => session
                .directory
                .meta
                .profiles
                .clone()
                .into_iter()
                .collect(),
            None => Vec::new(),
        }
    }

    /// Replaces the account's key (RFC 8555 section 7.3.5). Both keys are on disk before the CA is
    /// asked, so a crash at any point loses neither.
    ///
    /// # Errors
    ///
    /// There was no answer. Which key the CA knows is then found out at the next operation.
    pub async fn roll_account_key(&self) -> Result<KeyRollover, CaError> {
        let _permit = self.permit().await?;
        let rolled = self.transport.operation(async {
            let session = self.session().await?;
            let mut account = self.account.lock().await;
            // Whatever comes out, the session's key may be the old one.
            self.session.store(None);
            account.roll(self.signer(&session.directory)).await
        });
        match rolled.await {
            Ok(()) => Ok(KeyRollover::Done),
            Err(Stop::Problem(problem)) => Ok(KeyRollover::Refused(problem)),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    async fn session(&self) -> Result<Arc<Session>, Stop> {
        if let Some(session) = self.fresh_session() {
            return Ok(session);
        }
        let mut account = self.account.lock().await;
        // Another task may have been quicker.
        if let Some(session) = self.fresh_session() {
            return Ok(session);
        }
        let session = match (
            self.read_session(&mut account).await,
            self.session.load_full(),
        ) {
            (Ok(session), _) => session,
            (Err(stop), Some(old)) => {
                tracing::warn!(
                    ca = self.name,
                    ?stop,
                    "directory not read again; the old one serves"
                );
                Session {
                    account: old.account.clone(),
                    directory: old.directory.clone(),
                    stale_at: Instant::now() + DIRECTORY_RETRY,
                }
            }
            (Err(stop), None) => return Err(stop),
        };
        let session = Arc::new(session);
        self.session.store(Some(Arc::clone(&session)));
        Ok(session)
    }

    fn fresh_session(&self) -> Option<Arc<Session>> {
        self.session
            .load_full()
            .filter(|session| Instant::now() < session.stale_at)
    }

    async fn read_session(&self, account: &mut AcmeAccount) -> Result<Session, Stop> {
        let url = self.config.directory.as_str();
        let directory = Directory::read(self.transport.http(), &self.name, url).await?;
        if account.url().is_none() {
            self.check_registration(&directory)?;
        }
        let agreed = self.config.terms_of_service_agreed;
        account
            .connect(
                self.signer(&directory),
                &self.config.contact,
                self.eab.as_ref(),
                agreed,
            )
            .await?;
        let Some(id) = account.url() else {
            return Err(CaError::misconfigured(&self.name, "its account has no URL").into());
        };
        self.account_url.store(Some(Arc::new(id.to_owned())));
        let key = PrivatePkcs8KeyDer::from(account.key().pkcs8());
        let account = Account::builder_with_http(Box::new(self.transport.clone()))
            .from_parts(id.to_owned(), key, url.to_owned())
            .await
            .map_err(|error| self.stop(error, Context::Other))?;
        Ok(Session {
            account,
            directory,
            stale_at: Instant::now() + DIRECTORY_AGE,
        })
    }

    /// What only the operator can supply for a new account.
    fn check_registration(&self, directory: &Directory) -> Result<(), CaError> {
        let meta = &directory.meta;
        if let Some(terms) = &meta.terms_of_service
            && !self.config.terms_of_service_agreed
        {
            let terms = problem::printable(terms);
            return Err(CaError::misconfigured(
                &self.name,
                format!("read its terms of service at {terms} and set `terms_of_service_agreed`"),
            ));
        }
        if meta.external_account_required && self.eab.is_none() {
            return Err(CaError::misconfigured(
                &self.name,
                "it wants an external account: get a key id and an HMAC key from the CA and set \
                 `eab` (RFC 8555 section 7.3.4)",
            ));
        }
        Ok(())
    }

    fn signer<'a>(&'a self, directory: &'a Directory) -> Signer<'a> {
        Signer {
            http: self.transport.http(),
            ca: &self.name,
            directory,
        }
    }

    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>, CaError> {
        self.in_flight
            .acquire()
            .await
            .map_err(|_| CaError::misconfigured(&self.name, "it was closed; a fault of HQ"))
    }
}

#[async_trait]
impl CertificateAuthority for AcmeCa {
    fn name(&self) -> &str {
        &self.name
    }

    async fn perform(&self, operation: &CaOperation) -> Result<CaAnswer, CaError> {
        if operation.ca() != self.name {
            let detail = format!("an operation for {:?} was sent to it", operation.ca());
            return Err(CaError::misconfigured(&self.name, detail));
        }
        let _permit = self.permit().await?;
        let performed = self.transport.operation(async {
            let session = self.session().await?;
            self.dispatch(&session, operation).await
        });
        Stop::answer(performed.await)
    }

    fn caa(&self) -> CaaIdentity {
        let issuers = match self.session.load_full() {
            Some(session) => session.directory.meta.caa_identities.clone(),
            None => Vec::new(),
        };
        let account_uri = self.account_url.load_full().map(|url| url.as_ref().clone());
        CaaIdentity {
            issuers,
            account_uri,
        }
    }
}

fn split<T>(result: Result<T, Stop>) -> Result<Result<T, CaProblem>, CaError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Stop::Problem(problem)) => Ok(Err(problem)),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// A CA's front ends limit requests per second; more in flight do not make it quicker.
const IN_FLIGHT_MAX: usize = 8;
const DIRECTORY_AGE: Duration = Duration::from_secs(86_400);
const DIRECTORY_RETRY: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
