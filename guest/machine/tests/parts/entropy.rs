//! What randomness counts, and that nothing comes out before it is enough.

use std::collections::BTreeSet;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto as _, Secret};
use otscert_machine::entropy::{
    Bits, Class, Credit, Entropy, Generator, Grade, Ledger, MAX_SOURCES, MOST_FAULTS, SampleError,
    Source, SourceId, SourceKind, SourceState,
};
use otscert_machine::factory::ClaimCode;
use proptest::prelude::*;

#[test]
fn the_operating_system_alone_makes_grade_a() {
    let system = source(1, SourceKind::System);
    let mut entropy = start();
    assert_eq!(
        entropy.wants(std::slice::from_ref(&system)),
        [(SourceId::new(1), 64)]
    );
    assert!(entropy.ready(&RustCrypto, true).is_none());
    entropy.sampled(&RustCrypto, &system, Ok(&sample(1)));
    assert_eq!(entropy.grade(), Grade::A);
    assert!(entropy.ready(&RustCrypto, false).is_some());
    assert_eq!(entropy.wants(&[system]), []);
}

#[test]
fn each_grade_has_a_letter_and_says_something_else_to_owners_and_operators() {
    let grades = [Grade::A, Grade::B, Grade::C, Grade::D];
    let letters: String = grades.iter().map(|grade| grade.letter()).collect();
    assert_eq!(letters, "ABCD");
    let said: BTreeSet<&str> = grades
        .iter()
        .flat_map(|grade| [grade.sentence(), grade.sentence_for_operators()])
        .collect();
    assert_eq!(said.len(), 8);
    let secret = otscert_machine::crypto::SecretBytes::new(vec![77; 4]);
    assert_eq!(format!("{secret:?}"), "SecretBytes(4 bytes, redacted)");
    assert_eq!(SourceId::new(7).number(), 7);
}

#[test]
fn what_does_not_come_from_sources_of_the_host_counts_nothing_as_one() {
    use SourceKind::{Companion, Label, Personal, RemoteSeed, SavedSeed, UnitSecret};
    let kinds = [
        Companion, Label, Personal, RemoteSeed, SavedSeed, UnitSecret,
    ];
    let mut entropy = start();
    let mut sources = Vec::new();
    for (id, kind) in kinds.into_iter().enumerate() {
        let source = source(id as u32, kind);
        entropy.sampled(&RustCrypto, &source, Ok(&sample(id as u8)));
        sources.push(source);
    }
    assert_eq!(entropy.grade(), Grade::D);
    assert!(entropy.ready(&RustCrypto, true).is_none());
    assert_eq!(
        entropy.wants(&sources),
        [],
        "once is enough for what counts nothing"
    );
    assert!(entropy.waits_for().contains("lists no source that counts"));
}

/// Against whom each thing counts that the machine has by itself, in the order S, N, A, H, L, W.
#[test]
fn what_the_machine_has_by_itself_counts_against_those_who_cannot_know_it() {
    let bits = |entropy: &Entropy| {
        let uniform = entropy.report().uniform;
        Class::ALL.map(|class| uniform.of(class))
    };
    let mut entropy = start();
    let code = ClaimCode::draw(&[1; 16]).expect("its check symbol is a digit");
    entropy.label(&RustCrypto, &code);
    let after_80_bits = "HQ issued it, and whoever has seen the label knows it";
    assert_eq!(bits(&entropy), [80, 80, 80, 0, 0, 80], "{after_80_bits}");
    assert_eq!(entropy.grade(), Grade::D, "80 bits are too few for a key");

    let mut entropy = start();
    let long = (0..).find_map(|n| ClaimCode::draw_long(&[n; 26])).unwrap();
    entropy.label(&RustCrypto, &long);
    assert_eq!(bits(&entropy), [130, 130, 130, 0, 0, 130]);
    assert_eq!(entropy.grade(), Grade::B);

    let mut entropy = start();
    entropy.unit_secret(&RustCrypto, &[7; 16]);
    assert_eq!(
        bits(&entropy),
        [128, 128, 128, 0, 128, 128],
        "HQ can compute it"
    );
    assert_eq!(entropy.grade(), Grade::B);
    entropy.unit_secret(&RustCrypto, &[8; 16]);
    assert_eq!(bits(&entropy)[0], 128, "a second one adds nothing");

    let mut entropy = start();
    entropy.unit_secret(&RustCrypto, &[7; 15]);
    assert_eq!(entropy.grade(), Grade::D, "120 bits are too few");

    let mut entropy = start();
    entropy.companion(&RustCrypto, &[9; 32], false);
    assert_eq!(
        bits(&entropy),
        [256, 256, 256, 256, 256, 0],
        "the LAN may listen"
    );
    assert_eq!(entropy.grade(), Grade::A);
    entropy.companion(&RustCrypto, &[9; 32], true);
    assert_eq!(bits(&entropy), [256; 6]);
}

