//! Keys of profiles: their classes, and the keyed hash by which the index finds them.
//!
//! KV never contains an address. It contains hashes under a key that is derived from a secret.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use siphasher::sip128::{Hash128, SipHasher24};

use crate::{
    limits::INDEX_SECRET_MIN,
    text::{hex, hex_digits, parse_hex},
};

/// The version of the hashed text, and part of it. A change requires a new [`NORMALISATION_VERSION`].
const HASH_VERSION: u8 = 2;
/// The version of the normalisation ([`super::normal`]) and the hash of keys. An index of another version cannot be searched.
pub const NORMALISATION_VERSION: u32 = 3;

/// A class of keys. Each class has buckets of its own, and so has each custom field and custom channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// E-mail addresses of profiles and of subscriptions.
    Email,
    /// Phone numbers of profiles and of subscriptions.
    Phone,
    /// Profile IDs. An entry says that the profile exists.
    ProfileId,
    /// Push subscriptions: provider and subscription ID.
    Push,
    /// Values of a custom profile field.
    Custom,
    /// Subscriptions of a custom channel.
    CustomSub,
}

impl Class {
    pub const ALL: [Self; 6] = [Self::Email, Self::Phone, Self::ProfileId, Self::Push, Self::Custom, Self::CustomSub];

    /// The name in manifests and in keys of KV. Pinned.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::ProfileId => "profile_id",
            Self::Push => "push",
            Self::Custom => "custom",
            Self::CustomSub => "custom_sub",
        }
    }

    /// The number in the hashed text, and in stored changes. Pinned.
    pub fn number(self) -> u8 {
        match self {
            Self::Email => 1,
            Self::Phone => 2,
            Self::ProfileId => 3,
            Self::Push => 4,
            Self::Custom => 5,
            Self::CustomSub => 6,
        }
    }

    /// Returns the class with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.number() == number)
    }
}

/// A profile's ID: 96 bits, written as 24 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProfileId(pub [u8; 12]);

/// Two numbers are hashed faster than an array.
impl Hash for ProfileId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        state.write_u32(u32::from_le_bytes(rest));
    }
}

impl ProfileId {
    /// Reads 24 hexadecimal digits of either case.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text.as_bytes()).map(Self)
    }

    /// Returns the 24 digits in ASCII.
    pub fn to_hex(self) -> [u8; 24] {
        let mut hex = [0; 24];
        let (pairs, _) = hex.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(self.0) {
            *pair = hex_digits(byte);
        }
        hex
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_hex()).unwrap_or_default())
    }
}

impl fmt::Debug for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProfileId({self})")
    }
}

/// The hash of a key. A bucket contains the first 96 bits, and the last 32 bits select the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 16]);

impl KeyHash {
    /// Returns the first 96 bits, which identify the key in a bucket.
    pub fn prefix(&self) -> HashPrefix {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = self.0;
        HashPrefix { first: u64::from_le_bytes([a, b, c, d, e, f, g, h]), rest: u32::from_le_bytes([i, j, k, l]) }
    }

    /// Returns the last 32 bits, which select the bucket.
    pub fn selector(&self) -> u32 {
        let [.., a, b, c, d] = self.0;
        u32::from_le_bytes([a, b, c, d])
    }

    /// Returns the number of the key's bucket in an index of `buckets` buckets.
    pub fn bucket_number(&self, buckets: u32) -> u32 {
        bucket_number(self.selector(), buckets)
    }
}

/// The part of a hash that identifies the key in a bucket: a number of 96 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HashPrefix {
    /// The upper 64 bits.
    pub first: u64,
    /// The lower 32 bits.
    pub rest: u32,
}

impl HashPrefix {
    /// Returns the upper and the lower 48 bits.
    pub fn to_words(self) -> [u64; 2] {
        [self.first >> 16, (self.first & 0xFFFF) << 32 | u64::from(self.rest)]
    }

    /// The prefix with these upper and lower 48 bits.
    pub fn from_words([upper, lower]: [u64; 2]) -> Self {
        Self { first: upper << 16 | lower >> 32 & 0xFFFF, rest: lower_half(lower) }
    }

    /// Returns the number of 96 bits.
    pub fn to_number(self) -> u128 {
        u128::from(self.first) << 32 | u128::from(self.rest)
    }

    /// The prefix with the lowest 96 bits of a number.
    pub fn from_number(number: u128) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = number.to_le_bytes();
        Self { first: u64::from_le_bytes([e, f, g, h, i, j, k, l]), rest: u32::from_le_bytes([a, b, c, d]) }
    }

    /// Returns the position that the prefix is expected to have among `length` sorted prefixes, less than `length` unless it is 0.
    pub fn scale(self, length: usize) -> usize {
        usize::try_from(((self.first >> 32) * length as u64) >> 32).unwrap_or(0)
    }
}

