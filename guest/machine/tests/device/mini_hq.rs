//! As much of HQ as one device can see.

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::factory::UnitSecret;
use otscert_machine::peer::Endpoint;
use otscert_machine::time::{Moment, Span, Timestamp};
use otscert_machine::types::{DeviceId, Digest, DnsName, Ed25519Public, NameMode};
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::{Signer, Typ, Unverified};
use otscert_machine::wire::message::{
    Address, AddressAnswer, Binding, Command, Contact, ContactAnswer, Credential, Enrol,
    EnrolAnswer, Issued, Order, OrderAnswer, OrderStatus, Poll, PollAnswer, Problem, Retire,
    RetireAnswer, Window,
};
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::wire::trust::{Delegation, Grant, HqSigner, Roots};

use super::rig::NOW;

/// As much of HQ as a device can see: one device at a time.
#[derive(Clone)]
pub(crate) struct MiniHq {
    pub(crate) roots: Roots,
    pub(crate) root: Secret<32>,
    pub(crate) signer: HqSigner,
    pub(crate) clock: Timestamp,
    pub(crate) mode: NameMode,
    pub(crate) counter: u64,
    pub(crate) device: Option<(Ed25519Public, DeviceId)>,
    pub(crate) answered: Option<(Digest, Vec<u8>)>,
    pub(crate) order: Option<(Vec<u8>, u32)>,
    pub(crate) seen: Vec<&'static str>,
    pub(crate) addresses: Vec<String>,
    pub(crate) command: Option<Command>,
    pub(crate) grant: Option<Object>,
    pub(crate) oldest_grant_epoch: u64,
    pub(crate) refuse: Option<ProblemKind>,
    pub(crate) refuse_enrol: Option<ProblemKind>,
    /// Refused at that endpoint, and how often something was.
    pub(crate) refuse_at: Option<(Endpoint, ProblemKind)>,
    pub(crate) refused: u32,
    /// Whoever shows a grant gets another name all the same.
    pub(crate) rename: bool,
    /// Problems say no more than their type.
    pub(crate) silent: bool,
    /// Every order comes to nothing.
    pub(crate) give_up: bool,
    pub(crate) foreign_grant: bool,
    pub(crate) trouble: Option<String>,
    /// Certified instead of what the box asks for.
    pub(crate) instead: Option<Vec<u8>>,
    /// What HQ takes for the unit's secret.
    pub(crate) sealing: Option<UnitSecret>,
    pub(crate) contacts: Vec<Contact>,
    /// What was shown in each `enrol`.
    pub(crate) shown: Vec<Credential>,
    pub(crate) down: bool,
    pub(crate) calls: u32,
    pub(crate) enrolments: u32,
    pub(crate) reinstated: u32,
    pub(crate) orders: u32,
    pub(crate) retired: u32,
}

impl MiniHq {
    pub(crate) fn new(seed: u8) -> Self {
        let root = Secret::new([seed; 32]);
        let keys = vec![Ed25519Public::new(RustCrypto.ed25519_public(&root))];
        let roots = Roots {
            hq_id: "hq.example".into(),
            keys,
        };
        let signer = signer(&roots, &root, 1);
        Self {
            roots,
            root,
            signer,
            clock: Timestamp::from_millis(NOW),
            mode: NameMode::Address,
            counter: 0,
            device: None,
            answered: None,
            order: None,
            seen: Vec::new(),
            addresses: Vec::new(),
            command: None,
            grant: None,
            oldest_grant_epoch: 0,
            refuse: None,
            refuse_enrol: None,
            refuse_at: None,
            refused: 0,
            rename: false,
            silent: false,
            give_up: false,
            foreign_grant: false,
            trouble: None,
            instead: None,
            sealing: None,
            contacts: Vec::new(),
            shown: Vec::new(),
            down: false,
            calls: 0,
            enrolments: 0,
            reinstated: 0,
            orders: 0,
            retired: 0,
        }
    }

    pub(crate) fn delegate(&mut self, epoch: u64) {
        self.signer = signer(&self.roots, &self.root, epoch);
    }

    pub(crate) fn forget(&mut self) {
        self.device = None;
        self.answered = None;
    }

