//! Programs of this workspace as processes that end with their handle.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints is added to `log`.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        tie_to_this_process(&mut command);
        let child = command.spawn().with_context(|| {
            format!("cannot start {name} ({})", command.get_program().display())
        })?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        // A child that has ended already is what is wanted.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }

    /// Asks it to stop, as `kill` does, and waits for `limit`; kills it then.
    ///
    /// # Errors
    ///
    /// If it had to be killed, or ended with another status than 0.
    pub fn stop(&mut self, limit: Duration) -> anyhow::Result<()> {
        if self.ended().is_none() {
            self.signal(libc::SIGTERM)?;
        }
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            match self.ended() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    bail!(
                        "{} ended with {status}; its last words:\n{}",
                        self.name,
                        self.last_words()
                    )
                }
                None => thread::sleep(Duration::from_millis(10)),
            }
        }
        self.kill();
        bail!(
            "{} did not stop within {limit:?} of SIGTERM; its last words:\n{}",
            self.name,
            self.last_words()
        )
    }

    /// Asks it to stop, as Ctrl-C does.
    ///
    /// # Errors
    ///
    /// If there is no such process any longer.
    pub fn interrupt(&self) -> anyhow::Result<()> {
        self.signal(libc::SIGINT)
    }

    /// Everything that it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines that it printed.
    #[must_use]
    pub fn last_words(&self) -> String {
        last_words(&self.log)
    }

    /// Fails if it has ended.
    ///
    /// # Errors
    ///
    /// With its last words.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.ended() {
            None => Ok(()),
            Some(status) => {
                bail!(
                    "{} ended early ({status}); its last words:\n{}",
                    self.name,
                    self.last_words()
                )
            }
        }
    }

    /// A line of its entry in `/proc/<pid>/status`, for example `VmHWM`.
    ///
    /// # Errors
    ///
    /// If there is no such line: the process is gone, or this is no Linux.
    pub fn proc_status(&self, field: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/status", self.pid());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(line
            .with_context(|| format!("{path} has no {field}"))?
            .trim()
            .to_owned())
    }

    #[expect(
        unsafe_code,
        reason = "the standard library sends no signal but SIGKILL"
    )]
    fn signal(&self, signal: libc::c_int) -> anyhow::Result<()> {
        let pid = libc::pid_t::try_from(self.pid()).context("no process id")?;
        // SAFETY: plain numbers; the child has not been waited for, so the id is still its own.
        match unsafe { libc::kill(pid, signal) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()).context("cannot send a signal"),
        }
    }
}

/// The last lines of a log; nothing if it cannot be read.
pub(crate) fn last_words(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "---- last words of {} ----\n{}",
                self.name,
                self.last_words()
            );
        }
    }
}

/// The path of a program of this workspace: beside this one.
///
/// # Errors
///
/// If it has not been built, with what to do.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("where is this program?")?;
    let mut folder = this.parent().context("this program is in no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps is in no folder")?;
    }
    let path = folder.join(name);
    if !path.is_file() {
        bail!(
            "{} has not been built: `./x demo` and `./x test` do so, or cargo build --workspace --bins",
            path.display()
        );
    }
    Ok(path)
}

/// Keeps Ctrl-C away from what the command starts, for whoever started it to end it in order; and
/// has it killed with this process, so that not even a killed test leaves it behind.
pub(crate) fn tie_to_this_process(command: &mut Command) {
    command.process_group(0);
    end_with_this_process(command);
}

/// Lets the system kill the child when the thread that starts it is gone.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "the standard library has no parent-death signal"
)]
fn end_with_this_process(command: &mut Command) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls may be made; both are.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The parent may have gone before the call above.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_this_process(_command: &mut Command) {}

const LAST_WORDS: usize = 60;
