//! The key ceremony: protocol roots, the delegated key, HQ's private TLS CA.
//!
//! This is an offline tool and the one place outside the component that makes messages of the protocol: a root signs
//! a delegation, and HQ's key an assessment of a kind of board's clock, with the machine's own code, so that the bytes
//! are the ones that boxes check. `serve` never does.

use std::net::IpAddr;

use otscert_assess::report::Report;
use otscert_crypto::RustCrypto;
use otscert_machine::entropy::Assessment;
use otscert_machine::time::Timestamp as MachineTime;
use otscert_machine::types::Ed25519Public;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::Typ;
use otscert_machine::wire::trust::{Delegation, HqSigner, Roots, TrustError};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::InitOptions;
use crate::config::Seed;
use crate::types::Timestamp;

/// Everything a ceremony makes.
pub struct Ceremony {
    /// Signs delegations.
    pub active_root: Seed,
    /// Takes the active root's place one day.
    pub spare_root: Seed,
    /// HQ's protocol key.
    pub signing: Seed,
    /// Its delegation, JSON.
    pub delegation: Vec<u8>,
    /// Keys tokens and nonces.
    pub token: Seed,
    /// Seals account keys.
    pub master: Seed,
    /// HQ's private TLS CA.
    pub tls_root: TlsPair,
    /// The device endpoint's certificate.
    pub tls_leaf: TlsPair,
}

/// A certificate and its key, PEM.
pub struct TlsPair {
    /// The certificate.
    pub certificate: String,
    /// The key, PKCS#8.
    pub key: Zeroizing<String>,
}

/// Why a ceremony failed: the machine it is held on is at fault.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// No randomness.
    #[error("the operating system gives no randomness: check that getrandom(2) is allowed here")]
    Entropy(#[source] getrandom::Error),
    /// A certificate could not be made.
    #[error("the {what} could not be made")]
    Certificate {
        /// Which certificate.
        what: &'static str,
        /// What rcgen said.
        #[source]
        source: rcgen::Error,
    },
}

impl Ceremony {
    /// Makes everything.
    ///
    /// # Errors
    ///
    /// [`CeremonyError`].
    pub fn hold(options: &InitOptions, now: Timestamp) -> Result<Self, CeremonyError> {
        let (active_root, spare_root) = (fresh_seed()?, fresh_seed()?);
        let signing = fresh_seed()?;
        let not_after = now.plus_millis(DELEGATION_MS);
        let delegation = delegate(
            &options.hq_id,
            &active_root,
            &signing,
            FIRST_EPOCH,
            not_after,
        );
        let tls_root = tls_root(&options.hq_id, now)?;
        let tls_leaf = tls_leaf(
            &tls_root,
            &[options.hq_name.to_string()],
            &options.addresses,
            now,
        )?;
        Ok(Self {
            active_root,
            spare_root,
            signing,
            delegation,
            token: fresh_seed()?,
            master: fresh_seed()?,
            tls_root,
            tls_leaf,
        })
    }
}

impl std::fmt::Debug for Ceremony {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ceremony").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TlsPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsPair")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// 32 bytes from the operating system.
///
/// # Errors
///
/// If it gives none.
pub fn fresh_seed() -> Result<Seed, CeremonyError> {
    Ok(Seed::new(*random()?))
}

/// Bytes from the operating system, wiped when dropped.
///
/// # Errors
///
/// If it gives none.
pub fn random<const BYTES: usize>() -> Result<Zeroizing<[u8; BYTES]>, CeremonyError> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    getrandom::fill(&mut *bytes).map_err(CeremonyError::Entropy)?;
    Ok(bytes)
}

/// A root's word that `key` signs for HQ, flattened JWS.
#[must_use]
pub fn delegate(hq_id: &str, root: &Seed, key: &Seed, epoch: u64, not_after: Timestamp) -> Vec<u8> {
    let delegation = Delegation {
        key: key.ed25519_public(),
        epoch,
        not_after: MachineTime::from_millis(not_after.as_millis()),
    };
    delegation
        .sign(&RustCrypto, hq_id, &root.to_machine())
        .to_bytes()
}

