//! `otscert-hq init`: everything a new HQ begins with, in one folder, whole or not at all.
//!
//! The folder is put together beside its place and renamed into it, so that a crash leaves nothing half done. Nothing
//! that exists is ever written over: these are keys that boxes in the field rely on for years.

mod advice;
pub mod ceremony;
mod template;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use otscert_hq_dns::DnsName;

use crate::config::{Admission, Config, ConfigError, Mode, Nameserver, Overrides};
use crate::types::Timestamp;

use ceremony::{Ceremony, CeremonyError};
pub(crate) use template::{LETS_ENCRYPT, LETS_ENCRYPT_STAGING};

/// What the operator says about a new HQ.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The folder to make.
    pub folder: PathBuf,
    /// The device zone.
    pub zone: DnsName,
    /// HQ's name on the web and for boxes.
    pub hq_name: DnsName,
    /// HQ's id in every message; boxes pin it.
    pub hq_id: String,
    /// Who serves the zone.
    pub nameservers: Vec<Nameserver>,
    /// Addresses of the device endpoint, besides its name.
    pub addresses: Vec<IpAddr>,
    /// Where boxes look for HQ; empty: name and addresses at the port of `device_listen`.
    pub origins: Vec<String>,
    /// The boxes' model in the image bundle.
    pub model: String,
    /// How names are used.
    pub mode: Mode,
    /// Who may have a name; none: what suits the CA.
    pub admission: Option<Admission>,
    /// The first CA.
    pub ca: InitCa,
    /// Mailbox in the zone's SOA; none: hostmaster at HQ's domain.
    pub hostmaster: Option<String>,
    /// Where HQ listens.
    pub listen: Listen,
    /// HQ's name may be in the zone's domain: for a demo.
    pub danger_same_site: bool,
    /// Loopback addresses are LAN addresses: for a demo on one machine.
    pub danger_loopback: bool,
    /// Strangers may use up the CA's quota.
    pub danger_open_public: bool,
}

/// Where HQ listens.
#[derive(Debug, Clone)]
pub struct Listen {
    /// For boxes.
    pub device: SocketAddr,
    /// For people.
    pub people: SocketAddr,
    /// For this machine.
    pub admin: SocketAddr,
    /// For resolvers and CAs.
    pub dns: Vec<SocketAddr>,
}

/// The first CA of a new HQ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitCa {
    /// HQ's own.
    Private,
    /// One that speaks ACME.
    Acme(InitAcme),
}

/// A CA that speaks ACME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitAcme {
    /// Its name in the config.
    pub name: String,
    /// URL of its directory.
    pub directory: String,
    /// PEM file with the only root of its API.
    pub root_pem: Option<PathBuf>,
    /// Certificate profile.
    pub profile: Option<String>,
    /// `mailto:` URL.
    pub contact: Option<String>,
    /// The operator agrees to its terms of service.
    pub agree_tos: bool,
}

/// What `init` did.
#[derive(Debug, Clone)]
pub struct Initialized {
    /// The folder.
    pub folder: PathBuf,
    /// The config file in it.
    pub config: PathBuf,
    /// What to paste and to do next, for people.
    pub advice: String,
}

/// Why no HQ was made. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The folder is taken.
    #[error(
        "{} exists and is not empty: `init` never overwrites, since boxes in the field rely on an HQ's keys. Take \
         another folder, or go on with this one: `otscert-hq serve --config {}`", folder.display(), folder.join(CONFIG).display()
    )]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
    /// The options make no config that works.
    #[error("these options make no HQ that works")]
    Options(#[source] ConfigError),
    /// No keys could be made.
    #[error("the keys could not be made")]
    Ceremony(#[from] CeremonyError),
    /// A file could not be written.
    #[error("{} cannot be written: check its folder, owner and disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Makes a new HQ.
///
/// # Errors
///
/// [`InitError`] says what is in the way.
pub fn init(options: &InitOptions, now: Timestamp) -> Result<Initialized, InitError> {
    let folder = options.folder.clone();
    let written = |path: &Path| {
        let path = path.to_owned();
        move |source| InitError::Write { path, source }
    };
    if is_taken(&folder).map_err(written(&folder))? {
        return Err(InitError::Taken { folder });
    }
    let ceremony = Ceremony::hold(options, now)?;
    let text = template::config(options, &ceremony);
    // Checked before anything is written, so that options that make no sense leave nothing behind.
    let config = Config::parse(&folder.join(CONFIG), &text, &Overrides::default())
        .map_err(InitError::Options)?;
    let files = template::files(options, &ceremony, text);

    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    fs::create_dir_all(&parent).map_err(written(&parent))?;
    let beside = tempfile_beside(&parent, &folder).map_err(written(&parent))?;
    for (path, content, secret) in &files {
        let path = beside.0.join(path);
        write(&path, content, *secret).map_err(written(&path))?;
    }
    let data = beside.0.join(DATA);
    make_folder(&data, SECRET_FOLDER).map_err(written(&data))?;
    // Takes the place of an empty folder, and of nothing else.
    fs::rename(&beside.0, &folder).map_err(written(&folder))?;
    File::open(&parent)
        .and_then(|parent| parent.sync_all())
        .map_err(written(&parent))?;
    let advice = advice::text(options, &config, &folder);
    Ok(Initialized {
        config: folder.join(CONFIG),
        folder,
        advice,
    })
}

/// Writes a file that was not there, and syncs it.
pub(crate) fn write(path: &Path, content: &[u8], secret: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        let mode = if secret { SECRET_FOLDER } else { FOLDER };
        make_folder(folder, mode)?;
    }
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if secret { 0o600 } else { 0o644 });
    }
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes a folder for its owner only, if it is not there.
pub(crate) fn make_secret_folder(path: &Path) -> io::Result<()> {
    make_folder(path, SECRET_FOLDER)
}

fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    builder.create(path)
}

fn is_taken(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(true),
        Err(error) => Err(error),
    }
}

/// A folder that is removed unless it has been renamed.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        // After the rename it is gone already.
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn tempfile_beside(parent: &Path, folder: &Path) -> io::Result<Beside> {
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let path = parent.join(format!(".{name}.init-{}", std::process::id()));
    make_folder(&path, FOLDER)?;
    Ok(Beside(path))
}

/// Name of the config file.
pub const CONFIG: &str = "otscert-hq.toml";
const DATA: &str = "data";
const FOLDER: u32 = 0o755;
const SECRET_FOLDER: u32 = 0o700;

#[cfg(test)]
mod tests;
