//! Certificates and requests with an element less, or with another one in its place: nothing that
//! has to be there may be missing, and nothing makes reading panic.

use std::ops::Range;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::Secret;
use otscert_machine::x509::chain::ChainError;
use otscert_machine::x509::{Chain, csr};

use crate::chain::{fixed_chain, names};
use crate::der::{sequence, tlv};

#[test]
fn a_certificate_without_one_of_its_elements_is_refused() {
    let der = fixed_chain().remove(0);
    let whole = Chain::read(vec![der.clone()]).unwrap();
    let mut taken = 0;
    for element in elements(&der) {
        for other in others() {
            let Ok(read) = Chain::read(vec![replaced(&der, &element, &other)]) else {
                continue;
            };
            // What may be absent says nothing of the key and its dates, and a name that is not
            // there is not read.
            let (read, whole) = (read.leaf(), whole.leaf());
            assert_eq!(read.public, whole.public, "{element:?}");
            assert!(
                read.names.iter().all(|name| whole.names.contains(name)),
                "{element:?}"
            );
            assert_eq!(read.not_before, whole.not_before, "{element:?}");
            assert_eq!(read.not_after, whole.not_after, "{element:?}");
            taken += 1;
        }
    }
    let tried = elements(&der).len() * others().len();
    assert!(taken * 4 < tried, "{taken} of {tried} changes were taken");
}

#[test]
fn a_request_without_one_of_its_elements_is_refused() {
    let key = Secret::new([7; 32]);
    let der = csr::build(
        &RustCrypto,
        &key,
        &names(&["a.example", "*.b.example"]),
        &[1; 32],
    )
    .unwrap();
    csr::check(&RustCrypto, &der).unwrap();
    for element in elements(&der) {
        for other in others() {
            let changed = replaced(&der, &element, &other);
            // An element may be what stands in its place already.
            let refused = changed == der || csr::check(&RustCrypto, &changed).is_err();
            assert!(refused, "{element:?}: {other:?}");
        }
    }
}

/// With a subject, which ours have not.
#[test]
fn a_request_of_others_without_one_of_its_elements_is_refused() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, "a.example");
    params.distinguished_name = name.clone();
    let der = params.serialize_request(&key).unwrap().der().to_vec();
    csr::check(&RustCrypto, &der).unwrap();
    for element in elements(&der) {
        for other in others() {
            let changed = replaced(&der, &element, &other);
            let refused = changed == der || csr::check(&RustCrypto, &changed).is_err();
            assert!(refused, "{element:?}: {other:?}");
        }
    }
    name.push(rcgen::DnType::OrganizationName, "a.example");
    let mut other = rcgen::DistinguishedName::new();
    other.push(rcgen::DnType::OrganizationName, "a.example");
    for name in [name, other] {
        params.distinguished_name = name;
        let der = params.serialize_request(&key).unwrap().der().to_vec();
        assert!(csr::check(&RustCrypto, &der).is_err());
    }
}

#[test]
fn a_leaf_that_says_that_it_is_no_ca_reads_the_same_or_not_at_all() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    params.not_before = rcgen::date_time_ymd(2026, 11, 1);
    params.not_after = rcgen::date_time_ymd(2026, 12, 1);
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let whole = Chain::read(vec![der.clone()]).unwrap();
    for element in elements(&der) {
        for other in others() {
            if let Ok(read) = Chain::read(vec![replaced(&der, &element, &other)]) {
                assert_eq!(read.leaf().public, whole.leaf().public, "{element:?}");
            }
        }
    }
}

/// The keys that certificates have elsewhere are called by their names.
#[test]
fn a_leaf_with_another_kind_of_key_is_refused_by_the_keys_name() {
    let der = fixed_chain().remove(0);
    for (name, algorithm) in KEYS {
        let other = sequence(&[&sequence(&[algorithm]), &[0x03, 0x02, 0x00, 0x01]]);
        let changed = elements(&der)
            .into_iter()
            .map(|element| Chain::read(vec![replaced(&der, &element, &other)]));
        let refused = changed.filter_map(|read| match read {
            Err(error @ ChainError::KeyAlgorithm { .. }) => Some(error.to_string()),
            Ok(_) | Err(_) => None,
        });
        let refused: Vec<_> = refused.collect();
        assert!(
            refused.iter().any(|error| error.contains(name)),
            "{name}: {refused:?}"
        );
    }
}

/// An issuer is what it calls itself in the first sixteen attributes; what follows is not looked at.
#[test]
fn of_a_name_sixteen_attributes_are_read() {
    let der = fixed_chain().remove(0);
    let elements = elements(&der);
    let issuer = elements.iter().find(|element| {
        let mut parts = der[element.place.clone()].windows(17);
        element.outer.len() == 2 && parts.any(|part| part == b"Test Intermediate")
    });
    let issuer = issuer.unwrap();
    let read = |name: &[&[u8]]| {
        let changed = replaced(&der, issuer, &sequence(name));
        Chain::read(vec![changed]).map(|chain| chain.leaf().issuer.clone())
    };
    let attribute =
        |kind: u8, text: &[u8]| sequence(&[&[0x06, 0x03, 0x55, 0x04, kind], &tlv(0x0c, &[text])]);
    let (unit, organization) = (attribute(11, b"Unit"), attribute(10, b"Organization"));
    let alone = |attribute: &[u8]| tlv(0x31, &[attribute]);
    for (units, shown) in [(15, "Organization"), (16, "an issuer without a name")] {
        let mut all = vec![&unit[..]; units];
        all.push(&organization);
        assert_eq!(read(&[&tlv(0x31, &all)]).unwrap(), shown);
        let each: Vec<_> = all.into_iter().map(alone).collect();
        let each: Vec<_> = each.iter().map(Vec::as_slice).collect();
        assert_eq!(read(&each).unwrap(), shown);
    }
    let mut followed = vec![alone(&unit); 16];
    followed.push(vec![0x05, 0x00]);
    let followed: Vec<_> = followed.iter().map(Vec::as_slice).collect();
    assert!(read(&followed).is_ok());
    assert!(read(&followed[1..]).is_err());
}

