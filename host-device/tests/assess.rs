//! `otscert-device assess` as a firmware team meets it: real processes, this machine's own clock, files.

#![expect(
    clippy::unwrap_used,
    reason = "what fails here fails the test, with its line"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use otscert_assess::evidence::{Evidence, Start, UnitFile};
use otscert_assess::report::Report;
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn samples_are_taken_row_after_row_and_a_row_without_a_power_cycle_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().to_str().unwrap();
    let output = assess(&[
        "collect",
        "--out",
        out,
        "--unit-name",
        "u1",
        "--samples",
        "5000",
    ]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("5000 runtime samples of unit u1"),
        "{}",
        text(&output)
    );
    let unit: UnitFile =
        serde_json::from_slice(&fs::read(place.path().join("u1/unit.json")).unwrap()).unwrap();
    assert_eq!(unit.samples, 5000);
    assert_eq!(
        fs::metadata(place.path().join("u1/runtime.u32"))
            .unwrap()
            .len(),
        20_000
    );

    let first = assess(&["restart", "--out", out, "--unit-name", "u1"]);
    assert!(
        text(&first).contains("1 of 1000 rows; 999 more power cycles"),
        "{}",
        text(&first)
    );
    let again = assess(&["restart", "--out", out, "--unit-name", "u1"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again).contains("Cut the power and start again"),
        "{}",
        text(&again)
    );
    let meant = assess(&[
        "restart",
        "--out",
        out,
        "--unit-name",
        "u1",
        "--process-restarts",
    ]);
    assert!(text(&meant).contains("2 of 1000 rows"), "{}", text(&meant));
    assert_eq!(
        fs::metadata(place.path().join("u1/restarts.u32"))
            .unwrap()
            .len(),
        8000
    );
}

#[test]
fn a_board_that_has_its_rows_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let starts: Vec<Start> = (0..1000).map(|row| start(&row.to_string())).collect();
    write_unit(&place, "u1", &[10; 1000], &vec![7; 1_000_000], &starts);
    let output = assess(&[
        "restart",
        "--out",
        place.path().to_str().unwrap(),
        "--unit-name",
        "u1",
    ]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("has its 1000 rows; nothing more was taken"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_clock_is_refused_in_words_and_nothing_is_written() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().to_str().unwrap();
    for unit in ["u1", "u2"] {
        assert!(
            assess(&[
                "collect",
                "--out",
                out,
                "--unit-name",
                unit,
                "--samples",
                "2000"
            ])
            .status
            .success()
        );
    }
    let file = place.path().join("board.json");
    let output = judge(&place, &[], &file);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let words = text(&output);
    for expected in [
        "Refused. This clock must count nothing",
        "2 of at least 3 units",
        "u1 and u2: taken on one and the same board",
        "u1: 2000 of 1000000 runtime samples",
        "u1: 0 of 1000 power cycles",
        "--danger-one-board overrides it, for a trial",
        "MultiMMC",
    ] {
        assert!(words.contains(expected), "{expected} is not in:\n{words}");
    }
    assert!(!file.exists());
}

#[test]
fn an_accepted_clock_is_written_for_hq_with_what_was_overridden() {
    let place = recorded();
    let file = place.path().join("board.json");
    let output = judge(&place, &["--danger-few"], &file);
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("Accepted: at least"),
        "{}",
        text(&output)
    );
    assert!(
        text(&output).contains("otscert-hq assessment sign"),
        "{}",
        text(&output)
    );
    let report = Report::parse(&fs::read(&file).unwrap()).unwrap();
    assert_eq!((report.id.as_str(), report.step_ns), ("board", 10));
    assert_eq!(report.models, ["m1", "m2"]);
    assert!(
        (63..=333).contains(&report.min_entropy),
        "{}",
        report.min_entropy
    );
    assert_eq!(report.overridden.len(), 6, "{:?}", report.overridden);
    assert!(
        report.cause.starts_with("FOR A TRIAL ONLY"),
        "{}",
        report.cause
    );
}

