//! Certificate requests: ours against OpenSSL and rcgen, theirs and broken ones against ours.

use std::io::Write as _;
use std::process::{Command, Stdio};

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto as _, Secret};
use otscert_machine::types::CertName;
use otscert_machine::x509::csr::{self, CsrError, MAX_CSR, NamesError};
use otscert_machine::x509::{MAX_NAMES, pkcs8};
use proptest::prelude::*;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType,
};

use crate::der::{dns, sequence, tlv};

#[test]
fn a_request_reads_as_it_was_made() {
    let asked = names(&["b.example", "*.a.example"]);
    let der = csr::build(&RustCrypto, &KEY, &asked, &[7; 32]).unwrap();
    let checked = csr::check(&RustCrypto, &der).unwrap();
    assert_eq!(checked.public, public());
    assert_eq!(checked.names, names(&["b.example", "*.a.example"]));
    assert_eq!(
        checked.spki_digest,
        csr::spki_digest(&RustCrypto, &public())
    );
    // Another nonce each time that the extra bytes differ, the same when they do not.
    let again = |extra| {
        let der = csr::build(&RustCrypto, &KEY, &asked, &extra).unwrap();
        csr::check(&RustCrypto, &der).unwrap().signature_r
    };
    assert_eq!(again([7; 32]), checked.signature_r);
    assert_ne!(again([8; 32]), checked.signature_r);
}

#[test]
fn the_names_come_back_sorted() {
    let der = csr::build(
        &RustCrypto,
        &KEY,
        &names(&["z.example", "a.example"]),
        &[0; 32],
    )
    .unwrap();
    let checked = csr::check(&RustCrypto, &der).unwrap();
    assert_eq!(checked.names, names(&["a.example", "z.example"]));
}

#[test]
fn the_largest_request_passes() {
    let long = |c: char| {
        let label = c.to_string().repeat(63);
        format!("{label}.{label}.{label}.{}", &label[..61])
    };
    let longest: Vec<String> = ('a'..='h').map(long).collect();
    assert!(longest.iter().all(|name| name.len() == 253));
    let asked: Vec<CertName> = longest
        .iter()
        .map(|name| CertName::parse(&format!("*.{name}")).unwrap())
        .collect();
    assert_eq!(asked.len(), MAX_NAMES);
    let der = csr::build(&RustCrypto, &KEY, &asked, &[0; 32]).unwrap();
    assert_eq!(csr::check(&RustCrypto, &der).unwrap().names, asked);
}

#[test]
fn what_hq_would_refuse_is_not_made() {
    let build = |key: &Secret<32>, asked: &[&str]| {
        csr::build(&RustCrypto, key, &names(asked), &[0; 32]).is_some()
    };
    assert!(build(&KEY, &["a.example"]));
    assert!(!build(&KEY, &[]));
    assert!(!build(&KEY, &["a.example", "a.example"]));
    let nine: Vec<String> = (0..9).map(|i| format!("{i}.example")).collect();
    assert!(!build(
        &KEY,
        &nine.iter().map(String::as_str).collect::<Vec<_>>()
    ));
    assert!(!build(&Secret::new([0; 32]), &["a.example"]));
    assert!(!build(&Secret::new([0xff; 32]), &["a.example"]));
}

#[test]
fn openssl_verifies_what_we_make() {
    for extra in 0..16 {
        let asked = names(&["*.abc.boxes.example"]);
        let der = csr::build(&RustCrypto, &KEY, &asked, &[extra; 32]).unwrap();
        let args = ["req", "-inform", "DER", "-verify", "-noout", "-text"];
        let (text, said) = openssl(&args, &der);
        assert!(said.contains("verify OK"), "{said}");
        assert!(text.contains("DNS:*.abc.boxes.example"), "{text}");
        assert!(text.contains("prime256v1"), "{text}");
    }
}

#[test]
fn rcgen_verifies_what_we_make() {
    let der = csr::build(
        &RustCrypto,
        &KEY,
        &names(&["a.example", "*.b.example"]),
        &[3; 32],
    );
    let read = CertificateSigningRequestParams::from_der(&der.unwrap().into()).unwrap();
    let san = |name: &str| SanType::DnsName(name.try_into().unwrap());
    assert_eq!(
        read.params.subject_alt_names,
        [san("a.example"), san("*.b.example")]
    );
}

