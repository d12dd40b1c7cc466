//! Writes buckets, and searches them whole and damaged.

use proptest::prelude::*;

use super::*;

fn entry(hash: u8, id: Option<u8>) -> BucketEntry {
    BucketEntry { hash: prefix(hash), profile: id.map(|id| ProfileId([id; 12])) }
}

fn prefix(byte: u8) -> HashPrefix {
    let word = u64::from_le_bytes([byte, byte, byte, byte, byte, byte, 0, 0]);
    HashPrefix::from_words([word; 2])
}

fn text_of(profiles: &[BucketEntry], subscriptions: &[BucketEntry]) -> String {
    write([profiles.to_vec(), subscriptions.to_vec()]).unwrap().text
}

fn find(text: &str, section: BucketSection, hash: HashPrefix) -> Result<KeyMatch, CorruptBucket> {
    Bucket::parse(text)?.find(section, hash)
}

/// Pinned: deployed Workers read this format.
#[test]
fn the_format_is_pinned() {
    let text = text_of(&[entry(0, Some(255)), entry(16, None)], &[entry(255, Some(0x12))]);
    let expected = "TLB2000002000001\
        00000000A014A014\
        00000000qqqqqqqqqqqqqqqqA014A014****************\
        qqqqqqqq\
        qqqqqqqqC8R4C8R4C8R4C8R4";
    assert_eq!(text, expected);
    assert_eq!(text.len(), length(3));
    assert_eq!(text_of(&[], &[]), "TLB2000000000000");
}

#[test]
fn searches_sections_separately() {
    let text = text_of(&[entry(1, Some(7)), entry(2, None)], &[entry(2, Some(8)), entry(9, Some(9))]);
    let find = |section, byte| find(&text, section, prefix(byte)).unwrap();
    assert_eq!(find(BucketSection::Profiles, 1), KeyMatch::Profile(ProfileId([7; 12])));
    assert_eq!(find(BucketSection::Profiles, 2), KeyMatch::Ambiguous);
    assert_eq!(find(BucketSection::Profiles, 9), KeyMatch::None);
    assert_eq!(find(BucketSection::Subscriptions, 2), KeyMatch::Profile(ProfileId([8; 12])));
    assert_eq!(find(BucketSection::Subscriptions, 1), KeyMatch::None);
}

#[test]
fn a_key_with_two_profiles_is_ambiguous_until_one_is_removed() {
    let all = [entry(1, Some(7)), entry(1, Some(8)), entry(2, Some(7))];
    let find =
        |entries: &[BucketEntry], byte| find(&text_of(entries, &[]), BucketSection::Profiles, prefix(byte)).unwrap();
    assert_eq!(find(&all, 1), KeyMatch::Ambiguous);
    assert_eq!(find(&all, 2), KeyMatch::Profile(ProfileId([7; 12])));
    assert_eq!(find(&all[1..], 1), KeyMatch::Profile(ProfileId([8; 12])));
}

#[test]
fn keys_with_the_same_first_word_are_distinguished() {
    let hash = |second| HashPrefix::from_words([5, second]);
    let entries = [3, 4, 9].map(|second| BucketEntry { hash: hash(second), profile: Some(ProfileId([1; 12])) });
    let text = text_of(&entries, &[]);
    for second in 0..12 {
        let expected = if [3, 4, 9].contains(&second) { KeyMatch::Profile(ProfileId([1; 12])) } else { KeyMatch::None };
        assert_eq!(find(&text, BucketSection::Profiles, hash(second)), Ok(expected));
    }
    let damaged = |at: usize| {
        let mut damaged = text.clone();
        damaged.replace_range(at..=at, "!");
        find(&damaged, BucketSection::Profiles, hash(5))
    };
    assert_eq!(damaged(HEADER_BYTES + 3 * WORD_BYTES + TAIL_BYTES), Err(CorruptBucket));
}

