//! From the bytes of a query to the bytes of a reply. Pure, and it never panics.
//!
//! Only one question is ever decoded: a header that announces more is refused before anything is
//! allocated for them. The question is echoed letter for letter, since resolvers hide a nonce in its
//! capitals ("0x20").

use hickory_proto::{
    op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode},
    rr::RecordType,
    serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder},
};

use crate::{
    answer::{Answer, Question, answer},
    server::Transport,
    time::UnixSeconds,
    zones::Zones,
};

/// A reply, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message, without the length that TCP puts before it.
    pub bytes: Vec<u8>,
    /// Its result.
    pub rcode: ResponseCode,
    /// Whether it was too large for UDP and sends the asker to TCP (TC=1).
    pub truncated: bool,
}

/// Answers one message. `None` where silence is the rule: less than a header, or a reply, which must
/// never be answered lest two servers talk for ever.
///
/// - Not exactly one question: FORMERR. Other operations than QUERY: NOTIMP.
/// - EDNS above version 0: BADVERS ([RFC 6891] 6.1.3); at most 1232 octets go out over UDP, 512 to who
///   speaks no EDNS, fewer than 1232 to who asks so; what is larger becomes TC=1 and no records.
/// - With `limited`, a query over UDP gets TC=1 and no records, whatever it asks.
///
/// [RFC 6891]: https://www.rfc-editor.org/rfc/rfc6891#section-6.1.3
pub fn respond(
    zones: &Zones,
    query: &[u8],
    transport: Transport,
    limited: bool,
    now: UnixSeconds,
) -> Option<Reply> {
    let mut decoder = BinDecoder::new(query);
    let header = Header::read(&mut decoder).ok()?;
    if header.metadata.message_type == MessageType::Response {
        return None;
    }
    let mut reply = Draft::to(&header);
    if header.counts.queries != 1 {
        return Some(reply.finish(Answer::refusal(ResponseCode::FormErr), transport));
    }
    let Ok(query) = Query::read(&mut decoder) else {
        return Some(reply.finish(Answer::refusal(ResponseCode::FormErr), transport));
    };
    reply.query = Some(query.clone());
    if header.metadata.op_code != OpCode::Query {
        return Some(reply.finish(Answer::refusal(ResponseCode::NotImp), transport));
    }
    let Ok(edns) = read_edns(&mut decoder, &header) else {
        return Some(reply.finish(Answer::refusal(ResponseCode::FormErr), transport));
    };
    reply.edns = edns;
    if limited && transport == Transport::Udp {
        reply.limited = true;
        return Some(reply.finish(Answer::refusal(ResponseCode::NoError), transport));
    }
    Some(reply.finish(reply.answer(zones, query, now), transport))
}

/// What is known of a reply before its records are.
struct Draft {
    header: Header,
    query: Option<Query>,
    edns: Option<Edns>,
    limited: bool,
}

impl Draft {
    fn to(header: &Header) -> Self {
        Self {
            header: *header,
            query: None,
            edns: None,
            limited: false,
        }
    }

    fn answer(&self, zones: &Zones, query: Query, now: UnixSeconds) -> Answer {
        if self.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Answer::refusal(ResponseCode::BADVERS);
        }
        // OPT is no type to ask for (RFC 6891, section 6.1.1).
        if query.query_type == RecordType::OPT {
            return Answer::refusal(ResponseCode::FormErr);
        }
        let Some(zone) = zones.closest(&query.name) else {
            return Answer::refusal(ResponseCode::Refused);
        };
        let question = Question {
            name: query.name,
            record_type: query.query_type,
            class: query.query_class,
        };
        answer(&zone.snapshot(), &question, now)
    }

    fn finish(&self, answer: Answer, transport: Transport) -> Reply {
        let rcode = answer.rcode;
        let mut message = self.message(answer);
        let limit = self.size_limit(transport);
        let whole = encode(&message).filter(|bytes| bytes.len() <= limit);
        if let Some(bytes) = whole {
            return Reply {
                bytes,
                rcode,
                truncated: false,
            };
        }
        // Addresses of name servers are a courtesy here: the parent's glue was followed already.
        message.additionals.clear();
        if let Some(bytes) = encode(&message).filter(|bytes| bytes.len() <= limit) {
            return Reply {
                bytes,
                rcode,
                truncated: false,
            };
        }
        message.answers.clear();
        message.authorities.clear();
        message.metadata.truncation = true;
        if let Some(bytes) = encode(&message).filter(|bytes| bytes.len() <= limit) {
            return Reply {
                bytes,
                rcode,
                truncated: true,
            };
        }
        self.last_resort()
    }

    fn message(&self, answer: Answer) -> Message {
        let request = &self.header.metadata;
        let mut message = Message::response(request.id, request.op_code);
        message.metadata.recursion_desired = request.recursion_desired;
        message.metadata.checking_disabled = request.checking_disabled;
        message.metadata.authoritative = answer.authoritative;
        message.metadata.truncation = self.limited;
        message.metadata.response_code = answer.rcode;
        message.queries.extend(self.query.clone());
        message.answers = answer.answers;
        message.authorities = answer.authorities;
        message.additionals = answer.additionals;
        message.edns = self.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_PAYLOAD);
            // Copied as it came (RFC 3225, section 3), though nothing here is signed.
            edns.set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        message
    }

    fn size_limit(&self, transport: Transport) -> usize {
        let limit = match (transport, &self.edns) {
            (Transport::Tcp, _) => u16::MAX,
            (Transport::Udp, None) => PLAIN_UDP_PAYLOAD,
            (Transport::Udp, Some(edns)) => {
                edns.max_payload().clamp(PLAIN_UDP_PAYLOAD, UDP_PAYLOAD)
            }
        };
        usize::from(limit)
    }

    /// Returns a bare header with SERVFAIL, for a reply that cannot be encoded at all.
    fn last_resort(&self) -> Reply {
        let [high, low] = self.header.metadata.id.to_be_bytes();
        let flags = 0x80 | (u8::from(self.header.metadata.op_code) & 0x0f) << 3;
        let bytes = vec![
            high,
            low,
            flags,
            ResponseCode::ServFail.low(),
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        Reply {
            bytes,
            rcode: ResponseCode::ServFail,
            truncated: false,
        }
    }
}

/// Reads what follows the question, of which only EDNS matters.
fn read_edns(decoder: &mut BinDecoder<'_>, header: &Header) -> Result<Option<Edns>, ()> {
    let (counts, op_code) = (header.counts, header.metadata.op_code);
    let mut edns = None;
    for (count, is_additional) in [
        (counts.answers, false),
        (counts.authorities, false),
        (counts.additionals, true),
    ] {
        (_, edns, _) = Message::read_records(decoder, usize::from(count), is_additional, op_code)
            .map_err(drop)?;
    }
    Ok(edns)
}

fn encode(message: &Message) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::from(PLAIN_UDP_PAYLOAD));
    message.emit(&mut BinEncoder::new(&mut bytes)).ok()?;
    Some(bytes)
}

/// What fits through every path without fragments (DNS flag day 2020).
pub(crate) const UDP_PAYLOAD: u16 = 1232;
/// What everybody can receive (RFC 1035, section 4.2.1).
const PLAIN_UDP_PAYLOAD: u16 = 512;

#[cfg(test)]
mod tests;