#[test]
fn openssl_and_rcgen_read_our_key_files() {
    let der = pkcs8::encode(&KEY, &public());
    let (text, _) = openssl(&["pkey", "-inform", "DER", "-check", "-text"], der.expose());
    assert!(text.contains("Key is valid"), "{text}");
    assert!(text.contains("ASN1 OID: prime256v1"), "{text}");
    // Through aws-lc, as rustls reads it.
    let key = KeyPair::try_from(der.expose()).unwrap();
    assert_eq!(key.public_key_raw(), public());
    assert!(key.is_compatible(&PKCS_ECDSA_P256_SHA256));
}

#[test]
fn requests_of_rcgen_pass() {
    let key = KeyPair::generate().unwrap();
    let checked = check(params(&["a.example", "*.a.example"]), &key).unwrap();
    assert_eq!(checked.public, key.public_key_raw());
    let mut expected = names(&["a.example", "*.a.example"]);
    expected.sort();
    assert_eq!(checked.names, expected);

    let mut with_common_name = params(&["a.example", "*.a.example"]);
    with_common_name
        .distinguished_name
        .push(DnType::CommonName, "*.a.example");
    assert!(check(with_common_name, &key).is_ok());
}

#[test]
fn requests_of_rcgen_for_more_than_we_grant_are_refused() {
    let key = KeyPair::generate().unwrap();
    let mut other_subject = params(&["a.example"]);
    other_subject
        .distinguished_name
        .push(DnType::CommonName, "b.example");
    assert_eq!(check(other_subject, &key), Err(CsrError::Subject));
    let mut organization = params(&["a.example"]);
    organization
        .distinguished_name
        .push(DnType::CommonName, "a.example");
    organization
        .distinguished_name
        .push(DnType::OrganizationName, "a.example");
    assert_eq!(check(organization, &key), Err(CsrError::Subject));

    let mut usage = params(&["a.example"]);
    usage.key_usages.push(KeyUsagePurpose::KeyCertSign);
    assert!(matches!(
        check(usage, &key),
        Err(CsrError::Extension { .. })
    ));

    let mut address = params(&["a.example"]);
    address
        .subject_alt_names
        .push(SanType::IpAddress([10, 0, 0, 1].into()));
    let not_dns = CsrError::Names(NamesError::NotDns { got: 7 });
    assert_eq!(check(address, &key), Err(not_dns));

    for (algorithm, name) in [
        (&PKCS_ECDSA_P384_SHA384, "P-384"),
        (&PKCS_ED25519, "Ed25519"),
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let refused = CsrError::KeyAlgorithm {
            got: name.to_string(),
        };
        assert_eq!(check(params(&["a.example"]), &key), Err(refused));
    }
}

/// Each differs from a good request in one thing, and is signed as it stands.
#[test]
fn every_defect_is_refused_by_its_name() {
    let good = Parts::good();
    assert!(csr::check(&RustCrypto, &good.signed()).is_ok());

    let with_names = |names: &[&[u8]]| good.with_names(&sequence(names));
    let one = dns("a.example");
    for (request, error) in [
        (with_names(&[]), CsrError::Names(NamesError::None)),
        (
            with_names(&[&one, &one]),
            CsrError::Names(NamesError::Twice {
                name: CertName::parse("a.example").unwrap(),
            }),
        ),
        (
            with_names(&[&one[..]; 9]),
            CsrError::Names(NamesError::TooMany { limit: 8 }),
        ),
        (
            with_names(&[&one, &tlv(0x86, &[b"https://a.example"])]),
            CsrError::Names(NamesError::NotDns { got: 6 }),
        ),
        (
            Parts {
                version: vec![2, 1, 1],
                ..good.clone()
            },
            CsrError::Version,
        ),
        (
            Parts {
                attributes: tlv(0xa0, &[]),
                ..good.clone()
            },
            CsrError::Attribute { got: "none".into() },
        ),
        (
            // challengePassword
            Parts {
                attributes: tlv(
                    0xa0,
                    &[&sequence(&[
                        &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7],
                        &tlv(0x31, &[&tlv(0x0c, &[b"secret"])]),
                    ])],
                ),
                ..good.clone()
            },
            CsrError::Attribute {
                got: "1.2.840.113549.1.9.7".into(),
            },
        ),
        (
            good.with_attributes(&[&good.attribute, &good.attribute]),
            CsrError::Attribute {
                got: "several".into(),
            },
        ),
        (
            good.with_extensions(&[]),
            CsrError::Extension { got: "none".into() },
        ),
        (
            good.with_extensions(&[&good.extension, &good.extension]),
            CsrError::Extension {
                got: "several".into(),
            },
        ),
        (
            good.with_extensions(&[&sequence(&[
                &[6, 3, 0x55, 0x1d, 0x13],
                &tlv(4, &[&[0x30, 0]]),
            ])]),
            CsrError::Extension {
                got: "2.5.29.19".into(),
            },
        ),
        (
            Parts {
                spki: [&good.spki[..90], &[good.spki[90] ^ 1]].concat(),
                ..good.clone()
            },
            CsrError::KeyPoint,
        ),
        (
            Parts {
                spki: good.compressed_spki(),
                ..good.clone()
            },
            CsrError::KeyAlgorithm {
                got: "P-256 in another form than an uncompressed point".into(),
            },
        ),
        // ecdsa-with-SHA384
        (
            Parts {
                algorithm: sequence(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]]),
                ..good.clone()
            },
            CsrError::SignatureAlgorithm,
        ),
    ] {
        assert_eq!(csr::check(&RustCrypto, &request.signed()), Err(error));
    }

    for name in [
        "A.example",
        "a.example.",
        "a_b.example",
        "*.*.example",
        "a.*.example",
        "é",
        "",
    ] {
        let refused = csr::check(&RustCrypto, &with_names(&[&dns(name)]).signed());
        assert!(
            matches!(refused, Err(CsrError::Names(NamesError::Form(_)))),
            "{name}"
        );
    }
}

