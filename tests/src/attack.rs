//! What an attacker can compute of a box's keys, and what not: `./x attack-sibling`, `./x attack-recorder`.
//!
//! Each attack uses only what its adversary has (docs/THREATS.md): a sibling has the image and knows what is printed on
//! the victim; a recorder has the traffic as well. Both have unlimited patience.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use otscert_crypto::RustCrypto;
use otscert_hq::firmware::{self, MacRange, Starved};
use otscert_machine::crypto::{Crypto, Secret, SecretBytes};
use otscert_machine::device::config::Credential;
use otscert_machine::device::drive::{Device, Input};
use otscert_machine::entropy::Grade;
use otscert_machine::factory::{UnitSecret, unit_secret};
use otscert_machine::peer::{Answer, Endpoint};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Timestamp};
use otscert_machine::types::ShortText;
use otscert_machine::wire::base64url;

use crate::eventually::wall_ms;
use crate::hq::Hq;
use crate::native::{Exchange, MemoryHost, NativeBox, NativeOptions, config};
use crate::wire::Poster;
use crate::world::{World, WorldOptions};

/// A sibling computes the key of a starved box, and not that of a box with randomness; HQ refuses the former.
///
/// # Errors
///
/// If an attack that must succeed fails, or one that must fail succeeds.
pub async fn sibling(out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let world = World::start(&WorldOptions::Private).await?;
    let poster = Poster::new(&world.hq.bundle())?;
    let starved = |mac: &str| NativeOptions {
        crypto: &Starved,
        personal: format!("{mac}\n").into_bytes(),
        ..NativeOptions::new("router", 7)
    };

    writeln!(
        out,
        "1. Two boxes of a release into whose pool nothing goes but the unit's MAC address."
    )?;
    let mut victim = NativeBox::with(&poster, &starved(VICTIM))?;
    victim.reach(1, PATIENCE).await?;
    let mut sibling = NativeBox::with(&poster, &starved(SIBLING))?;
    sibling.reach(1, PATIENCE).await?;
    writeln!(
        out,
        "   Both say grade {}: nothing in the boxes notices.",
        victim.progress.grade
    )?;
    let public_of_victim = victim.leaf()?.key;
    ensure!(
        public_of_victim != sibling.leaf()?.key,
        "two addresses, one key"
    );

    writeln!(
        out,
        "2. Whoever has the image and has read {VICTIM} on the label computes the victim's key:"
    )?;
    let stolen = firmware::first_key(format!("{VICTIM}\n").as_bytes())?;
    let proof = sign(&stolen.scalar, b"I am the box")?;
    let public = point(&public_of_victim)?;
    ensure!(
        RustCrypto.p256_verify(&public, b"I am the box", &proof),
        "the attack on a starved box must succeed"
    );
    writeln!(
        out,
        "   it signs what verifies under the certificate of {}.",
        victim.leaf()?.names.join(", ")
    )?;

    writeln!(
        out,
        "3. The same attack on a box of the same address that has a generator:"
    )?;
    let healthy = NativeOptions {
        personal: format!("{VICTIM}\n").into_bytes(),
        ..NativeOptions::new("router", 8)
    };
    let mut healthy = NativeBox::with(&poster, &healthy)?;
    healthy.reach(1, PATIENCE).await?;
    ensure!(healthy.progress.grade == Grade::A, "it has a generator");
    let public = point(&healthy.leaf()?.key)?;
    let range: MacRange = NEIGHBOURS.parse()?;
    for mac in range.addresses() {
        let guess = firmware::first_key(format!("{mac}\n").as_bytes())?;
        ensure!(guess.public != public, "the attack on grade A must fail");
    }
    writeln!(
        out,
        "   none of {} keys of starved boxes is its key.",
        range.len()
    )?;

    writeln!(
        out,
        "4. HQ computes the release's keys as well and refuses them:"
    )?;
    let said = refuse_starved(&world.hq)?;
    for line in said.lines() {
        writeln!(out, "   {line}")?;
    }
    let mut late = NativeBox::with(&poster, &starved(LATE))?;
    for _ in 0..12 {
        late.turn().await?;
    }
    let refused = late.progress.reason.clone();
    ensure!(
        late.progress.credential_version == 0 && refused.contains("no entropy"),
        "HQ certified a starved key, or does not say why not: {refused}"
    );
    writeln!(out, "   a third box is told: {refused}")?;
    let notes = world.hq.json(&["devices", "show", &victim_id(&victim)?])?;
    ensure!(
        notes.to_string().contains("makes without entropy"),
        "the victim's operator is not told: {notes}"
    );
    writeln!(
        out,
        "   and the record of the first one says that its key is known."
    )?;
    Ok(())
}

