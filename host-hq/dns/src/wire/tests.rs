use std::sync::Arc;

use hickory_proto::{
    op::MessageType,
    rr::{DNSClass, Name},
};

use super::*;
use crate::{
    config::{Modes, ZoneConfig, ZoneKind, ZoneSettings},
    store::ZoneStore,
    testing::{NOW, at, label, name, settings, store, value},
};

#[test]
fn a_query_is_answered_with_its_id_flags_and_spelling() {
    let mut query = ask("192-168-1-7.LiVe.Z.example", RecordType::A);
    query.metadata.recursion_desired = true;
    query.metadata.checking_disabled = true;
    let bytes = query.to_vec().unwrap();
    let raw = respond(&zones(), &bytes, Transport::Udp, false, NOW).unwrap();
    let reply = Message::from_vec(&raw.bytes).unwrap();
    let head = &reply.metadata;
    assert_eq!(head.id, query.metadata.id);
    assert!(head.authoritative && head.recursion_desired && head.checking_disabled);
    assert!(!head.recursion_available && !head.authentic_data && !head.truncation);
    assert_eq!(reply.answers.len(), 1);
    assert_eq!(reply.edns, None, "EDNS is for those who speak it");
    let question = &bytes[12..];
    assert_eq!(
        &raw.bytes[12..12 + question.len()],
        question,
        "0x20: letter for letter"
    );
}

#[test]
fn messages_that_are_no_query_get_what_they_deserve() {
    let good = ask("z.example", RecordType::SOA);
    let zones = zones();
    let rcode = |message: &Message| {
        respond(
            &zones,
            &message.to_vec().unwrap(),
            Transport::Udp,
            false,
            NOW,
        )
        .map(|reply| reply.rcode)
    };
    assert_eq!(rcode(&good), Some(ResponseCode::NoError));

    let mut reply = good.clone();
    reply.metadata.message_type = MessageType::Response;
    assert_eq!(rcode(&reply), None);

    for op_code in [
        OpCode::Update,
        OpCode::Notify,
        OpCode::Status,
        OpCode::Unknown(9),
    ] {
        let mut message = good.clone();
        message.metadata.op_code = op_code;
        assert_eq!(rcode(&message), Some(ResponseCode::NotImp), "{op_code:?}");
    }

    let mut none = good.clone();
    none.queries.clear();
    assert_eq!(rcode(&none), Some(ResponseCode::FormErr));
    let mut two = good.clone();
    two.queries.push(two.queries[0].clone());
    assert_eq!(rcode(&two), Some(ResponseCode::FormErr));

    let mut chaos = good.clone();
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(rcode(&chaos), Some(ResponseCode::Refused));
    assert_eq!(
        rcode(&ask("other.example", RecordType::A)),
        Some(ResponseCode::Refused)
    );
    assert_eq!(
        rcode(&ask("z.example", RecordType::OPT)),
        Some(ResponseCode::FormErr)
    );

    let bytes = good.to_vec().unwrap();
    for cut in 0..bytes.len() {
        let got =
            respond(&zones, &bytes[..cut], Transport::Tcp, false, NOW).map(|reply| reply.rcode);
        assert_eq!(
            got,
            (cut >= 12).then_some(ResponseCode::FormErr),
            "cut at {cut}"
        );
    }
}

