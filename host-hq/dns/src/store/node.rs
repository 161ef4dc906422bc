//! What stands at one owner.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use crate::{name::TxtValue, store::Change, time::UnixSeconds};

/// What stands at one owner. It is small and cheap to clone: a zone has a million of them, and a
/// change copies its neighbours in the map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) role: Role,
    texts: Option<Arc<[Text]>>,
}

/// What an owner is, TXT values aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// It has TXT values at most.
    #[default]
    Nothing,
    /// A live address-mode label.
    Label,
    /// A word-mode name.
    Word(Arc<Addresses>),
    /// A name below a live label that has addresses of its own.
    Addresses(Arc<Addresses>),
    /// One of HQ's own hosts or name servers.
    Host(Arc<HostRole>),
}

/// One of HQ's own hosts or name servers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HostRole {
    pub(crate) addresses: Addresses,
    pub(crate) certificate: bool,
}

/// Addresses by family, each once, in the order given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) v4: Vec<Ipv4Addr>,
    pub(crate) v6: Vec<Ipv6Addr>,
}

impl Addresses {
    pub(crate) fn new(addresses: &[IpAddr]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match *address {
                IpAddr::V4(address) if !v4.contains(&address) => v4.push(address),
                IpAddr::V6(address) if !v6.contains(&address) => v6.push(address),
                // A repeat: a set holds each record once (RFC 2181, section 5).
                IpAddr::V4(_) | IpAddr::V6(_) => {}
            }
        }
        Self { v4, v6 }
    }
}

/// A TXT value and its end.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: TxtValue,
    pub(crate) expires: UnixSeconds,
}

impl Node {
    pub(crate) fn with_role(role: Role) -> Self {
        Self { role, texts: None }
    }

    /// Tells whether the owner exists by itself at `now`.
    pub(crate) fn exists(&self, now: UnixSeconds) -> bool {
        self.role != Role::Nothing || self.live_texts(now).next().is_some()
    }

    /// Tells whether nothing is stored here, expired values included.
    pub(crate) fn is_empty(&self) -> bool {
        self.role == Role::Nothing && self.texts.is_none()
    }

    /// Returns the addresses stored here.
    pub(crate) fn addresses(&self) -> Option<&Addresses> {
        match &self.role {
            Role::Word(addresses) | Role::Addresses(addresses) => Some(addresses),
            Role::Host(host) => Some(&host.addresses),
            Role::Nothing | Role::Label => None,
        }
    }

    /// Returns the TXT values that have not expired at `now`.
    pub(crate) fn live_texts(&self, now: UnixSeconds) -> impl Iterator<Item = &Text> {
        self.texts
            .iter()
            .flat_map(|texts| texts.iter())
            .filter(move |text| text.expires > now)
    }

    /// Adds a value; `None` if the owner is full.
    pub(crate) fn add_text(&mut self, value: &TxtValue, expires: UnixSeconds) -> Option<Change> {
        let mut texts = self.texts.as_deref().unwrap_or_default().to_vec();
        let is_full = texts.len() >= MAX_TEXTS;
        let change = match texts.iter_mut().find(|text| text.value == *value) {
            Some(text) if text.expires >= expires => Change::None,
            Some(text) => {
                text.expires = expires;
                Change::Extended
            }
            None if is_full => return None,
            None => {
                texts.push(Text {
                    value: value.clone(),
                    expires,
                });
                Change::Made
            }
        };
        self.texts = Some(texts.into());
        Some(change)
    }

    /// Removes a value and tells whether it was there.
    pub(crate) fn remove_text(&mut self, value: &TxtValue) -> bool {
        self.retain_texts(|text| text.value != *value) > 0
    }

    /// Removes what has expired at `now` and returns how many values that were.
    pub(crate) fn remove_expired(&mut self, now: UnixSeconds) -> usize {
        self.retain_texts(|text| text.expires > now)
    }

    fn retain_texts(&mut self, keep: impl Fn(&Text) -> bool) -> usize {
        let before = self.texts.as_deref().unwrap_or_default();
        let after: Vec<Text> = before.iter().filter(|text| keep(text)).cloned().collect();
        let removed = before.len() - after.len();
        if removed > 0 {
            self.texts = (!after.is_empty()).then(|| after.into());
        }
        removed
    }
}

/// How many TXT values one owner may have: an order has two at most, and a few may overlap.
pub(crate) const MAX_TEXTS: usize = 64;
