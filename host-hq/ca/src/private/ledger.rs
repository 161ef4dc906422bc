//! The order flow over the stored orders. Synchronous; `now` is an argument.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use instant_acme::CertificateIdentifier;
use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use x509_parser::parse_x509_certificate;

use super::PrivateCaError;
use super::hierarchy::Hierarchy;
use super::issue::{Leaf, check_csr, sign};
use super::orders::{
    OrderFolder, OrderId, StoredAuthorization, StoredOrder, StoredRevocation, StoredState, VERSION,
};
use crate::clock::unix_ms;
use crate::config::{PrivateConfig, is_host_name};
use crate::encoding::base64url;
use crate::operation::{
    Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblem, CaProblemKind,
    ChallengeRef, Finalize, NewOrder, OrderRef, OrderReport, OrderState, RenewalWindow, Revoke,
};

/// The orders of one CA and what they are signed with.
pub(super) struct Ledger {
    name: String,
    config: PrivateConfig,
    hierarchy: Hierarchy,
    folder: OrderFolder,
    /// An order is read, decided on and written as one.
    writing: Mutex<()>,
}

/// What a challenge waits for.
pub(super) enum Expected {
    /// This TXT value at this owner.
    Txt { owner: String, value: String },
    /// Nothing: it is valid already.
    Settled,
}

/// Why an operation stopped.
pub(super) enum Halt {
    /// The CA refuses; this is an answer.
    Problem(CaProblem),
    /// The files failed.
    Files(PrivateCaError),
}

impl From<PrivateCaError> for Halt {
    fn from(error: PrivateCaError) -> Self {
        Self::Files(error)
    }
}

impl Ledger {
    pub(super) fn open(
        name: &str,
        config: PrivateConfig,
        hierarchy: Hierarchy,
        folder: &Path,
    ) -> Result<Self, PrivateCaError> {
        let folder = OrderFolder::open(folder)?;
        Ok(Self {
            name: name.to_owned(),
            config,
            hierarchy,
            folder,
            writing: Mutex::new(()),
        })
    }

    pub(super) fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    pub(super) fn perform(
        &self,
        operation: &CaOperation,
        now: OffsetDateTime,
    ) -> Result<CaAnswer, Halt> {
        let _writing = self.writing();
        match operation {
            CaOperation::NewOrder(new) => self.new_order(new, now),
            CaOperation::Authorizations(order) => self.authorizations(order),
            CaOperation::OrderStatus(order) => self.order_status(order, now),
            CaOperation::Finalize(finalize) => self.finalize(finalize, now),
            CaOperation::FetchChain(order) => self.fetch_chain(order),
            CaOperation::RenewalInfo(query) => self.renewal_info(&query.certificate),
            CaOperation::Revoke(revoke) => self.revoke(revoke, now),
            // Needs the DNS: `expected_txt`, then `settle`.
            CaOperation::ChallengeReady(_) => Err(refuse(
                CaProblemKind::Other,
                "a challenge is not settled here",
            )),
        }
    }

    /// What a challenge's TXT record must hold.
    pub(super) fn expected_txt(
        &self,
        challenge: &ChallengeRef,
        now: OffsetDateTime,
    ) -> Result<Expected, Halt> {
        let (_, order, index) = self.challenge(challenge)?;
        let authorization = &order.authorizations[index];
        Ok(match &authorization.state {
            StoredState::Valid => Expected::Settled,
            StoredState::Failed(reason) => return Err(Halt::Problem(failed(reason))),
            StoredState::Pending if order.state(now) == OrderState::Invalid => {
                return Err(refuse(
                    CaProblemKind::NotFound,
                    "the order has lapsed or failed",
                ));
            }
            StoredState::Pending => Expected::Txt {
                owner: format!("_acme-challenge.{}", authorization.name),
                value: authorization.txt_value.clone(),
            },
        })
    }

    /// Notes what was seen in the DNS.
    pub(super) fn settle(
        &self,
        challenge: &ChallengeRef,
        problem: Option<String>,
        now: OffsetDateTime,
    ) -> Result<(), Halt> {
        let _writing = self.writing();
        let (id, mut order, index) = self.challenge(challenge)?;
        let pending = order.authorizations[index].state == StoredState::Pending;
        // Another call may have settled it meanwhile; the first one counts.
        if pending && order.state(now) == OrderState::Pending {
            order.authorizations[index].state = match problem {
                None => StoredState::Valid,
                Some(problem) => StoredState::Failed(problem),
            };
            self.folder.save(id, &order)?;
        }
        Ok(())
    }

