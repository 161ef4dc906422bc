//! The generator behind a box's keys: when it is made anew, and that nothing of it comes twice.

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto as _, Secret};
use otscert_machine::entropy::generator::{MOST_P256_TRIES, RESEED_AFTER};
use otscert_machine::entropy::{Entropy, Generator, SampleError, SourceKind};
use std::collections::BTreeSet;

use super::entropy::{sample, source, start};

#[test]
fn a_source_that_recovers_makes_a_generator_unlike_the_one_before() {
    let system = source(1, SourceKind::System);
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &system, Ok(&sample(1)));
    let twin = entropy.clone();
    let before = entropy
        .ready(&RustCrypto, false)
        .unwrap()
        .bytes::<32>(&RustCrypto);
    let fault = SampleError::Unhealthy("self-test".to_string());
    entropy.sampled(&RustCrypto, &system, Err(fault));
    assert!(entropy.ready(&RustCrypto, false).is_none());
    assert!(entropy.waits_for().contains("self-test; it is tried again"));
    entropy.sampled(&RustCrypto, &system, Ok(&sample(1)));
    let after = entropy
        .ready(&RustCrypto, false)
        .unwrap()
        .bytes::<32>(&RustCrypto);
    assert_ne!(before, after);
    // The clone shows that the state, and nothing else, decides.
    let mut twin = twin;
    assert_eq!(
        twin.ready(&RustCrypto, false)
            .unwrap()
            .bytes::<32>(&RustCrypto),
        before
    );
}

#[test]
fn a_struck_source_leaves_no_output_behind_that_comes_again() {
    let (system, hardware) = (
        source(1, SourceKind::System),
        source(2, SourceKind::Hardware),
    );
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &system, Ok(&sample(1)));
    entropy.sampled(&RustCrypto, &hardware, Ok(&sample(2)));
    let before = entropy
        .ready(&RustCrypto, false)
        .unwrap()
        .bytes::<32>(&RustCrypto);
    // Nothing is mixed here, and the hardware keeps the grade.
    entropy.sampled(
        &RustCrypto,
        &system,
        Err(SampleError::Unhealthy(String::new())),
    );
    let after = entropy
        .ready(&RustCrypto, false)
        .unwrap()
        .bytes::<32>(&RustCrypto);
    assert_ne!(before, after);
}

#[test]
fn after_a_fault_the_generator_stands_on_everything_that_still_counts() {
    let (system, hardware) = (
        source(1, SourceKind::System),
        source(2, SourceKind::Hardware),
    );
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &system, Ok(&sample(1)));
    entropy.sampled(&RustCrypto, &hardware, Ok(&sample(2)[..8]));
    let _ = entropy
        .ready(&RustCrypto, false)
        .unwrap()
        .bytes::<32>(&RustCrypto);
    entropy.sampled(
        &RustCrypto,
        &system,
        Err(SampleError::Unhealthy(String::new())),
    );
    // The second half of the 128 bits is too small a batch for a generator that has given output.
    let output = |half: &[u8]| {
        let mut entropy = entropy.clone();
        entropy.sampled(&RustCrypto, &hardware, Ok(half));
        entropy
            .ready(&RustCrypto, false)
            .unwrap()
            .bytes::<32>(&RustCrypto)
    };
    assert_ne!(output(&sample(3)[..8]), output(&sample(4)[..8]));
}

#[test]
fn the_fault_of_a_source_that_counts_nothing_leaves_the_generator_alone() {
    let system = source(1, SourceKind::System);
    let jitter = source(2, SourceKind::Jitter);
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &system, Ok(&sample(1)));
    let mut twin = entropy.clone();
    let _ = entropy
        .ready(&RustCrypto, false)
        .unwrap()
        .bytes::<32>(&RustCrypto);
    let _ = twin
        .ready(&RustCrypto, false)
        .unwrap()
        .bytes::<32>(&RustCrypto);
    entropy.sampled(
        &RustCrypto,
        &jitter,
        Err(SampleError::Unhealthy(String::new())),
    );
    let next = |entropy: &mut Entropy| {
        entropy
            .ready(&RustCrypto, false)
            .unwrap()
            .bytes::<32>(&RustCrypto)
    };
    assert_eq!(next(&mut entropy), next(&mut twin));
}

