//! What changes in a zone while the server runs.
//!
//! Readers load an [`Arc`] of the newest [`ZoneSnapshot`] and never wait. A change takes the writer's
//! lock, copies the snapshot (a persistent map: the copy shares everything), changes O(log n) of it
//! and swaps it in; a million labels cost a change no more than a thousand do. What is stored is
//! HQ's database, not this: at start the host gives everything to [`ZoneStore::load`].

use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;

use crate::{
    caa::{CaaIssuer, CaaSets},
    config::{MAX_ADDRESSES, ZoneConfig, ZoneConfigError},
    name::{DnsName, Label, MAX_NAME_TEXT, Owner, TxtValue},
    time::UnixSeconds,
};

mod error;
mod node;
mod snapshot;

pub(crate) use self::node::{Addresses, Node, Role};
pub use self::{error::StoreError, snapshot::ZoneSnapshot};

/// One zone: its configuration and its changing content.
pub struct ZoneStore {
    config: Arc<ZoneConfig>,
    current: ArcSwap<ZoneSnapshot>,
    writer: Mutex<Writer>,
}

impl ZoneStore {
    /// Makes a zone that holds HQ's own hosts and nothing else.
    pub fn new(config: ZoneConfig) -> Self {
        let config = Arc::new(config);
        let snapshot = ZoneSnapshot::new(config.clone());
        Self {
            config,
            current: ArcSwap::from_pointee(snapshot),
            writer: Mutex::default(),
        }
    }

    /// Returns the zone's configuration.
    pub fn config(&self) -> &ZoneConfig {
        &self.config
    }

    /// Returns the zone as it is at this moment; it stays so, whatever is changed later.
    pub fn snapshot(&self) -> Arc<ZoneSnapshot> {
        self.current.load_full()
    }

    /// Replaces the CA accounts that CAA admits, for every name at once. An ACME account is known only
    /// once its CA has been reached, which may be long after the zone is served.
    ///
    /// # Errors
    ///
    /// [`ZoneConfigError`] if an account cannot stand in CAA; the zone is then as it was.
    pub fn set_issuers(&self, issuers: &[CaaIssuer]) -> Result<(), ZoneConfigError> {
        let caa = CaaSets::new(issuers)?;
        self.change_always(|next, _| {
            next.admit(caa);
            Change::Made
        });
        Ok(())
    }

    /// Makes a label live: the addresses spelled below it are answered from the next query on.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongMode`] in a zone without address mode, [`StoreError::InUse`] if the name
    /// means something else here, [`StoreError::TooLong`] if addresses below would not fit.
    pub fn publish_label(&self, label: &Label) -> Result<Change, StoreError> {
        self.change(|next, _| self.put_label(next, label))
    }

    /// Withdraws a label with everything below it: addresses set by hand, open challenges.
    pub fn withdraw_label(&self, label: &Label) -> Change {
        self.change_always(|next, _| {
            let owner = Owner::of_label(label);
            if next.node(&owner).role != Role::Label {
                return Change::None;
            }
            for gone in next.device_nodes_at_and_below(&owner) {
                next.nodes.remove(gone.path());
            }
            Change::Made
        })
    }

    /// Sets the addresses of a word-mode name, or of a name such as `v6.<label>` below a live label.
    ///
    /// An empty list leaves the name published without an address: its CAA set is there, so that it
    /// can be ordered before the device has reported.
    ///
    /// # Errors
    ///
    /// [`StoreError::Outside`], [`StoreError::WrongMode`], [`StoreError::InUse`],
    /// [`StoreError::TooManyAddresses`], or [`StoreError::BadAddress`] for an address that no
    /// device has on its LAN.
    pub fn set_addresses(
        &self,
        name: &DnsName,
        addresses: &[IpAddr],
    ) -> Result<Change, StoreError> {
        self.change(|next, _| self.put_addresses(next, name, addresses))
    }

    /// Withdraws a name that [`Self::set_addresses`] has published; its TXT values stay.
    ///
    /// # Errors
    ///
    /// [`StoreError::Outside`] if the name is not in this zone.
    pub fn clear_name(&self, name: &DnsName) -> Result<Change, StoreError> {
        let owner = self.owner(name)?;
        Ok(self.change_always(|next, _| {
            let mut node = next.node(&owner);
            match node.role {
                Role::Word(_) | Role::Addresses(_) => node.role = Role::Nothing,
                Role::Nothing | Role::Label | Role::Host(_) => return Change::None,
            }
            next.put(owner, node);
            Change::Made
        }))
    }

