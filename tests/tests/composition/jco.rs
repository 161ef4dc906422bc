//! A device under a stock runtime that somebody else has built: `jco run`, on node.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_compositions::{DEVICE, Parts, WASI, compose};
use otscert_tests::{Process, Tried, WorldOptions, eventually};

use crate::device::{Device, on_a_runtime, world_in_plain};

/// jco's TLS cannot be told of HQ's root, so HQ listens without TLS on a loopback address.
#[test]
#[ignore = "needs jco, from npm: ./x e2e-wasi installs it"]
fn a_device_under_jco_reaches_serving() {
    on_a_runtime(async {
        let jco = std::env::var_os("OTSCERT_JCO");
        let jco = PathBuf::from(jco.context("OTSCERT_JCO names no folder: ./x e2e-wasi")?);
        let (world, origin) = world_in_plain(&WorldOptions::Pebble { life: 90 * 86_400 }).await?;
        let device = Device::new(&world, "jco")?;
        device.prefer(&origin, "danger_plain_http = true\n")?;
        let file = world.folder().join("device.wasm");
        fs::write(&file, compose(DEVICE, &Parts::built(), WASI)?)?;

        let mut command = Command::new(jco.join("node_modules/.bin/jco"));
        command
            .args(["run", "--jco-import"])
            .arg(jco.join("preopen.mjs"))
            .arg(&file)
            .arg("--once")
            .env("OTSCERT_PREOPEN", &device.preopen);
        let log = world.folder().join("jco.log");
        let mut process = Process::spawn("jco run", command, &log)?;
        let printed = || fs::read_to_string(&log).unwrap_or_default();
        let ended = eventually(TO_SERVING, "jco run ends", || {
            let ended = process.ended();
            async move { Ok(Tried::of(ended, "still running")) }
        });
        let ended = ended.await.with_context(printed)?;
        ensure!(ended.success(), "{ended}: {}", printed());
        println!("{}", printed());
        device.serves(&world).await?;
        ensure!(device.status()?["grade"] == "A", "{}", device.status()?);
        Ok(())
    });
}

/// With the time that jco takes to make JavaScript of the composition.
const TO_SERVING: Duration = Duration::from_secs(120);
