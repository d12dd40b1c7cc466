//! The format of a bucket: a header, and sorted entries of a fixed width, so that it can be searched without decoding it.
//!
//! ```text
//! TLB2 000002 000001 | first(8) first(8) | second(8) id(16) second(8) id(16) | first(8) | second(8) id(16)
//!      │      │        └ entries of profiles ──────────────────────────────┘ └ entries of subscriptions
//!      │      └ number of entries of subscriptions
//!      └ number of entries of profiles
//! ```
//! (Without the spaces and bars.) A hash has two words of 48 bits, and a profile ID has two more; a word has 8 characters
//! ([`word`]). The first words of all hashes are adjacent: a search reads little else.
//!
//! Entries are sorted by hash and profile. A key has one entry for each of its profiles, up to [`KEY_PROFILES_LIMIT`], so that
//! profiles can be removed from an index one by one. If more profiles have the key, it has one entry, which has [`AMBIGUOUS`]
//! instead of an ID.

use std::ops::Range;

use super::key::{HashPrefix, ProfileId};
use crate::limits::KEY_PROFILES_LIMIT;

mod word;

const MAGIC: &[u8; 4] = b"TLB2";
const COUNT_DIGITS: usize = 6;
const HEADER_BYTES: usize = MAGIC.len() + 2 * COUNT_DIGITS;
/// Size of an entry in bytes.
pub const ENTRY_BYTES: usize = WORD_BYTES + TAIL_BYTES;
const WORD_BYTES: usize = size_of::<word::WordText>();
/// Size of an entry without the first word of its hash, in bytes.
const TAIL_BYTES: usize = 3 * WORD_BYTES;
/// Replaces both words of an ID if more than [`KEY_PROFILES_LIMIT`] profiles have the key. `*` is not a digit.
const AMBIGUOUS: [u64; 2] = [u64::from_le_bytes(*b"********"); 2];

/// A part of a bucket, which is searched separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BucketSection {
    /// Keys of profiles.
    Profiles,
    /// Keys of subscriptions.
    Subscriptions,
}

impl BucketSection {
    /// The number of the section in stored keys, in messages and in records of an import. Pinned.
    pub fn number(self) -> u8 {
        match self {
            Self::Profiles => 0,
            Self::Subscriptions => 1,
        }
    }

    /// Returns the section with a number. Higher bits than the lowest are ignored.
    pub fn from_number(number: u8) -> Self {
        if number & 1 == 0 { Self::Profiles } else { Self::Subscriptions }
    }
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
    profiles: SectionEntries<'a>,
    subscriptions: SectionEntries<'a>,
}

impl<'a> Bucket<'a> {
    /// Checks the header and the length. Entries are checked when they are searched.
    pub fn parse(text: &'a str) -> Result<Self, CorruptBucket> {
        let rest = text.as_bytes().strip_prefix(MAGIC).ok_or(CorruptBucket)?;
        let (profiles, rest) = parse_count(rest)?;
        let (subscriptions, rest) = parse_count(rest)?;
        let (profiles_text, subscriptions_text) = rest.split_at_checked(profiles * ENTRY_BYTES).ok_or(CorruptBucket)?;
        Ok(Self {
            profiles: SectionEntries::parse(profiles_text, profiles)?,
            subscriptions: SectionEntries::parse(subscriptions_text, subscriptions)?,
        })
    }

    /// Searches one section.
    pub fn find(&self, section: BucketSection, hash: HashPrefix) -> Result<KeyMatch, CorruptBucket> {
        self.section(section).find(hash)
    }

    /// Passes each profile that has a key in a section. `None`: more than [`KEY_PROFILES_LIMIT`] profiles have it.
    pub fn each_holder(
        &self,
        section: BucketSection,
        hash: HashPrefix,
        on_holder: impl FnMut(Option<ProfileId>),
    ) -> Result<(), CorruptBucket> {
        self.section(section).each_holder(hash, on_holder)
    }