/// Nothing, and what may stand in the place of an element.
fn others() -> Vec<Vec<u8>> {
    let common_name: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
    let text: &[u8] = &[0x0c, 0x01, b'a'];
    let attribute = sequence(&[common_name, text]);
    let relative = tlv(0x31, &[&attribute]);
    let long = sequence(&[common_name, text, &[0x05, 0x00]]);
    let time = tlv(0x18, &[b"20261101000000Z"]);
    vec![
        Vec::new(),
        vec![0x05, 0x00],
        vec![0x04, 0x01, 0x00],
        // Lengths that go beyond what holds them.
        vec![0x30, 0x7f],
        vec![0x81, 0x7f],
        vec![0x82, 0x7f],
        vec![0xa3, 0x7f],
        vec![0x01, 0x7f],
        // A number of more than 256 bits, and one that is negative.
        tlv(0x02, &[&[1; 40]]),
        vec![0x02, 0x01, 0x80],
        // A truth value of two bytes.
        vec![0x01, 0x02, 0x00, 0x00],
        // Names of too many parts, of too many parts in one, and of a part with more behind it.
        sequence(&vec![&relative[..]; 40]),
        sequence(&[&tlv(0x31, &vec![&attribute[..]; 40])]),
        sequence(&[&tlv(0x31, &[&long])]),
        // Three times where two should be, and times before 1970.
        sequence(&[&time, &time, &time]),
        tlv(0x18, &[b"00300101000000Z"]),
        tlv(0x17, &[b"600101000000Z"]),
    ]
}

/// An element: where it stands, and the containers that it stands in.
#[derive(Clone, Debug)]
struct Element {
    place: Range<usize>,
    outer: Vec<Range<usize>>,
}

/// Every element of what is DER, also inside octet and bit strings that hold some.
fn elements(der: &[u8]) -> Vec<Element> {
    let mut found = Vec::new();
    let whole = 0..der.len();
    let content = content(der, &whole).unwrap();
    collect(der, content, &[whole], &mut found);
    found
}

fn collect(der: &[u8], content: Range<usize>, outer: &[Range<usize>], found: &mut Vec<Element>) {
    let mut at = content.start;
    while at < content.end {
        let Some(inner) = self::content(der, &(at..content.end)) else {
            return;
        };
        let place = at..inner.end;
        at = inner.end;
        found.push(Element {
            place: place.clone(),
            outer: outer.to_vec(),
        });
        let tag = der[place.start];
        let mut outer = outer.to_vec();
        outer.push(place);
        let holds = match tag {
            0x04 => parts(der, inner.clone()),
            // A bit string begins with the number of bits that its last byte lacks.
            0x03 if der.get(inner.start) == Some(&0) && parts(der, inner.start + 1..inner.end) => {
                collect(der, inner.start + 1..inner.end, &outer, found);
                false
            }
            _ => tag & 0x20 != 0,
        };
        if holds {
            collect(der, inner, &outer, found);
        }
    }
}

/// Whether it can be split into elements to its end.
fn parts(der: &[u8], content: Range<usize>) -> bool {
    let mut at = content.start;
    while at < content.end {
        match self::content(der, &(at..content.end)) {
            Some(inner) => at = inner.end,
            None => return false,
        }
    }
    !content.is_empty()
}

/// Where the content of the element stands that begins there.
fn content(der: &[u8], place: &Range<usize>) -> Option<Range<usize>> {
    let bytes = &der[place.clone()];
    let (header, len) = match *bytes.get(1)? {
        short @ 0..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(*bytes.get(2)?)),
        0x82 => (
            4,
            usize::from(*bytes.get(2)?) << 8 | usize::from(*bytes.get(3)?),
        ),
        _ => return None,
    };
    let start = place.start + header;
    (start + len <= place.end).then_some(start..start + len)
}

/// The whole with other bytes in the element's place, and every length around it right.
fn replaced(der: &[u8], element: &Element, other: &[u8]) -> Vec<u8> {
    let mut bytes = other.to_vec();
    let mut place = element.place.clone();
    for outer in element.outer.iter().rev() {
        let inner = content(der, outer).unwrap();
        let parts = [
            &der[inner.start..place.start],
            &bytes,
            &der[place.end..inner.end],
        ];
        bytes = tlv(der[outer.start], &parts);
        place = outer.clone();
    }
    bytes
}

/// Kinds of keys by name, as their algorithm is written.
const KEYS: [(&str, &[u8]); 3] = [
    (
        "RSA",
        &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0],
    ),
    ("Ed25519", &[6, 3, 0x2b, 0x65, 0x70]),
    // id-ecPublicKey with secp521r1 (RFC 5480 section 2.1.1.1).
    (
        "P-521",
        &[
            6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x23,
        ],
    ),
];
