//! The format of a bucket: a header, and sorted entries of a fixed width, so that it can be searched without decoding it.
//!
//! ```text
//! TLB1 000002 000001 | hash(16) id(16) | hash(16) id(16) | hash(16) id(16)
//!      │      │        └ entries of profiles, sorted ────┘ └ entries of subscriptions, sorted
//!      │      └ number of entries of subscriptions
//!      └ number of entries of profiles
//! ```
//! (Without the spaces and bars.) A hash and a profile ID are 96 bits each, written as 16 characters of base64. The alphabet is
//! in ASCII order, so texts sort like hashes. If more than one profile has a key, its entry has [`AMBIGUOUS`] instead of an ID.

use super::key::{KeyHash, ProfileId};

/// 64 characters in ASCII order. JSON and shells do not escape them.
const ALPHABET: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
/// In [`DECODED`], a byte that is not in the alphabet.
const INVALID: u8 = 0xFF;
const MAGIC: &[u8; 4] = b"TLB1";
const COUNT_DIGITS: usize = 6;
const HEADER_BYTES: usize = MAGIC.len() + 2 * COUNT_DIGITS;
/// Size of an entry in bytes.
pub const ENTRY_BYTES: usize = 32;
/// Replaces the ID of an ambiguous key. `*` is not in the alphabet.
const AMBIGUOUS: &[u8; 16] = b"****************";

/// A part of a bucket, which is searched separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BucketSection {
    /// Keys of profiles.
    Profiles,
    /// Keys of subscriptions.
    Subscriptions,
}

/// The result of a search for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMatch {
    /// One profile has the key.
    Profile(ProfileId),
    /// More than one profile has the key.
    Ambiguous,
    /// No profile has the key.
    None,
}

/// A text is not a valid bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bucket of the profile index is damaged")]
pub struct CorruptBucket;

/// A bucket with a valid header and length.
#[derive(Debug, Clone, Copy)]
pub struct Bucket<'a> {
    profiles: &'a [[u8; ENTRY_BYTES]],
    subscriptions: &'a [[u8; ENTRY_BYTES]],
}

impl<'a> Bucket<'a> {
    /// Checks the header and the length. Entries are checked when they are searched.
    pub fn parse(text: &'a str) -> Result<Self, CorruptBucket> {
        let rest = text.as_bytes().strip_prefix(MAGIC).ok_or(CorruptBucket)?;
        let (profiles, rest) = parse_count(rest)?;
        let (subscriptions, rest) = parse_count(rest)?;
        let (entries, remainder) = rest.as_chunks::<ENTRY_BYTES>();
        if !remainder.is_empty() || entries.len() != profiles + subscriptions {
            return Err(CorruptBucket);
        }
        let (profiles, subscriptions) = entries.split_at_checked(profiles).ok_or(CorruptBucket)?;
        Ok(Self { profiles, subscriptions })
    }

    /// Searches one section.
    pub fn find(&self, section: BucketSection, hash: &KeyHash) -> Result<KeyMatch, CorruptBucket> {
        self.find_first(&[section], hash)
    }

    /// Passes each profile that has a key in a section. `None` stands for profiles that the bucket does not name.
    pub fn each_holder(
        &self,
        section: BucketSection,
        hash: &KeyHash,
        mut on_holder: impl FnMut(Option<ProfileId>),
    ) -> Result<(), CorruptBucket> {
        match self.find(section, hash)? {
            KeyMatch::Profile(profile) => on_holder(Some(profile)),
            KeyMatch::Ambiguous => on_holder(None),
            KeyMatch::None => {}
        }
        Ok(())
    }

    /// Returns the entries of a section.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn entries(
        &self,
        section: BucketSection,
    ) -> impl Iterator<Item = Result<BucketEntry, CorruptBucket>> + use<'a> {
        let entries = match section {
            BucketSection::Profiles => self.profiles,
            BucketSection::Subscriptions => self.subscriptions,
        };
        entries.iter().map(|entry| {
            let (hash, id) = split_entry(entry);
            let profile = if id == *AMBIGUOUS { None } else { Some(ProfileId(decode(&id).ok_or(CorruptBucket)?)) };
            Ok(BucketEntry { hash: decode(&hash).ok_or(CorruptBucket)?, profile })
        })
    }

    /// Searches sections in order, and returns the result of the first one that contains the key.
    pub fn find_first(&self, sections: &[BucketSection], hash: &KeyHash) -> Result<KeyMatch, CorruptBucket> {
        let wanted = encode(hash.prefix());
        for section in sections {
            let entries = match section {
                BucketSection::Profiles => self.profiles,
                BucketSection::Subscriptions => self.subscriptions,
            };
            match find_entry(entries, &wanted)? {
                KeyMatch::None => {}
                found => return Ok(found),
            }
        }
        Ok(KeyMatch::None)
    }
}

