use std::fs;

use base64ct::{Base64UrlUnpadded, Encoding};

use super::*;

#[test]
fn a_bundle_as_init_writes_it_is_read() {
    let folder = folder(GOOD);
    let bundle = Bundle::read(folder.path()).unwrap();
    assert_eq!(bundle.hq_id, "hq.example.com");
    assert_eq!(
        bundle
            .origins
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["https://hq.example.com:8443", "http://192.0.2.1",]
    );
    assert!(bundle.origins[0].is_tls() && !bundle.origins[1].is_tls());
    assert_eq!(bundle.protocol_roots, [[1; 32], [2; 32]]);
    assert_eq!(bundle.tls_roots.len(), 1);
}

#[test]
fn assessments_are_files_of_the_folder_and_a_missing_one_is_named() {
    let naming = |files: &str| {
        let made = folder(&format!("{GOOD}assessments = [{files}]\n"));
        fs::write(made.path().join("board.json"), b"{}").unwrap();
        Bundle::read(made.path()).map(|bundle| bundle.assessments)
    };
    assert_eq!(naming("\"board.json\"").unwrap(), [b"{}"]);
    for (files, expected) in [
        ("\"other.json\"", "other.json"),
        (
            "\"../board.json\"",
            "must name files in the bundle's folder",
        ),
        (
            &"\"board.json\", ".repeat(9),
            "names 9 files; 8 are the most",
        ),
    ] {
        let error = naming(files).unwrap_err().to_string();
        assert!(error.contains(expected), "{files}: {error}");
    }
}

#[test]
fn every_wrong_field_is_named_with_what_is_expected() {
    let root = Base64UrlUnpadded::encode_string(&[1; 32]);
    for (from, to, expected) in [
        (
            "hq_id = \"hq.example.com\"",
            "hq_id = \"\"",
            "`hq_id` must be 1 to 128",
        ),
        (
            "https://hq.example.com:8443",
            "ftp://hq.example.com",
            "`origins` has \"ftp://hq.example.com\", which has no scheme https",
        ),
        (
            "https://hq.example.com:8443",
            "https://hq.example.com/x",
            "which has a path",
        ),
        (
            "https://hq.example.com:8443",
            "https://root@hq.example.com",
            "or a user in it",
        ),
        (
            "https://hq.example.com:8443",
            "http://hq.example.com",
            "`origins` has no https URL",
        ),
        (
            &format!("\"{root}\", "),
            "",
            "`protocol_roots` has 1 keys; exactly 2",
        ),
        (&root, "AQ", "which is no Ed25519 public key of 32 bytes"),
        (
            &root,
            &Base64UrlUnpadded::encode_string(&[2; 32]),
            "`protocol_roots` has the same key twice",
        ),
        (
            "tls-root.pem",
            "../tls-root.pem",
            "`tls_root` must name files in the bundle's folder",
        ),
        ("tls-root.pem", "other.pem", "TLS root cannot be used"),
        (
            "model = \"acme\"",
            "model = \"\"",
            "`model` must be 1 to 64",
        ),
        (
            "boxes.example.net",
            "Boxes.example.net",
            "`zone` must be a DNS name in lower case",
        ),
        ("boxes.example.net", "net", "`zone` must be"),
        (
            "zone =",
            "zoen =",
            "line 6: unknown key `zoen`; did you mean `zone`?",
        ),
        ("model = \"acme\"\n", "", "missing field `model`"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from} is not in the sample");
        let error = Bundle::read(folder(&text).path()).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{from} → {to}: {error}"
        );
    }
}

#[test]
fn a_second_operators_bundle_is_a_folder_in_the_bundle_and_is_asked_over_tls_alone() {
    let other = GOOD
        .replace("hq.example.com\"\n", "hq.example.org\"\n")
        .replace(
            "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
            "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM",
        )
        .replace(
            "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI",
            "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ",
        );
    let named = format!("{GOOD}seeder = \"other\"\n");
    let read = |text: &str| {
        let outer = folder(&named);
        let inner = folder(text);
        fs::rename(inner.path(), outer.path().join("other")).unwrap();
        Bundle::read(outer.path())
    };
    let seeder = read(&other).unwrap().seeder.unwrap();
    assert_eq!(seeder.hq_id, "hq.example.org");
    assert_eq!(seeder.protocol_roots, [[3; 32], [4; 32]]);
    assert_eq!(seeder.origins.len(), 1, "the one without TLS is not asked");

    let shared = GOOD.replace("hq.example.com\"\n", "hq.example.org\"\n");
    for (text, expected) in [
        (GOOD.to_owned(), "a second operator is somebody else"),
        (shared, "a second operator is somebody else"),
        (format!("{other}seeder = \".\"\n"), "must name files"),
        (format!("{other}seeder = \"other\"\n"), "one too many"),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = Bundle::read(folder(&named).path()).unwrap_err().to_string();
    assert!(error.contains("other/bundle.toml"), "{error}");
}

#[test]
fn a_missing_folder_says_who_writes_it() {
    let error = Bundle::read(Path::new("/nowhere")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`otscert-hq init` writes that folder"),
        "{error}"
    );
}

fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bundle.toml"), text).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let root = rcgen::CertificateParams::new([])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    fs::write(folder.path().join("tls-root.pem"), root.pem()).unwrap();
    folder
}

const GOOD: &str = "hq_id = \"hq.example.com\"\n\
    origins = [\"https://hq.example.com:8443\", \"http://192.0.2.1\"]\n\
    protocol_roots = [\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\", \"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\"]\n\
    tls_root = \"tls-root.pem\"\n\
    model = \"acme\"\n\
    zone = \"boxes.example.net\"\n";
