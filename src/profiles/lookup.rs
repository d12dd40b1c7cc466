//! Finds the profiles of all items of a launch. Reads each bucket once, up to [`BULK_KEYS`] buckets in one bulk read of KV, and
//! a few bulk reads at once.

use std::{cell::RefCell, future::Future, ops::AddAssign};

use futures_util::stream::{self, StreamExt as _};

use super::{
    BINDING,
    bucket::{Bucket, BucketSection, CorruptBucket, KeyMatch},
    cache::IndexCache,
    key::{BucketPlace, Class, HashPrefix, KeyHash},
    manifest::{ClassIndex, Generation, bucket_prefix},
};
use crate::{
    limits::{BULK_KEYS, BULK_READS_AIM, BULK_READS_AT_ONCE, BYTES_IN_FLIGHT},
    problem::Cause,
};

/// Reads buckets.
pub trait BucketStore {
    /// Reads at most [`BULK_KEYS`] values, and returns them in the order of the keys. A value is `None` if the store does not
    /// have the key, or does not have it at this location yet.
    fn read(&self, keys: &[String]) -> impl Future<Output = Result<Vec<Option<String>>, Cause>>;
    /// The cache of the isolate, if there is one.
    fn cache(&self) -> Option<&RefCell<IndexCache>> {
        None
    }
}

/// Why a search failed. The results that it has reported are not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The store does not have the bucket with this key. The whole launch has to search the previous generation.
    #[error("KV {BINDING} {0}: not found")]
    Missing(String),
    /// The bucket with this key is damaged.
    #[error("KV {BINDING} {0}: damaged")]
    Corrupt(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Cause),
}

/// The part of an index that is searched.
#[derive(Debug, Clone, Copy)]
pub struct IndexSearch<'a> {
    /// The database.
    pub database: u64,
    /// The generation.
    pub generation: &'a Generation,
    /// The class of the keys.
    pub class: Class,
    /// The name of the custom field or channel, or empty for other classes.
    pub field: &'a str,
    /// The sections to search, in order. The first section that contains a key decides, even if the key is ambiguous there.
    pub sections: &'a [BucketSection],
}

/// Where a key is in an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPlace {
    pub bucket: BucketPlace,
    pub prefix: HashPrefix,
}

/// The reads of a search. Buckets from the cache are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Bulk reads.
    pub reads: usize,
    /// Keys in these bulk reads. Each key is a different bucket.
    pub keys: usize,
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.keys += other.keys;
    }
}

/// Searches the index for the keys of `items`. `hash` returns the hash of an item's key. `on_result` receives the result of each
/// item once, in any order. A class that the generation does not have is not read.
pub async fn find<S: BucketStore>(
    store: &S,
    search: IndexSearch<'_>,
    items: &[u32],
    hash: impl Fn(u32) -> KeyHash,
    mut on_result: impl FnMut(u32, KeyMatch),
) -> Result<Statistics, LookupError> {
    let Some(index) = search.generation.class(search.class, search.field) else {
        items.iter().for_each(|item| on_result(*item, KeyMatch::None));
        return Ok(Statistics::default());
    };
    let keys = SortedKeys::new(index.buckets, items, hash);
    search_buckets(store, search, index, &keys, |key, _, bucket| {
        on_result(key.item, bucket.find_first(search.sections, key.prefix())?);
        Ok(())
    })
    .await
}

