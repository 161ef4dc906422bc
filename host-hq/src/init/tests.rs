use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::Severity;
use crate::error::chain;
use crate::tls;

#[test]
fn a_new_hq_is_whole_and_its_config_finds_every_file() {
    let parent = tempfile::tempdir().unwrap();
    let made = init(&options(&parent.path().join("hq")), NOW).unwrap();
    let config = Config::load(&made.config, &Overrides::default()).unwrap();
    for finding in config.check_files(NOW) {
        assert_eq!(finding.severity, Severity::Ok, "{}", finding.text);
    }
    assert_eq!(config.cas[0].name, "letsencrypt-staging");

    let mode = |path: &str| {
        fs::metadata(made.folder.join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    for secret in ["keys", "roots", "tls", "data"] {
        assert_eq!(mode(secret), 0o700, "{secret}");
    }
    for secret in [
        "keys/protocol.key",
        "keys/token.key",
        "keys/master.key",
        "roots/active.key",
        "tls/device-endpoint.key",
    ] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    for said in [
        "devices.example.net.  3600 IN NS    ns1.devices.example.net.",
        "ns1.devices.example.net.  3600 IN A     198.51.100.7   ; glue",
        "_acme-challenge.hq.example.com.  3600 IN NS    ns1.devices.example.net.",
        "otscert-hq serve --config",
        "cap_net_bind_service",
    ] {
        assert!(
            made.advice.contains(said),
            "{said} is not in:\n{}",
            made.advice
        );
    }
    let entries: Vec<_> = fs::read_dir(parent.path()).unwrap().collect();
    assert_eq!(entries.len(), 1, "nothing is left beside the folder");
}

#[test]
fn the_image_bundle_holds_what_boxes_pin_and_no_secret() {
    let parent = tempfile::tempdir().unwrap();
    let made = init(&options(&parent.path().join("hq")), NOW).unwrap();
    let bundle: BTreeMap<String, toml::Value> =
        toml::from_str(&fs::read_to_string(made.folder.join("image-bundle/bundle.toml")).unwrap())
            .unwrap();
    let keys: Vec<_> = bundle.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "hq_id",
            "model",
            "origins",
            "protocol_roots",
            "tls_root",
            "zone"
        ]
    );
    assert_eq!(
        bundle["origins"][0].as_str(),
        Some("https://hq.example.com:8443")
    );
    assert_eq!(
        bundle["origins"][1].as_str(),
        Some("https://198.51.100.7:8443")
    );

    let text = fs::read_to_string(made.config).unwrap();
    for root in bundle["protocol_roots"].as_array().unwrap() {
        assert!(
            text.contains(root.as_str().unwrap()),
            "config and bundle name one pair of roots"
        );
    }
    // The leaf is signed by the key that the bundle pins.
    let read = |path: &str| fs::read(made.folder.join(path)).unwrap();
    let root = x509_parser::pem::parse_x509_pem(&read("image-bundle/tls-root.pem"))
        .unwrap()
        .1
        .contents;
    let leaf = x509_parser::pem::parse_x509_pem(&read("tls/device-endpoint.pem"))
        .unwrap()
        .1
        .contents;
    let (_, root) = x509_parser::parse_x509_certificate(&root).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    assert_eq!(parsed.issuer(), root.subject());
    let (_, names) = tls::leaf_facts(&leaf).unwrap();
    assert_eq!(names, ["hq.example.com", "198.51.100.7"]);
}

#[test]
fn a_second_init_changes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let options = options(&parent.path().join("hq"));
    let made = init(&options, NOW).unwrap();
    let key = fs::read(made.folder.join("keys/protocol.key")).unwrap();
    let error = init(&options, NOW).unwrap_err().to_string();
    assert!(
        error.contains("never overwrites") && error.contains("otscert-hq serve --config"),
        "{error}"
    );
    assert_eq!(
        fs::read(made.folder.join("keys/protocol.key")).unwrap(),
        key
    );
}

