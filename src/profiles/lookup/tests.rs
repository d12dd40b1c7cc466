//! Looking up against a store that counts, lacks buckets, fails, or serves what it should not.

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
        bucket::{Entry, write},
        cache::BucketCache,
        key::{NORMALISATION, ProfileId},
    },
};

/// Bytes of the cache.
const KEPT: usize = 8 * 1024 * 1024;

/// A store of buckets in memory. Each read yields once, so that reads overlap as they do in the Worker.
#[derive(Default)]
struct Store {
    buckets: HashMap<String, String>,
    fails: Option<&'static str>,
    short: bool,
    under_way: Cell<usize>,
    most_at_once: Cell<usize>,
    reads: Cell<usize>,
    seen: RefCell<HashSet<String>>,
    cache: Option<RefCell<BucketCache>>,
}

impl BucketStore for Store {
    async fn read(&self, keys: &[String]) -> Result<Vec<Option<String>>, Cause> {
        assert!(!keys.is_empty() && keys.len() <= BULK_KEYS);
        self.reads.set(self.reads.get() + 1);
        self.under_way.set(self.under_way.get() + 1);
        self.most_at_once.set(self.most_at_once.get().max(self.under_way.get()));
        let mut yielded = false;
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.under_way.set(self.under_way.get() - 1);
        for key in keys {
            assert!(self.seen.borrow_mut().insert(key.clone()), "{key} is read once");
        }
        if let Some(text) = self.fails {
            return Err(Cause(text.into()));
        }
        let mut values: Vec<_> = keys.iter().map(|key| self.buckets.get(key).cloned()).collect();
        if self.short {
            values.pop();
        }
        Ok(values)
    }

    fn room(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.borrow().limit())
    }

    fn kept(&self, key: &str) -> Option<Rc<String>> {
        self.cache.as_ref()?.borrow_mut().get(key)
    }

    fn keep(&self, key: String, bucket: String) {
        if let Some(cache) = &self.cache {
            cache.borrow_mut().put(key, bucket);
        }
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

/// Hashes that are spread as a keyed hash spreads them.
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
    Generation { name: "g".into(), created: 0, normalisation: NORMALISATION, key: String::new(), classes }
}

/// The items `of` stand in the buckets; each third one is ambiguous.
fn store(of: impl Iterator<Item = u32>, buckets: u32) -> Store {
    let mut entries = vec![Vec::new(); buckets as usize];
    for item in of {
        let profile = (item % 3 != 0).then(|| profile(item));
        entries[hash(item).bucket(buckets) as usize].push(Entry { hash: hash(item).entry(), profile });
    }
    let texts = entries.into_iter().enumerate().map(|(number, mut entries)| {
        entries.sort_by_key(|entry| entry.hash);
        (format!("bucket:1:g:email:{number}"), write(&entries, &[]).unwrap())
    });
    Store { buckets: texts.collect(), ..Store::default() }
}

const BOTH: &[Section] = &[Section::Profiles, Section::Subscriptions];

fn search<'a>(generation: &'a Generation, sections: &'a [Section]) -> Search<'a> {
    Search { database: 1, generation, class: Class::Email, field: "", sections }
}

fn look_up(
    store: &Store,
    generation: &Generation,
    wanted: &[u32],
) -> Result<(HashMap<u32, Found>, Statistics), LookupError> {
    let mut answers = HashMap::new();
    let statistics = run(find(store, search(generation, BOTH), wanted, hash, |item, found| {
        assert_eq!(answers.insert(item, found), None, "one answer an item");
    }))?;
    Ok((answers, statistics))
}

