//! Logs that were cut off or changed at any byte.

use otscert_log::bindings::exports::otscert::provision::provisioner;
use otscert_log::bindings::otscert::provision::types;
use otscert_log::{
    Asked, Call, End, Entry, Got, Header, Input, Log, LogError, Outcome, Party, PartyConfig,
};

#[test]
fn a_log_comes_back_as_it_was_written() {
    let whole = written(true).unwrap();
    let log = Log::parse(&whole).unwrap();
    assert_eq!(log.write().unwrap(), whole);
    assert_eq!(log.failed(), Some("it broke"));
    assert_eq!(log.entries[1], entry(2));

    let redacted = written(false).unwrap();
    assert!(!redacted.contains("base64url:") && redacted.contains("redacted:40"));
    let log = Log::parse(&redacted).unwrap();
    assert_eq!(log.write().unwrap(), redacted);
    let Asked::Write { value, .. } = &log.entries[0].calls[0].asked else {
        panic!("no write");
    };
    assert_eq!(*value, [0; 40]);
}

#[test]
fn of_a_whole_log_no_byte_may_be_missing() {
    let text = written(true).unwrap();
    for end in 0..text.len() - 1 {
        let refused = Log::parse(&text[..end]).unwrap_err();
        // The line is the last one there is, or the one after which another had to come.
        let expected = text[..end].lines().count().max(1);
        let line = match refused {
            LogError::Line { line, .. } | LogError::Edited { line } | LogError::CutOff { line } => {
                line
            }
            other @ (LogError::Version { .. } | LogError::Write(_)) => panic!("{other} at {end}"),
        };
        assert_eq!(line, expected, "cut off at {end}");
    }
}

#[test]
fn a_redacted_log_that_was_cut_off_says_what_it_has() {
    let text = written(false).unwrap();
    let whole = Log::parse(&text).unwrap();
    let first = text.find('\n').unwrap();
    for end in first + 1..text.len() {
        let log = Log::parse(&text[..end]).unwrap();
        let lines = text[..end].matches('\n').count();
        assert!(log.end.is_none(), "cut off at {end}");
        assert_eq!(log.entries, whole.entries[..lines - 1], "cut off at {end}");
    }
    for end in 0..first {
        assert!(Log::parse(&text[..end]).is_err(), "cut off at {end}");
    }
}

#[test]
fn a_log_with_another_byte_is_refused() {
    for secrets in [true, false] {
        let text = written(secrets).unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = match bytes[at] {
                b'0' => b'1',
                // Two lines that became one, or the end of a redacted log that was torn off.
                b'\n' => b' ',
                _ => b'0',
            };
            let changed = String::from_utf8(bytes).unwrap();
            let is_torn = !secrets && at == text.len() - 1;
            assert_eq!(Log::parse(&changed).is_ok(), is_torn, "byte {at}");
        }
    }
}

fn written(secrets: bool) -> Result<String, LogError> {
    let parties = vec![Party {
        name: "device".to_owned(),
        config: PartyConfig::Device(provisioner::Config {
            hq_id: "acme".to_owned(),
            roots: vec![vec![7; 32]],
            seeder: None,
            model: "router".to_owned(),
            firmware: "1".to_owned(),
            build_time_ms: 0,
            personal: vec![1, 2, 3],
            credential: provisioner::UnitCredential {
                claim_code: None,
                serial: None,
                secret: None,
            },
            hq_trusted: false,
            assessments: Vec::new(),
            durable_storage: true,
        }),
    }];
    let header = match secrets {
        true => Header::of_doubles("a test", parties),
        false => Header::of_real("a test", parties),
    };
    let log = Log {
        header,
        entries: (1..=3).map(entry).collect(),
        end: Some(End {
            entries: 3,
            failed: Some("it broke".to_owned()),
        }),
        hash: [0; 32],
    };
    log.write()
}

fn entry(n: u64) -> Entry {
    Entry {
        n,
        party: "device".to_owned(),
        now: types::Moment {
            wall_ms: 1_795_000_000_000,
            trust: types::ClockTrust::Bounded,
            monotonic_ms: n,
        },
        input: Input::Device(provisioner::Input::Companion(vec![9; 32])),
        calls: vec![Call {
            asked: Asked::Write {
                key: "device".to_owned(),
                value: vec![5; 40],
                expires_ms: None,
            },
            got: Got::Stored(Ok(())),
        }],
        outcome: Outcome::Device(Err(provisioner::Error::NotReady)),
        digest: Some(vec![3; 32]),
    }
}
