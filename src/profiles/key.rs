//! Keys of profiles: their classes, and the keyed hash that stands for them.
//!
//! No address stands in KV: what stands there is a hash under a key that is derived from a secret.

use std::{fmt, hash::Hasher as _};

use serde::{Deserialize, Serialize};
use siphasher::sip128::SipHasher24;

use crate::text::{hex, hex_digits, parse_hex};

/// The version of the text that is hashed: it is part of the hash. A change of it changes [`NORMALISATION`] too.
const HASH_VERSION: u8 = 2;
/// The version of what becomes of keys, normalisation ([`super::normal`]) and hash: an index made with another one cannot be used.
pub const NORMALISATION: u32 = 2;
/// Fewest characters of the secret that index keys are derived from.
pub const SECRET_MIN: usize = 32;

/// A class of keys. Profiles' and subscriptions' addresses are one class, told apart in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// E-mail addresses.
    Email,
    /// Phone numbers.
    Phone,
    /// Profile ids: an entry says that the profile exists.
    ProfileId,
    /// Push subscriptions: provider and subscription id.
    Push,
    /// Values of a custom profile field; each field has an index of its own.
    Custom,
    /// Values of a custom channel's subscriptions; each field has an index of its own.
    CustomSub,
}

impl Class {
    /// All classes, each at its place.
    pub const ALL: [Self; 6] = [Self::Email, Self::Phone, Self::ProfileId, Self::Push, Self::Custom, Self::CustomSub];

    /// As it is written in manifests and keys.
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

    /// Its number in the hashed text: pinned.
    fn number(self) -> u8 {
        match self {
            Self::Email => 1,
            Self::Phone => 2,
            Self::ProfileId => 3,
            Self::Push => 4,
            Self::Custom => 5,
            Self::CustomSub => 6,
        }
    }
}

/// A profile's id: 96 bits, written as 24 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileId(pub [u8; 12]);

impl ProfileId {
    /// Reads 24 hexadecimal digits, of either case.
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text.as_bytes()).map(Self)
    }

    /// The 24 digits, in ASCII.
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

/// The hash of a key: 96 bits stand in the entry of a bucket, the other 32 choose the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 16]);

impl KeyHash {
    /// What stands in the entry.
    pub fn entry(&self) -> [u8; 12] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = self.0;
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    /// What chooses the bucket: spread evenly over all 32 bits.
    pub fn selector(&self) -> u32 {
        let [.., a, b, c, d] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The bucket of `buckets`. Buckets are ranges of the selector: those of a smaller selector come first.
    pub fn bucket(&self, buckets: u32) -> u32 {
        bucket_of(self.selector(), buckets)
    }
}

/// The bucket, of `buckets`, that a selector chooses.
pub fn bucket_of(selector: u32, buckets: u32) -> u32 {
    // The product's upper half is below `buckets`, so it always fits.
    u32::try_from((u64::from(selector) * u64::from(buckets)) >> 32).unwrap_or(0)
}

/// The secret is too short to be one: fewer than [`SECRET_MIN`] characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeakSecret;

impl fmt::Display for WeakSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key is shorter than {SECRET_MIN} characters")
    }
}

/// What hashes keys: made from the secret `PROFILE_INDEX_KEY`.
#[derive(Clone)]
pub struct IndexKey {
    sip: SipHasher24,
    /// What [`begin`] makes of each class without a field, at the class's place.
    begun: [SipHasher24; Class::ALL.len()],
    check: String,
}

impl fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexKey(..)")
    }
}

impl IndexKey {
    /// Derives the key from a secret text of at least [`SECRET_MIN`] characters.
    pub fn new(secret: &str) -> Result<Self, WeakSecret> {
        if secret.chars().count() < SECRET_MIN {
            return Err(WeakSecret);
        }
        let secret = secret.as_bytes();
        let sip = first_half(blake3::derive_key("trigger-launch 2026 profile index SipHash-2-4-128 key v1", secret));
        let check = first_half(blake3::derive_key("trigger-launch 2026 profile index key check v1", secret));
        let sip = SipHasher24::new_with_key(&sip);
        Ok(Self { sip, begun: Class::ALL.map(|class| begin(sip, class, "")), check: hex(&check) })
    }

