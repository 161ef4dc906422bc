//! A box that says exactly what a test wants it to say.

use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::entropy::Grade;
use otscert_machine::factory::UnitSecret;
use otscert_machine::hq::seal::Sealed;
use otscert_machine::peer::Endpoint;
use otscert_machine::time::Timestamp;
use otscert_machine::types::{
    CertName, DeviceId, Digest, Ed25519Public, NameMode, Nonce, ShortText,
};
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::{self, Header, Signer, Typ, Unverified};
use otscert_machine::wire::message::{
    Address, AddressAnswer, Contact, ContactAnswer, Continuity, Credential, Enrol, EnrolAnswer,
    EntropyReport, Order, OrderAnswer, OrderStatus, Poll, PollAnswer, Problem, Retire,
    RetireAnswer, UnitName, UnitProof,
};
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::wire::trust::{Delegation, Expiry};
use otscert_machine::x509::csr;

use super::world::{CRYPTO, HQ_ID, World, roots};

/// A box.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) seed: Secret<32>,
    pub(crate) model: String,
    pub(crate) id: Option<DeviceId>,
    pub(crate) names: Vec<CertName>,
    pub(crate) mode: Option<NameMode>,
    pub(crate) token: String,
    pub(crate) grant: Option<Object>,
    pub(crate) serving: Option<Digest>,
    /// What it shows when it enrols.
    pub(crate) credential: Credential,
    /// The factory secret, proved in each enrolment.
    pub(crate) secret: Option<UnitSecret>,
    pub(crate) boot_count: u64,
    pub(crate) nonces: u64,
    pub(crate) keys: u64,
    /// Every request it ever sent.
    pub(crate) sent: Vec<(Endpoint, Vec<u8>)>,
}

/// What HQ said, its signature and binding checked.
#[derive(Debug)]
pub(crate) enum Said {
    Enrol(EnrolAnswer),
    Order(OrderAnswer),
    Poll(PollAnswer),
    Address(AddressAnswer),
    Retire(RetireAnswer),
    Problem(Problem),
}

impl Client {
    pub(crate) fn new(n: u8) -> Self {
        Self {
            seed: Secret::new(CRYPTO.sha256(&[b"client", &[n]])),
            model: "box".into(),
            id: None,
            names: Vec::new(),
            mode: None,
            token: String::new(),
            grant: None,
            serving: None,
            credential: Credential::default(),
            secret: None,
            boot_count: 1,
            nonces: 0,
            keys: 0,
            sent: Vec::new(),
        }
    }

    pub(crate) fn of_model(n: u8, model: &str) -> Self {
        Self {
            model: model.into(),
            ..Self::new(n)
        }
    }

    /// A box that is enrolled.
    pub(crate) fn enrolled(world: &mut World, n: u8) -> Self {
        let mut client = Self::new(n);
        client.enrol(world);
        client
    }

    /// A box that serves.
    pub(crate) fn serving(world: &mut World, n: u8) -> Self {
        let mut client = Self::enrolled(world, n);
        client.obtain(world);
        client
    }

    pub(crate) fn subject(&self) -> String {
        format!("device/{}", self.id.as_ref().unwrap())
    }

    pub(crate) fn public(&self) -> Ed25519Public {
        Ed25519Public::new(CRYPTO.ed25519_public(&self.seed))
    }

    pub(crate) fn thumbprint(&self) -> String {
        self.public().thumbprint(&CRYPTO).to_string()
    }

    pub(crate) fn contact(&mut self, world: &mut World) -> ContactAnswer {
        self.contact_of(world, None).1
    }

    /// A contact that says which unit it is, and the digest of it.
    pub(crate) fn contact_as_unit(&mut self, world: &mut World) -> (Digest, ContactAnswer) {
        let serial = self
            .credential
            .unit
            .as_ref()
            .map(|unit| unit.serial.clone());
        let epoch = self.secret.as_ref().map(|secret| secret.epoch);
        let (serial, epoch) = serial.zip(epoch).unwrap();
        self.contact_of(world, Some(UnitName { serial, epoch }))
    }

    fn contact_of(&mut self, world: &mut World, unit: Option<UnitName>) -> (Digest, ContactAnswer) {
        let contact = Contact {
            aud: HQ_ID.into(),
            nonce: Digest::new(CRYPTO.sha256(&[&self.next_nonce().to_be_bytes()])),
            model: text(&self.model),
            firmware: text("1.0"),
            boot_count: self.boot_count,
            unit,
        };
        let body = contact.to_bytes();
        let req = Digest::of(&CRYPTO, &body);
        let reply = world.request(Endpoint::Contact, &body);
        let (typ, payload) = open(&reply);
        assert_eq!(typ, Typ::ContactAnswer);
        let answer = ContactAnswer::parse(&payload).unwrap();
        assert_eq!((answer.sub, answer.req), (contact.nonce, req));
        (req, answer)
    }

