//! An HQ as a real process: `otscert-hq init`, a few changes to its config, `otscert-hq serve`.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use toml::Table;

use crate::client::plain_get;
use crate::eventually::{Tried, eventually};
use crate::ports::free_ports;
use crate::process::{Process, last_words, program};
use crate::small_disk::SmallDisk;

/// How an HQ is to be.
#[derive(Clone, Debug)]
pub struct HqOptions {
    /// The device zone.
    pub zone: String,
    /// The CA.
    pub ca: CaChoice,
    /// The models it serves; the first is the one in the image bundle.
    pub models: Vec<ModelChoice>,
    /// Another component than the shipped one.
    pub component: Option<PathBuf>,
    /// HQ's name for people, where it is to obtain a certificate of its own.
    pub own_name: Option<String>,
}

/// A model, and how its names are used.
#[derive(Clone, Debug)]
pub struct ModelChoice {
    /// Its name.
    pub name: String,
    /// `address` or `word`.
    pub mode: &'static str,
}

/// Which CA an HQ uses.
#[derive(Clone, Debug)]
pub enum CaChoice {
    /// HQ's own; how long its certificates live, as in `90d`.
    Private {
        /// How long its certificates live, as in `90d`.
        life: String,
    },
    /// An ACME CA.
    Acme {
        /// URL of its directory.
        directory: String,
        /// The root of its API's TLS.
        root_pem: PathBuf,
        /// The profile to ask for.
        profile: String,
    },
}

/// An HQ in a folder, running or not.
#[derive(Debug)]
pub struct Hq {
    folder: PathBuf,
    log: PathBuf,
    /// Where boxes come to.
    pub device_listen: SocketAddr,
    /// Where `/healthz` and `/metrics` are.
    pub admin_listen: SocketAddr,
    /// Where people come to.
    pub people_listen: SocketAddr,
    /// UDP and TCP.
    pub dns_listen: SocketAddr,
    environment: Vec<(String, String)>,
    disk: Option<SmallDisk>,
    process: Option<Process>,
}

impl HqOptions {
    /// An HQ with both kinds of names, and that CA.
    #[must_use]
    pub fn new(ca: CaChoice) -> Self {
        Self {
            zone: ZONE.to_owned(),
            ca,
            models: vec![
                ModelChoice {
                    name: "router".to_owned(),
                    mode: "address",
                },
                ModelChoice {
                    name: "camera".to_owned(),
                    mode: "word",
                },
            ],
            component: None,
            own_name: None,
        }
    }
}

impl Hq {
    /// Makes an HQ in a folder that is not there yet.
    ///
    /// # Errors
    ///
    /// If `otscert-hq init` refuses.
    pub fn init(folder: &Path, dns: SocketAddr, options: &HqOptions) -> anyhow::Result<Self> {
        let [device_listen, admin_listen, people_listen] = free_ports()?;
        let hq = Self {
            folder: folder.to_owned(),
            log: folder.with_extension("log"),
            device_listen,
            admin_listen,
            people_listen,
            dns_listen: dns,
            environment: Vec::new(),
            disk: None,
            process: None,
        };
        let model = options.models.first().context("no model")?;
        let mut init = Command::new(program("otscert-hq")?);
        init.arg("init").arg(folder);
        for (flag, value) in [
            ("--zone", options.zone.clone()),
            (
                "--hq-name",
                options
                    .own_name
                    .clone()
                    .unwrap_or_else(|| HQ_NAME.to_owned()),
            ),
            ("--nameserver", format!("ns1.{}=127.0.0.1", options.zone)),
            ("--origin", format!("https://{device_listen}")),
            ("--model", model.name.clone()),
            ("--device-listen", device_listen.to_string()),
            ("--people-listen", people_listen.to_string()),
            ("--admin-listen", admin_listen.to_string()),
            ("--dns-listen", dns.to_string()),
            ("--admission", "open".to_owned()),
        ] {
            init.args([flag, &value]);
        }
        init.args(["--danger-loopback", "--danger-same-site"]);
        match &options.ca {
            CaChoice::Private { .. } => {
                init.args(["--ca", "private"]);
            }
            CaChoice::Acme {
                directory,
                root_pem,
                profile,
            } => {
                init.args(["--ca", directory, "--ca-profile", profile, "--agree-tos"]);
                init.arg("--ca-root").arg(root_pem);
            }
        }
        let output = init.output().context("cannot start otscert-hq init")?;
        ensure!(
            output.status.success(),
            "otscert-hq init refused:\n{}",
            both(&output)
        );
        hq.edit(|config| adjust(config, options))?;
        Ok(hq)
    }

