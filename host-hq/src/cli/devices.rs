//! `devices list` and `devices show`: they read the database, also while HQ runs.

mod story;

use std::io::{self, Write};

use serde_json::{Value, json};

use super::described::Describer;
use super::format::{date, printable, relative, rfc3339, table};
use super::lists::{ListError, Progress};
use super::{CliError, ListArgs, ShowArgs, Verdict};
use crate::config::Config;
use crate::serve::ServeError;
use crate::serve::socket::SocketError;
use crate::store::{
    Device, DeviceFilter, MAX_PAGE, OpenError, RestoreNotice, Store, StoreError, StoreOptions,
    SubjectSummary,
};
use crate::types::{NotASubject, RecordKey, Subject, Timestamp};

use story::Story;

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
mod tests;
