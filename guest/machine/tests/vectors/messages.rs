//! One vector per message, and several where a message has several forms.

use std::collections::BTreeMap;

use otscert_machine::crypto::Secret;
use otscert_machine::entropy::Grade;
use otscert_machine::factory::ClaimCode;
use otscert_machine::time::{Span, Timestamp};
use otscert_machine::types::{CertName, Digest, DnsName, NameMode, ShortText};
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::{self, Header, Signer, Typ, Unverified};
use otscert_machine::wire::message::{
    Address, AddressAnswer, Binding, Command, Contact, ContactAnswer, Continuity, Credential,
    Enrol, EnrolAnswer, EntropyReport, Issued, Order, OrderAnswer, OrderStatus, Poll, PollAnswer,
    Problem, Retire, RetireAnswer, UnitClaim, UnitName, UnitProof, Window,
};
use otscert_machine::wire::problem;
use otscert_machine::wire::trust::Grant;
use otscert_machine::wire::voucher::Voucher;
use otscert_machine::x509::csr;
use serde_json::{Value, json};

use super::CRYPTO;
use super::cast::{
    CLAIM_CODE, Cast, DEVICE, FIRMWARE, HQ_ID, MODEL, NAME, NOW, device, digest, nonce, opaque,
};
use super::certificates;

/// All of them, by name.
pub(crate) fn all(cast: &Cast) -> BTreeMap<String, Value> {
    let mut book = Book {
        cast,
        files: BTreeMap::new(),
    };
    book.bootstrap();
    book.enrolled();
    book.trust();
    book.problems();
    book.files
}

/// An `enrol` as a box of an open model sends it.
pub(crate) fn enrol(credential: Credential) -> Enrol {
    Enrol {
        nonce: nonce("enrol"),
        hq_nonce: opaque("hq nonce"),
        model: short(MODEL),
        firmware: short(FIRMWARE),
        boot_count: Some(1),
        credential,
        entropy: EntropyReport {
            grade: Grade::A,
            sources: vec![short("system")],
        },
        grant: None,
    }
}

/// Token and nonce of a request.
pub(crate) fn continuity(of: &str) -> Continuity {
    Continuity {
        token: opaque("token"),
        nonce: nonce(of),
    }
}

/// The header of what an enrolled device sends.
pub(crate) fn device_header(typ: Typ) -> Header {
    Header {
        typ,
        aud: HQ_ID.into(),
        signer: Signer::Kid(DEVICE.into()),
        delegation: None,
    }
}

struct Book<'a> {
    cast: &'a Cast,
    files: BTreeMap<String, Value>,
}

