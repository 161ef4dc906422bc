//! What settings must hold, one by one and together.

mod models;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use ipnet::IpNet;
use otscert_hq_ca::CaConfig;
use otscert_hq_dns::{DnsName, ZoneConfig};

use super::raw::{RawBatch, RawCa, RawConfig, RawDns, RawKeys, RawLimits, RawPeople, RawQuota};
use super::{
    CertificateFiles, Config, DeviceEndpoint, Dns, KeyFiles, Limits, Log, NamedCa, Nameserver,
    Overrides, People, PeopleCertificate, Quota, SettingError, zone_problem,
};

/// Checks the file's settings; tells all that is wrong.
pub(super) fn settings(
    path: &Path,
    raw: RawConfig,
    overrides: &Overrides,
) -> Result<Config, Vec<SettingError>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut check = Check {
        folder,
        problems: Vec::new(),
        has_batches: false,
        has_voucher_keys: false,
    };
    let RawConfig {
        hq_id,
        zone,
        data,
        store,
        component,
        keys,
        people,
        device_endpoint,
        admin,
        dns,
        ca,
        model,
        limits,
        log,
    } = raw;

    check.hq_id(&hq_id);
    let zone = check.zone(&zone);
    let data = overrides.data.clone().unwrap_or_else(|| check.path(&data));
    let store = overrides
        .store
        .clone()
        .or_else(|| store.map(|store| check.path(&store)))
        .unwrap_or_else(|| data.join(STORE));
    let component = overrides
        .component
        .clone()
        .or_else(|| component.map(|file| check.path(&file)));
    let keys = check.keys(keys);
    let people = check.people(people, zone.as_ref(), overrides);
    let device_endpoint = DeviceEndpoint {
        danger_plain_http: check.plain_http(device_endpoint.danger_plain_http),
        listen: overrides.device_listen.unwrap_or(device_endpoint.listen),
        files: CertificateFiles {
            certificate: check.path(&device_endpoint.certificate),
            key: check.path(&device_endpoint.key),
        },
    };
    let dns = check.dns(dns, overrides);
    let cas = check.cas(ca);
    let models = check.models(model, &cas, zone.as_ref());
    let limits = check.limits(limits);
    let level = overrides.log_level.clone().unwrap_or(log.level);
    if let Err(error) = level.parse::<tracing_subscriber::EnvFilter>() {
        check.wrong(
            "log.level",
            format!("is no filter ({error}): take info, debug, or otscert_hq=debug,info"),
        );
    }
    let log = Log {
        format: overrides.log_format.unwrap_or(log.format),
        level,
    };

    let (Some(zone), Some(people)) = (zone, people) else {
        return Err(check.problems);
    };
    let config = Config {
        path: path.to_owned(),
        admin: overrides.admin_listen.unwrap_or(admin.listen),
        hq_id,
        zone,
        data,
        store,
        component,
        keys,
        people,
        device_endpoint,
        dns,
        cas,
        models,
        limits,
        log,
    };
    if check.problems.is_empty() {
        check.zones(&config);
    }
    match check.problems.is_empty() {
        true => Ok(config),
        false => Err(check.problems),
    }
}

struct Check<'p> {
    folder: &'p Path,
    problems: Vec<SettingError>,
    has_batches: bool,
    has_voucher_keys: bool,
}

