use super::*;
use crate::cli::described::Described;
use crate::store::{HistoryRow, OutboxEntry, OutboxState, RecordRow};
use crate::types::Summary;

#[test]
fn a_list_reads_from_left_to_right_and_says_where_it_goes_on() {
    let text = |devices: &[SubjectSummary], limit| {
        let row = |device: &SubjectSummary| Row {
            device: device.clone(),
            firmware: None,
        };
        let rows: Vec<_> = devices.iter().map(row).collect();
        let mut out = Vec::new();
        let args = ListArgs {
            limit,
            ..list_args()
        };
        write_list(&mut out, &args, &rows, NOW).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        text(&[summary()], 2),
        "ID         NAME          MODEL    STATE   ENDS        LAST CONTACT  WHY\n\
         device/a1  x.boxes.test  box\u{fffd}[2J  Issued  in 89 days  2 min ago     by a CA\n"
    );
    assert!(text(&[summary()], 1).ends_with("There may be more: --after device/a1\n"));
    assert!(text(&[], 1).starts_with("No device fits."));
}

#[test]
fn a_restored_hq_is_told_in_one_line_whatever_the_number_of_devices() {
    let text = |notice| {
        let mut out = Vec::new();
        write_notice(&mut out, notice, NOW).unwrap();
        String::from_utf8(out).unwrap()
    };
    let notice = |devices, last| RestoreNotice {
        devices,
        first: NOW.minus_millis(3 * 86_400_000),
        last,
    };
    assert_eq!(text(None), "");
    assert_eq!(
        text(Some(notice(20, NOW.minus_millis(60_000)))),
        "Notice: 20 devices are ahead of HQ's records so far, since 2026-11-20 17:05 UTC (the last one 1 min ago). \
         Most likely HQ was restored from a backup; nothing needs doing then: the boxes recover by themselves. \
         Only what was retired since the backup must be retired again. If nobody restored anything, see \
         docs/OPERATIONS.md, \"Backup and restore\".\n\n"
    );
    let closed = text(Some(notice(1, NOW.minus_millis(2 * 86_400_000))));
    assert!(
        closed.starts_with("Notice: 1 device is ahead of HQ's records in all, "),
        "{closed}"
    );
}

#[test]
fn a_story_has_states_times_order_certificate_and_component() {
    let mut out = Vec::new();
    story().text(NOW, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for expected in [
        "state         Issued, since 2026-11-23 17:04 UTC (1 min ago)",
        "certificate   ends 2027-02-20 17:06 UTC (in 89 days)",
        "component     abc, since 2026-11-23 17:04 UTC",
        "fetch-chain at staging: waits, not before 2026-11-23 17:06 UTC (in 1 min); tried 2 times",
        "https://ca.example/order/1",
        "2026-11-23 17:04 UTC  issued  by a CA",
        "  device/a1 (3 bytes)\n    Device {\n      serial: 01020304\n    }",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    let json = story().json();
    assert_eq!(json["summary"]["notAfter"], "2027-02-20T17:06:40Z");
    assert_eq!(
        json["outbox"][0]["request"]["order"],
        "https://ca.example/order/1"
    );
    assert_eq!(json["component"]["sha256"], "abc");
    assert_eq!(
        json["records"][0]["described"]["content"],
        "Device { serial: [1, 2, 3, 4] }"
    );
}

fn story() -> Story {
    let before = NOW.minus_millis(60_000);
    let record = RecordRow {
        key: RecordKey::try_from("device/a1".to_owned()).unwrap(),
        value: vec![1, 2, 3],
        expires: None,
    };
    let device = Device {
        summary: summary(),
        history: vec![HistoryRow {
            at: before,
            kind: "issued".to_owned(),
            text: "by a CA".to_owned(),
        }],
        outbox: vec![OutboxEntry {
            exchange: 7,
            lane: "staging".to_owned(),
            operation: "fetch-chain".to_owned(),
            request: r#"{"order":"https://ca.example/order/1"}"#.to_owned(),
            state: OutboxState::Waiting,
            not_before: NOW.plus_millis(100_000),
            attempts: 2,
            traps: 0,
            created: before,
        }],
        records: vec![record.clone()],
    };
    let content = json!({ "kind": "HQ device", "content": "Device { serial: [1, 2, 3, 4] }" });
    Story {
        device,
        records: vec![Described { record, content }],
        component: Some(("abc".to_owned(), before)),
    }
}

fn summary() -> SubjectSummary {
    SubjectSummary {
        summary: Summary {
            subject: "device/a1".parse().unwrap(),
            kind: "device".to_owned(),
            state: "Issued".to_owned(),
            reason: "by a CA".to_owned(),
            name: Some("x.boxes.test".to_owned()),
            model: "box\u{1b}[2J".to_owned(),
            not_after: Some(NOW.plus_millis(89 * 86_400_000 + 100_000)),
            wake_at: None,
            last_contact: Some(NOW.minus_millis(120_000)),
        },
        updated: NOW.minus_millis(60_000),
    }
}

fn list_args() -> ListArgs {
    use clap::Parser;

    let cli = crate::cli::Cli::parse_from(["otscert-hq", "devices", "list"]);
    let crate::cli::Command::Devices(crate::cli::DevicesCommand::List(args)) = cli.command else {
        panic!("it is what was asked for");
    };
    args
}

const NOW: Timestamp = Timestamp::from_millis(1_795_453_500_000);
