//! The operations, one action each.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use instant_acme::{
    AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Error, Identifier,
    NewOrder as AcmeNewOrder, Order, OrderStatus, Problem, RevocationReason, RevocationRequest,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::http::HttpFault;
use super::problem::{self, Context, millis};
use super::{AcmeCa, Session, transport};
use crate::authority::CaError;
use crate::clock::unix_ms;
use crate::operation::{
    Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblem, CaProblemKind,
    ChallengeRef, Finalize, NewOrder, OrderRef, OrderReport, OrderState, RenewalQuery,
    RenewalWindow, Revoke,
};
use crate::stop::Stop;

impl AcmeCa {
    pub(super) async fn dispatch(
        &self,
        session: &Session,
        operation: &CaOperation,
    ) -> Result<CaAnswer, Stop> {
        match operation {
            CaOperation::NewOrder(new) => self.new_order(session, new).await,
            CaOperation::Authorizations(order) => self.authorizations(session, order).await,
            CaOperation::ChallengeReady(challenge) => {
                self.challenge_ready(session, challenge).await
            }
            CaOperation::OrderStatus(order) => self.order_status(session, order).await,
            CaOperation::Finalize(finalize) => self.finalize(session, finalize).await,
            CaOperation::FetchChain(order) => self.fetch_chain(session, order).await,
            CaOperation::RenewalInfo(query) => self.renewal_info(session, query).await,
            CaOperation::Revoke(revoke) => self.revoke(session, revoke).await,
        }
    }

    /// RFC 8555 section 7.4, RFC 9773 section 5.
    async fn new_order(&self, session: &Session, new: &NewOrder) -> Result<CaAnswer, Stop> {
        let directory = &session.directory;
        let configured = self.config.profile.as_ref().map(|profile| profile.as_str());
        let profile = new.profile.as_deref().or(configured);
        if let Some(profile) = profile
            && let Err(detail) = directory.offers(profile)
        {
            return Err(refusal(CaProblemKind::InvalidProfile, detail));
        }
        let names: Vec<_> = new.names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = AcmeNewOrder::new(&names);
        if let Some(profile) = profile {
            order = order.profile(profile);
        }
        let mut context = Context::Other;
        // Where the CA has no ARI there is nothing to be exempt from, so the order goes without.
        if let Some(replaces) = &new.replaces
            && directory.renewal_info.is_some()
        {
            let Some((issuer, serial)) = replaces.split_once('.') else {
                let detail = format!("no certificate identifier: {replaces:?}");
                return Err(refusal(CaProblemKind::AlreadyReplaced, detail));
            };
            order = order.replaces(CertificateIdentifier {
                authority_key_identifier: issuer.into(),
                serial: serial.into(),
            });
            context = Context::Replacing;
        }
        let order = session.account.new_order(&order).await.map_err(|error| {
            // The order exists, but not as a replacement (RFC 9773 section 5): it stays pending,
            // and a new one goes without.
            if is_mismatch(&error) {
                let detail = problem::printable(&error.to_string());
                return refusal(CaProblemKind::AlreadyReplaced, detail);
            }
            self.stop(error, context)
        })?;
        Ok(CaAnswer::Order(self.report(order)))
    }

    /// RFC 8555 section 7.5.
    async fn authorizations(&self, session: &Session, order: &OrderRef) -> Result<CaAnswer, Stop> {
        let mut order = self.order(session, order).await?;
        let found = self.read_authorizations(&mut order).await?;
        Ok(CaAnswer::Authorizations(found))
    }

