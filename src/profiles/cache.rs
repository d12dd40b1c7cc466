//! A cache of what an isolate has read of profile indexes: buckets, which never change, and the pending changes of generations,
//! about which the database's object is asked before they are used.

use std::{collections::HashMap, rc::Rc};

use super::live::pending::PendingChanges;

/// Buckets by their keys in KV, and pending changes by [`changes_key`]. The least recently used entries are evicted if the total
/// size would exceed the limit.
///
/// A bucket does not evict entries that are in use ([`IndexCache::is_in_use`]). Otherwise, launches that take turns and together
/// need more than the limit would evict each other's entries before their next use, and find none of them.
#[derive(Debug)]
pub struct IndexCache {
    limit: usize,
    bytes: usize,
    /// Number of keys so far that were searched, found or not, or added.
    accesses: u64,
    entries: HashMap<String, CacheEntry>,
}

#[derive(Debug)]
struct CacheEntry {
    content: CachedContent,
    /// The value of [`IndexCache::accesses`] at the last access.
    last_access: u64,
}

#[derive(Debug, Clone)]
enum CachedContent {
    Bucket(Rc<String>),
    Changes(Rc<PendingChanges>),
}

impl CachedContent {
    /// Returns the size of the content and its key in bytes.
    fn bytes(&self, key: &str) -> usize {
        let content = match self {
            Self::Bucket(text) => text.len(),
            Self::Changes(changes) => changes.bytes(),
        };
        key.len() + content
    }
}

/// The key of the pending changes of a generation. KV has no such key.
pub fn changes_key(database: u64, generation: &str) -> String {
    format!("changes:{database}:{generation}")
}