fn lower_half(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// A bucket of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketPlace {
    pub number: u32,
    /// The number of buckets of the index.
    pub buckets: u32,
}

impl BucketPlace {
    /// The only bucket of an index with one. It has all keys.
    pub const WHOLE: Self = Self { number: 0, buckets: 1 };
}

/// Returns the number of the bucket for a selector. Buckets are ranges of selectors, in ascending order.
pub fn bucket_number(selector: u32, buckets: u32) -> u32 {
    // The upper half of the product is less than `buckets`, so it always fits.
    u32::try_from((u64::from(selector) * u64::from(buckets)) >> 32).unwrap_or(0)
}

/// The secret of an index key is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is shorter than {INDEX_SECRET_MIN} characters")]
pub struct SecretTooShort;

/// Hashes keys. Derived from the secret `PROFILE_INDEX_KEY`.
#[derive(Clone)]
pub struct IndexKey {
    hasher: SipHasher24,
    /// The hasher of each class without a field name, in the order of [`Class::ALL`], after [`hash_prefix`].
    class_hashers: [SipHasher24; Class::ALL.len()],
    check: String,
}

impl fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexKey(..)")
    }
}

impl IndexKey {
    /// Derives the key from a secret of at least [`INDEX_SECRET_MIN`] characters.
    pub fn new(secret: &str) -> Result<Self, SecretTooShort> {
        if secret.chars().count() < INDEX_SECRET_MIN {
            return Err(SecretTooShort);
        }
        let secret = secret.as_bytes();
        let hash_key = derive_key("trigger-launch profile index SipHash-2-4-128 key v2", secret);
        let check = derive_key("trigger-launch profile index key check v2", secret);
        let hasher = SipHasher24::new_with_key(&hash_key);
        Ok(Self { hasher, class_hashers: Class::ALL.map(|class| hash_prefix(hasher, class, "")), check: hex(&check) })
    }

    /// Returns the check value: 32 hexadecimal digits that identify the key in a manifest and reveal nothing about the secret.
    pub fn check(&self) -> &str {
        &self.check
    }

    /// Hashes a normalised key. `field` is the name of a custom field, the provider of a push subscription, or empty for other
    /// classes. The database is not part of the hash, so that a key can be hashed before the campaign is known.
    pub fn hash(&self, class: Class, field: &str, value: &str) -> KeyHash {
        self.hash_bytes(class, field, value.as_bytes())
    }

    /// Returns the hasher of one class and field, which is faster than [`Self::hash_bytes`].
    pub fn hasher(&self, class: Class, field: &str) -> KeyHasher {
        KeyHasher(hash_prefix(self.hasher, class, field))
    }

    /// Hashes the bytes of a key for which [`super::normal::is_normal`] returns `true`.
    pub fn hash_bytes(&self, class: Class, field: &str, value: &[u8]) -> KeyHash {
        let class_hasher = if field.is_empty() { self.class_hashers.get(class as usize) } else { None };
        let hash = match class_hasher {
            Some(hasher) => hasher.hash(value),
            None => hash_prefix(self.hasher, class, field).hash(value),
        };
        to_key_hash(hash)
    }
}

/// Hashes the keys of one class and field.
#[derive(Clone)]
pub struct KeyHasher(SipHasher24);

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher(..)")
    }
}

impl KeyHasher {
    /// Hashes the bytes of a normalised key.
    pub fn hash(&self, value: &[u8]) -> KeyHash {
        to_key_hash(self.0.hash(value))
    }
}

/// The same as [`Hash128::as_bytes`], which compilers inline only if they optimise all crates together.
fn to_key_hash(Hash128 { h1, h2 }: Hash128) -> KeyHash {
    KeyHash((u128::from(h2) << 64 | u128::from(h1)).to_le_bytes())
}

/// Returns a hasher that has read the text before a value: eight bytes with the version, the class and the length of the field
/// name, then the name, padded with zeros to a multiple of eight bytes.
///
/// The hasher consumes eight bytes at a time. After a multiple of eight bytes it reads a value without copying it.
fn hash_prefix(mut hasher: SipHasher24, class: Class, field: &str) -> SipHasher24 {
    // The length of a field name is limited, far below 4 GiB.
    let [a, b, c, d] = u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes();
    hasher.write(&[HASH_VERSION, class.number(), 0, 0, a, b, c, d]);
    hasher.write(field.as_bytes());
    let used = field.len() % 8;
    hasher.write([0; 8].get(used..).filter(|_| used > 0).unwrap_or_default());
    hasher
}

