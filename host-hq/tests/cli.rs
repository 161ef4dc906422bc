//! `otscert-hq` as an operator meets it: real processes, real sockets, the real component.

#![expect(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a failure is a panic"
)]

use std::fs;
use std::net::{TcpListener, UdpSocket};

use otscert_assess::report::Report;
use otscert_crypto::RustCrypto;
use otscert_machine::entropy::Assessment;
use otscert_machine::types::Ed25519Public;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::trust::Roots;

#[path = "cli/admission.rs"]
mod admission;
#[path = "cli/https.rs"]
mod https;
#[path = "cli/world.rs"]
mod world;

use world::{Hq, both, eventually, newer_schema, program};

#[test]
fn help_is_what_it_was() {
    let mut text = String::new();
    for command in [
        &[][..],
        &["init"],
        &["serve"],
        &["check-config"],
        &["doctor"],
        &["devices"],
        &["devices", "list"],
        &["devices", "show"],
        &["devices", "retire"],
        &["factory"],
        &["factory", "master"],
        &["factory", "batch"],
        &["factory", "derive"],
        &["firmware"],
        &["firmware", "add"],
        &["claims"],
        &["claims", "draw"],
        &["claims", "import"],
        &["claims", "release"],
        &["voucher"],
        &["voucher", "key"],
        &["voucher", "sign"],
        &["voucher", "import"],
        &["labels"],
        &["delegate"],
        &["device-certificate"],
        &["assessment"],
        &["assessment", "sign"],
    ] {
        let output = program().args(command).arg("-h").output().unwrap();
        assert!(output.status.success());
        text.push_str(&format!("$ otscert-hq {} -h\n", command.join(" ")));
        text.push_str(&String::from_utf8(output.stdout).unwrap());
        text.push('\n');
    }
    insta::assert_snapshot!(text);
}

#[test]
fn init_then_check_config_is_well_and_a_second_init_refuses() {
    let hq = Hq::new();
    let checked = hq.run(&["check-config"]);
    assert!(checked.status.success(), "{}", both(&checked));
    let text = String::from_utf8(checked.stdout.clone()).unwrap();
    assert!(text.contains("zone             boxes.test"), "{text}");
    assert!(
        text.contains("CA               private: HQ's own"),
        "{text}"
    );
    assert!(!text.contains("FAIL") && !text.contains("warn"), "{text}");

    let again = hq.init();
    assert_eq!(again.status.code(), Some(1));
    assert!(
        both(&again).contains("never overwrites"),
        "{}",
        both(&again)
    );
}

