//! Launch IDs.
//!
//! A launch ID is a UUIDv7 (RFC 9562, section 5.7): 48 bits of time in milliseconds, and 74 bits that make it unique. Of
//! these, 34 are random, and the last 40 are a hash of the token's name and the request ID. So one index over the hash finds
//! a launch both by its ID and by its request ID. A second index would be billed as a third row of every launch.
//!
//! Hashes may collide: whoever uses the index compares the whole ID or the whole request ID.

use std::{fmt, hash::Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use siphasher::sip::SipHasher13;

const KEY_BITS: u32 = 40;
const KEY_MASK: u64 = (1 << KEY_BITS) - 1;
const TEXT_LENGTH: usize = 36;

/// A 40-bit hash of a token's name and a request ID. The log is indexed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestKey(u64);

impl RequestKey {
    /// Computes the key of a request. The hash is stored with every launch, so it never changes.
    pub fn new(token_name: &str, request_id: &str) -> Self {
        let mut hasher = SipHasher13::new();
        // Without the length, ("ab", "c") and ("a", "bc") would have the same key.
        hasher.write(&u64::try_from(token_name.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.write(token_name.as_bytes());
        hasher.write(request_id.as_bytes());
        Self(hasher.finish() & KEY_MASK)
    }

    /// The key as it is stored.
    pub fn to_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or_default()
    }
}

/// The ID of a launch, or of an attempt to launch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaunchId(u128);

impl LaunchId {
    /// Makes an ID from the time in milliseconds since 1970 and 34 bits of `random`, which distinguish attempts of one request
    /// in the same millisecond.
    pub fn new(now: u64, key: RequestKey, random: u64) -> Self {
        let time = u128::from(now & 0xFFFF_FFFF_FFFF) << 80;
        let version = 7_u128 << 76;
        let high = u128::from(random >> 22 & 0xFFF) << 64;
        let variant = 2_u128 << 62;
        let low = u128::from(random & 0x3F_FFFF) << KEY_BITS;
        Self(time | version | high | variant | low | u128::from(key.0))
    }

    /// Parses 36 characters of a UUID of version 7 in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != TEXT_LENGTH {
            return None;
        }
        let mut value = 0_u128;
        for (position, byte) in bytes.iter().enumerate() {
            let digit = match byte {
                b'-' if matches!(position, 8 | 13 | 18 | 23) => continue,
                _ if matches!(position, 8 | 13 | 18 | 23) => return None,
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            value = value << 4 | u128::from(digit);
        }
        (value >> 76 & 0xF == 7 && value >> 62 & 3 == 2).then_some(Self(value))
    }

    /// The time in the ID, in milliseconds since 1970: the clock of the Worker that made it.
    pub fn time(self) -> u64 {
        u64::try_from(self.0 >> 80).unwrap_or_default()
    }

    /// The key of the request that the ID was made for.
    pub fn key(self) -> RequestKey {
        RequestKey(u64::try_from(self.0 & u128::from(KEY_MASK)).unwrap_or_default())
    }
}

impl fmt::Display for LaunchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |from: u32, bits: u32| self.0 >> from & ((1 << bits) - 1);
        write!(f, "{:08x}-{:04x}-{:04x}-", part(96, 32), part(80, 16), part(64, 16))?;
        write!(f, "{:04x}-{:012x}", part(48, 16), part(0, 48))
    }
}

impl fmt::Debug for LaunchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for LaunchId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LaunchId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a launch ID"))
    }
}