/// What the boxes' own reader says of an assessment that they would not take.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct AssessmentRefused(Box<TrustError>);

/// HQ's word on what the clock of a kind of board is worth, flattened JWS (docs/PROTOCOL.md,
/// `otscert-assessment+jws`). `delegation` is that of the key, as its root signed it.
///
/// # Errors
///
/// What boxes would refuse is not signed: their own reader has the last word.
pub fn assessment(
    hq_id: &str,
    roots: &[[u8; 32]],
    key: &Seed,
    delegation: &[u8],
    report: &Report,
) -> Result<Vec<u8>, AssessmentRefused> {
    let roots = Roots {
        hq_id: hq_id.to_owned(),
        keys: roots.iter().map(|root| Ed25519Public::new(*root)).collect(),
    };
    let sign = || -> Result<Object, TrustError> {
        let delegation = Object::parse(delegation)?;
        let signer = HqSigner::new(&RustCrypto, &roots, key.to_machine(), delegation)?;
        let payload = Object::default()
            .with_text("id", &report.id)
            .with_texts("models", &report.models)
            .with_number("stepNs", report.step_ns)
            .with_number("minEntropy", report.min_entropy)
            .with_text("cause", &report.cause);
        let signed = signer.sign(&RustCrypto, Typ::Assessment, &payload);
        Assessment::open(&RustCrypto, &roots, &signed)?;
        Ok(signed)
    };
    match sign() {
        Ok(signed) => Ok(signed.to_bytes()),
        Err(error) => Err(AssessmentRefused(Box::new(error))),
    }
}

/// HQ's private TLS CA. Boxes look at its key only (DESIGN 3), so its dates matter to other clients alone.
fn tls_root(hq_id: &str, now: Timestamp) -> Result<TlsPair, CeremonyError> {
    let failed = |source| CeremonyError::Certificate {
        what: "private TLS CA",
        source,
    };
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(&format!("otscert device endpoint CA of {hq_id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = dates(now, ROOT_YEARS);
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(TlsPair {
        certificate: certificate.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

/// The device endpoint's certificate, signed by HQ's private TLS CA.
///
/// # Errors
///
/// If the CA's files are none, or a name is none.
pub fn tls_leaf(
    root: &TlsPair,
    names: &[String],
    addresses: &[IpAddr],
    now: Timestamp,
) -> Result<TlsPair, CeremonyError> {
    let failed = |source| CeremonyError::Certificate {
        what: "device endpoint's certificate",
        source,
    };
    let root_key = KeyPair::from_pem(&root.key).map_err(failed)?;
    let issuer = Issuer::from_ca_cert_pem(&root.certificate, root_key).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
    params
        .subject_alt_names
        .extend(addresses.iter().map(|&address| SanType::IpAddress(address)));
    params.distinguished_name = subject("otscert device endpoint");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = dates(now, LEAF_YEARS);
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok(TlsPair {
        certificate: certificate.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn dates(now: Timestamp, years: i64) -> (OffsetDateTime, OffsetDateTime) {
    let seconds = i64::try_from(now.as_millis() / 1000).unwrap_or(0);
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (
        now - BACKDATE,
        now + Duration::days(365 * years + years / 4),
    )
}

const FIRST_EPOCH: u64 = 1;
/// How long a delegation lasts unless the operator says otherwise.
pub const DELEGATION_DAYS: u32 = 365;
const DELEGATION_MS: u64 = DELEGATION_DAYS as u64 * 86_400_000;
const ROOT_YEARS: i64 = 20;
const LEAF_YEARS: i64 = 5;
/// Clocks of those who check may be behind.
const BACKDATE: Duration = Duration::hours(1);
