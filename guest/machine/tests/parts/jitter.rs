//! Clocks that were recorded, honest and lying: what is noticed, what is credited, and what it takes
//! for a delta to count at all.

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto as _, Secret};
use otscert_machine::entropy::assessment::LEAST_ENTROPY;
use otscert_machine::entropy::health::{LAG_WINDOW, LAGS};
use otscert_machine::entropy::jitter::Jitter;
use otscert_machine::entropy::{
    Assessment, Class, Entropy, Grade, MAX_SAMPLE, Source, SourceId, SourceKind, SourceState,
};
use otscert_machine::time::{Span, Timestamp};
use otscert_machine::types::Ed25519Public;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::Typ;
use otscert_machine::wire::trust::{Delegation, HqSigner, Roots};

/// 65,536 deltas each; recorded on one machine whose clock counts in steps of 10 ns.
const RECORDINGS: [(&str, &[u8]); 10] = [
    (
        "native-memwalk",
        include_bytes!("../jitter/native-memwalk.u32"),
    ),
    (
        "cranelift-memwalk",
        include_bytes!("../jitter/cranelift-memwalk.u32"),
    ),
    (
        "pulley-memwalk",
        include_bytes!("../jitter/pulley-memwalk.u32"),
    ),
    (
        "native-sha256",
        include_bytes!("../jitter/native-sha256.u32"),
    ),
    (
        "native-nowork",
        include_bytes!("../jitter/native-nowork.u32"),
    ),
    ("clock-1us", include_bytes!("../jitter/clock-1us.u32")),
    ("clock-5us", include_bytes!("../jitter/clock-5us.u32")),
    ("clock-100us", include_bytes!("../jitter/clock-100us.u32")),
    ("clock-1ms", include_bytes!("../jitter/clock-1ms.u32")),
    ("clock-prng", include_bytes!("../jitter/clock-prng.u32")),
];

/// What each clock counts in.
fn step_of(name: &str) -> u64 {
    match name {
        "clock-1us" => 1_000,
        "clock-5us" => 5_000,
        "clock-100us" => 100_000,
        "clock-1ms" => 1_000_000,
        "clock-prng" => 1,
        _ => 10,
    }
}

#[test]
fn no_clock_counts_where_nobody_has_assessed_it() {
    for (name, recording) in RECORDINGS {
        let source = clock(step_of(name), None);
        let entropy = played(&[], &source, recording);
        assert_eq!(entropy.grade(), Grade::D, "{name}");
        let report = entropy.report();
        assert!(
            Class::ALL.iter().all(|class| report.noise.of(*class) == 0),
            "{name}"
        );
        let said = entropy.waits_for();
        println!("{name}: {said}");
        assert!(said.contains("recorded"), "{name}: {said}");
    }
}

#[test]
fn an_assessed_clock_that_was_honest_counts_a_256th_of_a_bit_each() {
    for name in ["native-memwalk", "cranelift-memwalk", "pulley-memwalk"] {
        let source = clock(10, Some("board"));
        let entropy = played(&[assessment(10)], &source, recording(name));
        // 65,536 deltas are 16 windows, less the one not yet whole and the first.
        assert_eq!(entropy.report().noise.of(Class::Hq), 14 * 16, "{name}");
        assert_eq!(entropy.grade(), Grade::D, "{name}: 224 bits are not enough");
        let twice = [recording(name), recording(name)].concat();
        let entropy = played(&[assessment(10)], &source, &twice);
        assert_eq!(
            entropy.report().noise.of(Class::Hq),
            256,
            "{name}: no more than its most"
        );
        assert_eq!(entropy.grade(), Grade::A, "{name}");
    }
}

#[test]
fn a_coarse_clock_is_noticed_even_where_it_is_assessed() {
    for (name, says) in [
        ("native-sha256", "foretold"),
        ("native-nowork", "foretold"),
        ("clock-1us", "foretold"),
        ("clock-5us", "the same byte"),
        ("clock-100us", "the same byte"),
        ("clock-1ms", "the same byte"),
    ] {
        let step = step_of(name);
        let source = clock(step, Some("board"));
        let entropy = played(&[assessment(step)], &source, recording(name));
        assert_eq!(entropy.grade(), Grade::D, "{name}");
        assert!(
            Class::ALL
                .iter()
                .all(|class| entropy.report().noise.of(*class) == 0),
            "{name}"
        );
        let state = entropy.report().sources[0].2.clone();
        let SourceState::GivenUp(why) = state else {
            panic!("{name}: {state:?}")
        };
        println!("{name}: {why}");
        assert!(why.contains(says), "{name}: {why}");
    }
}

