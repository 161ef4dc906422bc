//! HQ's TLS certificate, checked by key.
//!
//! The image pins the keys of HQ's private TLS CA. A chain is good if its leaf was signed by one of these keys, or by an
//! intermediate CA that was. Names and dates are not looked at (DESIGN 3): a ten-year-old image must not be cut off by a
//! root that aged, nor a box by a clock that stands in 1970, and whoever holds the pinned key is HQ under any name.
//!
//! The path is built by webpki, with two liberties: the moment it checks against is the leaf's own beginning, so that
//! dates never decide, and the trust anchor is the pinned key under whatever name the chain gives it.

use std::fmt;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, Der, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The pinned keys.
pub struct PinnedKeys {
    keys: Vec<Der<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why nothing could be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinnedKeysError {
    /// A root certificate of the image bundle does not parse.
    #[error(
        "a TLS root of the image bundle is no certificate that can sign: `otscert-hq init` writes one that can"
    )]
    Root(#[source] webpki::Error),
    /// The bundle has too few or too many.
    #[error("the image bundle has {got} TLS roots; 1 to {MAX_KEYS} are expected")]
    Count {
        /// How many it has.
        got: usize,
    },
    /// This build's cryptography is not usable.
    #[error("this build's TLS provider supports no TLS version that is wanted")]
    Provider(#[source] Error),
}

impl PinnedKeys {
    /// Pins the keys of these root certificates.
    ///
    /// # Errors
    ///
    /// [`PinnedKeysError`] if there are none.
    pub fn new(
        roots: &[CertificateDer<'_>],
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, PinnedKeysError> {
        if roots.is_empty() || roots.len() > MAX_KEYS {
            return Err(PinnedKeysError::Count { got: roots.len() });
        }
        let keys = roots
            .iter()
            .map(|root| {
                Ok(anchor_from_trusted_cert(root)?
                    .to_owned()
                    .subject_public_key_info)
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(PinnedKeysError::Root)?;
        Ok(Self { keys, algorithms })
    }

    /// Each pinned key under each name that the chain uses for an issuer.
    fn anchors(&self, issuers: &[Vec<u8>]) -> Vec<TrustAnchor<'static>> {
        let anchor = |key: &Der<'static>, issuer: &Vec<u8>| TrustAnchor {
            subject: Der::from(issuer.clone()),
            subject_public_key_info: key.clone(),
            name_constraints: None,
        };
        issuers
            .iter()
            .flat_map(|issuer| self.keys.iter().map(move |key| anchor(key, issuer)))
            .collect()
    }
}

impl ServerCertVerifier for PinnedKeys {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unreadable = |_error| Error::InvalidCertificate(CertificateError::BadEncoding);
        let leaf = EndEntityCert::try_from(end_entity).map_err(unreadable)?;
        let intermediates = &intermediates[..intermediates.len().min(MAX_INTERMEDIATES)];
        let mut issuers = vec![leaf.issuer().to_vec()];
        for intermediate in intermediates {
            issuers.push(
                EndEntityCert::try_from(intermediate)
                    .map_err(unreadable)?
                    .issuer()
                    .to_vec(),
            );
        }
        leaf.verify_for_usage(
            self.algorithms.all,
            &self.anchors(&issuers),
            intermediates,
            not_before(end_entity)?,
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map_err(|_error| Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for PinnedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedKeys")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

fn not_before(certificate: &CertificateDer<'_>) -> Result<UnixTime, Error> {
    let (_rest, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_error| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let seconds = u64::try_from(parsed.validity().not_before.timestamp()).unwrap_or(0);
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        seconds,
    )))
}

const MAX_KEYS: usize = 4;
const MAX_INTERMEDIATES: usize = 2;
