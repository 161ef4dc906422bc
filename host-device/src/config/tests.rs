use std::fs;

use super::*;

#[test]
fn the_shipped_example_says_what_the_defaults_are_and_names_every_key() {
    let example = include_str!("../../otscert-device.example.toml");
    let raw: RawConfig = parse(example).unwrap();
    let from_example = check(raw).unwrap();
    let defaults = check(RawConfig::default()).unwrap();
    assert_eq!(format!("{from_example:?}"), format!("{defaults:?}"));
    // serde names them all where it meets one that it does not know.
    let error = toml::from_str::<RawConfig>("no_such_key = 1").unwrap_err();
    let (_, keys) = error.message().split_once("expected one of ").unwrap();
    for key in keys.split(", ").map(|key| key.trim_matches('`')) {
        let named = example.lines().any(|line| {
            line.trim_start_matches("# ")
                .starts_with(&format!("{key} = "))
        });
        assert!(named, "{key} is not in the example");
    }
}

#[test]
fn flags_override_the_file_and_relative_paths_start_at_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.toml");
    fs::write(&path, "storage = \"state\"\nhttp = \"127.0.0.1:8080\"\nhttps = \"none\"\ntrust_anchors = \"roots.pem\"").unwrap();
    let overrides = RawConfig {
        http: Some("127.0.0.1:9090".to_owned()),
        ..RawConfig::default()
    };
    let config = Config::load(Some(&path), overrides).unwrap();
    assert_eq!(config.storage, folder.path().join("state"));
    assert_eq!(config.control, folder.path().join("state/control.sock"));
    assert_eq!(
        config.trust_anchors,
        TrustAnchors::File(folder.path().join("roots.pem"))
    );
    assert_eq!(config.http, Some("127.0.0.1:9090".parse().unwrap()));
    assert_eq!(config.https, None);
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_nearest_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.toml");
    fs::write(&path, "storage = \"state\"\nfirmwear = \"1\"").unwrap();
    let error = Config::load(Some(&path), RawConfig::default()).unwrap_err();
    let expected = format!(
        "the config file {}: line 2: unknown key `firmwear`; did you mean `firmware`?",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn every_wrong_value_is_named_with_what_is_expected() {
    for (text, expected) in [
        (
            "http = \"8080\"",
            "`http` is \"8080\"; expected an address and a port",
        ),
        (
            "https = \"localhost:1\"",
            "`https` is \"localhost:1\"; expected an address",
        ),
        ("addresses = []", "`addresses` has 0 entries"),
        (
            "addresses = [\"router\"]",
            "`addresses` has \"router\"; expected \"auto\", or a list",
        ),
        ("addresses = [\"127.0.0.1\"]", "see danger_loopback"),
        (
            "hosts = [\"http://x\"]",
            "`hosts` has \"http://x\"; expected host names",
        ),
        ("firmware = \"\"", "`firmware` must be 1 to 64 characters"),
        ("model = \"a\\nb\"", "`model` must be 1 to 64 characters"),
        (
            "build_time = \"yesterday\"",
            "`build_time` is \"yesterday\"; expected a moment after 1970",
        ),
        ("build_time = \"1960-01-01T00:00:00Z\"", "`build_time` is"),
        (
            "hardware_generator = \"hwrng\"",
            "`hardware_generator` is \"hwrng\"; expected the whole path of a device, or \"none\"",
        ),
        ("tpm = \"\"", "`tpm` is \"\"; expected the whole path"),
        (
            "button = \"event0\"",
            "`button` is \"event0\"; expected the whole path",
        ),
        (
            "platform = \"boärd\"",
            "`platform` is \"boärd\"; expected the id of an assessment, 1 to 64",
        ),
        ("platform = \"\"", "`platform` is \"\"; expected the id"),
        ("clock = \"yes\"", "`clock` is \"yes\"; expected \"auto\""),
        (
            "log_format = \"xml\"",
            "`log_format` is \"xml\"; expected \"text\" or \"json\"",
        ),
        (
            "log_level = \"a=b=c\"",
            "`log_level` is \"a=b=c\"; expected error, warn",
        ),
    ] {
        let raw: RawConfig = parse(text).unwrap();
        let error = check(raw).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_wrong_type_is_named_with_its_line() {
    let error = parse::<RawConfig>("hq_trusted = \"maybe\"")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("line 1: invalid type"), "{error}");
}
