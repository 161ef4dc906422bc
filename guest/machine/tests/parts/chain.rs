//! Certificate chains made by rcgen, whole and broken.

use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::CertName;
use otscert_machine::x509::chain::{Chain, ChainError, MAX_CERTIFICATE, MAX_CERTIFICATES};
use otscert_machine::x509::csr::NamesError;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, PKCS_ED25519, SanType,
    SerialNumber, date_time_ymd,
};

use crate::der::{dns, sequence};

#[test]
fn a_leaf_says_what_its_ca_wrote() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let chain = Chain::read(ca.issue(leaf(&["b.example", "*.a.example"]), &key)).unwrap();
    let leaf = chain.leaf();
    assert_eq!(leaf.public, key.public_key_raw());
    assert_eq!(leaf.names, names(&["b.example", "*.a.example"]));
    assert_eq!(leaf.not_before.to_string(), "2026-11-01T00:00:00Z");
    assert_eq!(leaf.not_after.to_string(), "2026-12-16T00:00:00Z");
    assert_eq!(leaf.serial, [0x00, 0x87, 0x65, 0x43, 0x21]);
    assert_eq!(leaf.issuer, "Test Intermediate");
    assert_eq!(chain.certificates().len(), 2);
}

/// The key identifier and the serial number of RFC 9773 appendix A.
#[test]
fn the_ari_identifier_is_that_of_rfc_9773() {
    let ca = Ca::new();
    let chain = ca.chain(&["a.example"]);
    assert_eq!(
        chain.ari_id().unwrap(),
        "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    );

    let mut anonymous = leaf(&["a.example"]);
    anonymous.use_authority_key_identifier_extension = false;
    let chain = Chain::read(ca.issue(anonymous, &KeyPair::generate().unwrap())).unwrap();
    assert_eq!(chain.ari_id(), None);
}

/// Two digits for the year until 2049, four from then on.
#[test]
fn dates_of_the_last_century_and_beyond_2049_are_read() {
    let ca = Ca::new();
    for (begin, end) in [(1999, 2000), (2026, 2049), (2049, 2050), (2050, 2055)] {
        let mut params = leaf(&["a.example"]);
        params.not_before = date_time_ymd(begin, 12, 31);
        params.not_after = date_time_ymd(end, 12, 31);
        let chain = Chain::read(ca.issue(params, &KeyPair::generate().unwrap())).unwrap();
        let leaf = chain.leaf();
        let read = [leaf.not_before, leaf.not_after].map(|time| time.to_string());
        let year = |year| format!("{year}-12-31T00:00:00Z");
        assert_eq!(read, [begin, end].map(year));
    }
}

#[test]
fn an_issuer_without_a_common_name_is_shown_by_its_organization() {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "US");
    name.push(DnType::OrganizationName, "Let's\u{7} Test");
    assert_eq!(
        Ca::named(name).chain(&["a.example"]).leaf().issuer,
        "Let's Test"
    );
    let nameless = Ca::named(DistinguishedName::new()).chain(&["a.example"]);
    assert_eq!(nameless.leaf().issuer, "an issuer without a name");
}

#[test]
fn a_chain_for_another_key_or_name_is_refused() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let public = key.public_key_raw().try_into().unwrap();
    let chain = Chain::read(ca.issue(leaf(&["b.example", "*.a.example"]), &key)).unwrap();
    let check = |public, granted: &[&str]| {
        chain.check(
            public,
            &names(granted),
            trusted("2026-11-23"),
            Timestamp::default(),
        )
    };
    assert_eq!(check(&public, &["b.example", "*.a.example"]), Ok(()));
    assert_eq!(check(&public, &["*.a.example", "b.example"]), Ok(()));
    let mut other = public;
    other[40] ^= 1;
    assert_eq!(
        check(&other, &["b.example", "*.a.example"]),
        Err(ChainError::OtherKey)
    );
    for granted in [
        &["b.example"][..],
        &["b.example", "a.example"],
        &[],
        &["c.example"; 3],
    ] {
        assert!(matches!(
            check(&public, granted),
            Err(ChainError::OtherNames { .. })
        ));
    }
    let error = check(&public, &["c.example"]).unwrap_err();
    let text = "checking the issued chain: it is for b.example, *.a.example, this box was granted \
                c.example";
    assert_eq!(error.to_string(), text);
}

