//! What the operator pastes and does after `init`.

use std::fmt::Write;
use std::path::Path;

use super::template::origins;
use super::{CONFIG, InitCa, InitOptions};
use crate::config::Config;

/// NS and glue records, CAA, ports, and the next commands.
pub(super) fn text(options: &InitOptions, config: &Config, folder: &Path) -> String {
    let zone = options.zone.to_string();
    let hq_name = options.hq_name.to_string();
    let mut text = format!("HQ {} is ready in {}.\n", options.hq_id, folder.display());
    // Unwrap safety: writing to a String does not fail, and its results say so by being ignored.
    let mut line = |line: String| {
        let _infallible = writeln!(text, "{line}");
    };

    line(format!(
        "\n1. Records for the parent of {zone}, at your registrar or in its zone file:"
    ));
    for server in &options.nameservers {
        line(format!("     {zone}.  3600 IN NS    {}.", server.name));
    }
    for server in &options.nameservers {
        for address in &server.addresses {
            let kind = if address.is_ipv4() { "A   " } else { "AAAA" };
            let what = match server.name.is_within(&options.zone) {
                true => "   ; glue",
                false => "   ; in that name's own zone",
            };
            line(format!(
                "     {}.  3600 IN {kind}  {address}{what}",
                server.name
            ));
        }
    }
    line(format!(
        "   and for the zone of {hq_name}, so that HQ can get a certificate for it:"
    ));
    for server in &options.nameservers {
        line(format!(
            "     _acme-challenge.{hq_name}.  3600 IN NS    {}.",
            server.name
        ));
    }
    for address in &options.addresses {
        let kind = if address.is_ipv4() { "A   " } else { "AAAA" };
        line(format!("     {hq_name}.  3600 IN {kind}  {address}"));
    }

    line("\n2. What HQ will serve in the zone as CAA, so that nobody else can issue:".to_owned());
    match &options.ca {
        InitCa::Acme(acme) => {
            line(format!(
                "     the issuer of {}, bound to HQ's account and to dns-01 (RFC 8657);",
                acme.directory
            ));
            line("     the account is made at the first start. Nothing to paste.".to_owned());
        }
        InitCa::Private => line(
            "     issue \";\" and issuewild \";\": no public CA at all. Nothing to paste."
                .to_owned(),
        ),
    }

    line("\n3. Ports to let in:".to_owned());
    let dns: Vec<_> = config.dns.listen.iter().map(ToString::to_string).collect();
    line(format!(
        "     {:<28} UDP and TCP, from everywhere: DNS",
        dns.join(", ")
    ));
    line(format!(
        "     {:<28} TCP, from the boxes: {}",
        config.device_endpoint.listen,
        origins(options).join(", ")
    ));
    line(format!(
        "     {:<28} TCP, from people: https://{hq_name}/",
        options.listen.people
    ));
    line("   Ports below 1024 want root, or: setcap cap_net_bind_service=+ep \"$(command -v otscert-hq)\"".to_owned());
    line("   (with systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE).".to_owned());

    let path = folder.join(CONFIG);
    let path = path.display();
    let folder = folder.display();
    line("\n4. Next:".to_owned());
    line(format!(
        "     move {folder}/roots off this machine; {folder}/roots/README.txt says why"
    ));
    line(format!(
        "     put {folder}/image-bundle into the firmware image"
    ));
    line(format!("     otscert-hq check-config --config {path}"));
    line(format!("     otscert-hq serve --config {path}"));
    line(format!("     otscert-hq doctor --config {path}"));
    text
}
