//! HQ's own host: store, registrar, committer and workers as they are shipped, with a database in memory.
//!
//! One thing happens at a time, so a seed gives one run although the host has threads: the world waits until what it
//! asked for is done. A kill is a future that is not polled any longer, with all that hangs on it; the next start
//! finds in the database what was committed, and nothing else.

mod ca;
mod convert;
mod guest;
mod zone;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use otscert_hq::clock::MockClock;
use otscert_hq::host::entropy::{EntropyError, EntropySource};
use otscert_hq::hq::{HqOptions, HqParts, Works};
use otscert_hq::registrar::{CallError, PoolOptions};
use otscert_hq::store::{DeviceFilter, Lane, MAX_PAGE, OutboxState, Store, StoreOptions};
use otscert_hq::types::{Input, Load, Request, Timestamp};
use otscert_hq::work::{Ca, CaSet, Pass};
use otscert_replay::bindings::exports::otscert::provision::registrar;
use otscert_replay::bindings::otscert::provision::types;
use otscert_replay::{Entry, Seeded};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::{Books, Chore, Device, Headquarters};
use crate::around::Around;
use crate::authority::Authority;
use crate::calls::How;
use crate::configs::{HOUR, HQ, START};
use crate::events::Event;

use ca::SimulatedCa;
use guest::{Guests, Kill, Side};

pub(crate) use convert::ConvertError;
use zone::SimulatedZone;

/// HQ's own host.
pub(crate) struct Real {
    folder: TempDir,
    runtime: Runtime,
    clock: Arc<MockClock>,
    entropy: Arc<SeededEntropy>,
    authority: Authority,
    side: Arc<Mutex<Side>>,
    config: registrar::Config,
    process: Option<Process>,
    /// When each lane is looked at next.
    lanes: Vec<Option<u64>>,
    /// When the scheduler looks next.
    round: Option<u64>,
    has_backup: bool,
    /// How often it went back to the copy; each time in a file of its own, since a connection may close late.
    restored: u32,
}

/// What a kill ends.
struct Process {
    works: Works,
    lanes: Vec<Lane>,
    kill: Kill,
}