#[test]
fn check_config_says_what_is_wrong_with_files() {
    let hq = Hq::new();
    let spoil = |path: &str, content: &str| fs::write(hq.path(path), content).unwrap();
    spoil("keys/token.key", "nothing");
    fs::remove_file(hq.path("keys/master.key")).unwrap();
    spoil("keys/delegation.json", "{}");
    let output = hq.run(&["check-config"]);
    assert_eq!(output.status.code(), Some(1));
    let text = both(&output);
    for expected in [
        "FAIL the key file",
        "43 characters base64url",
        "master.key cannot be read: check `keys.master_key`",
        "let the holder of a root sign again",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
}

#[test]
fn a_misspelt_key_is_named_with_its_line() {
    let hq = Hq::new();
    let config = hq.path("otscert-hq.toml");
    let text = fs::read_to_string(&config).unwrap();
    let line = 1 + text
        .lines()
        .position(|line| line.starts_with("hostmaster"))
        .unwrap();
    fs::write(&config, text.replace("hostmaster =", "hostmster =")).unwrap();
    let output = hq.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("line {line}: unknown key `hostmster`; did you mean `hostmaster`?");
    assert!(both(&output).contains(&expected), "{}", both(&output));
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_written() {
    let hq = Hq::new();
    // Both protocols of one port, as another DNS server has them.
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let _udp = UdpSocket::bind(address).unwrap();
    let output = hq.run(&["serve", "--dns-listen", &address.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let text = both(&output);
    assert!(
        text.contains("HQ's DNS cannot start")
            && text.contains(&format!(
                "DNS port {} on 127.0.0.1 is taken",
                address.port()
            ))
            && text.contains("stop it, or give HQ another address"),
        "{text}"
    );

    let output = hq.run(&["serve", "--device-listen", &address.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let text = both(&output);
    assert!(
        text.contains("another program has that port") && text.contains("`device_endpoint.listen`"),
        "{text}"
    );
    assert!(
        !hq.path("data/hq.sqlite").exists(),
        "the database is opened after the ports"
    );
}

#[test]
fn a_component_that_is_none_is_refused_by_name() {
    let hq = Hq::new();
    let file = hq.path("other.wasm");
    let file = file.to_str().unwrap();
    let output = hq.run(&["serve", "--component", file]);
    assert!(
        both(&output).contains("other.wasm cannot be read"),
        "{}",
        both(&output)
    );
    fs::write(file, wat::parse_str("(component)").unwrap()).unwrap();
    let output = hq.run(&["serve", "--component", file]);
    assert_eq!(output.status.code(), Some(1));
    let text = both(&output);
    assert!(
        text.contains("does not export") && text.contains("otscert:provision/"),
        "{text}"
    );
}

#[test]
fn a_database_of_a_newer_release_is_left_alone() {
    let hq = Hq::new();
    hq.start().stop();
    let database = hq.path("data/hq.sqlite");
    newer_schema(&database);
    let before = fs::read(&database).unwrap();
    let output = hq.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        both(&output).contains("schema version"),
        "{}",
        both(&output)
    );
    assert_eq!(fs::read(&database).unwrap(), before);
}

#[test]
fn a_box_is_answered_over_tls_by_the_component_until_sigterm() {
    let hq = Hq::new();
    let running = hq.start();
    assert_eq!(
        running.line("component"),
        format!("SHA-256 {}", otscert_component::sha256_hex())
    );

    let contact =
        r#"{"typ":"contact","v":1,"aud":"hq.maker.test","nonce":"AAAAAAAAAAAAAAAAAAAAAA"}"#;
    let answer = https::post(
        running.device(),
        &hq.path("image-bundle/tls-root.pem"),
        "/otscert/v1/contact",
        contact,
    );
    // Whatever the component says to it, it signs; HQ's own refusals are problem documents.
    assert_eq!(answer.content_type, "application/jose+json", "{answer:?}");
    let signed: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(signed["signature"].is_string(), "{signed}");

    let huge = "x".repeat(64 * 1024 + 1);
    let answer = https::post(
        running.device(),
        &hq.path("image-bundle/tls-root.pem"),
        "/otscert/v1/contact",
        &huge,
    );
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (413, "application/problem+json")
    );

    let health = https::plain_get(running.admin(), "/healthz");
    assert_eq!(health.status, 200, "{health:?}");
    let report: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
    for part in ["component", "database", "dns", "workers"] {
        assert_eq!(report[part]["well"], true, "{report}");
    }
    let metrics = https::plain_get(running.admin(), "/metrics");
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(
        text.contains("otscert_hq_messages_total{message=\"contact\",result=\"too-large\"} 1"),
        "{text}"
    );
    assert!(text.contains("otscert_hq_dns_answers_total{"), "{text}");

    let listed = hq.run(&["devices", "list"]);
    assert!(
        both(&listed).contains("No device fits"),
        "{}",
        both(&listed)
    );
    let shown = hq.run(&["devices", "show", "nobody"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(
        both(&shown).contains("no device has the name or id \"nobody\""),
        "{}",
        both(&shown)
    );
    let second = hq.run(&[
        "serve",
        "--device-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--dns-listen",
        "127.0.0.1:0",
        "--people-listen",
        "127.0.0.1:0",
    ]);
    assert!(
        both(&second).contains("another process holds"),
        "{}",
        both(&second)
    );

    assert!(running.stop().success());
    assert!(!hq.path("data/admin.sock").exists());
}

#[test]
fn hq_gets_its_own_certificate_as_a_box_does() {
    let hq = Hq::new();
    let running = hq.start();
    let own = hq.path("data/own/current.pem");
    assert!(eventually(|| own.exists()), "log:\n{}", running.log());
    let root = hq.path("data/ca/private/root.pem");
    assert!(
        eventually(|| https::get(running.people(), &root, "hq.maker.test", "/").is_ok()),
        "log:\n{}",
        running.log()
    );
    let page = https::get(running.people(), &root, "hq.maker.test", "/").unwrap();
    assert_eq!(page.status, 200);
    assert!(String::from_utf8_lossy(&page.body).contains("<h1>hq.maker.test</h1>"));

    let shown = hq.run(&["devices", "show", "own"]);
    let text = both(&shown);
    assert!(
        shown.status.success() && text.contains("hq.maker.test") && text.contains("component"),
        "{text}"
    );
    let json = hq.run(&["devices", "show", "own", "--json"]);
    let story: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(story["summary"]["state"], "Issued", "{story}");
    // The order reaches the component through the socket, and its answer comes back.
    let told = hq.run(&["devices", "accept", "own"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(
        both(&told).contains("HQ did not carry it out: ")
            && both(&told).contains("own is not known here"),
        "{}",
        both(&told)
    );
    assert!(running.stop().success());
    let untold = hq.run(&["devices", "retire", "own"]);
    assert_eq!(untold.status.code(), Some(1));
    assert!(
        both(&untold).contains("is `otscert-hq serve` running"),
        "{}",
        both(&untold)
    );

    // The next start has it from the first handshake on.
    let running = hq.start();
    assert_eq!(
        https::get(running.people(), &root, "hq.maker.test", "/")
            .unwrap()
            .status,
        200
    );
    assert!(running.stop().success());
}

#[test]
fn doctor_looks_from_outside() {
    let hq = Hq::new();
    let down = hq.run(&[
        "doctor",
        "--nameserver-at",
        "127.0.0.1:9",
        "--resolver",
        "127.0.0.1:9",
    ]);
    assert_eq!(down.status.code(), Some(1));
    let text = both(&down);
    assert!(
        text.contains("HQ does not answer at") && text.contains("start it with `otscert-hq serve`"),
        "{text}"
    );

    let running = hq.start();
    assert!(
        eventually(|| hq.path("data/own/current.pem").exists()),
        "log:\n{}",
        running.log()
    );
    let dns = running.dns().to_string();
    // HQ stands in for the resolver as well: it answers NS and its own address with authority.
    let up = hq.run_at(
        &running,
        &["doctor", "--nameserver-at", &dns, "--resolver", &dns],
    );
    let text = both(&up);
    assert!(up.status.success(), "{text}");
    for expected in [
        "ok   HQ runs and is well",
        "answers for boxes.test over UDP",
        "answers for boxes.test over TCP",
        "ok   CAA at",
        "ok   delegation of boxes.test: the world is sent to ns1.boxes.test",
        "ok   delegation of _acme-challenge.hq.maker.test",
        "ok   address of ns1.boxes.test: the world finds 127.0.0.1",
        "ok   device endpoint:",
        "ok   people: HQ's own certificate for hq.maker.test",
        "disk:",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    assert!(running.stop().success());
}

#[test]
fn a_root_delegates_again_and_a_stranger_does_not() {
    let hq = Hq::new();
    let root = |name: &str| hq.path(name).to_str().unwrap().to_owned();
    let again = hq.run(&[
        "delegate",
        "--root",
        &root("roots/spare.key"),
        "--days",
        "30",
        "--new-key",
    ]);
    assert!(again.status.success(), "{}", both(&again));
    assert!(both(&again).contains("(epoch 2)"), "{}", both(&again));
    let checked = hq.run(&["check-config"]);
    assert!(checked.status.success());
    assert!(
        both(&checked).contains("warn the delegation of the protocol key (epoch 2) ends on"),
        "{}",
        both(&checked)
    );

    let stranger = hq.run(&["delegate", "--root", &root("keys/token.key")]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(
        both(&stranger).contains("not the key of a root"),
        "{}",
        both(&stranger)
    );

    let before = fs::read(hq.path("tls/device-endpoint.pem")).unwrap();
    let renewed = hq.run(&["device-certificate", "--roots", &root("roots")]);
    assert!(renewed.status.success(), "{}", both(&renewed));
    assert_ne!(
        fs::read(hq.path("tls/device-endpoint.pem")).unwrap(),
        before
    );
    assert!(hq.run(&["check-config"]).status.success());
}

#[test]
fn what_hq_signs_of_a_clock_is_what_boxes_believe() {
    let hq = Hq::new();
    let judged = hq.path("r2.json");
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let mut report = Report {
        format: Report::FORMAT,
        id: "r2-tsc-1".to_owned(),
        models: vec!["acme-r2".to_owned(), "acme-r3".to_owned()],
        step_ns: 10,
        min_entropy: 333,
        cause: "CPU and DRAM run on two oscillators".to_owned(),
        overridden: Vec::new(),
        table: vec!["unit  step  H_I".to_owned()],
    };
    fs::write(&judged, report.to_bytes()).unwrap();
    let output = hq.run(&["assessment", "sign", &text(&judged)]);
    assert!(output.status.success(), "{}", both(&output));
    for expected in [
        "unit  step  H_I",
        "Boxes of acme-r2, acme-r3 believe",
        "assessments = [\"r2.signed.json\"]",
        "platform = \"r2-tsc-1\"",
    ] {
        assert!(
            both(&output).contains(expected),
            "{expected} is not in:\n{}",
            both(&output)
        );
    }

    // A box reads it with nothing but what its image pins.
    let opened = |roots: &[String]| {
        let key = |text: &String| Ed25519Public::parse(text).unwrap();
        let roots = Roots {
            hq_id: "hq.maker.test".to_owned(),
            keys: roots.iter().map(key).collect(),
        };
        let signed = Object::parse(&fs::read(hq.path("r2.signed.json")).unwrap()).unwrap();
        Assessment::open(&RustCrypto, &roots, &signed)
    };
    let bundle = fs::read_to_string(hq.path("image-bundle/bundle.toml")).unwrap();
    let bundle: toml::Table = bundle.parse().unwrap();
    let pinned: Vec<String> = bundle["protocol_roots"].clone().try_into().unwrap();
    let assessment = opened(&pinned).unwrap();
    assert_eq!(
        (assessment.id.as_str(), assessment.step_ns),
        ("r2-tsc-1", 10)
    );
    assert_eq!((assessment.min_entropy, assessment.models.len()), (333, 2));
    assert_eq!(assessment.cause, report.cause);
    let strangers = vec!["AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE".to_owned()];
    assert!(opened(&strangers).is_err());

    // What no box would believe is not signed.
    fs::remove_file(hq.path("r2.signed.json")).unwrap();
    report.min_entropy = 62;
    fs::write(&judged, report.to_bytes()).unwrap();
    let output = hq.run(&["assessment", "sign", &text(&judged)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        both(&output).contains("boxes would refuse it") && both(&output).contains("at least 63"),
        "{}",
        both(&output)
    );

    // Nor, by accident, a trial.
    (report.min_entropy, report.overridden) = (200, vec!["u1: not a board of its own".to_owned()]);
    fs::write(&judged, report.to_bytes()).unwrap();
    let output = hq.run(&["assessment", "sign", &text(&judged)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        both(&output).contains("for a trial only and was not signed"),
        "{}",
        both(&output)
    );
    assert!(!hq.path("r2.signed.json").exists());
    let output = hq.run(&["assessment", "sign", &text(&judged), "--danger-overridden"]);
    assert!(output.status.success(), "{}", both(&output));
    assert!(opened(&pinned).is_ok());

    fs::write(&judged, "{}").unwrap();
    let output = hq.run(&["assessment", "sign", &text(&judged)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        both(&output).contains("no file that `otscert-device assess judge` wrote"),
        "{}",
        both(&output)
    );
}