/// Reads the buckets for the keys of `items`. `on_item` receives each item once, bucket by bucket, with the place of its key; or
/// without a bucket, if the generation does not have the class.
pub async fn visit<S: BucketStore>(
    store: &S,
    search: IndexSearch<'_>,
    items: &[u32],
    hash: impl Fn(u32) -> KeyHash,
    mut on_item: impl FnMut(u32, KeyPlace, Option<&Bucket<'_>>) -> Result<(), CorruptBucket>,
) -> Result<Statistics, LookupError> {
    let Some(index) = search.generation.class(search.class, search.field) else {
        // Without a bucket, nothing can be damaged.
        let visited = items.iter().try_for_each(|item| {
            let place = KeyPlace { bucket: BucketPlace::WHOLE, prefix: hash(*item).prefix() };
            on_item(*item, place, None)
        });
        return visited.map(|()| Statistics::default()).map_err(|CorruptBucket| LookupError::Corrupt(String::new()));
    };
    let keys = SortedKeys::new(index.buckets, items, hash);
    search_buckets(store, search, index, &keys, |key, number, bucket| {
        let place = KeyPlace { bucket: BucketPlace { number, buckets: index.buckets }, prefix: key.prefix() };
        on_item(key.item, place, Some(bucket))
    })
    .await
}

/// Passes each key with the number of its bucket and the bucket to `on_key`, bucket by bucket.
async fn search_buckets<S: BucketStore>(
    store: &S,
    search: IndexSearch<'_>,
    index: &ClassIndex,
    keys: &SortedKeys,
    mut on_key: impl FnMut(&SearchedKey, u32, &Bucket<'_>) -> Result<(), CorruptBucket>,
) -> Result<Statistics, LookupError> {
    let mut search_bucket = |number: u32, keys: &[SearchedKey], text: &str| {
        let bucket = Bucket::parse(text)?;
        keys.iter().try_for_each(|key| on_key(key, number, &bucket))
    };
    let prefix = bucket_prefix(search.database, &search.generation.name, search.class, search.field);
    let bucket_key = |bucket: u32| format!("{prefix}{bucket}");
    let mut uncached: Vec<(u32, &[SearchedKey])> = Vec::new();
    for (bucket, keys) in keys.buckets() {
        let key = bucket_key(bucket);
        match store.cache().and_then(|cache| cache.borrow_mut().bucket(&key)) {
            Some(text) => search_bucket(bucket, keys, &text).map_err(|CorruptBucket| LookupError::Corrupt(key))?,
            None => uncached.push((bucket, keys)),
        }
    }
    // A search that may read more than the cache can contain would evict the buckets of all other launches.
    let most_bytes = keys.buckets.len().saturating_mul(index.largest as usize);
    let cache = store.cache().filter(|cache| most_bytes <= cache.borrow().limit());
    let plan = plan_reads(index, keys.keys.len());
    let reads = uncached.chunks(plan.keys).map(|groups| {
        // Built when the read begins: the keys of all buckets together would take megabytes.
        let keys: Vec<String> = groups.iter().map(|(bucket, _)| bucket_key(*bucket)).collect();
        async move {
            let texts = store.read(&keys).await;
            (keys, groups, texts)
        }
    });
    let mut reads = stream::iter(reads).buffer_unordered(plan.at_once);
    while let Some((keys, groups, texts)) = reads.next().await {
        let texts = texts?;
        if texts.len() != groups.len() {
            let cause = format!("KV {BINDING}: {} values for {} keys", texts.len(), groups.len());
            return Err(LookupError::Store(Cause(cause)));
        }
        for ((key, (bucket, searched)), text) in keys.into_iter().zip(groups).zip(texts) {
            let Some(text) = text else { return Err(LookupError::Missing(key)) };
            if let Err(CorruptBucket) = search_bucket(*bucket, searched, &text) {
                return Err(LookupError::Corrupt(key));
            }
            if let Some(cache) = cache {
                cache.borrow_mut().put_bucket(key, text);
            }
        }
    }
    Ok(Statistics { reads: uncached.len().div_ceil(plan.keys), keys: uncached.len() })
}

/// Returns the memory to reserve for a search of this number of items, in bytes: its lists, and the buckets that are read at
/// once.
pub fn working_bytes(search: &IndexSearch<'_>, items: usize) -> u64 {
    let Some(index) = search.generation.class(search.class, search.field) else { return 0 };
    let buckets = (index.buckets as u64).min(items as u64);
    let each_bucket = (size_of::<BucketKeys>() + size_of::<(u32, &[SearchedKey])>()) as u64;
    let lists = size_of::<SearchedKey>() as u64 * items as u64 + 4 * u64::from(index.buckets) + each_bucket * buckets;
    let ReadPlan { keys, at_once } = plan_reads(index, items);
    let in_flight = (keys * at_once) as u64;
    lists + u64::from(index.largest) * buckets.min(in_flight)
}

/// How a search reads its buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ReadPlan {
    /// Keys in one bulk read.
    keys: usize,
    /// Bulk reads at once.
    at_once: usize,
}

/// Plans many small bulk reads at once, unless there would be more than [`BULK_READS_AIM`] of them. Large or small, the reads in
/// progress stay within [`BYTES_IN_FLIGHT`].
fn plan_reads(index: &ClassIndex, items: usize) -> ReadPlan {
    let largest = (index.largest as usize).max(1);
    let buckets = items.min(index.buckets as usize);
    let small = BYTES_IN_FLIGHT / BULK_READS_AT_ONCE / largest;
    let keys = small.max(buckets.div_ceil(BULK_READS_AIM)).clamp(1, BULK_KEYS);
    let at_once = (BYTES_IN_FLIGHT / largest.saturating_mul(keys)).clamp(1, BULK_READS_AT_ONCE);
    ReadPlan { keys, at_once }
}

/// A key that is searched, and its item. Items and hashes are sorted together, so that the search reads memory in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct SearchedKey {
    /// [`HashPrefix::first`].
    first: u64,
    /// [`HashPrefix::rest`].
    rest: u32,
    item: u32,
}

