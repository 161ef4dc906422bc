//! A map for a few entries.

use alloc::vec::Vec;
use core::borrow::Borrow;

/// A map for a few entries: a list, sorted by key.
///
/// The machine's maps have named bounds of a few dozen entries. There a list is as fast as a tree,
/// and every type of a `BTreeMap` costs the component three kilobytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SmallMap<K, V>(Vec<(K, V)>);

impl<K: Ord, V> SmallMap<K, V> {
    /// No entries.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Puts a value in the place of the one that the key has, if it has one.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    /// The value of a key, made if there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let at = match self.place(&key) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (key, make()));
                at
            }
        };
        &mut self.0[at].1
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Ok(at) = self.place(key) {
            self.0.remove(at);
        }
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// The entries, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The values, by key.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Where the key stands, or should.
    #[inline(never)]
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(at, _)| at.borrow().cmp(key))
    }
}

impl<K: Ord, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

/// Sorts a short list, without the kilobytes that sorting a long one fast takes.
pub(crate) fn sort_few<T: Ord>(list: &mut [T]) {
    for end in 1..list.len() {
        let mut at = end;
        while at > 0 && list[at] < list[at - 1] {
            list.swap(at, at - 1);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_map_that_a_tree_is(
            steps in prop::collection::vec((any::<bool>(), 0_u8..8, any::<u16>()), 0..32)
        ) {
            let (mut few, mut tree) = (SmallMap::new(), BTreeMap::new());
            for (put, key, value) in steps {
                if put {
                    few.insert(key, value);
                    tree.insert(key, value);
                } else {
                    few.remove(&key);
                    tree.remove(&key);
                }
                prop_assert!(few.iter().eq(tree.iter()));
                prop_assert!(few.values().eq(tree.values()));
                prop_assert_eq!(few.get(&key), tree.get(&key));
                prop_assert_eq!(few.contains_key(&key), tree.contains_key(&key));
                prop_assert_eq!(few.len(), tree.len());
            }
        }

        #[test]
        fn a_few_are_sorted_as_many_are(list in prop::collection::vec(any::<u8>(), 0..16)) {
            let (mut few, mut many) = (list.clone(), list);
            sort_few(&mut few);
            many.sort_unstable();
            prop_assert_eq!(few, many);
        }
    }

    #[test]
    fn a_missing_value_is_made_once() {
        let mut map = SmallMap::new();
        assert_eq!(*map.get_or_insert_with(1, || 10), 10);
        *map.get_or_insert_with(1, || 20) += 1;
        assert_eq!(map.get_mut(&1), Some(&mut 11));
    }
}
