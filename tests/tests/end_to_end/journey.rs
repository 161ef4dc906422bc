//! From power-on to HTTPS and through a box's life: both kinds of names, both kinds of CA.

use anyhow::{Context, ensure};
use hyper::StatusCode;
use otscert_component::sha256_hex;
use otscert_tests::{BoxOptions, World, WorldOptions, plain_get};

use crate::{TO_HTTPS, limited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_in_address_mode_reaches_https_with_the_private_ca() -> anyhow::Result<()> {
    limited(120, async {
        let world = World::start(&WorldOptions::Private).await?;
        let mut router = world.box_process("router", &BoxOptions::default())?;
        router.start()?;
        let url = router.on_https(TO_HTTPS).await?;
        ensure!(
            url.starts_with("https://127-0-0-1."),
            "{url} does not name the address"
        );
        let page = world.client().await?.get(&url).await?;
        ensure!(page.status == StatusCode::OK, "{page:?}");
        ensure!(
            page.leaf.names.len() == 1 && page.leaf.names[0].starts_with("*."),
            "{page:?}"
        );
        Ok(())
    })
    .await
}

/// Reboots, redirects, the page, and what the operator sees: all on one box, with Pebble.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_in_address_mode_lives_with_a_real_acme_ca() -> anyhow::Result<()> {
    limited(180, async {
        let world = World::start(&WorldOptions::Pebble { life: 90 * 86_400 }).await?;
        let client = world.client().await?;
        let mut router = world.box_process("router", &BoxOptions::default())?;
        router.start()?;

        // Before HTTPS works, HTTP shows the page; then it redirects. It may already.
        let url = router.on_https(TO_HTTPS).await?;
        let page = client.get(&url).await?;
        ensure!(page.status == StatusCode::OK);
        ensure!(page.body.contains("This box is on HTTPS"), "{}", page.body);
        ensure!(
            page.body.contains(&sha256_hex()),
            "the page shows another component"
        );

        let (status, headers, _) =
            plain_get(router.http, &router.http.to_string(), "/status.json").await?;
        ensure!(
            status == StatusCode::TEMPORARY_REDIRECT,
            "HTTP answers {status}"
        );
        let location = headers.get("location").context("no location")?.to_str()?;
        ensure!(
            location == format!("{url}status.json"),
            "HTTP leads to {location}"
        );

        // The label itself and other names below it do not resolve.
        let host = url
            .trim_start_matches("https://")
            .split(':')
            .next()
            .unwrap_or_default();
        let (_, label) = host.split_once('.').context("no label")?;
        ensure!(client.resolve(label).await.is_err(), "{label} resolves");
        ensure!(
            client.is_gone(&format!("8-8-8-8.{label}")).await?,
            "a public address resolves"
        );

        // A reboot keeps identity, name and certificate: nothing is ordered again.
        let before = router.status().await?;
        router.kill();
        router.start()?;
        ensure!(
            router.on_https(TO_HTTPS).await? == url,
            "another URL after a reboot"
        );
        let again = client.get(&url).await?;
        ensure!(
            again.leaf == page.leaf,
            "another certificate after a reboot"
        );
        let after = router.status().await?;
        ensure!(
            before["device_id"] == after["device_id"],
            "another identity after a reboot"
        );
        let pebble = world.pebble.as_ref().context("no Pebble")?;
        ensure!(
            pebble.issued() == 1,
            "{} certificates were issued",
            pebble.issued()
        );
        router.stop()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_in_word_mode_reaches_https_with_a_real_acme_ca() -> anyhow::Result<()> {
    limited(120, async {
        let world = World::start(&WorldOptions::Pebble { life: 90 * 86_400 }).await?;
        let mut camera = world.box_process("camera", &BoxOptions::of_model("camera"))?;
        camera.start()?;
        let url = camera.on_https(TO_HTTPS).await?;
        let client = world.client().await?;
        // The address record follows from the box's report, which may come after the certificate.
        let page = otscert_tests::eventually(TO_HTTPS, "the name resolves", || async {
            Ok(match client.get(&url).await {
                Ok(page) => otscert_tests::Tried::Done(page),
                Err(error) => otscert_tests::Tried::Not(format!("{error:#}")),
            })
        })
        .await?;
        ensure!(page.status == StatusCode::OK);
        let name = page.leaf.names.first().context("no name")?;
        ensure!(
            url.starts_with(&format!("https://{name}:")),
            "{url} is not of {name}"
        );
        ensure!(
            name.split('.')
                .next()
                .is_some_and(|label| label.contains('-')),
            "{name}: words?"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_show_tells_the_whole_story_of_one_device() -> anyhow::Result<()> {
    limited(120, async {
        let world = World::start(&WorldOptions::Pebble { life: 90 * 86_400 }).await?;
        let mut router = world.box_process("router", &BoxOptions::default())?;
        router.start()?;
        let url = router.on_https(TO_HTTPS).await?;
        let leaf = world.client().await?.get(&url).await?.leaf;
        let status = router.status().await?;
        let id = status["device_id"]
            .as_str()
            .context("no device id")?
            .to_owned();
        let name = leaf.names[0].trim_start_matches("*.").to_owned();
        let serial: String = leaf
            .serial
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();

        let list = world.hq.run(&["devices", "list"])?;
        ensure!(
            list.contains(&id) || list.contains(&name),
            "not in the list:\n{list}"
        );

        for wanted in [&name, &id] {
            let story = world.hq.run(&["devices", "show", wanted])?;
            let plain = story.replace(':', "").to_lowercase();
            for part in [&id, &name, &serial, &sha256_hex()] {
                ensure!(plain.contains(part.as_str()), "{part} is not in\n{story}");
            }
            let pebble = world.pebble.as_ref().context("no Pebble")?;
            let orders = pebble.directory_url().replace("/dir", "/my-order/");
            ensure!(story.contains(&orders), "no order URL in\n{story}");
            for word in ["router", "last contact", "enrolled", "ordered", "issued"] {
                ensure!(
                    story.to_lowercase().contains(word),
                    "no {word:?} in\n{story}"
                );
            }
        }
        let json = world.hq.json(&["devices", "show", &id])?;
        ensure!(json.to_string().contains(&name), "{json}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_whose_instance_is_dropped_after_every_event_reaches_https() -> anyhow::Result<()> {
    limited(120, async {
        let world = World::start(&WorldOptions::Private).await?;
        let options = BoxOptions {
            recreate_after_every_event: true,
            ..BoxOptions::default()
        };
        let mut router = world.box_inside("router", options)?;
        router.start().await?;
        let url = router.on_https(TO_HTTPS).await?;
        ensure!(world.client().await?.get(&url).await?.status == StatusCode::OK);
        let devices = world.hq.json(&["devices", "list"])?;
        let count = devices.as_array().map_or(1, Vec::len);
        ensure!(count == 1, "one box enrolled {count} times: {devices}");
        Ok(())
    })
    .await
}