/// Derives 128 bits from a secret: the first half of the SHA-256 of the purpose, a zero and the secret.
fn derive_key(purpose: &str, secret: &[u8]) -> [u8; 16] {
    let mut digest = Sha256::new();
    digest.update(purpose.as_bytes());
    digest.update([0]);
    digest.update(secret);
    first_half(digest.finalize().into())
}

/// Returns the first 128 bits of a SHA-256.
pub fn first_half(digest: [u8; 32]) -> [u8; 16] {
    let (halves, _) = digest.as_chunks::<16>();
    halves.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_id_is_read_in_either_case_and_written_in_lower_case() {
        let id = ProfileId::parse("6606E08F10bcdd88297057a7").unwrap();
        assert_eq!(id.to_string(), "6606e08f10bcdd88297057a7");
        assert_eq!(&id.to_hex(), b"6606e08f10bcdd88297057a7");
    }

    /// Pinned: an index in use could not be searched with other hashes.
    #[test]
    fn hashes_and_check_values_are_pinned() {
        let key = IndexKey::new("0123456789abcdef0123456789abcdef").unwrap();
        let hash = |class, field, value| hex(&key.hash(class, field, value).0);
        assert_eq!(key.check(), "0d744f01fa775433449522ff002da3b5");
        assert_eq!(hash(Class::Email, "", "example1@example.com"), "cbf8e8bf60f21c0241a0f2bbc06643ce");
        assert_eq!(hash(Class::Custom, "Custom_ID", "003"), "4b4713a852362a97ebc9184baa33fd32");
        assert_eq!(hash(Class::Push, "android-firebase", "abc"), "69c259d2f1f1095afe4e4f068918e08d");
    }

    /// Builds the documented text in one piece and hashes it at once.
    #[test]
    fn the_hashed_text_is_version_class_field_and_value() {
        let key = IndexKey::new("0123456789abcdef0123456789abcdef").unwrap();
        for (number, class) in (1..).zip(Class::ALL) {
            for field_length in 0..20_u8 {
                for value in ["0", "003", "example1@example.com", &"x".repeat(1024)] {
                    let field = "f".repeat(field_length.into());
                    let mut text = vec![2, number, 0, 0, field_length, 0, 0, 0];
                    text.extend(field.as_bytes());
                    text.resize(text.len().next_multiple_of(8), 0);
                    text.extend(value.as_bytes());
                    assert_eq!(key.hasher(class, &field).hash(value.as_bytes()), key.hash(class, &field, value));
                    assert_eq!(
                        key.hash(class, &field, value).0,
                        key.hasher.hash(&text).as_bytes(),
                        "{class:?} {field}"
                    );
                }
            }
        }
    }

    #[test]
    fn hashes_differ_by_class_field_value_and_key() {
        let key = IndexKey::new("0123456789abcdef0123456789abcdef").unwrap();
        let other = IndexKey::new("0123456789abcdef0123456789abcdeg").unwrap();
        let hashes = [
            key.hash(Class::Custom, "ab", "c"),
            key.hash(Class::Custom, "a", "bc"),
            key.hash(Class::CustomSub, "a", "bc"),
            key.hash(Class::Custom, "", "abc"),
            other.hash(Class::Custom, "a", "bc"),
        ];
        for (i, a) in hashes.iter().enumerate() {
            assert!(hashes[..i].iter().all(|b| a != b));
        }
        assert_ne!(key.check(), other.check());
        assert_eq!(format!("{key:?}"), "IndexKey(..)");
        assert_eq!(IndexKey::new("0123456789abcdef0123456789abcde").err(), Some(SecretTooShort));
    }

    #[test]
    fn a_prefix_is_a_number_of_96_bits() {
        let hash = KeyHash(0xFEDC_BA98_7654_3210_0123_4567_89AB_CDEF_u128.to_le_bytes());
        let prefix = hash.prefix();
        assert_eq!((prefix.to_number(), hash.selector()), (0x0123_4567_89AB_CDEF_7654_3210, 0xFEDC_BA98));
        assert_eq!(prefix.to_words(), [0x0123_4567_89AB, 0xCDEF_7654_3210]);
        assert_eq!(HashPrefix::from_words(prefix.to_words()), prefix);
        assert_eq!(HashPrefix::from_number(prefix.to_number() | 1 << 96), prefix);
        assert_eq!([0, 1, 1000].map(|length| prefix.scale(length)), [0, 0, 4]);
        assert_eq!(HashPrefix::from_number(u128::MAX).scale(1000), 999);
    }

    #[test]
    fn buckets_are_ranges_of_selectors() {
        assert_eq!([0, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX].map(|s| bucket_number(s, 2)), [0, 0, 1, 1]);
        assert_eq!(bucket_number(u32::MAX, 45_000), 44_999);
        assert_eq!(bucket_number(u32::MAX, 1), 0);
    }
}