/// A recorder opens a clear seed and knows the state of a box that has nothing else; a sealed one it does not open.
///
/// # Errors
///
/// If an attack that must succeed fails, or one that must fail succeeds.
pub async fn recorder(out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let mut world = World::start(&WorldOptions::Private).await?;
    world.hq.stop()?;
    let master = Secret::new([0x51; 32]);
    let batch = unit_secret::batch_key(&RustCrypto, &master, EPOCH);
    add_batch(&world.hq, &batch)?;
    world.hq.start().await?;
    let poster = Poster::new(&world.hq.bundle())?;
    let bare = NativeOptions {
        seed: None,
        ..NativeOptions::new("router", 0)
    };

    writeln!(
        out,
        "1. A box without any randomness makes contact; the recorder keeps the bytes."
    )?;
    let (mut clear, progress) = after_contact(&poster, &bare).await?;
    ensure!(
        progress == Grade::C,
        "HQ's seed alone makes grade C, got {progress}"
    );
    let own = clear.key_after_companion()?;
    writeln!(
        out,
        "   The box is at grade C and makes no key: HQ's seed counts against siblings only."
    )?;
    let copy = replay(&poster, &bare, &clear.exchange)?;
    ensure!(copy == own, "the attack on a clear seed must succeed");
    writeln!(
        out,
        "2. From the image and the recording the recorder has the box's whole state: given the same next input,"
    )?;
    writeln!(out, "   both make the same identity key.")?;

    let secret = UnitSecret::derive(
        &RustCrypto,
        &batch,
        EPOCH,
        &short("router")?,
        &short(SERIAL)?,
    );
    let with_secret = |secret: UnitSecret| -> anyhow::Result<NativeOptions> {
        Ok(NativeOptions {
            credential: Credential {
                claim_code: None,
                serial: Some(short(SERIAL)?),
                secret: Some(secret),
            },
            ..bare.clone()
        })
    };
    let (mut sealed, grade) = after_contact(&poster, &with_secret(secret)?).await?;
    ensure!(
        grade == Grade::B,
        "a factory secret makes grade B, got {grade}"
    );
    let text = String::from_utf8_lossy(&sealed.exchange.reply.body).into_owned();
    ensure!(
        payload_of(&text)?.contains("sealedSeed"),
        "HQ sealed nothing: {text}"
    );
    let own = sealed.key_after_companion()?;
    writeln!(
        out,
        "3. The same box with a factory secret: HQ's answer carries a seed that is sealed under it. Grade B."
    )?;
    for guess in 0..=u8::MAX {
        let guess = UnitSecret {
            epoch: EPOCH,
            secret: SecretBytes::new(vec![guess; 32]),
        };
        let copy = replay(&poster, &with_secret(guess)?, &sealed.exchange)?;
        ensure!(copy != own, "the attack on a sealed seed must fail");
    }
    writeln!(
        out,
        "4. The recorder does not know the secret: 256 guesses, 256 other states; 2^256 would be needed."
    )?;
    Ok(())
}

/// A box that has heard of HQ, and what it heard.
struct Heard {
    boxed: NativeBox,
    exchange: Exchange,
}

impl Heard {
    /// The identity key that it makes when the owner's browser gives it bytes that the attacker knows.
    fn key_after_companion(&mut self) -> anyhow::Result<[u8; 32]> {
        self.boxed.advance(known_seed())?;
        self.boxed.identity_seed()
    }
}