    pub(super) fn crl(&self, now: OffsetDateTime) -> Result<Vec<u8>, PrivateCaError> {
        let revoked = self.folder.revocations()?;
        let revoked = revoked
            .into_iter()
            .filter(|(_, r)| r.not_after > now.unix_timestamp());
        let params = CertificateRevocationListParams {
            this_update: now,
            next_update: now + CRL_LIFE,
            // Rises with time, and no two lists of one second differ in what they are based on.
            crl_number: SerialNumber::from(now.unix_timestamp().unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .map(|(id, revocation)| RevokedCertParams {
                    serial_number: SerialNumber::from(id.serial()),
                    revocation_time: moment(revocation.at),
                    reason_code: reason(revocation.reason),
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params
            .signed_by(self.hierarchy.issuer())
            .map_err(|source| PrivateCaError::Sign {
                attempt: "sign the CRL",
                source,
            })?;
        Ok(list.der().to_vec())
    }

    pub(super) fn sweep(&self, now: OffsetDateTime) -> Result<usize, PrivateCaError> {
        let _writing = self.writing();
        self.folder.sweep(now)
    }

    fn new_order(&self, new: &NewOrder, now: OffsetDateTime) -> Result<CaAnswer, Halt> {
        if let Some(profile) = &new.profile {
            let detail = format!("the private CA has no profiles, so none called {profile:?}");
            return Err(refuse(CaProblemKind::InvalidProfile, &detail));
        }
        if let Err(detail) = self.check_names(&new.names) {
            return Err(refuse(CaProblemKind::RejectedIdentifier, &detail));
        }
        let replaced = match &new.replaces {
            None => None,
            Some(identifier) => Some(self.replaced(identifier, &new.names, now)?),
        };
        let id = OrderId::random()?;
        let mut authorizations = Vec::new();
        for name in &new.names {
            let mut value = [0; 32];
            aws_lc_rs::rand::fill(&mut value).map_err(|_| PrivateCaError::NoRandomness)?;
            authorizations.push(StoredAuthorization {
                name: name.strip_prefix("*.").unwrap_or(name).to_owned(),
                txt_value: base64url(&value),
                state: StoredState::Pending,
            });
        }
        let order = StoredOrder {
            version: VERSION,
            names: new.names.clone(),
            expires: (now + ORDER_LIFE).unix_timestamp(),
            authorizations,
            chain: Vec::new(),
            not_after: None,
            replaced_by: None,
        };
        self.folder.save(id, &order)?;
        if let Some((replaced, mut old)) = replaced {
            old.replaced_by = Some(id.text());
            self.folder.save(replaced, &old)?;
        }
        Ok(CaAnswer::Order(self.report(id, &order, now)))
    }

    fn check_names(&self, names: &[String]) -> Result<(), String> {
        if !(1..=NAMES_MAX).contains(&names.len()) {
            return Err(format!("an order has 1 to {NAMES_MAX} names"));
        }
        if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
            return Err("an order names each name once".to_owned());
        }
        for name in names {
            let base = name.strip_prefix("*.").unwrap_or(name);
            if !is_host_name(base) {
                return Err(format!("{name:?} is no lower-case DNS name"));
            }
            let zones = &self.config.zones;
            if !zones.is_empty() && !zones.iter().any(|zone| zone.covers(base)) {
                return Err(format!("{name:?} lies in none of this CA's `zones`"));
            }
        }
        Ok(())
    }

    /// RFC 9773 section 5: issued here, shares a name, not replaced by an order that may succeed.
    fn replaced(
        &self,
        identifier: &str,
        names: &[String],
        now: OffsetDateTime,
    ) -> Result<(OrderId, StoredOrder), Halt> {
        let refuse = |detail: &str| Err(refuse(CaProblemKind::AlreadyReplaced, detail));
        let serial = identifier.split_once('.').map(|(_, serial)| serial);
        let serial = serial.and_then(crate::encoding::from_base64url);
        let Some(id) = serial.and_then(|serial| OrderId::from_serial(&serial)) else {
            return refuse("`replaces` names no certificate of this CA");
        };
        let Some(order) = self.folder.order(id)? else {
            return refuse("`replaces` names no certificate that this CA knows");
        };
        let leaf = order
            .chain
            .first()
            .map(|leaf| CertificateDer::from(leaf.as_slice()));
        let known =
            leaf.and_then(|leaf| Some(CertificateIdentifier::try_from(&leaf).ok()?.to_string()));
        if known.as_deref() != Some(identifier) {
            return refuse("`replaces` names no certificate of this CA");
        }
        if !order.names.iter().any(|name| names.contains(name)) {
            return refuse("the replaced certificate shares no name with the order");
        }
        if let Some(by) = order.replaced_by.as_deref().and_then(OrderId::from_text)
            && let Some(by) = self.folder.order(by)?
            && by.state(now) != OrderState::Invalid
        {
            return refuse("the certificate is already replaced by another order");
        }
        Ok((id, order))
    }

    fn authorizations(&self, order: &OrderRef) -> Result<CaAnswer, Halt> {
        let (_, stored) = self.order(order)?;
        let found = stored
            .authorizations
            .iter()
            .enumerate()
            .map(|(index, authorization)| {
                let (state, problem) = match &authorization.state {
                    StoredState::Pending => (AuthorizationState::Pending, None),
                    StoredState::Valid => (AuthorizationState::Valid, None),
                    StoredState::Failed(reason) => {
                        (AuthorizationState::Unusable, Some(failed(reason)))
                    }
                };
                Authorization {
                    name: authorization.name.clone(),
                    state,
                    challenge: Some(format!("{}{CHALLENGE}{index}", order.order)),
                    txt_value: authorization.txt_value.clone(),
                    problem,
                }
            });
        Ok(CaAnswer::Authorizations(found.collect()))
    }

    fn order_status(&self, order: &OrderRef, now: OffsetDateTime) -> Result<CaAnswer, Halt> {
        let (id, order) = self.order(order)?;
        Ok(CaAnswer::Order(self.report(id, &order, now)))
    }

    fn finalize(&self, finalize: &Finalize, now: OffsetDateTime) -> Result<CaAnswer, Halt> {
        let (id, mut order) = self.order(&finalize.order)?;
        match order.state(now) {
            OrderState::Ready => {}
            OrderState::Pending => {
                let detail = "the order waits for its authorizations";
                return Err(refuse(CaProblemKind::OrderNotReady, detail));
            }
            // Finalised before: the same certificate.
            OrderState::Processing | OrderState::Valid | OrderState::Invalid => {
                return Ok(CaAnswer::Order(self.report(id, &order, now)));
            }
        }
        let csr = match check_csr(&finalize.csr, &order.names) {
            Ok(csr) => csr,
            Err(detail) => return Err(refuse(CaProblemKind::BadCsr, &detail)),
        };
        let life = self.config.life.duration().try_into().unwrap_or(ORDER_LIFE);
        let leaf = Leaf {
            id,
            names: order.names.clone(),
            life,
        };
        let (certificate, not_after) = sign(&self.hierarchy, &leaf, &csr.public_key, now)?;
        order.chain = vec![certificate, self.hierarchy.issuing_der().to_vec()];
        order.not_after = Some(not_after.unix_timestamp());
        // The moment of issue: before it nobody has seen the certificate.
        self.folder.save(id, &order)?;
        Ok(CaAnswer::Order(self.report(id, &order, now)))
    }

    fn fetch_chain(&self, order: &OrderRef) -> Result<CaAnswer, Halt> {
        let (_, order) = self.order(order)?;
        if order.chain.is_empty() {
            return Err(refuse(
                CaProblemKind::OrderNotReady,
                "the order has no certificate yet",
            ));
        }
        Ok(CaAnswer::Chain(order.chain))
    }

    /// From a third to a quarter of the life before its end; in the past once revoked.
    fn renewal_info(&self, certificate: &[u8]) -> Result<CaAnswer, Halt> {
        let (id, _) = self.issued(certificate)?;
        let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
            return Err(refuse(CaProblemKind::NotFound, "this is no certificate"));
        };
        let validity = parsed.validity();
        let (from, to) = (
            validity.not_before.to_datetime(),
            validity.not_after.to_datetime(),
        );
        let life = to - from;
        let (start, end) = match self.folder.revocation(id)? {
            Some(revocation) => {
                let at = moment(revocation.at);
                (at - Duration::hours(1), at)
            }
            None => (to - life / 3_i32, to - life / 4_i32),
        };
        let retry_after = (life / 20_i32).clamp(ARI_MIN, ARI_MAX);
        Ok(CaAnswer::RenewalWindow(Some(RenewalWindow {
            start_ms: unix_ms(start),
            end_ms: unix_ms(end),
            retry_after_ms: u64::try_from(retry_after.whole_milliseconds()).unwrap_or(u64::MAX),
        })))
    }

    fn revoke(&self, revoke: &Revoke, now: OffsetDateTime) -> Result<CaAnswer, Halt> {
        let (id, order) = self.issued(&revoke.certificate)?;
        if !matches!(revoke.reason, 0 | 1 | 3 | 4 | 5) {
            let detail = format!("{} is no reason a subscriber may give", revoke.reason);
            return Err(refuse(CaProblemKind::Other, &detail));
        }
        if self.folder.revocation(id)?.is_some() {
            return Err(refuse(
                CaProblemKind::AlreadyRevoked,
                "the certificate is revoked already",
            ));
        }
        let revocation = StoredRevocation {
            version: VERSION,
            at: now.unix_timestamp(),
            reason: revoke.reason,
            not_after: order.not_after.unwrap_or(order.expires),
        };
        self.folder.revoke(id, &revocation)?;
        Ok(CaAnswer::Revoked)
    }

    fn issued(&self, certificate: &[u8]) -> Result<(OrderId, StoredOrder), Halt> {
        let parsed = parse_x509_certificate(certificate);
        let id = parsed
            .ok()
            .and_then(|(_, parsed)| OrderId::from_serial(parsed.raw_serial()));
        if let Some(id) = id
            && let Some(order) = self.folder.order(id)?
            && order
                .chain
                .first()
                .is_some_and(|leaf| leaf.as_slice() == certificate)
        {
            return Ok((id, order));
        }
        Err(refuse(
            CaProblemKind::NotFound,
            "the certificate is not one that this CA knows",
        ))
    }

    fn order(&self, order: &OrderRef) -> Result<(OrderId, StoredOrder), Halt> {
        let id = order
            .order
            .strip_prefix(&self.order_prefix())
            .and_then(OrderId::from_text);
        if let Some(id) = id
            && let Some(order) = self.folder.order(id)?
        {
            return Ok((id, order));
        }
        Err(refuse(
            CaProblemKind::NotFound,
            "the order is not one that this CA knows",
        ))
    }

    fn challenge(&self, challenge: &ChallengeRef) -> Result<(OrderId, StoredOrder, usize), Halt> {
        let (id, order) = self.order(&challenge.order)?;
        let prefix = format!("{}{CHALLENGE}", challenge.order.order);
        let index = challenge.challenge.strip_prefix(&prefix);
        match index.and_then(|index| index.parse::<usize>().ok()) {
            Some(index) if index < order.authorizations.len() => Ok((id, order, index)),
            Some(_) | None => Err(refuse(
                CaProblemKind::NotFound,
                "the order has no such challenge",
            )),
        }
    }

    fn report(&self, id: OrderId, order: &StoredOrder, now: OffsetDateTime) -> OrderReport {
        let state = order.state(now);
        let reason = order.authorizations.iter().find_map(|a| match &a.state {
            StoredState::Failed(reason) => Some(failed(reason)),
            StoredState::Pending | StoredState::Valid => None,
        });
        let problem = match (state, reason) {
            (OrderState::Invalid, None) => Some(CaProblem {
                kind: CaProblemKind::NotFound,
                detail: "the order has lapsed".to_owned(),
                retry_after_ms: None,
            }),
            (OrderState::Invalid, reason) => reason,
            (
                OrderState::Pending
                | OrderState::Ready
                | OrderState::Processing
                | OrderState::Valid,
                _,
            ) => None,
        };
        OrderReport {
            order: OrderRef {
                ca: self.name.clone(),
                order: format!("{}{}", self.order_prefix(), id.text()),
            },
            state,
            expires_ms: Some(unix_ms(moment(order.expires))),
            retry_after_ms: None,
            problem,
        }
    }

    fn order_prefix(&self) -> String {
        format!("private:{}/order/", self.name)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        // It guards files, which are whole whatever happened to another thread.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(kind: CaProblemKind, detail: &str) -> Halt {
    Halt::Problem(CaProblem {
        kind,
        detail: detail.to_owned(),
        retry_after_ms: None,
    })
}

fn failed(reason: &str) -> CaProblem {
    CaProblem {
        kind: CaProblemKind::Validation,
        detail: reason.to_owned(),
        retry_after_ms: None,
    }
}

fn moment(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn reason(code: u8) -> Option<RevocationReason> {
    match code {
        1 => Some(RevocationReason::KeyCompromise),
        3 => Some(RevocationReason::AffiliationChanged),
        4 => Some(RevocationReason::Superseded),
        5 => Some(RevocationReason::CessationOfOperation),
        // RFC 5280 section 5.3.1: `unspecified` is said by leaving the reason out.
        _ => None,
    }
}

const CHALLENGE: &str = "/challenge/";
/// What the largest profile of Let's Encrypt allows.
const NAMES_MAX: usize = 100;
const ORDER_LIFE: Duration = Duration::days(7);
const CRL_LIFE: Duration = Duration::days(7);
const ARI_MIN: Duration = Duration::seconds(1);
const ARI_MAX: Duration = Duration::hours(6);