    /// Searches sections in order, and returns the result of the first one that contains the key.
    #[inline]
    pub fn find_first(&self, sections: &[BucketSection], hash: HashPrefix) -> Result<KeyMatch, CorruptBucket> {
        for section in sections {
            match self.section(*section).find(hash)? {
                KeyMatch::None => {}
                found => return Ok(found),
            }
        }
        Ok(KeyMatch::None)
    }

    /// Decodes all entries of a section, in order.
    pub fn entries(
        &self,
        section: BucketSection,
    ) -> impl Iterator<Item = Result<BucketEntry, CorruptBucket>> + use<'a> {
        let SectionEntries { firsts, tails } = *self.section(section);
        firsts.iter().zip(tails).map(|(first, tail)| {
            let [second, id @ ..] = split_tail(tail);
            let hash = (word::decode(u64::from_le_bytes(*first)), word::decode(second));
            let (Some(first), Some(second)) = hash else { return Err(CorruptBucket) };
            Ok(BucketEntry { hash: HashPrefix::from_words([first, second]), profile: decode_id(id)? })
        })
    }

    fn section(&self, section: BucketSection) -> &SectionEntries<'a> {
        match section {
            BucketSection::Profiles => &self.profiles,
            BucketSection::Subscriptions => &self.subscriptions,
        }
    }
}

/// The entries of a section. Both lists have the same length.
#[derive(Debug, Clone, Copy)]
struct SectionEntries<'a> {
    /// The first word of each hash.
    firsts: &'a [[u8; WORD_BYTES]],
    /// The second word of each hash, and the two words of the ID.
    tails: &'a [[u8; TAIL_BYTES]],
}

impl<'a> SectionEntries<'a> {
    /// Divides the text of `count` entries.
    fn parse(text: &'a [u8], count: usize) -> Result<Self, CorruptBucket> {
        if text.len() != count * ENTRY_BYTES {
            return Err(CorruptBucket);
        }
        let (firsts, tails) = text.split_at_checked(count * WORD_BYTES).ok_or(CorruptBucket)?;
        Ok(Self { firsts: firsts.as_chunks().0, tails: tails.as_chunks().0 })
    }

    /// The first word of an entry.
    fn first(&self, at: usize) -> Option<u64> {
        self.firsts.get(at).map(|word| u64::from_le_bytes(*word))
    }

    #[inline]
    fn find(&self, hash: HashPrefix) -> Result<KeyMatch, CorruptBucket> {
        let (start, first) = self.locate(hash);
        if self.first(start) == Some(first) {
            return self.match_from(start, first, hash);
        }
        self.check_neighbours(start..start, first).map(|()| KeyMatch::None)
    }

    /// The result for a key. Not inlined, because most keys of some launches have no entry, and the second word would otherwise be
    /// encoded for these, too.
    #[inline(never)]
    fn match_from(&self, start: usize, first: u64, hash: HashPrefix) -> Result<KeyMatch, CorruptBucket> {
        let words = [first, second_word(hash)];
        let mut end = start;
        let Some(id) = self.next_holder(&mut end, words)? else {
            return self.check_neighbours(start..end, first).map(|()| KeyMatch::None);
        };
        let profile = decode_id(id)?;
        let other = self.next_holder(&mut end, words)?.map(decode_id).transpose()?;
        Ok(match (profile, other) {
            (Some(profile), None) => KeyMatch::Profile(profile),
            _ => KeyMatch::Ambiguous,
        })
    }

    /// Passes each profile that has a key.
    fn each_holder(&self, hash: HashPrefix, mut on_holder: impl FnMut(Option<ProfileId>)) -> Result<(), CorruptBucket> {
        let (start, first) = self.locate(hash);
        let words = [first, second_word(hash)];
        let mut end = start;
        let mut is_found = false;
        while let Some(id) = self.next_holder(&mut end, words)? {
            on_holder(decode_id(id)?);
            is_found = true;
        }
        if is_found { Ok(()) } else { self.check_neighbours(start..end, first) }
    }