async fn after_contact(poster: &Poster, options: &NativeOptions) -> anyhow::Result<(Heard, Grade)> {
    let mut boxed = NativeBox::with(poster, options)?;
    boxed.turn().await?;
    let exchange = boxed.log.first().context("no contact was made")?.clone();
    ensure!(exchange.endpoint == Endpoint::Contact, "{exchange:?}");
    let grade = boxed.progress.grade;
    Ok((Heard { boxed, exchange }, grade))
}

/// What the recorder does: the image, the recording, and nothing else.
fn replay(poster: &Poster, options: &NativeOptions, seen: &Exchange) -> anyhow::Result<[u8; 32]> {
    let mut device = Device::new(config(&poster.roots, options)?)?;
    let mut host = MemoryHost::new(0);
    host.has_source = false;
    let now = Moment {
        wall: Timestamp::from_millis(wall_ms()),
        trust: ClockTrust::Trusted,
        monotonic: Monotonic::from_millis(0),
    };
    device.advance(&mut host, now, Input::Resumed(1))?;
    let (_, exchange, _) = host.submitted.pop_front().context("no contact")?;
    let answer = Answer::Hq(seen.reply.body.clone());
    device.advance(&mut host, now, Input::Answered { exchange, answer })?;
    device.advance(&mut host, now, known_seed())?;
    crate::native::identity_seed(&host)
}

fn known_seed() -> Input {
    Input::Companion(SecretBytes::new(vec![0; 32]))
}

/// Has HQ compute and refuse the keys of the starved release.
fn refuse_starved(hq: &Hq) -> anyhow::Result<String> {
    hq.run(&[
        "firmware",
        "add",
        "--release",
        "router 1.0.0",
        "--macs",
        NEIGHBOURS,
        "--personal",
        "{mac}\\n",
    ])
}

fn add_batch(hq: &Hq, key: &Secret<32>) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let path = hq.folder().join("batch.key");
    std::fs::write(&path, format!("{}\n", base64url::encode(key.expose())))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    hq.edit(|config| {
        let mut batch = toml::Table::new();
        batch.insert("epoch".to_owned(), i64::from(EPOCH).into());
        batch.insert("key".to_owned(), "batch.key".into());
        if let Some(toml::Value::Table(keys)) = config.get_mut("keys") {
            keys.insert("batch".to_owned(), toml::Value::Array(vec![batch.into()]));
        }
    })
}

fn victim_id(victim: &NativeBox) -> anyhow::Result<String> {
    let device = victim.progress.device.as_ref().context("no name")?;
    Ok(format!("device/{device}"))
}

fn sign(scalar: &Secret<32>, message: &[u8]) -> anyhow::Result<[u8; 64]> {
    RustCrypto
        .p256_sign(scalar, message, &[0; 32])
        .context("the stolen key signs nothing")
}

/// The point of an uncompressed P-256 SubjectPublicKeyInfo, which stands at its end.
fn point(spki: &[u8]) -> anyhow::Result<[u8; 65]> {
    match spki.last_chunk::<65>() {
        Some(point) if point[0] == 4 => Ok(*point),
        Some(_) | None => bail!("no uncompressed P-256 key"),
    }
}

fn payload_of(jws: &str) -> anyhow::Result<String> {
    let jws: serde_json::Value = serde_json::from_str(jws)?;
    let payload = jws["payload"].as_str().context("no payload")?;
    let bytes = base64url::decode(payload).map_err(|_| anyhow::anyhow!("no base64url"))?;
    Ok(String::from_utf8(bytes)?)
}

fn short(text: &str) -> anyhow::Result<ShortText> {
    Ok(ShortText::parse("text", text)?)
}

const VICTIM: &str = "02:00:00:00:00:10";
const SIBLING: &str = "02:00:00:00:00:11";
const LATE: &str = "02:00:00:00:00:12";
const NEIGHBOURS: &str = "02:00:00:00:00:00-02:00:00:00:00:3f";
const SERIAL: &str = "SN-0001";
const EPOCH: u32 = 1;
const PATIENCE: Duration = Duration::from_secs(60);
