//! Published vectors for the real provider, Wycheproof, and what holds for both providers.

use std::format;
use std::string::String;
use std::vec::Vec;

use otscert_machine::crypto::{Crypto, Secret, Security};
use proptest::prelude::*;
use wycheproof::TestResult;

use crate::RustCrypto;
use crate::insecure::Insecure;

#[test]
fn sha256_gives_the_examples_of_fips_180() {
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    for (message, digest) in [
        (
            &b"abc"[..],
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            b"",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            two_blocks,
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
    ] {
        assert_eq!(hex(&RustCrypto.sha256(&[message])), digest);
        let (head, tail) = message.split_at(message.len() / 2);
        assert_eq!(hex(&RustCrypto.sha256(&[head, &[], tail])), digest);
    }
}

#[test]
fn hkdf_gives_the_examples_of_rfc_5869() {
    // Appendix A.1 and A.3; of the output, the first block.
    let ikm = [0x0b; 22];
    let prk = RustCrypto.hkdf_extract(&bytes("000102030405060708090a0b0c"), &[&ikm]);
    let expected = "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5";
    assert_eq!(hex(prk.expose()), expected);
    let okm = RustCrypto.hkdf_expand(&prk, &bytes("f0f1f2f3f4f5f6f7f8f9"));
    let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf";
    assert_eq!(hex(okm.expose()), expected);

    let prk = RustCrypto.hkdf_extract(&[], &[&ikm[..7], &ikm[7..]]);
    let expected = "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04";
    assert_eq!(hex(prk.expose()), expected);
    let okm = RustCrypto.hkdf_expand(&prk, &[]);
    let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d";
    assert_eq!(hex(okm.expose()), expected);
}

#[test]
fn chacha20_gives_the_key_stream_of_rfc_8439() {
    // Appendix A.1, test vectors 1 and 2: key 0, nonce 0, block counters 0 and 1.
    let mut stream = [7; 128];
    RustCrypto.chacha20_stream(&Secret::new([0; 32]), &mut stream);
    let expected = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
                    da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586\
                    9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed\
                    29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f";
    assert_eq!(hex(&stream), expected);
}

#[test]
fn aead_gives_the_example_of_rfc_8439() {
    // Section 2.8.2.
    let key = secret("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    let nonce = bytes("070000004041424344454647").try_into().unwrap();
    let aad = bytes("50515253c0c1c2c3c4c5c6c7");
    let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
                  the future, sunscreen would be it.";
    let sealed = RustCrypto.aead_seal(&key, &nonce, &aad, plain);
    let (cipher, tag) = sealed.split_at(plain.len());
    assert_eq!(hex(&cipher[..16]), "d31a8d34648e60db7b86afbc53ef7ec2");
    assert_eq!(hex(tag), "1ae10b594f09e26a7e902ecbd0600691");
    assert_eq!(
        RustCrypto.aead_open(&key, &nonce, &aad, &sealed).unwrap(),
        plain
    );
}

#[test]
fn ed25519_gives_the_examples_of_rfc_8032() {
    // Section 7.1, tests 1 to 3.
    for (seed, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac\
             c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e\
             458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290\
             ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let (seed, message) = (secret(seed), bytes(message));
        assert_eq!(hex(&RustCrypto.ed25519_public(&seed)), public);
        assert_eq!(hex(&RustCrypto.ed25519_sign(&seed, &message)), signature);
    }
}

#[test]
fn ed25519_refuses_small_order_keys() {
    // With the neutral element as key, R = S·B is a signature of every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    assert!(!RustCrypto.ed25519_verify(&neutral, b"any", &signature));
}

/// RFC 6979 has no vectors with additional data (section 3.6), so `k` is computed here a second time
/// and `r` must be the x of `k·G`; the computation itself is held against appendix A.2.5.
#[test]
fn p256_nonces_are_those_of_rfc_6979_with_additional_data() {
    let key = secret("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    for (message, k) in [
        (
            "sample",
            "a6e3c57dd01abe90086538398355dd4c3b17aa873382b0f24d6129493d8aad60",
        ),
        (
            "test",
            "d16b6ae827f17175e040871a1c7ec3500192c4c92677336ec2537acaee0008e0",
        ),
    ] {
        assert_eq!(hex(rfc_6979(&key, message.as_bytes(), &[]).expose()), k);
    }

    let mut seen = Vec::new();
    for extra in [[0; 32], [1; 32], [0xff; 32]] {
        for message in [&b"sample"[..], b"test", b""] {
            let signature = RustCrypto.p256_sign(&key, message, &extra).unwrap();
            let k = rfc_6979(&key, message, &extra);
            // An x above the order has probability 2^-32, and these are fixed.
            assert_eq!(signature[..32], RustCrypto.p256_public(&k).unwrap()[1..33]);
            assert!(!seen.contains(&signature), "a nonce came twice");
            seen.push(signature);
        }
    }
}

#[test]
fn p256_public_keys_are_those_of_rfc_6979() {
    let key = secret("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    let expected = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                    7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
    assert_eq!(hex(&RustCrypto.p256_public(&key).unwrap()), expected);
}

#[test]
fn p256_public_keys_are_validated() {
    let good = RustCrypto.p256_public(&Secret::new([1; 32])).unwrap();
    assert!(RustCrypto.p256_valid(&good));
    let mut off_curve = good;
    off_curve[64] ^= 1;
    // x = p + 5 is the same field element as 5, which is the x of a point.
    let mut unreduced = [0; 65];
    let point = "04ffffffff00000001000000000000000000000001000000000000000000000004\
                 459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc";
    unreduced.copy_from_slice(&bytes(point));
    let mut compressed_tag = good;
    compressed_tag[0] = 0x02;
    let mut compact_tag = good;
    compact_tag[0] = 0x05;
    for bad in [
        off_curve,
        unreduced,
        compressed_tag,
        compact_tag,
        [0; 65],
        [0xff; 65],
    ] {
        assert!(!RustCrypto.p256_valid(&bad), "{}", hex(&bad));
        assert!(!RustCrypto.p256_verify(&bad, b"", &[1; 64]));
    }
}

#[test]
fn wycheproof_agrees_on_every_ecdsa_p256_vector() {
    use wycheproof::ecdsa::{TestName, TestSet};

    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut checked = 0;
    for group in &set.test_groups {
        let public: [u8; 65] = group.key.key.to_vec().try_into().unwrap();
        for test in &group.tests {
            let signature: Result<[u8; 64], _> = test.sig.to_vec().try_into();
            let verified = signature.is_ok_and(|s| RustCrypto.p256_verify(&public, &test.msg, &s));
            assert_eq!(
                verified,
                test.result == TestResult::Valid,
                "P1363 {}",
                test.tc_id
            );
            checked += 1;
        }
    }
    assert!(checked >= 252, "{checked} vectors only");

    let set = TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap();
    let mut checked = 0;
    for group in &set.test_groups {
        let public: [u8; 65] = group.key.key.to_vec().try_into().unwrap();
        for test in &group.tests {
            let verified = p256::ecdsa::Signature::from_der(&test.sig).is_ok_and(|signature| {
                RustCrypto.p256_verify(&public, &test.msg, &signature.to_bytes().into())
            });
            assert_eq!(
                verified,
                test.result == TestResult::Valid,
                "DER {}",
                test.tc_id
            );
            checked += 1;
        }
    }
    assert!(checked >= 471, "{checked} vectors only");
}

#[test]
fn wycheproof_agrees_on_every_ed25519_vector() {
    use wycheproof::eddsa::{TestName, TestSet};

    let set = TestSet::load(TestName::Ed25519).unwrap();
    let mut checked = 0;
    for group in &set.test_groups {
        let public: [u8; 32] = group.key.pk.to_vec().try_into().unwrap();
        for test in &group.tests {
            let signature: Result<[u8; 64], _> = test.sig.to_vec().try_into();
            let verified =
                signature.is_ok_and(|s| RustCrypto.ed25519_verify(&public, &test.msg, &s));
            assert_eq!(verified, test.result == TestResult::Valid, "{}", test.tc_id);
            checked += 1;
        }
    }
    assert!(checked >= 140, "{checked} vectors only");
}

/// Expansion gives one block here, so longer outputs are compared in their first block, and
/// refused lengths cannot be asked for.
#[test]
fn wycheproof_agrees_on_every_hkdf_vector() {
    use wycheproof::hkdf::{TestName, TestSet};

    let set = TestSet::load(TestName::HkdfSha256).unwrap();
    let tests = set.test_groups.iter().flat_map(|group| &group.tests);
    let mut checked = 0;
    for test in tests.filter(|test| test.result == TestResult::Valid) {
        let prk = RustCrypto.hkdf_extract(&test.salt, &[&test.ikm]);
        let okm = RustCrypto.hkdf_expand(&prk, &test.info);
        let len = test.okm.len().min(32);
        assert_eq!(okm.expose()[..len], test.okm[..len], "{}", test.tc_id);
        checked += 1;
    }
    assert!(checked >= 80, "{checked} vectors only");
}

#[test]
fn wycheproof_agrees_on_every_hmac_vector() {
    use wycheproof::mac::{TestName, TestSet};

    let set = TestSet::load(TestName::HmacSha256).unwrap();
    let mut checked = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let mac = RustCrypto.hmac_sha256(&test.key, &[&test.msg]);
            let same = mac[..group.tag_size / 8] == test.tag[..];
            assert_eq!(same, test.result == TestResult::Valid, "{}", test.tc_id);
            checked += 1;
        }
    }
    assert!(checked >= 170, "{checked} vectors only");
}

#[test]
fn wycheproof_agrees_on_every_chacha20_poly1305_vector() {
    use wycheproof::aead::{TestName, TestSet};

    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    let mut checked = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            // Other lengths of nonces are wrong by type.
            let Ok(nonce) = test.nonce.to_vec().try_into() else {
                assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                continue;
            };
            let key = Secret::new(test.key.to_vec().try_into().unwrap());
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = RustCrypto.aead_open(&key, &nonce, &test.aad, &sealed);
            if test.result == TestResult::Valid {
                assert_eq!(opened.as_deref(), Some(&test.pt[..]), "{}", test.tc_id);
                assert_eq!(
                    RustCrypto.aead_seal(&key, &nonce, &test.aad, &test.pt),
                    sealed
                );
            } else {
                assert_eq!(opened, None, "{}", test.tc_id);
            }
            checked += 1;
        }
    }
    assert!(checked >= 290, "{checked} vectors only");
}