impl Check<'_> {
    fn wrong(&mut self, setting: impl Into<String>, problem: impl Into<String>) {
        self.problems.push(SettingError {
            setting: setting.into(),
            problem: problem.into(),
        });
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    fn hq_id(&mut self, hq_id: &str) {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        if hq_id.is_empty() || hq_id.len() > MAX_ID || !hq_id.bytes().all(fits) {
            self.wrong(
                "hq_id",
                format!("must be 1 to {MAX_ID} characters of a-z A-Z 0-9 . _ : / -"),
            );
        }
    }

    fn zone(&mut self, zone: &str) -> Option<DnsName> {
        let name = self.name("zone", zone)?;
        if zone.len() > MAX_ZONE || !zone.contains('.') {
            self.wrong(
                "zone",
                format!("must be a domain of at least two labels and at most {MAX_ZONE} characters, kept for boxes alone"),
            );
            return None;
        }
        Some(name)
    }

    fn name(&mut self, setting: &str, text: &str) -> Option<DnsName> {
        match DnsName::parse(text) {
            Ok(name) => Some(name),
            Err(error) => {
                self.wrong(
                    setting,
                    format!("has {text:?}, which is no DNS name: {error}"),
                );
                None
            }
        }
    }

    fn keys(&mut self, raw: RawKeys) -> KeyFiles {
        let mut roots = Vec::new();
        for text in &raw.roots {
            let mut key = [0; 32];
            match Base64UrlUnpadded::decode(text, &mut key) {
                Ok(decoded) if decoded.len() == 32 => roots.push(key),
                Ok(_) | Err(_) => self.wrong(
                    "keys.roots",
                    format!(
                        "has {text:?}, which is no Ed25519 public key (43 characters base64url)"
                    ),
                ),
            }
        }
        if raw.roots.len() != ROOTS {
            let got = raw.roots.len();
            self.wrong("keys.roots", format!("has {got} keys; two are expected, as in the image bundle: active, then cold spare"));
        } else if raw.roots[0] == raw.roots[1] {
            self.wrong(
                "keys.roots",
                "has one key twice: the cold spare must be another key",
            );
        }
        let mut voucher_keys = Vec::new();
        for text in &raw.voucher_keys {
            let mut key = [0; 32];
            match Base64UrlUnpadded::decode(text, &mut key) {
                Ok(decoded) if decoded.len() == 32 => voucher_keys.push(key),
                Ok(_) | Err(_) => self.wrong(
                    "keys.voucher_keys",
                    format!(
                        "has {text:?}, which is no Ed25519 public key (43 characters base64url)"
                    ),
                ),
            }
        }
        let mut batches: Vec<(u32, PathBuf)> = Vec::new();
        for RawBatch { epoch, key } in &raw.batch {
            if batches.iter().any(|(known, _)| known == epoch) {
                self.wrong("keys.batch", format!("has epoch {epoch} twice"));
            }
            batches.push((*epoch, self.path(key)));
        }
        if batches.len() > MAX_BATCHES {
            self.wrong(
                "keys.batch",
                format!("stands more than {MAX_BATCHES} times"),
            );
        }
        self.has_batches = !batches.is_empty();
        self.has_voucher_keys = !raw.voucher_keys.is_empty();
        KeyFiles {
            voucher_keys,
            batches,
            signing_key: self.path(&raw.signing_key),
            delegation: self.path(&raw.delegation),
            token_key: self.path(&raw.token_key),
            master_key: self.path(&raw.master_key),
            roots,
            oldest_grant_epoch: raw.oldest_grant_epoch,
        }
    }

    fn plain_http(&mut self, address: Option<SocketAddr>) -> Option<SocketAddr> {
        let address = address?;
        if !address.ip().is_loopback() {
            self.wrong(
                "device_endpoint.danger_plain_http",
                format!(
                    "is {address}, which others can reach: without TLS devices are served on a loopback address of \
                     this machine only, as in \"127.0.0.1:8480\""
                ),
            );
        }
        Some(address)
    }

    fn people(
        &mut self,
        raw: RawPeople,
        zone: Option<&DnsName>,
        overrides: &Overrides,
    ) -> Option<People> {
        let before = self.problems.len();
        let names: Vec<_> = raw
            .names
            .iter()
            .filter_map(|name| self.name("people.names", name))
            .collect();
        if names.len() > MAX_OWN_NAMES {
            self.wrong(
                "people.names",
                format!("has {} names; {MAX_OWN_NAMES} are the most", names.len()),
            );
        }
        for name in &names {
            if let Some(zone) = zone
                && !raw.danger_same_site
                && is_same_site(name, zone)
            {
                self.wrong(
                    "people.names",
                    format!(
                        "has {name}, which is the same site as the boxes' names below {zone}: any box that somebody \
                         breaks into could set cookies for it. Take a name under another domain, or \
                         `danger_same_site = true` for a demo"
                    ),
                );
            }
        }
        let listen = overrides.people_listen.or(raw.listen);
        if !names.is_empty() && listen.is_none() {
            self.wrong(
                "people.listen",
                "is missing: where shall the pages for people be served, as in \"[::]:443\"?",
            );
        }
        let certificate = match (raw.certificate, raw.key) {
            (Some(certificate), Some(key)) => PeopleCertificate::Files(CertificateFiles {
                certificate: self.path(&certificate),
                key: self.path(&key),
            }),
            (None, None) => PeopleCertificate::Auto,
            (Some(_), None) => {
                self.wrong("people.key", "is missing beside `people.certificate`");
                PeopleCertificate::Auto
            }
            (None, Some(_)) => {
                self.wrong("people.certificate", "is missing beside `people.key`");
                PeopleCertificate::Auto
            }
        };
        (self.problems.len() == before).then_some(People {
            names,
            listen,
            certificate,
        })
    }

    fn dns(&mut self, raw: RawDns, overrides: &Overrides) -> Dns {
        let listen = match overrides.dns_listen.is_empty() {
            true => raw.listen,
            false => overrides.dns_listen.clone(),
        };
        if listen.is_empty() || listen.len() > MAX_LISTEN {
            self.wrong(
                "dns.listen",
                format!(
                    "must name 1 to {MAX_LISTEN} addresses, as in [\"0.0.0.0:53\", \"[::]:53\"]"
                ),
            );
        }
        let mut nameservers = Vec::new();
        for server in &raw.nameserver {
            let Some(name) = self.name("dns.nameserver.name", &server.name) else {
                continue;
            };
            if server.addresses.is_empty() {
                self.wrong(
                    "dns.nameserver.addresses",
                    format!("is empty for {name}: where is that server asked?"),
                );
            }
            nameservers.push(Nameserver {
                name,
                addresses: server.addresses.clone(),
            });
        }
        if raw.nameserver.is_empty() {
            self.wrong(
                "dns.nameserver",
                "is missing: under which name and addresses is this HQ asked?",
            );
        }
        Dns {
            listen,
            hostmaster: raw.hostmaster,
            nameservers,
            cgnat: raw.cgnat,
            danger_loopback: raw.danger_loopback,
            check_from_outside: raw.check_from_outside,
        }
    }

    fn cas(&mut self, raw: Vec<RawCa>) -> Vec<NamedCa> {
        if raw.is_empty() || raw.len() > MAX_CAS {
            self.wrong(
                "ca",
                format!("must be there 1 to {MAX_CAS} times, as `[[ca]]`"),
            );
        }
        let mut cas: Vec<NamedCa> = Vec::new();
        for RawCa {
            name,
            quota,
            mut config,
        } in raw
        {
            let quota = quota.map(|RawQuota { first, hours }| Quota { first, hours });
            if quota.is_some_and(|it| it.first == 0 || !(1..=MAX_QUOTA_HOURS).contains(&it.hours)) {
                self.wrong(
                    "ca.quota",
                    format!("of {name:?}: `first` is at least 1, `hours` 1 to {MAX_QUOTA_HOURS}"),
                );
            }
            let fits = (1..=32).contains(&name.len())
                && !name.starts_with('-')
                && name
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
            if !fits {
                self.wrong(
                    "ca.name",
                    format!("has {name:?}: take 1 to 32 characters of a-z, 0-9 and `-`"),
                );
            }
            if cas.iter().any(|other| other.name == name) {
                self.wrong("ca.name", format!("has {name:?} twice"));
            }
            if let CaConfig::Acme(acme) = &mut config {
                acme.root_pem = acme.root_pem.take().map(|path| self.path(&path));
                if let Some(eab) = &mut acme.eab {
                    eab.hmac_key_file = self.path(&eab.hmac_key_file);
                }
            }
            cas.push(NamedCa {
                name,
                quota,
                config,
            });
        }
        cas
    }

    fn networks(&mut self, texts: &[String]) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for text in texts {
            match text.parse::<IpNet>() {
                Ok(network) => networks.push(network.trunc()),
                Err(_) => self.wrong(
                    "limits.trusted_networks",
                    format!(
                        "has {text:?}, which is no network: take 203.0.113.0/24 or 2001:db8::/48"
                    ),
                ),
            }
        }
        networks
    }

    fn limits(&mut self, raw: RawLimits) -> Limits {
        let RawLimits {
            threads,
            queue,
            connections,
            body_bytes,
            requests_per_minute,
            requests_burst,
            ca_concurrency,
            trusted_networks,
            max_store_bytes,
        } = raw;
        let trusted_networks = self.networks(&trusted_networks);
        let mut within = |setting: &str, got: u64, low: u64, high: u64| {
            if !(low..=high).contains(&got) {
                self.wrong(
                    format!("limits.{setting}"),
                    format!("is {got}; it can be {low} to {high}"),
                );
            }
        };
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        within("threads", wide(threads.unwrap_or(1)), 1, 256);
        within("queue", wide(queue), 1, 1_000_000);
        within("connections", wide(connections), 1, 1_000_000);
        within(
            "body_bytes",
            wide(body_bytes),
            4096,
            wide(crate::types::MAX_MESSAGE_BYTES),
        );
        within(
            "requests_per_minute",
            requests_per_minute.into(),
            1,
            10_000_000,
        );
        within("requests_burst", requests_burst.into(), 1, 10_000_000);
        within("ca_concurrency", wide(ca_concurrency), 1, 64);
        within(
            "max_store_bytes",
            max_store_bytes.unwrap_or(MIN_STORE_BYTES),
            MIN_STORE_BYTES,
            1 << 46,
        );
        Limits {
            threads,
            queue,
            connections,
            body_bytes,
            requests_per_minute,
            requests_burst,
            ca_concurrency,
            trusted_networks,
            max_store_bytes,
        }
    }

    /// What the DNS says about the zones, once all parts of them are right.
    fn zones(&mut self, config: &Config) {
        if let Err(error) = ZoneConfig::new(config.zone_settings(1)) {
            self.problems.push(zone_problem(&error));
        }
        let challenge_zones = match config.challenge_zones() {
            Ok(zones) => zones,
            Err(error) => {
                return self.wrong(
                    "people.names",
                    format!("leave no room for a challenge: {error}"),
                );
            }
        };
        for origin in challenge_zones {
            if let Err(error) = ZoneConfig::new(config.challenge_settings(origin, 1)) {
                self.problems.push(zone_problem(&error));
            }
        }
    }
}