    /// RFC 8555 section 7.5.1.
    async fn challenge_ready(
        &self,
        session: &Session,
        challenge: &ChallengeRef,
    ) -> Result<CaAnswer, Stop> {
        let mut order = self.order(session, &challenge.order).await?;
        let mut authorizations = order.authorizations();
        let mut left = AUTHORIZATIONS_MAX;
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| self.stop(error, Context::Other))?;
            left = left
                .checked_sub(1)
                .ok_or_else(|| self.too_many_authorizations())?;
            let Some(mut handle) = authorization.challenge(ChallengeType::Dns01) else {
                continue;
            };
            if handle.url != challenge.challenge {
                continue;
            }
            return match handle.status {
                ChallengeStatus::Pending => {
                    handle
                        .set_ready()
                        .await
                        .map_err(|error| self.stop(error, Context::Validation))?;
                    Ok(CaAnswer::Accepted)
                }
                // Told before a crash: the CA refuses to be told twice.
                ChallengeStatus::Processing | ChallengeStatus::Valid => Ok(CaAnswer::Accepted),
                ChallengeStatus::Invalid => Err(Stop::Problem(failure(handle.error.as_ref()))),
            };
        }
        let detail = format!("the order has no challenge {}", challenge.challenge);
        Err(refusal(
            CaProblemKind::NotFound,
            problem::printable(&detail),
        ))
    }

    /// RFC 8555 section 7.4: POST-as-GET of the order.
    async fn order_status(&self, session: &Session, order: &OrderRef) -> Result<CaAnswer, Stop> {
        let mut order = self.order(session, order).await?;
        let state = order.state();
        let unexplained = state.status == OrderStatus::Invalid && state.error.is_none();
        // Boulder sets no error on an order whose challenge failed; the challenge has it.
        let cause = if unexplained {
            let found = self.read_authorizations(&mut order).await?;
            found
                .into_iter()
                .find_map(|authorization| authorization.problem)
        } else {
            None
        };
        let mut report = self.report(order);
        report.problem = report.problem.or(cause);
        Ok(CaAnswer::Order(report))
    }

    /// RFC 8555 section 7.4. Sends the CSR only to an order that is `ready`, so an order is
    /// finalised once however often this is called.
    async fn finalize(&self, session: &Session, finalize: &Finalize) -> Result<CaAnswer, Stop> {
        let mut order = self.order(session, &finalize.order).await?;
        match order.state().status {
            OrderStatus::Ready => order
                .finalize_csr(&finalize.csr)
                .await
                .map_err(|error| self.stop(error, Context::Finalize))?,
            OrderStatus::Pending => {
                let detail = "the order waits for its authorizations".to_owned();
                return Err(refusal(CaProblemKind::OrderNotReady, detail));
            }
            OrderStatus::Processing | OrderStatus::Valid | OrderStatus::Invalid => {}
        }
        Ok(CaAnswer::Order(self.report(order)))
    }

    /// RFC 8555 section 7.4.2.
    async fn fetch_chain(&self, session: &Session, order: &OrderRef) -> Result<CaAnswer, Stop> {
        let mut order = self.order(session, order).await?;
        let status = order.state().status;
        if status != OrderStatus::Valid {
            let detail = format!("the order has no certificate: it is {status:?}").to_lowercase();
            return Err(refusal(CaProblemKind::OrderNotReady, detail));
        }
        let pem = order
            .certificate()
            .await
            .map_err(|error| self.stop(error, Context::Other))?;
        let pem = pem.ok_or_else(|| self.not_understood("a valid order without a chain"))?;
        Ok(CaAnswer::Chain(self.chain(&pem)?))
    }

    /// RFC 9773 section 4. Asked by our own GET: instant-acme wants `Retry-After` before it looks
    /// at the status, so that it reports a 404 as a missing header.
    async fn renewal_info(
        &self,
        session: &Session,
        query: &RenewalQuery,
    ) -> Result<CaAnswer, Stop> {
        let Some(base) = &session.directory.renewal_info else {
            return Ok(CaAnswer::RenewalWindow(None));
        };
        let certificate = CertificateDer::from(query.certificate.as_slice());
        let id = CertificateIdentifier::try_from(&certificate).map_err(|error| {
            let detail = format!("no window can be asked for this certificate: {error}");
            CaError::misconfigured(&self.name, detail)
        })?;
        // Section 4.1: the identifier follows the URL as a further segment.
        let request = Request::get(format!("{}/{id}", base.trim_end_matches('/')))
            .body(Bytes::new())
            .map_err(|_| self.not_understood("`renewalInfo` in the directory is no URL"))?;
        let reply = self.transport.plain(request).await;
        let reply = reply.map_err(|fault| problem::fault(&self.name, fault, Context::Known))?;
        if !reply.status.is_success() {
            return Err(problem::refusal(&reply, Context::Other));
        }
        let window = window(&reply.body).ok_or_else(|| {
            self.not_understood("expected a `suggestedWindow` that ends after it starts")
        })?;
        let retry_after = reply
            .retry_after()
            .unwrap_or(ARI_DEFAULT)
            .clamp(ARI_MIN, ARI_MAX);
        let (start_ms, end_ms) = window;
        let retry_after_ms = millis(retry_after);
        Ok(CaAnswer::RenewalWindow(Some(RenewalWindow {
            start_ms,
            end_ms,
            retry_after_ms,
        })))
    }

    /// RFC 8555 section 7.6.
    async fn revoke(&self, session: &Session, revoke: &Revoke) -> Result<CaAnswer, Stop> {
        let reason = reason(revoke.reason).ok_or_else(|| {
            let detail = format!("{} is no reason a subscriber may give", revoke.reason);
            CaError::misconfigured(&self.name, detail)
        })?;
        let certificate = CertificateDer::from(revoke.certificate.as_slice());
        let request = RevocationRequest {
            certificate: &certificate,
            reason: Some(reason),
        };
        session
            .account
            .revoke(&request)
            .await
            .map_err(|error| self.stop(error, Context::Other))?;
        Ok(CaAnswer::Revoked)
    }

    async fn order(&self, session: &Session, order: &OrderRef) -> Result<Order, Stop> {
        let order = session.account.order(order.order.clone()).await;
        order.map_err(|error| self.stop(error, Context::Known))
    }

    async fn read_authorizations(&self, order: &mut Order) -> Result<Vec<Authorization>, Stop> {
        let mut found = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| self.stop(error, Context::Other))?;
            if found.len() == AUTHORIZATIONS_MAX {
                return Err(self.too_many_authorizations());
            }
            // `identifier()` prints the wildcard; the TXT record's owner has none (section 8.4).
            let Identifier::Dns(name) = authorization.identifier().identifier else {
                let other = authorization.identifier();
                let detail = format!("an authorization for {other}, which was not ordered");
                return Err(self.not_understood(&detail));
            };
            let name = name.clone();
            let state = match authorization.status {
                AuthorizationStatus::Pending => AuthorizationState::Pending,
                AuthorizationStatus::Valid => AuthorizationState::Valid,
                AuthorizationStatus::Invalid
                | AuthorizationStatus::Revoked
                | AuthorizationStatus::Expired
                | AuthorizationStatus::Deactivated => AuthorizationState::Unusable,
            };
            let failed = authorization
                .challenges
                .iter()
                .find_map(|c| c.error.as_ref());
            let problem = failed.map(|failed| failure(Some(failed)));
            let handle = authorization.challenge(ChallengeType::Dns01);
            let (challenge, txt_value) = match handle {
                Some(handle) => (
                    Some(handle.url.clone()),
                    handle.key_authorization().dns_value(),
                ),
                None => (None, String::new()),
            };
            found.push(Authorization {
                name,
                state,
                challenge,
                txt_value,
                problem,
            });
        }
        Ok(found)
    }

    fn report(&self, mut order: Order) -> OrderReport {
        let url = order.url().to_owned();
        let state = order.state();
        // instant-acme keeps neither.
        let last = transport::last().map(|(_, reply)| reply);
        let retry_after = last.as_ref().and_then(super::http::Reply::retry_after);
        let problem = state.error.as_ref().map(|error| failure(Some(error)));
        OrderReport {
            order: OrderRef {
                ca: self.name.clone(),
                order: url,
            },
            state: match state.status {
                OrderStatus::Pending => OrderState::Pending,
                OrderStatus::Ready => OrderState::Ready,
                OrderStatus::Processing => OrderState::Processing,
                OrderStatus::Valid => OrderState::Valid,
                OrderStatus::Invalid => OrderState::Invalid,
            },
            expires_ms: last.and_then(|reply| expires(&reply.body)),
            retry_after_ms: retry_after.map(millis),
            problem,
        }
    }

    fn chain(&self, pem: &str) -> Result<Vec<Vec<u8>>, Stop> {
        let mut chain = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate =
                certificate.map_err(|_| self.not_understood("expected a chain in PEM"))?;
            if chain.len() == CHAIN_MAX || certificate.len() > CERTIFICATE_MAX {
                let limit = format!("{CHAIN_MAX} certificates of {CERTIFICATE_MAX} bytes");
                let (ca, url) = (self.name.clone(), last_url());
                return Err(CaError::TooLarge { ca, url, limit }.into());
            }
            chain.push(certificate.to_vec());
        }
        if chain.is_empty() {
            return Err(self.not_understood("expected a chain in PEM, got no certificate"));
        }
        Ok(chain)
    }

    /// Turns instant-acme's error into an answer or a failure.
    pub(super) fn stop(&self, error: Error, context: Context) -> Stop {
        let last = transport::last();
        match error {
            Error::Api(document) => {
                // An object's own `error` comes with a success.
                let reply = last
                    .map(|(_, reply)| reply)
                    .filter(|r| !r.status.is_success());
                let status = reply.as_ref().map(|reply| reply.status);
                let retry_after = reply.and_then(|reply| reply.retry_after());
                Stop::Problem(problem::reduce(&document, status, retry_after, context))
            }
            Error::Other(other) => match other.downcast::<HttpFault>() {
                Ok(fault) => problem::fault(&self.name, *fault, context),
                Err(other) => self.not_acme("instant-acme refused the answer", Some(other)),
            },
            Error::Json(error) => match last {
                // A problem whose members have unexpected types.
                Some((_, reply)) if !reply.status.is_success() => problem::refusal(&reply, context),
                Some(_) | None => self.not_acme("its JSON is not as expected", Some(error.into())),
            },
            Error::Str(detail) => match last {
                // `newNonce` refused: the status is all there is.
                Some((_, reply)) if !reply.status.is_success() => problem::refusal(&reply, context),
                Some(_) | None => self.not_understood(detail),
            },
            Error::Unsupported(detail) => self.not_understood(detail),
            Error::Crypto | Error::KeyRejected => {
                CaError::misconfigured(&self.name, "its account key does not sign").into()
            }
            // `_`: the library may grow others.
            other @ (Error::Http(_)
            | Error::Hyper(_)
            | Error::InvalidUri(_)
            | Error::Timeout(_)
            | _) => self.not_acme("the exchange cannot be made", Some(other.into())),
        }
    }

    fn not_understood(&self, detail: &str) -> Stop {
        self.not_acme(detail, None)
    }

    fn not_acme(
        &self,
        detail: &str,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Stop {
        Stop::Error(CaError::NotUnderstood {
            ca: self.name.clone(),
            url: last_url(),
            detail: detail.to_owned(),
            retry_after: None,
            source,
        })
    }

    fn too_many_authorizations(&self) -> Stop {
        let limit = format!("{AUTHORIZATIONS_MAX} authorizations");
        Stop::Error(CaError::TooLarge {
            ca: self.name.clone(),
            url: last_url(),
            limit,
        })
    }
}

