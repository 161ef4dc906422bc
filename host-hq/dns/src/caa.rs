//! The CAA policy: which CA may issue for what, on which account, by which method.

use hickory_proto::rr::{RData, rdata::CAA};

use crate::{config::ZoneConfigError, name::DnsName};

/// One CA account that may issue ([RFC 8659] 4.2, [RFC 8657] 3).
///
/// While a staging and a production account are both in use, both are listed.
///
/// [RFC 8659]: https://www.rfc-editor.org/rfc/rfc8659#section-4.2
/// [RFC 8657]: https://www.rfc-editor.org/rfc/rfc8657#section-3
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaaIssuer {
    /// The CA's issuer domain, for instance `letsencrypt.org`.
    pub domain: DnsName,
    /// The account's URL; without it every account at that CA may issue.
    pub account_uri: Option<String>,
}

/// The three CAA sets of a zone, each with both tags.
#[derive(Clone, Debug)]
pub(crate) struct CaaSets {
    /// For labels: wildcards only.
    pub(crate) wildcards: Vec<RData>,
    /// For word-mode names: the name itself only.
    pub(crate) names: Vec<RData>,
    /// For names that get no certificate.
    pub(crate) nothing: Vec<RData>,
}

impl CaaSets {
    /// Makes the sets for a list of issuers; with an empty list nobody may issue.
    pub(crate) fn new(issuers: &[CaaIssuer]) -> Result<Self, ZoneConfigError> {
        if issuers.len() > MAX_ISSUERS {
            return Err(ZoneConfigError::TooManyIssuers { got: issuers.len() });
        }
        let mut values = Vec::with_capacity(issuers.len());
        for issuer in issuers {
            values.push(issuer_value(issuer)?);
        }
        Ok(Self {
            wildcards: set(&[], &values),
            names: set(&values, &[]),
            nothing: set(&[], &[]),
        })
    }
}

fn set(issue: &[String], issuewild: &[String]) -> Vec<RData> {
    let mut records = Vec::new();
    for (tag, values) in [(Tag::Issue, issue), (Tag::IssueWild, issuewild)] {
        if values.is_empty() {
            records.push(record(tag, None));
        }
        records.extend(values.iter().map(|value| record(tag, Some(value))));
    }
    records
}

#[derive(Clone, Copy)]
enum Tag {
    Issue,
    IssueWild,
}

/// Makes a record; without a value it is `";"`, which lets nobody issue (RFC 8659, section 4.2).
fn record(tag: Tag, value: Option<&String>) -> RData {
    let mut caa = match tag {
        Tag::Issue => CAA::new_issue(false, None, Vec::new()),
        Tag::IssueWild => CAA::new_issuewild(false, None, Vec::new()),
    };
    if let Some(value) = value {
        caa.value = value.clone().into_bytes();
    }
    RData::CAA(caa)
}

fn issuer_value(issuer: &CaaIssuer) -> Result<String, ZoneConfigError> {
    let mut value = issuer.domain.to_string();
    if let Some(uri) = &issuer.account_uri {
        // parameter-value of RFC 8659, section 4.2: printable, no space, no semicolon.
        let fits = uri
            .bytes()
            .all(|byte| matches!(byte, 0x21..=0x3a | 0x3c..=0x7e));
        if !fits || uri.is_empty() || uri.len() > MAX_ACCOUNT_URI {
            return Err(ZoneConfigError::AccountUri { got: uri.clone() });
        }
        value.push_str("; accounturi=");
        value.push_str(uri);
    }
    value.push_str("; validationmethods=dns-01");
    Ok(value)
}

pub(crate) const MAX_ISSUERS: usize = 16;
pub(crate) const MAX_ACCOUNT_URI: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tags_are_always_given() {
        let issuer = |uri: Option<&str>| CaaIssuer {
            domain: DnsName::parse("ca.example").unwrap(),
            account_uri: uri.map(str::to_owned),
        };
        let sets =
            CaaSets::new(&[issuer(Some("https://ca.example/acct/1")), issuer(None)]).unwrap();
        let with_account =
            "ca.example; accounturi=https://ca.example/acct/1; validationmethods=dns-01";
        let without = "ca.example; validationmethods=dns-01";
        assert_eq!(
            texts(&sets.wildcards),
            [
                ("issue", ";"),
                ("issuewild", with_account),
                ("issuewild", without)
            ]
        );
        assert_eq!(
            texts(&sets.names),
            [
                ("issue", with_account),
                ("issue", without),
                ("issuewild", ";")
            ]
        );
        assert_eq!(texts(&sets.nothing), [("issue", ";"), ("issuewild", ";")]);
        let none = CaaSets::new(&[]).unwrap();
        assert_eq!(texts(&none.wildcards), [("issue", ";"), ("issuewild", ";")]);
    }

    #[test]
    fn an_account_that_would_break_the_syntax_is_refused() {
        for uri in [
            "",
            "https://ca.example/a;b",
            "https://ca.example/a b",
            "https://ca.example/\u{e4}",
        ] {
            let issuer = CaaIssuer {
                domain: DnsName::parse("ca.example").unwrap(),
                account_uri: Some(uri.to_owned()),
            };
            assert!(CaaSets::new(&[issuer]).is_err(), "{uri}");
        }
    }

    fn texts(records: &[RData]) -> Vec<(&str, &str)> {
        records
            .iter()
            .map(|data| {
                let RData::CAA(caa) = data else {
                    panic!("not a CAA: {data:?}")
                };
                (caa.tag.as_str(), std::str::from_utf8(&caa.value).unwrap())
            })
            .collect()
    }
}