    /// Adds one TXT value at any owner in the zone; others there stay. If the value is there already
    /// it lives until the later of both times.
    ///
    /// # Errors
    ///
    /// [`StoreError::Outside`], or [`StoreError::TooManyValues`] if the owner is full.
    pub fn add_txt(
        &self,
        owner: &DnsName,
        value: &TxtValue,
        expires: UnixSeconds,
    ) -> Result<Change, StoreError> {
        self.change(|next, writer| self.put_txt(next, writer, owner, value, expires))
    }

    /// Removes one TXT value; others at the owner stay.
    ///
    /// # Errors
    ///
    /// [`StoreError::Outside`] if the owner is not in this zone.
    pub fn remove_txt(&self, owner: &DnsName, value: &TxtValue) -> Result<Change, StoreError> {
        let place = self.owner(owner)?;
        Ok(self.change_always(|next, _| {
            let mut node = next.node(&place);
            if !node.remove_text(value) {
                return Change::None;
            }
            next.put(place, node);
            Change::Made
        }))
    }

    /// Replaces everything that changes by `contents`, at once: readers see the old or the new.
    ///
    /// # Errors
    ///
    /// What the single calls would say of the first item at fault; the zone is then as it was.
    pub fn load(&self, contents: ZoneContents) -> Result<(), StoreError> {
        // Nobody reads it yet, so it is filled in place and not copied for each item.
        let mut loaded = ZoneSnapshot::new(self.config.clone());
        let mut expiries = Writer::default();
        for label in &contents.labels {
            self.put_label(&mut loaded, label)?;
        }
        for (name, addresses) in &contents.names {
            self.put_addresses(&mut loaded, name, addresses)?;
        }
        for (owner, value, expires) in &contents.texts {
            self.put_txt(&mut loaded, &mut expiries, owner, value, *expires)?;
        }
        self.change_always(|next, writer| {
            next.nodes = loaded.nodes;
            *writer = expiries;
            Change::Made
        });
        Ok(())
    }

    /// Removes the TXT values that have expired, and returns how many. They are not answered in any
    /// case; this gives their memory back.
    pub fn sweep(&self, now: UnixSeconds) -> usize {
        let mut removed = 0;
        self.change_always(|next, writer| {
            while writer
                .expiries
                .first()
                .is_some_and(|(expires, _)| *expires <= now)
            {
                let Some((_, owner)) = writer.expiries.pop_first() else {
                    break;
                };
                let mut node = next.node(&owner);
                let count = node.remove_expired(now);
                if count > 0 {
                    removed += count;
                    next.put(owner, node);
                }
            }
            if removed > 0 {
                Change::Made
            } else {
                Change::None
            }
        });
        removed
    }

    /// Tells whether this store would answer `value` at `owner`; [`crate::visible()`] asks servers.
    pub fn is_visible(&self, owner: &DnsName, value: &TxtValue, now: UnixSeconds) -> bool {
        let snapshot = self.current.load();
        Owner::within(self.config.origin.as_name(), owner.as_name())
            .and_then(|owner| snapshot.nodes.get(owner.path()))
            .is_some_and(|node| node.live_texts(now).any(|text| text.value == *value))
    }

    fn put_label(&self, next: &mut ZoneSnapshot, label: &Label) -> Result<Change, StoreError> {
        self.check_label(label)?;
        let owner = Owner::of_label(label);
        let mut node = next.node(&owner);
        match node.role {
            Role::Label => return Ok(Change::None),
            Role::Nothing => node.role = Role::Label,
            Role::Word(_) | Role::Addresses(_) | Role::Host(_) => {
                return Err(StoreError::InUse {
                    name: label.to_string(),
                });
            }
        }
        next.put(owner, node);
        Ok(Change::Made)
    }

    fn put_addresses(
        &self,
        next: &mut ZoneSnapshot,
        name: &DnsName,
        addresses: &[IpAddr],
    ) -> Result<Change, StoreError> {
        let owner = self.owner(name)?;
        self.check_addresses(name, addresses)?;
        let addresses = Arc::new(Addresses::new(addresses));
        let role = match (next.is_below_label(&owner), self.config.kind.has_words()) {
            (true, _) => Role::Addresses(addresses),
            (false, true) => Role::Word(addresses),
            (false, false) => return Err(self.wrong_mode(name.to_string())),
        };
        let mut node = next.node(&owner);
        match &node.role {
            Role::Nothing | Role::Word(_) | Role::Addresses(_) => {}
            Role::Label | Role::Host(_) => {
                return Err(StoreError::InUse {
                    name: name.to_string(),
                });
            }
        }
        if node.role == role {
            return Ok(Change::None);
        }
        node.role = role;
        next.put(owner, node);
        Ok(Change::Made)
    }

