//! Launch ids.
//!
//! A launch id is a UUIDv7 (RFC 9562, §5.7): 48 bits of time in milliseconds, then 74 bits that make it unique.
//! Of those, 34 are random and the last 40 are a hash of the request that the launch answers (token name and
//! request id). So the log needs *one* index, over that hash: by it the object finds a launch by its id, and a
//! repeated request by its request id. A second index would be a third row written for every launch.
//!
//! Nothing depends on the hash being free of collisions: what the index finds is compared in full.

use std::{fmt, hash::Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use siphasher::sip::SipHasher13;

const KEY_BITS: u32 = 40;
const KEY_MASK: u64 = (1 << KEY_BITS) - 1;
const TEXT_LENGTH: usize = 36;

/// A hash of 40 bits of who asked (the token's *name*) and under which request id: what the log is indexed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestKey(u64);

impl RequestKey {
    /// The key of that request. Pinned: it is stored with every launch.
    pub fn new(token_name: &str, request_id: &str) -> Self {
        let mut hasher = SipHasher13::new();
        // The length in front keeps ("ab", "c") and ("a", "bc") apart.
        hasher.write(&u64::try_from(token_name.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.write(token_name.as_bytes());
        hasher.write(request_id.as_bytes());
        Self(hasher.finish() & KEY_MASK)
    }

    /// As it stands in the log's index.
    pub fn to_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or_default()
    }
}

/// The id of a launch, or of an attempt at one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaunchId(u128);

impl LaunchId {
    /// A new id. `now` is in milliseconds since 1970; of `random`, 34 bits are used. Two attempts at the same
    /// request in the same millisecond differ by them.
    pub fn new(now: u64, key: RequestKey, random: u64) -> Self {
        let time = u128::from(now & 0xFFFF_FFFF_FFFF) << 80;
        let version = 7_u128 << 76;
        let high = u128::from(random >> 22 & 0xFFF) << 64;
        let variant = 2_u128 << 62;
        let low = u128::from(random & 0x3F_FFFF) << KEY_BITS;
        Self(time | version | high | variant | low | u128::from(key.0))
    }

    /// The id that is written so: 36 characters, lower-case hexadecimal, version 7.
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

    /// When it was made, in milliseconds since 1970, by the clock of whoever made it.
    pub fn time(self) -> u64 {
        u64::try_from(self.0 >> 80).unwrap_or_default()
    }

    /// The request that it was made for.
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
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a launch id"))
    }
}
