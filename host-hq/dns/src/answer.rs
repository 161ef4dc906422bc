//! The rules of the zone: which records a question gets. Pure: a snapshot, a question and a time.
//!
//! A name is looked up as a whole, never label by label from a wildcard: it exists if something is
//! stored at it, is computed for it, or exists below it. All else is NXDOMAIN, and so is everything
//! below it ([RFC 8020]).
//!
//! [RFC 8020]: https://www.rfc-editor.org/rfc/rfc8020

use std::{net::IpAddr, str::from_utf8};

use hickory_proto::{
    op::ResponseCode,
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, HINFO, MX, TXT},
    },
};

use crate::{
    lan::LanAddress,
    name::{path_labels, path_within},
    store::{Node, Role, ZoneSnapshot},
    time::UnixSeconds,
};

/// One question, its name spelled as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name in question.
    pub name: Name,
    /// The type of record asked for.
    pub record_type: RecordType,
    /// The class asked for; there is only `IN` here.
    pub class: DNSClass,
}

/// What a question gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result.
    pub rcode: ResponseCode,
    /// Whether the zone answered, and not only this server.
    pub authoritative: bool,
    /// The records asked for.
    pub answers: Vec<Record>,
    /// The SOA of a negative answer.
    pub authorities: Vec<Record>,
    /// Addresses of the name servers named in the answer.
    pub additionals: Vec<Record>,
}

impl Answer {
    /// Makes an answer without records, for which no zone speaks.
    pub(crate) fn refusal(rcode: ResponseCode) -> Self {
        Self {
            rcode,
            authoritative: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }
}

/// Answers one question from a zone as it is.
///
/// - Outside the zone, in another class, and for transfers: REFUSED.
/// - `ANY` gets one HINFO that says why ([RFC 8482] 4.2).
/// - A name that exists without the type asked for: NOERROR and the SOA ([RFC 2308] 2.2), for unknown
///   types, HTTPS, SVCB and DS as for any other.
/// - A name that does not exist: NXDOMAIN and the SOA ([RFC 2308] 2.1).
///
/// [RFC 2308]: https://www.rfc-editor.org/rfc/rfc2308#section-2
/// [RFC 8482]: https://www.rfc-editor.org/rfc/rfc8482#section-4.2
pub fn answer(zone: &ZoneSnapshot, question: &Question, now: UnixSeconds) -> Answer {
    let Some(path) = path_within(zone.config().origin().as_name(), &question.name) else {
        return Answer::refusal(ResponseCode::Refused);
    };
    if question.class != DNSClass::IN || is_transfer(question.record_type) {
        return Answer::refusal(ResponseCode::Refused);
    }
    let site = Site::find(zone, &path, now);
    let (ttl, data) = site.records(question.record_type);
    if data.is_empty() {
        let exists = site.exists() || zone.has_below(&path, now);
        return negative(
            zone,
            if exists {
                ResponseCode::NoError
            } else {
                ResponseCode::NXDomain
            },
        );
    }
    Answer {
        rcode: ResponseCode::NoError,
        authoritative: true,
        additionals: if question.record_type == RecordType::NS {
            glue(zone)
        } else {
            Vec::new()
        },
        answers: data
            .into_iter()
            .map(|data| Record::from_rdata(question.name.clone(), ttl, data))
            .collect(),
        authorities: Vec::new(),
    }
}

/// Everything that makes up one owner.
struct Site<'a> {
    zone: &'a ZoneSnapshot,
    now: UnixSeconds,
    is_apex: bool,
    node: Option<&'a Node>,
    computed: Option<IpAddr>,
    is_dmarc: bool,
}

impl<'a> Site<'a> {
    fn find(zone: &'a ZoneSnapshot, path: &[u8], now: UnixSeconds) -> Self {
        let labels = path_labels(path);
        let last = labels.last().copied().unwrap_or_default();
        let parent = &path[..path.len().saturating_sub(last.len() + 1)];
        let parent_role = zone.find(parent, now).map(|node| &node.role);
        let is_device_or_apex = match parent_role {
            Some(Role::Label | Role::Word(_)) => true,
            Some(Role::Nothing | Role::Addresses(_) | Role::Host(_)) | None => labels.len() == 1,
        };
        Self {
            zone,
            now,
            is_apex: labels.is_empty(),
            node: zone.find(path, now),
            computed: match parent_role {
                Some(Role::Label) => computed_address(zone, last),
                Some(Role::Nothing | Role::Word(_) | Role::Addresses(_) | Role::Host(_)) | None => {
                    None
                }
            },
            is_dmarc: last == DMARC && is_device_or_apex && zone.config().kind().refuses_mail(),
        }
    }

    /// Tells whether the owner exists by itself; one with others below it exists too.
    fn exists(&self) -> bool {
        self.is_apex || self.node.is_some() || self.computed.is_some() || self.is_dmarc
    }

