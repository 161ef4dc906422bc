//! Who is let in without a person: by which of several alternatives, and by a grant.

use otscert_machine::hq::admission::Admission;
use otscert_machine::hq::config::Config;
use otscert_machine::peer::{CaOperation, Request};
use otscert_machine::time::Span;

use super::admission::{code, import, refusal, serial, with_code};
use super::client::Client;
use super::world::{CRYPTO, World, raw_config};

#[test]
fn a_grant_lets_a_box_in_at_once_where_no_person_is_asked() {
    let mut world = World::new();
    let code = code(1);
    import(&mut world, &[&code], None);
    let mut client = with_code(1, &code);
    client.enrol(&mut world);
    // HQ is restored to before the box, and to before the code.
    let mut world = World::new();
    world.now = world.now + Span::from_hours(1);
    client.enrol(&mut world);
    assert!(orders_at_once(&mut world, &mut client));
}

#[test]
fn an_alternative_without_a_person_goes_before_one_with_a_person() {
    let code = code(1);
    let mut raw = raw_config();
    let coded = raw.models.iter_mut().find(|it| it.name == "coded-box");
    coded.unwrap().admission = vec!["claim-code+approval".into(), "claim-code".into()];
    let config = Config::new(&CRYPTO, raw).unwrap();
    let mut world = World::new();
    world.config = config.clone();
    import(&mut world, &[&code], None);
    let mut client = with_code(1, &code);
    client.enrol(&mut world);
    assert!(orders_at_once(&mut world, &mut client));

    // So it is for a box that HQ forgot, and that shows its code besides its grant.
    for (knows_the_code, at_once) in [(true, true), (false, false)] {
        let (mut world, mut client) = (World::new(), client.clone());
        world.config = config.clone();
        world.now = world.now + Span::from_hours(1);
        if knows_the_code {
            import(&mut world, &[&code], None);
        }
        client.enrol(&mut world);
        assert_eq!(orders_at_once(&mut world, &mut client), at_once);
    }
}

#[test]
fn a_proof_that_a_policy_names_twice_is_asked_for() {
    let admission = Admission::parse(&["voucher+voucher"]).unwrap();
    assert_eq!(admission.words(), "voucher");
    assert!(!admission.is_open());
}

#[test]
fn vouchers_are_spoken_of_where_one_is_asked_for_and_a_serial_is_shown() {
    let mut world = World::new();
    let mut coded = serial(1, "SN-1");
    coded.model = "coded-box".into();
    let mut nameless = Client::of_model(2, "vouched-box");
    for (client, spoken_of) in [
        (&mut serial(3, "SN-1"), true),
        (&mut coded, false),
        (&mut nameless, false),
    ] {
        let detail = refusal(&mut world, client).detail;
        assert_eq!(detail.contains("no voucher"), spoken_of, "{detail}");
    }
}

/// Whether its order goes to the CA, and does not wait for a person.
fn orders_at_once(world: &mut World, client: &mut Client) -> bool {
    client.order(world);
    let mut rows = world.outbox.iter().map(|row| &row.request);
    rows.any(|request| matches!(request, Request::Ca(CaOperation::NewOrder { .. })))
}