impl IndexCache {
    /// Creates an empty cache of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, accesses: 0, entries: HashMap::new() }
    }

    /// Returns the largest size in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    fn get(&mut self, key: &str) -> Option<CachedContent> {
        self.accesses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.last_access = self.accesses;
        Some(entry.content.clone())
    }

    /// Returns a bucket.
    pub fn bucket(&mut self, key: &str) -> Option<Rc<String>> {
        match self.get(key)? {
            CachedContent::Bucket(text) => Some(text),
            CachedContent::Changes(_) => None,
        }
    }

    /// Returns the pending changes of a generation.
    pub fn changes(&mut self, key: &str) -> Option<Rc<PendingChanges>> {
        match self.get(key)? {
            CachedContent::Changes(changes) => Some(changes),
            CachedContent::Bucket(_) => None,
        }
    }

    /// Adds a bucket.
    pub fn put_bucket(&mut self, key: String, text: String) {
        self.put(key, CachedContent::Bucket(Rc::new(text)), |cache, last_access| !cache.is_in_use(last_access));
    }

    /// Adds the pending changes of a generation, instead of earlier ones. Reading them takes as long as reading many buckets.
    pub fn put_changes(&mut self, key: String, changes: Rc<PendingChanges>) {
        self.put(key, CachedContent::Changes(changes), |_, _| true);
    }

    /// Whether an entry was accessed lately: among twice as many accesses as the cache has entries.
    fn is_in_use(&self, last_access: u64) -> bool {
        self.accesses - last_access < 2 * self.entries.len() as u64
    }

    /// Adds or replaces an entry, and evicts others if necessary. An entry that is larger than the cache is not added, nor is one
    /// for which entries would have to be evicted that `may_evict` protects by their last access.
    fn put(&mut self, key: String, content: CachedContent, may_evict: fn(&Self, u64) -> bool) {
        let added = content.bytes(&key);
        self.remove(&key);
        if added > self.limit {
            return;
        }
        // The cache contains a few hundred entries: searching all of them costs less than keeping them sorted.
        while self.bytes + added > self.limit {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last_access);
            let oldest = oldest.filter(|(_, entry)| may_evict(self, entry.last_access)).map(|(key, _)| key.clone());
            let Some(key) = oldest else { return };
            self.remove(&key);
        }
        self.bytes += added;
        self.accesses += 1;
        self.entries.insert(key, CacheEntry { content, last_access: self.accesses });
    }

    fn remove(&mut self, key: &str) {
        if let Some(removed) = self.entries.remove(key) {
            self.bytes -= removed.content.bytes(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        memory::{Budget, Reservation},
        profiles::live::message::ChangeListWriter,
    };

    fn bucket(length: usize) -> String {
        "x".repeat(length)
    }

    fn found(cache: &mut IndexCache, keys: &[&str]) -> Vec<bool> {
        keys.iter().map(|key| cache.bucket(key).is_some()).collect()
    }

    #[test]
    fn evicts_the_least_recently_used_buckets() {
        let mut cache = IndexCache::new(33);
        for key in ["a", "b", "c"] {
            cache.put_bucket(key.to_owned(), bucket(10));
        }
        assert_eq!(cache.bucket("a"), Some(Rc::new(bucket(10))));
        (0..6).for_each(|_| drop(cache.bucket("a")));
        cache.put_bucket("d".to_owned(), bucket(10));
        assert_eq!(found(&mut cache, &["a", "b", "c", "d"]), [true, false, true, true]);
        // Evicts as many as necessary.
        (0..6).for_each(|_| drop(cache.bucket("d")));
        cache.put_bucket("e".to_owned(), bucket(20));
        assert_eq!(found(&mut cache, &["a", "c", "d", "e"]), [false, false, true, true]);
        assert_eq!(cache.bytes, 32);
    }

    #[test]
    fn launches_that_take_turns_find_most_of_their_buckets() {
        let keys: Vec<String> = (10..60).map(|number| number.to_string()).collect();
        let mut cache = IndexCache::new(40 * 12);
        let mut launch = |keys: &[String]| {
            let missing: Vec<&String> = keys.iter().filter(|key| cache.bucket(key).is_none()).collect();
            missing.iter().for_each(|key| cache.put_bucket((*key).clone(), bucket(10)));
            keys.len() - missing.len()
        };
        assert_eq!([&keys[..25], &keys[25..]].map(&mut launch), [0, 0]);
        for _ in 0..3 {
            assert_eq!([&keys[..25], &keys[25..]].map(&mut launch), [25, 15]);
        }
        // Buckets that are no longer used make room.
        for _ in 0..4 {
            launch(&keys[25..]);
        }
        assert_eq!(launch(&keys[25..]), 25);
    }

    #[test]
    fn changes_evict_buckets_that_are_in_use() {
        let list = ChangeListWriter::new(1, [0; 2]).finish();
        let mut memory = Reservation::verified(&Budget::new(1000, 1000));
        let changes = Rc::new(PendingChanges::new(list, &mut memory).unwrap());
        let mut cache = IndexCache::new(changes.bytes() + 22);
        for key in ["a", "b", "c"] {
            cache.put_bucket(key.to_owned(), bucket(10));
        }
        cache.put_changes("x".to_owned(), changes);
        assert_eq!(found(&mut cache, &["a", "b", "c"]).into_iter().filter(|found| *found).count(), 1);
        assert!(cache.changes("x").is_some());
    }

    #[test]
    fn does_not_add_an_entry_that_is_too_large() {
        let mut cache = IndexCache::new(33);
        cache.put_bucket("a".to_owned(), bucket(10));
        cache.put_bucket("b".to_owned(), bucket(33));
        assert_eq!((cache.bucket("a"), cache.bucket("b")), (Some(Rc::new(bucket(10))), None));
        assert_eq!(cache.bytes, 11);
    }

    #[test]
    fn replaces_changes_and_does_not_confuse_them_with_buckets() {
        let mut cache = IndexCache::new(1000);
        let key = changes_key(1, "g");
        for version in 1..4 {
            let list = ChangeListWriter::new(version, [0; 2]).finish();
            let mut memory = Reservation::verified(&Budget::new(1000, 1000));
            cache.put_changes(key.clone(), Rc::new(PendingChanges::new(list, &mut memory).unwrap()));
            assert_eq!(cache.changes(&key).map(|changes| changes.version()), Some(version));
        }
        assert_eq!((cache.entries.len(), cache.bucket(&key)), (1, None));
        let changes = cache.changes(&key).unwrap();
        assert_eq!(cache.bytes, key.len() + changes.bytes());
        cache.put_bucket("a".to_owned(), bucket(10));
        assert!(cache.changes("a").is_none());
    }
}