    pub(crate) fn answer(&mut self, endpoint: Endpoint, body: &[u8], _: Moment) -> Vec<u8> {
        self.calls += 1;
        let req = Digest::of(&RustCrypto, body);
        if let Some((digest, answer)) = &self.answered
            && *digest == req
        {
            return answer.clone();
        }
        let refuse_enrol = self.refuse_enrol.filter(|_| endpoint == Endpoint::Enrol);
        if let Some(kind) = self.refuse.or(refuse_enrol) {
            return self.problem(req, kind);
        }
        if let Some((_, kind)) = self.refuse_at.filter(|(at, _)| *at == endpoint) {
            self.refused += 1;
            return self.problem(req, kind);
        }
        let (typ, payload) = match endpoint {
            Endpoint::Contact => self.contact(req, body),
            Endpoint::Enrol => self.enrol(req, body),
            Endpoint::Retire => self.retire(req, body),
            Endpoint::Order | Endpoint::Poll | Endpoint::Address => {
                if self.device.is_none() {
                    return self.problem(req, ProblemKind::UnknownDevice);
                }
                self.member(endpoint, req, body)
            }
        };
        let answer = self.signer.sign(&RustCrypto, typ, &payload).to_bytes();
        self.answered = Some((req, answer.clone()));
        answer
    }

    pub(crate) fn problem(&self, req: Digest, kind: ProblemKind) -> Vec<u8> {
        let problem = Problem {
            sub: String::new(),
            req,
            time: self.clock,
            kind: Some(kind),
            detail: if self.silent { "" } else { "The test says so." }.into(),
            retry_after: None,
        };
        self.signer
            .sign(&RustCrypto, Typ::Problem, &problem.to_object())
            .to_bytes()
    }

    pub(crate) fn contact(&mut self, req: Digest, body: &[u8]) -> (Typ, Object) {
        self.seen.push("contact");
        let contact = Contact::parse(body).unwrap();
        let answer = ContactAnswer {
            sub: contact.nonce,
            req,
            time: self.clock,
            hq_nonce: "n".into(),
            seed: Secret::new([7; 32]),
            sealed_seed: self.sealing.as_ref().map(|secret| {
                let seed = Secret::new([8; 32]);
                secret.seal_seed(&RustCrypto, &req, [9; 32], &seed)
            }),
        };
        self.contacts.push(contact);
        (Typ::ContactAnswer, answer.to_object())
    }

    pub(crate) fn enrol(&mut self, req: Digest, body: &[u8]) -> (Typ, Object) {
        self.seen.push("enrol");
        let unverified = Unverified::parse(body).unwrap();
        let Signer::Key(key) = unverified.header().signer else {
            panic!("enrol carries the key");
        };
        let verified = unverified.verify(&RustCrypto, &key).unwrap();
        let enrol = Enrol::parse(&verified.payload).unwrap();
        self.shown.push(enrol.credential);
        let thumbprint = key.thumbprint(&RustCrypto);
        let shown = enrol.grant.map(|grant| {
            Grant::open(&RustCrypto, &self.roots, &grant, self.oldest_grant_epoch).unwrap()
        });
        let grant = match shown {
            Some(grant) if !self.rename => {
                self.reinstated += 1;
                grant
            }
            Some(_) | None => {
                self.enrolments += 1;
                let id = format!(
                    "{}{}",
                    "a".repeat(19),
                    char::from(b'a' + self.enrolments as u8)
                );
                Grant {
                    key: match self.foreign_grant {
                        true => self.roots.keys[0].thumbprint(&RustCrypto),
                        false => thumbprint,
                    },
                    device: DeviceId::parse(&id).unwrap(),
                    mode: self.mode,
                    name: DnsName::parse(&format!("l{}.devices.test", self.enrolments)).unwrap(),
                    serial: 1,
                    issued: self.clock,
                }
            }
        };
        self.device = Some((key, grant.device.clone()));
        self.order = None;
        let answer = EnrolAnswer {
            sub: thumbprint.to_string(),
            req,
            time: self.clock,
            device: grant.device.clone(),
            token: self.token(),
            names: grant.cert_names(),
            mode: grant.mode,
            grant: grant.sign(&RustCrypto, &self.signer),
        };
        (Typ::EnrolAnswer, answer.to_object())
    }

    pub(crate) fn retire(&mut self, req: Digest, body: &[u8]) -> (Typ, Object) {
        self.seen.push("retire");
        let unverified = Unverified::parse(body).unwrap();
        let Signer::Kid(kid) = unverified.header().signer.clone() else {
            panic!("retire carries the device id");
        };
        // A box that enrolled anew meanwhile is another device, whose key this HQ has instead.
        if let Some((key, _)) = self.device.take_if(|(_, id)| id.as_str() == kid) {
            let verified = unverified.verify(&RustCrypto, &key).unwrap();
            Retire::parse(&verified.payload).unwrap();
        }
        self.retired += 1;
        let sub = DeviceId::parse(&kid).unwrap();
        (
            Typ::RetireAnswer,
            RetireAnswer {
                sub,
                req,
                time: self.clock,
            }
            .to_object(),
        )
    }