/// The one thing that no test can see: only the assessment, which a person makes, stands against it.
#[test]
fn a_clock_that_is_a_fixed_sequence_passes_every_test_and_counts_nothing_for_want_of_an_assessment()
{
    let recording = recording("clock-prng");
    let unassessed = played(&[], &clock(1, None), recording);
    assert_eq!(unassessed.report().sources[0].2, SourceState::Gave);
    assert_eq!(unassessed.grade(), Grade::D);
    // Nor does the assessment of another board, or of another clock, help it.
    for (assessments, source) in [
        (vec![assessment(10)], clock(1, Some("board"))),
        (vec![assessment(1)], clock(1, Some("another board"))),
        (vec![assessment(1)], clock(1, None)),
        (vec![assessment(1)], clock(0, Some("board"))),
    ] {
        assert_eq!(
            played(&assessments, &source, recording)
                .report()
                .noise
                .of(Class::Hq),
            0
        );
    }
}

#[test]
fn a_clock_that_changes_its_step_is_struck() {
    let source = clock(10, Some("board"));
    let twice = [recording("native-memwalk"), recording("native-memwalk")].concat();
    let mut entropy = played(&[assessment(10)], &source, &twice);
    assert_eq!(entropy.grade(), Grade::A);
    let coarser = clock(15, Some("board"));
    entropy.sampled(
        &RustCrypto,
        &coarser,
        Ok(&recording("native-memwalk")[..400]),
    );
    assert_eq!(entropy.grade(), Grade::D);
    assert!(
        entropy.waits_for().contains("steps of 15 ns"),
        "{}",
        entropy.waits_for()
    );
}

#[test]
fn a_sample_that_is_cut_short_counts_what_is_whole() {
    let source = clock(10, Some("board"));
    let mut entropy = Entropy::new(&RustCrypto, b"unit").with_assessments(vec![assessment(10)]);
    for chunk in recording("native-memwalk").chunks(MAX_SAMPLE) {
        entropy.sampled(&RustCrypto, &source, Ok(&chunk[..7]));
    }
    assert_eq!(entropy.report().noise.of(Class::Hq), 0);
    assert_eq!(entropy.report().sources[0].2, SourceState::Gave);
}

#[test]
fn an_assessment_is_believed_only_if_hq_signed_it_and_it_leaves_a_margin() {
    let good = payload(10, LEAST_ENTROPY);
    assert!(opened(&good, 1, Typ::Assessment).is_ok());
    assert!(opened(&payload(10, LEAST_ENTROPY - 1), 1, Typ::Assessment).is_err());
    assert!(opened(&good, 9, Typ::Assessment).is_err(), "another root");
    assert!(
        opened(&good, 1, Typ::Grant).is_err(),
        "another message of HQ"
    );
}

/// What is never credited would otherwise be asked for as long as the box runs.
#[test]
fn a_clock_is_looked_at_for_as_long_as_it_can_earn_and_no_longer() {
    let recorded = recording("native-memwalk");
    let endless = recorded.iter().chain(recorded).copied();
    let endless: Vec<u8> = endless.collect();
    let source = clock(10, None);
    let mut entropy = Entropy::new(&RustCrypto, b"unit");
    let mut chunks = endless.chunks(MAX_SAMPLE);
    while !entropy.wants(std::slice::from_ref(&source)).is_empty() {
        entropy.sampled(&RustCrypto, &source, Ok(chunks.next().unwrap()));
    }
    // The first window earns nothing, and 16 more earn 256 bits where somebody has assessed it.
    let deltas = LAGS + 17 * usize::from(LAG_WINDOW);
    let left: usize = chunks.map(<[u8]>::len).sum();
    let looked_at = endless.len() - left;
    assert_eq!(looked_at, (4 * deltas).next_multiple_of(MAX_SAMPLE));
}

#[test]
fn people_are_told_whether_anybody_has_assessed_the_clock() {
    let short = &recording("native-memwalk")[..MAX_SAMPLE];
    let said = |assessments: &[Assessment], source: &Source| {
        played(assessments, source, short).waits_for()
    };
    let unassessed = said(&[], &clock(10, None));
    assert!(
        unassessed.contains("nobody has assessed it"),
        "{unassessed}"
    );
    assert!(
        unassessed.contains("lists no source that counts"),
        "{unassessed}"
    );
    let assessed = said(&[assessment(10)], &clock(10, Some("board")));
    assert!(assessed.contains("it gave too little so far"), "{assessed}");
    assert!(
        !assessed.contains("lists no source that counts"),
        "{assessed}"
    );
}

/// A clock that stood still for a while is not held to it for ever.
#[test]
fn after_a_fault_each_test_starts_afresh() {
    let source = clock(10, None);
    let deltas = |lows: &[u8]| -> Vec<u8> {
        let deltas = lows.iter().map(|low| u32::from(*low) * 10);
        deltas.flat_map(u32::to_le_bytes).collect()
    };
    let now_and_then = |every, len| -> Vec<u8> {
        (1..=len)
            .map(|n: u32| u8::from(!n.is_multiple_of(every)))
            .collect()
    };
    for (says, lows) in [
        ("times in a row", vec![1; 61]),
        ("among 512", now_and_then(50, 459)),
        ("foretold", now_and_then(2, 86)),
    ] {
        let mut tests = Jitter::new(&source, &[]);
        let fault = tests.test(&source, &deltas(&lows)).unwrap_err();
        assert!(fault.to_string().contains(says), "{fault}");
        let once_more = deltas(&[lows[lows.len() - LAGS]]);
        assert_eq!(tests.test(&source, &once_more), Ok(0), "{says}");
    }

    let source = clock(10, Some("board"));
    let mut tests = Jitter::new(&source, &[assessment(10)]);
    let windows = |n| &recording("native-memwalk")[..4 * (LAGS + n * usize::from(LAG_WINDOW))];
    assert_eq!(tests.test(&source, windows(2)), Ok(16));
    assert!(tests.test(&source, &deltas(&[1; 61])).is_err());
    assert_eq!(
        tests.test(&source, windows(1)),
        Ok(0),
        "the first earns nothing"
    );
}

