//! `devices list` and `devices show`: they read the database, also while HQ runs.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::described::{Described, Describer};
use super::format::{date, printable, relative, rfc3339, table};
use super::lists::{ListError, Progress};
use super::prose::indented;
use super::{CliError, ListArgs, ShowArgs, Verdict};
use crate::config::Config;
use crate::serve::ServeError;
use crate::serve::socket::SocketError;
use crate::store::{
    Device, DeviceFilter, MAX_PAGE, OpenError, OutboxState, RestoreNotice, Store, StoreError,
    StoreOptions, SubjectSummary,
};
use crate::types::{NotASubject, RecordKey, Subject, Timestamp};

/// Why nothing can be shown or done.
#[derive(Debug, thiserror::Error)]
pub enum DevicesError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The component that reads records cannot be used.
    #[error(transparent)]
    Component(#[from] ServeError),
    /// There is no such device.
    #[error("no device has the name or id {what:?}: `otscert-hq devices list` shows all")]
    Unknown {
        /// What was asked for.
        what: String,
    },
    /// `--after` names none.
    #[error("`--after` wants an id, as `devices list` shows it")]
    After(#[source] NotASubject),
    /// The list of devices.
    #[error(transparent)]
    List(#[from] ListError),
    /// HQ did not do it.
    #[error(transparent)]
    Order(#[from] SocketError),
    /// HQ went away in the middle.
    #[error(
        "HQ was told of {told} of {total} devices; run it again, which does no harm to those that it was told of"
    )]
    Interrupted {
        /// Of how many.
        told: usize,
        /// How many there are.
        total: usize,
        /// Why.
        #[source]
        source: SocketError,
    },
}

/// A line of a list.
struct Row {
    device: SubjectSummary,
    /// What it said last; none where nobody asked for it.
    firmware: Option<String>,
}

/// Lists devices.
pub(super) async fn list(
    config: &Config,
    args: &ListArgs,
    now: Timestamp,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, CliError> {
    let store = open(config).await?;
    let after = args
        .after
        .as_deref()
        .map(subject_of)
        .transpose()
        .map_err(DevicesError::After)?;
    let rows = select(config, &store, args, after).await?;
    if args.ids {
        for row in &rows {
            writeln!(out, "{}", row.device.summary.subject)?;
        }
    } else if args.json {
        let rows: Vec<_> = rows.iter().map(row_json).collect();
        write_json(out, &json!(rows))?;
    } else {
        let notice = store.restore_notice(now).await;
        write_notice(out, notice.map_err(DevicesError::Store)?, now)?;
        write_list(out, args, &rows, now)?;
    }
    Ok(Verdict::Well)
}

/// Reads page after page until there are as many as asked for.
async fn select(
    config: &Config,
    store: &Store,
    args: &ListArgs,
    after: Option<Subject>,
) -> Result<Vec<Row>, DevicesError> {
    let mut describer = match args.firmware {
        Some(_) => Some(Describer::new(config).await?),
        None => None,
    };
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let page = match args.firmware {
        Some(_) => MAX_PAGE,
        None => args.limit.min(MAX_PAGE),
    };
    let mut filter = DeviceFilter {
        state: args.state.clone(),
        model: args.model.clone(),
        text: args.matching.clone(),
        after,
        limit: Some(page),
    };
    let mut rows: Vec<Row> = Vec::new();
    let mut progress = Progress::new("devices found", limit);
    while rows.len() < limit {
        let devices = store.devices(&filter).await?;
        let is_last = devices.len() < usize::try_from(page).unwrap_or(usize::MAX);
        filter.after = devices.last().map(|it| it.summary.subject.clone());
        for device in devices {
            let firmware = match &mut describer {
                Some(describer) => firmware(store, describer, &device).await?,
                None => None,
            };
            if args.firmware.is_none() || args.firmware == firmware {
                rows.push(Row { device, firmware });
            }
        }
        progress.at(rows.len());
        if is_last {
            break;
        }
    }
    rows.truncate(limit);
    Ok(rows)
}

/// What a device said of its firmware last, as its record has it.
async fn firmware(
    store: &Store,
    describer: &mut Describer,
    device: &SubjectSummary,
) -> Result<Option<String>, DevicesError> {
    // A subject of a device is the key of its record (docs/DATA_MODEL.md).
    let key = String::from(device.summary.subject.clone());
    let Ok(key) = RecordKey::try_from(key) else {
        return Ok(None);
    };
    let record = store.record(&key).await?;
    let described = record.map(|record| describer.describe(record));
    Ok(described.and_then(|it| it.text("firmware").map(str::to_owned)))
}

/// Tells one device's story.
pub(super) async fn show(
    config: &Config,
    args: &ShowArgs,
    now: Timestamp,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, CliError> {
    let store = open(config).await?;
    let device = find(&store, &args.device).await?;
    let component = store.component().await.map_err(DevicesError::Store)?;
    let mut describer = Describer::new(config).await?;
    let records = device.records.iter().cloned();
    let records = records.map(|record| describer.describe(record)).collect();
    let story = Story {
        device,
        records,
        component,
    };
    if args.json {
        write_json(out, &story.json())?;
    } else {
        story.text(now, out)?;
    }
    Ok(Verdict::Well)
}

pub(super) async fn open(config: &Config) -> Result<Store, DevicesError> {
    Ok(Store::open_read_only(StoreOptions::new(config.store.clone())).await?)
}

pub(super) async fn find(store: &Store, what: &str) -> Result<Device, DevicesError> {
    let found = match store.device(what).await? {
        // An id without its kind, as people copy it.
        None => store.device(&format!("{DEVICE}{what}")).await?,
        found => found,
    };
    found.ok_or_else(|| DevicesError::Unknown {
        what: what.to_owned(),
    })
}

fn subject_of(text: &str) -> Result<Subject, NotASubject> {
    match text.contains('/') {
        true => text.parse(),
        false => format!("{DEVICE}{text}").parse(),
    }
}

/// What concerns the whole fleet, above the list of it.
fn write_notice(
    out: &mut dyn Write,
    notice: Option<RestoreNotice>,
    now: Timestamp,
) -> io::Result<()> {
    let Some(notice) = notice else { return Ok(()) };
    let devices = match notice.devices {
        1 => "1 device is".to_owned(),
        several => format!("{several} devices are"),
    };
    let stage = match notice.is_open(now) {
        true => "so far",
        false => "in all",
    };
    writeln!(
        out,
        "Notice: {devices} ahead of HQ's records {stage}, since {} (the last one {}). Most likely {}; {}.\n",
        date(notice.first),
        relative(notice.last, now),
        RestoreNotice::CAUSE,
        RestoreNotice::ADVICE,
    )
}

fn write_list(
    out: &mut dyn Write,
    args: &ListArgs,
    rows: &[Row],
    now: Timestamp,
) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(
            out,
            "No device fits. One appears here with its first enrolment."
        );
    }
    let ago = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| relative(at, now));
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let summary = &row.device.summary;
            vec![
                summary.subject.to_string(),
                printable(summary.name.as_deref().unwrap_or("-")),
                printable(&summary.model),
                printable(&summary.state),
                summary
                    .not_after
                    .map_or_else(|| "-".to_owned(), |end| relative(end, now)),
                ago(summary.last_contact),
                printable(&summary.reason),
            ]
        })
        .collect();
    let head = [
        "ID",
        "NAME",
        "MODEL",
        "STATE",
        "ENDS",
        "LAST CONTACT",
        "WHY",
    ];
    out.write_all(table(&head, &cells).as_bytes())?;
    if let Some(last) = rows
        .last()
        .filter(|_| rows.len() >= usize::try_from(args.limit).unwrap_or(usize::MAX))
    {
        let last = &last.device.summary.subject;
        writeln!(out, "There may be more: --after {last}")?;
    }
    Ok(())
}