    fn put_txt(
        &self,
        next: &mut ZoneSnapshot,
        writer: &mut Writer,
        owner: &DnsName,
        value: &TxtValue,
        expires: UnixSeconds,
    ) -> Result<Change, StoreError> {
        let place = self.owner(owner)?;
        let mut node = next.node(&place);
        let change = node
            .add_text(value, expires)
            .ok_or_else(|| StoreError::TooManyValues {
                owner: owner.clone(),
            })?;
        next.put(place.clone(), node);
        writer.expiries.insert((expires, place));
        Ok(change)
    }

    fn owner(&self, name: &DnsName) -> Result<Owner, StoreError> {
        let origin = self.config.origin();
        Owner::within(origin.as_name(), name.as_name()).ok_or_else(|| StoreError::Outside {
            name: name.clone(),
            origin: origin.clone(),
        })
    }

    fn check_label(&self, label: &Label) -> Result<(), StoreError> {
        let origin = self.config.origin();
        if !self.config.kind.has_labels() {
            return Err(self.wrong_mode(label.to_string()));
        }
        let whole = label.as_str().len() + 1 + origin.as_name().len();
        if whole + LONGEST_BELOW > MAX_NAME_TEXT {
            return Err(StoreError::TooLong {
                name: label.to_string(),
                origin: origin.clone(),
            });
        }
        Ok(())
    }

    fn check_addresses(&self, name: &DnsName, addresses: &[IpAddr]) -> Result<(), StoreError> {
        if addresses.len() > MAX_ADDRESSES {
            return Err(StoreError::TooManyAddresses {
                name: name.clone(),
                got: addresses.len(),
            });
        }
        match addresses
            .iter()
            .find(|address| !self.is_addressable(**address))
        {
            Some(&got) => Err(StoreError::BadAddress {
                name: name.clone(),
                got,
            }),
            None => Ok(()),
        }
    }

    fn wrong_mode(&self, name: String) -> StoreError {
        StoreError::WrongMode {
            name,
            origin: self.config.origin.clone(),
        }
    }

    /// Tells whether a device can be reached at `address` by a name. Policy is the registrar's; this
    /// refuses only what is never right.
    fn is_addressable(&self, address: IpAddr) -> bool {
        if address.is_loopback() {
            return self.config.ranges.danger_loopback;
        }
        match address {
            IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()),
            IpAddr::V6(v6) => {
                !(v6.is_unspecified()
                    || v6.is_multicast()
                    || v6.is_unicast_link_local()
                    || v6.to_ipv4_mapped().is_some())
            }
        }
    }

    fn change_always(
        &self,
        change: impl FnOnce(&mut ZoneSnapshot, &mut Writer) -> Change,
    ) -> Change {
        let mut writer = self.lock();
        let mut next = (**self.current.load()).clone();
        let made = change(&mut next, &mut writer);
        self.publish(next, made);
        made
    }

    fn change(
        &self,
        change: impl FnOnce(&mut ZoneSnapshot, &mut Writer) -> Result<Change, StoreError>,
    ) -> Result<Change, StoreError> {
        let mut writer = self.lock();
        let mut next = (**self.current.load()).clone();
        let made = change(&mut next, &mut writer)?;
        self.publish(next, made);
        Ok(made)
    }

    /// Swaps the next snapshot in. The caller holds the writer's lock.
    fn publish(&self, mut next: ZoneSnapshot, made: Change) {
        match made {
            Change::None => return,
            Change::Made => next.raise_serial(),
            // Nobody can see it from outside, so the serial stays.
            Change::Extended => {}
        }
        self.current.store(Arc::new(next));
    }

    /// Takes the writer's lock. A writer that panicked has published nothing half-made, so its lock is
    /// as good as any.
    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ZoneStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ZoneStore")
            .field(&self.current.load())
            .finish()
    }
}

/// What a call did to the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The zone was so already.
    None,
    /// A TXT value that was there lives longer.
    Extended,
    /// The zone has changed and its serial has risen.
    Made,
}

/// Everything that changes in a zone, for [`ZoneStore::load`].
#[derive(Clone, Debug, Default)]
pub struct ZoneContents {
    /// The live labels.
    pub labels: Vec<Label>,
    /// The names with addresses.
    pub names: Vec<(DnsName, Vec<IpAddr>)>,
    /// The TXT values, each with its owner and its end.
    pub texts: Vec<(DnsName, TxtValue, UnixSeconds)>,
}

/// What only the writer needs.
#[derive(Default)]
struct Writer {
    /// When something may expire, and where. An entry may be out of date; the values decide.
    expiries: BTreeSet<(UnixSeconds, Owner)>,
}

/// The longest name below a label: an IPv6 address without a `::`, or `_acme-challenge`, and a dot.
const LONGEST_BELOW: usize = 40;

#[cfg(test)]
mod tests;