impl Book<'_> {
    fn bootstrap(&mut self) {
        let mut contact = Contact {
            aud: HQ_ID.into(),
            nonce: digest("contact"),
            model: short(MODEL),
            firmware: short(FIRMWARE),
            boot_count: 1,
            unit: None,
        };
        let what = "A box that has never run asks for time, seed and nonce. Unsigned.";
        let req = self.contact("contact", what, &contact);
        let mut answer = ContactAnswer {
            sub: contact.nonce,
            req,
            time: time(),
            hq_nonce: opaque("hq nonce"),
            seed: self.cast.hq_seed(),
            sealed_seed: None,
        };
        self.by_hq(
            "contact-answer",
            "HQ's time, nonce and seed.",
            Typ::ContactAnswer,
            &answer.to_object(),
            Some("contact"),
        );
        contact.unit = Some(UnitName {
            serial: short("SN-0001"),
            epoch: 1,
        });
        let what = "The same of a box that has a factory secret.";
        let req = self.contact("contact-unit", what, &contact);
        let seal = *digest("seal").bytes();
        let secret = self.cast.unit_secret();
        answer.req = req;
        answer.sealed_seed = Some(secret.seal_seed(&CRYPTO, &req, seal, &self.cast.sealed_seed()));
        self.by_hq(
            "contact-answer-sealed",
            "With a second seed, sealed under the unit's secret.",
            Typ::ContactAnswer,
            &answer.to_object(),
            Some("contact-unit"),
        );

        let open = self.enrol(
            "enrol",
            "Nothing proves the unit.",
            &enrol(Credential::default()),
        );
        let code = Credential {
            claim_code: Some(ClaimCode::parse(CLAIM_CODE).unwrap()),
            unit: None,
        };
        self.enrol("enrol-claim-code", "The code on the label.", &enrol(code));
        let thumbprint = self.cast.identity().1.thumbprint(&CRYPTO);
        let hq_nonce = opaque("hq nonce");
        let secret = self.cast.unit_secret();
        let unit = UnitClaim {
            serial: short("SN-0001"),
            proof: Some(UnitProof {
                epoch: secret.epoch,
                mac: secret.proof(&CRYPTO, &thumbprint, &hq_nonce),
            }),
        };
        let secret = Credential {
            claim_code: None,
            unit: Some(unit),
        };
        self.enrol(
            "enrol-unit-secret",
            "An HMAC by the factory secret.",
            &enrol(secret),
        );
        let mut again = enrol(Credential::default());
        again.nonce = nonce("enrol again");
        again.grant = Some(self.cast.grant().sign(&CRYPTO, &self.cast.hq()));
        self.enrol(
            "enrol-grant",
            "HQ has forgotten the device, which shows its grant.",
            &again,
        );

        let answer = EnrolAnswer {
            sub: thumbprint.to_string(),
            req: open,
            time: time(),
            device: device(),
            token: opaque("token"),
            grant: self.cast.grant().sign(&CRYPTO, &self.cast.hq()),
            names: self.cast.grant().cert_names(),
            mode: NameMode::Address,
        };
        self.by_hq(
            "enrol-answer",
            "A name in address mode, its grant, and the first continuity token.",
            Typ::EnrolAnswer,
            &answer.to_object(),
            Some("enrol"),
        );
        let mut words = self.cast.grant();
        words.mode = NameMode::Word;
        words.name = DnsName::parse("nifty-babbage.boxes.example.net").unwrap();
        let answer = EnrolAnswer {
            grant: words.sign(&CRYPTO, &self.cast.hq()),
            names: words.cert_names(),
            mode: NameMode::Word,
            ..answer
        };
        self.by_hq(
            "enrol-answer-word",
            "The same in word mode.",
            Typ::EnrolAnswer,
            &answer.to_object(),
            Some("enrol"),
        );
    }

    fn enrolled(&mut self) {
        let names = [CertName {
            wildcard: true,
            base: DnsName::parse(NAME).unwrap(),
        }];
        let csr = csr::build(&CRYPTO, &self.cast.tls_key(), &names, &[0x5a; 32]).unwrap();
        let order = Order {
            continuity: continuity("order"),
            csr,
        }
        .to_object();
        let order = self.by_device("order", "A CSR for the granted name.", Typ::Order, &order);
        let answer = OrderAnswer {
            binding: binding(order, 2_000),
            reason: "The CA is being asked for an order.".into(),
        };
        let answer = answer.to_object();
        self.by_hq(
            "order-answer",
            "Taken.",
            Typ::OrderAnswer,
            &answer,
            Some("order"),
        );

        let poll = Poll {
            continuity: continuity("poll"),
            firmware: short(FIRMWARE),
            boot_count: Some(1),
            serving: None,
            trouble: None,
        };
        let first = self.by_device(
            "poll",
            "Before the certificate.",
            Typ::Poll,
            &poll.to_object(),
        );
        let chain = certificates::chain(self.cast);
        let poll = Poll {
            continuity: continuity("poll serving"),
            serving: Some(Digest::of(&CRYPTO, &chain[0])),
            trouble: Some("the server refused the last chain".into()),
            ..poll
        };
        let what = "While serving, with a complaint.";
        let later = self.by_device("poll-serving", what, Typ::Poll, &poll.to_object());

        let window = Window {
            start: Timestamp::from_millis(NOW + 30 * DAY),
            end: Timestamp::from_millis(NOW + 32 * DAY),
        };
        let answer = |req, status, window, reason: &str, commands| PollAnswer {
            binding: binding(req, 5_000),
            status,
            window,
            reason: reason.into(),
            commands,
            grant: None,
        };
        let newer = Grant {
            issued: Timestamp::from_millis(NOW + DAY),
            ..self.cast.grant()
        };
        let grant = Some(newer.sign(&CRYPTO, &self.cast.hq()));
        let issued = OrderStatus::Issued(Issued { chain, window });
        for (name, what, req, answers, answer) in [
            (
                "idle",
                "No order.",
                first,
                "poll",
                answer(first, OrderStatus::Idle, None, "", vec![]),
            ),
            (
                "working",
                "Under way.",
                first,
                "poll",
                answer(
                    first,
                    OrderStatus::Working,
                    None,
                    "The CA is validating.",
                    vec![],
                ),
            ),
            (
                "issued",
                "The chain.",
                first,
                "poll",
                answer(first, issued, Some(window), "", vec![]),
            ),
            (
                "failed",
                "Given up.",
                first,
                "poll",
                answer(
                    first,
                    OrderStatus::Failed,
                    None,
                    "The CA refused the name.",
                    vec![],
                ),
            ),
            (
                "renew",
                "No order; the window as last read, and a command.",
                later,
                "poll-serving",
                answer(
                    later,
                    OrderStatus::Idle,
                    Some(window),
                    "",
                    vec![Command::Renew],
                ),
            ),
            (
                "grant",
                "No order; a grant to store in place of the one from enrolment.",
                first,
                "poll",
                PollAnswer {
                    grant,
                    ..answer(first, OrderStatus::Idle, None, "", vec![])
                },
            ),
        ] {
            assert_eq!(answer.binding.req, req);
            let (name, payload) = (format!("poll-answer-{name}"), answer.to_object());
            self.by_hq(&name, what, Typ::PollAnswer, &payload, Some(answers));
        }
        let end = otscert_machine::x509::Chain::read(certificates::chain(self.cast)).unwrap();
        if let Some(file) = self.files.get_mut("poll-answer-issued") {
            file["leafNotAfter"] = json!(end.leaf().not_after.to_string());
        }

        let addresses = ["192.168.1.7", "fd12::7"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let address = Address {
            continuity: continuity("address"),
            addresses,
        }
        .to_object();
        let req = self.by_device("address", "All LAN addresses.", Typ::Address, &address);
        let answer = AddressAnswer {
            binding: binding(req, 5_000),
        }
        .to_object();
        self.by_hq(
            "address-answer",
            "Taken.",
            Typ::AddressAnswer,
            &answer,
            Some("address"),
        );

        let retire = Retire {
            continuity: continuity("retire"),
        }
        .to_object();
        let req = self.by_device("retire", "The name is given up.", Typ::Retire, &retire);
        let answer = RetireAnswer {
            sub: device(),
            req,
            time: time(),
        }
        .to_object();
        self.by_hq(
            "retire-answer",
            "Done, for good.",
            Typ::RetireAnswer,
            &answer,
            Some("retire"),
        );
    }

    fn trust(&mut self) {
        let what = "The active root lets a key sign for HQ.";
        self.file(
            "delegation",
            what,
            "root",
            &self.cast.signed_delegation(),
            None,
        );
        let next = self
            .cast
            .next_delegation()
            .sign(&CRYPTO, HQ_ID, &self.cast.spare_root().0);
        let what = "The spare root delegates to the next key, in a higher epoch.";
        self.file("delegation-next", what, "spare-root", &next, None);
        let grant = self.cast.grant().sign(&CRYPTO, &self.cast.hq());
        self.file("grant", "HQ gives a name to a key.", "hq", &grant, None);
        let voucher = Voucher {
            model: short(MODEL),
            serials: vec![short("SN-0001"), short("SN-0002")],
        };
        let voucher = voucher.sign(&CRYPTO, HQ_ID, &self.cast.factory().0);
        let what = "The maker lists units that may have a name; imported at HQ, not sent by boxes.";
        self.file("voucher", what, "factory", &voucher, None);
    }

    fn problems(&mut self) {
        let poll = self.files["poll"]["sha256"].as_str().unwrap().to_owned();
        let mut cases = Vec::new();
        for kind in problem::ALL {
            let retry = matches!(
                kind,
                problem::ProblemKind::RateLimited | problem::ProblemKind::Unavailable
            );
            let problem = Problem {
                sub: DEVICE.into(),
                req: Digest::parse(&poll).unwrap(),
                time: time(),
                kind: Some(kind),
                detail: "Said for people.".into(),
                retry_after: retry.then_some(Span::from_seconds(30)),
            };
            let signed = self
                .cast
                .hq()
                .sign(&CRYPTO, Typ::Problem, &problem.to_object());
            let mut case = describe(kind.title(), "hq", &signed, Some("poll"));
            case["slug"] = json!(kind.slug());
            case["outcome"] = json!(format!("{:?}", kind.outcome()).to_lowercase());
            cases.push(case);
        }
        let what = "Every refusal, each as an answer to the vector `poll`.";
        self.files
            .insert("problems".into(), json!({ "what": what, "cases": cases }));
    }

    fn contact(&mut self, name: &str, what: &str, contact: &Contact) -> Digest {
        let bytes = contact.to_bytes();
        let req = Digest::of(&CRYPTO, &bytes);
        let file = json!({
            "what": what,
            "from": "device",
            "endpoint": "contact",
            "signer": null,
            "header": null,
            "payload": serde_json::from_slice::<Value>(&bytes).unwrap(),
            "message": String::from_utf8(bytes).unwrap(),
            "sha256": req.to_string(),
        });
        self.files.insert(name.into(), file);
        req
    }

    fn enrol(&mut self, name: &str, what: &str, enrol: &Enrol) -> Digest {
        let (seed, public) = self.cast.identity();
        let header = Header {
            typ: Typ::Enrol,
            aud: HQ_ID.into(),
            signer: Signer::Key(public),
            delegation: None,
        };
        self.signed(name, what, &seed, &header, &enrol.to_object())
    }

    fn by_device(&mut self, name: &str, what: &str, typ: Typ, payload: &Object) -> Digest {
        let seed = self.cast.identity().0;
        self.signed(name, what, &seed, &device_header(typ), payload)
    }

    fn signed(
        &mut self,
        name: &str,
        what: &str,
        seed: &Secret<32>,
        header: &Header,
        payload: &Object,
    ) -> Digest {
        let message = jws::sign(&CRYPTO, seed, header, payload);
        self.file(name, what, "identity", &message, None);
        Digest::of(&CRYPTO, &message.to_bytes())
    }

    fn by_hq(&mut self, name: &str, what: &str, typ: Typ, payload: &Object, answers: Option<&str>) {
        let message = self.cast.hq().sign(&CRYPTO, typ, payload);
        self.file(name, what, "hq", &message, answers);
    }

    fn file(
        &mut self,
        name: &str,
        what: &str,
        signer: &str,
        message: &Object,
        answers: Option<&str>,
    ) {
        self.files
            .insert(name.into(), describe(what, signer, message, answers));
    }
}

