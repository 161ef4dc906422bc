//! What the tests of both kinds of CA need: a CSR, and a look at what came of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::operation::{CaAnswer, CaProblem};

/// A CSR for these names, without a subject.
#[must_use]
pub fn csr(names: &[&str], key: &KeyPair) -> Vec<u8> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key).unwrap().der().to_vec()
}

/// What `replaces` calls a certificate (RFC 9773 section 4.1).
#[must_use]
pub fn identifier(certificate: &[u8]) -> String {
    let certificate = CertificateDer::from(certificate);
    instant_acme::CertificateIdentifier::try_from(&certificate)
        .unwrap()
        .to_string()
}

/// The problem that was answered.
///
/// # Panics
///
/// At any other answer.
#[must_use]
pub fn problem(answer: CaAnswer) -> CaProblem {
    let CaAnswer::Problem(problem) = answer else {
        panic!("expected a problem, got {answer:?}");
    };
    problem
}

/// Checks a chain as a TLS client does that trusts this root alone.
///
/// # Panics
///
/// If it would not connect to a server of that name.
pub fn verify(root: &[u8], chain: &[Vec<u8>], name: &str, now: UnixTime) {
    let root = CertificateDer::from(root);
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    let chain: Vec<_> = chain
        .iter()
        .map(|c| CertificateDer::from(c.as_slice()))
        .collect();
    let leaf = webpki::EndEntityCert::try_from(&chain[0]).unwrap();
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        &chain[1..],
        now,
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )
    .unwrap();
    leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name.to_owned()).unwrap())
        .unwrap();
}
