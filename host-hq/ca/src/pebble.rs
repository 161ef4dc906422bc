//! Pebble, the ACME test server, for tests: started in a temporary folder on free ports and ended
//! when dropped.
//!
//! Pebble 2.4 to 2.10 may deadlock when many orders are in flight (a lock inversion of its own):
//! keep them at [`ORDERS_IN_FLIGHT`] or fewer, and give every test a time limit.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::acme::{HttpsClient, RequestCounters};
use crate::config::OpenError;
use crate::encoding::{base64url, hex};

/// How a Pebble is to behave.
#[derive(Clone, Debug)]
pub struct PebbleOptions {
    /// Where it looks names up (UDP and TCP). None: nothing answers there, so every validation
    /// fails, unless [`PebbleOptions::always_valid`].
    pub dns_server: Option<SocketAddr>,
    /// Profiles and the seconds that their certificates live.
    pub profiles: Vec<(String, u64)>,
    /// Percentage of nonces to reject for no reason.
    pub nonce_reject: u8,
    /// Whether every challenge passes without being looked at.
    pub always_valid: bool,
    /// Key id and MAC key of the external account that it demands, if it does.
    pub eab: Option<(String, Vec<u8>)>,
    /// Whether an authorization serves for a later order too, in percent.
    pub authz_reuse: u8,
    /// What else is done to the command before it is started, for example to end it with its
    /// parent, whatever becomes of that.
    pub prepare: fn(&mut Command),
}

impl Default for PebbleOptions {
    fn default() -> Self {
        Self {
            dns_server: None,
            profiles: vec![
                ("classic".to_owned(), 90 * 86_400),
                ("tlsserver".to_owned(), 45 * 86_400),
                ("shortlived".to_owned(), 160 * 3600),
            ],
            nonce_reject: 0,
            always_valid: false,
            eab: None,
            authz_reuse: 0,
            prepare: |_| {},
        }
    }
}

/// A running Pebble.
#[derive(Debug)]
pub struct Pebble {
    child: Child,
    folder: TempDir,
    acme: u16,
    management: u16,
    http: HttpsClient,
}

/// What Pebble's management port says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertStatus {
    /// Issued and not revoked.
    Valid,
    /// Revoked, for this CRLReason.
    Revoked(Option<u64>),
    /// Not issued by this Pebble.
    Unknown,
}