    /// Returns the ID of the next entry of a key from position `at` on, and moves `at` after that entry. Checks the entries before
    /// it. After the last entry with the first word of the key, returns `None`.
    #[inline]
    fn next_holder(&self, at: &mut usize, [first, second]: [u64; 2]) -> Result<Option<[u64; 2]>, CorruptBucket> {
        while self.first(*at) == Some(first) {
            let [known, id @ ..] = self.tails.get(*at).map_or([0; 3], split_tail);
            *at += 1;
            if known == second {
                return Ok(Some(id));
            }
            if !word::is_valid(known) {
                return Err(CorruptBucket);
            }
        }
        Ok(None)
    }

    /// Checks the words before and after a range of entries that are equal to a word.
    #[inline]
    fn check_neighbours(&self, equal: Range<usize>, word: u64) -> Result<(), CorruptBucket> {
        let previous = equal.start.checked_sub(1).and_then(|before| self.first(before)).unwrap_or(word);
        let next = self.first(equal.end).unwrap_or(word);
        if next >= word && word::are_valid([previous, next]) { Ok(()) } else { Err(CorruptBucket) }
    }

    /// Returns the position where the entries of a key begin if there are any, and the encoded first word of the key.
    #[inline]
    fn locate(&self, hash: HashPrefix) -> (usize, u64) {
        let [first, _] = hash.to_words();
        let first = word::encode(first);
        (self.lower_bound(hash.scale(self.firsts.len()), first), first)
    }

    /// Returns the position of an entry with a first word of at least `wanted`, or the length, such that the word before is
    /// below `wanted`. Hashes are distributed evenly, so the search begins at an estimated position, which is
    /// about ten entries away in a bucket of 32 KiB.
    #[inline]
    fn lower_bound(&self, estimate: usize, wanted: u64) -> usize {
        let is_below = |word: &word::WordText| u64::from_le_bytes(*word) < wanted;
        // Both loops of a direction skip entries, the first one four at a time.
        if self.firsts.get(estimate).is_some_and(is_below) {
            let mut after = self.firsts.get(estimate + 1..).unwrap_or_default();
            while let [_, _, _, last, rest @ ..] = after
                && is_below(last)
            {
                after = rest;
            }
            while let [first, rest @ ..] = after
                && is_below(first)
            {
                after = rest;
            }
            self.firsts.len() - after.len()
        } else {
            let mut before = self.firsts.get(..estimate).unwrap_or(self.firsts);
            while let [rest @ .., first, _, _, _] = before
                && !is_below(first)
            {
                before = rest;
            }
            while let [rest @ .., last] = before
                && !is_below(last)
            {
                before = rest;
            }
            before.len()
        }
    }
}

/// An entry of a bucket. Entries are sorted by hash and profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BucketEntry {
    pub hash: HashPrefix,
    /// A profile that has the key, or `None` if more than [`KEY_PROFILES_LIMIT`] profiles have it.
    pub profile: Option<ProfileId>,
}

/// Entries cannot be written as a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the entries of a bucket are not sorted, or too many")]
pub struct InvalidEntries;

/// A bucket that has been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenBucket {
    pub text: String,
    /// Number of keys.
    pub keys: usize,
    /// Number of keys that more than one profile has.
    pub ambiguous: usize,
}

/// Returns the size of a bucket with this number of entries, in bytes.
pub fn length(entries: usize) -> usize {
    entries.saturating_mul(ENTRY_BYTES).saturating_add(HEADER_BYTES)
}

