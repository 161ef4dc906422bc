use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateSigningRequestParams, IsCa, Issuer};
use rustls_pki_types::CertificateSigningRequestDer;

use super::*;

const NAMES: [&str; 1] = ["hq.example.com"];

#[test]
fn a_chain_for_the_pending_key_is_used_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (own, resolver) = own(folder.path());
    assert_eq!(own.due(NOW), None, "there is no certificate");
    let csr = own.request().unwrap();
    assert!(folder.path().join(PENDING_KEY).exists());

    own.offer(&issue(&csr));
    assert!(resolver.not_after().is_some());
    assert!(!folder.path().join(PENDING_KEY).exists());
    let mode = fs::metadata(folder.path().join(CURRENT))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    // The next process has it at once.
    let (_, resolver) = self::own(folder.path());
    assert!(resolver.not_after().is_some());
}

#[test]
fn a_chain_for_a_box_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (own, resolver) = own(folder.path());
    own.request().unwrap();
    let stranger = KeyPair::generate().unwrap();
    let csr = CertificateParams::new(NAMES.map(str::to_owned))
        .unwrap()
        .serialize_request(&stranger)
        .unwrap();
    own.offer(&issue(csr.der()));
    own.offer(&[]);
    own.offer(&[vec![1, 2, 3]]);
    assert!(resolver.not_after().is_none());
    assert!(folder.path().join(PENDING_KEY).exists());
}

#[test]
fn the_key_of_the_process_before_is_used_once() {
    let folder = tempfile::tempdir().unwrap();
    let key_of = |csr: &[u8]| {
        let csr =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))
                .unwrap();
        csr.public_key.der_bytes().to_vec()
    };
    let first = key_of(&own(folder.path()).0.request().unwrap());
    let (own, _) = own(folder.path());
    assert_eq!(
        key_of(&own.request().unwrap()),
        first,
        "killed before the answer: the same again"
    );
    assert_ne!(
        key_of(&own.request().unwrap()),
        first,
        "handed in, and nothing came of it: another"
    );
}

#[test]
fn after_a_crash_between_writing_and_forgetting_the_next_key_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let (own, _) = own(folder.path());
    let csr = own.request().unwrap();
    let pending = fs::read(folder.path().join(PENDING_KEY)).unwrap();
    own.offer(&issue(&csr));
    files::replace(&folder.path().join(PENDING_KEY), &pending).unwrap();
    let (own, resolver) = self::own(folder.path());
    assert!(resolver.not_after().is_some());
    assert!(own.lock().is_none());
    assert!(!folder.path().join(PENDING_KEY).exists());
}

#[test]
fn it_is_renewed_with_a_third_of_its_life_left() {
    let folder = tempfile::tempdir().unwrap();
    let (own, resolver) = own(folder.path());
    own.offer(&issue(&own.request().unwrap()));
    let end = resolver.not_after().unwrap();
    let wait = own.due(end.minus_millis(90 * DAY_MS)).unwrap();
    assert_eq!(wait, Duration::from_millis(60 * DAY_MS));
    assert_eq!(own.due(end.minus_millis(30 * DAY_MS)), None);
    assert_eq!(own.due(end.plus_millis(1)), None);
}

#[test]
fn a_certificate_for_other_names_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let (own, _) = own(folder.path());
    own.offer(&issue(&own.request().unwrap()));
    let resolver = Resolver::empty();
    let other = vec!["other.example.com".to_owned()];
    let own = OwnCertificate::new(folder.path().to_owned(), other, Arc::clone(&resolver));
    assert!(resolver.not_after().is_none());
    assert_eq!(own.due(NOW), None);
}

fn own(folder: &Path) -> (OwnCertificate, Arc<Resolver>) {
    let resolver = Resolver::empty();
    let names = NAMES.map(str::to_owned).to_vec();
    (
        OwnCertificate::new(folder.to_owned(), names, Arc::clone(&resolver)),
        resolver,
    )
}

/// What a CA makes of a CSR: leaf and intermediate, 90 days.
fn issue(csr: &[u8]) -> Vec<Vec<u8>> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let mut csr =
        CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))
            .unwrap();
    csr.params.not_before = time::OffsetDateTime::from_unix_timestamp(1_795_000_000).unwrap();
    csr.params.not_after = csr.params.not_before + time::Duration::days(90);
    let leaf = csr.signed_by(&issuer).unwrap();
    vec![leaf.der().to_vec(), ca.der().to_vec()]
}

const NOW: Timestamp = Timestamp::from_millis(1_795_453_500_000);
const DAY_MS: u64 = 86_400_000;
