//! A running HQ's zone as `dig` sees it, with boxes in it and orders under way.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use otscert_hq_dns::dig;
use otscert_tests::{
    BoxInside, BoxOptions, StoreEdit, Tried, World, WorldOptions, eventually, wall_ms,
};
use toml::{Table, Value};

use crate::{TO_HTTPS, limited};

/// HQ is told to look at its name servers from outside, where none of them is: every order waits with its TXT value
/// published, for as long as it takes. A device orders one certificate at a time, so the second value of a set is one
/// of an earlier order that HQ finds in its database when it starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dig_agrees_with_a_running_hq_over_udp_and_tcp() -> anyhow::Result<()> {
    limited(180, async {
        let options = WorldOptions::Pebble { life: 90 * 86_400 };
        let mut world = World::prepare(&options, |_| {}).await?;
        let dns = world.hq.dns_listen;
        world.hq.edit(|config| {
            let dns = dns_table(config);
            dns.insert("check_from_outside".to_owned(), true.into());
            add_nameserver(dns, "ns2.dns.boxes.test", "127.0.0.53");
        })?;
        world.hq.start().await?;

        let addresses =
            || -> anyhow::Result<_> { Ok(vec!["127.0.0.1".parse()?, "fd12::7".parse()?]) };
        let mut boxes = Vec::new();
        for model in ["router", "camera"] {
            let options = BoxOptions {
                addresses: addresses()?,
                ..BoxOptions::of_model(model)
            };
            let mut one = world.box_inside(model, options)?;
            one.start().await?;
            boxes.push(one);
        }
        let mut names = Vec::new();
        for one in &boxes {
            names.push(name_with_an_order(one, dns).await?);
        }
        let [label, word] = &names[..] else {
            anyhow::bail!("two boxes have {names:?}")
        };
        let asked = format!("{word} A");
        eventually(TO_HTTPS, "the box's addresses are served", || async {
            let answer = dig::answer(dns, &asked)?;
            Ok(Tried::when(answer.contains(" IN A "), (), answer))
        })
        .await?;

        world.hq.stop()?;
        let challenge = format!("_acme-challenge.{label}");
        StoreEdit::open(&world.hq.store())
            .await?
            .add_txt(&challenge, "of-an-earlier-order", wall_ms() + 3_600_000)
            .await?;
        world.hq.start().await?;
        for transport in ["+notcp", "+tcp"] {
            everything_is_as_the_rfcs_say(dns, transport, label, word)
                .with_context(|| transport.to_owned())?;
        }

        // With the last word on the name servers gone, the orders go on; what they published goes away.
        world.hq.stop()?;
        world.hq.edit(|config| {
            dns_table(config).insert("check_from_outside".to_owned(), false.into());
        })?;
        world.hq.start().await?;
        for one in &boxes {
            one.on_https(TO_HTTPS).await?;
        }
        let asked = format!("_acme-challenge.{word} TXT");
        eventually(TO_HTTPS, "the TXT value is gone", || async {
            let answer = dig::answer(dns, &asked)?;
            Ok(Tried::when(answer.starts_with("NXDOMAIN "), (), answer))
        })
        .await
    })
    .await
}

fn everything_is_as_the_rfcs_say(
    dns: SocketAddr,
    transport: &str,
    label: &str,
    word: &str,
) -> anyhow::Result<()> {
    let ask = |question: &str| dig::answer(dns, &format!("{transport} {question}"));
    let soa = soa(&ask("boxes.test SOA")?)?;
    let challenges = |name: &str| challenges(&ask(&format!("_acme-challenge.{name} TXT"))?);

    let issuer = issuer(&ask(&format!("{label} CAA"))?)?;
    for (question, records) in [
        (
            "boxes.test NS".to_owned(),
            "boxes.test. 3600 IN NS ns1.boxes.test.; boxes.test. 3600 IN NS ns2.dns.boxes.test.; \
             ns1.boxes.test. 3600 IN A 127.0.0.1; ns2.dns.boxes.test. 3600 IN A 127.0.0.53"
                .to_owned(),
        ),
        (
            "ns2.dns.boxes.test A".to_owned(),
            "ns2.dns.boxes.test. 3600 IN A 127.0.0.53".to_owned(),
        ),
        // RFC 8659: a CA climbs to the first set; one mode's fallback would be wrong for the other.
        (
            "boxes.test CAA".to_owned(),
            "boxes.test. 300 IN CAA 0 issue \";\"; boxes.test. 300 IN CAA 0 issuewild \";\""
                .to_owned(),
        ),
        (
            format!("{label} CAA"),
            format!(
                "{label}. 300 IN CAA 0 issue \";\"; {label}. 300 IN CAA 0 issuewild \"{issuer}\""
            ),
        ),
        (
            format!("{word} CAA"),
            format!(
                "{word}. 300 IN CAA 0 issue \"{issuer}\"; {word}. 300 IN CAA 0 issuewild \";\""
            ),
        ),
        (
            format!("127-0-0-1.{label} A"),
            format!("127-0-0-1.{label}. 86400 IN A 127.0.0.1"),
        ),
        (
            format!("fd12--7.{label} AAAA"),
            format!("fd12--7.{label}. 86400 IN AAAA fd12::7"),
        ),
        (format!("{word} A"), format!("{word}. 60 IN A 127.0.0.1")),
        (
            format!("{word} AAAA"),
            format!("{word}. 60 IN AAAA fd12::7"),
        ),
    ] {
        let (got, expected) = (ask(&question)?, format!("NOERROR qr aa; {records}"));
        ensure!(
            got == expected,
            "{question}: expected {expected}, got {got}"
        );
    }

    // RFC 8555, section 8.4: one value an order, and a set of them where there are several.
    let (one, two) = (challenges(word)?, challenges(label)?);
    ensure!(one.len() == 1, "{one:?}");
    ensure!(
        two.len() == 2 && two.contains(&"\"of-an-earlier-order\"".to_owned()),
        "{two:?}"
    );

    // The SOA of a negative answer has the zone's minimum as its TTL (RFC 2308, section 5).
    let negative = soa.replacen("boxes.test. 3600 ", "boxes.test. 60 ", 1);
    for (question, status) in [
        // It exists, and not with this type.
        (format!("{label} A"), "NOERROR"),
        (format!("{label} HTTPS"), "NOERROR"),
        (format!("{label} DS"), "NOERROR"),
        (format!("127-0-0-1.{label} AAAA"), "NOERROR"),
        // Empty non-terminals: they exist because of what is below them (RFC 8020, RFC 4592 section 2.2.2).
        ("dns.boxes.test A".to_owned(), "NOERROR"),
        ("dns.boxes.test TXT".to_owned(), "NOERROR"),
        // It does not exist.
        ("nobody.boxes.test A".to_owned(), "NXDOMAIN"),
        (
            "_acme-challenge.nobody.boxes.test TXT".to_owned(),
            "NXDOMAIN",
        ),
        (format!("www.{label} A"), "NXDOMAIN"),
        (format!("8-8-8-8.{label} A"), "NXDOMAIN"),
        // Nothing is made up below a name that exists, and no wildcard stands anywhere (RFC 4592).
        ("*.boxes.test A".to_owned(), "NXDOMAIN"),
        ("x.dns.boxes.test A".to_owned(), "NXDOMAIN"),
        (format!("*.{label} A"), "NXDOMAIN"),
        (format!("x.127-0-0-1.{label} A"), "NXDOMAIN"),
        (format!("*.{word} A"), "NXDOMAIN"),
        (format!("x.{word} A"), "NXDOMAIN"),
    ] {
        let (got, expected) = (ask(&question)?, format!("{status} qr aa; {negative}"));
        ensure!(
            got == expected,
            "{question}: expected {expected}, got {got}"
        );
    }
    for question in ["other.test A", "test SOA", ". NS", "boxes.test SOA -c CH"] {
        let got = ask(question)?;
        ensure!(got == "REFUSED qr", "{question}: {got}");
    }
    Ok(())
}

