//! What HQ must refuse: each with the right problem, signed, and nobody else disturbed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::peer::Endpoint;
use otscert_machine::types::CertName;
use otscert_machine::wire::base64url;
use otscert_machine::wire::json::{Json, Object};
use otscert_machine::wire::jws::Typ;
use otscert_tests::{
    BoxOptions, CaChoice, HandBox, HqOptions, Poster, Relay, Seeded, StoreView, Tried, World,
    WorldOptions, eventually,
};

use crate::{TO_HTTPS, limited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_message_is_refused_by_name_and_disturbs_nobody() -> anyhow::Result<()> {
    limited(180, async {
        let mut world = World::start(&WorldOptions::Private).await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let mut hand = HandBox::new(poster.clone(), 1);
        hand.join("router").await?;

        // Somebody else goes about his business all the while.
        let stop = Arc::new(AtomicBool::new(false));
        let polls = Arc::new(AtomicU32::new(0));
        let other = tokio::spawn(undisturbed(poster.clone(), stop.clone(), polls.clone()));

        let refused = async |endpoint, body: Vec<u8>| {
            let reply = poster.post(endpoint, body).await?;
            reply
                .problem(&poster.roots)?
                .with_context(|| format!("not refused: {reply:?}"))
        };
        for (what, expected, endpoint, body) in bad_messages(&mut hand)? {
            let got = refused(endpoint, body).await.context(what)?;
            ensure!(got == expected, "{what}: expected {expected}, got {got}");
        }

        // CSRs, of a box that is otherwise in order.
        let names = hand.names.clone();
        let mut broken = hand.csr(&names)?;
        *broken.last_mut().context("an empty CSR")? ^= 1;
        let other_names = vec![CertName::parse("*.somebody-else.boxes.test")?];
        let foreign = hand.csr(&other_names)?;
        let apex = hand.csr(&[CertName::parse("boxes.test")?])?;
        let other_zone = names[0].to_string().replace("boxes.test", "other.test");
        let elsewhere = hand.csr(&[CertName::parse(&other_zone)?])?;
        for (what, expected, csr) in [
            ("a CSR whose signature does not hold", "bad-csr", broken),
            ("a CSR for another name", "wrong-names", foreign),
            ("a CSR for HQ's whole zone", "wrong-names", apex),
            (
                "a CSR for its label in a zone that HQ does not serve",
                "wrong-names",
                elsewhere,
            ),
            (
                "a CSR that is none",
                "bad-csr",
                vec![0x30, 0x03, 0x02, 0x01, 0x00],
            ),
        ] {
            let order = hand.order(csr);
            let reply = hand.send(Endpoint::Order, order).await?;
            let got = reply.problem(&poster.roots)?.context(what)?;
            ensure!(got == expected, "{what}: expected {expected}, got {got}");
        }
        // A refusal is not held against it: the next order is taken.
        let csr = hand.csr(&names)?;
        let order = hand.order(csr);
        hand.send(Endpoint::Order, order)
            .await?
            .answer(&poster.roots)?;

        // Over 64 KiB it does not get as far as the component, so the refusal is HTTP's alone.
        let reply = poster
            .post(Endpoint::Poll, vec![b' '; 64 * 1024 + 1])
            .await?;
        ensure!(reply.status == 413, "{reply:?}");
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        ensure!(
            text.contains("too-large") && text.contains("65536"),
            "{text}"
        );

        stop.store(true, Ordering::Relaxed);
        other.await?.context("somebody else was disturbed")?;
        let count = polls.load(Ordering::Relaxed);
        ensure!(
            count >= 3,
            "somebody else got only {count} answers meanwhile"
        );
        world.hq.check()?;
        let store = StoreView::open(&world.hq.store()).await?;
        ensure!(
            store.notes("enrolled").await?.len() == 2,
            "a bad message enrolled something"
        );
        ensure!(
            store.notes("challenged").await?.is_empty(),
            "a bad message raised an alarm"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_waits_while_the_ca_is_down_and_goes_on_when_it_is_back() -> anyhow::Result<()> {
    limited(180, async {
        let options = WorldOptions::Pebble { life: 90 * 86_400 };
        let mut relay = None;
        let mut world = World::prepare(&options, |hq| relay = Some(behind_a_relay(hq))).await?;
        let mut relay = relay.context("no relay")??;
        world.hq.start().await?;
        let mut router = world.box_inside("router", BoxOptions::default())?;
        router.start().await?;
        // Both the operator and the owner of the box read who is down, and that it goes on by itself.
        eventually(
            TO_HTTPS,
            "the operator is told that the CA is down",
            || async {
                let list = world.hq.run(&["devices", "list"])?;
                Ok(Tried::when(says_that_the_ca_is_down(&list), (), list))
            },
        )
        .await?;
        eventually(TO_HTTPS, "the box is told that the CA is down", || async {
            let reason = router.status()?.progress.reason;
            Ok(Tried::when(says_that_the_ca_is_down(&reason), (), reason))
        })
        .await?;
        // The rest of HQ goes on: somebody else enrols.
        let mut hand = HandBox::new(Poster::new(&world.hq.bundle())?, 9);
        hand.join("router").await?;
        ensure!(
            !router.status()?.https,
            "a certificate from a CA that is down"
        );
        relay.connect().await?;
        let url = router.on_https(Duration::from_secs(120)).await?;
        ensure!(world.client().await?.get(&url).await?.status.is_success());
        ensure!(world.pebble.as_ref().context("no Pebble")?.issued() == 1);
        world.hq.check()
    })
    .await
}

/// The operator gives HQ another zone, for a fleet that has names in the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_in_a_zone_that_hq_no_longer_serves_is_explained_and_disturbs_nobody()
-> anyhow::Result<()> {
    limited(180, async {
        let mut world = World::prepare(&WorldOptions::Private, |_| {}).await?;
        world.hq.edit(|config| {
            // The CA itself may certify whatever it is asked for.
            let cas = config.get_mut("ca").and_then(toml::Value::as_array_mut);
            for ca in cas
                .into_iter()
                .flatten()
                .filter_map(toml::Value::as_table_mut)
            {
                ca.remove("zones");
            }
        })?;
        world.hq.start().await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let mut hand = HandBox::new(poster.clone(), 1);
        hand.join("router").await?;
        world.hq.stop()?;
        world.hq.edit(|config| {
            config.insert("zone".to_owned(), "other.test".into());
            let dns = config.get_mut("dns").and_then(toml::Value::as_table_mut);
            let servers = dns.and_then(|dns| dns.get_mut("nameserver")?.as_array_mut());
            for server in servers
                .into_iter()
                .flatten()
                .filter_map(toml::Value::as_table_mut)
            {
                server.insert("name".to_owned(), "ns1.other.test".into());
            }
        })?;
        world.hq.start().await?;

        let csr = hand.csr(&hand.names.clone())?;
        let order = hand.order(csr);
        let reply = hand.send(Endpoint::Order, order).await?;
        reply.answer(&poster.roots)?;
        let mut newcomer = world.box_inside("newcomer", BoxOptions::default())?;
        newcomer.start().await?;
        let url = newcomer.on_https(TO_HTTPS).await?;
        ensure!(
            url.contains(".other.test")
                && world.client().await?.get(&url).await?.status.is_success(),
            "{url}"
        );
        eventually(TO_HTTPS, "the operator is told what to do", || async {
            let story = world.hq.run(&["devices", "show", &hand.device])?;
            let told = story.contains("it lies in none of the zones this HQ serves")
                && story.contains("delegate its zone to HQ and configure it")
                && story.contains("asked again at");
            Ok(Tried::when(told, (), story))
        })
        .await?;
        let poll = hand.poll()?;
        let reply = hand.send(Endpoint::Poll, poll).await?;
        let reason = reply.answer(&poster.roots)?.text("reason")?.to_owned();
        ensure!(
            reason.contains("in none of the zones this HQ serves"),
            "{reason}"
        );
        ensure!(
            world.hq.health().await?["well"] == true,
            "one box makes HQ ill"
        );
        let log = world.hq.log();
        ensure!(
            log.contains("stored names lie outside the zone of the config")
                && log.contains("refused=1"),
            "{}",
            world.hq.last_words()
        );
        world.hq.check()
    })
    .await
}

pub(crate) fn says_that_the_ca_is_down(text: &str) -> bool {
    ["the CA", "no connection", "asked again at"]
        .iter()
        .all(|words| text.contains(words))
}

/// Lets HQ reach its CA by a relay only, which is cut.
pub(crate) fn behind_a_relay(hq: &mut HqOptions) -> anyhow::Result<Relay> {
    let CaChoice::Acme { directory, .. } = &mut hq.ca else {
        anyhow::bail!("the private CA is never down")
    };
    let port = directory
        .rsplit(':')
        .next()
        .and_then(|rest| rest.split('/').next());
    let port: u16 = port.context("no port")?.parse()?;
    let relay = Relay::cut_off_from(([127, 0, 0, 1], port).into())?;
    // Pebble makes its URLs of the `Host` that it is asked by.
    *directory = format!("https://localhost:{}/dir", relay.address().port());
    Ok(relay)
}

type BadMessage = (&'static str, &'static str, Endpoint, Vec<u8>);

fn bad_messages(hand: &mut HandBox) -> anyhow::Result<Vec<BadMessage>> {
    let poll = hand.poll()?;
    let envelope = Object::parse(&poll)?;
    let header = Object::parse(&envelope.bytes("protected")?)?;
    let resigned = |hand: &HandBox, header: &Object| -> anyhow::Result<Vec<u8>> {
        let protected = base64url::encode(&header.to_bytes());
        resign(&hand.seed, &envelope, &protected)
    };
    let with = |member: &str, value: Json| header.clone().with(leak(member), value);

    let mut twice = String::from_utf8(header.to_bytes())?;
    twice.insert_str(1, r#""v":1,"#);
    let twice = resign(&hand.seed, &envelope, &base64url::encode(twice.as_bytes()))?;

    let mut stranger = hand.clone();
    stranger.seed = Secret::new(Seeded::new(77).array());
    let mut unknown = hand.clone();
    unknown.device = "a".repeat(20);
    let mut elsewhere = hand.clone();
    elsewhere.poster.roots.hq_id = "another-hq.test".to_owned();
    let mut forged = hand.clone();
    forged.token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
    let mut newcomer = HandBox::new(hand.poster.clone(), 78);

    Ok(vec![
        ("not JSON", "malformed", Endpoint::Poll, b"hello".to_vec()),
        ("no JWS", "malformed", Endpoint::Poll, b"{}".to_vec()),
        (
            "an unknown version",
            "unknown-version",
            Endpoint::Poll,
            resigned(hand, &with("v", Json::Number(2)))?,
        ),
        (
            "a critical extension",
            "unknown-critical",
            Endpoint::Poll,
            resigned(
                hand,
                &with("crit", Json::List(vec![Json::Text("x".to_owned())])),
            )?,
        ),
        ("a member twice", "duplicate-member", Endpoint::Poll, twice),
        (
            "an unprotected header",
            "unknown-critical",
            Endpoint::Poll,
            envelope
                .clone()
                .with("header", Json::Object(Object::default()))
                .to_bytes(),
        ),
        (
            "another's signature",
            "bad-signature",
            Endpoint::Poll,
            stranger.poll()?,
        ),
        (
            "a device nobody knows",
            "unknown-device",
            Endpoint::Poll,
            unknown.poll()?,
        ),
        (
            "another HQ's message",
            "wrong-audience",
            Endpoint::Poll,
            elsewhere.poll()?,
        ),
        (
            "a message on another's path",
            "wrong-type",
            Endpoint::Order,
            poll.clone(),
        ),
        (
            "a forged token",
            "bad-token",
            Endpoint::Poll,
            forged.poll()?,
        ),
        (
            "a forged nonce",
            "stale-nonce",
            Endpoint::Enrol,
            newcomer.enrol("AAAAAAAAAAAAAAAAAAAA", "router")?,
        ),
        (
            "a payload without its members",
            "malformed",
            Endpoint::Poll,
            hand.signed(Typ::Poll, &Object::default()),
        ),
    ])
}

/// The same payload under another header, signed as it should be.
fn resign(seed: &Secret<32>, envelope: &Object, protected: &str) -> anyhow::Result<Vec<u8>> {
    let payload = envelope.text("payload")?;
    let signature = RustCrypto.ed25519_sign(seed, format!("{protected}.{payload}").as_bytes());
    Ok(Object::default()
        .with_text("protected", protected)
        .with_text("payload", payload)
        .with_bytes("signature", &signature)
        .to_bytes())
}

/// Member names are static in the machine; those of a test live as long as it does.
fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// A box that polls and is answered, until it is told to stop.
async fn undisturbed(
    poster: Poster,
    stop: Arc<AtomicBool>,
    polls: Arc<AtomicU32>,
) -> anyhow::Result<()> {
    let mut hand = HandBox::new(poster.clone(), 1000);
    hand.join("router").await?;
    while !stop.load(Ordering::Relaxed) {
        let poll = hand.poll()?;
        hand.send(Endpoint::Poll, poll)
            .await?
            .answer(&poster.roots)?;
        polls.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