impl Real {
    pub(crate) fn new(
        config: registrar::Config,
        seed: u64,
        records: bool,
        authority: Authority,
    ) -> anyhow::Result<Self> {
        // Bytes that nobody wants to keep: in memory where the system has a file system for it.
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => TempDir::new_in(memory),
            false => TempDir::new(),
        };
        let mut random = Seeded::new(seed);
        Ok(Self {
            folder: folder.context("making a folder for HQ's database")?,
            runtime: Builder::new_current_thread()
                .enable_time()
                .build()
                .context("starting a runtime for HQ")?,
            clock: Arc::new(MockClock::at(Timestamp::from_millis(START))),
            entropy: Arc::new(SeededEntropy(Mutex::new(Seeded::new(random.next())))),
            authority,
            side: Arc::new(Mutex::new(Side::new(random.next(), records))),
            config,
            process: None,
            lanes: Vec::new(),
            round: None,
            has_backup: false,
            restored: 0,
        })
    }

    fn path(&self) -> PathBuf {
        let restored = self.restored;
        self.folder.path().join(format!("hq-{restored}.db"))
    }

    fn backup_path(&self) -> PathBuf {
        self.folder.path().join("backup.db")
    }

    fn turn_clock(&self, around: &Around) {
        self.clock.advance_to(Timestamp::from_millis(around.now));
    }

    /// Ends the process, in the middle of whatever it does, and closes its database.
    fn stop(&mut self) -> anyhow::Result<()> {
        let Some(process) = self.process.take() else {
            return Ok(());
        };
        process.kill.release();
        let store = process.works.kill();
        self.runtime
            .block_on(store.close())
            .context("closing HQ's database")
    }

    /// Does something with the process, unless it is killed meanwhile; then it is started anew.
    fn doing<T>(
        &mut self,
        around: &mut Around,
        doing: impl AsyncFnOnce(&Process) -> T,
    ) -> anyhow::Result<Option<T>> {
        self.turn_clock(around);
        let is_struck = around.faults.strike(300);
        if is_struck {
            let (after, how) = around.call_fault();
            guest::lock(&self.side).calls.strike_after(after, how);
        }
        let process = self.process.as_ref().context("HQ is not started")?;
        let done = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = process.kill.struck() => None,
                done = doing(process) => Some(done),
            }
        });
        self.heard(around, is_struck)?;
        if done.is_none() {
            self.start(around)?;
        }
        Ok(done)
    }

    /// Writes down what the registrar decided, and plans what comes of it.
    fn heard(&mut self, around: &mut Around, is_struck: bool) -> anyhow::Result<()> {
        let side = &mut *guest::lock(&self.side);
        if is_struck {
            side.calls.spare();
        }
        side.calls.was_struck = false;
        for taken in side.entries.drain(..) {
            around.write(|n| Entry {
                n,
                party: HQ.to_owned(),
                now: taken.now,
                input: taken.input,
                calls: taken.calls,
                outcome: taken.outcome,
                digest: None,
            })?;
        }
        let has_submitted = std::mem::take(&mut side.has_submitted);
        let wake = side.wakes_at.take();
        if has_submitted {
            for at in 0..self.lanes.len() {
                let time = around.now + 20 + around.random.below(2000);
                plan_lane(&mut self.lanes, around, at, time);
            }
        }
        if let Some(time) = wake {
            plan_round(&mut self.round, around, time);
        }
        Ok(())
    }

    fn work_off(&mut self, around: &mut Around, at: usize) -> anyhow::Result<()> {
        let now = Timestamp::from_millis(around.now);
        let pass = self.doing(around, async |process| {
            process.works.outbox.run_once(&process.lanes[at], now).await
        })?;
        let next = match pass {
            // A start plans everything anew.
            None => return Ok(()),
            Some(Ok(Pass::Idle { next: None })) => return Ok(()),
            Some(Ok(Pass::Idle { next: Some(next) })) => next.as_millis(),
            Some(Ok(Pass::Told | Pass::Kept | Pass::LeaseLost | Pass::Parked)) => {
                around.now + 20 + around.random.below(2000)
            }
            Some(Ok(Pass::Stopped)) => anyhow::bail!("HQ stops by itself"),
            Some(Err(error)) => return Err(error).context("working off HQ's outbox"),
        };
        plan_lane(&mut self.lanes, around, at, next);
        Ok(())
    }

    /// One at a time, in the order of their times: of those told together, threads would decide who comes first.
    fn tell_who_is_due(&mut self, around: &mut Around) -> anyhow::Result<()> {
        for _ in 0..MOST_ROUNDS {
            let next = self.doing(around, async |process| process.works.store.next_due().await)?;
            let Some(next) = next else { return Ok(()) };
            let next = match next.context("asking who is due")? {
                None => return Ok(()),
                Some(next) if next.as_millis() > around.now => {
                    plan_round(&mut self.round, around, next.as_millis());
                    return Ok(());
                }
                Some(next) => next,
            };
            let round = self.doing(around, async |process| {
                process.works.scheduler.run_once(next).await
            })?;
            match round {
                None => return Ok(()),
                Some(round) => drop(round.context("telling who is due")?),
            }
        }
        anyhow::bail!(
            "HQ told {MOST_ROUNDS} subjects at {}, and more are due",
            around.now
        )
    }

    async fn open(&self, around: &Around, kill: Kill) -> anyhow::Result<Process> {
        let store = Store::open(StoreOptions::new(self.path())).await?;
        let ca = Ca {
            authority: Arc::new(SimulatedCa {
                authority: self.authority.clone(),
                faults: around.faults.clone(),
                kill: kill.clone(),
            }),
            concurrency: 1,
            quota: Vec::new(),
        };
        let works = Works::open(HqParts {
            store: Arc::new(store),
            guests: Arc::new(Guests {
                config: self.config.clone(),
                side: Arc::clone(&self.side),
                kill: kill.clone(),
            }),
            component_sha256: "0".repeat(64),
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::clone(&self.entropy) as _,
            cas: CaSet::from([("ca".to_owned(), ca)]),
            zone: Arc::new(SimulatedZone(self.authority.clone())),
            options: HqOptions {
                pool: PoolOptions {
                    threads: Some(1),
                    ..PoolOptions::default()
                },
                ..HqOptions::default()
            },
        })
        .await?;
        let lanes = works.outbox.lanes();
        Ok(Process {
            works,
            lanes: lanes.into_iter().map(|(lane, _)| lane).collect(),
            kill,
        })
    }
}

impl Headquarters for Real {
    fn start(&mut self, around: &mut Around) -> anyhow::Result<()> {
        self.turn_clock(around);
        self.stop()?;
        guest::lock(&self.side).calls.is_cut = false;
        let kill = Kill::new();
        let process = self.runtime.block_on(self.open(around, kill));
        let process = process.context("starting HQ")?;
        self.lanes = vec![None; process.lanes.len()];
        self.round = None;
        self.process = Some(process);
        self.heard(around, false)?;
        for at in 0..self.lanes.len() {
            plan_lane(&mut self.lanes, around, at, around.now + 1);
        }
        plan_round(&mut self.round, around, around.now + 1);
        Ok(())
    }

    fn request(
        &mut self,
        around: &mut Around,
        endpoint: types::Endpoint,
        body: Vec<u8>,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let request = Input::Request(Request {
            endpoint: convert::endpoint(endpoint),
            source_prefix: "192.0.2.0/24".to_owned(),
            load: Load::default(),
            body,
        });
        let decided = self.doing(around, async |process| {
            process.works.registrar.request(request).await
        })?;
        Ok(match decided {
            // It was killed, or failed at this one: the box comes back.
            None | Some(Err(CallError::Guest(_) | CallError::Busy { .. })) => None,
            Some(Ok(decision)) => decision.reply.map(|reply| reply.body),
            Some(Err(error)) => return Err(error).context("deciding a box's message"),
        })
    }

