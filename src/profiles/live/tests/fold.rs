//! Changes that a compaction folds into a bucket.

use super::{NOON, TestKey, changes, generation, hash, manifest, memory, profile};
use crate::{
    campaign::tests::database::Database,
    limits::{KEY_PROFILES_LIMIT, LIVE_DELAY_MS},
    profiles::{
        bucket::{self, Bucket, BucketEntry, BucketSection::Profiles, KeyMatch},
        key::{Class, KeyHash, ProfileId},
        live::{command::PendingPurpose, database::LiveDatabase, fold::Folding, message::PendingList},
        manifest::ClassIndex,
    },
};

const KEY: TestKey = (1, Profiles);
const OTHER_KEY: TestKey = (2, Profiles);
const MOST: u8 = KEY_PROFILES_LIMIT as u8;

/// A bucket in which these profiles have the first key.
fn bucket_of(holders: impl IntoIterator<Item = u8>) -> String {
    let entry = |number| BucketEntry { hash: KeyHash(hash("k1", KEY.0)).prefix(), profile: Some(profile(number)) };
    bucket::write([holders.into_iter().map(entry).collect(), Vec::new()]).unwrap().text
}

/// Folds changes into the only bucket of e-mail addresses.
fn fold(bucket: &str, rows: &[(u8, Option<&[TestKey]>)]) -> String {
    let mut live = LiveDatabase::new(Database::new(), memory());
    live.start(manifest("g1", "k1"), NOON).unwrap();
    let now = NOON + LIVE_DELAY_MS;
    live.change(&changes(rows, &["k1"], None), now).unwrap();
    let message = live.pending(PendingPurpose::Compaction, now, &mut memory()).unwrap();
    let list = PendingList::read(&message).unwrap();
    let mut before = generation("g1", "k1");
    before.classes.push(ClassIndex { class: Class::Email, field: String::new(), buckets: 1, largest: 0 });
    Folding::new(&before, &list).unwrap().fold(0, 0, Some(bucket)).unwrap()
}

fn delete(numbers: impl IntoIterator<Item = u8>) -> Vec<(u8, Option<&'static [TestKey]>)> {
    numbers.into_iter().map(|number| (number, None)).collect()
}

fn find(bucket: &str, key: TestKey) -> KeyMatch {
    Bucket::parse(bucket).unwrap().find(Profiles, KeyHash(hash("k1", key.0)).prefix()).unwrap()
}

/// The profiles of all entries.
fn holders(bucket: &str) -> Vec<Option<ProfileId>> {
    Bucket::parse(bucket).unwrap().entries(Profiles).map(|entry| entry.unwrap().profile).collect()
}

#[test]
fn a_key_has_an_entry_for_each_profile_up_to_the_limit() {
    let all = fold(&bucket_of(1..MOST), &[(MOST, Some(&[KEY]))]);
    assert_eq!(holders(&all), (1..=MOST).map(|number| Some(profile(number))).collect::<Vec<_>>());
    assert_eq!(find(&all, KEY), KeyMatch::Ambiguous);
    assert_eq!(find(&fold(&all, &delete(1..MOST)), KEY), KeyMatch::Profile(profile(MOST)));
}

#[test]
fn a_key_of_two_profiles_becomes_unambiguous_when_one_of_them_is_deleted_or_loses_it() {
    let both = bucket_of([1, 2]);
    assert_eq!(find(&both, KEY), KeyMatch::Ambiguous);
    assert_eq!(find(&fold(&both, &delete([2])), KEY), KeyMatch::Profile(profile(1)));
    let moved = fold(&both, &[(1, Some(&[OTHER_KEY]))]);
    assert_eq!(
        (find(&moved, KEY), find(&moved, OTHER_KEY)),
        (KeyMatch::Profile(profile(2)), KeyMatch::Profile(profile(1)))
    );
}

#[test]
fn a_profile_that_states_its_key_again_keeps_one_entry() {
    assert_eq!(holders(&fold(&bucket_of([1]), &[(1, Some(&[KEY]))])), [Some(profile(1))]);
}

#[test]
fn a_key_above_the_limit_stays_ambiguous_through_later_compactions() {
    let above = fold(&bucket_of(1..=MOST), &[(MOST + 1, Some(&[KEY]))]);
    assert_eq!(holders(&above), [None]);
    let deleted = fold(&above, &delete(1..=MOST));
    assert_eq!((holders(&deleted), find(&deleted, KEY)), (vec![None], KeyMatch::Ambiguous));
    let added = fold(&deleted, &[(1, Some(&[KEY]))]);
    assert_eq!((holders(&added), find(&added, KEY)), (vec![None], KeyMatch::Ambiguous));
}
