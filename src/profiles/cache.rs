//! A cache of the buckets that an isolate has read. Buckets never change, so a cached bucket is never out of date.

use std::{collections::HashMap, rc::Rc};

/// Buckets by their keys in KV. The least recently used buckets are evicted if the total size would exceed the limit.
#[derive(Debug)]
pub struct BucketCache {
    limit: usize,
    bytes: usize,
    /// Number of accesses so far.
    accesses: u64,
    buckets: HashMap<String, CachedBucket>,
}

#[derive(Debug)]
struct CachedBucket {
    text: Rc<String>,
    /// The value of [`BucketCache::accesses`] at the last access.
    last_access: u64,
}

impl CachedBucket {
    /// Returns the size of the bucket and its key in bytes.
    fn bytes(&self, key: &str) -> usize {
        key.len() + self.text.len()
    }
}

impl BucketCache {
    /// Creates an empty cache of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, accesses: 0, buckets: HashMap::new() }
    }

    /// Returns the largest size in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Returns a bucket.
    pub fn get(&mut self, key: &str) -> Option<Rc<String>> {
        let bucket = self.buckets.get_mut(key)?;
        self.accesses += 1;
        bucket.last_access = self.accesses;
        Some(Rc::clone(&bucket.text))
    }

    /// Adds a bucket, and evicts others if necessary. A bucket that is larger than the cache is not added.
    pub fn put(&mut self, key: String, text: String) {
        self.accesses += 1;
        let bucket = CachedBucket { text: Rc::new(text), last_access: self.accesses };
        let added = bucket.bytes(&key);
        if added > self.limit || self.buckets.contains_key(&key) {
            return;
        }
        // The cache contains a few hundred buckets: searching all of them costs less than keeping them sorted.
        while self.bytes + added > self.limit {
            let oldest = self.buckets.iter().min_by_key(|(_, bucket)| bucket.last_access).map(|(key, _)| key.clone());
            let Some((key, evicted)) = oldest.and_then(|key| self.buckets.remove_entry(&key)) else { return };
            self.bytes -= evicted.bytes(&key);
        }
        self.bytes += added;
        self.buckets.insert(key, bucket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(length: usize) -> String {
        "x".repeat(length)
    }

    #[test]
    fn evicts_the_least_recently_used_buckets() {
        let mut cache = BucketCache::new(33);
        for key in ["a", "b", "c"] {
            cache.put(key.to_owned(), bucket(10));
        }
        assert_eq!(cache.get("a"), Some(Rc::new(bucket(10))));
        cache.put("d".to_owned(), bucket(10));
        assert_eq!(["a", "b", "c", "d"].map(|key| cache.get(key).is_some()), [true, false, true, true]);
        // Evicts as many as necessary.
        cache.put("e".to_owned(), bucket(20));
        assert_eq!(["a", "c", "d", "e"].map(|key| cache.get(key).is_some()), [false, false, true, true]);
        assert_eq!(cache.bytes, 32);
    }

    #[test]
    fn does_not_add_a_bucket_that_is_too_large_or_already_cached() {
        let mut cache = BucketCache::new(33);
        cache.put("a".to_owned(), bucket(10));
        cache.put("b".to_owned(), bucket(33));
        cache.put("a".to_owned(), bucket(20));
        assert_eq!((cache.get("a"), cache.get("b")), (Some(Rc::new(bucket(10))), None));
        assert_eq!(cache.bytes, 11);
    }
}
