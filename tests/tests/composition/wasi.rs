//! A device on a stock runtime: the composition of standard interfaces, against a real HQ with a real ACME server
//! behind it.

use std::fs;
use std::time::Duration;

use anyhow::ensure;
use otscert_compositions::{DEVICE, DEVICE_PINNED};
use otscert_tests::{Tried, World, WorldOptions, eventually};
use rustls::RootCertStore;

use crate::device::{Device, ONCE, on_a_runtime, world_in_plain};

#[test]
pub(crate) fn a_device_on_a_stock_runtime_reaches_serving() {
    on_a_runtime(async {
        let world = World::start(&WorldOptions::Pebble { life: 90 * 86_400 }).await?;
        let device = Device::new(&world, "device")?;
        let printed = device.run_once(DEVICE).await?;
        ensure!(printed.contains("AwaitingCertificate: "), "{printed}");
        let names = device.serves(&world).await?;
        ensure!(names.len() == 1 && names[0].starts_with("*."), "{names:?}");
        ensure!(device.status()?["grade"] == "A", "{}", device.status()?);

        // A second start goes on where the first has ended, by what is in the folder.
        let id = device.status()?["device_id"].clone();
        let again = device.run_once(DEVICE_PINNED).await?;
        ensure!(!again.contains("Enrolling"), "{again}");
        ensure!(device.serves(&world).await? == names);
        ensure!(device.status()?["device_id"] == id && id.is_string());
        Ok(())
    });
}

#[test]
fn a_device_with_the_attenuator_reaches_serving_with_the_private_ca() {
    on_a_runtime(async {
        let world = World::start(&WorldOptions::Private).await?;
        let device = Device::new(&world, "pinned")?;
        device.run_once(DEVICE_PINNED).await?;
        device.serves(&world).await?;
        Ok(())
    });
}

#[test]
fn a_runtime_that_does_not_trust_hq_s_root_gets_no_message_through() {
    on_a_runtime(async {
        let world = World::start(&WorldOptions::Private).await?;
        let device = Device::new(&world, "stranger")?;
        let running = device.run(DEVICE, RootCertStore::empty(), ONCE);
        let ended = tokio::time::timeout(Duration::from_secs(10), running).await;
        ensure!(ended.is_err(), "it goes on trying: {ended:?}");
        let status = device.status()?;
        ensure!(status["state"] == "AwaitingContact", "{status}");
        let listed = world.hq.json(&["devices", "list"])?;
        ensure!(listed.as_array().is_some_and(Vec::is_empty), "{listed}");
        Ok(())
    });
}

#[test]
fn a_folder_that_makes_no_device_is_refused_with_the_reason() {
    on_a_runtime(async {
        let world = World::prepare(&WorldOptions::Private, |_| {}).await?;
        for (file, text, reason) in [
            (
                "runner.toml",
                "firmwear = \"1\"",
                "did you mean `firmware`?",
            ),
            ("unit.toml", "epoch = 1", "`secret`"),
            ("image-bundle/bundle.toml", "", "missing field"),
        ] {
            let device = Device::new(&world, "refused")?;
            fs::write(device.folder().join(file), text)?;
            let error = device.run_once(DEVICE).await.unwrap_err();
            let error = format!("{error:?}");
            ensure!(error.contains(reason), "{file}: {error}");
            fs::remove_dir_all(&device.preopen)?;
        }
        let device = Device::new(&world, "refused")?;
        let run = device.run(DEVICE, RootCertStore::empty(), &["device", "--twice"]);
        let error = format!("{:?}", run.await.unwrap_err());
        ensure!(error.contains("\"--twice\" is no argument"), "{error}");
        Ok(())
    });
}

#[test]
fn without_tls_a_device_sends_its_first_contact_only_unless_it_is_told_to() {
    on_a_runtime(async {
        let (world, origin) = world_in_plain(&WorldOptions::Private).await?;
        let device = Device::new(&world, "plain")?;
        device.prefer(&origin, "")?;
        let running = device.run(DEVICE, RootCertStore::empty(), ONCE);
        let ended = tokio::time::timeout(Duration::from_secs(10), running).await;
        ensure!(ended.is_err(), "it goes on trying: {ended:?}");
        let status = device.status()?;
        ensure!(status["state"] == "Enrolling", "{status}");
        let listed = world.hq.json(&["devices", "list"])?;
        ensure!(listed.as_array().is_some_and(Vec::is_empty), "{listed}");

        device.prefer(&origin, "danger_plain_http = true\n")?;
        device
            .run_once_trusting(DEVICE, RootCertStore::empty())
            .await?;
        device.serves(&world).await?;
        Ok(())
    });
}

/// The power goes again and again, soon after each start and a little later each time.
#[test]
fn a_device_that_is_cut_off_again_and_again_reaches_serving_as_one_device() {
    on_a_runtime(async {
        let world = World::start(&WorldOptions::Private).await?;
        let device = Device::new(&world, "cut-off")?;
        let mut cut_off = 0;
        for tenths in 1..=MAX_CUTS {
            let running = device.run_once(DEVICE);
            let limit = Duration::from_millis(100 * tenths);
            match tokio::time::timeout(limit, running).await {
                Ok(ended) => {
                    ended?;
                    break;
                }
                Err(_cut) => cut_off += 1,
            }
        }
        device.run_once(DEVICE).await?;
        device.serves(&world).await?;
        ensure!(cut_off >= 2, "cut off {cut_off} times");
        let starts = fs::read_to_string(device.folder().join("resumptions"))?;
        ensure!(starts.trim().parse::<u64>()? >= cut_off, "{starts} starts");
        let listed = world.hq.json(&["devices", "list"])?;
        ensure!(listed.as_array().map(Vec::len) == Some(1), "{listed}");
        Ok(())
    });
}

#[test]
fn without_once_a_device_stays_and_renews() {
    on_a_runtime(async {
        let world = World::start(&WorldOptions::Pebble { life: LIFE_S }).await?;
        let device = Device::new(&world, "renewing")?;
        device.run_once(DEVICE).await?;
        let file = device.folder().join("tls/server.pem");
        let first = fs::read_to_string(&file)?;
        let running = device.run_trusting_hq(DEVICE, &["device"]);
        let renewed = eventually(
            Duration::from_secs(2 * LIFE_S),
            "another certificate",
            || async {
                let file = fs::read_to_string(&file)?;
                Ok(Tried::when(file != first, (), device.status()?))
            },
        );
        tokio::select! {
            ended = running => anyhow::bail!("it ended: {ended:?}"),
            renewed = renewed => renewed?,
        }
        device.serves(&world).await?;
        Ok(())
    });
}

/// By the last, four seconds after its start, it is serving.
const MAX_CUTS: u64 = 40;
/// Renewed when a third is left.
const LIFE_S: u64 = 60;