/// Writes a bucket. The entries of profiles and those of subscriptions must be sorted. Repeated entries are written once, and a key
/// has one entry without a profile if it has more than [`KEY_PROFILES_LIMIT`], or if one of them has no profile.
pub fn write(mut sections: [Vec<BucketEntry>; 2]) -> Result<WrittenBucket, InvalidEntries> {
    let (mut keys, mut ambiguous) = (0, 0);
    for entries in &mut sections {
        let (own_keys, own_ambiguous) = limit_profiles(entries)?;
        keys += own_keys;
        ambiguous += own_ambiguous;
    }
    let [profiles, subscriptions] = &sections;
    let mut text = Vec::with_capacity(length(profiles.len().saturating_add(subscriptions.len())));
    text.extend_from_slice(MAGIC);
    for entries in &sections {
        let digits = format!("{:0width$}", entries.len(), width = COUNT_DIGITS);
        if digits.len() != COUNT_DIGITS {
            return Err(InvalidEntries);
        }
        text.extend_from_slice(digits.as_bytes());
    }
    for entries in &sections {
        let start = text.len();
        text.resize(start + entries.len() * ENTRY_BYTES, 0);
        let free = text.get_mut(start..).unwrap_or_default();
        let (firsts, tails) = free.split_at_mut_checked(entries.len() * WORD_BYTES).unwrap_or_default();
        let (firsts, tails) = (firsts.as_chunks_mut().0, tails.as_chunks_mut::<TAIL_BYTES>().0);
        for (entry, (first_text, tail)) in entries.iter().zip(firsts.iter_mut().zip(tails)) {
            let [first, second] = entry.hash.to_words().map(word::encode);
            let [high, low] = entry.profile.map_or(AMBIGUOUS, encode_id);
            *first_text = first.to_le_bytes();
            tail.copy_from_slice([second, high, low].map(u64::to_le_bytes).as_flattened());
        }
    }
    let text = String::from_utf8(text).map_err(|_| InvalidEntries)?;
    Ok(WrittenBucket { text, keys, ambiguous })
}

/// Leaves the entries of a section that are written. Returns the number of keys, and that of ambiguous keys.
fn limit_profiles(entries: &mut Vec<BucketEntry>) -> Result<(usize, usize), InvalidEntries> {
    // Most keys have one profile.
    if entries.is_sorted_by(|a, b| a.hash < b.hash) {
        return Ok((entries.len(), entries.iter().filter(|entry| entry.profile.is_none()).count()));
    }
    if !entries.is_sorted() {
        return Err(InvalidEntries);
    }
    entries.dedup();
    let (mut keys, mut ambiguous) = (0, 0);
    let mut kept = Vec::with_capacity(entries.len());
    for key in entries.chunk_by(|a, b| a.hash == b.hash) {
        keys += 1;
        ambiguous += usize::from(!matches!(key, [BucketEntry { profile: Some(_), .. }]));
        match key {
            // An entry without a profile is the first one of its key.
            [first, ..] if first.profile.is_none() || key.len() > KEY_PROFILES_LIMIT => {
                kept.push(BucketEntry { profile: None, ..*first });
            }
            _ => kept.extend_from_slice(key),
        }
    }
    *entries = kept;
    Ok((keys, ambiguous))
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

/// Returns the encoded second word of a hash.
fn second_word(hash: HashPrefix) -> u64 {
    let [_, second] = hash.to_words();
    word::encode(second)
}

/// Returns the second word of the hash and the two words of the ID.
#[inline]
fn split_tail(tail: &[u8; TAIL_BYTES]) -> [u64; 3] {
    match tail.as_chunks().0 {
        [second, high, low] => [*second, *high, *low].map(u64::from_le_bytes),
        _ => [0; 3],
    }
}

fn encode_id(ProfileId([a, b, c, d, e, f, g, h, i, j, k, l]): ProfileId) -> [u64; 2] {
    [[a, b, c, d, e, f, 0, 0], [g, h, i, j, k, l, 0, 0]].map(|half| word::encode(u64::from_le_bytes(half)))
}

/// Returns the profile with this ID, or `None` for [`AMBIGUOUS`].
#[inline]
fn decode_id(id: [u64; 2]) -> Result<Option<ProfileId>, CorruptBucket> {
    if !word::are_valid(id) {
        return if id == AMBIGUOUS { Ok(None) } else { Err(CorruptBucket) };
    }
    let [high, low] = id.map(word::decode_valid);
    let number = u128::from(high) | u128::from(low) << 48;
    let bytes = number.to_le_bytes();
    Ok(bytes.first_chunk().map(|bytes| ProfileId(*bytes)))
}

#[cfg(test)]
mod tests;
