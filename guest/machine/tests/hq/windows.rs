//! When to renew: what the CA says of it, and what an order costs that comes then.

use otscert_machine::hq::config::{Ca, Config};
use otscert_machine::hq::drive::Input;
use otscert_machine::hq::event::NoteKind;
use otscert_machine::peer::{Answer, CaAnswer, CaOperation, CaProblemKind, Price, Request};
use otscert_machine::time::Span;

use super::client::Client;
use super::peers::problem;
use super::stuck::until_passing;
use super::world::{CRYPTO, World, raw_config};

#[test]
fn another_ca_replaces_no_certificate_of_the_first() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let now = world.now.millis();
    world.ca.window = Some((now, now + 1000, 3_600_000));
    world.pass(Span::from_hours(13));
    let mut raw = raw_config();
    let other = Ca {
        name: "other".into(),
        profile: Some("short".into()),
        ari: true,
    };
    raw.cas.insert(0, other);
    world.config = Config::new(&CRYPTO, raw).unwrap();
    client.order(&mut world);
    match &world.outbox.front().unwrap().request {
        Request::Ca(CaOperation::NewOrder {
            ca,
            replaces,
            price,
            ..
        }) => {
            assert_eq!(
                (ca.as_str(), replaces, *price),
                ("other", &None, Price::Renewal)
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_window_that_cannot_be_read_is_read_again_and_the_old_one_holds() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let before = client.poll(&mut world).window.unwrap();
    let start = world.now.millis() + 20 * 86_400_000;
    world.ca.window = Some((start, start + 86_400_000, 21_600_000));
    let not_before = world.now + Span::from_hours(20);
    for answer in [
        problem(CaProblemKind::Transient, "busy"),
        CaAnswer::Deferred {
            not_before,
            reason: "too many".into(),
        },
        CaAnswer::Revoked,
    ]
    .map(Answer::Ca)
    .into_iter()
    .chain([super::faults::timed_out()])
    {
        let row = until_passing(&mut world, |request| {
            matches!(request, Request::Ca(CaOperation::RenewalInfo { .. }))
        });
        world.feed(&row, answer);
        assert_eq!(client.poll(&mut world).window, Some(before));
    }
    // No reading comes before the moment that the CA named, and each a sixteenth late at most.
    assert!(world.now >= not_before);
    world.pass(Span::from_hours(2));
    assert_eq!(
        client.poll(&mut world).window.unwrap().start.millis(),
        start
    );
}

#[test]
fn a_window_is_read_when_it_is_time_and_not_whenever_something_is_due() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let read = |world: &World| {
        let rows = world.answered.iter().map(|(row, _)| &row.request);
        rows.filter(|it| matches!(it, Request::Ca(CaOperation::RenewalInfo { .. })))
            .count()
    };
    world.work();
    assert_eq!(read(&world), 1);
    // An order that fails is asked about again and again meanwhile.
    world.meddle = Some(|request| match request {
        Request::Ca(CaOperation::NewOrder { .. }) => Some(super::faults::timed_out()),
        _ => None,
    });
    client.order(&mut world);
    world.pass(Span::from_hours(4));
    assert!(
        world.answered.len() > 12,
        "{} answers",
        world.answered.len()
    );
    assert_eq!(read(&world), 1);
    world.pass(Span::from_hours(9));
    assert_eq!(read(&world), 2);
}

#[test]
fn a_window_is_news_once_and_also_where_it_is_as_hq_would_have_it() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let own = client.poll(&mut world).window.unwrap();
    world.ca.window = Some((own.start.millis(), own.end.millis(), 21_600_000));
    world.pass(Span::from_days(3));
    assert_eq!(world.count(NoteKind::WindowRead), 1);
    assert_eq!(client.poll(&mut world).window, Some(own));
}

/// Where the CA suggests nothing.
#[test]
fn a_certificate_is_renewed_with_a_third_of_its_life_left_and_a_short_one_with_half() {
    let day = 86_400;
    for (life, left) in [
        (45 * day, 15 * day),
        (10 * day, 10 * day / 3),
        (9 * day, 9 * day / 2),
    ] {
        let mut world = World::new();
        world.ca.life = life;
        let mut client = Client::serving(&mut world, 1);
        let window = client.poll(&mut world).window.unwrap();
        let line = world.device(client.id.as_ref().unwrap()).line;
        let end = line.certificate.unwrap().not_after;
        assert_eq!(end.since(window.start), Span::from_seconds(left), "{life}");
        let lasts = window.end.since(window.start);
        assert_eq!(lasts, Span::from_seconds(life / 12), "{life}");
    }
}

#[test]
fn no_window_is_read_for_a_certificate_that_has_come_to_its_end() {
    for (early, reads) in [(Span::from_millis(1), 1), (Span::ZERO, 0)] {
        let mut world = World::new();
        let client = Client::serving(&mut world, 1);
        world.work();
        let line = world.device(client.id.as_ref().unwrap()).line;
        world.now = line.certificate.unwrap().not_after - early;
        world.call(Input::Due(client.subject())).unwrap();
        assert_eq!(world.outbox.len(), reads, "{:?}", world.outbox);
    }
}
