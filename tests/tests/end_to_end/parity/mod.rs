//! The native machine and the built component do the same, byte for byte.
//!
//! A scenario is run once on the native machine, both roles talking to each other and to a CA and a
//! zone that always say yes. Every input of each role is written down with everything that came of
//! it: records, submissions, replies, history, credentials. Then the component gets the same inputs,
//! with the same entropy, and everything must come out again.

mod outcome;
mod scenario;
mod wasm;

use anyhow::{Context, ensure};
use otscert_machine::device::Device;
use otscert_machine::hq::{self, Config as HqConfig};
use otscert_tests::{MemoryHost, Seeded};

use outcome::{Decided, Stands};
use scenario::{Script, device_config, hq_config, wit_device_config, wit_hq_config};
use wasm::Compiled;

#[test]
fn the_device_role_of_the_component_is_the_native_one() -> anyhow::Result<()> {
    let compiled = Compiled::new()?;
    for model in ["router", "camera"] {
        let script = Script::play(model)?;
        ensure!(
            script.device.len() > 20,
            "the scenario has only {} inputs",
            script.device.len()
        );
        let mut native = Device::new(device_config(model)?)?;
        let mut native_host = MemoryHost::new(scenario::DEVICE_SEED);
        let mut component = compiled.instance(MemoryHost::new(scenario::DEVICE_SEED))?;
        component.start(&wit_device_config(model)?)?;
        for (number, (now, input)) in script.device.iter().enumerate() {
            let what = || format!("{model}: device input {number}: {input:?}");
            let progress = native
                .advance(&mut native_host, *now, input.clone())
                .with_context(what)?;
            let expected = Stands::of(&native, progress);
            let got = component.device(*now, input).with_context(what)?;
            ensure!(got == expected, "{}:\n{got:#?}\n{expected:#?}", what());
            same_host(component.host(), &native_host).with_context(what)?;
        }
        let derived = native.derive("test")?;
        ensure!(
            component.derive("test")? == derived.expose(),
            "derive differs"
        );
    }
    Ok(())
}

/// Also: what comes of a call depends on its arguments, the records and the entropy alone. A fresh
/// instance for each call gives what a warm one gives.
#[test]
fn the_hq_role_of_the_component_is_the_native_one_warm_or_fresh() -> anyhow::Result<()> {
    let compiled = Compiled::new()?;
    let config: HqConfig = hq_config()?;
    let opened = wit_hq_config();
    for model in ["router", "camera"] {
        let script = Script::play(model)?;
        ensure!(
            script.hq.len() > 20,
            "the scenario has only {} inputs",
            script.hq.len()
        );
        let mut native_host = MemoryHost::new(0);
        let mut warm = compiled.instance(MemoryHost::new(0))?;
        warm.open(&opened)?;
        for (number, (now, input)) in script.hq.iter().enumerate() {
            let what = || format!("{model}: HQ input {number}: {input:?}");
            let seed = Seeded::new(u64::try_from(number)?);
            let mut fresh_host = native_host.clone();
            for host in [&mut native_host, warm.host(), &mut fresh_host] {
                host.random = seed.clone();
            }
            let mut fresh = compiled.instance(fresh_host)?;
            fresh.open(&opened)?;

            let expected = Decided::of(hq::advance(&config, &mut native_host, *now, input.clone()));
            for (kind, component) in [("warm", &mut warm), ("fresh", &mut fresh)] {
                let got = component.hq(*now, input).with_context(what)?;
                ensure!(
                    got == expected,
                    "{kind} {}:\n{got:#?}\n{expected:#?}",
                    what()
                );
                same_host(component.host(), &native_host).with_context(what)?;
            }
        }
    }
    Ok(())
}

/// Otherwise the tests above would compare too little.
#[test]
fn the_scenario_goes_from_power_on_to_the_end_of_the_name() -> anyhow::Result<()> {
    for model in ["router", "camera"] {
        let script = Script::play(model)?;
        for kind in [
            "enrolled",
            "ordered",
            "finalized",
            "issued",
            "renewed",
            "retired",
            "revoked",
        ] {
            ensure!(
                script.notes.iter().any(|note| note == kind),
                "{model}: nothing was {kind}: {:?}",
                script.notes
            );
        }
        ensure!(
            script.versions.len() >= 2,
            "{model}: credentials {:?}",
            script.versions
        );
        ensure!(
            script.problems.contains("stale-request"),
            "{:?}",
            script.problems
        );
        ensure!(
            script.problems.contains("malformed"),
            "{:?}",
            script.problems
        );
    }
    Ok(())
}

fn same_host(got: &MemoryHost, expected: &MemoryHost) -> anyhow::Result<()> {
    ensure!(
        got.random == expected.random,
        "another amount of randomness was drawn"
    );
    for (key, value) in &expected.records {
        let found = got
            .records
            .get(key)
            .with_context(|| format!("no record {key}"))?;
        ensure!(found == value, "record {key} differs");
    }
    ensure!(
        got.records.len() == expected.records.len(),
        "there are more records"
    );
    ensure!(got.submitted == expected.submitted, "other submissions");
    Ok(())
}