#[test]
fn a_signature_of_another_key_or_request_is_refused() {
    let good = Parts::good();
    let other = Parts {
        spki: csr_spki(&Secret::new([9; 32])),
        ..good.clone()
    };
    assert_eq!(
        csr::check(&RustCrypto, &other.signed()),
        Err(CsrError::Signature)
    );

    let signature = good.signature();
    let moved = good.with_names(&sequence(&[&dns("b.example")]));
    assert_eq!(
        csr::check(&RustCrypto, &moved.with(&signature)),
        Err(CsrError::Signature)
    );

    // Of zero length, with unused bits, with r = 0, with r of 33 bytes.
    let (zero, one) = (tlv(2, &[&[0]]), tlv(2, &[&[1]]));
    let long = tlv(2, &[&[1; 33]]);
    for broken in [
        tlv(3, &[]),
        tlv(3, &[&[1], &signature[3..]]),
        tlv(3, &[&[0], &sequence(&[&zero, &one])]),
        tlv(3, &[&[0], &sequence(&[&long, &one])]),
    ] {
        assert_eq!(
            csr::check(&RustCrypto, &good.with(&broken)),
            Err(CsrError::Signature)
        );
    }
    // Negative, padded, and with a third number: not DER, or not a signature in DER.
    let (negative, padded) = (tlv(2, &[&[0x80]]), tlv(2, &[&[0, 1]]));
    for broken in [
        sequence(&[&negative, &one]),
        sequence(&[&padded, &one]),
        sequence(&[&one, &one, &one]),
        sequence(&[&one]),
    ] {
        let broken = good.with(&tlv(3, &[&[0], &broken]));
        assert!(matches!(
            csr::check(&RustCrypto, &broken),
            Err(CsrError::NotDer(_))
        ));
    }
}

#[test]
fn a_request_in_ber_or_with_more_behind_it_is_refused() {
    let good = Parts::good().signed();
    let content = &good[3..];
    assert_eq!(good[..2], [0x30, 0x81]);
    let long_form = [&[0x30, 0x82, 0, good[2]], content].concat();
    let indefinite = [&[0x30, 0x80], content, &[0, 0]].concat();
    let trailing = [&good[..], &[0]].concat();
    for other in [long_form, indefinite, trailing] {
        assert!(matches!(
            csr::check(&RustCrypto, &other),
            Err(CsrError::NotDer(_))
        ));
    }
}