struct Story {
    device: Device,
    records: Vec<Described>,
    component: Option<(String, Timestamp)>,
}

impl Story {
    fn json(&self) -> Value {
        let history = self
            .device
            .history
            .iter()
            .map(|row| json!({ "at": rfc3339(row.at), "kind": row.kind, "text": row.text }));
        let outbox = self.device.outbox.iter().map(|row| {
            json!({
                "exchange": row.exchange,
                "peer": row.lane,
                "operation": row.operation,
                "request": serde_json::from_str::<Value>(&row.request).unwrap_or(Value::Null),
                "state": row.state.as_str(),
                "notBefore": rfc3339(row.not_before),
                "attempts": row.attempts,
                "traps": row.traps,
                "created": rfc3339(row.created),
            })
        });
        let records = self.records.iter().map(|described| {
            json!({
                "key": described.record.key.as_str(),
                "bytes": described.record.value.len(),
                "expires": described.record.expires.map(rfc3339),
                "described": described.content,
            })
        });
        json!({
            "summary": summary_json(&self.device.summary),
            "history": history.collect::<Vec<_>>(),
            "outbox": outbox.collect::<Vec<_>>(),
            "records": records.collect::<Vec<_>>(),
            "component": self.component.as_ref().map(|(sha256, since)| json!({
                "sha256": sha256, "since": rfc3339(*since),
            })),
        })
    }