/// Plays a recording to a fresh pool, as a host would give it.
fn played(assessments: &[Assessment], source: &Source, recording: &[u8]) -> Entropy {
    let mut entropy = Entropy::new(&RustCrypto, b"unit").with_assessments(assessments.to_vec());
    for chunk in recording.chunks(MAX_SAMPLE) {
        if entropy.wants(std::slice::from_ref(source)).is_empty() {
            break;
        }
        entropy.sampled(&RustCrypto, source, Ok(chunk));
    }
    entropy
}

#[test]
fn an_assessment_without_one_of_its_members_is_none() {
    let whole = payload(10, LEAST_ENTROPY);
    assert_eq!(
        opened(&whole, 1, Typ::Assessment).unwrap().cause,
        "two oscillators"
    );
    let no_number = whole.clone().with_text("stepNs", "ten");
    let no_text = whole.clone().with_number("id", 1);
    let no_list = whole.clone().with_text("models", "m1");
    let no_model = whole.clone().with_texts("models", [""]);
    let no_entropy = whole.clone().with_text("minEntropy", "much");
    let no_cause = whole.with_number("cause", 1);
    for (member, payload) in [
        ("stepNs", no_number),
        ("id", no_text),
        ("models", no_list),
        ("models", no_model),
        ("minEntropy", no_entropy),
        ("cause", no_cause),
    ] {
        let error = opened(&payload, 1, Typ::Assessment).unwrap_err();
        assert!(error.contains(member), "{member}: {error}");
    }
    let no_message = Assessment::open(&RustCrypto, &roots_of(1), &payload(10, LEAST_ENTROPY));
    assert!(no_message.is_err());
}

/// The clock of another board, or of this one in another mode, counts in other steps.
#[test]
fn an_assessment_holds_for_a_clock_that_counts_as_the_assessed_one_did() {
    let assessed = assessment(10);
    for (step, named, holds) in [
        (10, Some("board"), true),
        (5, Some("board"), true),
        (20, Some("board"), true),
        (4, Some("board"), false),
        (21, Some("board"), false),
        (0, Some("board"), false),
        (10, Some("other"), false),
        (10, None, false),
    ] {
        assert_eq!(
            assessed.covers(&clock(step, named)),
            holds,
            "{step} {named:?}"
        );
    }
    let of_a_clock_that_stands = assessment(0);
    assert!(!of_a_clock_that_stands.covers(&clock(0, Some("board"))));
}

fn roots_of(n: u8) -> Roots {
    let key = RustCrypto.ed25519_public(&Secret::new([n; 32]));
    Roots {
        hq_id: "hq.test".into(),
        keys: vec![Ed25519Public::new(key)],
    }
}

fn recording(name: &str) -> &'static [u8] {
    let found = RECORDINGS.iter().find(|(it, _)| *it == name);
    found.expect("there is such a recording").1
}

fn clock(step: u64, assessment: Option<&str>) -> Source {
    Source {
        id: SourceId::new(1),
        kind: SourceKind::Jitter,
        family: "jitter".into(),
        assessment: assessment.map(Into::into),
        observed_step_ns: step,
        label: "recorded".into(),
    }
}

fn assessment(step: u64) -> Assessment {
    opened(&payload(step, LEAST_ENTROPY), 1, Typ::Assessment).expect("HQ signed it")
}

fn payload(step: u64, min_entropy: u64) -> Object {
    Object::default()
        .with_text("id", "board")
        .with_texts("models", ["m1"])
        .with_number("stepNs", step)
        .with_number("minEntropy", min_entropy)
        .with_text("cause", "two oscillators")
}

fn opened(payload: &Object, root: u8, typ: Typ) -> Result<Assessment, String> {
    let seed = |n: u8| Secret::new([n; 32]);
    let key = |n: u8| Ed25519Public::new(RustCrypto.ed25519_public(&seed(n)));
    let roots = |n: u8| Roots {
        hq_id: "hq.test".into(),
        keys: vec![key(n)],
    };
    let delegation = Delegation {
        key: key(2),
        epoch: 1,
        not_after: Timestamp::from_millis(0) + Span::from_days(1),
    };
    let delegation = delegation.sign(&RustCrypto, "hq.test", &seed(root));
    let signer = HqSigner::new(&RustCrypto, &roots(root), seed(2), delegation).unwrap();
    let signed = signer.sign(&RustCrypto, typ, payload);
    Assessment::open(&RustCrypto, &roots(1), &signed).map_err(|error| error.to_string())
}