/// Searches sorted entries. Checks every entry on which the result depends: the one that is found, or its two neighbours if
/// none is found.
fn find_entry(entries: &[[u8; ENTRY_BYTES]], wanted: &[u8; 16]) -> Result<KeyMatch, CorruptBucket> {
    // Comparing only the first halves, as numbers, is several times faster. Hardly two entries have the same first half.
    let first = first_half(wanted);
    let start = entries.partition_point(|entry| first_half(&split_entry(entry).0) < first);
    let is_below = |entry: &&[u8; ENTRY_BYTES]| split_entry(entry).0 < *wanted;
    let at = start + entries.iter().skip(start).take_while(is_below).count();
    match entries.get(at).map(split_entry) {
        Some((hash, id)) if hash == *wanted && id == *AMBIGUOUS => Ok(KeyMatch::Ambiguous),
        Some((hash, id)) if hash == *wanted => {
            decode(&id).map(|id| KeyMatch::Profile(ProfileId(id))).ok_or(CorruptBucket)
        }
        next => {
            let previous = at.checked_sub(1).and_then(|at| entries.get(at)).map(split_entry);
            let is_previous_valid = previous.is_none_or(|(hash, _)| hash < *wanted && is_encoded(&hash));
            let is_next_valid = next.is_none_or(|(hash, _)| hash > *wanted && is_encoded(&hash));
            if is_previous_valid && is_next_valid { Ok(KeyMatch::None) } else { Err(CorruptBucket) }
        }
    }
}

/// An entry that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketEntry {
    /// [`KeyHash::prefix`].
    pub hash: [u8; 12],
    /// The profile that has the key, or `None` if the key is ambiguous.
    pub profile: Option<ProfileId>,
}

/// Entries cannot be written as a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the entries of a bucket are not sorted, or too many")]
pub struct InvalidEntries;

/// Returns the size of a bucket with this number of entries, in bytes.
pub fn length(entries: usize) -> usize {
    entries.saturating_mul(ENTRY_BYTES).saturating_add(HEADER_BYTES)
}

/// Writes a bucket. The hashes of each section must be strictly ascending.
pub fn write(profiles: &[BucketEntry], subscriptions: &[BucketEntry]) -> Result<String, InvalidEntries> {
    let mut text = Vec::with_capacity(length(profiles.len().saturating_add(subscriptions.len())));
    text.extend_from_slice(MAGIC);
    for section in [profiles, subscriptions] {
        let digits = format!("{:0width$}", section.len(), width = COUNT_DIGITS);
        if digits.len() != COUNT_DIGITS || !section.is_sorted_by(|a, b| a.hash < b.hash) {
            return Err(InvalidEntries);
        }
        text.extend_from_slice(digits.as_bytes());
    }
    for entry in profiles.iter().chain(subscriptions) {
        text.extend_from_slice(&encode(entry.hash));
        text.extend_from_slice(&entry.profile.map_or(*AMBIGUOUS, |id| encode(id.0)));
    }
    String::from_utf8(text).map_err(|_| InvalidEntries)
}

fn parse_count(text: &[u8]) -> Result<(usize, &[u8]), CorruptBucket> {
    let (digits, rest) = text.split_at_checked(COUNT_DIGITS).ok_or(CorruptBucket)?;
    let mut count = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(CorruptBucket);
        }
        count = count * 10 + usize::from(digit - b'0');
    }
    Ok((count, rest))
}

/// Returns the hash and the ID of an entry.
fn split_entry(entry: &[u8; ENTRY_BYTES]) -> ([u8; 16], [u8; 16]) {
    let (halves, _) = entry.as_chunks::<16>();
    match halves {
        [hash, id] => (*hash, *id),
        _ => ([0; 16], [0; 16]),
    }
}

/// Returns the first half of an encoded hash as a number. Numbers sort like texts.
fn first_half(hash: &[u8; 16]) -> u64 {
    let (halves, _) = hash.as_chunks::<8>();
    halves.first().map_or(0, |half| u64::from_be_bytes(*half))
}

/// Whether all characters are in the alphabet.
fn is_encoded(text: &[u8; 16]) -> bool {
    text.iter().fold(0, |seen, c| seen | DECODED.get(usize::from(*c)).copied().unwrap_or(INVALID)) & 0xC0 == 0
}

fn encode(bytes: [u8; 12]) -> [u8; 16] {
    let mut text = [0; 16];
    let (quads, _) = text.as_chunks_mut::<4>();
    let (triples, _) = bytes.as_chunks::<3>();
    for (quad, [a, b, c]) in quads.iter_mut().zip(triples) {
        let sextets = [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63];
        *quad = sextets.map(|sextet| ALPHABET.get(usize::from(sextet)).copied().unwrap_or_default());
    }
    text
}