fn describe(what: &str, signer: &str, message: &Object, answers: Option<&str>) -> Value {
    let bytes = message.to_bytes();
    let unverified = Unverified::parse(&bytes).unwrap();
    let from = if signer == "identity" { "device" } else { "hq" };
    let mut file = json!({
        "what": what,
        "from": from,
        "signer": signer,
        "header": header_of(message),
        "payload": serde_json::from_slice::<Value>(unverified.payload_unchecked()).unwrap(),
        "message": String::from_utf8(bytes.clone()).unwrap(),
        "sha256": Digest::of(&CRYPTO, &bytes).to_string(),
    });
    if let Some(answers) = answers {
        file["answers"] = json!(answers);
    }
    let text = unverified.header().typ.as_str();
    if let Some(endpoint) = text
        .strip_prefix("otscert-")
        .and_then(|t| t.strip_suffix("+jws"))
        && from == "device"
    {
        file["endpoint"] = json!(endpoint);
    }
    file
}

fn header_of(message: &Object) -> Value {
    let bytes = message.bytes("protected").unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn binding(req: Digest, retry_after: u64) -> Binding {
    Binding {
        sub: device(),
        req,
        time: time(),
        token: opaque("next token"),
        retry_after: Span::from_millis(retry_after),
    }
}

fn time() -> Timestamp {
    Timestamp::from_millis(NOW)
}

pub(crate) fn short(text: &str) -> ShortText {
    ShortText::parse("text", text).unwrap()
}

const DAY: u64 = 86_400_000;