/// The SOA record, checked but for its serial number.
fn soa(answer: &str) -> anyhow::Result<String> {
    let record = answer
        .strip_prefix("NOERROR qr aa; ")
        .context(answer.to_owned())?;
    let fields: Vec<_> = record.split(' ').collect();
    let (serial, rest) = (
        fields.get(6),
        [
            &fields[..6.min(fields.len())],
            &fields[7.min(fields.len())..],
        ]
        .concat(),
    );
    ensure!(
        rest.join(" ")
            == "boxes.test. 3600 IN SOA ns1.boxes.test. hostmaster.maker.test. 3600 600 1209600 60",
        "{answer}"
    );
    let serial: u32 = serial.context("no serial")?.parse()?;
    ensure!(serial > 0, "{answer}");
    Ok(record.to_owned())
}

/// What a label's CAA set lets issue wildcards: Pebble, for HQ's account and by DNS alone (RFC 8657).
fn issuer(answer: &str) -> anyhow::Result<String> {
    let (_, rest) = answer
        .split_once("issuewild \"")
        .context(answer.to_owned())?;
    let issuer = rest.trim_end_matches('"').to_owned();
    let parts: Vec<_> = issuer.split("; ").collect();
    ensure!(
        matches!(parts[..], [ca, account, "validationmethods=dns-01"]
            if ca.contains("pebble") && account.starts_with("accounturi=https://")),
        "{answer}"
    );
    Ok(issuer)
}

/// The values of a TXT set, each with a TTL of at most a minute.
fn challenges(answer: &str) -> anyhow::Result<Vec<String>> {
    let mut parts = answer.split("; ");
    ensure!(parts.next() == Some("NOERROR qr aa"), "{answer}");
    let mut values = Vec::new();
    for record in parts {
        let fields: Vec<_> = record.split(' ').collect();
        let [_, ttl, "IN", "TXT", value] = fields[..] else {
            anyhow::bail!("{answer}")
        };
        ensure!((1..=60).contains(&ttl.parse::<u32>()?), "{answer}");
        values.push(value.to_owned());
    }
    Ok(values)
}

/// The name of a box, without `*.`, once the challenge of its order is served.
async fn name_with_an_order(one: &BoxInside, dns: SocketAddr) -> anyhow::Result<String> {
    eventually(TO_HTTPS, "the box's order is under way", || async {
        let progress = one.status()?.progress;
        let Some(name) = progress.names.first() else {
            return Ok(Tried::Not(format!("{progress:?}")));
        };
        let name = name.trim_start_matches("*.").to_owned();
        let answer = dig::answer(dns, &format!("_acme-challenge.{name} TXT"))?;
        Ok(Tried::when(answer.contains(" IN TXT "), name, answer))
    })
    .await
}

fn dns_table(config: &mut Table) -> &mut Table {
    let dns = config.entry("dns").or_insert_with(|| Table::new().into());
    let Value::Table(dns) = dns else {
        panic!("`dns` is {dns}")
    };
    dns
}

fn add_nameserver(dns: &mut Table, name: &str, address: &str) {
    let mut server = Table::new();
    server.insert("name".to_owned(), name.into());
    server.insert("addresses".to_owned(), vec![address].into());
    if let Some(Value::Array(servers)) = dns.get_mut("nameserver") {
        servers.push(server.into());
    }
}
