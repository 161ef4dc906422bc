//! Certificates and requests with an element less, or with another one in its place: nothing that
//! has to be there may be missing, and nothing makes reading panic.

use std::ops::Range;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::Secret;
use otscert_machine::x509::{Chain, csr};

use crate::chain::{fixed_chain, names};

#[test]
fn a_certificate_without_one_of_its_elements_is_refused() {
    let der = fixed_chain().remove(0);
    let whole = Chain::read(vec![der.clone()]).unwrap();
    let mut taken = 0;
    for element in elements(&der) {
        for other in [&[][..], &[0x05, 0x00], &[0x04, 0x01, 0x00]] {
            let Ok(read) = Chain::read(vec![replaced(&der, &element, other)]) else {
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
    assert!(taken < elements(&der).len(), "{taken} changes were taken");
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
        for other in [&[][..], &[0x05, 0x00], &[0x04, 0x01, 0x00]] {
            let changed = replaced(&der, &element, other);
            assert!(
                csr::check(&RustCrypto, &changed).is_err(),
                "{element:?}: {other:?}"
            );
        }
    }
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
        bytes = crate::der::tlv(der[outer.start], &parts);
        place = outer.clone();
    }
    bytes
}