    /// Tells keys apart without telling anything about them: 32 hexadecimal digits that stand in a manifest.
    pub fn check(&self) -> &str {
        &self.check
    }

    /// Hashes a normalised key. `field` is the name of the custom field, the provider of a push subscription, and
    /// empty for the other classes. Neither database nor campaign is part of it, so that a key can be hashed
    /// before either is known.
    pub fn hash(&self, class: Class, field: &str, value: &str) -> KeyHash {
        self.hash_bytes(class, field, value.as_bytes())
    }

    /// [`IndexKey::hash`] of a value that [`super::normal::is_normal`].
    pub fn hash_bytes(&self, class: Class, field: &str, value: &[u8]) -> KeyHash {
        let begun = if field.is_empty() { self.begun.get(class as usize) } else { None };
        let sip = match begun {
            Some(sip) => sip.hash(value),
            None => begin(self.sip, class, field).hash(value),
        };
        KeyHash(sip.as_bytes())
    }
}

/// The hash of what stands before the value: the version, the class and the field's length in eight bytes, and the field,
/// filled up with zeros. A multiple of eight bytes, which is what the hasher takes in at once: so it goes on as if it had
/// just begun, over the value as it stands in the body.
fn begin(mut sip: SipHasher24, class: Class, field: &str) -> SipHasher24 {
    // Fields are bounded, far below 4 GiB.
    let [a, b, c, d] = u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes();
    sip.write(&[HASH_VERSION, class.number(), 0, 0, a, b, c, d]);
    sip.write(field.as_bytes());
    let behind = field.len() % 8;
    sip.write([0; 8].get(behind..).filter(|_| behind > 0).unwrap_or_default());
    sip
}

fn first_half(bytes: [u8; 32]) -> [u8; 16] {
    let (halves, _) = bytes.as_chunks::<16>();
    halves.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_ids_are_read_and_written() {
        let id = ProfileId::parse("6606E08F10bcdd88297057a7").unwrap();
        assert_eq!(id.to_string(), "6606e08f10bcdd88297057a7");
        assert_eq!(&id.to_hex(), b"6606e08f10bcdd88297057a7");
    }

    /// Pinned: another hash would make every index in use worthless.
    #[test]
    fn hashes_and_check_values_stay_what_they_are() {
        let key = IndexKey::new("0123456789abcdef0123456789abcdef").unwrap();
        let hash = |class, field, value| hex(&key.hash(class, field, value).0);
        assert_eq!(key.check(), "868c11b1f25bc0c0a55e2c20093557be");
        assert_eq!(hash(Class::Email, "", "example1@example.com"), "65e4fbcf56bc6f49e9e115d671422ac8");
        assert_eq!(hash(Class::Custom, "Custom_ID", "003"), "5889fb8afced51148f7d720582479ca2");
        assert_eq!(hash(Class::Push, "android-firebase", "abc"), "ee60e63999d59e66f50e18043ee66d38");
    }

    /// An independent making of the hashed text: what is hashed in parts is what the documentation says.
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
                    assert_eq!(key.hash(class, &field, value).0, key.sip.hash(&text).as_bytes(), "{class:?} {field}");
                }
            }
        }
    }

    #[test]
    fn classes_fields_values_and_keys_do_not_run_into_each_other() {
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
        assert_eq!(IndexKey::new("0123456789abcdef0123456789abcde").err(), Some(WeakSecret));
    }

    #[test]
    fn buckets_are_ranges_of_the_selector() {
        assert_eq!([0, u32::MAX / 2, u32::MAX / 2 + 1, u32::MAX].map(|s| bucket_of(s, 2)), [0, 0, 1, 1]);
        assert_eq!(bucket_of(u32::MAX, 45_000), 44_999);
        assert_eq!(bucket_of(u32::MAX, 1), 0);
    }
}
