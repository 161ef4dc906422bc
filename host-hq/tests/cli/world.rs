//! HQs of tests: real processes on free ports of this machine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

/// An HQ with a CA of its own, on free ports of this machine.
pub(crate) struct Hq {
    folder: TempDir,
}

impl Hq {
    pub(crate) fn new() -> Self {
        let hq = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let made = hq.init();
        assert!(made.status.success(), "{}", both(&made));
        hq
    }

    pub(crate) fn init(&self) -> Output {
        let mut init = program();
        init.arg("init").arg(self.path("")).args([
            "--zone",
            "boxes.test",
            "--hq-name",
            "hq.maker.test",
        ]);
        init.args([
            "--nameserver",
            "ns1.boxes.test=127.0.0.1",
            "--ca",
            "private",
            "--danger-loopback",
        ]);
        for listen in [
            "--device-listen",
            "--people-listen",
            "--admin-listen",
            "--dns-listen",
        ] {
            init.args([listen, "127.0.0.1:0"]);
        }
        init.output().unwrap()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("hq").join(path)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A command that has to know the ports that a running HQ got.
    pub(crate) fn run_at(&self, running: &Running, arguments: &[&str]) -> Output {
        self.command(arguments)
            .args(["--device-listen", &running.device().to_string()])
            .args(["--admin-listen", &running.admin().to_string()])
            .output()
            .unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("otscert-hq.toml"));
        command
    }

    pub(crate) fn start(&self) -> Running {
        let log = self.folder.path().join("log");
        let mut command = self.command(&["serve"]);
        command.env(
            "OTSCERT_HQ_LOG",
            "debug,wasmtime=info,cranelift_codegen=info,rustls=info",
        );
        command
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut lines = Vec::new();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, receiver) = mpsc::sync_channel(LINES);
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        loop {
            match receiver.recv_timeout(EVER) {
                Ok(line) if line == "ready" => break,
                Ok(line) => lines.push(line),
                Err(error) => {
                    let _ended = child.kill();
                    panic!(
                        "HQ is not ready: {error}\n{}",
                        fs::read_to_string(&log).unwrap()
                    );
                }
            }
        }
        Running { child, lines, log }
    }
}

/// A running HQ, ended with its value.
pub(crate) struct Running {
    child: Child,
    lines: Vec<String>,
    log: PathBuf,
}

impl Running {
    pub(crate) fn line(&self, what: &str) -> &str {
        self.lines
            .iter()
            .find_map(|line| line.strip_prefix(what))
            .unwrap_or_else(|| panic!("{:?}", self.lines))
            .trim()
    }

    fn address(&self, what: &str) -> SocketAddr {
        let text = self
            .line(what)
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        text.split(['/', ' ', ',']).next().unwrap().parse().unwrap()
    }

    pub(crate) fn device(&self) -> SocketAddr {
        self.address("boxes")
    }

    pub(crate) fn people(&self) -> SocketAddr {
        self.address("people")
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.address("admin")
    }

    pub(crate) fn dns(&self) -> SocketAddr {
        self.address("DNS")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, if all went well.
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_otscert-hq"));
    program.env("NO_COLOR", "1").stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTSCERT_HQ_") {
            program.env_remove(name);
        }
    }
    program
}

pub(crate) fn both(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Waits for something that must come; only what never comes takes as long.
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    for _ in 0..EVER.as_millis() / PAUSE.as_millis() {
        if is_so() {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}

/// Makes the database look as if a later release had written it.
pub(crate) fn newer_schema(database: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        use sqlx::{ConnectOptions, Connection};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
        let mut connection = options.connect().await.unwrap();
        let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                      VALUES (9999, 'later', TRUE, x'00', 0)";
        sqlx::query(insert).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

const EVER: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const LINES: usize = 64;