fn last_url() -> String {
    transport::last().map_or_else(|| "the CA".to_owned(), |(url, _)| url)
}

fn refusal(kind: CaProblemKind, detail: String) -> Stop {
    Stop::Problem(CaProblem {
        kind,
        detail,
        retry_after_ms: None,
    })
}

/// The problem inside an order or a challenge, which has no HTTP status.
fn failure(document: Option<&Problem>) -> CaProblem {
    match document {
        Some(document) => problem::reduce(document, None, None, Context::Validation),
        None => CaProblem {
            kind: CaProblemKind::Validation,
            detail: "the CA gave no reason".to_owned(),
            retry_after_ms: None,
        },
    }
}

fn is_mismatch(error: &Error) -> bool {
    let Error::Other(other) = error else {
        return false;
    };
    !other.is::<HttpFault>() && other.to_string().starts_with("replaces field mismatch")
}

fn expires(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Expiring {
        expires: String,
    }
    let expiring: Expiring = serde_json::from_slice(body).ok()?;
    OffsetDateTime::parse(&expiring.expires, &Rfc3339)
        .ok()
        .map(unix_ms)
}

fn window(body: &[u8]) -> Option<(u64, u64)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Info {
        suggested_window: Window,
    }
    #[derive(Deserialize)]
    struct Window {
        start: String,
        end: String,
    }
    let info: Info = serde_json::from_slice(body).ok()?;
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let (start, end) = (
        parse(&info.suggested_window.start)?,
        parse(&info.suggested_window.end)?,
    );
    // RFC 9773 section 4.2: anything else is malformed.
    (end > start).then(|| (unix_ms(start), unix_ms(end)))
}

/// RFC 5280 section 5.3.1, without those that only a CA gives.
fn reason(code: u8) -> Option<RevocationReason> {
    match code {
        0 => Some(RevocationReason::Unspecified),
        1 => Some(RevocationReason::KeyCompromise),
        3 => Some(RevocationReason::AffiliationChanged),
        4 => Some(RevocationReason::Superseded),
        5 => Some(RevocationReason::CessationOfOperation),
        _ => None,
    }
}

/// Names that the largest profile allows.
const AUTHORIZATIONS_MAX: usize = 100;
/// DESIGN 3: what the machine takes.
const CHAIN_MAX: usize = 5;
const CERTIFICATE_MAX: usize = 8 * 1024;
/// The interval of RFC 9773 section 4.3.3, where the CA says nothing.
const ARI_DEFAULT: Duration = Duration::from_secs(6 * 3600);
/// RFC 9773 section 4.3.2: shorter and longer values are treated as these.
const ARI_MIN: Duration = Duration::from_secs(60);
const ARI_MAX: Duration = Duration::from_secs(86_400);
