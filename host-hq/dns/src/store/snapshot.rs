//! A zone as it is at one moment.

use std::{
    fmt,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use imbl::OrdMap;

use crate::{
    caa::CaaSets,
    config::ZoneConfig,
    name::{Owner, path_labels},
    store::node::{Addresses, HostRole, Node, Role},
    time::UnixSeconds,
};

/// A zone as it is at one moment. Cloning it is cheap: clones share what they hold.
#[derive(Clone)]
pub struct ZoneSnapshot {
    config: Arc<ZoneConfig>,
    serial: u32,
    pub(super) nodes: OrdMap<Owner, Node>,
}

impl ZoneSnapshot {
    /// Makes the snapshot that holds HQ's own hosts and name servers and nothing else.
    pub(super) fn new(config: Arc<ZoneConfig>) -> Self {
        let servers = config
            .nameservers
            .iter()
            .map(|server| (&server.name, &server.addresses, false));
        let hosts = config
            .hosts
            .iter()
            .map(|host| (&host.name, &host.addresses, host.certificate));
        let nodes = servers
            .chain(hosts)
            .filter_map(|(name, addresses, certificate)| {
                // A name server may lie outside; its own zone answers for it.
                let owner = Owner::within(config.origin.as_name(), name.as_name())?;
                let addresses = Addresses::new(addresses);
                let role = Role::Host(Arc::new(HostRole {
                    addresses,
                    certificate,
                }));
                Some((owner, Node::with_role(role)))
            })
            .collect();
        Self {
            serial: config.serial,
            config,
            nodes,
        }
    }

    /// Puts other CAA sets in place of those of the configuration.
    pub(super) fn admit(&mut self, caa: CaaSets) {
        Arc::make_mut(&mut self.config).caa = caa;
    }

    /// Returns the zone's configuration.
    pub fn config(&self) -> &ZoneConfig {
        &self.config
    }

    /// Returns the SOA serial.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Returns how many owners something is stored at, HQ's own hosts included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Tells whether nothing at all is stored.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns what stands at `path`, if it exists at `now`.
    pub(crate) fn find(&self, path: &[u8], now: UnixSeconds) -> Option<&Node> {
        self.nodes.get(path).filter(|node| node.exists(now))
    }

    /// Tells whether anything below `path` exists at `now`, which makes `path` exist too
    /// ([RFC 4592] 2.2.2).
    ///
    /// [RFC 4592]: https://www.rfc-editor.org/rfc/rfc4592#section-2.2.2
    pub(crate) fn has_below(&self, path: &[u8], now: UnixSeconds) -> bool {
        self.below(path)
            .take(MAX_LOOKED_AT)
            .any(|(_, node)| node.exists(now))
    }

    /// Returns a copy of what is stored at `owner`, or a fresh node.
    pub(super) fn node(&self, owner: &Owner) -> Node {
        self.nodes.get(owner.path()).cloned().unwrap_or_default()
    }

    /// Stores a node, or removes it if nothing is left in it.
    pub(super) fn put(&mut self, owner: Owner, node: Node) {
        if node.is_empty() {
            self.nodes.remove(owner.path());
        } else {
            self.nodes.insert(owner, node);
        }
    }

    /// Returns `owner` and the owners below it, HQ's own hosts left out.
    pub(super) fn device_nodes_at_and_below(&self, owner: &Owner) -> Vec<Owner> {
        let below = self
            .below(owner.path())
            .filter_map(|(owner, node)| match node.role {
                Role::Host(_) => None,
                Role::Nothing | Role::Label | Role::Word(_) | Role::Addresses(_) => {
                    Some(owner.clone())
                }
            });
        std::iter::once(owner.clone()).chain(below).collect()
    }

    /// Tells whether the topmost label of `owner` is live and `owner` lies below it.
    pub(super) fn is_below_label(&self, owner: &Owner) -> bool {
        let labels = path_labels(owner.path());
        let Some(top) = labels.first() else {
            return false;
        };
        labels.len() > 1
            && self
                .nodes
                .get(&owner.path()[..=top.len()])
                .is_some_and(|node| node.role == Role::Label)
    }

    /// Raises the serial by one in the arithmetic of [RFC 1982].
    ///
    /// [RFC 1982]: https://www.rfc-editor.org/rfc/rfc1982#section-3.1
    pub(super) fn raise_serial(&mut self) {
        self.serial = self.serial.wrapping_add(1);
    }

    fn below<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = (&'a Owner, &'a Node)> {
        self.nodes
            .range::<_, [u8]>((Excluded(path), Unbounded))
            .take_while(move |(owner, _)| owner.path().starts_with(path))
    }
}

/// Leaves the content out: there may be a million owners.
impl fmt::Debug for ZoneSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZoneSnapshot")
            .field("origin", self.config.origin())
            .field("serial", &self.serial)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// How many owners below a name are looked at. Those passed over have expired TXT values only, which
/// [`ZoneStore::sweep`](crate::ZoneStore::sweep) removes; with more of them the name reads as missing
/// for a little while.
const MAX_LOOKED_AT: usize = 256;
