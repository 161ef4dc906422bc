//! The drill of OPERATIONS, "Key ceremony": HQ's protocol key is delegated again, replaced while the active root is lost,
//! and brought back by a thief. A box goes through all of it without a new image, and serves all the while.

use std::fs;
use std::time::Duration;

use anyhow::ensure;
use otscert_machine::device::drive::Input;
use otscert_tests::{NativeBox, Poster, World, WorldOptions};

use crate::limited;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_follows_hq_s_key_through_renewal_loss_of_a_root_and_theft() -> anyhow::Result<()> {
    limited(240, async {
        let mut world = World::start(&WorldOptions::Private).await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let mut boxed = NativeBox::new(&poster, "router", 11)?;
        boxed.reach(1, PATIENCE).await?;
        let (roots, keys) = (
            world.hq.folder().join("roots"),
            world.hq.folder().join("keys"),
        );
        let active = roots.join("active.key").display().to_string();
        let spare = roots.join("spare.key").display().to_string();

        // Once a year: the same key, the same epoch, a later end. The box notices nothing.
        world
            .hq
            .run(&["delegate", "--root", &active, "--days", "300"])?;
        restart(&mut world).await?;
        boxed.advance(Input::Renew)?;
        boxed.reach(2, PATIENCE).await?;
        let stolen = [keys.join("protocol.key"), keys.join("delegation.json")]
            .map(|path| fs::read(&path).map(|bytes| (path, bytes)));

        // The active root is lost, and the key may be known: the spare root delegates to a new one, in a new epoch.
        fs::remove_file(roots.join("active.key"))?;
        world.hq.run(&["delegate", "--root", &spare, "--new-key"])?;
        restart(&mut world).await?;
        boxed.advance(Input::Renew)?;
        boxed.reach(3, PATIENCE).await?;
        let fresh = [keys.join("protocol.key"), keys.join("delegation.json")]
            .map(|path| fs::read(&path).map(|bytes| (path, bytes)));

        // Whoever stole the old key stands in HQ's place.
        world.hq.stop()?;
        for stolen in stolen {
            let (path, bytes) = stolen?;
            fs::write(path, bytes)?;
        }
        world.hq.start().await?;
        let leaf = boxed.leaf()?.der;
        boxed.advance(Input::Renew)?;
        for _ in 0..6 {
            boxed.turn().await?;
        }
        ensure!(
            boxed.progress.reason.contains("epoch 1"),
            "the box does not say why it believes nobody: {}",
            boxed.progress.reason
        );
        ensure!(
            boxed.progress.credential_version == 3 && boxed.leaf()?.der == leaf,
            "it serves something else: {:?}",
            boxed.progress
        );

        // HQ itself again: the request that was refused an answer is answered, and nothing was lost.
        world.hq.stop()?;
        for fresh in fresh {
            let (path, bytes) = fresh?;
            fs::write(path, bytes)?;
        }
        world.hq.start().await?;
        boxed.reach(4, PATIENCE).await
    })
    .await
}

async fn restart(world: &mut World) -> anyhow::Result<()> {
    world.hq.stop()?;
    world.hq.start().await
}

const PATIENCE: Duration = Duration::from_secs(60);
