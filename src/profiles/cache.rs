//! Buckets that an isolate has read, for its next launches: a generation's buckets never change, so what is kept is never
//! out of date. Those that were used least recently go.

use std::{collections::HashMap, rc::Rc};

/// Buckets by their keys in KV, within a number of bytes.
#[derive(Debug)]
pub struct BucketCache {
    limit: usize,
    bytes: usize,
    /// Counts uses: the clock of what was used when.
    uses: u64,
    buckets: HashMap<String, Kept>,
}

#[derive(Debug)]
struct Kept {
    text: Rc<String>,
    used: u64,
}

impl BucketCache {
    /// An empty cache that keeps at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, uses: 0, buckets: HashMap::new() }
    }

    /// Bytes that it keeps at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The bucket under `key`, if it is kept.
    pub fn get(&mut self, key: &str) -> Option<Rc<String>> {
        let kept = self.buckets.get_mut(key)?;
        self.uses += 1;
        kept.used = self.uses;
        Some(Rc::clone(&kept.text))
    }

    /// Keeps a bucket, in place of others if need be; one that is larger than all of the cache is not kept.
    pub fn put(&mut self, key: String, text: String) {
        let bytes = |key: &str, kept: &Kept| key.len() + kept.text.len();
        self.uses += 1;
        let kept = Kept { text: Rc::new(text), used: self.uses };
        let more = bytes(&key, &kept);
        if more > self.limit || self.buckets.contains_key(&key) {
            return;
        }
        // There are a few hundred at most: looking through them costs less than keeping them in order would.
        while self.bytes + more > self.limit {
            let oldest = self.buckets.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone());
            let Some((key, kept)) = oldest.and_then(|key| self.buckets.remove_entry(&key)) else { return };
            self.bytes -= bytes(&key, &kept);
        }
        self.bytes += more;
        self.buckets.insert(key, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(length: usize) -> String {
        "x".repeat(length)
    }

    #[test]
    fn what_was_used_least_recently_goes() {
        let mut cache = BucketCache::new(33);
        for key in ["a", "b", "c"] {
            cache.put(key.to_owned(), bucket(10));
        }
        assert_eq!(cache.get("a"), Some(Rc::new(bucket(10))));
        cache.put("d".to_owned(), bucket(10));
        assert_eq!(["a", "b", "c", "d"].map(|key| cache.get(key).is_some()), [true, false, true, true]);
        // Room for as much as it takes.
        cache.put("e".to_owned(), bucket(20));
        assert_eq!(["a", "c", "d", "e"].map(|key| cache.get(key).is_some()), [false, false, true, true]);
        assert_eq!(cache.bytes, 32);
    }

    #[test]
    fn what_is_too_large_and_what_is_there_is_not_kept() {
        let mut cache = BucketCache::new(33);
        cache.put("a".to_owned(), bucket(10));
        cache.put("b".to_owned(), bucket(33));
        cache.put("a".to_owned(), bucket(20));
        assert_eq!((cache.get("a"), cache.get("b")), (Some(Rc::new(bucket(10))), None));
        assert_eq!(cache.bytes, 11);
    }
}
