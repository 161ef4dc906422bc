//! HQ's DNS as the world sees it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use otscert_hq_dns::{DnsName, Recursion, Transport, ask};

use super::Options;
use crate::config::{Config, Finding, Mode};
use crate::error::chain;

/// Asks every server of the zone itself, over UDP and TCP.
pub(super) async fn servers(config: &Config, options: &Options) -> Vec<Finding> {
    let mut findings = Vec::new();
    for server in &config.dns.nameservers {
        for &address in &server.addresses {
            let address = options
                .nameserver_at
                .unwrap_or(SocketAddr::new(address, DNS_PORT));
            for transport in [Transport::Udp, Transport::Tcp] {
                findings.push(match look(config, address, transport).await {
                    Ok(()) => Finding::ok(format!(
                        "{} at {address} answers for {} over {}",
                        server.name,
                        config.zone,
                        word(transport)
                    )),
                    Err(what) => Finding::fail(format!(
                        "{} at {address} over {}: {what}",
                        server.name,
                        word(transport)
                    )),
                });
            }
            findings.push(caa(config, address).await);
        }
    }
    findings
}

/// Asks a resolver whether the zone and HQ's own challenges are delegated to HQ.
pub(super) async fn delegation(config: &Config, resolver: SocketAddr) -> Vec<Finding> {
    let mut findings = Vec::new();
    let wanted: BTreeSet<String> = config
        .dns
        .nameservers
        .iter()
        .map(|server| server.name.to_string())
        .collect();
    let origins = [config.zone.clone()]
        .into_iter()
        .chain(config.challenge_zones().unwrap_or_default());
    for origin in origins {
        findings.push(delegated(&origin, &wanted, resolver).await);
    }
    for server in &config.dns.nameservers {
        findings.push(glue(&server.name, &server.addresses, resolver).await);
    }
    findings
}

async fn delegated(origin: &DnsName, wanted: &BTreeSet<String>, resolver: SocketAddr) -> Finding {
    let advice = "compare the NS records at the parent with those that `otscert-hq init` printed";
    let answer = match ask(
        resolver,
        Transport::Udp,
        origin.as_name(),
        RecordType::NS,
        Recursion::Desired,
        PATIENCE,
    )
    .await
    {
        Ok(answer) => answer,
        Err(error) => {
            return Finding::fail(format!(
                "delegation of {origin}: resolver {resolver}: {}",
                chain(&error)
            ));
        }
    };
    let got: BTreeSet<String> = answer
        .answers
        .iter()
        .filter_map(|record| {
            let RData::NS(ns) = &record.data else {
                return None;
            };
            Some(text(&ns.0))
        })
        .collect();
    if got == *wanted {
        return Finding::ok(format!(
            "delegation of {origin}: the world is sent to {}",
            listed(&got)
        ));
    }
    if got.is_empty() {
        let code = answer.metadata.response_code;
        return Finding::fail(format!(
            "delegation of {origin}: the world finds no NS records ({code}): {advice}"
        ));
    }
    Finding::fail(format!(
        "delegation of {origin}: the world is sent to {}, and the config has {}: {advice}",
        listed(&got),
        listed(wanted)
    ))
}

async fn glue(name: &DnsName, addresses: &[IpAddr], resolver: SocketAddr) -> Finding {
    let mut got = BTreeSet::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        match ask(
            resolver,
            Transport::Udp,
            name.as_name(),
            kind,
            Recursion::Desired,
            PATIENCE,
        )
        .await
        {
            Ok(answer) => got.extend(addresses_in(&answer)),
            Err(error) => {
                return Finding::fail(format!(
                    "address of {name}: resolver {resolver}: {}",
                    chain(&error)
                ));
            }
        }
    }
    let wanted: BTreeSet<IpAddr> = addresses.iter().copied().collect();
    let text =
        |addresses: &BTreeSet<IpAddr>| listed(&addresses.iter().map(IpAddr::to_string).collect());
    if got == wanted {
        return Finding::ok(format!("address of {name}: the world finds {}", text(&got)));
    }
    Finding::fail(format!(
        "address of {name}: the world finds {}, and the config has {}: correct the glue at the parent, or the config",
        text(&got),
        text(&wanted)
    ))
}

