//! `check-config`: what HQ makes of its config.

use std::io::{self, Write};

use otscert_hq_ca::CaConfig;

use super::{CliError, Verdict};
use crate::config::{Config, Finding, Mode, PeopleCertificate, Severity};
use crate::types::Timestamp;

/// Prints the config as understood, then what was found about its files.
pub(super) fn run(
    config: &Config,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<Verdict, CliError> {
    describe(config, out)?;
    writeln!(out)?;
    write_findings(&config.check_files(now), false, out)
}

/// Prints what was found, one line each.
pub(super) fn write_findings(
    findings: &[Finding],
    as_json: bool,
    out: &mut dyn Write,
) -> Result<Verdict, CliError> {
    if as_json {
        let lines = findings.iter().map(|finding| {
            serde_json::json!({ "result": word(finding.severity).trim_end(), "text": finding.text })
        });
        serde_json::to_writer_pretty(&mut *out, &lines.collect::<Vec<_>>())
            .map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        for finding in findings {
            writeln!(out, "{} {}", word(finding.severity), finding.text)?;
        }
    }
    match findings
        .iter()
        .any(|finding| finding.severity == Severity::Fail)
    {
        true => Ok(Verdict::NotWell),
        false => Ok(Verdict::Well),
    }
}

/// As it stands at the beginning of a line.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok  ",
        Severity::Warn => "warn",
        Severity::Fail => "FAIL",
    }
}

fn describe(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let Config {
        path,
        hq_id,
        zone,
        data,
        store,
        component,
        keys: _,
        people,
        device_endpoint,
        admin,
        dns,
        cas,
        models,
        limits,
        log: _,
    } = config;
    writeln!(out, "config           {}", path.display())?;
    writeln!(out, "HQ               {hq_id}")?;
    writeln!(out, "zone             {zone}")?;
    for server in &dns.nameservers {
        let addresses: Vec<_> = server.addresses.iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "nameserver       {} at {}",
            server.name,
            addresses.join(", ")
        )?;
    }
    let listen: Vec<_> = dns.listen.iter().map(ToString::to_string).collect();
    writeln!(
        out,
        "DNS              on {} (UDP and TCP)",
        listen.join(", ")
    )?;
    writeln!(out, "boxes            on {}", device_endpoint.listen)?;
    if let Some(listen) = device_endpoint.danger_plain_http {
        writeln!(
            out,
            "boxes            on {listen} without TLS, this machine only"
        )?;
    }
    if let Some(listen) = people.listen {
        let names: Vec<_> = people.names.iter().map(ToString::to_string).collect();
        let certificate = match &people.certificate {
            PeopleCertificate::Auto => "certificate obtained by HQ".to_owned(),
            PeopleCertificate::Files(files) => {
                format!("certificate from {}", files.certificate.display())
            }
        };
        writeln!(
            out,
            "people           on {listen} as {}, {certificate}",
            names.join(", ")
        )?;
    }
    writeln!(out, "this machine     on {admin} (/healthz, /metrics)")?;
    for ca in cas {
        let what = match &ca.config {
            CaConfig::Acme(acme) => format!("ACME at {}", acme.directory.as_str()),
            CaConfig::Private(private) => {
                format!(
                    "HQ's own, certificates for {} h",
                    private.life.duration().as_secs() / 3600
                )
            }
        };
        writeln!(out, "CA               {}: {what}", ca.name)?;
    }
    for model in models {
        let mode = match model.mode {
            Mode::Address => "address names",
            Mode::Word => "word names",
        };
        let admission = model.admission.words();
        let ca = model
            .ca
            .as_deref()
            .or(cas.first().map(|ca| ca.name.as_str()))
            .unwrap_or("none");
        writeln!(
            out,
            "model            {}: {mode}, admission {admission}, CA {ca}",
            model.name
        )?;
    }
    writeln!(out, "data             {}", data.display())?;
    writeln!(out, "database         {}", store.display())?;
    match component {
        Some(file) => writeln!(out, "component        {}", file.display())?,
        None => writeln!(
            out,
            "component        built in, SHA-256 {}",
            otscert_component::sha256_hex()
        )?,
    }
    writeln!(
        out,
        "limits           {} messages a minute from one network ({} at once), {} bytes a message, {} connections",
        limits.requests_per_minute, limits.requests_burst, limits.body_bytes, limits.connections
    )
}
