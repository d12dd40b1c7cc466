//! Searches an index in a store that counts reads, has missing or damaged buckets, or fails.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::{
    limits::{BUCKET_LIMIT, BULK_READS_LIMIT},
    profiles::{
        bucket::{BucketEntry, write},
        cache::IndexCache,
        key::ProfileId,
    },
};

/// Size of the cache in bytes.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// A store of buckets in memory. Each read yields once, so that reads overlap as they do in the Worker.
#[derive(Default)]
struct MemoryStore {
    buckets: HashMap<String, String>,
    failure: Option<&'static str>,
    /// Leaves out the last value of a read.
    loses_values: bool,
    in_progress: Cell<usize>,
    most_at_once: Cell<usize>,
    reads: Cell<usize>,
    /// The keys that have been read.
    seen: RefCell<HashSet<String>>,
    cache: Option<RefCell<IndexCache>>,
}

impl BucketStore for MemoryStore {
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<String>>, Cause> {
        assert!(!keys.is_empty() && keys.len() <= BULK_KEYS);
        self.reads.set(self.reads.get() + 1);
        self.in_progress.set(self.in_progress.get() + 1);
        self.most_at_once.set(self.most_at_once.get().max(self.in_progress.get()));
        let mut yielded = false;
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.in_progress.set(self.in_progress.get() - 1);
        for key in keys {
            assert!(self.seen.borrow_mut().insert(key.clone()), "{key} is read twice");
        }
        if let Some(text) = self.failure {
            return Err(Cause(text.into()));
        }
        let mut values: Vec<_> = keys.iter().map(|key| self.buckets.get(key).cloned()).collect();
        if self.loses_values {
            values.pop();
        }
        Ok(values)
    }

