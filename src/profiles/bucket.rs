//! The text of a bucket: a header and entries of a fixed width, sorted, so that it is searched where it lies.
//!
//! ```text
//! TLB1 000002 000001 | hash(16) id(16) | hash(16) id(16) | hash(16) id(16)
//!      profiles      └─ sorted: entries of profiles ────┘ └ of subscriptions
//!             subscriptions
//! ```
//! (Without the spaces and bars.) A hash and an id are 96 bits each, as 16 characters of a base64 whose alphabet
//! is in the order of ASCII: so the order of texts is the order of hashes. A key that stands for more than one
//! profile has [`AMBIGUOUS`] in place of the id.

use std::fmt;

use super::key::{KeyHash, ProfileId};

/// The alphabet: 64 characters in the order of ASCII, none of which JSON or a shell would touch.
const ALPHABET: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
/// What no character of the alphabet stands for.
const NONE: u8 = 0xFF;
const MAGIC: &[u8; 4] = b"TLB1";
const COUNT_DIGITS: usize = 6;
const HEADER: usize = MAGIC.len() + 2 * COUNT_DIGITS;
/// Bytes of one entry.
pub const ENTRY: usize = 32;
/// In place of the id where a key stands for more than one profile; `*` is not in the alphabet.
const AMBIGUOUS: &[u8; 16] = b"****************";

/// Which entries of a bucket to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Keys of profiles.
    Profiles,
    /// Keys of subscriptions.
    Subscriptions,
}

/// What a key was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The key of this profile.
    Profile(ProfileId),
    /// The key of more than one profile.
    Ambiguous,
    /// No profile's key.
    NotFound,
}

/// The text is not that of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bucket of the profile index is damaged")
    }
}

/// A bucket whose header and length have been checked.
#[derive(Debug, Clone, Copy)]
pub struct Bucket<'a> {
    profiles: &'a [[u8; ENTRY]],
    subscriptions: &'a [[u8; ENTRY]],
}

impl<'a> Bucket<'a> {
    /// Checks the header, and the length by it.
    pub fn parse(text: &'a str) -> Result<Self, Corrupt> {
        let rest = text.as_bytes().strip_prefix(MAGIC).ok_or(Corrupt)?;
        let (profiles, rest) = count(rest)?;
        let (subscriptions, rest) = count(rest)?;
        let (entries, cut) = rest.as_chunks::<ENTRY>();
        if !cut.is_empty() || entries.len() != profiles + subscriptions {
            return Err(Corrupt);
        }
        let (profiles, subscriptions) = entries.split_at_checked(profiles).ok_or(Corrupt)?;
        Ok(Self { profiles, subscriptions })
    }

    /// Searches one section.
    pub fn find(&self, section: Section, hash: &KeyHash) -> Result<Found, Corrupt> {
        self.find_first(&[section], hash)
    }

    /// Searches sections in their order: the first that holds the key decides.
    pub fn find_first(&self, sections: &[Section], hash: &KeyHash) -> Result<Found, Corrupt> {
        let wanted = encode(hash.entry());
        for section in sections {
            let entries = match section {
                Section::Profiles => self.profiles,
                Section::Subscriptions => self.subscriptions,
            };
            match find_among(entries, &wanted)? {
                Found::NotFound => {}
                found => return Ok(found),
            }
        }
        Ok(Found::NotFound)
    }
}

/// Searches entries. Everything that the answer rests on is checked: the id that is found, or the two neighbours between
/// which the hash would stand.
fn find_among(entries: &[[u8; ENTRY]], wanted: &[u8; 16]) -> Result<Found, Corrupt> {
    // By a number of the first half, which hardly two entries share: comparing all bytes takes several times as long.
    let first = number(wanted);
    let start = entries.partition_point(|entry| number(&halves(entry).0) < first);
    let below = |entry: &&[u8; ENTRY]| halves(entry).0 < *wanted;
    let at = start + entries.iter().skip(start).take_while(below).count();
    match entries.get(at).map(halves) {
        Some((hash, id)) if hash == *wanted && id == *AMBIGUOUS => Ok(Found::Ambiguous),
        Some((hash, id)) if hash == *wanted => decode(&id).map(|id| Found::Profile(ProfileId(id))).ok_or(Corrupt),
        after => {
            let before = at.checked_sub(1).and_then(|at| entries.get(at)).map(halves);
            let sound_before = before.is_none_or(|(hash, _)| hash < *wanted && is_text(&hash));
            let sound_after = after.is_none_or(|(hash, _)| hash > *wanted && is_text(&hash));
            if sound_before && sound_after { Ok(Found::NotFound) } else { Err(Corrupt) }
        }
    }
}

/// Searches one section of a bucket's text.
pub fn find(text: &str, section: Section, hash: &KeyHash) -> Result<Found, Corrupt> {
    Bucket::parse(text)?.find(section, hash)
}

/// An entry to be written: the hash's part, and the profile, or `None` if the key is ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// [`KeyHash::entry`].
    pub hash: [u8; 12],
    /// Whose key it is; `None`: more than one profile's.
    pub profile: Option<ProfileId>,
}

/// The entries cannot be written: a section's hashes do not strictly ascend, or are more than a header can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwritable;

/// Bytes of a bucket of so many entries.
pub fn length(entries: usize) -> usize {
    entries.saturating_mul(ENTRY).saturating_add(HEADER)
}

