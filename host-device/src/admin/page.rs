//! The status page: readable for the owner of a box, without a script.

use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::macros::format_description;

use crate::status::Status;

/// The page of a status.
pub(super) fn render(status: &Status) -> String {
    let mut html = String::with_capacity(4096);
    // Writing to a String does not fail.
    let _written = write(&mut html, status);
    html
}

fn write(html: &mut String, status: &Status) -> fmt::Result {
    let progress = &status.progress;
    let headline = if status.https {
        "This box is on HTTPS"
    } else {
        "This box is setting up HTTPS"
    };
    html.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    if !status.https {
        writeln!(
            html,
            "<meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">"
        )?;
    }
    writeln!(
        html,
        "<title>{headline}</title>\n<link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n<body>\n<main>"
    )?;
    let mark = if status.https { "good" } else { "waiting" };
    writeln!(
        html,
        "<p class=\"model\">{}</p>\n<h1 class=\"{mark}\">{headline}</h1>",
        Escaped(&status.model)
    )?;
    writeln!(
        html,
        "<p class=\"reason\">{}</p>",
        Escaped(&progress.reason)
    )?;
    if let Some(trouble) = &status.trouble {
        writeln!(
            html,
            "<p class=\"trouble\" role=\"alert\"><strong>Trouble:</strong> {}</p>",
            Escaped(trouble)
        )?;
    }
    let setup = status.setup();
    if setup.randomness {
        html.push_str(
            "<p class=\"trouble\">This box has too little randomness of its own. \
             <a href=\"/setup\">Give it some from this browser.</a></p>\n",
        );
    } else if setup.code {
        html.push_str(
            "<p>Does its maker ask for the code on the label? <a href=\"/setup\">Type it here.</a></p>\n",
        );
    }
    if !status.https {
        let next = status
            .next_try
            .map_or_else(|| "when an answer arrives".to_owned(), until);
        writeln!(
            html,
            "<p>Next step: {next}. This page looks again by itself.</p>"
        )?;
    }
    if !status.urls.is_empty() {
        html.push_str("<h2>Address</h2>\n<ul class=\"urls\">\n");
        for url in &status.urls {
            writeln!(html, "<li><a href=\"{0}\">{0}</a></li>", Escaped(url))?;
        }
        html.push_str("</ul>\n");
    }
    if let Some(certificate) = &status.certificate {
        html.push_str("<h2>Certificate</h2>\n<dl>\n");
        row(html, "Issued by", &certificate.issuer)?;
        row(html, "For", &certificate.names.join(", "))?;
        row(html, "Valid from", &moment(certificate.not_before_ms))?;
        row(html, "Valid until", &moment(certificate.not_after_ms))?;
        html.push_str("</dl>\n");
    }
    html.push_str("<h2>Details</h2>\n<dl>\n");
    row(html, "State", &progress.state)?;
    let sentence = status.randomness.as_ref().map(|it| it.sentence.as_str());
    let grade = format!("Grade {}. {}", progress.grade, sentence.unwrap_or_default());
    row(html, "Randomness", grade.trim_end())?;
    for source in status.randomness.iter().flat_map(|it| &it.sources) {
        row(html, &source.name(), &source.worth())?;
    }
    row(
        html,
        "Time, as far as known",
        &progress
            .time_ms
            .map_or_else(|| "not known yet".to_owned(), moment),
    )?;
    row(
        html,
        "Device id",
        progress.device_id.as_deref().unwrap_or("none yet"),
    )?;
    row(
        html,
        "Last exchange with HQ",
        status.last_exchange.as_deref().unwrap_or("none yet"),
    )?;
    row(html, "HQ", &status.hq_id)?;
    row(html, "Firmware", &status.firmware)?;
    row(
        html,
        "Component",
        &format!("SHA-256 {}", status.component_sha256),
    )?;
    html.push_str("</dl>\n<p class=\"foot\">For programs: <a href=\"/status.json\">status.json</a></p>\n</main>\n</body>\n</html>\n");
    Ok(())
}

fn row(html: &mut String, term: &str, text: &str) -> fmt::Result {
    writeln!(
        html,
        "<div><dt>{}</dt><dd>{}</dd></div>",
        Escaped(term),
        Escaped(text)
    )
}

fn moment(ms: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    i64::try_from(ms / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(&format).ok())
        .unwrap_or_else(|| format!("{ms} ms after 1970"))
}

fn until(moment: Instant) -> String {
    let left = moment.saturating_duration_since(Instant::now());
    if left < Duration::from_secs(2) {
        "now".to_owned()
    } else if left < Duration::from_secs(120) {
        format!("in {} seconds", left.as_secs())
    } else if left < Duration::from_secs(7200) {
        format!("in {} minutes", left.as_secs() / 60)
    } else {
        format!("in {} hours", left.as_secs() / 3600)
    }
}

/// Text inside an element or a quoted attribute.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

const REFRESH_SECONDS: u32 = 3;

pub(super) const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #ffffff; --line: #d0d7de; --good: #11663a;
  --wait: #8a4b00; --bad: #a1160a; --bad-paper: #fff0ee; --link: #0b57a4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9da7b1; --paper: #0f1419; --line: #30363d; --good: #5ecb8b; --wait: #e8b15f;
    --bad: #ff9a8f; --bad-paper: #341512; --link: #79b8ff; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { margin: 0 0 .5rem; font-size: 1.75rem; line-height: 1.2; }
h1.good { color: var(--good); }
h1.waiting { color: var(--wait); }
h2 { margin: 2rem 0 .5rem; font-size: 1.1rem; }
.model, .foot { margin: 0 0 .25rem; color: var(--soft); }
.foot { margin-top: 2rem; }
.reason { font-size: 1.1rem; }
.trouble { padding: .75rem 1rem; border-left: .25rem solid var(--bad); background: var(--bad-paper); color: var(--bad); }
a { color: var(--link); }
button { padding: .6rem 1rem; border: 1px solid var(--line); border-radius: .375rem; background: var(--link); color: var(--paper);
  font: inherit; cursor: pointer; }
button:disabled { opacity: .5; cursor: default; }
input { padding: .6rem; border: 1px solid var(--line); border-radius: .375rem; background: var(--paper); color: var(--ink);
  font: inherit; font-family: ui-monospace, monospace; width: 24rem; max-width: 100%; }
.urls { margin: 0; padding: 0; list-style: none; }
.urls a, dd, .reason, .trouble { overflow-wrap: anywhere; }
.urls li { padding: .35rem 0; }
dl { margin: 0; }
dl div { display: grid; grid-template-columns: 12rem 1fr; gap: .25rem 1rem; padding: .5rem 0; border-top: 1px solid var(--line); }
dt { color: var(--soft); }
dd { margin: 0; }
@media (max-width: 34rem) { dl div { grid-template-columns: 1fr; } }
";