    pub(crate) fn member(&mut self, endpoint: Endpoint, req: Digest, body: &[u8]) -> (Typ, Object) {
        let (key, device) = self.device.clone().unwrap();
        let verified = Unverified::parse(body)
            .unwrap()
            .verify(&RustCrypto, &key)
            .unwrap();
        let payload = verified.payload;
        let binding = Binding {
            sub: device,
            req,
            time: self.clock,
            token: self.token(),
            retry_after: Span::from_millis(300),
        };
        match endpoint {
            Endpoint::Order => {
                self.seen.push("order");
                let csr = Order::parse(&payload).unwrap().csr;
                if self.order.as_ref().is_none_or(|(known, _)| *known != csr) {
                    self.orders += 1;
                    self.order = Some((csr, 1));
                }
                let answer = OrderAnswer {
                    binding,
                    reason: String::new(),
                };
                (Typ::OrderAnswer, answer.to_object())
            }
            Endpoint::Address => {
                self.seen.push("address");
                let address = Address::parse(&payload).unwrap();
                self.addresses
                    .extend(address.addresses.iter().map(ToString::to_string));
                (Typ::AddressAnswer, AddressAnswer { binding }.to_object())
            }
            Endpoint::Contact | Endpoint::Enrol | Endpoint::Poll | Endpoint::Retire => {
                self.seen.push("poll");
                let poll = Poll::parse(&payload).unwrap();
                self.trouble = poll.trouble.or(self.trouble.take());
                let (status, retry_after) = self.status(poll.serving);
                let binding = Binding {
                    retry_after,
                    ..binding
                };
                let commands = self.command.take().into_iter().collect();
                let (window, reason) = (None, String::new());
                let answer = PollAnswer {
                    binding,
                    status,
                    window,
                    reason,
                    commands,
                    grant: self.grant.take(),
                };
                (Typ::PollAnswer, answer.to_object())
            }
        }
    }

    pub(crate) fn status(&mut self, serving: Option<Digest>) -> (OrderStatus, Span) {
        match &mut self.order {
            None if self.give_up => (OrderStatus::Failed, Span::from_hours(12)),
            None => (OrderStatus::Idle, Span::from_hours(12)),
            Some(_) if self.give_up => {
                self.order = None;
                (OrderStatus::Failed, Span::from_seconds(1))
            }
            Some((_, polls)) if *polls > 0 => {
                *polls -= 1;
                (OrderStatus::Working, Span::from_millis(300))
            }
            Some((csr, _)) => {
                let der = issue(self.instead.as_ref().unwrap_or(csr), self.clock);
                if serving == Some(Digest::of(&RustCrypto, &der)) {
                    return (OrderStatus::Idle, Span::from_hours(12));
                }
                let start = self.clock + Span::from_days(30);
                let window = Window {
                    start,
                    end: start + Span::from_days(2),
                };
                self.order = None;
                let issued = Issued {
                    chain: vec![der],
                    window,
                };
                (OrderStatus::Issued(issued), Span::from_hours(12))
            }
        }
    }

    pub(crate) fn token(&mut self) -> String {
        self.counter += 1;
        format!("t{}", self.counter)
    }
}

fn signer(roots: &Roots, root: &Secret<32>, epoch: u64) -> HqSigner {
    let seed = Secret::new([40 + u8::try_from(epoch).unwrap(); 32]);
    let delegation = Delegation {
        key: Ed25519Public::new(RustCrypto.ed25519_public(&seed)),
        epoch,
        not_after: Timestamp::from_millis(NOW) + Span::from_days(3650),
    };
    let object = delegation.sign(&RustCrypto, &roots.hq_id, root);
    HqSigner::new(&RustCrypto, roots, seed, object).unwrap()
}

/// A certificate for the CSR, by a CA nobody knows: the machine checks no CA signature.
fn issue(csr: &[u8], now: Timestamp) -> Vec<u8> {
    let der = rcgen::CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
    let mut request = der;
    let at = |time: Timestamp| {
        let seconds = i64::try_from(time.seconds()).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds as u64)
    };
    request.params.not_before = at(now);
    request.params.not_after = at(now + Span::from_days(45));
    request.params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(rcgen::CertificateParams::default(), key);
    request.signed_by(&issuer).unwrap().der().to_vec()
}