    fn work(&mut self, around: &mut Around, chore: Chore) -> anyhow::Result<()> {
        match chore {
            Chore::Lane(at, time) => match self.lanes.get_mut(at) {
                Some(planned) if *planned == Some(time) => {
                    *planned = None;
                    self.work_off(around, at)
                }
                Some(_) | None => Ok(()),
            },
            Chore::Round(time) => match self.round == Some(time) {
                true => {
                    self.round = None;
                    self.tell_who_is_due(around)
                }
                false => Ok(()),
            },
            Chore::Sweep => {
                let now = Timestamp::from_millis(around.now);
                let swept = self.doing(around, async |process| {
                    process.works.sweeper.run_once(now).await
                })?;
                swept.transpose().context("sweeping HQ's database")?;
                Ok(())
            }
            Chore::Perform(_) | Chore::Due(..) => anyhow::bail!("no chore of HQ's host"),
        }
    }

    fn back_up(&mut self, around: &mut Around) -> anyhow::Result<()> {
        self.stop()?;
        copy(&self.path(), &self.backup_path()).context("copying HQ's database")?;
        self.has_backup = true;
        self.start(around)
    }

    fn restore(&mut self, around: &mut Around) -> anyhow::Result<bool> {
        if self.has_backup {
            self.stop()?;
            self.restored += 1;
            copy(&self.backup_path(), &self.path()).context("restoring HQ's database")?;
            self.start(around)?;
        }
        Ok(self.has_backup)
    }

    fn strike_after(&mut self, calls: u64, how: How) {
        guest::lock(&self.side).calls.strike_after(calls, how);
    }

    fn calls(&self) -> u64 {
        guest::lock(&self.side).calls.made()
    }

    fn books(&mut self, around: &Around) -> anyhow::Result<Books> {
        let process = self.process.as_ref().context("HQ is not started")?;
        let late = Timestamp::from_millis(around.now - HOUR);
        self.runtime.block_on(async {
            let store = &process.works.store;
            let mut books = Books::default();
            let mut filter = DeviceFilter::default();
            loop {
                let page = store.devices(&filter).await?;
                filter.after = page.last().map(|last| last.summary.subject.clone());
                let is_last = page.len() < MAX_PAGE as usize;
                books.devices.extend(page.into_iter().map(|row| Device {
                    name: row.summary.name.unwrap_or_default(),
                    state: row.summary.state,
                    not_after_ms: row.summary.not_after.map(Timestamp::as_millis),
                }));
                if is_last {
                    break;
                }
            }
            for lane in &process.lanes {
                let next = store.next_in_lane(lane).await?;
                books.stuck += u64::from(next.is_some_and(|next| next < late));
            }
            let counts = store.outbox_counts().await?;
            let parked = counts.iter().filter(|it| it.state == OutboxState::Parked);
            books.stuck += parked.map(|it| it.rows).sum::<u64>();
            let due = store.next_due().await?;
            books.stuck += u64::from(due.is_some_and(|due| due < late));
            Ok(books)
        })
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // The folder goes with it; whether the database was closed in good order does not matter.
        let _closed = self.stop();
    }
}

/// All boxes are fewer, and whoever was told is not due again at once.
const MOST_ROUNDS: u32 = 200_000;

/// Copies a closed database, with its write-ahead log if that was not folded in.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::copy(from, to)?;
    let log = |path: &Path| path.with_extension("db-wal");
    match log(from).exists() {
        true => std::fs::copy(log(from), log(to)).map(drop),
        false => match log(to).exists() {
            true => std::fs::remove_file(log(to)),
            false => Ok(()),
        },
    }
}

/// Plans a look at a lane, unless one is planned before.
fn plan_lane(lanes: &mut [Option<u64>], around: &mut Around, at: usize, time: u64) {
    let time = time.max(around.now + 1);
    if let Some(planned) = lanes.get_mut(at)
        && planned.is_none_or(|planned| time < planned)
    {
        *planned = Some(time);
        around.agenda.at(time, Event::Hq(Chore::Lane(at, time)));
    }
}

/// Plans a look at who is due, unless one is planned before.
fn plan_round(round: &mut Option<u64>, around: &mut Around, time: u64) {
    let time = time.max(around.now + 1);
    if round.is_none_or(|planned| time < planned) {
        *round = Some(time);
        around.agenda.at(time, Event::Hq(Chore::Round(time)));
    }
}

/// Randomness for lease tokens, from the seed.
#[derive(Debug)]
struct SeededEntropy(Mutex<Seeded>);

impl EntropySource for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let drawn = guest::lock(&self.0).bytes(bytes.len());
        bytes.copy_from_slice(&drawn);
        Ok(())
    }
}
