//! Certificates and keys of HQ's own endpoints: read from files, checked before use, swapped without a restart.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;
use x509_parser::extensions::GeneralName;

use crate::config::{CertificateFiles, KeyError, read_bounded, read_private};
use crate::error::chain;
use crate::types::Timestamp;

/// A chain and its key that belong together.
#[derive(Clone)]
pub struct Pair {
    /// For rustls.
    pub certified: Arc<CertifiedKey>,
    /// End of the leaf.
    pub not_after: Timestamp,
    /// DNS names and addresses in the leaf, as text.
    pub names: Vec<String>,
}

/// Why a chain and its key are not used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The chain cannot be read.
    #[error("the certificate file {} cannot be read: check its path and owner", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file holds something else.
    #[error("the file {} does not hold {expected} in PEM form: {detail}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
        /// What the parser said.
        detail: String,
    },
    /// The key is not the leaf's.
    #[error("the certificate {} and the key {} do not belong together: both must come from the same place", certificate.display(), key.display())]
    Mismatch {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// rustls refuses the settings.
    #[error("TLS cannot be set up")]
    Config(#[source] rustls::Error),
}

/// Answers handshakes with the newest certificate it has been given.
#[derive(Debug)]
pub struct Resolver {
    current: ArcSwapOption<CertifiedKey>,
    not_after: Mutex<Option<Timestamp>>,
}

impl Resolver {
    /// A resolver that refuses handshakes until it has a certificate.
    #[must_use]
    pub fn empty() -> Arc<Self> {
        Arc::new(Self {
            current: ArcSwapOption::empty(),
            not_after: Mutex::new(None),
        })
    }

    /// Answers with this pair from the next handshake on.
    pub fn set(&self, pair: &Pair) {
        *self
            .not_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(pair.not_after);
        self.current.store(Some(Arc::clone(&pair.certified)));
    }

    /// End of the certificate in use; none: there is no certificate.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        *self
            .not_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// rustls settings for an endpoint of HQ's: HTTP/1.1, TLS 1.2 and 1.3.
///
/// # Errors
///
/// If rustls refuses them, which is a fault of the build.
pub fn server_config(resolver: Arc<Resolver>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Config)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The one provider of primitives for TLS, also installed as the process's default.
#[must_use]
pub fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// Reads a chain and its key, and checks that they belong together.
///
/// # Errors
///
/// [`TlsError`] names the file and what is wrong with it.
pub fn read_pair(certificate: &Path, key: &Path) -> Result<Pair, TlsError> {
    let chain_pem = read_bounded(certificate).map_err(|source| TlsError::Read {
        path: certificate.to_owned(),
        source,
    })?;
    let key_pem = zeroize::Zeroizing::new(read_private("key", key)?);
    pair_from_pem(certificate, &chain_pem, key, &key_pem)
}

/// The same for bytes that have been read.
pub(crate) fn pair_from_pem(
    certificate: &Path,
    chain_pem: &[u8],
    key: &Path,
    key_pem: &[u8],
) -> Result<Pair, TlsError> {
    let content = |path: &Path, expected, detail: String| TlsError::Content {
        path: path.to_owned(),
        expected,
        detail,
    };
    let certificates = CertificateDer::pem_slice_iter(chain_pem)
        .take(MAX_CHAIN)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(certificate, "certificates", error.to_string()))?;
    let Some(leaf) = certificates.first() else {
        return Err(content(
            certificate,
            "certificates",
            "there is none".to_owned(),
        ));
    };
    let (not_after, names) =
        leaf_facts(leaf).map_err(|detail| content(certificate, "certificates", detail))?;
    let private = PrivateKeyDer::from_pem_slice(key_pem)
        .map_err(|error| content(key, "a private key", error.to_string()))?;
    let certified =
        CertifiedKey::from_der(certificates, private, &provider()).map_err(|source| {
            TlsError::Mismatch {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                source,
            }
        })?;
    Ok(Pair {
        certified: Arc::new(certified),
        not_after,
        names,
    })
}

/// End and names of a certificate.
///
/// # Errors
///
/// For people: why it does not parse.
pub(crate) fn leaf_facts(der: &[u8]) -> Result<(Timestamp, Vec<String>), String> {
    let (_, leaf) = x509_parser::parse_x509_certificate(der).map_err(|error| error.to_string())?;
    let end = u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or(0);
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names.map(|names| {
        names
            .value
            .general_names
            .iter()
            .filter_map(name_text)
            .collect()
    });
    Ok((
        Timestamp::from_millis(end.saturating_mul(1000)),
        names.unwrap_or_default(),
    ))
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name {
        return Some((*name).to_owned());
    }
    let GeneralName::IPAddress(bytes) = name else {
        return None;
    };
    let v4 = || <[u8; 4]>::try_from(*bytes).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from);
    v4().or_else(v6).map(|address| address.to_string())
}