#[test]
fn button_presses_count_a_bit_each_by_a_fine_clock_and_never_enough_alone() {
    for (step, presses, expected) in [
        (1_000_000, 5, 5),
        (1_000_001, 5, 0),
        (0, 5, 0),
        (1, 400, 64),
    ] {
        let mut timing = source(1, SourceKind::UserTiming);
        timing.observed_step_ns = step;
        let mut entropy = start();
        entropy.sampled(&RustCrypto, &timing, Ok(&vec![1; presses * 4]));
        assert_eq!(
            entropy.report().noise.of(Class::Hq),
            expected,
            "{presses} in steps of {step} ns"
        );
        assert_eq!(entropy.grade(), Grade::D);
        // More presses are wanted until they count all that they can.
        let wanted = entropy.wants(std::slice::from_ref(&timing));
        assert_eq!(wanted.is_empty(), expected == 64, "{wanted:?}");
    }
}

#[test]
fn every_input_changes_the_output() {
    let kinds = [
        SourceKind::Companion,
        SourceKind::Jitter,
        SourceKind::Personal,
        SourceKind::UnitSecret,
    ];
    let output = |extra: Option<SourceKind>, hq: bool, mixed: &str, personal: &[u8]| {
        let mut entropy = Entropy::new(&RustCrypto, personal);
        if let Some(kind) = extra {
            entropy.sampled(&RustCrypto, &source(2, kind), Ok(&[1, 2, 3]));
        }
        if hq {
            entropy.remote_seed(&RustCrypto, &[5; 32], &[Class::Sibling]);
        }
        entropy.mix_only(&RustCrypto, mixed, b"data");
        entropy.sampled(&RustCrypto, &source(1, SourceKind::System), Ok(&sample(1)));
        entropy
            .ready(&RustCrypto, false)
            .unwrap()
            .bytes::<32>(&RustCrypto)
    };
    let mut outputs = BTreeSet::from([
        output(None, false, "tag", b"mac"),
        output(None, true, "tag", b"mac"),
        output(None, false, "tag", b"other mac"),
        output(None, false, "tagd", b"mac"),
        output(None, false, "", b"mac"),
    ]);
    outputs.extend(kinds.map(|kind| output(Some(kind), false, "tag", b"mac")));
    assert_eq!(outputs.len(), 5 + kinds.len());
    assert_eq!(
        output(None, false, "tag", b"mac"),
        output(None, false, "tag", b"mac")
    );
}

#[test]
fn a_seed_of_hq_counts_against_siblings_only() {
    let mut entropy = start();
    entropy.remote_seed(&RustCrypto, &[1; 32], &[Class::Sibling]);
    entropy.remote_seed(&RustCrypto, &[2; 32], &[Class::Sibling]);
    assert_eq!(entropy.grade(), Grade::C);
    let report = entropy.report();
    assert_eq!(report.uniform, Bits::against(Class::Sibling, 256));
    assert!(entropy.ready(&RustCrypto, true).is_none());
}

