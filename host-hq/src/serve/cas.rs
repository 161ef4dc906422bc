//! The CAs of the config, as workers use them.
//!
//! An ACME account, and with it what CAA must say, is known only once its CA has been reached. So no operation goes to
//! a CA before the zone says in CAA that its account may issue, and what it said is kept in a file for the next start.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use otscert_hq_ca::{
    AcmeCa, CaAnswer, CaConfig, CaError, CaOperation, CaaIdentity, CertificateAuthority, MasterKey,
    OpenContext, RequestCounters, SystemClock, TxtLookup, TxtLookupError,
};
use otscert_hq_dns::{CaaIssuer, Clock as _, DnsName, Transport, ZoneStore, Zones, respond};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{CA, ServeError, ServedZones};
use crate::config::{Config, NamedCa, Quota, Seed};
use crate::error::chain;
use crate::own_certificate::OwnCertificate;
use crate::work::quota::QuotaLimit;
use crate::work::{Ca, CaSet};

/// The CAs of a config.
pub(super) struct OpenCas {
    /// By name, for the workers.
    pub(super) set: CaSet,
    /// Those that have to be reached before anybody knows their account.
    pub(super) announced: Vec<Arc<AnnouncedCa>>,
}

/// Opens all CAs. No network is used.
pub(super) fn open(
    config: &Config,
    zones: &ServedZones,
    own: Option<Arc<OwnCertificate>>,
    counters: Arc<RequestCounters>,
) -> Result<OpenCas, ServeError> {
    let state = config.data.join(CA);
    let master = Seed::read("keys.master_key", &config.keys.master_key)?;
    let context = OpenContext {
        state: state.clone(),
        master_key: MasterKey::new(*master.expose()),
        txt: Arc::new(ServedTxt(Arc::clone(&zones.all))),
        observer: counters,
        clock: Arc::new(SystemClock),
    };
    let board = Arc::new(CaaBoard::new(Arc::clone(&zones.devices), state.clone()));
    let mut opened = OpenCas {
        set: CaSet::new(),
        announced: Vec::new(),
    };
    for ca in &config.cas {
        let (authority, quota): (Arc<dyn CertificateAuthority>, _) = match &ca.config {
            CaConfig::Private(_) => (ca.config.open(&ca.name, &context)?, limits(ca, Vec::new())),
            CaConfig::Acme(acme) => {
                let account = state.join(format!("{}.account.json", ca.name));
                let observer = Arc::clone(&context.observer);
                let inner = AcmeCa::open(
                    &ca.name,
                    acme.clone(),
                    &account,
                    context.master_key.clone(),
                    observer,
                )?;
                let announced = Arc::new(AnnouncedCa {
                    inner,
                    board: Arc::clone(&board),
                });
                opened.announced.push(Arc::clone(&announced));
                let known = match acme.directory.as_str().starts_with(LETS_ENCRYPT) {
                    true => QuotaLimit::lets_encrypt(),
                    false => Vec::new(),
                };
                (announced, limits(ca, known))
            }
        };
        let authority: Arc<dyn CertificateAuthority> = match &own {
            Some(own) => Arc::new(Overheard {
                inner: authority,
                own: Arc::clone(own),
            }),
            None => authority,
        };
        let ca_in_set = Ca {
            authority,
            concurrency: config.limits.ca_concurrency,
            quota,
        };
        opened.set.insert(ca.name.clone(), ca_in_set);
    }
    board.show();
    Ok(opened)
}

/// What HQ knows of a CA's limits, and what the operator knows better.
fn limits(ca: &NamedCa, known: Vec<QuotaLimit>) -> Vec<QuotaLimit> {
    match ca.quota {
        None => known,
        Some(Quota { first, hours }) => QuotaLimit::first_orders(first, hours)
            .into_iter()
            .chain(
                known
                    .into_iter()
                    .filter(|limit| !limit.is_of_first_orders()),
            )
            .collect(),
    }
}

