//! Root and intermediate, as files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use otscert_host::files;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use super::PrivateCaError;
use crate::config::DnsSuffix;

/// A root and the intermediate that signs.
pub(super) struct Hierarchy {
    root: CertificateDer<'static>,
    issuing: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    issuing_path: PathBuf,
    issuing_ends: OffsetDateTime,
}

impl Hierarchy {
    pub(super) fn load_or_create(
        name: &str,
        folder: &Path,
        zones: &[DnsSuffix],
        now: OffsetDateTime,
    ) -> Result<Self, PrivateCaError> {
        files::private_folder(folder).map_err(|source| PrivateCaError::Io {
            attempt: "make",
            path: folder.to_owned(),
            source,
        })?;
        let root_file = Pair::new(folder, "root");
        let issuing_file = Pair::new(folder, "issuing");

        let root = match root_file.certificate()? {
            Some(root) => root,
            None => make_root(name, &root_file, now)?,
        };
        let (issuing, key) = match (issuing_file.certificate()?, issuing_file.key()?) {
            (Some(issuing), Some(key)) => (issuing, key),
            (Some(_), None) => return Err(issuing_file.half()),
            // A key without a certificate is what a crash between the two writes leaves.
            (None, key) => make_issuing(name, &root, &root_file, &issuing_file, key, zones, now)?,
        };
        check_zones(&issuing_file.pem, &issuing, zones)?;
        let issuing_ends = ends(&issuing_file.pem, &issuing)?;
        let issuer =
            Issuer::from_ca_cert_der(&issuing, key).map_err(|source| PrivateCaError::Sign {
                attempt: "read the intermediate",
                source,
            })?;
        Ok(Self {
            root,
            issuing,
            issuer,
            issuing_path: issuing_file.pem,
            issuing_ends,
        })
    }

    pub(super) fn root_pem(&self) -> String {
        crate::encoding::certificate_pem(&self.root)
    }

    pub(super) fn root_der(&self) -> &[u8] {
        &self.root
    }

    pub(super) fn issuing_der(&self) -> &[u8] {
        &self.issuing
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// Refuses an end that the intermediate does not reach.
    pub(super) fn check_end(&self, not_after: OffsetDateTime) -> Result<(), PrivateCaError> {
        if not_after <= self.issuing_ends {
            return Ok(());
        }
        Err(PrivateCaError::IssuerEnds {
            path: self.issuing_path.clone(),
        })
    }
}

/// The two files of a CA certificate.
struct Pair {
    pem: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn new(folder: &Path, stem: &str) -> Self {
        Self {
            pem: folder.join(format!("{stem}.pem")),
            key: folder.join(format!("{stem}.key")),
        }
    }

    fn certificate(&self) -> Result<Option<CertificateDer<'static>>, PrivateCaError> {
        let Some(bytes) = read(&self.pem)? else {
            return Ok(None);
        };
        let certificate =
            CertificateDer::from_pem_slice(&bytes).map_err(|error| PrivateCaError::Damaged {
                path: self.pem.clone(),
                detail: error.to_string(),
            })?;
        Ok(Some(certificate))
    }

    fn key(&self) -> Result<Option<KeyPair>, PrivateCaError> {
        let Some(bytes) = read(&self.key)? else {
            return Ok(None);
        };
        let bytes = Zeroizing::new(bytes);
        let damaged = |detail: String| PrivateCaError::Damaged {
            path: self.key.clone(),
            detail,
        };
        let text = std::str::from_utf8(&bytes).map_err(|error| damaged(error.to_string()))?;
        let key = KeyPair::from_pem(text).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(key))
    }

    fn key_or_new(&self, key: Option<KeyPair>) -> Result<KeyPair, PrivateCaError> {
        if let Some(key) = key {
            return Ok(key);
        }
        let key = KeyPair::generate().map_err(|source| PrivateCaError::Sign {
            attempt: "make a key",
            source,
        })?;
        write(&self.key, Zeroizing::new(key.serialize_pem()).as_bytes())?;
        Ok(key)
    }

    fn half(&self) -> PrivateCaError {
        PrivateCaError::Half {
            found: self.pem.clone(),
            missing: self.key.clone(),
        }
    }
}

