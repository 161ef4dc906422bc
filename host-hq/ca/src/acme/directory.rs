//! The CA's directory (RFC 8555 section 7.1.1).

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use serde::Deserialize;

use super::http::{HttpsClient, Reply};
use super::problem;
use crate::authority::CaError;
use crate::stop::Stop;

/// What the directory says. instant-acme reads it too, but keeps the meta data to itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    pub(crate) new_nonce: String,
    pub(crate) new_account: String,
    pub(crate) new_order: String,
    pub(crate) key_change: Option<String>,
    pub(crate) renewal_info: Option<String>,
    #[serde(default)]
    pub(crate) meta: Meta,
}

/// The directory's meta data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) terms_of_service: Option<String>,
    #[serde(default)]
    pub(crate) caa_identities: Vec<String>,
    #[serde(default)]
    pub(crate) external_account_required: bool,
    /// Profiles with their descriptions (draft-ietf-acme-profiles section 3).
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, String>,
}

impl Directory {
    /// Reads it.
    pub(crate) async fn read(http: &HttpsClient, ca: &str, url: &str) -> Result<Self, Stop> {
        let request = Request::get(url).body(Bytes::new()).map_err(|error| {
            // `DirectoryUrl` has been checked, so this is the CA's name of something else.
            CaError::misconfigured(ca, format!("`directory` is no URL: {error}"))
        })?;
        let reply = http
            .send(request)
            .await
            .map_err(|fault| problem::fault(ca, fault, problem::Context::Other))?;
        parse(ca, url, &reply)
    }

    /// Checks a profile against what the CA offers (draft-ietf-acme-profiles section 4).
    pub(crate) fn offers(&self, profile: &str) -> Result<(), String> {
        if self.meta.profiles.contains_key(profile) {
            return Ok(());
        }
        let offered = self
            .meta
            .profiles
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        Err(if offered.is_empty() {
            format!("the CA has no profiles; remove `profile = {profile:?}` from its config")
        } else {
            format!("the CA has no profile {profile:?}; it offers: {offered}")
        })
    }
}

fn parse(ca: &str, url: &str, reply: &Reply) -> Result<Directory, Stop> {
    if !reply.status.is_success() {
        return Err(problem::refusal(reply, problem::Context::Other));
    }
    serde_json::from_slice(&reply.body).map_err(|error| {
        let content = reply.header("content-type").unwrap_or("no content type");
        Stop::Error(CaError::NotUnderstood {
            ca: ca.to_owned(),
            url: url.to_owned(),
            detail: format!("expected a directory (RFC 8555 section 7.1.1), got {content}"),
            retry_after: None,
            source: Some(error.into()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(profiles: &[&str]) -> Directory {
        serde_json::from_value(serde_json::json!({
            "newNonce": "n", "newAccount": "a", "newOrder": "o",
            "meta": { "profiles": profiles.iter().map(|p| (*p, "x")).collect::<BTreeMap<_, _>>() }
        }))
        .unwrap()
    }

    #[test]
    fn an_unknown_profile_is_answered_with_those_that_exist() {
        let two = directory(&["tlsserver", "classic"]);
        assert_eq!(two.offers("classic"), Ok(()));
        let error = two.offers("tlsclient").unwrap_err();
        assert!(error.contains("classic, tlsserver"), "{error}");
        let error = directory(&[]).offers("classic").unwrap_err();
        assert!(error.contains("no profiles"), "{error}");
    }
}