#[test]
fn small_additions_do_not_go_into_a_generator_that_has_given_output() {
    let (system, hardware) = (
        source(1, SourceKind::System),
        source(2, SourceKind::Hardware),
    );
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &system, Ok(&sample(1)));
    let _ = entropy
        .ready(&RustCrypto, false)
        .unwrap()
        .bytes::<32>(&RustCrypto);
    let mut twin = entropy.clone();
    let next = |entropy: &mut Entropy| {
        entropy
            .ready(&RustCrypto, false)
            .unwrap()
            .bytes::<32>(&RustCrypto)
    };
    entropy.sampled(&RustCrypto, &hardware, Ok(&sample(9)[..8]));
    assert_eq!(next(&mut entropy), next(&mut twin), "64 bits wait");
    entropy.sampled(&RustCrypto, &hardware, Ok(&sample(9)[8..16]));
    assert_ne!(next(&mut entropy), next(&mut twin), "128 bits go in");
}

#[test]
fn a_generator_wants_a_new_seed_after_a_mebibyte() {
    let system = source(1, SourceKind::System);
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &system, Ok(&sample(1)));
    let generator = entropy.ready(&RustCrypto, false).unwrap();
    let mut bytes = vec![0; RESEED_AFTER as usize - 1];
    generator.fill(&RustCrypto, &mut bytes);
    assert_eq!(entropy.wants(std::slice::from_ref(&system)), []);
    let generator = entropy.ready(&RustCrypto, false).unwrap();
    let _: [u8; 1] = generator.bytes(&RustCrypto);
    assert_eq!(entropy.wants(std::slice::from_ref(&system)).len(), 1);
    entropy.sampled(&RustCrypto, &system, Ok(&sample(2)));
    assert!(!entropy.ready(&RustCrypto, false).unwrap().wants_reseed());
    assert_eq!(entropy.wants(&[system]), []);
}

#[test]
fn the_first_bytes_of_a_request_become_the_next_key() {
    let mut generator = Generator::from_seed(&RustCrypto, &Secret::new([1; 32]));
    let extracted = RustCrypto.hkdf_extract(b"otscert seed v1", &[&[1; 32]]);
    let mut key = RustCrypto.hkdf_expand(&extracted, b"otscert drbg v1");
    for _ in 0..3 {
        let mut stream = [0; 32 + 100];
        RustCrypto.chacha20_stream(&key, &mut stream);
        assert_eq!(generator.bytes::<100>(&RustCrypto), stream[32..]);
        key = Secret::new(stream[..32].try_into().unwrap());
    }
}

#[test]
fn keys_and_derivations_never_come_twice() {
    let mut generator = Generator::from_seed(&RustCrypto, &Secret::new([1; 32]));
    let mut seen = BTreeSet::new();
    for _ in 0..16 {
        assert!(seen.insert(*generator.derive(&RustCrypto, b"same").expose()));
        assert!(seen.insert(*generator.secret(&RustCrypto).expose()));
        let (secret, public) = generator.p256_key(&RustCrypto).unwrap();
        assert!(seen.insert(*secret.expose()));
        assert_eq!(RustCrypto.p256_public(&secret).unwrap(), public);
    }
    let same = || Generator::from_seed(&RustCrypto, &Secret::new([1; 32]));
    let derived = |context: &[u8]| *same().derive(&RustCrypto, context).expose();
    assert_eq!(derived(b"a"), derived(b"a"));
    assert_ne!(derived(b"a"), derived(b"b"));
    let mut reseeded = same();
    reseeded.reseed(&RustCrypto, &Secret::new([2; 32]));
    assert_ne!(
        reseeded.bytes::<32>(&RustCrypto),
        same().bytes::<32>(&RustCrypto)
    );
    assert_eq!(MOST_P256_TRIES, 64);
}