#[test]
fn options_that_make_no_sense_leave_nothing_behind() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("hq");
    let same_site = InitOptions {
        hq_name: "hq.example.net".parse().unwrap(),
        ..options(&folder)
    };
    let error = chain(&init(&same_site, NOW).unwrap_err());
    assert!(error.contains("same site"), "{error}");
    let mut public = options(&folder);
    public.admission = Some(Admission::open());
    if let InitCa::Acme(acme) = &mut public.ca {
        (acme.name, acme.directory) = (LETS_ENCRYPT.0.to_owned(), LETS_ENCRYPT.1.to_owned());
    }
    let error = chain(&init(&public, NOW).unwrap_err());
    assert!(error.contains("danger_open_public"), "{error}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn a_file_in_the_way_is_no_folder_to_fill() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("hq");
    fs::write(&file, "mine").unwrap();
    assert!(matches!(
        init(&options(&file), NOW),
        Err(InitError::Taken { .. })
    ));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    // An empty folder is as good as none.
    let empty = parent.path().join("empty");
    fs::create_dir(&empty).unwrap();
    init(&options(&empty), NOW).unwrap();
}

#[test]
fn quotes_in_options_do_not_break_the_config() {
    let parent = tempfile::tempdir().unwrap();
    let options = InitOptions {
        model: "a \"box\" \\ more".to_owned(),
        ..options(&parent.path().join("hq"))
    };
    let made = init(&options, NOW).unwrap();
    let bundle: BTreeMap<String, toml::Value> =
        toml::from_str(&fs::read_to_string(made.folder.join("image-bundle/bundle.toml")).unwrap())
            .unwrap();
    assert_eq!(bundle["model"].as_str(), Some("a \"box\" \\ more"));
}

/// The example is what `init` writes, so that neither goes stale.
#[test]
fn the_shipped_example_is_what_init_writes() {
    let seed = |byte| crate::config::Seed::new([byte; 32]);
    let pair = || ceremony::TlsPair {
        certificate: String::new(),
        key: zeroize::Zeroizing::new(String::new()),
    };
    let ceremony = Ceremony {
        active_root: seed(1),
        spare_root: seed(2),
        signing: seed(3),
        delegation: Vec::new(),
        token: seed(4),
        master: seed(5),
        tls_root: pair(),
        tls_leaf: pair(),
    };
    let expected = template::config(&options(Path::new("hq")), &ceremony);
    let example = include_str!("../../otscert-hq.example.toml");
    assert!(
        example == expected,
        "otscert-hq.example.toml should be:\n{expected}"
    );
}

fn options(folder: &Path) -> InitOptions {
    let address = "198.51.100.7".parse().unwrap();
    InitOptions {
        folder: folder.to_owned(),
        zone: "devices.example.net".parse().unwrap(),
        hq_name: "hq.example.com".parse().unwrap(),
        hq_id: "hq.example.com".to_owned(),
        nameservers: vec![Nameserver {
            name: "ns1.devices.example.net".parse().unwrap(),
            addresses: vec![address],
        }],
        addresses: vec![address],
        origins: Vec::new(),
        model: "box".to_owned(),
        mode: Mode::Address,
        admission: None,
        ca: InitCa::Acme(InitAcme {
            name: LETS_ENCRYPT_STAGING.0.to_owned(),
            directory: LETS_ENCRYPT_STAGING.1.to_owned(),
            root_pem: None,
            profile: Some("tlsserver".to_owned()),
            contact: Some("mailto:ops@example.com".to_owned()),
            agree_tos: false,
        }),
        hostmaster: None,
        listen: Listen {
            device: "[::]:8443".parse().unwrap(),
            people: "[::]:443".parse().unwrap(),
            admin: "127.0.0.1:9580".parse().unwrap(),
            dns: vec!["0.0.0.0:53".parse().unwrap(), "[::]:53".parse().unwrap()],
        },
        danger_same_site: false,
        danger_loopback: false,
        danger_open_public: false,
    }
}

const NOW: Timestamp = Timestamp::from_millis(1_795_453_500_000);