#[test]
fn a_short_answer_counts_for_what_it_is() {
    let hardware = source(1, SourceKind::Hardware);
    let mut entropy = start();
    for byte in 0..2 {
        entropy.sampled(&RustCrypto, &hardware, Ok(&sample(byte)[..8]));
    }
    // 128 bits in all.
    assert_eq!(entropy.grade(), Grade::A);
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &hardware, Ok(&sample(0)[..15]));
    assert_eq!(entropy.grade(), Grade::D);
    assert_eq!(entropy.wants(std::slice::from_ref(&hardware)).len(), 1);
    assert!(entropy.waits_for().contains("it gave too little so far"));
    entropy.sampled(&RustCrypto, &hardware, Ok(&[]));
    assert_eq!(entropy.grade(), Grade::D);
}

#[test]
fn a_generator_that_repeats_itself_is_struck_and_given_up_after_three_times() {
    for kind in [SourceKind::System, SourceKind::Hardware] {
        let stuck = source(1, kind);
        let repeated = [&sample(7)[..32], &sample(7)[..32]].concat();
        let mut entropy = start();
        for fault in 1..=MOST_FAULTS {
            assert_eq!(
                entropy.wants(std::slice::from_ref(&stuck)).len(),
                1,
                "before {fault}"
            );
            entropy.sampled(&RustCrypto, &stuck, Ok(&repeated));
            assert_eq!(entropy.grade(), Grade::D);
            assert!(entropy.ready(&RustCrypto, true).is_none());
        }
        assert_eq!(entropy.wants(std::slice::from_ref(&stuck)), []);
        let reason = "it gave the same 32 bytes twice in a row".to_string();
        assert_eq!(entropy.report().sources[0].2, SourceState::GivenUp(reason));
        assert!(entropy.waits_for().contains("is not used until restart"));
    }
}

#[test]
fn equal_blocks_are_noticed_across_samples() {
    let system = source(1, SourceKind::System);
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &system, Ok(&sample(7)[..20]));
    entropy.sampled(&RustCrypto, &system, Ok(&sample(7)[20..32]));
    assert_eq!(entropy.grade(), Grade::A);
    entropy.sampled(&RustCrypto, &system, Ok(&sample(7)[..32]));
    assert_eq!(entropy.grade(), Grade::D);
}

#[test]
fn hardware_with_a_stuck_byte_is_struck() {
    let hardware = source(1, SourceKind::Hardware);
    let mut bytes = sample(3);
    bytes[10..16].fill(0);
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &hardware, Ok(&bytes));
    assert_eq!(entropy.grade(), Grade::D);
    let SourceState::Faulty(reason) = &entropy.report().sources[0].2 else {
        panic!()
    };
    assert_eq!(reason, "it gave the same byte 6 times in a row");

    // Every eighth byte the same: never in a row, but far too often.
    let mut bytes: Vec<u8> = (0..16).flat_map(sample).collect();
    bytes.iter_mut().step_by(8).for_each(|byte| *byte = 0);
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &hardware, Ok(&bytes));
    let SourceState::Faulty(reason) = &entropy.report().sources[0].2 else {
        panic!()
    };
    assert!(reason.starts_with("it gave the same byte") && reason.ends_with("among 512"));
}

#[test]
fn a_healthy_generator_passes_a_million_bytes() {
    let mut generator = Generator::from_seed(&RustCrypto, &Secret::new([1; 32]));
    let hardware = source(1, SourceKind::Hardware);
    let mut entropy = start();
    for _ in 0..256 {
        let mut bytes = [0; 4096];
        generator.fill(&RustCrypto, &mut bytes);
        entropy.sampled(&RustCrypto, &hardware, Ok(&bytes));
    }
    assert_eq!(entropy.report().sources[0].2, SourceState::Gave);
}

