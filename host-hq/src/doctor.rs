//! `otscert-hq doctor`: a look at HQ from outside.
//!
//! Every check stands by itself and says what to do; none changes anything. What a check needs of another one that
//! failed, it says so again rather than staying silent.

mod dns;
mod https;

use std::net::SocketAddr;
use std::path::Path;

use otscert_hq_ca::CaConfig;

use crate::config::{Config, Finding, PeopleCertificate};
use crate::error::chain;
use crate::http::admin::reachable;
use crate::types::Timestamp;

/// How to look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Resolver for what the world sees; none: the system's.
    pub resolver: Option<SocketAddr>,
    /// Asked instead of each nameserver's own address.
    pub nameserver_at: Option<SocketAddr>,
}

/// Looks at everything.
pub async fn examine(config: &Config, options: &Options, now: Timestamp) -> Vec<Finding> {
    let mut findings = config.check_files(now);
    findings.push(disk(&config.data));
    findings.push(running(config).await);
    findings.extend(dns::servers(config, options).await);
    match options.resolver.or_else(system_resolver) {
        Some(resolver) => findings.extend(dns::delegation(config, resolver).await),
        None => findings.push(Finding::warn(
            "delegation: not looked at, since /etc/resolv.conf names no resolver: give one with --resolver",
        )),
    }
    findings.push(https::device_endpoint(config).await);
    if let (PeopleCertificate::Auto, Some(listen)) =
        (&config.people.certificate, config.people.listen)
    {
        findings.push(https::own_certificate(&config.data, listen, now));
    }
    for ca in &config.cas {
        match &ca.config {
            CaConfig::Acme(acme) => findings.extend(https::acme(config, &ca.name, acme, now).await),
            CaConfig::Private(_) => findings.push(private(config, &ca.name)),
        }
    }
    findings
}

async fn running(config: &Config) -> Finding {
    let address = reachable(config.admin);
    match https::health(address).await {
        Ok((true, _)) => Finding::ok(format!("HQ runs and is well (http://{address}/healthz)")),
        Ok((false, report)) => Finding::fail(format!(
            "HQ runs and is not well: {report}; its log says more"
        )),
        Err(error) => Finding::fail(format!(
            "HQ does not answer at http://{address}/healthz: {}; start it with `otscert-hq serve`",
            chain(&error)
        )),
    }
}

fn private(config: &Config, ca: &str) -> Finding {
    let root = config.data.join("ca").join(ca).join("root.pem");
    match root.exists() {
        true => Finding::ok(format!(
            "CA {ca}: install its root {} where the pages are opened",
            root.display()
        )),
        false => Finding::warn(format!(
            "CA {ca}: its root is made at the first `otscert-hq serve`"
        )),
    }
}

fn disk(data: &Path) -> Finding {
    match rustix::fs::statvfs(data) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let text = format!("disk: {} MiB are free at {}", free >> 20, data.display());
            match free {
                0..LOW_DISK => {
                    Finding::fail(format!("{text}: make room, or HQ stops answering boxes"))
                }
                LOW_DISK..SCANT_DISK => Finding::warn(format!("{text}: make room soon")),
                _ => Finding::ok(text),
            }
        }
        Err(error) => Finding::fail(format!(
            "disk: the folder {} cannot be looked at ({error}): check `data`",
            data.display()
        )),
    }
}

/// The first resolver of /etc/resolv.conf.
fn system_resolver() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .find_map(|rest| rest.trim().parse().ok())
        .map(|address| SocketAddr::new(address, 53))
}

const LOW_DISK: u64 = 64 << 20;
const SCANT_DISK: u64 = 1 << 30;