/// Reaches a CA as soon as it can be reached, so that its account stands in CAA before the first order.
pub(super) async fn keep_announced(ca: Arc<AnnouncedCa>, stop: CancellationToken) {
    loop {
        let rest = match ca.announce().await {
            Ok(Ok(())) => LOOK_AGAIN,
            Ok(Err(problem)) => {
                tracing::error!(
                    ca = ca.inner.name(),
                    detail = problem.detail,
                    "the CA refuses HQ's account"
                );
                RETRY
            }
            Err(error) => {
                tracing::warn!(
                    ca = ca.inner.name(),
                    error = chain(&error),
                    "the CA is not there; again later"
                );
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Accounts that CAA is to admit, as HQ last heard of them: CA, issuer domain, account.
///
/// # Errors
///
/// For people: why nobody knows.
pub(crate) fn known_accounts(data: &Path) -> Result<Vec<(String, String, Option<String>)>, String> {
    let path = file(&data.join(CA));
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let known: BTreeMap<String, Known> =
        serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let accounts = known.into_iter().flat_map(|(ca, known)| {
        let account = known.account_uri;
        known
            .issuers
            .into_iter()
            .map(move |issuer| (ca.clone(), issuer, account.clone()))
    });
    Ok(accounts.collect())
}

/// A CA that is used only while the zone's CAA names its account.
pub(super) struct AnnouncedCa {
    inner: AcmeCa,
    board: Arc<CaaBoard>,
}

impl AnnouncedCa {
    async fn announce(&self) -> Result<Result<(), otscert_hq_ca::operation::CaProblem>, CaError> {
        if let Err(problem) = self.inner.connect().await? {
            return Ok(Err(problem));
        }
        self.board.learn(self.inner.name(), &self.inner.caa());
        Ok(Ok(()))
    }
}

#[async_trait]
impl CertificateAuthority for AnnouncedCa {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn perform(&self, operation: &CaOperation) -> Result<CaAnswer, CaError> {
        if !self.board.knows(self.name())
            && let Err(problem) = self.announce().await?
        {
            return Ok(CaAnswer::Problem(problem));
        }
        self.inner.perform(operation).await
    }

    fn caa(&self) -> CaaIdentity {
        self.inner.caa()
    }
}

/// A CA whose chains HQ looks at, in case one is its own.
struct Overheard {
    inner: Arc<dyn CertificateAuthority>,
    own: Arc<OwnCertificate>,
}

#[async_trait]
impl CertificateAuthority for Overheard {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn perform(&self, operation: &CaOperation) -> Result<CaAnswer, CaError> {
        let answer = self.inner.perform(operation).await?;
        if let CaAnswer::Chain(certificates) = &answer {
            self.own.offer(certificates);
        }
        Ok(answer)
    }

    fn caa(&self) -> CaaIdentity {
        self.inner.caa()
    }
}

/// What the zone says in CAA, and where that is kept.
struct CaaBoard {
    zone: Arc<ZoneStore>,
    folder: PathBuf,
    known: Mutex<BTreeMap<String, Known>>,
}

/// What is known of one CA.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    issuers: Vec<String>,
    account_uri: Option<String>,
    /// It was heard from this process's CA, and not only read from the file.
    #[serde(skip)]
    fresh: bool,
}

impl CaaBoard {
    fn new(zone: Arc<ZoneStore>, folder: PathBuf) -> Self {
        let known = fs::read(file(&folder))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            zone,
            folder,
            known: Mutex::new(known.unwrap_or_default()),
        }
    }

    fn knows(&self, ca: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(ca).is_some_and(|known| known.fresh)
    }

    fn learn(&self, ca: &str, identity: &CaaIdentity) {
        let fresh = Known {
            issuers: identity.issuers.clone(),
            account_uri: identity.account_uri.clone(),
            fresh: true,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(ca) == Some(&fresh) {
            return;
        }
        known.insert(ca.to_owned(), fresh);
        let text = serde_json::to_vec(&*known).unwrap_or_default();
        drop(known);
        if let Err(error) = otscert_host::files::replace(&file(&self.folder), &text) {
            tracing::warn!(%error, "what CAA says is not kept; it is asked for again at the next start");
        }
        self.show();
    }

    /// Puts all that is known into the zone.
    fn show(&self) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut issuers = Vec::new();
        for (ca, known) in &*known {
            for issuer in &known.issuers {
                match DnsName::parse(issuer) {
                    Ok(domain) => issuers.push(CaaIssuer {
                        domain,
                        account_uri: known.account_uri.clone(),
                    }),
                    Err(error) => {
                        tracing::error!(ca, issuer, error = chain(&error), "no name for CAA")
                    }
                }
            }
        }
        match self.zone.set_issuers(&issuers) {
            Ok(()) => tracing::info!(issuers = issuers.len(), "CAA set"),
            Err(error) => tracing::error!(
                error = chain(&error),
                "CAA stays as it was: the CA will refuse to issue"
            ),
        }
    }
}

/// TXT records as HQ's DNS answers them, without a socket between.
struct ServedTxt(Arc<Zones>);

#[async_trait]
impl TxtLookup for ServedTxt {
    async fn txt(&self, owner: &str) -> Result<Vec<String>, TxtLookupError> {
        use hickory_proto::op::{Message, Query};
        use hickory_proto::rr::{Name, RData, RecordType};

        let unusable = |detail: String| TxtLookupError(format!("{owner}: {detail}"));
        let mut name = Name::from_ascii(owner).map_err(|error| unusable(error.to_string()))?;
        name.set_fqdn(true);
        let mut query = Message::query();
        query.add_query(Query::query(name, RecordType::TXT));
        let query = query
            .to_vec()
            .map_err(|error| unusable(error.to_string()))?;
        let now = otscert_hq_dns::SystemClock.now();
        let reply = respond(&self.0, &query, Transport::Tcp, false, now)
            .ok_or_else(|| unusable("HQ's DNS is silent".to_owned()))?;
        let reply = Message::from_vec(&reply.bytes).map_err(|error| unusable(error.to_string()))?;
        let values = reply.answers.iter().filter_map(|record| {
            let RData::TXT(txt) = &record.data else {
                return None;
            };
            Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned())
        });
        Ok(values.collect())
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("caa.json")
}

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/";
/// The CA's directory is read again once a day; a new issuer domain is seen soon after.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(30);