#[test]
fn only_the_real_provider_promises_security() {
    assert_eq!(RustCrypto.security(), Security::Real);
    assert_eq!(Insecure.security(), Security::None);
}

#[test]
fn a_scalar_that_is_zero_or_not_reduced_is_no_key() {
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let last = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550";
    for crypto in BOTH {
        for bad in [Secret::new([0; 32]), secret(order), Secret::new([0xff; 32])] {
            assert!(crypto.p256_public(&bad).is_none());
            assert!(crypto.p256_sign(&bad, b"", &[0; 32]).is_none());
        }
        assert!(crypto.p256_public(&secret(last)).is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_signed_verifies_and_nothing_else(
        seed: [u8; 32], other: [u8; 32], extra: [u8; 32],
        message: Vec<u8>, flip in 0usize..512,
    ) {
        prop_assume!(seed != other);
        let (seed, other) = (Secret::new(seed), Secret::new(other));
        let longer = [&message[..], &[0]].concat();
        for crypto in BOTH {
            let public = crypto.ed25519_public(&seed);
            let signature = crypto.ed25519_sign(&seed, &message);
            prop_assert!(crypto.ed25519_verify(&public, &message, &signature));
            prop_assert!(!crypto.ed25519_verify(&public, &longer, &signature));
            prop_assert!(!crypto.ed25519_verify(&public, &message, &flipped(signature, flip)));
            let stranger = crypto.ed25519_public(&other);
            prop_assert!(!crypto.ed25519_verify(&stranger, &message, &signature));

            let (Some(public), Some(stranger)) =
                (crypto.p256_public(&seed), crypto.p256_public(&other)) else { continue };
            prop_assert!(crypto.p256_valid(&public));
            let signature = crypto.p256_sign(&seed, &message, &extra).unwrap();
            prop_assert!(signature[32] < 0x80, "s is in the upper half");
            prop_assert!(crypto.p256_verify(&public, &message, &signature));
            prop_assert!(!crypto.p256_verify(&public, &longer, &signature));
            prop_assert!(!crypto.p256_verify(&public, &message, &flipped(signature, flip)));
            prop_assert!(!crypto.p256_verify(&stranger, &message, &signature));
        }
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_else(
        key: [u8; 32], nonce: [u8; 12], aad: Vec<u8>, plain: Vec<u8>, flip: usize,
    ) {
        let key = Secret::new(key);
        let longer = [&aad[..], &[0]].concat();
        for crypto in BOTH {
            let sealed = crypto.aead_seal(&key, &nonce, &aad, &plain);
            prop_assert_eq!(sealed.len(), plain.len() + 16);
            let opened = crypto.aead_open(&key, &nonce, &aad, &sealed);
            prop_assert_eq!(opened.as_ref(), Some(&plain));
            prop_assert_eq!(crypto.aead_open(&key, &nonce, &longer, &sealed), None);
            prop_assert_eq!(crypto.aead_open(&key, &flipped(nonce, flip), &aad, &sealed), None);
            let mut changed = sealed.clone();
            changed[flip / 8 % sealed.len()] ^= 1 << (flip % 8);
            prop_assert_eq!(crypto.aead_open(&key, &nonce, &aad, &changed), None);
            prop_assert_eq!(crypto.aead_open(&key, &nonce, &aad, &sealed[1..]), None);
            prop_assert_eq!(crypto.aead_open(&key, &nonce, &aad, &[]), None);
        }
    }

    #[test]
    fn hashes_depend_on_the_bytes_and_not_on_the_cuts(
        bytes in proptest::collection::vec(any::<u8>(), 1..80), cut: usize, flip: usize,
    ) {
        let (head, tail) = bytes.split_at(cut % bytes.len());
        let mut other = bytes.clone();
        other[flip / 8 % bytes.len()] ^= 1 << (flip % 8);
        for crypto in BOTH {
            prop_assert_eq!(crypto.sha256(&[&bytes]), crypto.sha256(&[head, tail]));
            prop_assert_ne!(crypto.sha256(&[&bytes]), crypto.sha256(&[&other]));
            let mac = crypto.hmac_sha256(b"key", &[&bytes]);
            prop_assert_eq!(mac, crypto.hmac_sha256(b"key", &[head, tail]));
            prop_assert_ne!(mac, crypto.hmac_sha256(b"kez", &[&bytes]));
            let extracted = crypto.hkdf_extract(b"salt", &[&bytes]);
            let again = crypto.hkdf_extract(b"salt", &[head, tail]);
            prop_assert_eq!(extracted.expose(), again.expose());
            prop_assert!(crypto.equal(&bytes, &bytes.clone()));
            prop_assert!(!crypto.equal(&bytes, &other));
            prop_assert!(!crypto.equal(&bytes, head));
        }
    }
}

/// `k` of RFC 6979 sections 3.2 and 3.6 for P-256 and SHA-256.
fn rfc_6979(key: &Secret<32>, message: &[u8], extra: &[u8]) -> Secret<32> {
    let x = key.expose();
    // bits2octets: these hashes are below the order.
    let hash = RustCrypto.sha256(&[message]);
    let hmac = |k: &[u8; 32], parts: &[&[u8]]| RustCrypto.hmac_sha256(k, parts);
    let (mut k, mut v) = ([0; 32], [1; 32]);
    for separator in [0, 1] {
        k = hmac(&k, &[&v, &[separator], x, &hash, extra]);
        v = hmac(&k, &[&v]);
    }
    // The first candidate is in range for everything tested here; a wrong one would show.
    Secret::new(hmac(&k, &[&v]))
}

fn flipped<const N: usize>(mut bytes: [u8; N], bit: usize) -> [u8; N] {
    bytes[bit / 8 % N] ^= 1 << (bit % 8);
    bytes
}

fn secret(hex: &str) -> Secret<32> {
    Secret::new(bytes(hex).try_into().unwrap())
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|p| u8::from_str_radix(core::str::from_utf8(p).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const BOTH: [&dyn Crypto; 2] = [&RustCrypto, &Insecure];
