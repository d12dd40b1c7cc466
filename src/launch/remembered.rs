//! What an isolate remembers of KV for `REMEMBER_SECONDS`: records of tokens, manifests, and the databases of campaigns. A small
//! launch then reads no KV. [`super::known`] decides what is remembered.

use std::collections::HashMap;

use crate::{
    access::TokenRecord,
    limits::{Limits, REMEMBERED_BYTES},
};

/// Values of KV by their keys. If their total size would exceed the limit, those that have expired are dropped, and then the
/// least recently used ones.
#[derive(Debug)]
pub struct Remembered {
    /// How long a value is remembered, in milliseconds.
    duration: u64,
    /// Largest total size, in bytes.
    limit: usize,
    bytes: usize,
    /// Number of accesses so far.
    accesses: u64,
    values: HashMap<String, RememberedValue>,
}

#[derive(Debug)]
struct RememberedValue {
    value: KvValue,
    /// When the value expires, in milliseconds since 1970.
    expires: u64,
    /// The value of [`Remembered::accesses`] at the last access.
    last_access: u64,
}

/// A value that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvValue {
    Token(TokenRecord),
    Manifest(String),
    Database(u64),
}

impl RememberedValue {
    /// Returns the size of the value and its key, in bytes.
    fn bytes(&self, key: &str) -> usize {
        let outside = match &self.value {
            KvValue::Token(token) => {
                token.name.len() + size_of_val(token.scopes.as_slice()) + size_of_val(token.databases.as_slice())
            }
            KvValue::Manifest(text) => text.len(),
            KvValue::Database(_) => 0,
        };
        size_of::<(String, Self)>() + key.len() + outside
    }
}

impl Remembered {
    pub fn new(limits: &Limits) -> Self {
        Self::with_limit(limits.remember_seconds, REMEMBERED_BYTES)
    }

    fn with_limit(seconds: u64, limit: usize) -> Self {
        let duration = seconds.saturating_mul(1000);
        Self { duration, limit, bytes: 0, accesses: 0, values: HashMap::new() }
    }

    /// Returns the value of a key that has not expired.
    pub fn get(&mut self, key: &str, now: u64) -> Option<&KvValue> {
        if self.values.get(key)?.expires <= now {
            self.forget(key);
        }
        let known = self.values.get_mut(key)?;
        self.accesses += 1;
        known.last_access = self.accesses;
        Some(&known.value)
    }

    pub fn forget(&mut self, key: &str) {
        if let Some((key, forgotten)) = self.values.remove_entry(key) {
            self.bytes -= forgotten.bytes(&key);
        }
    }

    /// Remembers a value that has just been read. A value that is larger than the limit is not remembered.
    pub fn put(&mut self, key: String, value: KvValue, now: u64) {
        self.forget(&key);
        self.accesses += 1;
        let expires = now.saturating_add(self.duration);
        let value = RememberedValue { value, expires, last_access: self.accesses };
        let added = value.bytes(&key);
        if self.duration == 0 || added > self.limit {
            return;
        }
        if self.bytes + added > self.limit {
            self.values.retain(|_, known| known.expires > now);
            self.bytes = self.values.iter().map(|(key, known)| known.bytes(key)).sum();
        }
        // A few thousand values at most: searching all of them costs less than keeping them sorted.
        while self.bytes + added > self.limit {
            let oldest = self.values.iter().min_by_key(|(_, known)| known.last_access).map(|(key, _)| key.clone());
            let Some(key) = oldest else { return };
            self.forget(&key);
        }
        self.bytes += added;
        self.values.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(length: usize) -> KvValue {
        KvValue::Manifest("x".repeat(length))
    }

    /// The bytes of a value with a key of one byte and a text of `length` bytes.
    fn bytes(length: usize) -> usize {
        size_of::<(String, RememberedValue)>() + 1 + length
    }

    fn known(remembered: &mut Remembered, keys: &str, now: u64) -> String {
        keys.chars().filter(|key| remembered.get(&key.to_string(), now).is_some()).collect()
    }

    #[test]
    fn a_value_expires_after_the_configured_time_however_often_it_is_used() {
        let mut remembered = Remembered::with_limit(30, 1000);
        remembered.put("a".into(), manifest(10), 5_000);
        for now in [5_000, 20_000, 34_999] {
            assert_eq!(remembered.get("a", now), Some(&manifest(10)));
        }
        assert_eq!(remembered.get("a", 35_000), None);
        assert_eq!(remembered.bytes, 0);
    }

    #[test]
    fn nothing_is_remembered_for_zero_seconds() {
        let mut remembered = Remembered::with_limit(0, 1000);
        remembered.put("a".into(), manifest(10), 0);
        assert_eq!(remembered.get("a", 0), None);
        assert_eq!(remembered.bytes, 0);
    }

    #[test]
    fn the_least_recently_used_values_make_room() {
        let mut remembered = Remembered::with_limit(30, 3 * bytes(10));
        for key in ["a", "b", "c"] {
            remembered.put(key.into(), manifest(10), 0);
        }
        assert_eq!(known(&mut remembered, "a", 0), "a");
        remembered.put("d".into(), manifest(10), 0);
        assert_eq!(known(&mut remembered, "bacd", 0), "acd");
        // Makes as much room as is necessary.
        remembered.put("e".into(), manifest(10 + bytes(0)), 0);
        assert_eq!(known(&mut remembered, "acde", 0), "de");
        assert!(remembered.bytes <= remembered.limit);
    }

    #[test]
    fn expired_values_make_room_before_used_ones() {
        let mut remembered = Remembered::with_limit(30, 2 * bytes(10));
        remembered.put("a".into(), manifest(10), 0);
        remembered.put("b".into(), manifest(10), 20_000);
        assert_eq!(known(&mut remembered, "ba", 20_000), "ba");
        remembered.put("c".into(), manifest(10), 30_000);
        assert_eq!(known(&mut remembered, "abc", 30_000), "bc");
        assert_eq!(remembered.bytes, 2 * bytes(10));
    }

    #[test]
    fn a_value_larger_than_the_limit_is_not_remembered_and_evicts_nothing() {
        let mut remembered = Remembered::with_limit(30, bytes(10));
        remembered.put("a".into(), manifest(10), 0);
        remembered.put("b".into(), manifest(11), 0);
        assert_eq!(known(&mut remembered, "ab", 0), "a");
        // The value that it would have replaced is out of date.
        remembered.put("a".into(), manifest(11), 0);
        assert_eq!((known(&mut remembered, "a", 0).as_str(), remembered.bytes), ("", 0));
    }
}