fn decode(text: &[u8; 16]) -> Option<[u8; 12]> {
    let mut bytes = [0; 12];
    let (triples, _) = bytes.as_chunks_mut::<3>();
    let (quads, _) = text.as_chunks::<4>();
    let mut seen = 0;
    for (triple, quad) in triples.iter_mut().zip(quads) {
        let [a, b, c, d] = quad.map(|c| DECODED.get(usize::from(c)).copied().unwrap_or(INVALID));
        seen |= a | b | c | d;
        *triple = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    (seen & 0xC0 == 0).then_some(bytes)
}

/// The position of each byte in the alphabet, or [`INVALID`].
static DECODED: [u8; 256] = decode_table();

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated at compile time")]
const fn decode_table() -> [u8; 256] {
    let mut table = [INVALID; 256];
    let mut i = 0;
    while i < ALPHABET.len() {
        table[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(hash: u8, id: Option<u8>) -> BucketEntry {
        BucketEntry { hash: [hash; 12], profile: id.map(|id| ProfileId([id; 12])) }
    }

    fn hash(byte: u8) -> KeyHash {
        KeyHash([byte; 16])
    }

    fn find(text: &str, section: BucketSection, hash: &KeyHash) -> Result<KeyMatch, CorruptBucket> {
        Bucket::parse(text)?.find(section, hash)
    }

    /// Pinned: deployed Workers read this format.
    #[test]
    fn the_format_is_pinned() {
        let text = write(&[entry(0, Some(255)), entry(16, None)], &[entry(255, Some(0x12))]).unwrap();
        let expected = "TLB1000002000001\
            ----------------zzzzzzzzzzzzzzzz\
            30-F30-F30-F30-F****************\
            zzzzzzzzzzzzzzzz3W7H3W7H3W7H3W7H";
        assert_eq!(text, expected);
        assert_eq!(text.len(), length(3));
        assert_eq!(write(&[], &[]).unwrap(), "TLB1000000000000");
    }

    #[test]
    fn searches_sections_separately_and_reports_an_ambiguous_key() {
        let text = write(&[entry(1, Some(7)), entry(2, None)], &[entry(2, Some(8)), entry(9, Some(9))]).unwrap();
        let find = |section, byte| find(&text, section, &hash(byte)).unwrap();
        assert_eq!(find(BucketSection::Profiles, 1), KeyMatch::Profile(ProfileId([7; 12])));
        assert_eq!(find(BucketSection::Profiles, 2), KeyMatch::Ambiguous);
        assert_eq!(find(BucketSection::Profiles, 9), KeyMatch::None);
        assert_eq!(find(BucketSection::Subscriptions, 2), KeyMatch::Profile(ProfileId([8; 12])));
        assert_eq!(find(BucketSection::Subscriptions, 1), KeyMatch::None);
    }

    #[test]
    fn reports_a_damaged_bucket() {
        let text = write(&[entry(1, Some(7)), entry(3, None)], &[entry(2, Some(8))]).unwrap();
        let find = |text: &str, byte| find(text, BucketSection::Profiles, &hash(byte));
        for end in 0..text.len() {
            assert_eq!(find(&text[..end], 1), Err(CorruptBucket), "cut at {end}");
        }
        assert_eq!(find(&format!("{text}-"), 1), Err(CorruptBucket));
        assert_eq!(find(&text.replace("TLB1", "TLB2"), 1), Err(CorruptBucket));
        assert_eq!(find(&text.replace("000002", "00000+"), 1), Err(CorruptBucket));
        assert_eq!(find(&text.replace("000002000001", "000001000001"), 1), Err(CorruptBucket));
        let at = |at: usize| {
            let mut damaged = text.clone();
            damaged.replace_range(at..=at, "!");
            damaged
        };
        assert_eq!(find(&at(HEADER_BYTES + 16), 1), Err(CorruptBucket), "the ID that is found");
        assert_eq!(find(&at(HEADER_BYTES + 15), 2), Err(CorruptBucket), "the neighbour before");
        assert_eq!(find(&at(HEADER_BYTES + ENTRY_BYTES + 15), 2), Err(CorruptBucket), "the neighbour after");
    }

    #[test]
    fn refuses_to_write_entries_that_are_not_ascending() {
        assert_eq!(write(&[entry(2, None), entry(1, None)], &[]), Err(InvalidEntries));
        assert_eq!(write(&[], &[entry(1, None), entry(1, Some(3))]), Err(InvalidEntries));
    }

    proptest! {
        #[test]
        fn texts_sort_like_hashes_and_decode_to_them(a: [u8; 12], b: [u8; 12]) {
            prop_assert_eq!(encode(a).cmp(&encode(b)), a.cmp(&b));
            prop_assert_eq!(decode(&encode(a)), Some(a));
        }

        #[test]
        fn any_text_can_be_searched_without_a_panic(text in "(TLB1)?[0-9]{0,14}[-a-zA-Z0-9_*é]{0,80}", hash: [u8; 16]) {
            let _ = find(&text, BucketSection::Profiles, &KeyHash(hash));
            let _ = find(&text, BucketSection::Subscriptions, &KeyHash(hash));
        }
    }
}
