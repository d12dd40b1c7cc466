//! Searching buckets where they lie, against a search of every entry.

use std::{cmp::Ordering, collections::BTreeSet};
use trigger_launch::{
    limits::KEY_PROFILES_LIMIT,
    profiles::{
        bucket::{
            Bucket, BucketEntry, BucketSection, CorruptBucket, ENTRY_BYTES, KeyMatch, WrittenBucket, length, write,
        },
        key::{HashPrefix, ProfileId},
    },
};

const SECTIONS: [BucketSection; 2] = [BucketSection::Profiles, BucketSection::Subscriptions];
const ALPHABET: &[u8; 64] = b"0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopq";
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
            search(bucket.find(section, key(number)), entries, number);
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
    if !text.starts_with(b"TLB2") || text.len() != length(profiles + subscriptions) {
        return None;
    }
    let (head, rest) = text[16..].split_at(profiles * ENTRY_BYTES);
    let section = |text: &[u8]| {
        let (firsts, tails) = text.split_at(text.len() / ENTRY_BYTES * 8);
        let half = |bytes: &[u8]| bytes.try_into().expect("16 bytes");
        let entries = firsts.chunks(8).zip(tails.chunks(24));
        entries.map(|(first, tail)| Raw { hash: half(&[first, &tail[..8]].concat()), id: half(&tail[8..]) }).collect()
    };
    Some([section(head), section(rest)])
}

const MAX: u128 = (1 << 96) - 1;

/// Two words of eight characters, each with the lowest digit first, as a number of 96 bits.
fn number(text: &[u8; 16]) -> Option<u128> {
    let (first, second) = text.split_at(8);
    first.iter().rev().chain(second.iter().rev()).try_fold(0, |number, byte| {
        let digit = ALPHABET.iter().position(|letter| letter == byte)?;
        Some(number << 6 | digit as u128)
    })
}

/// The position of a hash relative to a number. If the first word decides, the second one does not matter.
fn side(text: &[u8; 16], wanted: u128) -> Option<Ordering> {
    let mut first = *b"0000000000000000";
    first[..8].copy_from_slice(&text[..8]);
    match (number(&first)? >> 48).cmp(&(wanted >> 48)) {
        Ordering::Equal => Some(number(text)?.cmp(&wanted)),
        order => Some(order),
    }
}

fn around(number: u128) -> [u128; 3] {
    [number.saturating_sub(1), number, (number + 1).min(MAX)]
}

/// The ID that two words of this number encode: each word has six bytes, the lowest first.
fn id(number: u128) -> ProfileId {
    let halves = [number >> 48, number & ((1 << 48) - 1)].map(u128::to_le_bytes);
    ProfileId(halves.map(|half| half[..6].to_vec()).concat().try_into().expect("12 bytes"))
}

fn key(number: u128) -> HashPrefix {
    HashPrefix::from_number(number)
}

/// Compares a search with what all entries say.
fn search(found: Result<KeyMatch, CorruptBucket>, entries: &[Raw], wanted: u128) {
    let said = |entry: &Raw| match number(&entry.id) {
        Some(number) => Ok(KeyMatch::Profile(id(number))),
        None if entry.id == AMBIGUOUS => Ok(KeyMatch::Ambiguous),
        None => Err(CorruptBucket),
    };
    let all: Vec<_> = entries.iter().filter(|entry| number(&entry.hash) == Some(wanted)).map(said).collect();
    let expected = match all[..] {
        [] => Ok(KeyMatch::None),
        [one] => one,
        _ => Ok(KeyMatch::Ambiguous),
    };
    let numbers: Vec<_> = entries.iter().map(|entry| number(&entry.hash)).collect();
    let sound = numbers.iter().all(Option::is_some) && numbers.is_sorted_by(|one, other| one <= other);
    match found {
        // An entry that repeats its key can be damaged.
        Err(CorruptBucket) if all.contains(&Err(CorruptBucket)) => {}
        found if sound => assert_eq!(found, expected),
        // A damaged bucket may be taken for one without the key where two neighbours leave no room for it.
        Ok(KeyMatch::None) => {
            let sides: Vec<_> = entries.iter().map(|entry| side(&entry.hash, wanted)).collect();
            let below = |at: usize| at == 0 || sides[at - 1] == Some(Ordering::Less);
            let above = |at: usize| sides.get(at).is_none_or(|next| *next == Some(Ordering::Greater));
            assert!((0..=numbers.len()).any(|at| below(at) && above(at)), "not found, and there is no gap for it");
        }
        Err(CorruptBucket) => {}
        Ok(KeyMatch::Ambiguous) if all.len() > 1 => {}
        found => assert!(all.contains(&found), "{found:?} is not there"),
    }
}

/// The input makes the entries: what is written is found, and nothing else.
fn as_entries(data: &[u8]) {
    let mut sections = [BTreeSet::new(), BTreeSet::new()];
    for chunk in data.chunks_exact(6) {
        let [section, a, b, c, d, id] = chunk.try_into().expect("six bytes");
        let mut hash = [0; 16];
        [hash[4], hash[5], hash[9], hash[15]] = [a, b, c, d];
        let hash = key(u128::from_be_bytes(hash));
        let profile = (id != 0).then_some(ProfileId([id; 12]));
        sections[usize::from(section & 1)].insert(BucketEntry { hash, profile });
    }
    let limited = sections.each_ref().map(limit_profiles);
    let WrittenBucket { text, keys, .. } = write(sections.each_ref().map(to_vec)).expect("sorted");
    assert_eq!(text.len(), length(limited.iter().map(Vec::len).sum()));
    let count = |entries: &Vec<BucketEntry>| entries.chunk_by(|a, b| a.hash == b.hash).count();
    assert_eq!(keys, limited.iter().map(count).sum::<usize>());
    let bucket = Bucket::parse(&text).expect("written");
    for (section, (expected, written)) in SECTIONS.into_iter().zip(sections.iter().zip(&limited)) {
        let read: Result<Vec<_>, _> = bucket.entries(section).collect();
        assert_eq!(read.as_ref(), Ok(written));
        for hash in sections.iter().flatten().map(|entry| entry.hash) {
            for number in around(hash.to_number()) {
                let of_key: Vec<_> = expected.iter().filter(|entry| entry.hash == key(number)).collect();
                let expected = match of_key[..] {
                    [] => KeyMatch::None,
                    [BucketEntry { profile: Some(profile), .. }] => KeyMatch::Profile(*profile),
                    _ => KeyMatch::Ambiguous,
                };
                assert_eq!(bucket.find(section, key(number)), Ok(expected));
            }
        }
    }
    let mut unsorted = sections.each_ref().map(to_vec);
    unsorted[0].reverse();
    assert_eq!(write(unsorted).is_ok(), sections[0].len() < 2, "out of order");
}

fn to_vec(section: &BTreeSet<BucketEntry>) -> Vec<BucketEntry> {
    section.iter().copied().collect()
}

/// Returns the entries that are written.
fn limit_profiles(section: &BTreeSet<BucketEntry>) -> Vec<BucketEntry> {
    let limit = |key: &[BucketEntry]| match key.iter().any(|entry| entry.profile.is_none()) {
        false if key.len() <= KEY_PROFILES_LIMIT => key.to_vec(),
        _ => vec![BucketEntry { profile: None, ..key[0] }],
    };
    to_vec(section).chunk_by(|a, b| a.hash == b.hash).flat_map(limit).collect()
}
