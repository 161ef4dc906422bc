//! The files that `init` writes.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use otscert_hq_dns::DnsName;

use super::ceremony::Ceremony;
use super::{CONFIG, InitAcme, InitCa, InitOptions};
use crate::config::{Admission, Mode};

/// A file: its path in the folder, its content, whether it is secret.
pub(super) type NewFile = (&'static str, Vec<u8>, bool);

/// Every file but the folder of data.
pub(super) fn files(options: &InitOptions, ceremony: &Ceremony, config: String) -> Vec<NewFile> {
    let secret = |seed: &crate::config::Seed| seed.to_line().as_bytes().to_vec();
    let root_pem = ceremony.tls_root.certificate.clone().into_bytes();
    vec![
        (CONFIG, config.into_bytes(), false),
        ("keys/protocol.key", secret(&ceremony.signing), true),
        ("keys/delegation.json", ceremony.delegation.clone(), true),
        ("keys/token.key", secret(&ceremony.token), true),
        ("keys/master.key", secret(&ceremony.master), true),
        ("roots/active.key", secret(&ceremony.active_root), true),
        ("roots/spare.key", secret(&ceremony.spare_root), true),
        (
            "roots/tls-root.key",
            ceremony.tls_root.key.as_bytes().to_vec(),
            true,
        ),
        ("roots/tls-root.pem", root_pem.clone(), true),
        ("roots/README.txt", ROOTS_README.as_bytes().to_vec(), true),
        (
            "tls/device-endpoint.pem",
            ceremony.tls_leaf.certificate.clone().into_bytes(),
            true,
        ),
        (
            "tls/device-endpoint.key",
            ceremony.tls_leaf.key.as_bytes().to_vec(),
            true,
        ),
        (
            "image-bundle/bundle.toml",
            bundle(options, ceremony).into_bytes(),
            false,
        ),
        ("image-bundle/tls-root.pem", root_pem, false),
    ]
}

/// What a firmware image knows of this HQ; host-device reads it (its `bundle.rs` says what each field is).
fn bundle(options: &InitOptions, ceremony: &Ceremony) -> String {
    format!(
        "# For the firmware image: put this folder into it. Nothing in it is secret.\n\
         hq_id = {}\n\
         origins = {}\n\
         # Active, then cold spare.\n\
         protocol_roots = {}\n\
         tls_root = \"tls-root.pem\"\n\
         # One bundle for each model, if you make several: copy the folder and change this line.\n\
         model = {}\n\
         zone = {}\n",
        quoted(&options.hq_id),
        list(&origins(options)),
        list(&roots(ceremony)),
        quoted(&options.model),
        quoted(&options.zone.to_string()),
    )
}

pub(super) fn config(options: &InitOptions, ceremony: &Ceremony) -> String {
    let hostmaster = options
        .hostmaster
        .clone()
        .unwrap_or_else(|| format!("hostmaster@{}", site(&options.hq_name)));
    let dns_listen: Vec<_> = options.listen.dns.iter().map(ToString::to_string).collect();
    let nameservers: String = options
        .nameservers
        .iter()
        .map(|server| {
            let addresses: Vec<_> = server.addresses.iter().map(IpAddr::to_string).collect();
            format!(
                "\n[[dns.nameserver]]\nname = {}\naddresses = {}\n",
                quoted(&server.name.to_string()),
                list(&addresses)
            )
        })
        .collect();
    let switch = |on: bool, line: &str| match on {
        true => format!("{line} = true\n"),
        false => String::new(),
    };
    format!(
        r#"# Config of otscert-hq. `otscert-hq check-config` says what is wrong with it and what HQ makes of it. Relative
# paths start at the folder of this file. Flags and environment (see `otscert-hq serve --help`) override it.

# HQ's id: every message of the protocol names it, and every box pins it. Never change it once boxes are out.
hq_id = {hq_id}

# The zone in which boxes get their names. A domain for boxes alone: whoever owns a box can set cookies for it.
zone = {zone}

# Everything that HQ writes: database, accounts at CAs, its own certificate. This and `keys/` are your backup.
data = "data"

# Another component file than the one in the program.
# component = "/usr/lib/otscert/otscert.wasm"

[keys]
# Signs HQ's answers; a root has delegated it for a year (`otscert-hq delegate` renews that).
signing_key = "keys/protocol.key"
delegation = "keys/delegation.json"
# Recognises boxes between two messages.
token_key = "keys/token.key"
# Seals the keys of accounts at CAs.
master_key = "keys/master.key"
# Public keys of the protocol roots, as in the image bundle: active, then cold spare.
roots = {roots}
# Grants of boxes that HQ has forgotten are believed from this epoch on; by default from that of the delegation. Lower it
# only to take boxes back that were off during a planned change of epoch, never after a theft of the protocol key:
# oldest_grant_epoch = 1

# Boxes come here. The certificate is of HQ's own private CA, which their images pin.
[device_endpoint]
listen = {device_listen}
certificate = "tls/device-endpoint.pem"
key = "tls/device-endpoint.key"
# For developers: also without TLS, for a device on this machine whose runtime cannot be told of the CA
# (components/README.md). Refused for any address but a loopback one.
# danger_plain_http = "127.0.0.1:8480"

# People come here. HQ gets the certificate by itself, as it does for boxes; or name files that somebody else keeps
# fresh (both are read again when they change):
#   certificate = "/etc/letsencrypt/live/hq/fullchain.pem"
#   key = "/etc/letsencrypt/live/hq/privkey.pem"
[people]
names = {people_names}
listen = {people_listen}
{same_site}
# /healthz and /metrics without TLS: for this machine, or a network that you trust.
[admin]
listen = {admin_listen}

# HQ is the zone's DNS server, over UDP and TCP. On a machine with several addresses, list each instead of 0.0.0.0.
[dns]
listen = {dns_listen}
hostmaster = {hostmaster}
# Let boxes use 100.64.0.0/10, the range of carrier-grade NAT.
cgnat = false
# With several servers: ask each at its public address whether it shows a challenge before the CA is told.
check_from_outside = false
{loopback}{nameservers}
# CAs in the order of preference.
{ca}
# Kinds of boxes. `*` takes every model that has no table of its own.
[[model]]
name = "*"
# "address": https://192-168-1-7.<label>.<zone>/, computed by the DNS, certificate *.<label>.<zone>;
# "word": https://nifty-babbage.<zone>/, from the box's reports.
mode = {mode}
# "open": every box that asks gets a name; "closed": none does. Or what a box has to show: "claim-code",
# "factory-secret", "voucher", "approval", joined by +; a list holds alternatives (docs/OPERATIONS.md).
admission = {admission}
# ca = "name of one of the CAs above"
{open_public}
[limits]
# Messages from one source network (/24, /48): a minute in the long run, and at once.
requests_per_minute = 600
requests_burst = 300
# Operations under way at one CA.
ca_concurrency = 8

[log]
# "text" or "json".
format = "text"
level = "info"
"#,
        hq_id = quoted(&options.hq_id),
        zone = quoted(&options.zone.to_string()),
        roots = list(&roots(ceremony)),
        device_listen = quoted(&options.listen.device.to_string()),
        people_names = list(&[options.hq_name.to_string()]),
        people_listen = quoted(&options.listen.people.to_string()),
        same_site = switch(options.danger_same_site, "danger_same_site"),
        admin_listen = quoted(&options.listen.admin.to_string()),
        dns_listen = list(&dns_listen),
        hostmaster = quoted(&hostmaster),
        loopback = switch(options.danger_loopback, "danger_loopback"),
        ca = ca(options),
        mode = quoted(match options.mode {
            Mode::Address => "address",
            Mode::Word => "word",
        }),
        admission = match admission(options).alternatives().as_slice() {
            [only] => quoted(only),
            several => list(several),
        },
        open_public = switch(options.danger_open_public, "danger_open_public"),
    )
}

/// Where boxes look for HQ: its name first, then each address, so that a fleet survives the loss of HQ's domain.
pub(super) fn origins(options: &InitOptions) -> Vec<String> {
    if !options.origins.is_empty() {
        return options.origins.clone();
    }
    let port = options.listen.device.port();
    let host = |address: &IpAddr| match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    let hosts = [options.hq_name.to_string()]
        .into_iter()
        .chain(options.addresses.iter().map(host));
    hosts
        .take(MAX_ORIGINS)
        .map(|host| format!("https://{host}:{port}"))
        .collect()
}

/// What the operator said, or what suits the CA: a public one is not opened to strangers by default.
pub(super) fn admission(options: &InitOptions) -> Admission {
    options
        .admission
        .clone()
        .unwrap_or_else(|| match &options.ca {
            InitCa::Acme(acme) if acme.name == LETS_ENCRYPT.0 => Admission::closed(),
            InitCa::Acme(_) | InitCa::Private => Admission::open(),
        })
}

fn ca(options: &InitOptions) -> String {
    let InitAcme {
        name,
        directory,
        root_pem,
        profile,
        contact,
        agree_tos,
    } = match &options.ca {
        InitCa::Acme(acme) => acme,
        InitCa::Private => {
            let zones = [options.zone.to_string(), options.hq_name.to_string()];
            return format!(
                "# HQ's own CA; its root is made at the first start, as {DATA_ROOT}: install that where the pages are opened.\n\
                 [[ca]]\nname = \"private\"\nkind = \"private\"\nlife = \"90d\"\nzones = {}\n",
                list(&zones)
            );
        }
    };
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        // Unwrap safety: writing to a String does not fail, and its result says so by being ignored.
        let _infallible = writeln!(text, "{key} = {value}");
    };
    line("name", quoted(name));
    line("kind", quoted("acme"));
    line("directory", quoted(directory));
    if let Some(root) = root_pem {
        line("root_pem", quoted(&absolute(root)));
    }
    if let Some(profile) = profile {
        line("profile", quoted(profile));
    }
    line(
        "contact",
        list(&contact.iter().cloned().collect::<Vec<_>>()),
    );
    let hint = match agree_tos {
        true => "",
        false => {
            "# Read the CA's terms of service, then say that you agree: HQ makes no account without.\n"
        }
    };
    format!("[[ca]]\n{text}{hint}terms_of_service_agreed = {agree_tos}\n")
}