#[test]
fn a_large_request_is_refused_before_it_is_read() {
    let refused = CsrError::TooLarge {
        limit: MAX_CSR,
        got: MAX_CSR + 1,
    };
    assert_eq!(
        csr::check(&RustCrypto, &vec![0x30; MAX_CSR + 1]),
        Err(refused)
    );
    let read = csr::check(&RustCrypto, &[0x30; MAX_CSR]);
    assert!(matches!(read, Err(CsrError::NotDer(_))), "{read:?}");
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    let good = csr::build(&RustCrypto, &KEY, &names(&["a.example"]), &[0; 32]).unwrap();
    for len in 0..good.len() {
        assert!(
            csr::check(&RustCrypto, &good[..len]).is_err(),
            "{len} bytes"
        );
    }
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(csr::check(&RustCrypto, &flipped).is_err(), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_check_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = csr::check(&RustCrypto, &bytes);
    }

    #[test]
    fn no_change_of_a_request_makes_the_check_panic(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        cut: Option<usize>,
    ) {
        let mut bytes = Parts::good().signed();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(cut.map_or(usize::MAX, |cut| cut % bytes.len()));
        let _ = csr::check(&RustCrypto, &bytes);
    }
}

/// The pieces of a request.
#[derive(Clone)]
struct Parts {
    version: Vec<u8>,
    spki: Vec<u8>,
    extension: Vec<u8>,
    attribute: Vec<u8>,
    attributes: Vec<u8>,
    algorithm: Vec<u8>,
}

impl Parts {
    fn good() -> Self {
        let empty = Self {
            version: vec![2, 1, 0],
            spki: csr_spki(&KEY),
            extension: vec![],
            attribute: vec![],
            attributes: vec![],
            algorithm: sequence(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]),
        };
        empty.with_names(&sequence(&[&dns("a.example")]))
    }

    fn with_names(&self, names: &[u8]) -> Self {
        let extension = sequence(&[&[6, 3, 0x55, 0x1d, 0x11], &tlv(4, &[names])]);
        Self {
            extension: extension.clone(),
            ..self.with_extensions(&[&extension])
        }
    }

    fn with_extensions(&self, extensions: &[&[u8]]) -> Self {
        let request = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
        let attribute = sequence(&[request, &tlv(0x31, &[&sequence(extensions)])]);
        Self {
            attribute: attribute.clone(),
            ..self.with_attributes(&[&attribute])
        }
    }

    fn with_attributes(&self, attributes: &[&[u8]]) -> Self {
        Self {
            attributes: tlv(0xa0, attributes),
            ..self.clone()
        }
    }

    fn info(&self) -> Vec<u8> {
        sequence(&[&self.version, &[0x30, 0], &self.spki, &self.attributes])
    }

    fn signature(&self) -> Vec<u8> {
        let signature = RustCrypto.p256_sign(&KEY, &self.info(), &[0; 32]).unwrap();
        let number = |bytes: &[u8]| {
            let start = bytes.iter().position(|b| *b != 0).unwrap();
            let sign: &[u8] = if bytes[start] >= 0x80 { &[0] } else { &[] };
            tlv(2, &[sign, &bytes[start..]])
        };
        tlv(
            3,
            &[
                &[0],
                &sequence(&[&number(&signature[..32]), &number(&signature[32..])]),
            ],
        )
    }

    fn with(&self, signature: &[u8]) -> Vec<u8> {
        sequence(&[&self.info(), &self.algorithm, signature])
    }

    fn signed(&self) -> Vec<u8> {
        self.with(&self.signature())
    }

    fn compressed_spki(&self) -> Vec<u8> {
        let point = &self.spki[26..];
        let point = [&[2 + (point[64] & 1)], &point[1..33]].concat();
        sequence(&[&self.spki[2..23], &tlv(3, &[&[0], &point])])
    }
}

fn csr_spki(key: &Secret<32>) -> Vec<u8> {
    let curve = [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let algorithm = sequence(&[
        &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1],
        &tlv(6, &[&curve]),
    ]);
    let point = RustCrypto.p256_public(key).unwrap();
    sequence(&[&algorithm, &tlv(3, &[&[0], &point])])
}

fn check(params: CertificateParams, key: &KeyPair) -> Result<csr::CheckedCsr, CsrError> {
    csr::check(&RustCrypto, params.serialize_request(key).unwrap().der())
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params
}

fn names(texts: &[&str]) -> Vec<CertName> {
    texts
        .iter()
        .map(|text| CertName::parse(text).unwrap())
        .collect()
}

fn public() -> [u8; 65] {
    RustCrypto.p256_public(&KEY).unwrap()
}

/// Standard output and standard error of an OpenSSL command that must succeed.
fn openssl(args: &[&str], input: &[u8]) -> (String, String) {
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs the program openssl: apt-get install openssl");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "openssl {args:?}: {err}");
    (out, err)
}

const KEY: Secret<32> = Secret::new([0x42; 32]);