    fn cache(&self) -> Option<&RefCell<IndexCache>> {
        self.cache.as_ref()
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Returns a hash that depends on all bits of the item's number, like a keyed hash.
fn hash(item: u32) -> KeyHash {
    let mix = |n: u64| {
        let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    };
    let first = mix(u64::from(item) + 0x9e37_79b9_7f4a_7c15);
    KeyHash([first.to_be_bytes(), mix(first).to_be_bytes()].concat().try_into().unwrap())
}

fn profile(item: u32) -> ProfileId {
    ProfileId([item.to_le_bytes(); 3].concat().try_into().unwrap())
}

fn generation(class: Class, buckets: u32, largest: u32) -> Generation {
    let classes = vec![ClassIndex { class, field: String::new(), buckets, largest }];
    Generation { classes, ..Generation::new("g", "", 0) }
}

/// A store with the keys of these items. Every third key is ambiguous.
fn store(items: impl Iterator<Item = u32>, buckets: u32) -> MemoryStore {
    let mut entries = vec![Vec::new(); buckets as usize];
    for item in items {
        let profile = (item % 3 != 0).then(|| profile(item));
        entries[hash(item).bucket_number(buckets) as usize].push(BucketEntry { hash: hash(item).prefix(), profile });
    }
    let texts = entries.into_iter().enumerate().map(|(number, mut entries)| {
        entries.sort_by_key(|entry| entry.hash);
        (format!("bucket:1:g:email:{number}"), write([entries, Vec::new()]).unwrap().text)
    });
    MemoryStore { buckets: texts.collect(), ..MemoryStore::default() }
}

const BOTH: &[BucketSection] = &[BucketSection::Profiles, BucketSection::Subscriptions];

fn search<'a>(generation: &'a Generation, sections: &'a [BucketSection]) -> IndexSearch<'a> {
    IndexSearch { database: 1, generation, class: Class::Email, field: "", sections }
}

fn look_up(
    store: &MemoryStore,
    generation: &Generation,
    items: &[u32],
) -> Result<(HashMap<u32, KeyMatch>, Statistics), LookupError> {
    let mut results = HashMap::new();
    let statistics = run(find(store, search(generation, BOTH), items, hash, |item, found| {
        assert_eq!(results.insert(item, found), None, "two results for one item");
    }))?;
    Ok((results, statistics))
}

#[test]
fn reports_every_item_once_and_reads_every_bucket_once() {
    for (buckets, wanted) in [(1, 1), (1, 400), (7, 400), (250, 400), (2_500, 400), (2_500, 1)] {
        let store = store((0..4_000).filter(|item| item % 2 == 0), buckets);
        let generation = generation(Class::Email, buckets, 4096);
        let wanted: Vec<u32> = (0..wanted).map(|item| item * 3 + 1).collect();
        let (results, statistics) = look_up(&store, &generation, &wanted).unwrap();
        assert_eq!(results.len(), wanted.len());
        for (item, found) in results {
            let expected = match item {
                _ if item % 2 == 1 => KeyMatch::None,
                _ if item % 3 == 0 => KeyMatch::Ambiguous,
                _ => KeyMatch::Profile(profile(item)),
            };
            assert_eq!(found, expected, "{item}");
        }
        let touched: HashSet<u32> = wanted.iter().map(|item| hash(*item).bucket_number(buckets)).collect();
        let expected = Statistics { reads: touched.len().div_ceil(BULK_KEYS), keys: touched.len() };
        assert_eq!(statistics, expected);
        assert_eq!(store.reads.get(), expected.reads);
        assert!(store.most_at_once.get() <= BULK_READS_AT_ONCE);
    }
}

#[test]
fn does_not_read_cached_buckets_again() {
    let generation = generation(Class::Email, 250, 4096);
    let cache = Some(RefCell::new(IndexCache::new(CACHE_BYTES)));
    let store = MemoryStore { cache, ..store(0..4_000, 250) };
    let (few, all): (Vec<u32>, Vec<u32>) = ((0..40).collect(), (0..4_000).collect());
    let first = look_up(&store, &generation, &few).unwrap();
    let rest = look_up(&store, &generation, &all).unwrap();
    assert_eq!(first.1.keys + rest.1.keys, 250, "the second search reads only the other buckets");
    let again = look_up(&store, &generation, &all).unwrap();
    assert_eq!(again, (rest.0, Statistics::default()));
    assert_eq!(look_up(&store, &generation, &few).unwrap().0, first.0);
}

#[test]
fn a_search_that_exceeds_the_cache_does_not_change_it() {
    let largest = u32::try_from(CACHE_BYTES / 250 + 1).unwrap();
    let generation = generation(Class::Email, 250, largest);
    let store = MemoryStore { cache: Some(RefCell::new(IndexCache::new(CACHE_BYTES))), ..store(0..4_000, 250) };
    look_up(&store, &generation, &[1]).unwrap();
    store.seen.borrow_mut().clear();
    let all: Vec<u32> = (0..4_000).collect();
    let (_, statistics) = look_up(&store, &generation, &all).unwrap();
    assert_eq!(statistics.keys, 249);
    store.seen.borrow_mut().clear();
    assert_eq!(look_up(&store, &generation, &all).unwrap().1.keys, 249);
}

#[test]
fn does_not_cache_a_damaged_bucket() {
    let generation = generation(Class::Email, 1, 4096);
    let mut store = MemoryStore { cache: Some(RefCell::new(IndexCache::new(CACHE_BYTES))), ..store(0..10, 1) };
    let bucket = store.buckets["bucket:1:g:email:0"].clone();
    store.buckets.insert("bucket:1:g:email:0".into(), bucket.clone() + "-");
    assert!(matches!(look_up(&store, &generation, &[1]).unwrap_err(), LookupError::Corrupt(_)));
    store.buckets.insert("bucket:1:g:email:0".into(), bucket);
    store.seen.borrow_mut().clear();
    assert_eq!(look_up(&store, &generation, &[1]).unwrap().1.keys, 1);
}

#[test]
fn the_first_section_with_the_key_decides_even_if_the_key_is_ambiguous_there() {
    let entry = |item: u32, profile| BucketEntry { hash: hash(item).prefix(), profile };
    let sorted = |mut entries: Vec<BucketEntry>| {
        entries.sort_by_key(|entry| entry.hash);
        entries
    };
    let profiles = sorted(vec![entry(1, Some(profile(10))), entry(2, None)]);
    let subscriptions = sorted((1..=3).map(|item| entry(item, Some(profile(20)))).collect());
    let text = write([profiles, subscriptions]).unwrap().text;
    let find = |sections| {
        let store =
            MemoryStore { buckets: [("bucket:1:g:email:0".to_owned(), text.clone())].into(), ..MemoryStore::default() };
        let generation = generation(Class::Email, 1, 4096);
        let mut results = vec![KeyMatch::None; 4];
        let search = search(&generation, sections);
        run(super::find(&store, search, &[1, 2, 3], hash, |item, found| results[item as usize] = found)).unwrap();
        results.split_off(1)
    };
    let (ten, twenty) = (KeyMatch::Profile(profile(10)), KeyMatch::Profile(profile(20)));
    assert_eq!(find(BOTH), [ten, KeyMatch::Ambiguous, twenty]);
    assert_eq!(find(&[BucketSection::Profiles]), [ten, KeyMatch::Ambiguous, KeyMatch::None]);
    assert_eq!(find(&[BucketSection::Subscriptions]), [twenty; 3]);
}

#[test]
fn reports_buckets_that_are_missing_or_damaged_or_cannot_be_read() {
    let generation = generation(Class::Email, 250, 4096);
    let wanted: Vec<u32> = (0..1_000).collect();
    let whole = || store(0..10, 250);
    for number in [0, 99, 100, 249] {
        let mut store = whole();
        store.buckets.remove(&format!("bucket:1:g:email:{number}"));
        assert!(matches!(look_up(&store, &generation, &wanted).unwrap_err(), LookupError::Missing(_)));
        let mut store = whole();
        store.buckets.get_mut(&format!("bucket:1:g:email:{number}")).unwrap().push('-');
        assert!(matches!(look_up(&store, &generation, &wanted).unwrap_err(), LookupError::Corrupt(_)));
    }
    let store = MemoryStore { failure: Some("KV GET failed: 500"), ..whole() };
    let expected = LookupError::Store(Cause("KV GET failed: 500".into()));
    assert_eq!(look_up(&store, &generation, &wanted).unwrap_err(), expected);
    let store = MemoryStore { loses_values: true, ..whole() };
    let LookupError::Store(cause) = look_up(&store, &generation, &wanted).unwrap_err() else { panic!() };
    assert!(cause.0.starts_with("KV PROFILES: "), "{cause}");
}

#[test]
fn does_not_read_a_class_that_was_not_imported() {
    let store = MemoryStore { failure: Some("must not be read"), ..MemoryStore::default() };
    let generation = generation(Class::Phone, 3, 4096);
    let (results, statistics) = look_up(&store, &generation, &[4, 5]).unwrap();
    assert_eq!(results, HashMap::from([(4, KeyMatch::None), (5, KeyMatch::None)]));
    assert_eq!(statistics, Statistics::default());
    let (results, statistics) = look_up(&store, &generation, &[]).unwrap();
    assert_eq!((results.len(), statistics), (0, Statistics::default()));
}

/// There are as many buckets as for a million keys. They contain a tenth of these keys, so that the test is fast.
#[test]
fn a_search_of_300_000_items_among_a_million_keys_stays_within_its_limits() {
    let buckets = (1_000_000_u32 * 32).div_ceil(32_768);
    let store = store(0..99_999, buckets);
    let generation = generation(Class::Email, buckets, 36_000);
    let wanted: Vec<u32> = (0..300_000).collect();
    let mut found = 0_usize;
    let on_result = |_, result| found += usize::from(matches!(result, KeyMatch::Profile(_)));
    let statistics = run(find(&store, search(&generation, BOTH), &wanted, hash, on_result)).unwrap();
    assert_eq!(found, 66_666);
    assert_eq!(statistics, Statistics { reads: 52, keys: buckets as usize });
    assert!(statistics.reads <= BULK_READS_LIMIT);
    assert!(working_bytes(&search(&generation, BOTH), wanted.len()) < 9 * 1024 * 1024);
}

#[test]
fn plans_small_reads_at_once_within_the_limits() {
    for (buckets, largest, keys, at_once) in [
        // A small index, a million profiles, ten million profiles.
        (10, 34_000, 20, 6),
        (977, 34_000, 20, 6),
        (9_766, 34_000, 98, 1),
        // Small buckets, and the largest index.
        (7_813, 5_000, 100, 6),
        (45_000, BUCKET_LIMIT, 100, 1),
        (1, 0, 100, 6),
        (1, 1_000_000_000, 1, 1),
    ] {
        let largest = u32::try_from(largest).unwrap();
        let index = ClassIndex { class: Class::Email, field: String::new(), buckets, largest };
        assert_eq!(plan_reads(&index, 300_000), ReadPlan { keys, at_once }, "{buckets} buckets of {largest}");
    }
}

#[test]
fn sorts_keys_by_bucket_in_the_order_of_items() {
    for (items, buckets) in [(0, 10), (1, 1), (1, 45_000), (2, 45_000), (1_000, 1), (1_000, 10), (1_000, 45_000)] {
        let items: Vec<u32> = (0..items).rev().collect();
        let sorted = SortedKeys::new(buckets, &items, hash);
        let bucket = |item: &u32| hash(*item).bucket_number(buckets);
        let mut expected = items.clone();
        expected.sort_by_key(bucket);
        assert_eq!(sorted.keys.iter().map(|key| key.item).collect::<Vec<_>>(), expected);
        assert!(sorted.keys.iter().all(|key| key.prefix() == hash(key.item).prefix()));
        let groups = expected.chunk_by(|a, b| bucket(a) == bucket(b));
        let expected: Vec<_> = groups.map(|group| (bucket(&group[0]), group.len())).collect();
        assert_eq!(sorted.buckets().map(|(bucket, keys)| (bucket, keys.len())).collect::<Vec<_>>(), expected);
    }
}
