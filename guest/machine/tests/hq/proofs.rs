//! Proofs of control: how many, and how long for.

use otscert_machine::hq::config::Config;
use otscert_machine::hq::drive::Command;
use otscert_machine::hq::issuance::Issuance;
use otscert_machine::peer::{Answer, DnsAnswer, DnsOperation, DnsRecord, Request};
use otscert_machine::time::Span;
use otscert_machine::types::CertName;
use otscert_machine::x509::csr;

use super::stuck::{ordering, until};
use super::world::{CRYPTO, World, raw_config, seed};

#[test]
fn a_proof_that_nobody_withdraws_stays_in_the_zone_for_an_hour() {
    let (mut world, _) = ordering();
    let row = until(&mut world, |request| {
        matches!(
            request,
            Request::Dns(DnsOperation::Publish(DnsRecord::Txt { .. }))
        )
    });
    let Request::Dns(DnsOperation::Publish(DnsRecord::Txt { expires, .. })) = row.request else {
        unreachable!()
    };
    assert_eq!(expires, world.now + Span::from_hours(1));
}

#[test]
fn servers_have_ten_whole_minutes_to_show_a_proof() {
    let (mut world, client) = ordering();
    let visible = |request: &Request| matches!(request, Request::Dns(DnsOperation::Visible(_)));
    for (late, waits) in [(0, true), (1, false)] {
        let mut world = world.clone();
        let row = until(&mut world, visible);
        world.now = world.now + Span::from_minutes(10) + Span::from_millis(late);
        world.feed(&row, Answer::Dns(DnsAnswer::Visible(false)));
        let issuance = world.device(client.id.as_ref().unwrap()).line.issuance;
        let still = matches!(issuance, Issuance::AwaitingVisible(_));
        assert_eq!(still, waits, "{late} ms later: {issuance:?}");
    }
    world.pass(Span::from_seconds(10));
    assert_eq!(world.ca.issued.len(), 1);
}

#[test]
fn each_of_eight_names_is_proved() {
    let mut world = World::new();
    let mut raw = raw_config();
    raw.own_names = (1..=8).map(|n| format!("hq{n}.dev.test")).collect();
    world.config = Config::new(&CRYPTO, raw).unwrap();
    let names: Vec<CertName> = world.config.own_names.clone();
    let csr = csr::build(&CRYPTO, &seed(8), &names, &[1; 32]).unwrap();
    world.command("own", Command::OwnCsr(csr));
    world.pass(Span::from_seconds(30));
    assert_eq!(world.ca.orders[0].validated.len(), 8);
    assert_eq!(world.summaries["own"].state, "Issued");
}
