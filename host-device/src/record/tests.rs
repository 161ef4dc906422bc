use otscert_log::{Log, PartyConfig};

use super::*;
use crate::types::{ClaimCode, ClockTrust, UnitCredential, UnitSecret};

#[test]
fn what_admits_a_box_is_not_in_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.jsonl");
    let code = ClaimCode::from_text("7K3M-SECRET").unwrap();
    let config = StartConfig {
        personal: b"personal-bytes-of-it".to_vec(),
        credential: UnitCredential {
            claim_code: Some(code.clone()),
            serial: Some("SN-SECRET".to_owned()),
            secret: Some(UnitSecret {
                epoch: 7,
                secret: b"SECRET-SECRET-SECRET".to_vec().into(),
            }),
        },
        ..config()
    };
    let record = Record::begin(&path, &config).unwrap();
    record.advanced(
        moment(),
        shown(&Input::ClaimCode(code)),
        Vec::new(),
        Ok(&Progress::default()),
    );
    drop(record);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        !text.contains("SECRET") && !text.contains("base64url:"),
        "{text}"
    );
    let log = Log::parse(&text).unwrap();
    assert!(!log.header.secrets && log.end.is_some());
    let PartyConfig::Device(device) = &log.header.parties[0].config else {
        panic!("no device");
    };
    let unit = device.credential.secret.as_ref().unwrap();
    assert_eq!((unit.epoch, unit.secret.len()), (7, 20));
    assert!(device.credential.serial.is_some() && device.credential.claim_code.is_some());
}

#[test]
fn a_log_that_is_full_is_kept_and_followed_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.jsonl");
    let record = Record::begin(&path, &config()).unwrap();
    let large = "a".repeat(256 * 1024);
    let mut written = 0;
    while !before(&path).exists() {
        assert!(written < 100, "the log grows without end");
        advance(&record, &large);
        written += 1;
    }
    advance(&record, "the last");
    drop(record);
    let [first, second] = [before(&path), path].map(|path| read(&path));
    assert!(first.end.is_some() && second.end.is_some());
    assert_eq!(first.entries.len() + second.entries.len(), written + 1);
    assert_eq!(first.header, second.header);
    assert_eq!(second.entries[0].n, 1);
}

#[test]
fn a_file_that_is_no_log_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.jsonl");
    for text in [
        "root:x:0:0",
        "{}",
        "\n{\"otscert_log\":1}",
        "[\"otscert_log\":",
    ] {
        fs::write(&path, text).unwrap();
        let refused = Record::begin(&path, &config()).unwrap_err();
        assert!(matches!(refused, RecordError::Foreign { .. }), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::write(&path, "").unwrap();
    let _begun = Record::begin(&path, &config()).unwrap();
    assert_eq!(fs::read(before(&path)).unwrap(), b"");
    // Nor is what stands where the log before this one would be kept.
    fs::write(before(&path), "notes").unwrap();
    let refused = Record::begin(&path, &config()).unwrap_err();
    assert!(
        matches!(&refused, RecordError::Foreign { path: foreign } if *foreign == before(&path)),
        "{refused}"
    );
    let nowhere = folder.path().join("nowhere/record.jsonl");
    let refused = Record::begin(&nowhere, &config()).unwrap_err();
    assert!(matches!(refused, RecordError::Begin { .. }), "{refused}");
}

#[test]
fn a_log_that_loses_its_place_ends_and_the_box_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("record.jsonl");
    let record = Record::begin(&path, &config()).unwrap();
    fs::remove_dir_all(&inner).unwrap();
    let large = "a".repeat(256 * 1024);
    for _ in 0..40 {
        advance(&record, &large);
    }
    assert!(record.writer.lock().unwrap().is_none());
    assert!(!path.exists());
}

fn advance(record: &Record, reason: &str) {
    let input = Input::CredentialRefused {
        version: 1,
        reason: reason.to_owned(),
    };
    let progress = Progress::default();
    record.advanced(moment(), shown(&input), Vec::new(), Ok(&progress));
}

fn read(path: &Path) -> Log {
    Log::parse(&fs::read_to_string(path).unwrap()).unwrap()
}

fn moment() -> Moment {
    Moment {
        wall_ms: 1,
        trust: ClockTrust::Unset,
        monotonic_ms: 1,
    }
}

fn config() -> StartConfig {
    StartConfig {
        hq_id: "acme".to_owned(),
        roots: vec![[7; 32]],
        seeder: None,
        model: "router".to_owned(),
        firmware: "1".to_owned(),
        build_time_ms: 0,
        personal: Vec::new(),
        credential: UnitCredential::default(),
        hq_trusted: false,
        assessments: Vec::new(),
        durable_storage: true,
    }
}