    /// Changes the config file. HQ reads it when it starts.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn edit(&self, change: impl FnOnce(&mut Table)) -> anyhow::Result<()> {
        let path = self.config();
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut table: Table = text.parse().context("init wrote no TOML")?;
        change(&mut table);
        fs::write(&path, toml::to_string(&table)?)?;
        Ok(())
    }

    /// Sets an environment variable for the next start.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes all environment variables away.
    pub fn clear_environment(&mut self) {
        self.environment.clear();
    }

    /// Gives it a disk of that size for its data. Its files can be reached by its own commands only.
    ///
    /// # Errors
    ///
    /// If this system lets nobody mount one: with what is needed.
    pub fn put_on_small_disk(&mut self, bytes: u64) -> anyhow::Result<()> {
        self.disk = Some(SmallDisk::over(&self.folder.join("data"), bytes)?);
        Ok(())
    }

    /// Takes all the room that is left on the small disk.
    ///
    /// # Errors
    ///
    /// If HQ does not run on one.
    pub fn fill_disk(&self) -> anyhow::Result<()> {
        self.on_disk()?.fill()
    }

    /// Gives that room back.
    ///
    /// # Errors
    ///
    /// If it had not been taken.
    pub fn make_room(&self) -> anyhow::Result<()> {
        self.on_disk()?.make_room()
    }

    /// Starts it and waits until it serves.
    ///
    /// # Errors
    ///
    /// If it ends, or does not serve in time: with its last words.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        self.ready().await
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// If there is no such program.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        let mut command = self.command(&["serve"])?;
        command.env("OTSCERT_HQ_LOG", LOG);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::spawn("otscert-hq", command, &self.log)?);
        Ok(())
    }

    /// Waits until it serves.
    ///
    /// # Errors
    ///
    /// If it ends, or does not serve in time: with its last words.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let address = self.admin_listen;
        let process = self.process.as_mut().context("HQ is not started")?;
        let waited = eventually(START_LIMIT, "HQ serves", || {
            let ended = process.check();
            async move {
                ended?;
                Ok(
                    match plain_get(address, &address.to_string(), "/healthz").await {
                        Ok((status, _, _)) if status.is_success() => Tried::Done(()),
                        Ok((status, _, body)) => Tried::Not(format!("{status}: {body}")),
                        Err(error) => Tried::Not(format!("{error:#}")),
                    },
                )
            }
        });
        let result = waited.await;
        result.with_context(|| self.last_words())
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it as `kill` does.
    ///
    /// # Errors
    ///
    /// If it does not stop in time, or fails.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            None => Ok(()),
            Some(mut process) => process.stop(STOP_LIMIT),
        }
    }

    /// Fails if it has ended by itself.
    ///
    /// # Errors
    ///
    /// With its last words.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.process.as_mut() {
            None => bail!("HQ is not running"),
            Some(process) => process.check(),
        }
    }

    /// The process, if it runs.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Runs a command of `otscert-hq` on this HQ, and returns what it prints.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(arguments)?.output()?;
        printed(arguments, output)
    }

    /// The same with a text for its standard input.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn run_on(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut command = self.command(arguments)?;
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        stdin.write_all(input.as_bytes())?;
        drop(stdin);
        printed(arguments, child.wait_with_output()?)
    }

    /// Runs a command of `otscert-hq` that needs no config, in the folder around this HQ's own.
    ///
    /// # Errors
    ///
    /// If it fails.
    pub fn run_offline(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program("otscert-hq")?);
        let folder = self.folder.parent().context("no folder")?;
        let output = command.args(arguments).current_dir(folder).output()?;
        printed(arguments, output)
    }

    /// Runs a command that prints JSON.
    ///
    /// # Errors
    ///
    /// If it fails or prints something else.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.run(&[arguments, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
    }

    /// Its health, as it says itself.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub async fn health(&self) -> anyhow::Result<Value> {
        let address = self.admin_listen;
        let (_, _, text) = plain_get(address, &address.to_string(), "/healthz").await?;
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
    }

    /// The value of a metric, summed over its labels unless they are given with the name; 0 if it is not there.
    ///
    /// # Errors
    ///
    /// If HQ does not answer.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let address = self.admin_listen;
        let (_, _, text) = plain_get(address, &address.to_string(), "/metrics").await?;
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        // The sum of nothing is -0.
        Ok(0.0
            + lines
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
                .sum::<f64>())
    }

    /// Folder of the image bundle.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.folder.join("image-bundle")
    }

    /// The config file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("otscert-hq.toml")
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.join("data/hq.sqlite")
    }

    /// The root of HQ's own CA, once it has been started.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn private_root_pem(&self) -> anyhow::Result<String> {
        find(&self.folder.join("data"), "root.pem")?
            .map(fs::read_to_string)
            .context("HQ has no CA of its own")?
            .context("the root cannot be read")
    }

    /// What it printed, over all starts.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines that it printed.
    #[must_use]
    pub fn last_words(&self) -> String {
        format!("HQ's last words:\n{}", last_words(&self.log))
    }

    fn on_disk(&self) -> anyhow::Result<&SmallDisk> {
        self.disk.as_ref().context("HQ has no small disk")
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(program("otscert-hq")?);
        command.args(arguments).arg("--config").arg(self.config());
        // Messages are matched by tests, and read in files.
        command.env("NO_COLOR", "1");
        Ok(match &self.disk {
            Some(disk) => disk.around(&command),
            None => command,
        })
    }
}