/// Whether a page under one name may set cookies for the other.
fn is_same_site(name: &DnsName, zone: &DnsName) -> bool {
    // A box lives one label below the zone, which matters where the zone is a public suffix.
    site(&name.to_string()) == site(&format!("box.{zone}"))
}

fn site(name: &str) -> String {
    psl::domain_str(name).unwrap_or(name).to_owned()
}

/// Whether the CA is one that browsers trust: not one with an API root of its own, and not a staging one.
pub(crate) fn is_public(ca: &CaConfig) -> bool {
    match ca {
        CaConfig::Acme(acme) => {
            acme.root_pem.is_none()
                && !STAGING
                    .iter()
                    .any(|start| acme.directory.as_str().starts_with(start))
        }
        CaConfig::Private(_) => false,
    }
}

const STORE: &str = "hq.sqlite";
const STAGING: [&str; 2] = [
    "https://acme-staging-v02.api.letsencrypt.org/",
    "https://acme-staging.",
];
const MAX_ID: usize = 64;
/// The machine's own limit: room for the longest label, address and challenge below it (RFC 1035 section 2.3.4).
const MAX_ZONE: usize = 150;
const ROOTS: usize = 2;
const MAX_OWN_NAMES: usize = 8;
const MAX_LISTEN: usize = 16;
const MAX_CAS: usize = 16;
const MAX_QUOTA_HOURS: u32 = 24 * 365;
/// The machine's own limit.
const MAX_BATCHES: usize = 256;
const MIN_STORE_BYTES: u64 = 1024 * 1024;
