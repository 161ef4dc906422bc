//! The three signed requests that instant-acme cannot make with a key that is already on disk.
//!
//! `newAccount` with contact and external account binding (RFC 8555 sections 7.3 and 7.3.4), and
//! `keyChange` (section 7.3.5): its own calls make the new key inside and return it after the CA
//! has accepted it, so a crash in between loses the account. Everything else is signed there.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use instant_acme::Problem;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::directory::Directory;
use super::http::{HttpsClient, Reply};
use super::problem::{self, Context};
use crate::authority::CaError;
use crate::encoding::base64url;
use crate::stop::Stop;

/// An account's key, P-256.
pub(crate) struct AccountKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl AccountKey {
    /// Makes a new one.
    pub(crate) fn generate() -> Result<Self, &'static str> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| "the cryptographic library made no key")?;
        let der = pair
            .to_pkcs8v1()
            .map_err(|_| "the new key cannot be encoded")?;
        Ok(Self {
            pair,
            pkcs8: Zeroizing::new(der.as_ref().to_vec()),
        })
    }

    /// Reads one from PKCS#8.
    pub(crate) fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, &'static str> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| "the stored key is no P-256 key in PKCS#8")?;
        Ok(Self { pair, pkcs8 })
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key (RFC 7517).
    pub(crate) fn jwk(&self) -> Value {
        // 4 ‖ x ‖ y
        let point = self.pair.public_key().as_ref();
        json!({
            "crv": "P-256", "kty": "EC", "x": base64url(&point[1..33]), "y": base64url(&point[33..65])
        })
    }

    /// A flattened JWS (RFC 7515 section 7.2.2) over `payload`.
    pub(crate) fn sign(&self, mut protected: Value, payload: &Value) -> Result<Value, Stop> {
        protected["alg"] = json!("ES256");
        flattened(&protected, payload, |input| {
            let signature = self.pair.sign(&SystemRandom::new(), input).ok()?;
            Some(signature.as_ref().to_vec())
        })
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountKey(..)")
    }
}

/// The HMAC key of an external account.
pub(crate) struct EabKey {
    pub(crate) key_id: String,
    pub(crate) mac: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for EabKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EabKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// Binds an account key to the external account (RFC 8555 section 7.3.4).
pub(crate) fn binding(eab: &EabKey, url: &str, key: &AccountKey) -> Result<Value, Stop> {
    let mac = hmac::Key::new(hmac::HMAC_SHA256, &eab.mac);
    let protected = json!({ "alg": "HS256", "kid": eab.key_id, "url": url });
    flattened(&protected, &key.jwk(), |input| {
        Some(hmac::sign(&mac, input).as_ref().to_vec())
    })
}

/// Where signed requests go.
#[derive(Clone, Copy)]
pub(crate) struct Signer<'a> {
    pub(crate) http: &'a HttpsClient,
    pub(crate) ca: &'a str,
    pub(crate) directory: &'a Directory,
}

impl Signer<'_> {
    /// Sends a signed request, by key id or, where there is no account yet, with the whole key.
    /// A rejected nonce is tried again (RFC 8555 section 6.5), nothing else is.
    pub(crate) async fn post(
        &self,
        key: &AccountKey,
        account: Option<&str>,
        url: &str,
        payload: &Value,
    ) -> Result<Reply, Stop> {
        let mut nonce = self.nonce().await?;
        for attempt in 1.. {
            let mut protected = json!({ "nonce": nonce, "url": url });
            match account {
                Some(account) => protected["kid"] = json!(account),
                None => protected["jwk"] = key.jwk(),
            }
            let body = key.sign(protected, payload)?.to_string();
            let request = Request::post(url)
                .header(CONTENT_TYPE, "application/jose+json")
                .body(Bytes::from(body))
                .map_err(|error| self.not_understood(url, &format!("no URL: {error}")))?;
            let reply = self.send(request).await?;
            if reply.status.is_success() {
                return Ok(reply);
            }
            match reply.header(REPLAY_NONCE) {
                Some(fresh) if attempt < NONCE_ATTEMPTS && is_bad_nonce(&reply) => {
                    fresh.clone_into(&mut nonce);
                }
                Some(_) | None => return Err(problem::refusal(&reply, Context::Other)),
            }
        }
        Err(self.not_understood(url, "nonces without end"))
    }

    async fn nonce(&self) -> Result<String, Stop> {
        let url = &self.directory.new_nonce;
        let request = Request::head(url.as_str())
            .body(Bytes::new())
            .map_err(|error| self.not_understood(url, &format!("no URL: {error}")))?;
        let reply = self.send(request).await?;
        match reply.header(REPLAY_NONCE) {
            Some(nonce) => Ok(nonce.to_owned()),
            None => Err(self.not_understood(url, "expected a Replay-Nonce (RFC 8555 section 7.2)")),
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Reply, Stop> {
        self.http
            .send(request)
            .await
            .map_err(|fault| problem::fault(self.ca, fault, Context::Other))
    }

    fn not_understood(&self, url: &str, detail: &str) -> Stop {
        Stop::Error(CaError::NotUnderstood {
            ca: self.ca.to_owned(),
            url: url.to_owned(),
            detail: detail.to_owned(),
            retry_after: None,
            source: None,
        })
    }
}

fn is_bad_nonce(reply: &Reply) -> bool {
    reply.status == StatusCode::BAD_REQUEST
        && serde_json::from_slice::<Problem>(&reply.body)
            .is_ok_and(|problem| problem.r#type.as_deref() == Some(BAD_NONCE))
}

fn flattened(
    protected: &Value,
    payload: &Value,
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Result<Value, Stop> {
    let protected = base64url(protected.to_string().as_bytes());
    let payload = base64url(payload.to_string().as_bytes());
    let Some(signature) = sign(format!("{protected}.{payload}").as_bytes()) else {
        return Err(CaError::misconfigured("", "the account key does not sign").into());
    };
    Ok(json!({
        "protected": protected, "payload": payload, "signature": base64url(&signature)
    }))
}

pub(crate) const REPLAY_NONCE: &str = "replay-nonce";
const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";
/// At 5 % rejected, as Pebble does it, five in a row is one in three million.
const NONCE_ATTEMPTS: u32 = 5;