#[test]
fn an_emulator_is_refused_unless_that_is_meant() {
    let place = recorded();
    let path = place.path().join("u2/unit.json");
    let mut unit: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    unit["evidence"]["virtualSigns"] = serde_json::json!(["/proc/cpuinfo names QEMU"]);
    fs::write(&path, unit.to_string()).unwrap();
    let file = place.path().join("board.json");
    let output = judge(&place, &["--danger-few"], &file);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("u2: not a board of its own (/proc/cpuinfo names QEMU)"),
        "{}",
        text(&output)
    );
    assert!(!file.exists());
    let output = judge(&place, &["--danger-few", "--danger-virtual"], &file);
    assert!(output.status.success(), "{}", text(&output));
    assert!(file.exists());
}

#[test]
fn what_cannot_be_judged_is_named() {
    let place = recorded();
    let file = place.path().join("board.json");
    let path = |name: &str| place.path().join("u3").join(name);
    let runtime = fs::read(path("runtime.u32")).unwrap();
    fs::write(path("runtime.u32"), &runtime[4..]).unwrap();
    let output = judge(&place, &[], &file);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("runtime.u32 is damaged: it has"),
        "{}",
        text(&output)
    );
    fs::write(path("runtime.u32"), runtime).unwrap();
    fs::write(path("unit.json"), "{}").unwrap();
    let output = judge(&place, &[], &file);
    assert!(
        text(&output).contains("unit.json is damaged: missing field"),
        "{}",
        text(&output)
    );
    let empty = tempfile::tempdir().unwrap();
    let output = judge(&empty, &[], &file);
    assert!(text(&output).contains("holds no unit"), "{}", text(&output));
    for (arguments, says) in [
        (
            &["collect", "--out", "x", "--unit-name", "../u"][..],
            "is no name for a unit",
        ),
        (
            &[
                "collect",
                "--out",
                "x",
                "--unit-name",
                "u",
                "--samples",
                "5",
            ],
            "5 samples: take 1000 to",
        ),
    ] {
        let output = assess(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains(says), "{}", text(&output));
    }
}

/// Three units, as recorded on a real machine (`guest/machine/tests/jitter`).
fn recorded() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../guest/machine/tests/jitter/native-memwalk.u32"
    );
    let bytes = fs::read(path).unwrap();
    let deltas: Vec<u32> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|delta| u32::from_le_bytes(*delta))
        .collect();
    let starts: Vec<Start> = (0..65).map(|row| start(&row.to_string())).collect();
    for (name, part) in ["u1", "u2", "u3"].into_iter().zip(deltas.chunks(20_000)) {
        write_unit(&place, name, part, &deltas[..65_000], &starts);
    }
    place
}

fn write_unit(place: &TempDir, name: &str, deltas: &[u32], rows: &[u32], starts: &[Start]) {
    let folder = place.path().join(name);
    fs::create_dir(&folder).unwrap();
    let unit = UnitFile {
        format: UnitFile::FORMAT,
        unit: name.to_owned(),
        step_ns: 10,
        samples: deltas.len() as u64,
        evidence: Evidence {
            board: name.to_owned(),
            boot: String::new(),
            virtual_signs: Vec::new(),
            load_hundredths: Some(0),
            processors: 1,
            processor: "recorded".to_owned(),
            clock_source: "tsc".to_owned(),
            kernel: "6.1".to_owned(),
            collector: "0.1.0".to_owned(),
            buffer_bytes: 512 * 1024,
        },
    };
    let bytes = |deltas: &[u32]| {
        deltas
            .iter()
            .flat_map(|delta| delta.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let lines: String = starts
        .iter()
        .map(|start| serde_json::to_string(start).unwrap() + "\n")
        .collect();
    fs::write(folder.join("unit.json"), serde_json::to_vec(&unit).unwrap()).unwrap();
    fs::write(folder.join("runtime.u32"), bytes(deltas)).unwrap();
    fs::write(folder.join("restarts.u32"), bytes(rows)).unwrap();
    fs::write(folder.join("restarts.jsonl"), lines).unwrap();
}

fn start(boot: &str) -> Start {
    Start {
        boot: boot.to_owned(),
        step_ns: 10,
        process_restart: false,
    }
}

fn judge(place: &TempDir, flags: &[&str], file: &Path) -> Output {
    let folder = place.path().to_str().unwrap();
    let fixed = [
        "judge",
        folder,
        "--id",
        "board",
        "--models",
        "m1,m2",
        "--cause",
        "CPU and DRAM run on two oscillators",
        "--out",
        file.to_str().unwrap(),
    ];
    assess(&[&fixed, flags].concat())
}

fn assess(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otscert-device"));
    command
        .env_clear()
        .arg("assess")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
