//! Calls the workers: on a timer, and when somebody nudges.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;
use crate::error::chain;
use crate::store::{Lane, StoreError};
use crate::types::Timestamp;

use super::{Nudges, OutboxWorker, Pass, RoomWatch, Scheduler, Sweeper, WorkError};

/// How often the workers look by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverOptions {
    /// Outbox and scheduler look at least this often.
    pub poll: Duration,
    /// The sweeper sweeps this often.
    pub sweep: Duration,
    /// How long a worker rests after the database failed.
    pub pause: Duration,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(5),
            sweep: Duration::from_secs(60),
            pause: Duration::from_secs(1),
        }
    }
}

/// The running workers.
#[derive(Debug)]
pub struct Driver {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// What every task needs.
#[derive(Clone)]
struct Common {
    clock: Arc<dyn Clock>,
    nudges: Arc<Nudges>,
    stop: CancellationToken,
    options: DriverOptions,
}

impl Driver {
    /// Starts one task for each pass that may be under way at once, one for each other worker.
    #[must_use]
    pub fn start(
        outbox: OutboxWorker,
        scheduler: Scheduler,
        sweeper: Sweeper,
        room: RoomWatch,
        clock: Arc<dyn Clock>,
        nudges: Arc<Nudges>,
        options: DriverOptions,
    ) -> Self {
        let stop = CancellationToken::new();
        let common = Common {
            clock,
            nudges,
            stop: stop.clone(),
            options,
        };
        let mut tasks = JoinSet::new();
        let outbox = Arc::new(outbox);
        for (lane, slots) in outbox.lanes() {
            for _ in 0..slots {
                tasks.spawn(work_off(Arc::clone(&outbox), lane.clone(), common.clone()));
            }
        }
        tasks.spawn(schedule(scheduler, common.clone()));
        tasks.spawn(sweep(sweeper, common.clone()));
        tasks.spawn(look_for_room(room, common));
        Self { stop, tasks }
    }

    /// Lets every worker finish what it is doing, for at most `limit`; then it is cut off, and the row goes on at the
    /// next start.
    pub async fn stop(mut self, limit: Duration) {
        self.stop.cancel();
        let finish = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, finish).await.is_err() {
            tracing::warn!(
                left = self.tasks.len(),
                "workers cut off: their rows go on at the next start"
            );
            self.tasks.shutdown().await;
        }
    }
}

async fn work_off(outbox: Arc<OutboxWorker>, lane: Lane, common: Common) {
    while !common.stop.is_cancelled() {
        // A task of its own, so that a panic in a CA's code costs one pass and not the lane.
        let (worker, of_lane, now) = (Arc::clone(&outbox), lane.clone(), common.clock.now().wall);
        let pass = tokio::spawn(async move { worker.run_once(&of_lane, now).await });
        let pass = AbortOnDropHandle::new(pass).await;
        let next = match pass {
            Ok(Ok(Pass::Told | Pass::Kept | Pass::Parked | Pass::LeaseLost)) => {
                if lane == Lane::Zone {
                    // The subject's next row may have waited for this one.
                    common.nudges.lane(&lane).notify_one();
                }
                continue;
            }
            Ok(Ok(Pass::Idle { next })) => common.until(next),
            Ok(Ok(Pass::Stopped)) => return,
            Ok(Err(WorkError::Store(error))) => {
                complain(&error, "an outbox worker rests");
                common.options.pause
            }
            Ok(Err(error @ WorkError::Token(_))) => {
                tracing::error!(%lane, error = chain(&error), "a worker rests");
                common.options.pause
            }
            Err(error) => {
                tracing::error!(%lane, error = chain(&error), "a worker panicked, which is a bug of HQ");
                common.options.pause
            }
        };
        common.wait(common.nudges.lane(&lane), next).await;
    }
}

async fn schedule(scheduler: Scheduler, common: Common) {
    while !common.stop.is_cancelled() {
        let next = match scheduler.run_once(common.clock.now().wall).await {
            Ok(round) => common.until(round.next),
            Err(error) => {
                complain(&error, "the scheduler rests");
                common.options.pause
            }
        };
        common.wait(common.nudges.scheduler(), next).await;
    }
}

async fn sweep(sweeper: Sweeper, common: Common) {
    let nobody = Notify::new();
    while !common.stop.is_cancelled() {
        common.wait(&nobody, common.options.sweep).await;
        if common.stop.is_cancelled() {
            return;
        }
        if let Err(error) = sweeper.run_once(common.clock.now().wall).await {
            complain(&error, "the sweeper rests");
        }
    }
}

async fn look_for_room(room: RoomWatch, common: Common) {
    let nobody = Notify::new();
    while !common.stop.is_cancelled() {
        common.wait(&nobody, common.options.poll).await;
        if common.stop.is_cancelled() {
            return;
        }
        if let Err(error) = room.run_once().await {
            complain(&error, "there is no room yet");
        }
    }
}

/// A disk that is full has been complained of once, by the store; workers meet it every second.
fn complain(error: &StoreError, what: &'static str) {
    match error.is_of_the_disk() {
        true => tracing::debug!(error = chain(error), "{what}"),
        false => tracing::error!(error = chain(error), "{what}"),
    }
}

impl Common {
    /// How long to rest until `next`, and never longer than the polling interval.
    fn until(&self, next: Option<Timestamp>) -> Duration {
        let now = self.clock.now().wall;
        next.map_or(self.options.poll, |next| {
            Duration::from_millis(next.as_millis().saturating_sub(now.as_millis()))
                .clamp(SHORTEST_REST, self.options.poll.max(SHORTEST_REST))
        })
    }

    async fn wait(&self, bell: &Notify, rest: Duration) {
        tokio::select! {
            () = bell.notified() => {}
            () = tokio::time::sleep(rest) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Whoever finds work that it cannot have looks again after this.
const SHORTEST_REST: Duration = Duration::from_millis(10);
