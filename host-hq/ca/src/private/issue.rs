//! From a CSR to a certificate.

use std::collections::BTreeSet;

use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SerialNumber,
};
use rustls_pki_types::CertificateSigningRequestDer;
use time::{Duration, OffsetDateTime};

use super::PrivateCaError;
use super::hierarchy::Hierarchy;
use super::orders::OrderId;

/// What a certificate is made of.
pub(super) struct Leaf {
    pub(super) id: OrderId,
    pub(super) names: Vec<String>,
    pub(super) life: Duration,
}

/// Checks a CSR (RFC 8555 section 7.4: the names of the order, no more and no less; signed by its
/// key). The error is for people.
pub(super) fn check_csr(
    csr: &[u8],
    names: &[String],
) -> Result<CertificateSigningRequestParams, String> {
    if csr.len() > CSR_MAX {
        return Err(format!("the CSR is longer than {CSR_MAX} bytes"));
    }
    // Verifies the signature too.
    let csr = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))
        .map_err(|error| format!("the CSR is not usable: {error}"))?;
    if csr.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
        return Err("the CSR is not signed by ECDSA with P-256 and SHA-256".to_owned());
    }
    let mut asked = BTreeSet::new();
    for name in &csr.params.subject_alt_names {
        let SanType::DnsName(name) = name else {
            return Err(format!("the CSR asks for {name:?}, which was not ordered"));
        };
        asked.insert(name.as_str().to_owned());
    }
    if let Some(name) = common_name(&csr.params.distinguished_name)
        && !names.contains(&name)
    {
        return Err(format!("the CSR's common name {name:?} was not ordered"));
    }
    let ordered: BTreeSet<String> = names.iter().cloned().collect();
    if asked != ordered {
        return Err(format!(
            "the CSR asks for {asked:?}, the order is for {ordered:?}"
        ));
    }
    Ok(csr)
}

/// Signs a certificate; returns it with its end.
pub(super) fn sign(
    hierarchy: &Hierarchy,
    leaf: &Leaf,
    key: &impl PublicKeyData,
    now: OffsetDateTime,
) -> Result<(Vec<u8>, OffsetDateTime), PrivateCaError> {
    let failed = |source| PrivateCaError::Sign {
        attempt: "sign a certificate",
        source,
    };
    let mut params = CertificateParams::default();
    // No subject: names are only in the SAN, which is critical then (RFC 5280 section 4.2.1.6).
    params.distinguished_name = DistinguishedName::new();
    for name in &leaf.names {
        let name = Ia5String::try_from(name.as_str()).map_err(failed)?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(SerialNumber::from(leaf.id.serial()));
    // Whole seconds, as X.509 has them, so that what is stored is what was signed.
    let now = now.replace_nanosecond(0).unwrap_or(now);
    // A short life must not lie in the past for the most part.
    params.not_before = now - BACKDATE.min(leaf.life / 10);
    params.not_after = now + leaf.life;
    let not_after = params.not_after;
    hierarchy.check_end(not_after)?;
    let certificate = params.signed_by(key, hierarchy.issuer()).map_err(failed)?;
    Ok((certificate.der().to_vec(), not_after))
}

fn common_name(subject: &DistinguishedName) -> Option<String> {
    match subject.get(&DnType::CommonName)? {
        DnValue::Utf8String(text) => Some(text.clone()),
        DnValue::PrintableString(text) => Some(text.as_str().to_owned()),
        DnValue::Ia5String(text) => Some(text.as_str().to_owned()),
        // `_`: the library may grow others.
        other @ (DnValue::BmpString(_)
        | DnValue::TeletexString(_)
        | DnValue::UniversalString(_)
        | _) => Some(format!("{other:?}")),
    }
}

/// What the contract's chains are limited to, and more than any P-256 CSR needs.
const CSR_MAX: usize = 8 * 1024;
const BACKDATE: Duration = Duration::hours(1);