    pub(crate) fn enrol_bytes(&mut self, hq_nonce: &str) -> Vec<u8> {
        let enrol = Enrol {
            nonce: self.nonce(),
            hq_nonce: hq_nonce.into(),
            model: text(&self.model),
            firmware: text("1.0"),
            boot_count: Some(self.boot_count),
            credential: self.shown_on(hq_nonce),
            entropy: EntropyReport {
                grade: Grade::A,
                sources: vec![text("system")],
            },
            grant: self.grant.clone(),
        };
        self.sign_enrol(&enrol)
    }

    /// What it shows, with a proof by its secret for that nonce.
    pub(crate) fn shown_on(&self, hq_nonce: &str) -> Credential {
        let mut shown = self.credential.clone();
        if let (Some(secret), Some(unit)) = (&self.secret, &mut shown.unit) {
            let mac = secret.proof(&CRYPTO, &self.public().thumbprint(&CRYPTO), hq_nonce);
            let epoch = secret.epoch;
            unit.proof = Some(UnitProof { epoch, mac });
        }
        shown
    }

    fn sign_enrol(&self, enrol: &Enrol) -> Vec<u8> {
        let header = Header {
            typ: Typ::Enrol,
            aud: HQ_ID.into(),
            signer: Signer::Key(self.public()),
            delegation: None,
        };
        jws::sign(&CRYPTO, &self.seed, &header, &enrol.to_object()).to_bytes()
    }