/// What `init` has no flag for.
fn adjust(config: &mut Table, options: &HqOptions) {
    let models = options.models.iter().map(|model| {
        let mut table = Table::new();
        table.insert("name".to_owned(), model.name.clone().into());
        table.insert("mode".to_owned(), model.mode.into());
        table.insert("admission".to_owned(), "open".into());
        table.into()
    });
    config.insert("model".to_owned(), toml::Value::Array(models.collect()));
    if options.own_name.is_none() {
        config.remove("people");
    }
    if let Some(component) = &options.component {
        config.insert(
            "component".to_owned(),
            component.display().to_string().into(),
        );
    }
    if let CaChoice::Private { life } = &options.ca
        && let Some(toml::Value::Array(cas)) = config.get_mut("ca")
        && let Some(toml::Value::Table(ca)) = cas.first_mut()
    {
        ca.insert("life".to_owned(), life.clone().into());
    }
    // All boxes of a test come from one address.
    let mut limits = Table::new();
    limits.insert("requests_per_minute".to_owned(), 60_000.into());
    limits.insert("requests_burst".to_owned(), 10_000.into());
    limits.insert("ca_concurrency".to_owned(), CA_CONCURRENCY.into());
    config.insert("limits".to_owned(), limits.into());
}

fn find(folder: &Path, name: &str) -> anyhow::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if let Some(found) = find(&entry.path(), name)? {
                return Ok(Some(found));
            }
        } else if entry.file_name() == name {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

fn printed(arguments: &[&str], output: Output) -> anyhow::Result<String> {
    ensure!(
        output.status.success(),
        "otscert-hq {arguments:?} failed:\n{}",
        both(&output)
    );
    String::from_utf8(output.stdout).context("it printed no UTF-8")
}

fn both(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// A zone that no resolver knows.
const ZONE: &str = "boxes.test";
const HQ_NAME: &str = "hq.maker.test";
const LOG: &str = "otscert_hq=debug,otscert_hq_ca=debug,otscert_hq_dns=info,info";
/// Below what Pebble bears.
const CA_CONCURRENCY: i64 = 6;
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);