#[test]
fn a_key_with_more_profiles_than_the_limit_has_one_entry() {
    let most = u8::try_from(KEY_PROFILES_LIMIT).unwrap();
    let mut entries: Vec<BucketEntry> = (0..most).map(|id| entry(1, Some(id))).collect();
    entries.extend((0..=most).map(|id| entry(2, Some(id))));
    entries.extend([entry(3, None), entry(3, Some(1)), entry(4, Some(1)), entry(4, Some(1))]);
    let mut expected = entries[..KEY_PROFILES_LIMIT].to_vec();
    expected.extend([entry(2, None), entry(3, None), entry(4, Some(1))]);
    let single = vec![entry(5, None), entry(6, Some(1))];
    let WrittenBucket { text, keys, ambiguous } = write([entries, single.clone()]).unwrap();
    assert_eq!((keys, ambiguous), (6, 4));
    let bucket = Bucket::parse(&text).unwrap();
    let read = |section| bucket.entries(section).collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(read(BucketSection::Profiles), expected);
    assert_eq!(read(BucketSection::Subscriptions), single);
    let found = [1, 2, 3].map(|byte| bucket.find(BucketSection::Profiles, prefix(byte)));
    assert_eq!(found, [Ok(KeyMatch::Ambiguous); 3]);
}

#[test]
fn reports_a_damaged_bucket() {
    let text = text_of(&[entry(1, Some(7)), entry(3, None)], &[entry(2, Some(8))]);
    let find = |text: &str, byte| find(text, BucketSection::Profiles, prefix(byte));
    for end in 0..text.len() {
        assert_eq!(find(&text[..end], 1), Err(CorruptBucket), "cut at {end}");
    }
    assert_eq!(find(&format!("{text}0"), 1), Err(CorruptBucket));
    assert_eq!(find(&text.replace("TLB2", "TLB1"), 1), Err(CorruptBucket));
    assert_eq!(find(&text.replace("000002", "00000+"), 1), Err(CorruptBucket));
    assert_eq!(find(&text.replace("000002000001", "000001000001"), 1), Err(CorruptBucket));
    let at = |at: usize| {
        let mut damaged = text.clone();
        damaged.replace_range(at..=at, "!");
        damaged
    };
    let tails = HEADER_BYTES + 2 * WORD_BYTES;
    assert_eq!(find(&at(tails + WORD_BYTES), 1), Err(CorruptBucket), "the ID that is found");
    assert_eq!(find(&at(tails + TAIL_BYTES + WORD_BYTES), 3), Err(CorruptBucket), "the mark of an ambiguous key");
    assert_eq!(find(&at(HEADER_BYTES), 2), Err(CorruptBucket), "the neighbour before");
    assert_eq!(find(&at(HEADER_BYTES + WORD_BYTES), 2), Err(CorruptBucket), "the neighbour after");
    for damaged in [HEADER_BYTES, tails, tails + WORD_BYTES].map(at) {
        let bucket = Bucket::parse(&damaged).unwrap();
        assert!(bucket.entries(BucketSection::Profiles).any(|entry| entry.is_err()));
    }
}

#[test]
fn refuses_to_write_entries_that_are_not_sorted() {
    let unsorted = [[entry(2, None), entry(1, None)], [entry(1, Some(3)), entry(1, None)]].map(Vec::from);
    for entries in unsorted {
        assert_eq!(write([entries.clone(), Vec::new()]), Err(InvalidEntries));
        assert_eq!(write([Vec::new(), entries]), Err(InvalidEntries));
    }
}

proptest! {
    #[test]
    fn finds_exactly_the_entries_of_a_bucket_of_any_size(
        hashes in prop::collection::btree_set((0_u64..=word::BITS, 0_u64..3), 0..200),
        other in (0_u64..=word::BITS, 0_u64..3),
    ) {
        let hash = |(first, second): (u64, u64)| HashPrefix::from_words([first, second]);
        let profile = ProfileId([3; 12]);
        let entries: Vec<BucketEntry> =
            hashes.iter().map(|wanted| BucketEntry { hash: hash(*wanted), profile: Some(profile) }).collect();
        let text = text_of(&entries, &[]);
        let around = |(first, second): (u64, u64)| {
            [first.saturating_sub(1), first, (first + 1).min(word::BITS)].map(|first| (first, second))
        };
        for wanted in hashes.iter().copied().chain([other]).flat_map(around) {
            let expected = if hashes.contains(&wanted) { KeyMatch::Profile(profile) } else { KeyMatch::None };
            prop_assert_eq!(find(&text, BucketSection::Profiles, hash(wanted)), Ok(expected));
        }
    }

    #[test]
    fn any_text_can_be_searched_without_a_panic(
        text in "(TLB2)?[0-9]{0,14}[0-9A-Za-q*é]{0,80}", first in 0..=word::BITS, second in 0..=word::BITS,
    ) {
        let hash = HashPrefix::from_words([first, second]);
        let _ = find(&text, BucketSection::Profiles, hash);
        let _ = find(&text, BucketSection::Subscriptions, hash);
    }
}
