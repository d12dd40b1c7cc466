//! A map for few entries. It needs less code than [`BTreeMap`](std::collections::BTreeMap), which adds 4 KB to the Worker for each
//! type of its entries.

use std::borrow::Borrow;

/// A map in a vector, which is sorted by key.
#[derive(Debug)]
pub struct VecMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for VecMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> VecMap<K, V> {
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (_, value) = self.0.get(self.find(key)?)?;
        Some(value)
    }

    /// Inserts a value, or replaces the one that the key has.
    pub fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        let index = self.0.partition_point(|(known, _)| *known < key);
        self.0.insert(index, (key, value));
    }

    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(index) = self.find(key) {
            self.0.remove(index);
        }
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.0.retain(|(key, _)| keep(key));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Returns the position of a key.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::VecMap;

    #[test]
    fn keeps_one_value_a_key_in_order() {
        let mut map = VecMap::default();
        for (key, value) in [("c", 1), ("a", 2), ("b", 3), ("a", 4)] {
            map.insert(key, value);
        }
        map.remove("b");
        map.remove("z");
        assert!(map.iter().eq([(&"a", &4), (&"c", &1)]));
        assert_eq!((map.get("c"), map.get("b")), (Some(&1), None));
        map.retain(|key| *key != "a");
        assert!(map.iter().eq([(&"c", &1)]));
    }
}
