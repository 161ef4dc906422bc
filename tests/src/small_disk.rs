//! A disk of a few megabytes that some processes see in place of a folder: to be filled up, and emptied again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::process::Process;

/// A memory file system, mounted over a folder in a mount namespace of its own. It is gone when this is dropped and
/// the last process on it has ended.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
    bytes: u64,
    holder: Process,
}

impl SmallDisk {
    /// A disk of that size in place of `folder`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If this system lets nobody mount one here: with what is needed.
    pub fn over(folder: &Path, bytes: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut unshare = Command::new("unshare");
        if !is_root() {
            unshare.arg("--map-root-user");
        }
        unshare
            .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT])
            .arg("sh")
            .arg(bytes.to_string())
            .arg(folder);
        let log = folder.with_extension("mount.log");
        let holder = Process::spawn("unshare (of util-linux)", unshare, &log)?;
        let mut disk = Self {
            folder: folder.to_owned(),
            bytes,
            holder,
        };
        let start = Instant::now();
        while !disk.is_there()? {
            disk.holder.check().context(NEEDED)?;
            ensure!(start.elapsed() < PATIENCE, NEEDED);
            thread::sleep(Duration::from_millis(10));
        }
        Ok(disk)
    }

    /// The same command on this disk. It is the same process from outside, too.
    #[must_use]
    pub fn around(&self, command: &Command) -> Command {
        let mut outer = Command::new("nsenter");
        outer.arg(format!("--target={}", self.holder.pid()));
        if !is_root() {
            outer.args(["--user", "--preserve-credentials"]);
        }
        outer
            .arg("--mount")
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer
    }

    /// A path on this disk, as seen from outside.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        let inside = self.folder.strip_prefix("/").unwrap_or(&self.folder);
        let root = format!("/proc/{}/root", self.holder.pid());
        Path::new(&root).join(inside).join(name)
    }

    /// Takes all the room that is left. What is freed later is free.
    ///
    /// # Errors
    ///
    /// If the disk is gone.
    pub fn fill(&self) -> anyhow::Result<()> {
        let path = self.path(FILLER);
        let mut file = File::options().create(true).append(true).open(&path)?;
        let block = [0; BLOCK];
        for _ in 0..=self.bytes / BLOCK as u64 {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
        bail!("the disk is larger than {} bytes", self.bytes)
    }

    /// Gives the room back.
    ///
    /// # Errors
    ///
    /// If it had not been taken.
    pub fn make_room(&self) -> anyhow::Result<()> {
        let path = self.path(FILLER);
        fs::remove_file(&path).with_context(|| path.display().to_string())
    }

    fn is_there(&self) -> io::Result<bool> {
        match fs::metadata(self.path("")) {
            Ok(inside) => Ok(inside.dev() != fs::metadata(&self.folder)?.dev()),
            // The holder has ended, or is not one yet.
            Err(_) => Ok(false),
        }
    }
}

#[expect(
    unsafe_code,
    reason = "the standard library does not say who runs this process"
)]
fn is_root() -> bool {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Its arguments: size, folder.
const SCRIPT: &str =
    "mount -t tmpfs -o \"size=$1,mode=0700\" small-disk \"$2\" && exec sleep infinity";
const FILLER: &str = "filler";
const BLOCK: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(30);
const NEEDED: &str = "this test mounts a small disk in a namespace of its own, and may not: run it as root, or allow \
    user namespaces (`sysctl -w kernel.unprivileged_userns_clone=1`; in a container, CAP_SYS_ADMIN)";
