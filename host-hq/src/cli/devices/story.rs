//! Everything that HQ knows of one device, for people and as JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::summary_json;
use crate::cli::described::Described;
use crate::cli::format::{date, printable, relative, rfc3339, table};
use crate::cli::prose::indented;
use crate::store::{Device, OutboxState, SubjectSummary};
use crate::types::Timestamp;

pub(super) struct Story {
    pub(super) device: Device,
    pub(super) records: Vec<Described>,
    pub(super) component: Option<(String, Timestamp)>,
}

impl Story {
    pub(super) fn json(&self) -> Value {
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

    pub(super) fn text(&self, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
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
