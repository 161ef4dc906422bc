//! Wycheproof's vectors for every primitive of the machine, in the guest: natively, compiled by Cranelift, and
//! interpreted by Pulley. The three results are the same bytes, and right.
//!
//! The guest is `guest-crypto.wasm`, built beside the component by the same compiler with the same flags and profile
//! (`guest/build/component.sh`); the engines have the hosts' own settings.
//!
//! What a vector asks for that the trait `Crypto` cannot be asked is refused by its types, and checked as such here:
//! signatures and nonces of other lengths, HKDF output beyond one block (compared in its first 32 bytes). The machine
//! signs and verifies `r ‖ s`; DER stands in certificate requests only, so the DER vectors go through the reader that
//! HQ checks requests with, and then through the same verification.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use otscert_component::{Limits, engine_config};
use otscert_guest_crypto::{Primitive, run};
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{Engine, Store, StoreLimits};
use wycheproof::TestResult;

use crate::component::beside;

#[test]
fn wycheproof_holds_in_the_guest_on_both_engines_as_natively() -> anyhow::Result<()> {
    let cases = cases()?;
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut engines = [
        Guest::new("Cranelift", None)?,
        Guest::new("Pulley", Some("pulley64"))?,
    ];
    for case in &cases {
        let what = || format!("{} {}", case.suite, case.id);
        let native = run(case.primitive, &case.arguments).ok();
        for engine in &mut engines {
            let got = engine
                .run(case.primitive, &case.arguments)
                .with_context(what)?;
            ensure!(
                got == native,
                "{}: {} gives {got:?}, native {native:?}",
                what(),
                engine.name
            );
        }
        let right = match &case.expected {
            Expected::Begins(bytes) => native.is_some_and(|got| got.starts_with(bytes)),
            Expected::BeginsOtherwise(bytes) => native.is_some_and(|got| !got.starts_with(bytes)),
            Expected::Unusable => native.is_none(),
        };
        ensure!(right, "{}: the result is not the vector's", what());
        let count = counts.entry(case.suite).or_default();
        count.all += 1;
        count.refused += usize::from(case.refused);
    }
    for (suite, least, refused) in KNOWN {
        let count = counts.get(suite).copied().unwrap_or_default();
        println!(
            "{suite}: {} vectors, {} of them to be refused; native, Cranelift and Pulley alike",
            count.all, count.refused
        );
        ensure!(
            count.all >= least && count.refused >= refused,
            "{suite}: {} vectors, {} to be refused; there are {least} and {refused} at least",
            count.all,
            count.refused
        );
    }
    ensure!(counts.len() == KNOWN.len(), "{:?}", counts.keys());
    let tried: Vec<_> = Primitive::ALL
        .into_iter()
        .filter(|primitive| !cases.iter().any(|case| case.primitive == *primitive))
        .collect();
    ensure!(tried.is_empty(), "no vector for {tried:?}");
    Ok(())
}

/// One question with its answer.
struct Case {
    suite: &'static str,
    id: usize,
    primitive: Primitive,
    arguments: Vec<Vec<u8>>,
    expected: Expected,
    /// Whether the vector says that it must not pass.
    refused: bool,
}

enum Expected {
    /// The result begins so.
    Begins(Vec<u8>),
    /// There is a result, and it begins in another way.
    BeginsOtherwise(Vec<u8>),
    /// The trait cannot be asked that.
    Unusable,
}

#[derive(Clone, Copy, Default)]
struct Count {
    all: usize,
    refused: usize,
}

/// Suites with the number of their vectors, and of those that must be refused, in the version of Wycheproof that was
/// first tried here; a later one may have more.
const KNOWN: [(&str, usize, usize); 9] = [
    (ECDSA_P1363, 262, 89),
    (ECDSA_DER, 484, 310),
    (ED25519, 151, 63),
    (HKDF, 86, 3),
    (HMAC, 174, 108),
    (AEAD_OPEN, 325, 69),
    (AEAD_SEAL, 256, 0),
    (SIGNATURES, 302, 0),
    (MADE, 906, 0),
];

fn cases() -> anyhow::Result<Vec<Case>> {
    let mut cases = ecdsa()?;
    cases.extend(ed25519()?);
    cases.extend(hkdf()?);
    cases.extend(hmac()?);
    cases.extend(aead()?);
    cases.extend(made_here(&cases)?);
    Ok(cases)
}