#[test]
fn every_item_is_answered_once_and_every_bucket_read_once() {
    for (buckets, wanted) in [(1, 1), (1, 400), (7, 400), (250, 400), (2_500, 400), (2_500, 1)] {
        let store = store((0..4_000).filter(|item| item % 2 == 0), buckets);
        let generation = generation(Class::Email, buckets, 4096);
        let wanted: Vec<u32> = (0..wanted).map(|item| item * 3 + 1).collect();
        let (answers, statistics) = look_up(&store, &generation, &wanted).unwrap();
        assert_eq!(answers.len(), wanted.len());
        for (item, found) in answers {
            let expected = match item {
                _ if item % 2 == 1 => Found::NotFound,
                _ if item % 3 == 0 => Found::Ambiguous,
                _ => Found::Profile(profile(item)),
            };
            assert_eq!(found, expected, "{item}");
        }
        let touched: HashSet<u32> = wanted.iter().map(|item| hash(*item).bucket(buckets)).collect();
        let expected = Statistics { reads: touched.len().div_ceil(BULK_KEYS), keys: touched.len() };
        assert_eq!(statistics, expected);
        assert_eq!(store.reads.get(), expected.reads);
        assert!(store.most_at_once.get() <= BULK_READS_AT_ONCE);
    }
}

#[test]
fn what_is_kept_is_not_read_again() {
    let generation = generation(Class::Email, 250, 4096);
    let kept = || Some(RefCell::new(BucketCache::new(KEPT)));
    let store = Store { cache: kept(), ..store(0..4_000, 250) };
    let (few, all): (Vec<u32>, Vec<u32>) = ((0..40).collect(), (0..4_000).collect());
    let first = look_up(&store, &generation, &few).unwrap();
    let rest = look_up(&store, &generation, &all).unwrap();
    assert_eq!(first.1.keys + rest.1.keys, 250, "what the first one read is not read by the second");
    let again = look_up(&store, &generation, &all).unwrap();
    assert_eq!(again, (rest.0, Statistics::default()));
    assert_eq!(look_up(&store, &generation, &few).unwrap().0, first.0);
}

#[test]
fn a_launch_that_reads_more_than_is_kept_leaves_what_is_there() {
    let largest = u32::try_from(KEPT / 250 + 1).unwrap();
    let generation = generation(Class::Email, 250, largest);
    let store = Store { cache: Some(RefCell::new(BucketCache::new(KEPT))), ..store(0..4_000, 250) };
    look_up(&store, &generation, &[1]).unwrap();
    store.seen.borrow_mut().clear();
    let all: Vec<u32> = (0..4_000).collect();
    let (_, statistics) = look_up(&store, &generation, &all).unwrap();
    assert_eq!(statistics.keys, 249);
    store.seen.borrow_mut().clear();
    assert_eq!(look_up(&store, &generation, &all).unwrap().1.keys, 249);
}

#[test]
fn a_damaged_bucket_is_not_kept() {
    let generation = generation(Class::Email, 1, 4096);
    let mut store = Store { cache: Some(RefCell::new(BucketCache::new(KEPT))), ..store(0..10, 1) };
    let bucket = store.buckets["bucket:1:g:email:0"].clone();
    store.buckets.insert("bucket:1:g:email:0".into(), bucket.clone() + "-");
    assert!(matches!(look_up(&store, &generation, &[1]).unwrap_err(), LookupError::Corrupt(_)));
    store.buckets.insert("bucket:1:g:email:0".into(), bucket);
    store.seen.borrow_mut().clear();
    assert_eq!(look_up(&store, &generation, &[1]).unwrap().1.keys, 1);
}

#[test]
fn sections_are_searched_in_order_and_an_ambiguous_one_ends_the_search() {
    let entry = |item: u32, profile| Entry { hash: hash(item).entry(), profile };
    let sorted = |mut entries: Vec<Entry>| {
        entries.sort_by_key(|entry| entry.hash);
        entries
    };
    let profiles = sorted(vec![entry(1, Some(profile(10))), entry(2, None)]);
    let subscriptions = sorted((1..=3).map(|item| entry(item, Some(profile(20)))).collect());
    let text = write(&profiles, &subscriptions).unwrap();
    let find = |sections| {
        let store = Store { buckets: [("bucket:1:g:email:0".to_owned(), text.clone())].into(), ..Store::default() };
        let generation = generation(Class::Email, 1, 4096);
        let mut answers = vec![Found::NotFound; 4];
        let search = search(&generation, sections);
        run(super::find(&store, search, &[1, 2, 3], hash, |item, found| answers[item as usize] = found)).unwrap();
        answers.split_off(1)
    };
    let (ten, twenty) = (Found::Profile(profile(10)), Found::Profile(profile(20)));
    assert_eq!(find(BOTH), [ten, Found::Ambiguous, twenty]);
    assert_eq!(find(&[Section::Profiles]), [ten, Found::Ambiguous, Found::NotFound]);
    assert_eq!(find(&[Section::Subscriptions]), [twenty; 3]);
}