    /// Returns the records of one type with the time to live that they share (RFC 2181, section 5.2).
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of all the types there are, a zone has a few"
    )]
    fn records(&self, record_type: RecordType) -> (u32, Vec<RData>) {
        match record_type {
            RecordType::A => self.addresses(IpAddr::is_ipv4),
            RecordType::AAAA => self.addresses(IpAddr::is_ipv6),
            RecordType::TXT => self.texts(),
            RecordType::MX if self.refuses_mail() => {
                (STATIC_TTL, vec![RData::MX(MX::new(0, Name::root()))])
            }
            RecordType::CAA => (CAA_TTL, self.caa()),
            RecordType::SOA if self.is_apex => {
                (STATIC_TTL, vec![self.zone.config().soa(self.zone.serial())])
            }
            RecordType::NS if self.is_apex => (STATIC_TTL, self.zone.config().ns()),
            RecordType::ANY if self.exists() => {
                let hinfo = HINFO::new("RFC8482".to_owned(), String::new());
                (STATIC_TTL, vec![RData::HINFO(hinfo)])
            }
            _ => (0, Vec::new()),
        }
    }

    fn addresses(&self, family: fn(&IpAddr) -> bool) -> (u32, Vec<RData>) {
        if let Some(address) = self.computed {
            return (
                COMPUTED_TTL,
                Some(address)
                    .filter(family)
                    .map(address_data)
                    .into_iter()
                    .collect(),
            );
        }
        let Some(node) = self.node else {
            return (0, Vec::new());
        };
        let ttl = match node.role {
            Role::Host(_) => STATIC_TTL,
            Role::Nothing | Role::Label | Role::Word(_) | Role::Addresses(_) => REPORTED_TTL,
        };
        let data = node.addresses().into_iter().flat_map(|addresses| {
            let v4 = addresses.v4.iter().copied().map(IpAddr::V4);
            let v6 = addresses.v6.iter().copied().map(IpAddr::V6);
            v4.chain(v6).filter(family).map(address_data)
        });
        (ttl, data.collect())
    }

    /// Returns the stored values, and what the owner has to say about mail.
    fn texts(&self) -> (u32, Vec<RData>) {
        let mut ttl = STATIC_TTL;
        let mut data = Vec::new();
        for text in self
            .node
            .into_iter()
            .flat_map(|node| node.live_texts(self.now))
        {
            let left = u32::try_from(text.expires.seconds_since(self.now)).unwrap_or(u32::MAX);
            ttl = ttl.min(left).clamp(1, TEXT_TTL);
            data.push(txt_data(text.value.as_str()));
        }
        if self.refuses_mail() {
            data.push(txt_data(SPF));
        }
        if self.is_dmarc {
            data.push(txt_data(DMARC_REJECT));
        }
        (ttl, data)
    }

    /// Tells whether the owner could be taken for a mail domain: null MX and SPF stand there.
    fn refuses_mail(&self) -> bool {
        let is_device = match self.node.map(|node| &node.role) {
            Some(Role::Label | Role::Word(_)) => true,
            Some(Role::Nothing | Role::Addresses(_) | Role::Host(_)) | None => false,
        };
        is_device || (self.is_apex && self.zone.config().kind().refuses_mail())
    }

    fn caa(&self) -> Vec<RData> {
        let config = self.zone.config();
        let sets = &config.caa;
        if self.is_apex {
            return match (config.kind().has_labels(), config.kind().has_words()) {
                (true, false) => sets.wildcards.clone(),
                (false, true) => sets.names.clone(),
                (true, true) | (false, false) => sets.nothing.clone(),
            };
        }
        match self.node.map(|node| &node.role) {
            Some(Role::Label) => sets.wildcards.clone(),
            Some(Role::Word(_)) => sets.names.clone(),
            Some(Role::Host(host)) if host.certificate => sets.names.clone(),
            Some(Role::Host(_)) => sets.nothing.clone(),
            // A name below a label is in the label's wildcard: the CA climbs to the label's set.
            Some(Role::Nothing | Role::Addresses(_)) | None => Vec::new(),
        }
    }
}

fn is_transfer(record_type: RecordType) -> bool {
    matches!(record_type, RecordType::AXFR | RecordType::IXFR)
}

fn computed_address(zone: &ZoneSnapshot, label: &[u8]) -> Option<IpAddr> {
    let label = from_utf8(label).ok()?;
    LanAddress::parse(label, zone.config().ranges())
        .ok()
        .map(LanAddress::ip)
}

fn negative(zone: &ZoneSnapshot, rcode: ResponseCode) -> Answer {
    let config = zone.config();
    let soa = Record::from_rdata(
        config.origin().as_name().clone(),
        config.negative_ttl().min(STATIC_TTL),
        config.soa(zone.serial()),
    );
    Answer {
        rcode,
        authoritative: true,
        answers: Vec::new(),
        authorities: vec![soa],
        additionals: Vec::new(),
    }
}

fn glue(zone: &ZoneSnapshot) -> Vec<Record> {
    let records = zone.config().nameservers.iter().flat_map(|server| {
        let name = server.name.as_name();
        server
            .addresses
            .iter()
            .map(|address| Record::from_rdata(name.clone(), STATIC_TTL, address_data(*address)))
    });
    records.collect()
}

fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

fn txt_data(value: &str) -> RData {
    RData::TXT(TXT::new(vec![value.to_owned()]))
}

/// A spelled address is true for ever; the day bounds how long a withdrawn label is remembered.
const COMPUTED_TTL: u32 = 86_400;
/// Word-mode names follow a device from lease to lease.
const REPORTED_TTL: u32 = 60;
/// Challenges come and go within minutes.
const TEXT_TTL: u32 = 60;
/// A CA reads it at each order, and a changed account must show soon.
const CAA_TTL: u32 = 300;
/// What changes with HQ's configuration only.
const STATIC_TTL: u32 = 3600;
const DMARC: &[u8] = b"_dmarc";
/// No server sends mail for this name (RFC 7208, section 4.6.2).
const SPF: &str = "v=spf1 -all";
/// Mail that claims to come from this name is to be refused (RFC 7489, section 6.3).
const DMARC_REJECT: &str = "v=DMARC1; p=reject";

#[cfg(test)]
mod tests;
