//! The certificate being served, and the check of a new one before it takes its place.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use tokio_rustls::TlsAcceptor;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::ListenError;
use crate::status::CertificateInfo;
use crate::types::CredentialPair;

/// Why a credential is not served. The old one stays.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no certificate in it.
    #[error("the chain is empty")]
    Empty,
    /// The certificate does not parse.
    #[error("the leaf certificate cannot be read ({reason})")]
    Unreadable {
        /// What the parser said.
        reason: String,
    },
    /// The key does not parse, or is of a kind that cannot be served.
    #[error("the private key cannot be used for TLS")]
    Key(#[source] rustls::Error),
    /// Key and certificate do not belong together.
    #[error("the private key does not belong to the certificate")]
    Mismatch(#[source] rustls::Error),
    /// No path to an anchor of this box.
    #[error(
        "the certificate leads to none of this box's trust anchors, or is outside its dates ({reason})"
    )]
    Path {
        /// What webpki said.
        reason: String,
    },
    /// HTTPS cannot listen.
    #[error("the certificate is good, but HTTPS cannot be served")]
    Listen(#[source] ListenError),
}

/// What the TLS server serves.
#[derive(Debug)]
pub(super) struct CertificateSlot {
    served: ArcSwapOption<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl CertificateSlot {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            served: ArcSwapOption::empty(),
            provider,
        }
    }

    pub(super) fn install(
        &self,
        pair: &CredentialPair,
        anchors: Option<&RootCertStore>,
        now_ms: u64,
    ) -> Result<CertificateInfo, InstallError> {
        let leaf = pair.chain.first().ok_or(InstallError::Empty)?;
        let info = describe(pair.version, leaf)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.private_key.to_vec()));
        let key = self
            .provider
            .key_provider
            .load_private_key(key)
            .map_err(InstallError::Key)?;
        let certified = CertifiedKey::new(pair.chain.clone(), key);
        certified.keys_match().map_err(InstallError::Mismatch)?;
        if let Some(anchors) = anchors {
            self.check_path(pair, anchors, now_ms)?;
        }
        self.served.store(Some(Arc::new(certified)));
        Ok(info)
    }

    pub(super) fn clear(&self) {
        self.served.store(None);
    }

    fn check_path(
        &self,
        pair: &CredentialPair,
        anchors: &RootCertStore,
        now_ms: u64,
    ) -> Result<(), InstallError> {
        let path = |error: webpki::Error| InstallError::Path {
            reason: error.to_string(),
        };
        let leaf = pair.chain.first().ok_or(InstallError::Empty)?;
        EndEntityCert::try_from(leaf)
            .and_then(|leaf| {
                leaf.verify_for_usage(
                    self.provider.signature_verification_algorithms.all,
                    &anchors.roots,
                    &pair.chain[1..],
                    UnixTime::since_unix_epoch(Duration::from_millis(now_ms)),
                    KeyUsage::server_auth(),
                    None,
                    None,
                )
                .map(|_path| ())
            })
            .map_err(path)
    }
}

impl ResolvesServerCert for CertificateSlot {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Whatever name was asked for: there is one certificate.
        self.served.load_full()
    }
}

pub(super) fn acceptor(
    provider: Arc<CryptoProvider>,
    slot: Arc<CertificateSlot>,
) -> Result<TlsAcceptor, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(slot);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn describe(version: u64, leaf: &[u8]) -> Result<CertificateInfo, InstallError> {
    let unreadable = |reason: String| InstallError::Unreadable { reason };
    let (_rest, certificate) =
        X509Certificate::from_der(leaf).map_err(|error| unreadable(error.to_string()))?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| unreadable(error.to_string()))?
        .map(|extension| {
            extension
                .value
                .general_names
                .iter()
                .filter_map(dns_name)
                .take(MAX_NAMES)
                .collect()
        })
        .unwrap_or_default();
    let ms = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
    Ok(CertificateInfo {
        version,
        issuer: certificate.issuer().to_string(),
        serial: certificate
            .raw_serial()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        names,
        not_before_ms: ms(certificate.validity().not_before.timestamp()),
        not_after_ms: ms(certificate.validity().not_after.timestamp()),
    })
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name {
        Some((*name).to_owned())
    } else {
        None
    }
}

const MAX_NAMES: usize = 16;
