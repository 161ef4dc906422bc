//! The door for the fuzz target.

use std::sync::LazyLock;

use hickory_proto::op::{Message, MessageType};

use crate::{
    caa::CaaIssuer,
    config::{Modes, Nameserver, ZoneConfig, ZoneKind, ZoneSettings},
    name::{DnsName, Label, TxtValue},
    server::Transport,
    store::ZoneStore,
    time::UnixSeconds,
    wire::{UDP_PAYLOAD, respond},
    zones::Zones,
};

/// Feeds arbitrary bytes to [`respond`], over both transports, against a small zone.
///
/// # Panics
///
/// When a rule for all replies is broken: a reply decodes, says that it is one, repeats the id, and
/// fits its transport.
pub fn fuzz_question(data: &[u8]) {
    for (transport, limited) in [
        (Transport::Udp, false),
        (Transport::Udp, true),
        (Transport::Tcp, false),
    ] {
        let Some(reply) = respond(&SAMPLE, data, transport, limited, NOW) else {
            continue;
        };
        if transport == Transport::Udp {
            assert!(
                reply.bytes.len() <= usize::from(UDP_PAYLOAD),
                "a reply over UDP is too large"
            );
        }
        let message = Message::from_vec(&reply.bytes).expect("a reply decodes");
        assert_eq!(
            message.metadata.message_type,
            MessageType::Response,
            "a reply says so"
        );
        assert_eq!(
            reply.bytes.get(..2),
            data.get(..2),
            "a reply repeats the id"
        );
        // By number: BADVERS and BADSIG are both 16.
        assert_eq!(
            u16::from(message.metadata.response_code),
            u16::from(reply.rcode),
            "a reply has the result it is counted as"
        );
    }
}

static SAMPLE: LazyLock<Zones> =
    LazyLock::new(|| sample().expect("the sample zone is right, a test makes it"));

fn sample() -> Result<Zones, Box<dyn std::error::Error>> {
    let settings = ZoneSettings {
        nameservers: vec![Nameserver {
            name: DnsName::parse("ns.z.example")?,
            addresses: vec!["203.0.113.53".parse()?],
        }],
        caa: vec![CaaIssuer {
            domain: DnsName::parse("ca.example")?,
            account_uri: None,
        }],
        ..ZoneSettings::new(
            DnsName::parse("z.example")?,
            "hostmaster@maker.example",
            ZoneKind::Devices(Modes::Both),
        )
    };
    let store = ZoneStore::new(ZoneConfig::new(settings)?);
    store.publish_label(&Label::parse("l")?)?;
    store.set_addresses(&DnsName::parse("w.z.example")?, &["192.168.1.7".parse()?])?;
    let owner = DnsName::parse("_acme-challenge.l.z.example")?;
    for number in 0..40 {
        let value = TxtValue::parse(&format!("{number:043}"))?;
        store.add_txt(&owner, &value, UnixSeconds::new(u64::MAX))?;
    }
    Ok(Zones::new(vec![store.into()])?)
}

const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

#[cfg(test)]
mod tests {
    use hickory_proto::{
        op::{Edns, Query},
        rr::{Name, RecordType},
    };
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_break_a_rule(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            fuzz_question(&data);
        }

        #[test]
        fn no_damaged_query_breaks_a_rule(
            labels in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 1..20), 0..4),
            record_type: u16,
            payload: u16,
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let labels = labels.iter().map(Vec::as_slice).chain([&b"l"[..], b"z", b"example"]);
            let mut message = Message::query();
            let name = Name::from_labels(labels).unwrap();
            message.add_query(Query::query(name, RecordType::from(record_type)));
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
            let mut bytes = message.to_vec().unwrap();
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            fuzz_question(&bytes);
        }
    }
}