#[test]
fn many_questions_announced_in_a_bare_header_cost_nothing() {
    let header = [0, 7, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
    let reply = respond(&zones(), &header, Transport::Udp, false, NOW).unwrap();
    assert_eq!(reply.rcode, ResponseCode::FormErr);
    assert_eq!(reply.bytes.len(), 12);
}

#[test]
fn edns_is_answered_in_version_0_with_our_payload() {
    let mut query = ask("z.example", RecordType::SOA);
    let mut edns = Edns::new();
    edns.set_max_payload(4096).set_dnssec_ok(true);
    query.set_edns(edns.clone());
    let reply = reply_to(&query, Transport::Udp);
    let got = reply.edns.unwrap();
    assert_eq!(
        (got.version(), got.max_payload(), got.flags().dnssec_ok),
        (0, 1232, true)
    );

    edns.set_version(1);
    query.set_edns(edns);
    let reply = reply_to(&query, Transport::Udp);
    assert_eq!(u16::from(reply.metadata.response_code), 16, "BADVERS");
    assert_eq!(reply.edns.unwrap().version(), 0);
    assert!(reply.answers.is_empty());
}

#[test]
fn what_is_too_large_for_udp_is_cut_to_nothing_and_goes_whole_over_tcp() {
    // 30 values of 43 octets: about 1,700 octets.
    let mut query = ask("_acme-challenge.live.z.example", RecordType::TXT);
    for (payload, limit) in [
        (None, 512),
        (Some(512), 512),
        (Some(100), 512),
        (Some(4096), 1232),
    ] {
        query.edns = payload.map(|payload| {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            edns
        });
        let bytes = query.to_vec().unwrap();
        let raw = respond(&zones(), &bytes, Transport::Udp, false, NOW).unwrap();
        assert!(raw.truncated && raw.bytes.len() <= limit);
        let reply = Message::from_vec(&raw.bytes).unwrap();
        assert!(reply.metadata.truncation && reply.answers.is_empty());
        assert_eq!(reply.edns.is_some(), payload.is_some());
    }
    let reply = reply_to(&query, Transport::Tcp);
    assert!(!reply.metadata.truncation);
    assert_eq!(reply.answers.len(), 30);
}

#[test]
fn who_asks_too_often_is_sent_to_tcp_and_never_dropped() {
    let bytes = ask("192-168-1-7.live.z.example", RecordType::A)
        .to_vec()
        .unwrap();
    let raw = respond(&zones(), &bytes, Transport::Udp, true, NOW).unwrap();
    let reply = Message::from_vec(&raw.bytes).unwrap();
    assert!(reply.metadata.truncation && reply.answers.is_empty());
    assert_eq!(
        raw.bytes.len(),
        bytes.len(),
        "it gives an attacker nothing to amplify"
    );
    assert!(!raw.truncated, "it is counted as limited");
    let raw = respond(&zones(), &bytes, Transport::Tcp, true, NOW).unwrap();
    assert_eq!(Message::from_vec(&raw.bytes).unwrap().answers.len(), 1);
}

#[test]
fn each_name_goes_to_the_closest_zone() {
    let zones = zones();
    let owner = name("_acme-challenge.hq.maker.example");
    zones.add_txt(&owner, &value("token"), at(60)).unwrap();
    let query = ask("_acme-challenge.hq.maker.example", RecordType::TXT);
    let bytes = query.to_vec().unwrap();
    let raw = respond(&zones, &bytes, Transport::Udp, false, NOW).unwrap();
    assert_eq!(Message::from_vec(&raw.bytes).unwrap().answers.len(), 1);
    assert!(zones.is_visible(&owner, &value("token"), NOW));
    zones
        .add_txt(&name("x.maker.example"), &value("token"), at(60))
        .unwrap_err();
    assert_eq!(zones.sweep(at(60)), 1);
    assert!(Zones::new(vec![]).is_err());
    assert!(Zones::new(vec![zones.stores()[0].clone(), zones.stores()[0].clone()]).is_err());
}

fn zones() -> Zones {
    let devices = store(Modes::Both);
    devices.publish_label(&label("live")).unwrap();
    let owner = name("_acme-challenge.live.z.example");
    for number in 0..30 {
        devices
            .add_txt(&owner, &value(&format!("{number:043}")), at(1000))
            .unwrap();
    }
    let challenges = ZoneSettings {
        nameservers: settings(Modes::Both).nameservers.split_off(1),
        ..ZoneSettings::new(
            name("_acme-challenge.hq.maker.example"),
            "a@b.example",
            ZoneKind::ChallengeOnly,
        )
    };
    let challenges = ZoneStore::new(ZoneConfig::new(challenges).unwrap());
    Zones::new(vec![Arc::new(devices), Arc::new(challenges)]).unwrap()
}

fn ask(name: &str, record_type: RecordType) -> Message {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name, record_type));
    message
}

fn reply_to(query: &Message, transport: Transport) -> Message {
    let reply = respond(&zones(), &query.to_vec().unwrap(), transport, false, NOW).unwrap();
    Message::from_vec(&reply.bytes).unwrap()
}
