//! Clocks that were recorded, honest and lying (`guest/machine/tests/jitter`): what is accepted, what is refused and by
//! which rule.

#![expect(
    clippy::unwrap_used,
    reason = "what fails here fails the test, with its line"
)]

use otscert_assess::estimate::{Initial, Symbols};
use otscert_assess::evidence::{Evidence, Start};
use otscert_assess::judge::{Judgement, ROW, Rule, Unit};
use otscert_assess::table;
use otscert_machine::entropy::assessment::LEAST_ENTROPY;

#[test]
fn honest_clocks_are_accepted() {
    for name in ["native-memwalk", "cranelift-memwalk", "pulley-memwalk"] {
        let judgement = Judgement::of(&three(name, 10), TRIAL);
        assert_eq!(refused_by(&judgement), [], "{name}: {}", words(&judgement));
        assert!(judgement.min_entropy() >= LEAST_ENTROPY, "{name}");
        assert_eq!(judgement.step_ns(), 10);
        // What the recordings lack is said all the same.
        assert_eq!(judgement.overridden.len(), 6);
    }
    let without = Judgement::of(&three("native-memwalk", 10), &[]);
    assert_eq!(refused_by(&without), [Rule::Samples, Rule::Rows]);
}

/// docs/adr/0011 has what NIST's tool says of a million such deltas: these are fewer.
#[test]
fn the_estimate_of_a_memory_walk_is_as_nists_tool_says() {
    let low: Vec<u8> = deltas("native-memwalk")
        .iter()
        .map(|delta| (delta / 10) as u8)
        .collect();
    let least = Initial::of(&Symbols::new(low)).least();
    assert!((0.3..0.8).contains(&least), "{least}");
}

#[test]
fn coarse_clocks_are_refused() {
    for (name, step) in [
        ("clock-1us", 1_000),
        ("clock-5us", 5_000),
        ("clock-100us", 100_000),
        ("clock-1ms", 1_000_000),
    ] {
        let judgement = Judgement::of(&three(name, step), TRIAL);
        let refused = refused_by(&judgement);
        for rule in [Rule::CoarseClock, Rule::Health, Rule::Entropy] {
            assert!(refused.contains(&rule), "{name}: {}", words(&judgement));
        }
    }
}

#[test]
fn clocks_around_work_that_takes_the_same_time_are_refused_by_the_machines_own_tests() {
    for name in ["native-sha256", "native-nowork"] {
        let judgement = Judgement::of(&three(name, 10), TRIAL);
        let refused = refused_by(&judgement);
        assert!(
            refused.contains(&Rule::Health),
            "{name}: {}",
            words(&judgement)
        );
        assert!(
            refused.contains(&Rule::Entropy),
            "{name}: {}",
            words(&judgement)
        );
    }
}

/// Nothing in one unit's samples tells a fixed sequence from noise.
#[test]
fn a_fixed_sequence_is_refused_for_what_other_units_and_other_starts_say() {
    let all = deltas("clock-prng");
    let (one, rest) = all.split_at(all.len() / 3);
    let (two, three) = rest.split_at(rest.len() / 2);
    let units = |sequences: [&[u32]; 3], rows: &[u32]| {
        let named = ["u1", "u2", "u3"].into_iter().zip(sequences);
        named
            .map(|(name, deltas)| unit(name, 1, deltas, rows))
            .collect::<Vec<_>>()
    };

    // Apart, and with rows that differ, everything looks well: this is what an attacker's board would show.
    let judgement = Judgement::of(&units([one, two, three], &all), TRIAL);
    assert_eq!(refused_by(&judgement), [], "{}", words(&judgement));

    // Two units of three, the second a little later.
    let judgement = Judgement::of(&units([one, &one[777..], three], &all), TRIAL);
    assert_eq!(
        refused_by(&judgement),
        [Rule::SharedSequence],
        "{}",
        words(&judgement)
    );

    // Each start the same, as a clock that an emulator counts up.
    let same = one[..ROW].repeat(65);
    let judgement = Judgement::of(&units([one, two, three], &same), TRIAL);
    let refused = refused_by(&judgement);
    for rule in [
        Rule::Entropy,
        Rule::RestartSanity,
        Rule::RestartValidation,
        Rule::ColumnGuess,
    ] {
        assert!(refused.contains(&rule), "{}", words(&judgement));
    }
}

