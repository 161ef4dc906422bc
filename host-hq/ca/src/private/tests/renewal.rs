//! Renewal windows, replacement, revocation.

use time::Duration;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::bench::Bench;
use crate::clock::unix_ms;
use crate::operation::CaProblemKind;
use crate::private::*;
use crate::testing::{identifier, problem};

#[tokio::test]
async fn the_window_is_the_last_third_to_quarter_and_past_once_revoked() {
    let bench = Bench::new("120s", &[]);
    let (certificate, _) = bench.issued(&["a.fleet.test"]).await;
    let now = unix_ms(bench.now());
    let window = bench.window(&certificate).await;
    // 120 s and 12 s of backdating: 132 s.
    assert_eq!(window.start_ms, now + 120_000 - 44_000);
    assert_eq!(window.end_ms, now + 120_000 - 33_000);
    assert_eq!(window.retry_after_ms, 6_600);

    bench.advance(Duration::seconds(5));
    assert_eq!(bench.revoke(&certificate, 4).await, CaAnswer::Revoked);
    let window = bench.window(&certificate).await;
    assert!(window.start_ms < window.end_ms);
    assert!(window.end_ms <= unix_ms(bench.now()));
}

#[tokio::test]
async fn a_certificate_is_revoked_once_and_stands_in_the_crl() {
    let bench = Bench::new("90d", &[]);
    let (certificate, _) = bench.issued(&["a.fleet.test"]).await;
    let (kept, _) = bench.issued(&["b.fleet.test"]).await;
    assert_eq!(
        problem(bench.revoke(&certificate, 2).await).kind,
        CaProblemKind::Other
    );
    assert_eq!(bench.revoke(&certificate, 5).await, CaAnswer::Revoked);
    let again = problem(bench.revoke(&certificate, 5).await);
    assert_eq!(again.kind, CaProblemKind::AlreadyRevoked);

    let crl = bench.open().crl().unwrap();
    let (_, crl) = CertificateRevocationList::from_der(&crl).unwrap();
    let serial = |der: &[u8]| parse_x509_certificate(der).unwrap().1.raw_serial().to_vec();
    let listed: Vec<_> = crl
        .iter_revoked_certificates()
        .map(|r| r.raw_serial().to_vec())
        .collect();
    assert_eq!(listed, [serial(&certificate)]);
    assert_ne!(serial(&kept), serial(&certificate));

    // Another CA's certificate.
    let other = Bench::new("90d", &[]);
    let (foreign, _) = other.issued(&["a.fleet.test"]).await;
    assert_eq!(
        problem(bench.revoke(&foreign, 5).await).kind,
        CaProblemKind::NotFound
    );

    // Ended certificates leave the list.
    bench.advance(Duration::days(91));
    let crl = bench.open().crl().unwrap();
    let (_, crl) = CertificateRevocationList::from_der(&crl).unwrap();
    assert_eq!(crl.iter_revoked_certificates().count(), 0);
}

#[tokio::test]
async fn a_certificate_is_replaced_once() {
    let bench = Bench::new("90d", &[]);
    let (certificate, _) = bench.issued(&["a.fleet.test"]).await;
    let id = identifier(&certificate);
    let refused = problem(bench.new_order(&["b.fleet.test"], Some(&id)).await);
    assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced);

    let first = bench.new_order(&["a.fleet.test"], Some(&id)).await;
    assert!(matches!(first, CaAnswer::Order(_)), "{first:?}");
    let refused = problem(bench.new_order(&["a.fleet.test"], Some(&id)).await);
    assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced);

    // The first one came to nothing.
    bench.advance(Duration::days(8));
    let second = bench.new_order(&["a.fleet.test"], Some(&id)).await;
    assert!(matches!(second, CaAnswer::Order(_)), "{second:?}");
    for nonsense in ["", ".", "a.b", "a.b.c", "AA.AQ"] {
        let refused = problem(bench.new_order(&["a.fleet.test"], Some(nonsense)).await);
        assert_eq!(refused.kind, CaProblemKind::AlreadyReplaced, "{nonsense}");
    }
}
