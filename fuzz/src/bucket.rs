//! Searching buckets where they lie, against a search of every entry.

use std::collections::{BTreeMap, BTreeSet};
use trigger_launch::profiles::{
    bucket::{Bucket, BucketEntry, BucketSection, CorruptBucket, ENTRY_BYTES, KeyMatch, length, write},
    key::{KeyHash, ProfileId},
};

const SECTIONS: [BucketSection; 2] = [BucketSection::Profiles, BucketSection::Subscriptions];
const ALPHABET: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
const AMBIGUOUS: [u8; 16] = [b'*'; 16];

/// The target.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        as_text(text);
    }
    as_entries(data);
}

/// The input is the text of a bucket.
fn as_text(text: &str) {
    let (bucket, sections) = match (Bucket::parse(text), read(text.as_bytes())) {
        (Ok(bucket), Some(sections)) => (bucket, sections),
        (Err(CorruptBucket), None) => return,
        (parsed, read) => panic!("{:?} where {} was expected", parsed.map(drop), read.is_some()),
    };
    let wanted = sections.iter().flatten().filter_map(|entry| number(&entry.hash)).flat_map(around).chain([0, MAX]);
    for number in wanted.collect::<BTreeSet<u128>>() {
        for (section, entries) in SECTIONS.into_iter().zip(&sections) {
            search(bucket.find(section, &key(number)), entries, number);
        }
    }
}

/// An entry as in the text.
#[derive(Debug, PartialEq)]
struct Raw {
    hash: [u8; 16],
    id: [u8; 16],
}

/// The two sections, if the header and the length are those of a bucket.
fn read(text: &[u8]) -> Option<[Vec<Raw>; 2]> {
    let count = |from: usize| {
        let digits = text.get(from..from + 6)?;
        let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
        std::str::from_utf8(digits).ok()?.parse::<usize>().ok()
    };
    let (profiles, subscriptions) = (count(4)?, count(10)?);
    if !text.starts_with(b"TLB1") || text.len() != length(profiles + subscriptions) {
        return None;
    }
    let (head, rest) = text[16..].split_at(profiles * ENTRY_BYTES);
    let section = |text: &[u8]| {
        let half = |entry: &[u8], from| entry[from..from + 16].try_into().expect("16 bytes");
        text.chunks(ENTRY_BYTES).map(|entry| Raw { hash: half(entry, 0), id: half(entry, 16) }).collect()
    };
    Some([section(head), section(rest)])
}

const MAX: u128 = (1 << 96) - 1;

/// 16 characters as a number of 96 bits.
fn number(text: &[u8; 16]) -> Option<u128> {
    text.iter().try_fold(0, |number, byte| {
        let digit = ALPHABET.iter().position(|letter| letter == byte)?;
        Some(number << 6 | digit as u128)
    })
}

fn around(number: u128) -> [u128; 3] {
    [number.saturating_sub(1), number, (number + 1).min(MAX)]
}

/// The last twelve bytes of a number.
fn bytes(number: u128) -> [u8; 12] {
    number.to_be_bytes()[4..].try_into().expect("12 bytes")
}

/// A hash with this number in a bucket.
fn key(number: u128) -> KeyHash {
    let mut hash = [0xA5; 16];
    hash[..12].copy_from_slice(&bytes(number));
    KeyHash(hash)
}

/// Compares a search with what all entries say.
fn search(found: Result<KeyMatch, CorruptBucket>, entries: &[Raw], wanted: u128) {
    let said = |entry: &Raw| match number(&entry.id) {
        Some(id) => Ok(KeyMatch::Profile(ProfileId(bytes(id)))),
        None if entry.id == AMBIGUOUS => Ok(KeyMatch::Ambiguous),
        None => Err(CorruptBucket),
    };
    let mut all = entries.iter().filter(|entry| number(&entry.hash) == Some(wanted)).map(said);
    let numbers: Vec<_> = entries.iter().map(|entry| number(&entry.hash)).collect();
    let sound = numbers.iter().all(Option::is_some) && numbers.is_sorted_by(|one, other| one < other);
    match found {
        found if sound => assert_eq!(found, all.next().unwrap_or(Ok(KeyMatch::None))),
        // A damaged bucket may be taken for one without the key where two neighbours leave no room for it.
        Ok(KeyMatch::None) => {
            let below = |at: usize| at == 0 || numbers[at - 1].is_some_and(|number| number < wanted);
            let above = |at: usize| numbers.get(at).is_none_or(|next| next.is_some_and(|number| number > wanted));
            assert!((0..=numbers.len()).any(|at| below(at) && above(at)), "not found, and there is no gap for it");
        }
        Err(CorruptBucket) => {}
        found => assert!(all.any(|said| said == found), "{found:?} is not there"),
    }
}

/// The input makes the entries: what is written is found, and nothing else.
fn as_entries(data: &[u8]) {
    let mut sections = [BTreeMap::new(), BTreeMap::new()];
    for chunk in data.chunks_exact(6) {
        let [section, a, b, c, d, id] = chunk.try_into().expect("six bytes");
        let mut hash = [0; 12];
        [hash[0], hash[1], hash[5], hash[11]] = [a, b, c, d];
        let profile = (id != 0).then_some(ProfileId([id; 12]));
        sections[usize::from(section & 1)].insert(hash, profile);
    }
    let entries = |section: &BTreeMap<[u8; 12], Option<ProfileId>>| -> Vec<BucketEntry> {
        section.iter().map(|(hash, profile)| BucketEntry { hash: *hash, profile: *profile }).collect()
    };
    let [mut profiles, subscriptions] = [entries(&sections[0]), entries(&sections[1])];
    let text = write(&profiles, &subscriptions).expect("sorted");
    assert_eq!(text.len(), length(profiles.len() + subscriptions.len()));
    let bucket = Bucket::parse(&text).expect("written");
    for (section, expected) in SECTIONS.into_iter().zip(&sections) {
        for hash in sections.iter().flat_map(BTreeMap::keys) {
            let mut number = [0; 16];
            number[4..].copy_from_slice(hash);
            for number in around(u128::from_be_bytes(number)) {
                let expected = match expected.get(&bytes(number)) {
                    None => KeyMatch::None,
                    Some(None) => KeyMatch::Ambiguous,
                    Some(Some(profile)) => KeyMatch::Profile(*profile),
                };
                assert_eq!(bucket.find(section, &key(number)), Ok(expected));
            }
        }
    }
    profiles.reverse();
    assert_eq!(write(&profiles, &subscriptions).is_ok(), profiles.len() < 2, "out of order");
}