/// Reads the files again whenever one of them has changed, until `stop`. A pair that does not fit is left alone, and
/// said in the log once: the certificate in use stays.
pub async fn watch(
    resolver: Arc<Resolver>,
    files: CertificateFiles,
    every: Duration,
    stop: CancellationToken,
) {
    let mut seen = stamp(&files);
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        let found = stamp(&files);
        if found == seen {
            continue;
        }
        match read_pair(&files.certificate, &files.key) {
            Ok(pair) => {
                resolver.set(&pair);
                tracing::info!(file = %files.certificate.display(), "certificate read again");
            }
            Err(error) => {
                tracing::error!(
                    error = chain(&error),
                    "a changed certificate is not used; the old one stays"
                );
            }
        }
        seen = found;
    }
}

/// What changes when a file is written or replaced.
fn stamp(files: &CertificateFiles) -> [Option<(SystemTime, u64)>; 2] {
    [&files.certificate, &files.key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

const MAX_CHAIN: usize = 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(folder: &Path, stem: &str) -> CertificateFiles {
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf =
            rcgen::CertificateParams::new(["hq.example.com".to_owned(), "192.0.2.1".to_owned()])
                .unwrap()
                .self_signed(&key)
                .unwrap();
        let files = CertificateFiles {
            certificate: folder.join(format!("{stem}.pem")),
            key: folder.join(format!("{stem}.key")),
        };
        fs::write(&files.certificate, leaf.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    #[test]
    fn a_pair_is_read_with_its_names_and_end() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), "a");
        let pair = read_pair(&files.certificate, &files.key).unwrap();
        assert_eq!(pair.names, ["hq.example.com", "192.0.2.1"]);
        assert!(
            pair.not_after.as_millis() > 4_000_000_000_000,
            "rcgen's default end is in 4096"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (write(folder.path(), "one"), write(folder.path(), "other"));
        let error = read_pair(&one.certificate, &other.key)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("one.pem") && error.contains("other.key"),
            "{error}"
        );
        let error = read_pair(&one.key, &one.key).unwrap_err().to_string();
        assert!(error.contains("does not hold certificates"), "{error}");
        fs::set_permissions(&one.key, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_pair(&one.certificate, &one.key)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("mode 640") && error.contains("chmod 600"),
            "{error}"
        );
        let error = read_pair(&folder.path().join("none"), &one.key)
            .unwrap_err()
            .to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_read_again_and_wrong_ones_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), "a");
        let resolver = Resolver::empty();
        resolver.set(&read_pair(&files.certificate, &files.key).unwrap());
        let first = resolver.current.load_full().unwrap();
        let stop = CancellationToken::new();
        let every = Duration::from_secs(1);
        let watcher = tokio::spawn(watch(
            Arc::clone(&resolver),
            files.clone(),
            every,
            stop.clone(),
        ));

        tokio::time::sleep(every * 2).await;
        fs::write(&files.certificate, "nothing").unwrap();
        tokio::time::sleep(every * 2).await;
        assert!(Arc::ptr_eq(&first, &resolver.current.load_full().unwrap()));

        let fresh = write(folder.path(), "b");
        fs::rename(&fresh.key, &files.key).unwrap();
        fs::rename(&fresh.certificate, &files.certificate).unwrap();
        tokio::time::sleep(every * 2).await;
        assert!(!Arc::ptr_eq(&first, &resolver.current.load_full().unwrap()));
        stop.cancel();
        watcher.await.unwrap();
    }
}
