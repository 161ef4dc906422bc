//! A whole world in one temporary folder: a CA, an HQ, boxes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use otscert_hq_ca::pebble::{Pebble, PebbleOptions};
use tempfile::TempDir;

use crate::boxes::{BoxInside, BoxOptions, BoxProcess};
use crate::client::Client;
use crate::hq::{CaChoice, Hq, HqOptions};
use crate::ports::free_port;
use crate::process::tie_to_this_process;

/// A CA, an HQ, and a folder for boxes. Everything ends with it.
#[derive(Debug)]
pub struct World {
    /// HQ.
    pub hq: Hq,
    /// The CA, unless HQ is its own.
    pub pebble: Option<Pebble>,
    folder: Folder,
}

/// How a world is to be.
#[derive(Clone, Debug)]
pub enum WorldOptions {
    /// HQ is its own CA.
    Private,
    /// Pebble; its only profile's life in seconds.
    Pebble {
        /// How long certificates live, in seconds.
        life: u64,
    },
}

impl World {
    /// A world that runs.
    ///
    /// # Errors
    ///
    /// If something of it does not start.
    pub async fn start(options: &WorldOptions) -> anyhow::Result<Self> {
        let mut world = Self::prepare(options, |_| {}).await?;
        world.hq.start().await?;
        Ok(world)
    }

    /// A world whose HQ has not been started; `change` may change HQ's options.
    ///
    /// # Errors
    ///
    /// If something of it does not start.
    pub async fn prepare(
        options: &WorldOptions,
        change: impl FnOnce(&mut HqOptions),
    ) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let dns = free_port()?;
        let (pebble, ca) = match options {
            WorldOptions::Private => (
                None,
                CaChoice::Private {
                    life: "90d".to_owned(),
                },
            ),
            WorldOptions::Pebble { life } => {
                let options = PebbleOptions {
                    dns_server: Some(dns),
                    profiles: vec![(PROFILE.to_owned(), *life)],
                    prepare: tie_to_this_process,
                    ..PebbleOptions::default()
                };
                let pebble = Pebble::start(&options).await?;
                let ca = CaChoice::Acme {
                    directory: pebble.directory_url(),
                    root_pem: pebble.ca_pem_path(),
                    profile: PROFILE.to_owned(),
                };
                (Some(pebble), ca)
            }
        };
        let mut hq = HqOptions::new(ca);
        change(&mut hq);
        let hq = Hq::init(&folder.path().join("hq"), dns, &hq)?;
        Ok(Self { hq, pebble, folder })
    }

    /// The root that the boxes' certificates lead to, PEM. HQ must have been started.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn root_pem(&self) -> anyhow::Result<String> {
        match &self.pebble {
            Some(pebble) => Ok(pebble.issuance_root_pem().await?),
            None => self.hq.private_root_pem(),
        }
    }

    /// A browser that trusts that root alone.
    ///
    /// # Errors
    ///
    /// If there is no root.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Client::new(self.hq.dns_listen, &self.root_pem().await?)
    }

    /// A box as a process of its own.
    ///
    /// # Errors
    ///
    /// If its folder cannot be written.
    pub fn box_process(&self, name: &str, options: &BoxOptions) -> anyhow::Result<BoxProcess> {
        BoxProcess::new(&self.folder.path().join(name), &self.hq.bundle(), options)
    }

    /// A box inside this process.
    ///
    /// # Errors
    ///
    /// If the image bundle is unusable.
    pub fn box_inside(&self, name: &str, options: BoxOptions) -> anyhow::Result<BoxInside> {
        BoxInside::new(&self.folder.path().join(name), &self.hq.bundle(), options)
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the folder when the world ends, and says where it is.
    #[must_use]
    pub fn keep(&mut self) -> PathBuf {
        self.folder.keep = true;
        self.folder.path().to_owned()
    }
}

/// A temporary folder; kept where somebody asks for it.
#[derive(Debug)]
struct Folder {
    temporary: Option<TempDir>,
    keep: bool,
}

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("otscert-").tempdir();
        let temporary = temporary.context("cannot make a temporary folder")?;
        let keep = std::env::var_os("OTSCERT_KEEP").is_some();
        if keep {
            eprintln!("kept: {}", temporary.path().display());
        }
        Ok(Self {
            temporary: Some(temporary),
            keep,
        })
    }

    fn path(&self) -> &Path {
        self.temporary
            .as_ref()
            .map_or(Path::new("/nonexistent"), TempDir::path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Some(temporary) = self.temporary.take() else {
            return;
        };
        if self.keep {
            let _path = temporary.keep();
        } else {
            let path = temporary.path().to_owned();
            // A process that is being killed may still write into it.
            if temporary.close().is_err() {
                let _gone = fs::remove_dir_all(path);
            }
        }
    }
}

const PROFILE: &str = "test";
