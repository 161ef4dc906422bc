use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::init::ceremony;
use crate::types::Timestamp;

const GOOD: &str = r#"hq_id = "hq.example.com"
zone = "devices.example.net"

[keys]
signing_key = "keys/protocol.key"
delegation = "keys/delegation.json"
token_key = "keys/token.key"
master_key = "keys/master.key"
roots = ["AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI"]

[device_endpoint]
listen = "127.0.0.1:8443"
certificate = "tls/leaf.pem"
key = "tls/leaf.key"

[people]
names = ["hq.example.com"]
listen = "127.0.0.1:443"

[dns]
listen = ["127.0.0.1:53"]
hostmaster = "hostmaster@example.com"

[[dns.nameserver]]
name = "ns1.devices.example.net"
addresses = ["198.51.100.7"]

[[ca]]
name = "staging"
kind = "acme"
directory = "https://acme-staging-v02.api.letsencrypt.org/directory"
contact = ["mailto:ops@example.com"]

[[model]]
name = "*"
admission = "open"
"#;

#[test]
fn a_small_config_is_enough() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.store, Path::new("/etc/hq/data/hq.sqlite"));
    assert_eq!(config.admin.to_string(), "127.0.0.1:9580");
    assert_eq!(config.own_names(), ["hq.example.com"]);
    assert_eq!(
        config.challenge_zones().unwrap()[0].to_string(),
        "_acme-challenge.hq.example.com"
    );
    assert_eq!(config.models[0].mode, Mode::Address);
    assert_eq!(
        config.nameserver_addresses()[0].to_string(),
        "198.51.100.7:53"
    );
    assert_eq!(config.limits.body_bytes, 64 * 1024);
}

#[test]
fn every_wrong_setting_is_named_with_what_to_do() {
    let public = "https://acme-v02.api.letsencrypt.org/directory";
    let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
    for (from, to, expected) in [
        (
            "hq_id = \"hq.example.com\"",
            "hq_id = \"\"",
            "`hq_id` must be 1 to 64 characters",
        ),
        (
            "zone = \"devices.example.net\"",
            "zone = \"devices..net\"",
            "`zone` has \"devices..net\", which is no DNS name",
        ),
        (
            "zone = \"devices.example.net\"",
            "zone = \"net\"",
            "`zone` must be a domain of at least two labels",
        ),
        (
            "\"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\"",
            "\"AQ\"",
            "`keys.roots` has \"AQ\", which is no Ed25519 public key",
        ),
        (
            ", \"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\"",
            "",
            "`keys.roots` has 1 keys; two are expected",
        ),
        (
            "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI",
            "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
            "`keys.roots` has one key twice",
        ),
        (
            "names = [\"hq.example.com\"]",
            "names = [\"hq.example.net\"]",
            "`people.names` has hq.example.net, which is the same site",
        ),
        (
            "listen = \"127.0.0.1:443\"\n",
            "",
            "`people.listen` is missing",
        ),
        (
            "listen = \"127.0.0.1:443\"",
            "listen = \"127.0.0.1:443\"\ncertificate = \"a.pem\"",
            "`people.key` is missing beside",
        ),
        (
            "listen = [\"127.0.0.1:53\"]",
            "listen = []",
            "`dns.listen` must name 1 to 16 addresses",
        ),
        (
            "hostmaster = \"hostmaster@example.com\"",
            "hostmaster = \"hostmaster\"",
            "`dns` does not make a zone",
        ),
        (
            "addresses = [\"198.51.100.7\"]",
            "addresses = []",
            "`dns.nameserver.addresses` is empty for ns1.devices.example.net",
        ),
        (
            "name = \"staging\"",
            "name = \"Staging\"",
            "`ca.name` has \"Staging\": take 1 to 32",
        ),
        (
            "https://acme-staging",
            "http://acme-staging",
            "`directory` must be an https:// URL",
        ),
        (
            staging,
            public,
            "`model.admission` lets anybody in for \"*\" with the public CA \"staging\"",
        ),
        (
            "admission = \"open\"",
            "admission = \"open\"\nca = \"stagin\"",
            "`model.ca` names \"stagin\", and there is no such [[ca]]: there are staging",
        ),
        (
            "admission = \"open\"",
            "admission = \"open\"\nca = \"own\"\n[[ca]]\nname = \"own\"\nkind = \"private\"\nzones = [\"other.net\"]",
            "`ca.zones` of \"own\" does not hold devices.example.net, where \"*\" gets its names",
        ),
        (
            "admission = \"open\"",
            "admission = \"opne\"",
            "`model.admission` of \"*\": admission must be closed, open, or claim-code",
        ),
        (
            "admission = \"open\"",
            "admission = [\"claim-code\", \"factory-secret+approval\"]",
            "asks for a factory secret, and there is no `[[keys.batch]]`",
        ),
        (
            "admission = \"open\"",
            "admission = \"voucher\"",
            "asks for a voucher, and `keys.voucher_keys` names nobody",
        ),
        (
            "admission = \"open\"",
            "admission = \"open\"\n[limits]\ntrusted_networks = [\"203.0.113.0\"]",
            "`limits.trusted_networks` has \"203.0.113.0\", which is no network",
        ),
        (
            "name = \"staging\"",
            "name = \"staging\"\nquota.first = 0",
            "`ca.quota` of \"staging\": `first` is at least 1",
        ),
        (
            "admission = \"open\"",
            "admission = \"open\"\n[limits]\nbody_bytes = 100000",
            "`limits.body_bytes` is 100000; it can be 4096 to 65536",
        ),
        (
            "admission = \"open\"",
            "admission = \"open\"\n[log]\nlevel = \"a=b=c\"",
            "`log.level` is no filter",
        ),
        (
            "[[model]]\nname = \"*\"\nadmission = \"open\"\n",
            "",
            "`model` must be there 1 to 256 times",
        ),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from} is not in the sample");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{from} → {to}: {error}");
    }
}