#[test]
fn dates_are_held_against_what_is_certain() {
    use ClockTrust::{Bounded, Trusted, Unset};
    let ca = Ca::new();
    let chain = ca.chain(&["a.example"]);
    let (begin, end) = (chain.leaf().not_before, chain.leaf().not_after);
    let (early, late) = (begin - Span::from_days(1), end + Span::from_millis(1));
    let check = |trust, wall, floor| {
        let now = Moment {
            wall,
            trust,
            monotonic: Monotonic::default(),
        };
        chain.check(&chain.leaf().public, &names(&["a.example"]), now, floor)
    };
    let expired = |now| {
        Err(ChainError::Expired {
            not_after: end,
            now,
        })
    };
    let start = Timestamp::default();

    for trust in [Unset, Bounded, Trusted] {
        assert_eq!(check(trust, begin, start), Ok(()));
        assert_eq!(check(trust, end, start), Ok(()));
        assert_eq!(check(trust, begin, late), expired(late));
    }
    // A clock that was never set can say anything.
    assert_eq!(check(Unset, late, start), Ok(()));
    assert_eq!(check(Unset, start, begin), Ok(()));
    // One that may lag is a lower bound, and never too early for a certificate.
    assert_eq!(check(Bounded, late, start), expired(late));
    assert_eq!(check(Bounded, early, start), Ok(()));
    // A trusted one is both.
    assert_eq!(check(Trusted, late, start), expired(late));
    assert_eq!(
        check(Trusted, early, start),
        Err(ChainError::NotYet {
            not_before: begin,
            now: early
        })
    );
    assert_eq!(check(Trusted, begin - Span::from_minutes(5), start), Ok(()));
    assert_eq!(check(Trusted, early, begin), Ok(()));
}

#[test]
fn a_chain_out_of_order_is_refused() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let [leaf, issuer] = ca.issue(leaf(&["a.example"]), &key).try_into().unwrap();
    let root = ca.root.der().to_vec();
    let read =
        |certificates: &[&Vec<u8>]| Chain::read(certificates.iter().copied().cloned().collect());
    assert!(read(&[&leaf]).is_ok());
    assert!(read(&[&leaf, &issuer, &root]).is_ok());
    assert!(read(&[&leaf, &issuer, &root, &root, &root]).is_ok());
    assert_eq!(read(&[&leaf, &root]), Err(ChainError::Order { at: 0 }));
    assert_eq!(
        read(&[&leaf, &issuer, &issuer]),
        Err(ChainError::Order { at: 1 })
    );
    assert_eq!(read(&[&leaf, &leaf]), Err(ChainError::Order { at: 0 }));
    let length = |got| {
        Err(ChainError::Length {
            limit: MAX_CERTIFICATES,
            got,
        })
    };
    assert_eq!(read(&[]), length(0));
    assert_eq!(
        read(&[&leaf, &issuer, &root, &root, &root, &root]),
        length(6)
    );
}

#[test]
fn a_large_certificate_is_refused_before_it_is_read() {
    let (limit, got) = (MAX_CERTIFICATE, MAX_CERTIFICATE + 1);
    let refused = Err(ChainError::TooLarge { at: 0, limit, got });
    assert_eq!(Chain::read(vec![vec![0x30; got]]), refused);
}

#[test]
fn a_chain_that_is_too_large_in_all_is_refused_before_it_is_read() {
    let four = vec![vec![0; MAX_CERTIFICATE]; 4];
    let error = Chain::read(four.clone()).unwrap_err();
    assert!(matches!(error, ChainError::NotDer { .. }), "{error}");
    let mut more = four;
    more.push(vec![0]);
    let error = Chain::read(more).unwrap_err();
    assert!(
        matches!(error, ChainError::Total { got: 32_769, .. }),
        "{error}"
    );
}