fn ecdsa() -> anyhow::Result<Vec<Case>> {
    use wycheproof::ecdsa::{TestName, TestSet};

    let mut cases = Vec::new();
    for (suite, name, primitive) in [
        (
            ECDSA_P1363,
            TestName::EcdsaSecp256r1Sha256P1363,
            Primitive::P256Verify,
        ),
        (
            ECDSA_DER,
            TestName::EcdsaSecp256r1Sha256,
            Primitive::P256VerifyDer,
        ),
    ] {
        let set = TestSet::load(name).map_err(unread)?;
        for group in &set.test_groups {
            for test in &group.tests {
                let expressible = primitive == Primitive::P256VerifyDer || test.sig.len() == 64;
                cases.push(Case {
                    suite,
                    id: test.tc_id,
                    primitive,
                    arguments: vec![group.key.key.to_vec(), test.msg.to_vec(), test.sig.to_vec()],
                    expected: verdict(expressible, test.result),
                    refused: test.result != TestResult::Valid,
                });
            }
        }
    }
    Ok(cases)
}

fn ed25519() -> anyhow::Result<Vec<Case>> {
    use wycheproof::eddsa::{TestName, TestSet};

    let set = TestSet::load(TestName::Ed25519).map_err(unread)?;
    let groups = set.test_groups.iter();
    let cases = groups.flat_map(|group| {
        group.tests.iter().map(|test| Case {
            suite: ED25519,
            id: test.tc_id,
            primitive: Primitive::Ed25519Verify,
            arguments: vec![group.key.pk.to_vec(), test.msg.to_vec(), test.sig.to_vec()],
            expected: verdict(test.sig.len() == 64, test.result),
            refused: test.result != TestResult::Valid,
        })
    });
    Ok(cases.collect())
}

fn hkdf() -> anyhow::Result<Vec<Case>> {
    use wycheproof::hkdf::{TestName, TestSet};

    let set = TestSet::load(TestName::HkdfSha256).map_err(unread)?;
    let tests = set.test_groups.iter().flat_map(|group| &group.tests);
    let cases = tests.map(|test| {
        let valid = test.result == TestResult::Valid;
        ensure!(
            valid || test.size > 255 * 32,
            "HKDF {}: refused for another reason",
            test.tc_id
        );
        Ok(Case {
            suite: HKDF,
            id: test.tc_id,
            primitive: Primitive::HkdfSha256,
            arguments: vec![test.salt.to_vec(), test.ikm.to_vec(), test.info.to_vec()],
            // Refused are outputs of more than 255 blocks and nothing else; a block cannot be too long.
            expected: match valid {
                true => Expected::Begins(test.okm[..test.okm.len().min(32)].to_vec()),
                false => Expected::Begins(Vec::new()),
            },
            refused: !valid,
        })
    });
    cases.collect()
}

fn hmac() -> anyhow::Result<Vec<Case>> {
    use wycheproof::mac::{TestName, TestSet};

    let set = TestSet::load(TestName::HmacSha256).map_err(unread)?;
    let groups = set.test_groups.iter();
    let cases = groups.flat_map(|group| {
        group.tests.iter().map(|test| {
            let valid = test.result == TestResult::Valid;
            let tag = test.tag.to_vec();
            Case {
                suite: HMAC,
                id: test.tc_id,
                primitive: Primitive::HmacSha256,
                arguments: vec![test.key.to_vec(), test.msg.to_vec()],
                expected: match valid {
                    true => Expected::Begins(tag),
                    false => Expected::BeginsOtherwise(tag),
                },
                refused: !valid,
            }
        })
    });
    Ok(cases.collect())
}

fn aead() -> anyhow::Result<Vec<Case>> {
    use wycheproof::aead::{TestName, TestSet};

    let set = TestSet::load(TestName::ChaCha20Poly1305).map_err(unread)?;
    let mut cases = Vec::new();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let valid = test.result == TestResult::Valid;
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let question = |last: &[u8]| {
            vec![
                test.key.to_vec(),
                test.nonce.to_vec(),
                test.aad.to_vec(),
                last.to_vec(),
            ]
        };
        let case = |suite, primitive, last: &[u8], expected| Case {
            suite,
            id: test.tc_id,
            primitive,
            arguments: question(last),
            expected,
            refused: !valid,
        };
        let opened = match (valid, test.nonce.len()) {
            (true, _) => Expected::Begins([&[1], &test.pt[..]].concat()),
            (false, 12) => Expected::Begins(vec![0]),
            (false, _) => Expected::Unusable,
        };
        cases.push(case(AEAD_OPEN, Primitive::AeadOpen, &sealed, opened));
        if valid {
            let expected = Expected::Begins(sealed);
            cases.push(case(AEAD_SEAL, Primitive::AeadSeal, &test.pt, expected));
        }
    }
    Ok(cases)
}

