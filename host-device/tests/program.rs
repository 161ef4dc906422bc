//! The program as a process: its commands, its exits, its words.

#![expect(
    clippy::unwrap_used,
    reason = "what fails here fails the test, with its line"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::Value::Null;
use tempfile::TempDir;

#[test]
fn it_runs_says_how_it_is_and_stops_when_told_to() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let place = Place::new();
        let mut running = place.start();
        let status: serde_json::Value = serde_json::from_str(&place.await_status()).unwrap();
        assert_eq!(status["component_sha256"], otscert_component::sha256_hex());
        assert_eq!(status["https"], false);

        let words = text(&place.run(&["status"]));
        assert!(
            words.contains(&otscert_component::sha256_hex())
                && words.contains("HTTPS         not yet"),
            "{words}"
        );

        kill(Pid::from_raw(running.id().try_into().unwrap()), signal).unwrap();
        assert!(running.wait().unwrap().success());
        let log = fs::read_to_string(place.log()).unwrap();
        assert!(
            log.contains(&otscert_component::sha256_hex()),
            "the start names the component: {log}"
        );
        assert!(!place.folder.path().join("state/control.sock").exists());
    }
}

#[test]
fn without_a_running_one_status_says_so_and_exits_with_3() {
    let place = Place::new();
    let output = place.run(&["status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output).contains("not running"), "{}", text(&output));
    let output = place.run(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["running"], false);
}

#[test]
fn a_second_one_on_the_same_folder_is_refused() {
    let place = Place::new();
    let running = Stopped(place.start());
    place.await_status();
    let output = place.run(&["run"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("is in use by another otscert-device"),
        "{}",
        text(&output)
    );
    drop(running);
}

#[test]
fn a_killed_one_leaves_nothing_that_hinders_the_next() {
    let place = Place::new();
    for _ in 0..2 {
        let mut running = place.start();
        place.await_status();
        running.kill().unwrap();
        running.wait().unwrap();
    }
    drop(Stopped(place.start()));
}

#[test]
fn a_good_config_is_called_usable_and_a_bad_one_is_not() {
    let place = Place::new();
    let output = place.run(&["check-config"]);
    assert!(output.status.success());
    assert!(
        text(&output).contains("The config is usable."),
        "{}",
        text(&output)
    );

    for (from, to, expected) in [
        (
            "storage =",
            "storgae =",
            "line 2: unknown key `storgae`; did you mean `storage`?",
        ),
        (
            "bundle = \"image-bundle\"",
            "bundle = \"elsewhere\"",
            "`otscert-hq init` writes that folder",
        ),
        (
            "clock =",
            "component = \"device.toml\"\nclock =",
            "it is damaged, or not a WebAssembly component",
        ),
        (
            "clock =",
            "hardware_generator = \"/dev/urandom\"\nclock =",
            "`hardware_generator` cannot be used: give another file, or \"none\"",
        ),
    ] {
        let place = Place::new();
        let path = place.folder.path().join("device.toml");
        let config = fs::read_to_string(&path).unwrap();
        assert!(config.contains(from));
        fs::write(&path, config.replace(from, to)).unwrap();
        let output = place.run(&["check-config"]);
        assert_eq!(output.status.code(), Some(1), "{to}");
        let words = text(&output);
        assert!(
            words.starts_with("error: ") && words.contains(expected),
            "{to}: {words}"
        );
    }
}

#[test]
fn what_the_factory_wrote_is_told_without_the_secrets() {
    let place = Place::new();
    let path = place.folder.path().join("device.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("unit = \"unit.toml\"\n{config}")).unwrap();
    let words = text(&place.run(&["check-config"]));
    assert!(words.contains("unit.toml is not there"), "{words}");

    let secret = "q".repeat(40);
    let unit = place.folder.path().join("unit.toml");
    let written = format!("serial = \"SN-7\"\nepoch = 2\nsecret = \"{secret}\"\n");
    fs::write(&unit, &written).unwrap();
    fs::set_permissions(&unit, fs::Permissions::from_mode(0o600)).unwrap();
    let words = text(&place.run(&["check-config"]));
    assert!(
        words.contains("unit       SN-7, secret of epoch 2\n"),
        "{words}"
    );
    assert!(!words.contains(&secret), "{words}");

    // The component's word on what the file holds ends a run, and names the field.
    fs::write(&unit, format!("{written}claim_code = \"0000\"\n")).unwrap();
    let output = place.run(&["run"]);
    assert_eq!(output.status.code(), Some(1));
    let words = text(&output);
    assert!(
        words.contains("claim code") && words.contains("the unit file"),
        "{words}"
    );
    assert!(!words.contains(&secret), "{words}");
}

#[test]
fn a_code_is_typed_without_a_browser_and_a_mistyped_one_is_no_trouble_of_the_box() {
    let place = Place::new();
    let running = Stopped(place.start());
    place.await_status();
    for mistyped in ["7K3M-Q2WT-9XHB-04ZF-K", "7K3M"] {
        let output = place.run(&["claim", mistyped]);
        assert_eq!(output.status.code(), Some(1), "{mistyped}");
        let words = text(&output);
        assert!(words.contains("claim code must be"), "{words}");
    }
    let status: serde_json::Value = serde_json::from_str(&place.await_status()).unwrap();
    assert_eq!(
        (&status["trouble"], &status["restarts"]),
        (&Null, &0.into())
    );
    let output = place.run(&["claim", "7k3m q2wt 9xhb o4zf j"]);
    assert!(output.status.success(), "{}", text(&output));

    let path = place.folder.path().join("device.toml");
    let words = format!(
        "printf '7K3M-Q2WT-9XHB-04ZF-J\\n' | '{}' claim - --config '{}'",
        env!("CARGO_BIN_EXE_otscert-device"),
        path.display()
    );
    let output = Command::new("sh").args(["-c", &words]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    drop(running);
}

#[test]
fn a_box_that_is_not_running_and_not_enrolled_is_reset_on_its_folder() {
    let place = Place::new();
    let output = place.run(&["reset"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("there was nothing to tell"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_running_box_takes_the_orders_to_renew_and_to_reset() {
    let place = Place::new();
    let running = Stopped(place.start());
    place.await_status();
    assert!(place.run(&["renew"]).status.success());
    let output = place.run(&["reset"]);
    assert!(
        text(&output).contains("The running box is reset"),
        "{}",
        text(&output)
    );
    drop(running);
}

/// A folder with a config, an image bundle and a log.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("image-bundle");
        fs::create_dir(&bundle).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(
            bundle.join("tls-root.pem"),
            params.self_signed(&key).unwrap().pem(),
        )
        .unwrap();
        // Nobody listens on port 1.
        fs::write(
            bundle.join("bundle.toml"),
            "hq_id = \"hq.test\"\n\
             origins = [\"https://127.0.0.1:1\"]\n\
             protocol_roots = [\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\", \"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\"]\n\
             tls_root = \"tls-root.pem\"\n\
             model = \"test\"\n\
             zone = \"boxes.test\"\n",
        )
        .unwrap();
        fs::write(
            folder.path().join("device.toml"),
            "bundle = \"image-bundle\"\n\
             storage = \"state\"\n\
             http = \"127.0.0.1:0\"\n\
             https = \"127.0.0.1:0\"\n\
             clock = \"unset\"\n",
        )
        .unwrap();
        Self { folder }
    }

    fn log(&self) -> impl AsRef<Path> {
        self.folder.path().join("log")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_otscert-device"));
        // Only what the test says counts, not what stands in the environment of whoever runs it.
        command
            .env_clear()
            .arg("--config")
            .arg(self.folder.path().join("device.toml"))
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn start(&self) -> Child {
        let log = fs::File::create(self.log()).unwrap();
        self.command(&["run"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Asks until the program answers.
    fn await_status(&self) -> String {
        for _ in 0..ATTEMPTS {
            let output = self.run(&["status", "--json"]);
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap();
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!(
            "it does not answer: {}",
            fs::read_to_string(self.log()).unwrap()
        );
    }
}

/// A program that is stopped at the end of a test, however that comes.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _gone: Result<(), _> = self.0.kill();
        let _status: Result<ExitStatus, _> = self.0.wait();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Compiling the component takes seconds on a busy machine.
const ATTEMPTS: usize = 1200;