/// Why there is no Pebble.
#[derive(Debug, thiserror::Error)]
pub enum PebbleError {
    /// There is no program.
    #[error(
        "the ACME test server Pebble is missing: run the tests by `./x test`, which fetches it; or \
         run tests/pebble/fetch.sh FOLDER and set PEBBLE to the path that it prints ({0})"
    )]
    Missing(String),
    /// Files could not be written, or the program not started.
    #[error("cannot {attempt} for Pebble")]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The test CA could not be made.
    #[error("cannot make the test CA of Pebble's own TLS")]
    TestCa(#[source] rcgen::Error),
    /// The client could not be made.
    #[error("cannot make a client for Pebble")]
    Client(#[source] OpenError),
    /// It ended, or did not answer.
    #[error("Pebble does not run; its last words:\n{0}")]
    NotRunning(String),
    /// The management port refused.
    #[error("Pebble's management port refused {path}: {detail}")]
    Refused {
        /// What was asked.
        path: String,
        /// What it said.
        detail: String,
    },
}

impl Pebble {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    ///
    /// Pebble is missing, or does not start.
    pub async fn start(options: &PebbleOptions) -> Result<Self, PebbleError> {
        let program = program()?;
        let mut words = String::new();
        for _ in 0..START_ATTEMPTS {
            match Self::attempt(&program, options).await {
                // Somebody else took a port between our look and its start.
                Err(PebbleError::NotRunning(said)) if said.contains("address already in use") => {
                    words = said;
                }
                result => return result,
            }
        }
        Err(PebbleError::NotRunning(words))
    }

    /// URL of the ACME directory.
    pub fn directory_url(&self) -> String {
        format!("https://localhost:{}/dir", self.acme)
    }

    /// The root of the TLS of Pebble's own ports, PEM: an ACME config's `root_pem`.
    pub fn ca_pem_path(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The root that issued certificates lead to, PEM.
    ///
    /// # Errors
    ///
    /// The management port refused.
    pub async fn issuance_root_pem(&self) -> Result<String, PebbleError> {
        self.management(Request::get(self.management_url("/roots/0")))
            .await
    }

    /// What became of a certificate, by its serial number.
    ///
    /// # Errors
    ///
    /// The management port refused in another way than by not knowing it.
    pub async fn cert_status(&self, serial: &[u8]) -> Result<CertStatus, PebbleError> {
        // Go prints numbers without leading zeros.
        let serial = hex(serial);
        let path = format!("/cert-status-by-serial/{}", serial.trim_start_matches('0'));
        let answer = match self
            .management(Request::get(self.management_url(&path)))
            .await
        {
            Ok(answer) => answer,
            Err(PebbleError::Refused { detail, .. }) if detail.contains("404") => {
                return Ok(CertStatus::Unknown);
            }
            Err(error) => return Err(error),
        };
        let status: Value = serde_json::from_str(&answer).unwrap_or_default();
        match status["Status"].as_str() {
            Some("Valid") => Ok(CertStatus::Valid),
            Some("Revoked") => Ok(CertStatus::Revoked(status["Reason"].as_u64())),
            Some(_) | None => Err(PebbleError::Refused {
                path,
                detail: answer,
            }),
        }
    }

    /// Sets the body of the ARI answer for a certificate (DER); any text, also a broken one.
    ///
    /// # Errors
    ///
    /// The management port refused.
    pub async fn set_renewal_info(
        &self,
        certificate: &[u8],
        body: &str,
    ) -> Result<(), PebbleError> {
        let pem = crate::encoding::certificate_pem(certificate);
        let body = json!({ "Certificate": pem, "ARIResponse": body }).to_string();
        let request = Request::post(self.management_url("/set-renewal-info/"));
        self.management_with(request, Bytes::from(body))
            .await
            .map(drop)
    }

    /// Everything that it printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("pebble.log")).unwrap_or_default()
    }

    /// How many certificates it issued so far.
    pub fn issued(&self) -> usize {
        self.log().matches("Issued certificate serial").count()
    }

    async fn attempt(program: &Path, options: &PebbleOptions) -> Result<Self, PebbleError> {
        let failed = |attempt| move |source| PebbleError::Io { attempt, source };
        let folder = tempfile::tempdir().map_err(failed("make a folder"))?;
        write_test_ca(folder.path())?;
        let [acme, management, http_port, tls_port, silent] = free_ports()?;
        let mut config = json!({
            "listenAddress": format!("127.0.0.1:{acme}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": folder.path().join("server.pem"),
            "privateKey": folder.path().join("server.key"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": options.eab.is_some(),
            "domainBlocklist": [BLOCKED_DOMAIN],
            "retryAfter": { "authz": 0, "order": 0 },
            "keyAlgorithm": "ecdsa",
            "profiles": options.profiles.iter().map(|(name, seconds)| {
                (name.clone(), json!({ "description": name, "validityPeriod": seconds }))
            }).collect::<serde_json::Map<_, _>>(),
        });
        if let Some((kid, key)) = &options.eab {
            config["externalAccountMACKeys"] = json!({ kid: base64url(key) });
        }
        let config_path = folder.path().join("pebble.json");
        fs::write(&config_path, json!({ "pebble": config }).to_string())
            .map_err(failed("write the config"))?;
        let log = File::create(folder.path().join("pebble.log")).map_err(failed("make a log"))?;
        let also = log.try_clone().map_err(failed("make a log"))?;
        // Without a server Pebble would ask the system's resolver.
        let dns = options
            .dns_server
            .unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, silent)));
        let mut command = Command::new(program);
        command
            .arg("-config")
            .arg(&config_path)
            .args(["-dnsserver", &dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env(
                "PEBBLE_VA_ALWAYS_VALID",
                if options.always_valid { "1" } else { "0" },
            )
            .env("PEBBLE_WFE_NONCEREJECT", options.nonce_reject.to_string())
            .env("PEBBLE_AUTHZREUSE", options.authz_reuse.to_string())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also);
        (options.prepare)(&mut command);
        let child = command.spawn().map_err(failed("start the program"))?;
        let ca_pem = folder.path().join("ca.pem");
        let http = HttpsClient::new(
            "pebble",
            Some(&ca_pem),
            crate::acme::HttpLimits::default(),
            Arc::new(RequestCounters::default()),
        );
        // From here on dropping it ends the child.
        let http = http.map_err(PebbleError::Client);
        let http = match http {
            Ok(http) => http,
            Err(error) => {
                end(child);
                return Err(error);
            }
        };
        let mut pebble = Self {
            child,
            folder,
            acme,
            management,
            http,
        };
        pebble.wait().await?;
        Ok(pebble)
    }

    async fn wait(&mut self) -> Result<(), PebbleError> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Err(PebbleError::NotRunning(self.last_words()));
            }
            let directory = Request::get(self.directory_url()).body(Bytes::new());
            if let Ok(directory) = directory
                && self.http.send(directory).await.is_ok()
                && self.issuance_root_pem().await.is_ok()
            {
                return Ok(());
            }
            tokio::time::sleep(START_POLL).await;
        }
        Err(PebbleError::NotRunning(self.last_words()))
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn management_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.management)
    }

    async fn management(&self, request: http::request::Builder) -> Result<String, PebbleError> {
        self.management_with(request, Bytes::new()).await
    }

    async fn management_with(
        &self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<String, PebbleError> {
        let path = request
            .uri_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let refused = |detail: String| PebbleError::Refused {
            path: path.clone(),
            detail,
        };
        let request = request
            .body(body)
            .map_err(|error| refused(error.to_string()))?;
        let reply = self
            .http
            .send(request)
            .await
            .map_err(|fault| refused(format!("{fault:?}")))?;
        if !reply.status.is_success() {
            return Err(refused(reply.status.to_string()));
        }
        String::from_utf8(reply.body.to_vec()).map_err(|error| refused(error.to_string()))
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        // A child that has ended already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// `PEBBLE`, or what `./x` has fetched, or the system's.
fn program() -> Result<PathBuf, PebbleError> {
    if let Some(named) = std::env::var_os("PEBBLE").filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        return if is_program(&named) {
            Ok(named)
        } else {
            Err(PebbleError::Missing(format!(
                "PEBBLE={} is no program",
                named.display()
            )))
        };
    }
    let cache = std::env::var_os("OTSCERT_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        Some(base?.join("otscert"))
    });
    let fetched = cache.map(|cache| cache.join("pebble/usr/bin/pebble"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = fetched
        .into_iter()
        .chain(std::env::split_paths(&path).map(|folder| folder.join("pebble")))
        .find(|candidate| is_program(candidate));
    found.ok_or_else(|| PebbleError::Missing("PEBBLE is not set, none was fetched".to_owned()))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn write_test_ca(folder: &Path) -> Result<(), PebbleError> {
    let (ca, issuer) = test_ca()?;
    let key = KeyPair::generate().map_err(PebbleError::TestCa)?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = CertificateParams::new(names)
        .and_then(|params| params.signed_by(&key, &issuer))
        .map_err(PebbleError::TestCa)?;
    for (file, text) in [
        ("ca.pem", ca),
        ("server.pem", server.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        fs::write(folder.join(file), text).map_err(|source| PebbleError::Io {
            attempt: "write the test CA",
            source,
        })?;
    }
    Ok(())
}

/// A CA for servers of tests: its root in PEM, and what signs.
///
/// # Errors
///
/// rcgen refused.
pub fn test_ca() -> Result<(String, Issuer<'static, KeyPair>), PebbleError> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().map_err(PebbleError::TestCa)?;
    let root = params.self_signed(&key).map_err(PebbleError::TestCa)?;
    Ok((root.pem(), Issuer::new(params, key)))
}

fn free_ports<const N: usize>() -> Result<[u16; N], PebbleError> {
    let failed = |source| PebbleError::Io {
        attempt: "find free ports",
        source,
    };
    // Held together, so that they differ.
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        *port = listener.local_addr().map_err(failed)?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// More may deadlock Pebble.
pub const ORDERS_IN_FLIGHT: usize = 8;
/// A domain that every Pebble started here refuses to certify.
pub const BLOCKED_DOMAIN: &str = "blocked-domain.example";

const START_ATTEMPTS: u32 = 5;
const START_LIMIT: Duration = Duration::from_secs(30);
const START_POLL: Duration = Duration::from_millis(20);