/// What one server must answer; else what is wrong and what to do.
async fn look(config: &Config, server: SocketAddr, transport: Transport) -> Result<(), String> {
    let zone = config.zone.as_name();
    let asked = |name: Name, kind: RecordType| async move {
        match ask(
            server,
            transport,
            &name,
            kind,
            Recursion::Unwanted,
            PATIENCE,
        )
        .await
        {
            Ok(answer) => Ok(answer),
            Err(error) => Err(format!(
                "{}: check that HQ runs there, and that UDP and TCP port {} are let in",
                chain(&error),
                server.port()
            )),
        }
    };
    for kind in [RecordType::SOA, RecordType::NS, RecordType::CAA] {
        let answer = asked(zone.clone(), kind).await?;
        let has = answer
            .answers
            .iter()
            .any(|record| record.record_type() == kind);
        if !has || !answer.metadata.authoritative {
            let code = answer.metadata.response_code;
            return Err(format!(
                "no {kind} of the zone ({code}): is that server this HQ?"
            ));
        }
    }
    // Nobody has this label: 26 characters, as an address-mode label has, that no generator draws.
    let made_up = format!("192-168-1-7.{MADE_UP}.{}", config.zone);
    let made_up = DnsName::parse(&made_up).map_err(|error| chain(&error))?;
    let answer = asked(made_up.as_name().clone(), RecordType::A).await?;
    if answer.metadata.response_code != ResponseCode::NXDomain {
        return Err(format!(
            "a made-up name has {} instead of NXDOMAIN: is that server this HQ, without a wildcard in front?",
            answer.metadata.response_code
        ));
    }
    Ok(())
}

/// Whether the zone admits the accounts that HQ has.
async fn caa(config: &Config, server: SocketAddr) -> Finding {
    let answer = match ask(
        server,
        Transport::Tcp,
        config.zone.as_name(),
        RecordType::CAA,
        Recursion::Unwanted,
        PATIENCE,
    )
    .await
    {
        Ok(answer) => answer,
        Err(error) => return Finding::fail(format!("CAA at {server}: {}", chain(&error))),
    };
    let both = [Mode::Address, Mode::Word]
        .iter()
        .all(|mode| config.models.iter().any(|model| model.mode == *mode));
    if both {
        return Finding::ok(format!(
            "CAA at {server}: with both name modes it stands at each name, not at the zone"
        ));
    }
    let served: Vec<String> = answer
        .answers
        .iter()
        .filter_map(|record| {
            let RData::CAA(caa) = &record.data else {
                return None;
            };
            Some(String::from_utf8_lossy(&caa.value).into_owned())
        })
        .collect();
    let expected = match crate::serve::known_accounts(&config.data) {
        Ok(accounts) => accounts,
        Err(why) => return Finding::warn(format!("CAA at {server}: {why}")),
    };
    for (ca, issuer, account) in &expected {
        let fits = |value: &String| {
            value.starts_with(issuer.as_str())
                && account
                    .as_ref()
                    .is_none_or(|account| value.contains(&format!("accounturi={account}")))
        };
        if !served.iter().any(fits) {
            return Finding::fail(format!(
                "CAA at {server} does not admit HQ's account at {ca} ({issuer}): start HQ again, and look for CAA in its log"
            ));
        }
    }
    match expected.is_empty() {
        true => Finding::ok(format!(
            "CAA at {server}: no public CA is admitted, and none is in use"
        )),
        false => Finding::ok(format!(
            "CAA at {server} admits HQ's own accounts only ({} in all)",
            expected.len()
        )),
    }
}

fn addresses_in(answer: &Message) -> Vec<IpAddr> {
    let address = |data: &RData| {
        if let RData::A(a) = data {
            return Some(IpAddr::V4(a.0));
        }
        let RData::AAAA(aaaa) = data else { return None };
        Some(IpAddr::V6(aaaa.0))
    };
    answer
        .answers
        .iter()
        .filter_map(|record| address(&record.data))
        .collect()
}

fn text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

fn listed(names: &BTreeSet<String>) -> String {
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.iter().cloned().collect::<Vec<_>>().join(", "),
    }
}

fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
    }
}

const DNS_PORT: u16 = 53;
const PATIENCE: Duration = Duration::from_secs(4);
const MADE_UP: &str = "doctor-made-up-this-label0";