    pub(crate) fn enrol(&mut self, world: &mut World) -> EnrolAnswer {
        let hq_nonce = self.contact(world).hq_nonce;
        let body = self.enrol_bytes(&hq_nonce);
        match self.send(world, Endpoint::Enrol, body) {
            Said::Enrol(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Sends, and checks what comes back.
    pub(crate) fn send(&mut self, world: &mut World, endpoint: Endpoint, body: Vec<u8>) -> Said {
        self.sent.push((endpoint, body.clone()));
        let reply = world.request(endpoint, &body);
        self.read_and_keep(endpoint, &body, &reply)
    }

    /// Checks an answer, and keeps what the next request needs of it.
    pub(crate) fn read_and_keep(
        &mut self,
        endpoint: Endpoint,
        body: &[u8],
        reply: &Sealed,
    ) -> Said {
        let said = self.read(endpoint, body, reply);
        let token = match &said {
            Said::Enrol(answer) => {
                self.id = Some(answer.device.clone());
                self.names.clone_from(&answer.names);
                self.mode = Some(answer.mode);
                self.grant = Some(answer.grant.clone());
                &answer.token
            }
            Said::Order(answer) => &answer.binding.token,
            Said::Poll(answer) => &answer.binding.token,
            Said::Address(answer) => &answer.binding.token,
            Said::Retire(_) | Said::Problem(_) => return said,
        };
        self.token.clone_from(token);
        said
    }

    /// Checks an answer to these bytes: signature, binding, type.
    pub(crate) fn read(&self, endpoint: Endpoint, body: &[u8], reply: &Sealed) -> Said {
        let (typ, payload) = open(reply);
        let req = Digest::of(&CRYPTO, body);
        let said = match typ {
            Typ::EnrolAnswer => Said::Enrol(EnrolAnswer::parse(&payload).unwrap()),
            Typ::OrderAnswer => Said::Order(OrderAnswer::parse(&payload).unwrap()),
            Typ::PollAnswer => Said::Poll(PollAnswer::parse(&payload).unwrap()),
            Typ::AddressAnswer => Said::Address(AddressAnswer::parse(&payload).unwrap()),
            Typ::RetireAnswer => Said::Retire(RetireAnswer::parse(&payload).unwrap()),
            Typ::Problem => Said::Problem(Problem::parse(&payload).unwrap()),
            other => panic!("{other:?}"),
        };
        let (sub, got, expected) = match &said {
            Said::Enrol(answer) => (answer.sub.clone(), answer.req, Endpoint::Enrol),
            Said::Order(it) => (it.binding.sub.to_string(), it.binding.req, Endpoint::Order),
            Said::Poll(it) => (it.binding.sub.to_string(), it.binding.req, Endpoint::Poll),
            Said::Address(it) => (
                it.binding.sub.to_string(),
                it.binding.req,
                Endpoint::Address,
            ),
            Said::Retire(answer) => (answer.sub.to_string(), answer.req, Endpoint::Retire),
            Said::Problem(problem) => (problem.sub.clone(), problem.req, endpoint),
        };
        assert_eq!((got, expected), (req, endpoint));
        let me = match endpoint {
            Endpoint::Enrol => self.thumbprint(),
            _ => self.id.as_ref().unwrap().to_string(),
        };
        assert_eq!(sub, me);
        if let Said::Problem(problem) = &said {
            assert_eq!(reply.problem, problem.kind.unwrap().slug());
            assert_eq!(reply.outcome, problem.kind.unwrap().outcome());
        }
        said
    }

    pub(crate) fn signed(&self, typ: Typ, payload: &Object) -> Vec<u8> {
        let kid = self.id.as_ref().unwrap().to_string();
        let header = Header {
            typ,
            aud: HQ_ID.into(),
            signer: Signer::Kid(kid),
            delegation: None,
        };
        jws::sign(&CRYPTO, &self.seed, &header, payload).to_bytes()
    }

    pub(crate) fn continuity(&mut self) -> Continuity {
        Continuity {
            token: self.token.clone(),
            nonce: self.nonce(),
        }
    }

    /// A new TLS key.
    pub(crate) fn new_key(&mut self) -> Secret<32> {
        self.keys += 1;
        Secret::new(CRYPTO.sha256(&[self.seed.expose(), &self.keys.to_be_bytes()]))
    }

    pub(crate) fn csr(&self, key: &Secret<32>) -> Vec<u8> {
        csr::build(&CRYPTO, key, &self.names, &[7; 32]).unwrap()
    }

    pub(crate) fn order_bytes(&mut self, csr: Vec<u8>) -> Vec<u8> {
        let order = Order {
            continuity: self.continuity(),
            csr,
        };
        self.signed(Typ::Order, &order.to_object())
    }

    pub(crate) fn order_with(&mut self, world: &mut World, csr: Vec<u8>) -> Said {
        let body = self.order_bytes(csr);
        self.send(world, Endpoint::Order, body)
    }

    /// Orders with a new key.
    pub(crate) fn order(&mut self, world: &mut World) -> Said {
        let key = self.new_key();
        let csr = self.csr(&key);
        self.order_with(world, csr)
    }

    pub(crate) fn poll_bytes(&mut self, trouble: Option<&str>) -> Vec<u8> {
        let poll = Poll {
            continuity: self.continuity(),
            firmware: text("1.0"),
            boot_count: Some(self.boot_count),
            serving: self.serving,
            trouble: trouble.map(Into::into),
        };
        self.signed(Typ::Poll, &poll.to_object())
    }

    pub(crate) fn poll(&mut self, world: &mut World) -> PollAnswer {
        let body = self.poll_bytes(None);
        match self.send(world, Endpoint::Poll, body) {
            Said::Poll(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn poll_refused(&mut self, world: &mut World) -> ProblemKind {
        let body = self.poll_bytes(None);
        refused(self.send(world, Endpoint::Poll, body))
    }

    pub(crate) fn address_bytes(&mut self, addresses: &[&str]) -> Vec<u8> {
        let addresses = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        let address = Address {
            continuity: self.continuity(),
            addresses,
        };
        self.signed(Typ::Address, &address.to_object())
    }

    pub(crate) fn report(&mut self, world: &mut World, addresses: &[&str]) -> Said {
        let body = self.address_bytes(addresses);
        self.send(world, Endpoint::Address, body)
    }

    pub(crate) fn retire_bytes(&mut self) -> Vec<u8> {
        let retire = Retire {
            continuity: self.continuity(),
        };
        self.signed(Typ::Retire, &retire.to_object())
    }

    /// Orders, lets HQ work, and polls until it serves a new certificate.
    pub(crate) fn obtain(&mut self, world: &mut World) {
        match self.order(world) {
            Said::Order(_) => {}
            other => panic!("{other:?}"),
        }
        for _ in 0..40 {
            world.pass(otscert_machine::time::Span::from_seconds(1));
            let answer = self.poll(world);
            match answer.status {
                OrderStatus::Issued(issued) => {
                    self.serving = Some(Digest::of(&CRYPTO, &issued.chain[0]));
                    return;
                }
                OrderStatus::Working => {}
                other => panic!("{other:?}: {}", answer.reason),
            }
        }
        panic!("no certificate came");
    }

    pub(crate) fn nonce(&mut self) -> Nonce {
        let n = self.next_nonce();
        let digest = CRYPTO.sha256(&[b"nonce", self.seed.expose(), &n.to_be_bytes()]);
        Nonce::new(digest[..16].try_into().unwrap())
    }

    fn next_nonce(&mut self) -> u64 {
        self.nonces += 1;
        self.nonces
    }
}

pub(crate) fn refused(said: Said) -> ProblemKind {
    match said {
        Said::Problem(problem) => problem.kind.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Opens an answer as a device does.
pub(crate) fn open(reply: &Sealed) -> (Typ, Object) {
    let unverified = Unverified::parse(&reply.body).unwrap();
    let typ = unverified.header().typ;
    let expiry = Expiry::NotBefore(Timestamp::from_millis(0));
    let opened = roots().open(&CRYPTO, unverified, typ, 0, expiry);
    let (verified, _): (_, Delegation) = opened.unwrap();
    (typ, verified.payload)
}

pub(crate) fn text(text: &str) -> ShortText {
    ShortText::parse("text", text).unwrap()
}