#[test]
fn what_cannot_be_read_is_never_not_found() {
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
    let store = Store { fails: Some("KV GET failed: 500"), ..whole() };
    let expected = LookupError::Store(Cause("KV GET failed: 500".into()));
    assert_eq!(look_up(&store, &generation, &wanted).unwrap_err(), expected);
    let store = Store { short: true, ..whole() };
    let LookupError::Store(cause) = look_up(&store, &generation, &wanted).unwrap_err() else { panic!() };
    assert!(cause.0.starts_with("KV PROFILES: "), "{cause}");
}

#[test]
fn a_class_that_was_not_imported_is_answered_without_a_read() {
    let store = Store { fails: Some("not to be read"), ..Store::default() };
    let generation = generation(Class::Phone, 3, 4096);
    let (answers, statistics) = look_up(&store, &generation, &[4, 5]).unwrap();
    assert_eq!(answers, HashMap::from([(4, Found::NotFound), (5, Found::NotFound)]));
    assert_eq!(statistics, Statistics::default());
    let (answers, statistics) = look_up(&store, &generation, &[]).unwrap();
    assert_eq!((answers.len(), statistics), (0, Statistics::default()));
}

/// The number of buckets is that of a million keys; a tenth of them stand in the buckets, so that this is fast.
#[test]
fn a_launch_of_300_000_on_a_million_profiles_stays_within_its_bounds() {
    let buckets = (1_000_000_u32 * 32).div_ceil(32_768);
    let store = store(0..99_999, buckets);
    let generation = generation(Class::Email, buckets, 36_000);
    let wanted: Vec<u32> = (0..300_000).collect();
    let mut found = 0_usize;
    let answer = |_, answer| found += usize::from(matches!(answer, Found::Profile(_)));
    let statistics = run(find(&store, search(&generation, BOTH), &wanted, hash, answer)).unwrap();
    assert_eq!(found, 66_666);
    assert_eq!(statistics, Statistics { reads: 52, keys: buckets as usize });
    assert!(statistics.reads <= BULK_READS_LIMIT);
    assert!(working_bytes(&search(&generation, BOTH), wanted.len()) < 8 * 1024 * 1024);
}

#[test]
fn reads_are_many_and_small_within_their_bounds() {
    for (buckets, largest, keys, at_once) in [
        // A small index; a million profiles; ten million, at last fewer reads at once.
        (10, 34_000, 20, 6),
        (977, 34_000, 20, 6),
        (9_766, 34_000, 98, 1),
        // As an index was before, and as the largest can be.
        (7_813, 5_000, 100, 6),
        (45_000, BUCKET_LIMIT, 100, 1),
        (1, 0, 100, 6),
        (1, 1_000_000_000, 1, 1),
    ] {
        let largest = u32::try_from(largest).unwrap();
        let index = ClassIndex { class: Class::Email, field: String::new(), buckets, largest };
        assert_eq!(plan(&index, 300_000), Plan { keys, at_once }, "{buckets} buckets of {largest}");
    }
}

#[test]
fn counting_and_comparing_sort_alike() {
    let wanted: Vec<u32> = (0..1_000).rev().collect();
    for buckets in [1, 10, 1_000, 3_999, 4_001, 45_000] {
        let bucket_of = |item| hash(item).bucket(buckets);
        let mut expected: Vec<Placed> = wanted.iter().map(|&item| Placed { bucket: bucket_of(item), item }).collect();
        expected.sort_by_key(|placed| placed.bucket);
        assert_eq!(by_bucket(&wanted, buckets, bucket_of), expected);
    }
}