#[test]
fn a_private_ca_may_hold_a_zone_or_one_above_it_or_all() {
    for zones in ["", "zones = []", "zones = [\"other.net\", \"example.net\"]"] {
        let ca = format!(
            "admission = \"open\"\nca = \"own\"\n[[ca]]\nname = \"own\"\nkind = \"private\"\n{zones}"
        );
        let text = GOOD.replacen("admission = \"open\"", &ca, 1);
        parse(&text).unwrap();
    }
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_nearest_right_one() {
    for (from, to, expected) in [
        (
            "hostmaster",
            "hostmster",
            "line 22: unknown key `hostmster`; did you mean `hostmaster`?",
        ),
        (
            "zone =",
            "zoen =",
            "line 2: unknown key `zoen`; did you mean `zone`?",
        ),
        (
            "admission =",
            "admision =",
            "line 36: unknown key `admision`; did you mean `admission`?",
        ),
        // The CA's table is read as a whole first; the line is found all the same.
        (
            "contact =",
            "contcat =",
            "line 32: unknown key `contcat`; did you mean `contact`?",
        ),
    ] {
        let text = GOOD.replacen(from, to, 1);
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{from} → {to}: {error}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = GOOD
        .replace("hq_id = \"hq.example.com\"", "hq_id = \"\"")
        .replace("\"*\"", "\"\"");
    let error = parse(&text).unwrap_err().to_string();
    assert!(
        error.contains("`hq_id`") && error.contains("`model.name`"),
        "{error}"
    );
}

#[test]
fn the_same_site_and_a_public_ca_can_be_meant() {
    let text = GOOD.replace(
        "names = [\"hq.example.com\"]",
        "names = [\"hq.example.net\"]\ndanger_same_site = true",
    );
    parse(&text).unwrap();
    let public = GOOD.replace("acme-staging-v02", "acme-v02");
    parse(&public.replace(
        "admission = \"open\"",
        "admission = \"open\"\ndanger_open_public = true",
    ))
    .unwrap();
    parse(&public.replace("admission = \"open\"", "admission = \"closed\"")).unwrap();
    // On the Public Suffix List each box is a registered domain of its own, with a quota of its own.
    let listed = public
        .replace("devices.example.net", "github.io")
        .replace("ns1.github.io", "ns1.example.org");
    parse(&listed).unwrap();
}

#[test]
fn devices_are_served_without_tls_on_a_loopback_address_only() {
    let with = |address: &str| {
        let to = format!("[device_endpoint]\ndanger_plain_http = \"{address}\"");
        parse(&GOOD.replace("[device_endpoint]", &to))
    };
    assert_eq!(parse(GOOD).unwrap().device_endpoint.danger_plain_http, None);
    for loopback in ["127.0.0.1:8480", "[::1]:8480"] {
        let config = with(loopback).unwrap();
        let plain = config.device_endpoint.danger_plain_http.unwrap();
        assert_eq!(plain.to_string(), loopback);
    }
    for reachable in ["0.0.0.0:8480", "[::]:8480", "192.168.1.7:8480"] {
        let error = with(reachable).unwrap_err().to_string();
        assert!(
            error.contains("danger_plain_http") && error.contains("loopback"),
            "{error}"
        );
    }
}

#[test]
fn flags_and_environment_override_the_file() {
    let overrides = Overrides {
        data: Some("/srv/hq".into()),
        dns_listen: vec!["127.0.0.1:5353".parse().unwrap()],
        log_level: Some("debug".to_owned()),
        ..Overrides::default()
    };
    let config = Config::parse(Path::new("/etc/hq/otscert-hq.toml"), GOOD, &overrides).unwrap();
    assert_eq!(config.store, Path::new("/srv/hq/hq.sqlite"));
    assert_eq!(config.dns.listen[0].port(), 5353);
    assert_eq!(config.log.level, "debug");
}

#[test]
fn a_missing_file_says_who_writes_it() {
    let error = Config::load(Path::new("/nowhere/hq.toml"), &Overrides::default()).unwrap_err();
    assert!(
        error.to_string().contains("`otscert-hq init` writes one"),
        "{error}"
    );
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let seed = |byte| Seed::new([byte; 32]);
    let public = |byte| *seed(byte).ed25519_public().bytes();
    let path = folder.path().join("delegation.json");
    let roots = [public(1), public(2)];
    let end = Timestamp::from_millis(1_000);
    fs::write(&path, ceremony::delegate("hq", &seed(1), &seed(9), 3, end)).unwrap();

    let good = CheckedDelegation::read(&path, "hq", &seed(9), &roots).unwrap();
    assert_eq!((good.epoch, good.not_after), (3, end));
    let refused = |hq_id: &str, key: &Seed, roots: &[[u8; 32]]| {
        crate::error::chain(&CheckedDelegation::read(&path, hq_id, key, roots).unwrap_err())
    };
    assert!(
        refused("hq", &seed(8), &roots).contains("`keys.signing_key`"),
        "another key"
    );
    assert!(
        refused("hq", &seed(9), &[public(3), public(4)]).contains("`keys.roots`"),
        "other roots"
    );
    assert!(
        refused("other", &seed(9), &roots).contains("HQ"),
        "another HQ"
    );
    fs::write(&path, "{}").unwrap();
    assert!(
        refused("hq", &seed(9), &roots).contains("delegation.json"),
        "no delegation"
    );
}

#[test]
fn a_delegation_is_judged_by_its_end() {
    let judge = |ends: u64| {
        let not_after = Timestamp::from_millis(ends);
        judge_delegation(
            &CheckedDelegation {
                bytes: vec![],
                epoch: 1,
                not_after,
            },
            Timestamp::from_millis(1),
        )
        .severity
    };
    assert_eq!(judge(1), Severity::Fail);
    assert_eq!(judge(86_400_000), Severity::Warn);
    assert_eq!(judge(200 * 86_400_000), Severity::Ok);
}

#[test]
fn a_key_file_that_others_can_read_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    fs::write(&path, &*Seed::new([7; 32]).to_line()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let error = Seed::read("keys.token_key", &path).unwrap_err().to_string();
    assert!(
        error.contains("mode 604") && error.contains("chmod 600"),
        "{error}"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Seed::read("keys.token_key", &path).unwrap() == Seed::new([7; 32]));
    assert_eq!(format!("{:?}", Seed::new([7; 32])), "Seed(redacted)");
    fs::write(&path, "short").unwrap();
    let error = Seed::read("keys.token_key", &path).unwrap_err().to_string();
    assert!(error.contains("43 characters"), "{error}");
}

#[test]
fn the_shipped_example_is_a_config() {
    parse(include_str!("../../otscert-hq.example.toml")).unwrap();
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(
        Path::new("/etc/hq/otscert-hq.toml"),
        text,
        &Overrides::default(),
    )
}