#[test]
fn circumstances_refuse_what_no_statistic_sees() {
    // So few deltas that the figures refuse them, too: what counts is what is refused besides.
    let few = || {
        let deltas = deltas("native-memwalk");
        let parts = ["u1", "u2", "u3"].into_iter().zip(deltas.chunks(5000));
        parts
            .map(|(name, part)| unit(name, 10, part, part))
            .collect::<Vec<_>>()
    };
    let plain = refused_by(&Judgement::of(&few(), TRIAL));
    let cases = [
        Case {
            rule: Rule::Virtual,
            change: |units| {
                units[1].evidence.virtual_signs = vec!["the flag `hypervisor`".to_owned()]
            },
            says: "u2: not a board of its own (the flag `hypervisor`)",
        },
        Case {
            rule: Rule::Busy,
            change: |units| units[2].evidence.load_hundredths = Some(317),
            says: "u3: busy (load 3.17",
        },
        Case {
            rule: Rule::OneBoard,
            change: |units| units[1].evidence.board = units[0].evidence.board.clone(),
            says: "u1 and u2: taken on one and the same board",
        },
        Case {
            rule: Rule::ProcessRestarts,
            change: |units| units[0].starts[2].process_restart = true,
            says: "u1: 1 rows were taken after a restart of the program only",
        },
        Case {
            rule: Rule::ProcessRestarts,
            change: |units| units[0].starts[2].boot = units[0].starts[1].boot.clone(),
            says: "cut the power between rows",
        },
        Case {
            rule: Rule::OtherSteps,
            change: |units| units[0].step_ns = 30,
            says: "in steps of 10 to 30 ns",
        },
    ];
    for Case { rule, change, says } in cases {
        let mut units = few();
        change(&mut units);
        let judgement = Judgement::of(&units, TRIAL);
        let refused = refused_by(&judgement);
        assert!(
            !plain.contains(&rule) && refused.contains(&rule),
            "{}",
            words(&judgement)
        );
        assert!(words(&judgement).contains(says), "{}", words(&judgement));
        // What a trial may override is overridden and still said; the rest stays.
        let judgement = Judgement::of(&units, &[TRIAL, &[rule]].concat());
        assert_eq!(
            refused_by(&judgement).contains(&rule),
            rule.danger_flag().is_none()
        );
        assert!(words(&judgement).contains(says), "{}", words(&judgement));
    }
    assert!(refused_by(&Judgement::of(&few()[..2], TRIAL)).contains(&Rule::Units));
    let none = Judgement::of(&[], TRIAL);
    assert_eq!(
        (refused_by(&none), none.min_entropy()),
        (vec![Rule::Units], 0)
    );
}

/// What is wrong with units, and which rule says so.
struct Case {
    rule: Rule,
    change: fn(&mut [Unit]),
    says: &'static str,
}

fn refused_by(judgement: &Judgement) -> Vec<Rule> {
    let mut rules: Vec<Rule> = judgement
        .refusals
        .iter()
        .map(|refusal| refusal.rule)
        .collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn words(judgement: &Judgement) -> String {
    [table::figures(judgement), table::verdict(judgement)]
        .concat()
        .join("\n")
}

/// Three units, each with a third of a recording of its own; the rows of all are the whole one.
fn three(name: &str, step_ns: u64) -> [Unit; 3] {
    let deltas = deltas(name);
    let third = deltas.len() / 3;
    let mut thirds = deltas.chunks_exact(third);
    ["u1", "u2", "u3"].map(|unit_name| unit(unit_name, step_ns, thirds.next().unwrap(), &deltas))
}

fn unit(name: &str, step_ns: u64, deltas: &[u32], rows: &[u32]) -> Unit {
    let starts = (0..rows.len() / ROW).map(|row| Start {
        boot: format!("{name}-{row}"),
        step_ns,
        process_restart: false,
    });
    Unit {
        name: name.to_owned(),
        step_ns,
        deltas: deltas.to_vec(),
        starts: starts.collect(),
        rows: rows.to_vec(),
        evidence: Evidence {
            board: format!("board of {name}"),
            boot: String::new(),
            virtual_signs: Vec::new(),
            load_hundredths: Some(3),
            processors: 2,
            processor: "a test's".to_owned(),
            clock_source: "tsc".to_owned(),
            kernel: "6.1".to_owned(),
            collector: "0.1.0".to_owned(),
            buffer_bytes: 512 * 1024,
        },
    }
}

fn deltas(name: &str) -> Vec<u32> {
    let path = format!(
        "{}/../../guest/machine/tests/jitter/{name}.u32",
        env!("CARGO_MANIFEST_DIR")
    );
    let bytes = std::fs::read(path).unwrap();
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|delta| u32::from_le_bytes(*delta))
        .collect()
}

/// The recordings are shorter than what a real assessment takes.
const TRIAL: &[Rule] = &[Rule::Samples, Rule::Rows];