#[test]
fn a_number_that_changes_its_kind_is_no_source() {
    let mut entropy = start();
    entropy.sampled(&RustCrypto, &source(1, SourceKind::Personal), Ok(b"mac"));
    entropy.sampled(&RustCrypto, &source(1, SourceKind::System), Ok(&sample(1)));
    assert_eq!(entropy.grade(), Grade::D);
}

#[test]
fn more_sources_than_the_contract_allows_are_not_looked_at() {
    let all: Vec<Source> = (0..40).map(|id| source(id, SourceKind::System)).collect();
    let mut entropy = start();
    assert_eq!(entropy.wants(&all).len(), MAX_SOURCES);
    for source in &all {
        entropy.sampled(&RustCrypto, source, Err(SampleError::NotReady));
    }
    assert_eq!(entropy.report().sources.len(), MAX_SOURCES);
}

#[test]
fn what_is_not_ready_is_asked_again_and_named() {
    let system = source(1, SourceKind::System);
    let mut entropy = start();
    for error in [
        SampleError::NotReady,
        SampleError::NoSuchSource,
        SampleError::Other("bus error".to_string()),
    ] {
        let said = error.to_string();
        entropy.sampled(&RustCrypto, &system, Err(error));
        assert_eq!(entropy.wants(std::slice::from_ref(&system)).len(), 1);
        let text = format!(" Source source 1 (system): {said}.");
        assert!(
            entropy.waits_for().ends_with(&text),
            "{}",
            entropy.waits_for()
        );
    }
}

#[test]
fn families_count_once_and_add_up() {
    let mut ledger = Ledger::default();
    let mut add = |id, kind, family: &str, bits| {
        let source = Source {
            family: family.to_string(),
            ..source(id, kind)
        };
        ledger.add(&source, Credit::uniform(Bits::against_all(bits)));
        ledger.total().uniform.of(Class::Hq)
    };
    assert_eq!(add(1, SourceKind::System, "a", 100), 100);
    assert_eq!(
        add(2, SourceKind::Hardware, "b", 90),
        100,
        "they feed each other"
    );
    assert_eq!(add(3, SourceKind::Companion, "c", 20), 120);
    assert_eq!(add(4, SourceKind::Label, "c", 15), 120);
    assert_eq!(add(4, SourceKind::Label, "c", 15), 130);
    assert_eq!(
        add(1, SourceKind::System, "a", 60_000),
        286,
        "one source has 256 at most"
    );
    assert_eq!(ledger.grade(), Grade::A);
    ledger.strike(SourceId::new(1));
    assert_eq!(ledger.total().uniform.of(Class::Hq), 120);
    assert_eq!(ledger.grade(), Grade::D);
}

#[test]
fn the_grade_is_decided_per_class() {
    use Class::{Active, Hq, Recorder, Sibling};
    let grade = |met: &[Class], bits: u16, noise: u16| {
        let mut ledger = Ledger::default();
        for (id, class) in met.iter().enumerate() {
            let family = id.to_string();
            let source = Source {
                family,
                ..source(id as u32, SourceKind::Companion)
            };
            let credit = Credit {
                uniform: Bits::against(*class, bits),
                noise: Bits::against(*class, noise),
            };
            ledger.add(&source, credit);
        }
        ledger.grade()
    };
    for (bits, noise) in [(128, 0), (0, 256), (100, 156)] {
        assert_eq!(
            grade(&[Sibling, Recorder, Active, Hq], bits, noise),
            Grade::A
        );
        assert_eq!(grade(&[Sibling, Recorder, Active], bits, noise), Grade::B);
        assert_eq!(grade(&[Sibling, Recorder], bits, noise), Grade::C);
        assert_eq!(grade(&[Sibling, Active, Hq], bits, noise), Grade::C);
        assert_eq!(grade(&[Recorder, Active, Hq], bits, noise), Grade::D);
    }
    for (bits, noise) in [(127, 0), (0, 255), (127, 128)] {
        assert_eq!(
            grade(&[Sibling, Recorder, Active, Hq], bits, noise),
            Grade::D
        );
    }
    assert!(Grade::A > Grade::B && Grade::B > Grade::C && Grade::C > Grade::D);
}