impl SearchedKey {
    fn new(item: u32, hash: &KeyHash) -> Self {
        let HashPrefix { first, rest } = hash.prefix();
        Self { first, rest, item }
    }

    fn prefix(&self) -> HashPrefix {
        HashPrefix { first: self.first, rest: self.rest }
    }
}

/// The keys of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BucketKeys {
    bucket: u32,
    /// The position after the last key of the bucket.
    end: u32,
}

/// Keys that are sorted by bucket.
#[derive(Debug, PartialEq, Eq, Default)]
struct SortedKeys {
    keys: Vec<SearchedKey>,
    /// The buckets with keys, in order.
    buckets: Vec<BucketKeys>,
}

impl SortedKeys {
    /// Sorts items and the hashes of their keys by bucket.
    fn new(buckets: u32, items: &[u32], hash: impl Fn(u32) -> KeyHash) -> Self {
        // Counting takes time for each bucket. A launch of one recipient needs a single bucket.
        if let [item] = items {
            let hash = hash(*item);
            let buckets = vec![BucketKeys { bucket: hash.bucket_number(buckets), end: 1 }];
            return Self { keys: vec![SearchedKey::new(*item, &hash)], buckets };
        }
        let position = |hash: &KeyHash| hash.bucket_number(buckets) as usize;
        let mut ends = vec![0_u32; buckets as usize];
        for item in items {
            if let Some(count) = ends.get_mut(position(&hash(*item))) {
                *count += 1;
            }
        }
        // Each count becomes the start of its bucket, and while keys are added, the end.
        let mut next = 0;
        for start in &mut ends {
            next += std::mem::replace(start, next);
        }
        let mut sorted = vec![SearchedKey::default(); items.len()];
        for item in items {
            let hash = hash(*item);
            let Some(end) = ends.get_mut(position(&hash)) else { continue };
            if let Some(slot) = sorted.get_mut(std::mem::replace(end, *end + 1) as usize) {
                *slot = SearchedKey::new(*item, &hash);
            }
        }
        let mut start = 0;
        let has_keys = |(_, end): &(u32, u32)| std::mem::replace(&mut start, *end) != *end;
        let with_keys = (0..).zip(ends).filter(has_keys);
        Self { keys: sorted, buckets: with_keys.map(|(bucket, end)| BucketKeys { bucket, end }).collect() }
    }

    /// The number of each bucket and its keys.
    fn buckets(&self) -> impl Iterator<Item = (u32, &[SearchedKey])> {
        let mut start = 0;
        self.buckets.iter().map(move |BucketKeys { bucket, end }| {
            let range = std::mem::replace(&mut start, *end as usize)..*end as usize;
            (*bucket, self.keys.get(range).unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests;
