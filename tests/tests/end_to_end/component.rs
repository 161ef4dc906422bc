//! The built file: what it asks for, what it gives, how large it is, and that HQ really runs it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use otscert_component::{COMPONENT, sha256_hex, sha256_hex_of};
use otscert_machine::peer::Endpoint;
use otscert_tests::{BoxOptions, HandBox, Poster, StoreView, World, WorldOptions, program};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::limited;

#[test]
fn the_component_imports_the_contract_and_nothing_else() -> anyhow::Result<()> {
    let engine = Engine::default();
    let component =
        Component::new(&engine, COMPONENT).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let ty = component.component_type();
    let mut imports = BTreeMap::new();
    for (name, item) in ty.imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            anyhow::bail!("{name} is no interface");
        };
        let functions = instance
            .exports(&engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
            .map(|(name, _)| name.to_owned());
        let mut functions: Vec<_> = functions.collect();
        functions.sort();
        imports.insert(name.to_owned(), functions);
    }
    let expected = [
        ("otscert:provision/entropy@0.1.0", vec!["sample", "sources"]),
        ("otscert:provision/network@0.1.0", vec!["submit"]),
        (
            "otscert:provision/storage@0.1.0",
            vec!["read", "remove", "write"],
        ),
        // Types only: it has no functions.
        ("otscert:provision/types@0.1.0", vec![]),
    ];
    let expected = expected.map(|(name, functions)| {
        (
            name.to_owned(),
            functions
                .into_iter()
                .map(ToOwned::to_owned)
                .collect::<Vec<_>>(),
        )
    });
    assert_eq!(imports, BTreeMap::from(expected));

    let mut exports: Vec<_> = ty
        .exports(&engine)
        .map(|(name, _)| name.to_owned())
        .collect();
    exports.sort();
    let expected = ["inspect", "provisioner", "registrar"]
        .map(|name| format!("otscert:provision/{name}@0.1.0"));
    assert_eq!(exports, expected);
    Ok(())
}

#[test]
fn the_component_is_smaller_than_400_kb() {
    println!(
        "component: {} bytes, SHA-256 {}",
        COMPONENT.len(),
        sha256_hex()
    );
    assert!(
        COMPONENT.len() < 400_000,
        "the component has {} bytes",
        COMPONENT.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hq_whose_component_refuses_everything_refuses_everything() -> anyhow::Result<()> {
    limited(120, async {
        let component = beside("refuse-all.wasm")?;
        let mut world = World::prepare(&WorldOptions::Private, |options| {
            options.component = Some(component.clone());
        })
        .await?;
        world.hq.start().await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let mut hand = HandBox::new(poster.clone(), 1);
        let enrolment = hand.enrol("no-nonce", "router")?;
        hand.device = "aaaaaaaaaaaaaaaaaaaa".to_owned();
        let requests = [
            (Endpoint::Contact, b"{}".to_vec()),
            (Endpoint::Enrol, enrolment),
            (Endpoint::Poll, hand.poll()?),
            (Endpoint::Order, hand.order(vec![1, 2, 3])),
        ];
        for (endpoint, body) in requests {
            let reply = poster.post(endpoint, body).await?;
            ensure!(reply.status == 403, "{endpoint:?}: {reply:?}");
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            ensure!(text.contains("refused-by-double"), "{endpoint:?}: {text}");
        }
        // A real box gets nothing either, and nothing is stored.
        let mut router = world.box_inside("router", BoxOptions::default())?;
        router.start().await?;
        let store = StoreView::open(&world.hq.store()).await?;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        ensure!(
            !router.status()?.https,
            "a box got a certificate from an HQ that refuses"
        );
        ensure!(
            store.states().await?.is_empty(),
            "HQ stored a device by itself"
        );
        let runs = &world.hq.health().await?["component_sha256"];
        let double = sha256_hex_of(&std::fs::read(&component)?);
        ensure!(
            *runs == double,
            "HQ says that it runs {runs}, not the double {double}"
        );
        Ok(())
    })
    .await
}

/// A file that is built beside the shipped component, for tests.
pub(crate) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let built = program("otscert-hq")?;
    let target = built.ancestors().nth(2).context("no target folder")?;
    let path = target.join("component").join(name);
    ensure!(
        path.is_file(),
        "{} is missing: `./x component` builds it",
        path.display()
    );
    Ok(path)
}