    /// What the device's record says of who it is, why it was let in, and what its keys stand on.
    fn identity(&self, line: &mut impl FnMut(&str, String) -> io::Result<()>) -> io::Result<()> {
        let subject = self.device.summary.summary.subject.as_str();
        let mut records = self.records.iter();
        let Some(record) = records.find(|it| it.record.key.as_str() == subject) else {
            return Ok(());
        };
        let text = |member| record.text(member).map(printable);
        if let Some(firmware) = text("firmware") {
            line("firmware", firmware)?;
        }
        if let Some(admitted) = text("admitted") {
            let proved = match record.text("proved") {
                Some("true") => "it showed what strangers cannot have",
                Some(_) | None => "it showed nothing that strangers cannot have",
            };
            line("admitted", format!("{admitted}: {proved}"))?;
        }
        if let Some(unit) = text("unit") {
            line("unit", unit)?;
        }
        if let Some(starts) = record.member("bootCount").and_then(Value::as_u64) {
            line("boot count", starts.to_string())?;
        }
        if let Some(grade) = text("entropyGrade") {
            let sentence = text("entropySentence").unwrap_or_default();
            line("entropy", format!("grade {grade}: {sentence}"))?;
        }
        let sources = record.member("entropySources").and_then(Value::as_array);
        let sources = sources.into_iter().flatten().filter_map(Value::as_str);
        let sources: Vec<_> = sources.map(printable).collect();
        if !sources.is_empty() {
            line("sources", sources.join(", "))?;
        }
        Ok(())
    }

    fn text(&self, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        let SubjectSummary { summary, updated } = &self.device.summary;
        let when = |at: Timestamp| format!("{} ({})", date(at), relative(at, now));
        let mut line = |what: &str, text: String| writeln!(out, "{what:<14}{text}");
        line("id", summary.subject.to_string())?;
        line(
            "name",
            printable(summary.name.as_deref().unwrap_or("none yet")),
        )?;
        line("model", printable(&summary.model))?;
        line(
            "state",
            format!("{}, since {}", printable(&summary.state), when(*updated)),
        )?;
        line("why", printable(&summary.reason))?;
        line(
            "last contact",
            summary
                .last_contact
                .map_or_else(|| "never".to_owned(), when),
        )?;
        line(
            "certificate",
            summary
                .not_after
                .map_or_else(|| "none".to_owned(), |end| format!("ends {}", when(end))),
        )?;
        if let Some(wake) = summary.wake_at {
            line("next look", when(wake))?;
        }
        self.identity(&mut line)?;
        if let Some((sha256, since)) = &self.component {
            line("component", format!("{sha256}, since {}", when(*since)))?;
        }

        writeln!(out, "\nUnder way")?;
        if self.device.outbox.is_empty() {
            writeln!(out, "  nothing")?;
        }
        for row in &self.device.outbox {
            let state = match row.state {
                OutboxState::Waiting => format!("waits, not before {}", when(row.not_before)),
                OutboxState::Leased => "being done at this moment".to_owned(),
                OutboxState::Parked => {
                    "PARKED: the component failed at its outcome, see the log".to_owned()
                }
            };
            writeln!(
                out,
                "  {} at {}: {state}; tried {} times",
                row.operation, row.lane, row.attempts
            )?;
            writeln!(out, "    {}", printable(&row.request))?;
        }

        writeln!(out, "\nHistory, the newest first")?;
        let rows: Vec<_> = self
            .device
            .history
            .iter()
            .map(|row| {
                vec![
                    format!("  {}", date(row.at)),
                    printable(&row.kind),
                    printable(&row.text),
                ]
            })
            .collect();
        if rows.is_empty() {
            writeln!(out, "  nothing")?;
        } else {
            out.write_all(table(&["  WHEN", "WHAT", "TEXT"], &rows).as_bytes())?;
        }

        writeln!(out, "\nRecords, as the component reads them")?;
        for described in &self.records {
            writeln!(
                out,
                "  {} ({} bytes)",
                described.record.key,
                described.record.value.len()
            )?;
            let content = match described
                .content
                .get("content")
                .or(described.content.get("error"))
            {
                Some(Value::String(text)) => indented(text),
                Some(other) => serde_json::to_string_pretty(other)?,
                None => described.content.to_string(),
            };
            for line in content.lines() {
                writeln!(out, "    {}", printable(line))?;
            }
        }
        Ok(())
    }
}

fn row_json(row: &Row) -> Value {
    let mut json = summary_json(&row.device);
    if let (Value::Object(members), Some(firmware)) = (&mut json, &row.firmware) {
        members.insert("firmware".to_owned(), json!(firmware));
    }
    json
}

fn summary_json(device: &SubjectSummary) -> Value {
    let summary = &device.summary;
    json!({
        "subject": summary.subject,
        "kind": summary.kind,
        "state": summary.state,
        "reason": summary.reason,
        "name": summary.name,
        "model": summary.model,
        "notAfter": summary.not_after.map(rfc3339),
        "wakeAt": summary.wake_at.map(rfc3339),
        "lastContact": summary.last_contact.map(rfc3339),
        "updated": rfc3339(device.updated),
    })
}

fn write_json(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

const DEVICE: &str = "device/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{HistoryRow, OutboxEntry, RecordRow};
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
        let crate::cli::Command::Devices(crate::cli::DevicesCommand::List(args)) = cli.command
        else {
            panic!("it is what was asked for");
        };
        args
    }

    const NOW: Timestamp = Timestamp::from_millis(1_795_453_500_000);
}