#[test]
fn nothing_secret_prints() {
    let mut entropy = start();
    entropy.sampled(
        &RustCrypto,
        &source(1, SourceKind::System),
        Ok(&[0xabu8; 20]),
    );
    entropy.remote_seed(&RustCrypto, &[0xab; 32], &[Class::Sibling]);
    let _ = entropy
        .ready(&RustCrypto, false)
        .map(|g| g.secret(&RustCrypto));
    let printed = format!("{entropy:?}");
    assert!(printed.contains("redacted"));
    assert!(!printed.contains("171, 171"), "{printed}");
}

proptest! {
    /// I1 of the security note: whatever a host says, no output below the grade.
    #[test]
    fn nothing_comes_out_before_readiness(
        steps in proptest::collection::vec((0u32..6, any::<bool>(), 0usize..70, any::<u8>()), 0..40),
        hq_trusted: bool,
    ) {
        let kinds = [
            SourceKind::System, SourceKind::Hardware, SourceKind::Jitter,
            SourceKind::UnitSecret, SourceKind::Label, SourceKind::Personal,
        ];
        let mut entropy = start();
        for (id, healthy, len, byte) in steps {
            let source = source(id, kinds[id as usize]);
            let bytes = sample(byte);
            let outcome = if healthy {
                Ok(&bytes[..len.min(64)])
            } else {
                Err(SampleError::Unhealthy(String::new()))
            };
            entropy.sampled(&RustCrypto, &source, outcome);
            if len == 69 {
                entropy.remote_seed(&RustCrypto, &[byte; 32], &[Class::Sibling]);
            }
            let (grade, total) = (entropy.grade(), entropy.report().uniform);
            let ready = entropy.ready(&RustCrypto, hq_trusted).is_some();
            prop_assert_eq!(ready, grade == Grade::A || grade == Grade::B && hq_trusted);
            prop_assert!(!ready || total.of(Class::Hq) >= 128 || hq_trusted);
        }
    }

    #[test]
    fn the_pool_tells_apart_where_inputs_end(a: Vec<u8>, b: Vec<u8>, cut: usize) {
        let joined = [&a[..], &b[..]].concat();
        let (c, d) = joined.split_at(if joined.is_empty() { 0 } else { cut % joined.len() });
        let output = |first: &[u8], second: &[u8]| {
            let mut entropy = start();
            entropy.mix_only(&RustCrypto, "x", first);
            entropy.mix_only(&RustCrypto, "x", second);
            entropy.sampled(&RustCrypto, &source(1, SourceKind::System), Ok(&sample(1)));
            entropy.ready(&RustCrypto, false).unwrap().bytes::<32>(&RustCrypto)
        };
        prop_assert_eq!(output(&a, &b) == output(c, d), a == c);
    }
}

pub(crate) fn start() -> Entropy {
    Entropy::new(&RustCrypto, b"02:00:00:00:00:01")
}

pub(crate) fn source(id: u32, kind: SourceKind) -> Source {
    Source {
        id: SourceId::new(id),
        kind,
        family: format!("family {id}"),
        assessment: None,
        observed_step_ns: 0,
        label: format!("source {id}"),
    }
}

/// 64 bytes as a good generator gives them, another 64 for each number.
pub(crate) fn sample(number: u8) -> [u8; 64] {
    let mut bytes = [0; 64];
    let half = |n| RustCrypto.sha256(&[b"sample", &[number, n]]);
    bytes[..32].copy_from_slice(&half(0));
    bytes[32..].copy_from_slice(&half(1));
    bytes
}
