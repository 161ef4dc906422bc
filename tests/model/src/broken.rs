//! What must never be, by name.

use core::fmt;

/// What was broken on the way to a state.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Broken(u16);

impl Broken {
    /// A name is held by two live keys.
    pub(crate) const TWO_KEYS: Self = Self(1);
    /// A box took a certificate for a key that it does not hold, or did not ask a certificate for.
    pub(crate) const FOREIGN_KEY: Self = Self(2);
    /// A random value was used twice.
    pub(crate) const DRAWN_TWICE: Self = Self(4);
    /// Something was sent that was not stored.
    pub(crate) const UNSTORED: Self = Self(8);
    /// A device has two orders at the CA that are live.
    pub(crate) const TWO_ORDERS: Self = Self(16);
    /// A device that was refused or retired got a certificate.
    pub(crate) const NOT_ENTITLED: Self = Self(32);
    /// What was served went away before something better had been checked.
    pub(crate) const OLD_GONE: Self = Self(64);

    pub(crate) const fn note(&mut self, what: Self, is: bool) {
        if is {
            self.0 |= what.0;
        }
    }

    pub(crate) const fn note_all(&mut self, others: Self) {
        self.0 |= others.0;
    }

    pub(crate) const fn has(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }

    pub(crate) const fn is_anything(self) -> bool {
        self.0 != 0
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::TWO_KEYS, "two keys"),
            (Self::FOREIGN_KEY, "foreign key"),
            (Self::DRAWN_TWICE, "drawn twice"),
            (Self::UNSTORED, "not stored"),
            (Self::TWO_ORDERS, "two orders"),
            (Self::NOT_ENTITLED, "not entitled"),
            (Self::OLD_GONE, "old one gone"),
        ];
        let these = names.iter().filter(|(bit, _)| self.has(*bit));
        f.debug_list().entries(these.map(|(_, name)| name)).finish()
    }
}