/// The config stands in another folder than the one `init` was called in.
fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

fn roots(ceremony: &Ceremony) -> [String; 2] {
    [&ceremony.active_root, &ceremony.spare_root]
        .map(|root| Base64UrlUnpadded::encode_string(root.ed25519_public().bytes()))
}

fn site(name: &DnsName) -> String {
    let name = name.to_string();
    psl::domain_str(&name).unwrap_or(&name).to_owned()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(texts: &[String]) -> String {
    let quoted: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// Name and directory of the CA that most begin with.
pub(crate) const LETS_ENCRYPT: (&str, &str) = (
    "letsencrypt",
    "https://acme-v02.api.letsencrypt.org/directory",
);
/// The same for trying out: its certificates are trusted by nobody.
pub(crate) const LETS_ENCRYPT_STAGING: (&str, &str) = (
    "letsencrypt-staging",
    "https://acme-staging-v02.api.letsencrypt.org/directory",
);
/// As many as a box tries.
const MAX_ORIGINS: usize = 4;
const DATA_ROOT: &str = "data/ca/private/root.pem";
const ROOTS_README: &str = "\
Move this folder off the server, now, to two places that are not online. Nothing here is needed to run HQ.

active.key    the active protocol root: signs the delegation of HQ's key, once a year, with `otscert-hq delegate`.
spare.key     the cold spare: every box pins it, too. Keep it apart from the other one.
tls-root.key  the private CA of the device endpoint: makes its next certificate, in five years.
tls-root.pem  its certificate, as in the image bundle.

Whoever has active.key or spare.key can speak for HQ to every box in the field. If both are lost, boxes go on serving
until their certificates end, and no other HQ can ever take them over.
";