/// Wycheproof has no vectors for making keys and signatures. So keys and messages are derived from its own, what is
/// made is made on all three, and what they made is verified on all three. The first known answers are those of
/// `guest/crypto/src/tests.rs`.
fn made_here(vectors: &[Case]) -> anyhow::Result<Vec<Case>> {
    let messages = vectors.iter().filter(|case| case.suite == ED25519);
    let messages: Vec<_> = messages.map(|case| (case.id, &case.arguments[1])).collect();
    let mut cases = Vec::new();
    for (id, message) in messages {
        let seed = run(
            Primitive::Sha256,
            &[[b"seed", &id.to_be_bytes()[..], message].concat()],
        )?;
        let extra = run(Primitive::Sha256, std::slice::from_ref(&seed))?;
        let mut made = |suite, primitive, arguments: Vec<Vec<u8>>, expected: Option<Vec<u8>>| {
            let native = run(primitive, &arguments)?;
            cases.push(Case {
                suite,
                id,
                primitive,
                arguments,
                expected: Expected::Begins(expected.unwrap_or_else(|| native.clone())),
                refused: false,
            });
            anyhow::Ok(native)
        };
        made(MADE, Primitive::Sha256, vec![message.clone()], None)?;
        made(MADE, Primitive::ChaCha20Stream, vec![seed.clone()], None)?;
        let public = made(MADE, Primitive::Ed25519Public, vec![seed.clone()], None)?;
        let asked = vec![seed.clone(), message.clone()];
        let signature = made(MADE, Primitive::Ed25519Sign, asked, None)?;
        let asked = vec![public, message.clone(), signature];
        made(SIGNATURES, Primitive::Ed25519Verify, asked, Some(vec![1]))?;
        // 1 stands before each: a key below the order of P-256, which all but 2^-32 of them are.
        let public = made(MADE, Primitive::P256Public, vec![seed.clone()], None)?;
        let asked = vec![seed, message.clone(), extra];
        let signature = made(MADE, Primitive::P256Sign, asked, None)?;
        ensure!(public.len() == 66 && signature.len() == 65, "no P-256 key");
        let asked = vec![
            public[1..].to_vec(),
            message.clone(),
            signature[1..].to_vec(),
        ];
        made(SIGNATURES, Primitive::P256Verify, asked, Some(vec![1]))?;
    }
    Ok(cases)
}

fn verdict(expressible: bool, result: TestResult) -> Expected {
    match (expressible, result) {
        (true, TestResult::Valid) => Expected::Begins(vec![1]),
        (true, TestResult::Invalid | TestResult::Acceptable) => Expected::Begins(vec![0]),
        (false, _) => Expected::Unusable,
    }
}

/// The primitives in an instance of the guest.
struct Guest {
    name: &'static str,
    store: Store<StoreLimits>,
    limits: Limits,
    run: Run,
}

type Run = TypedFunc<(String, Vec<Vec<u8>>), (Result<Vec<u8>, String>,)>;

impl Guest {
    fn new(name: &'static str, target: Option<&str>) -> anyhow::Result<Self> {
        let limits = Limits::default();
        let mut config = engine_config(&limits);
        if let Some(target) = target {
            any(config.target(target))?;
        }
        let engine = any(Engine::new(&config))?;
        ensure!(
            engine.is_pulley() == target.is_some(),
            "{name} is another engine than it should be"
        );
        let component = any(Component::from_file(&engine, beside("guest-crypto.wasm")?))?;
        let mut store = Store::new(&engine, limits.store_limits());
        store.limiter(|limits| limits);
        any(limits.refill(&mut store))?;
        // An empty linker: what imports anything does not start.
        let instance = any(Linker::new(&engine).instantiate(&mut store, &component))?;
        let run = any(instance.get_typed_func(&mut store, "run"))?;
        Ok(Self {
            name,
            store,
            limits,
            run,
        })
    }

    /// `None`: the trait cannot be asked that.
    fn run(
        &mut self,
        primitive: Primitive,
        arguments: &[Vec<u8>],
    ) -> anyhow::Result<Option<Vec<u8>>> {
        any(self.limits.refill(&mut self.store))?;
        let arguments = (primitive.name().to_owned(), arguments.to_vec());
        let (result,) = any(self.run.call(&mut self.store, arguments))?;
        Ok(result.ok())
    }
}

/// Wycheproof's errors cannot be sent to another thread, as anyhow wants them.
fn unread(error: wycheproof::WycheproofError) -> anyhow::Error {
    anyhow::anyhow!("loading Wycheproof's vectors: {error}")
}

/// Wasmtime's errors are of a kind of their own.
fn any<T>(result: wasmtime::Result<T>) -> anyhow::Result<T> {
    result.map_err(|error| anyhow::anyhow!("{error:?}"))
}

const ECDSA_P1363: &str = "ECDSA P-256 SHA-256, r ‖ s";
const ECDSA_DER: &str = "ECDSA P-256 SHA-256, DER";
const ED25519: &str = "Ed25519";
const HKDF: &str = "HKDF-SHA-256";
const HMAC: &str = "HMAC-SHA-256";
const AEAD_OPEN: &str = "ChaCha20-Poly1305, opened";
const AEAD_SEAL: &str = "ChaCha20-Poly1305, sealed";
const SIGNATURES: &str = "signatures made here, verified";
const MADE: &str = "keys, signatures, hashes and streams, as natively";