/// Writes a bucket. The hashes of each section must strictly ascend.
pub fn write(profiles: &[Entry], subscriptions: &[Entry]) -> Result<String, Unwritable> {
    let mut text = Vec::with_capacity(length(profiles.len().saturating_add(subscriptions.len())));
    text.extend_from_slice(MAGIC);
    for section in [profiles, subscriptions] {
        let digits = format!("{:0width$}", section.len(), width = COUNT_DIGITS);
        if digits.len() != COUNT_DIGITS || !section.is_sorted_by(|a, b| a.hash < b.hash) {
            return Err(Unwritable);
        }
        text.extend_from_slice(digits.as_bytes());
    }
    for entry in profiles.iter().chain(subscriptions) {
        text.extend_from_slice(&encode(entry.hash));
        text.extend_from_slice(&entry.profile.map_or(*AMBIGUOUS, |id| encode(id.0)));
    }
    String::from_utf8(text).map_err(|_| Unwritable)
}

fn count(text: &[u8]) -> Result<(usize, &[u8]), Corrupt> {
    let (digits, rest) = text.split_at_checked(COUNT_DIGITS).ok_or(Corrupt)?;
    let mut count = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Corrupt);
        }
        count = count * 10 + usize::from(digit - b'0');
    }
    Ok((count, rest))
}

fn halves(entry: &[u8; ENTRY]) -> ([u8; 16], [u8; 16]) {
    let (halves, _) = entry.as_chunks::<16>();
    match halves {
        [hash, id] => (*hash, *id),
        _ => ([0; 16], [0; 16]),
    }
}

/// The first half of a hash, in the order of its text.
fn number(hash: &[u8; 16]) -> u64 {
    let (halves, _) = hash.as_chunks::<8>();
    halves.first().map_or(0, |half| u64::from_be_bytes(*half))
}

/// Whether all characters are of the alphabet.
fn is_text(text: &[u8; 16]) -> bool {
    text.iter().fold(0, |seen, c| seen | DECODE.get(usize::from(*c)).copied().unwrap_or(NONE)) & 0xC0 == 0
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
        let [a, b, c, d] = quad.map(|c| DECODE.get(usize::from(c)).copied().unwrap_or(NONE));
        seen |= a | b | c | d;
        *triple = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
    }
    (seen & 0xC0 == 0).then_some(bytes)
}

/// The number of each character of the alphabet.
static DECODE: [u8; 256] = decode_table();

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated when this compiles")]
const fn decode_table() -> [u8; 256] {
    let mut table = [NONE; 256];
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

    fn entry(hash: u8, id: Option<u8>) -> Entry {
        Entry { hash: [hash; 12], profile: id.map(|id| ProfileId([id; 12])) }
    }

    fn hash(byte: u8) -> KeyHash {
        KeyHash([byte; 16])
    }

    /// Pinned: another text cannot be read by what is deployed.
    #[test]
    fn the_text_stays_what_it_is() {
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
    fn sections_are_apart_and_an_ambiguous_key_is_told() {
        let text = write(&[entry(1, Some(7)), entry(2, None)], &[entry(2, Some(8)), entry(9, Some(9))]).unwrap();
        let find = |section, byte| find(&text, section, &hash(byte)).unwrap();
        assert_eq!(find(Section::Profiles, 1), Found::Profile(ProfileId([7; 12])));
        assert_eq!(find(Section::Profiles, 2), Found::Ambiguous);
        assert_eq!(find(Section::Profiles, 9), Found::NotFound);
        assert_eq!(find(Section::Subscriptions, 2), Found::Profile(ProfileId([8; 12])));
        assert_eq!(find(Section::Subscriptions, 1), Found::NotFound);
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        let text = write(&[entry(1, Some(7)), entry(3, None)], &[entry(2, Some(8))]).unwrap();
        let find = |text: &str, byte| find(text, Section::Profiles, &hash(byte));
        for end in 0..text.len() {
            assert_eq!(find(&text[..end], 1), Err(Corrupt), "cut at {end}");
        }
        assert_eq!(find(&format!("{text}-"), 1), Err(Corrupt));
        assert_eq!(find(&text.replace("TLB1", "TLB2"), 1), Err(Corrupt));
        assert_eq!(find(&text.replace("000002", "00000+"), 1), Err(Corrupt));
        assert_eq!(find(&text.replace("000002000001", "000001000001"), 1), Err(Corrupt));
        let at = |at: usize| {
            let mut damaged = text.clone();
            damaged.replace_range(at..=at, "!");
            damaged
        };
        assert_eq!(find(&at(HEADER + 16), 1), Err(Corrupt), "the id that is found");
        assert_eq!(find(&at(HEADER + 15), 2), Err(Corrupt), "the neighbour before");
        assert_eq!(find(&at(HEADER + ENTRY + 15), 2), Err(Corrupt), "the neighbour after");
    }

    #[test]
    fn what_cannot_be_searched_is_not_written() {
        assert_eq!(write(&[entry(2, None), entry(1, None)], &[]), Err(Unwritable));
        assert_eq!(write(&[], &[entry(1, None), entry(1, Some(3))]), Err(Unwritable));
    }

    proptest! {
        #[test]
        fn the_order_of_texts_is_the_order_of_hashes(a: [u8; 12], b: [u8; 12]) {
            prop_assert_eq!(encode(a).cmp(&encode(b)), a.cmp(&b));
            prop_assert_eq!(decode(&encode(a)), Some(a));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(TLB1)?[0-9]{0,14}[-a-zA-Z0-9_*é]{0,80}", hash: [u8; 16]) {
            let _ = find(&text, Section::Profiles, &KeyHash(hash));
            let _ = find(&text, Section::Subscriptions, &KeyHash(hash));
        }
    }
}
