//! Who may have a name: from the factory's commands to the box that is let in, or not.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_machine::crypto::SecretBytes;
use otscert_machine::factory::{ClaimCode, UnitSecret};
use otscert_machine::peer::Endpoint;
use otscert_machine::types::ShortText;
use otscert_machine::wire::base64url;
use otscert_machine::wire::message::Problem;
use otscert_tests::{HandBox, HandUnit, Leaf, Poster, Tried, World, WorldOptions, eventually};
use toml::{Table, Value};

use crate::limited;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_code_lets_one_box_in_until_the_operator_releases_it() -> anyhow::Result<()> {
    limited(180, async {
        let mut world = World::prepare(&WorldOptions::Private, |_| {}).await?;
        world
            .hq
            .edit(|config| admit(config, "router", &["claim-code"]))?;
        world.hq.start().await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let draw = ["claims", "draw", "--count", "2", "--out", "codes"];
        world.hq.run_offline(&draw)?;
        let file = world.folder().join("codes");
        let codes = fs::read_to_string(&file)?;
        let [code, spare] = codes.lines().collect::<Vec<_>>()[..] else {
            anyhow::bail!("not two codes: {codes}")
        };

        let mut first = HandBox::new(poster.clone(), 1);
        let refused = refusal(&mut first, "router").await?;
        ensure!(refused == "router is admitted by claim-code", "{refused}");
        first.claim_code = Some(ClaimCode::parse(code)?);
        let refused = refusal(&mut first, "router").await?;
        ensure!(refused.contains("was not issued here"), "{refused}");

        world
            .hq
            .run(&["claims", "import", "--model", "router", &text(&file)])?;
        first.join("router").await?;
        let shown = world.hq.run(&["devices", "show", &first.device])?;
        for line in [
            "admitted      claim-code: it showed what strangers cannot have",
            "firmware      1.0.0",
            "entropy       grade A: ",
            "sources       system",
        ] {
            ensure!(shown.contains(line), "{line:?} is not in:\n{shown}");
        }
        ensure!(!shown.contains(&code.replace('-', "")), "the code is shown");

        let mut second = HandBox::new(poster, 2);
        second.claim_code = first.claim_code.clone();
        let refused = refusal(&mut second, "router").await?;
        ensure!(refused.contains("was used by another box"), "{refused}");
        let refused = refusal(&mut second, "camera").await?;
        ensure!(refused.contains("admits no new camera"), "{refused}");

        let free = world.hq.run(&["claims", "release", spare])?;
        ensure!(free.contains("it is free"), "{free}");
        let released = world.hq.run(&["claims", "release", &code.to_lowercase()])?;
        let expected = format!("device/{}: its claim code may be used", first.device);
        ensure!(released.contains(&expected), "{released}");
        second.join("router").await?;
        ensure!(first.device != second.device);
        world.hq.check()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_is_known_by_its_factory_secret_or_by_its_makers_voucher() -> anyhow::Result<()> {
    limited(180, async {
        let mut world = World::prepare(&WorldOptions::Private, |_| {}).await?;
        let offline = |arguments: &[&str]| world.hq.run_offline(arguments);
        offline(&["factory", "master", "--out", "master.key"])?;
        for epoch in ["7", "8"] {
            let out = format!("batch-{epoch}.key");
            let batch = ["factory", "batch", "--master", "master.key"];
            offline(&[&batch[..], &["--epoch", epoch, "--out", &out]].concat())?;
        }
        let derive = ["factory", "derive", "--model", "router", "--out"];
        let seven = [
            "units",
            "--batch",
            "batch-7.key",
            "--epoch",
            "7",
            "SN-1",
            "SN-2",
        ];
        offline(&[&derive[..], &seven].concat())?;
        let eight = ["later", "--batch", "batch-8.key", "--epoch", "8", "SN-9"];
        offline(&[&derive[..], &eight].concat())?;
        let printed = offline(&["voucher", "key", "--out", "voucher.key"])?;
        offline(&["voucher", "key", "--out", "stranger.key"])?;
        let public: Table = printed
            .lines()
            .find(|line| line.starts_with("voucher_keys"))
            .context("no public key")?
            .parse()?;
        fs::write(world.folder().join("serials"), "CAM-1\nCAM-2\n")?;

        let batch = world.folder().join("batch-7.key");
        world.hq.edit(|config| {
            admit(config, "router", &["claim-code", "factory-secret"]);
            admit(config, "camera", &["voucher"]);
            let Some(Value::Table(keys)) = config.get_mut("keys") else {
                return;
            };
            keys.extend(public);
            let mut table = Table::new();
            table.insert("epoch".to_owned(), 7.into());
            table.insert("key".to_owned(), text(&batch).into());
            keys.insert("batch".to_owned(), Value::Array(vec![table.into()]));
        })?;
        world.hq.start().await?;
        let poster = Poster::new(&world.hq.bundle())?;

        let unit = |path: &str| unit_of(&world.folder().join(path));
        let mut router = HandBox::new(poster.clone(), 1);
        router.unit = Some(unit("units/SN-1.toml")?);
        router.join("router").await?;
        let shown = world.hq.run(&["devices", "show", &router.device])?;
        ensure!(
            shown.contains("admitted      factory-secret: it showed")
                && shown.contains("unit          SN-1"),
            "{shown}"
        );

        // Another unit's secret under this serial, the serial alone, and a batch that HQ does not know.
        let mut liar = HandBox::new(poster.clone(), 2);
        let mut mixed = unit("units/SN-2.toml")?;
        mixed.serial = unit("units/SN-1.toml")?.serial;
        liar.unit = Some(mixed);
        let refused = refusal(&mut liar, "router").await?;
        ensure!(
            refused.contains("its proof is by another secret"),
            "{refused}"
        );
        liar.unit = Some(HandUnit {
            secret: None,
            ..unit("units/SN-1.toml")?
        });
        let refused = refusal(&mut liar, "router").await?;
        ensure!(
            refused.contains("admitted by claim-code or factory-secret"),
            "{refused}"
        );
        liar.unit = Some(unit("later/SN-9.toml")?);
        let refused = refusal(&mut liar, "router").await?;
        ensure!(
            refused.contains("HQ has no factory key of epoch 8"),
            "{refused}"
        );

        // The unit itself, after it lost its storage.
        let mut again = HandBox::new(poster.clone(), 3);
        again.unit.clone_from(&router.unit);
        again.join("router").await?;
        let shown = world.hq.run(&["devices", "show", &again.device])?;
        ensure!(shown.contains("unit SN-1 is"), "{shown}");

        let sign = |key: &str, out: &str| {
            let sign = ["voucher", "sign", "--model", "camera", "--serials"];
            let serials = text(&world.folder().join("serials"));
            let key = text(&world.folder().join(key));
            let out = text(&world.folder().join(out));
            world
                .hq
                .run(&[&sign[..], &[&serials, "--key", &key, "--out", &out]].concat())
        };
        let mut camera = HandBox::new(poster.clone(), 4);
        camera.unit = Some(HandUnit {
            serial: ShortText::parse("serial", "CAM-1")?,
            secret: None,
        });
        let refused = refusal(&mut camera, "camera").await?;
        ensure!(refused.contains("its serial is on no voucher"), "{refused}");
        sign("stranger.key", "forged")?;
        let forged = world
            .hq
            .run(&["voucher", "import", &text(&world.folder().join("forged"))]);
        let forged = forged
            .err()
            .context("a forged voucher was taken")?
            .to_string();
        ensure!(
            forged.contains("HQ has 0 of 1 vouchers")
                && forged.contains("it is signed by no key in the config's list of voucher keys"),
            "{forged}"
        );
        refusal(&mut camera, "camera").await?;

        sign("voucher.key", "vouchers")?;
        world
            .hq
            .run(&["voucher", "import", &text(&world.folder().join("vouchers"))])?;
        camera.join("camera").await?;
        let mut copy = HandBox::new(poster, 5);
        copy.unit.clone_from(&camera.unit);
        let refused = refusal(&mut copy, "camera").await?;
        ensure!(
            refused.contains("another box has enrolled with this serial"),
            "{refused}"
        );
        world.hq.check()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_lets_a_box_have_its_certificate_and_takes_a_release_back() -> anyhow::Result<()> {
    limited(180, async {
        let mut world = World::prepare(&WorldOptions::Private, |_| {}).await?;
        world
            .hq
            .edit(|config| admit(config, "router", &["approval"]))?;
        world.hq.start().await?;
        let mut hand = HandBox::new(Poster::new(&world.hq.bundle())?, 1);
        hand.join("router").await?;
        let csr = hand.csr(&hand.names.clone())?;
        let order = hand.order(csr);
        let reply = hand.send(Endpoint::Order, order).await?;
        reply.answer(&hand.poster.roots)?;

        let waits = ["devices", "list", "--state", "AwaitingApproval", "--ids"];
        let waiting = world.hq.run(&waits)?;
        ensure!(
            waiting == format!("device/{}\n", hand.device),
            "{waiting:?}"
        );
        let told = poll(&mut hand).await?;
        ensure!(
            told.0 == "working" && told.1.contains("a person"),
            "{told:?}"
        );
        let shown = world.hq.run(&["devices", "show", &hand.device])?;
        ensure!(
            shown.contains("certificate   none") && shown.contains("it showed nothing"),
            "{shown}"
        );

        world.hq.run_on(&["devices", "accept", "-"], &waiting)?;
        ensure!(world.hq.run(&waits)?.is_empty(), "it still waits");
        let mut chain = Vec::new();
        for _ in 0..POLLS {
            let (status, reason, issued) = poll(&mut hand).await?;
            if status == "issued" {
                chain = issued;
                break;
            }
            ensure!(status == "working", "{status}: {reason}");
            tokio::time::sleep(PAUSE).await;
        }
        let leaf = Leaf::read(&base64url::decode(
            chain.first().context("no certificate")?,
        )?)?;
        ensure!(leaf.names == [hand.names[0].to_string()], "{leaf:?}");
        eventually(PATIENCE, "HQ shows who accepted it", || async {
            let shown = world.hq.run(&["devices", "show", &hand.device])?;
            let right =
                shown.contains("admitted      approval: ") && shown.contains("a person let it");
            Ok(Tried::when(right, (), shown))
        })
        .await?;
        let again = world.hq.run(&["devices", "accept", &hand.device])?;
        ensure!(again.contains("There was nothing to do"), "{again}");

        // A release turns out to be starved of randomness: all that runs it, by list.
        ensure!(
            world
                .hq
                .run(&["devices", "list", "--firmware", "2.0.0", "--ids"])?
                .is_empty()
        );
        let release = ["devices", "list", "--firmware", "1.0.0"];
        let listed = world.hq.json(&release)?;
        ensure!(listed[0]["firmware"] == "1.0.0", "{listed}");
        let ids = world.hq.run(&[&release[..], &["--ids"]].concat())?;
        let renewed = world.hq.run_on(&["devices", "renew", "-"], &ids)?;
        ensure!(
            renewed.contains("1 orders: 1 to be carried out"),
            "{renewed}"
        );
        let retired = world.hq.run_on(&["devices", "retire", "-"], &ids)?;
        ensure!(retired.contains("1 to be carried out"), "{retired}");
        let listed = world.hq.json(&["devices", "list", "--state", "Retired"])?;
        ensure!(
            listed.as_array().is_some_and(|all| all.len() == 1),
            "{listed}"
        );
        world.hq.check()
    })
    .await
}

/// Why HQ lets it not in, in its words.
async fn refusal(hand: &mut HandBox, model: &str) -> anyhow::Result<String> {
    let nonce = hand.contact().await?;
    let request = hand.enrol(&nonce, model)?;
    let reply = hand.poster.post(Endpoint::Enrol, request).await?;
    let slug = reply
        .problem(&hand.poster.roots)?
        .context("it was let in")?;
    ensure!(
        ["bad-credential", "admission-closed"].contains(&slug),
        "{slug}"
    );
    Ok(Problem::parse(&reply.open(&hand.poster.roots)?.1)?.detail)
}

/// How its order stands, why, and the chain.
async fn poll(hand: &mut HandBox) -> anyhow::Result<(String, String, Vec<String>)> {
    let poll = hand.poll()?;
    let reply = hand.send(Endpoint::Poll, poll).await?;
    let answer = reply.answer(&hand.poster.roots)?;
    let chain = match answer.text("status")? {
        "issued" => answer.texts("chain", 5, |text| Ok(text.to_owned()))?,
        _ => Vec::new(),
    };
    let (status, reason) = (answer.text("status")?, answer.text("reason")?);
    Ok((status.to_owned(), reason.to_owned(), chain))
}

/// What a box reads of its unit file.
fn unit_of(path: &Path) -> anyhow::Result<HandUnit> {
    let file: Table = fs::read_to_string(path)?.parse()?;
    let member = |name: &str| file.get(name).context("a unit file without it");
    let secret = base64url::decode(member("secret")?.as_str().context("no text")?)?;
    let epoch = member("epoch")?.as_integer().context("no number")?;
    let serial = member("serial")?.as_str().context("no text")?;
    Ok(HandUnit {
        serial: ShortText::parse("serial", serial)?,
        secret: Some(UnitSecret {
            epoch: epoch.try_into()?,
            secret: SecretBytes::new(secret),
        }),
    })
}

/// A model's policy; every other one is closed unless it has its own.
fn admit(config: &mut Table, model: &str, alternatives: &[&str]) {
    let models = config.get_mut("model").and_then(Value::as_array_mut);
    let tables = models.into_iter().flatten().filter_map(Value::as_table_mut);
    for table in tables {
        let is_it = table.get("name").and_then(Value::as_str) == Some(model);
        if is_it {
            let alternatives = alternatives.iter().map(|it| Value::from(*it));
            table.insert("admission".to_owned(), Value::Array(alternatives.collect()));
        } else if table.get("admission").and_then(Value::as_str) == Some("open") {
            table.insert("admission".to_owned(), "closed".into());
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

const PATIENCE: Duration = Duration::from_secs(60);
const POLLS: usize = 300;
const PAUSE: Duration = Duration::from_millis(200);