#[test]
fn a_leaf_that_could_not_serve_a_page_is_refused() {
    let ca = Ca::new();
    let p256 = KeyPair::generate().unwrap();
    let read = |params, key: &KeyPair| Chain::read(ca.issue(params, key)).unwrap_err();

    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let refused = ChainError::KeyAlgorithm {
        got: "Ed25519".to_string(),
    };
    assert_eq!(read(leaf(&["a.example"]), &ed25519), refused);

    assert_eq!(read(leaf(&[]), &p256), ChainError::Names(NamesError::None));
    let mut address = leaf(&["a.example"]);
    address
        .subject_alt_names
        .push(SanType::IpAddress([10, 0, 0, 1].into()));
    assert_eq!(
        read(address, &p256),
        ChainError::Names(NamesError::NotDns { got: 7 })
    );

    for usages in [vec![], vec![ExtendedKeyUsagePurpose::ClientAuth]] {
        let mut params = leaf(&["a.example"]);
        params.extended_key_usages = usages;
        assert_eq!(read(params, &p256), ChainError::NotForServers);
    }
    let mut params = leaf(&["a.example"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(read(params, &p256), ChainError::IsCa);
    let mut params = leaf(&["a.example"]);
    params.is_ca = IsCa::ExplicitNoCa;
    assert!(Chain::read(ca.issue(params, &p256)).is_ok());

    // A second list of names, which another reader might take for the first.
    let second = sequence(&[&dns("evil.example")]);
    let mut params = leaf(&["a.example"]);
    params
        .custom_extensions
        .push(CustomExtension::from_oid_content(&[2, 5, 29, 17], second));
    assert_eq!(
        read(params, &p256),
        ChainError::ExtensionTwice {
            got: "2.5.29.17".to_string()
        }
    );
}

#[test]
fn every_truncation_is_refused() {
    let ca = Ca::new();
    let [leaf, issuer] = ca
        .issue(leaf(&["a.example"]), &KeyPair::generate().unwrap())
        .try_into()
        .unwrap();
    for len in 0..leaf.len() {
        let error = Chain::read(vec![leaf[..len].to_vec(), issuer.clone()]).unwrap_err();
        assert!(
            matches!(error, ChainError::NotDer { at: 0, .. }),
            "{len}: {error}"
        );
    }
    for len in 0..issuer.len() {
        let error = Chain::read(vec![leaf.clone(), issuer[..len].to_vec()]).unwrap_err();
        assert!(
            matches!(error, ChainError::NotDer { at: 1, .. }),
            "{len}: {error}"
        );
    }
}

#[test]
fn no_flipped_bit_makes_reading_panic_and_none_in_key_or_names_passes() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let certificates = ca.issue(leaf(&["a.example"]), &key);
    let place = |of: &[u8]| {
        certificates[0]
            .windows(of.len())
            .position(|w| w == of)
            .unwrap()
    };
    let (point, name) = (place(key.public_key_raw()), place(b"a.example"));
    let public = key.public_key_raw().try_into().unwrap();
    for bit in 0..certificates[0].len() * 8 {
        let mut flipped = certificates.clone();
        flipped[0][bit / 8] ^= 1 << (bit % 8);
        let now = trusted("2026-11-23");
        let passes = Chain::read(flipped).is_ok_and(|chain| {
            chain
                .check(&public, &names(&["a.example"]), now, Timestamp::default())
                .is_ok()
        });
        let matters =
            (point..point + 65).contains(&(bit / 8)) || (name..name + 9).contains(&(bit / 8));
        assert!(!(matters && passes), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(
        certificates in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..256), 0..7),
    ) {
        prop_assert!(Chain::read(certificates).is_err());
    }

    #[test]
    fn no_change_of_a_chain_makes_reading_panic(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let mut certificates = fixed_chain();
        for (at, byte) in changes {
            let certificate = &mut certificates[at % 2];
            let at = at / 2 % certificate.len();
            certificate[at] = byte;
        }
        let _ = Chain::read(certificates);
    }
}

/// A root and an intermediate that issues.
struct Ca {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "Test");
        name.push(DnType::CommonName, "Test Intermediate");
        Self::named(name)
    }

    fn named(name: DistinguishedName) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Test Root");
        let root =
            CertifiedIssuer::self_signed(params.clone(), KeyPair::generate().unwrap()).unwrap();
        params.distinguished_name = name;
        params.key_identifier_method = KeyIdMethod::PreSpecified(RFC_9773_KEY.to_vec());
        let intermediate =
            CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
        Self { root, intermediate }
    }

    fn issue(&self, params: CertificateParams, key: &KeyPair) -> Vec<Vec<u8>> {
        let leaf = params.signed_by(key, &self.intermediate).unwrap();
        vec![leaf.der().to_vec(), self.intermediate.der().to_vec()]
    }

    fn chain(&self, names: &[&str]) -> Chain {
        Chain::read(self.issue(leaf(names), &KeyPair::generate().unwrap())).unwrap()
    }
}

fn leaf(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2026, 11, 1);
    params.not_after = date_time_ymd(2026, 12, 16);
    params.serial_number = Some(SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
    params.distinguished_name = DistinguishedName::new();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

/// One chain for all cases of a property.
pub(crate) fn fixed_chain() -> Vec<Vec<u8>> {
    static CHAIN: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(|| {
        Ca::new().issue(
            leaf(&["a.example", "*.b.example"]),
            &KeyPair::generate().unwrap(),
        )
    });
    CHAIN.clone()
}

pub(crate) fn names(texts: &[&str]) -> Vec<CertName> {
    let mut names: Vec<CertName> = texts
        .iter()
        .map(|text| CertName::parse(text).unwrap())
        .collect();
    names.sort();
    names
}

/// Midnight of a day in November 2026 on a trusted clock.
fn trusted(day: &str) -> Moment {
    let day: u64 = day.strip_prefix("2026-11-").unwrap().parse().unwrap();
    let november = Timestamp::from_seconds(1_793_491_200);
    Moment {
        wall: november + Span::from_days(day - 1),
        trust: ClockTrust::Trusted,
        monotonic: Monotonic::default(),
    }
}

const RFC_9773_KEY: [u8; 20] = [
    0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c,
    0xde, 0x01, 0xc8, 0xd4,
];