fn make_root(
    name: &str,
    files: &Pair,
    now: OffsetDateTime,
) -> Result<CertificateDer<'static>, PrivateCaError> {
    // The key first: after a crash here it is used, not replaced.
    let key = files.key_or_new(files.key()?)?;
    let mut params = ca_params(name, "root", 1, now, ROOT_YEARS)?;
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = params
        .self_signed(&key)
        .map_err(|source| PrivateCaError::Sign {
            attempt: "sign the root",
            source,
        })?;
    write(&files.pem, root.pem().as_bytes())?;
    tracing::info!(ca = name, file = %files.pem.display(), "made a private root");
    Ok(root.der().clone())
}

fn make_issuing(
    name: &str,
    root: &CertificateDer<'static>,
    root_files: &Pair,
    files: &Pair,
    key: Option<KeyPair>,
    zones: &[DnsSuffix],
    now: OffsetDateTime,
) -> Result<(CertificateDer<'static>, KeyPair), PrivateCaError> {
    let Some(root_key) = root_files.key()? else {
        return Err(PrivateCaError::RootKeyAway {
            path: root_files.key.clone(),
        });
    };
    let root_ends = ends(&root_files.pem, root)?;
    let sign = |source| PrivateCaError::Sign {
        attempt: "sign the intermediate",
        source,
    };
    let signer = Issuer::from_ca_cert_der(root, root_key).map_err(sign)?;
    let key = files.key_or_new(key)?;
    let mut params = ca_params(name, "issuing", 0, now, ISSUING_YEARS)?;
    params.not_after = params.not_after.min(root_ends);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    params.use_authority_key_identifier_extension = true;
    if !zones.is_empty() {
        let permitted = zones
            .iter()
            .map(|zone| GeneralSubtree::DnsName(zone.as_str().to_owned()))
            .collect();
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: permitted,
            excluded_subtrees: Vec::new(),
        });
    }
    let issuing = params.signed_by(&key, &signer).map_err(sign)?;
    write(&files.pem, issuing.pem().as_bytes())?;
    Ok((issuing.der().clone(), key))
}

fn ca_params(
    name: &str,
    role: &str,
    below: u8,
    now: OffsetDateTime,
    years: i64,
) -> Result<CertificateParams, PrivateCaError> {
    let mut params = CertificateParams::default();
    // Two installations must not have CAs of one name: clients mix up their keys.
    let mut tag = [0; 4];
    aws_lc_rs::rand::fill(&mut tag).map_err(|_| PrivateCaError::NoRandomness)?;
    let mut subject = DistinguishedName::new();
    let tag = crate::encoding::hex(&tag);
    subject.push(DnType::CommonName, format!("otscert {name} {role} {tag}"));
    params.distinguished_name = subject;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.not_before = now - BACKDATE;
    params.not_after = now + Duration::days(365 * years + years / 4);
    Ok(params)
}

fn check_zones(
    path: &Path,
    issuing: &CertificateDer<'_>,
    zones: &[DnsSuffix],
) -> Result<(), PrivateCaError> {
    let (_, parsed) = parse_x509_certificate(issuing).map_err(|error| PrivateCaError::Damaged {
        path: path.to_owned(),
        detail: error.to_string(),
    })?;
    let mut got = BTreeSet::new();
    for extension in parsed.extensions() {
        let ParsedExtension::NameConstraints(constraints) = extension.parsed_extension() else {
            continue;
        };
        for subtree in constraints.permitted_subtrees.iter().flatten() {
            if let GeneralName::DNSName(name) = subtree.base {
                got.insert(name.to_owned());
            }
        }
    }
    let expected: BTreeSet<String> = zones.iter().map(|zone| zone.as_str().to_owned()).collect();
    if got == expected {
        return Ok(());
    }
    Err(PrivateCaError::Zones {
        path: path.to_owned(),
        expected: expected.into_iter().collect(),
        got: got.into_iter().collect(),
    })
}

fn ends(path: &Path, certificate: &CertificateDer<'_>) -> Result<OffsetDateTime, PrivateCaError> {
    let (_, parsed) =
        parse_x509_certificate(certificate).map_err(|error| PrivateCaError::Damaged {
            path: path.to_owned(),
            detail: error.to_string(),
        })?;
    Ok(parsed.validity().not_after.to_datetime())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, PrivateCaError> {
    files::read(path).map_err(|source| PrivateCaError::Io {
        attempt: "read",
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), PrivateCaError> {
    files::replace(path, bytes).map_err(|source| PrivateCaError::Io {
        attempt: "write",
        path: path.to_owned(),
        source,
    })
}

const ROOT_YEARS: i64 = 20;
const ISSUING_YEARS: i64 = 10;
/// Clocks of those who check may be behind.
const BACKDATE: Duration = Duration::hours(1);
