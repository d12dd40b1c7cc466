//! Finds the profiles of all items of a launch. Reads each bucket once, up to [`BULK_KEYS`] buckets in one bulk read of KV, and
//! a few bulk reads at once.

use std::{future::Future, ops::AddAssign, rc::Rc};

use futures_util::stream::{self, StreamExt as _};

use super::{
    BINDING,
    bucket::{Bucket, BucketSection, CorruptBucket, KeyMatch},
    key::{Class, KeyHash},
    manifest::{ClassIndex, Generation, bucket_prefix},
};
use crate::{
    limits::{BULK_KEYS, BULK_READS_AIM, BULK_READS_AT_ONCE, BYTES_IN_FLIGHT},
    problem::Cause,
};

/// Reads buckets, and caches them for later launches.
pub trait BucketStore {
    /// Reads at most [`BULK_KEYS`] values, and returns them in the order of the keys. A value is `None` if the store does not
    /// have the key, or does not have it at this location yet.
    fn read(&self, keys: &[String]) -> impl Future<Output = Result<Vec<Option<String>>, Cause>>;
    /// Returns the largest size of the cache ([`super::cache`]) in bytes.
    fn cache_limit(&self) -> usize {
        0
    }
    /// Returns a bucket from the cache.
    fn cached(&self, _key: &str) -> Option<Rc<String>> {
        None
    }
    /// Adds a bucket to the cache.
    fn cache(&self, _key: String, _bucket: String) {}
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
    visit(store, search, items, &hash, |item, bucket| {
        let found = bucket.map(|bucket| bucket.find_first(search.sections, &hash(item))).transpose()?;
        on_result(item, found.unwrap_or(KeyMatch::None));
        Ok(())
    })
    .await
}

/// Reads the buckets for the keys of `items`. `on_item` receives each item once, in any order, with the bucket of its key; or
/// without one, if the generation does not have the class.
pub async fn visit<S: BucketStore>(
    store: &S,
    search: IndexSearch<'_>,
    items: &[u32],
    hash: impl Fn(u32) -> KeyHash,
    mut on_item: impl FnMut(u32, Option<&Bucket<'_>>) -> Result<(), CorruptBucket>,
) -> Result<Statistics, LookupError> {
    let Some(index) = search.generation.class(search.class, search.field) else {
        // Without a bucket, nothing can be damaged.
        let visited = items.iter().try_for_each(|item| on_item(*item, None));
        return visited.map(|()| Statistics::default()).map_err(|CorruptBucket| LookupError::Corrupt(String::new()));
    };
    let bucket_number = |item: u32| hash(item).bucket_number(index.buckets);
    let order = sort_by_bucket(items, index.buckets, bucket_number);
    let mut search_bucket = |group: &[BucketItem], text: &str| {
        let bucket = Bucket::parse(text)?;
        for &BucketItem { item, .. } in group {
            on_item(item, Some(&bucket))?;
        }
        Ok::<(), CorruptBucket>(())
    };
    let prefix = bucket_prefix(search.database, &search.generation.name, search.class, search.field);
    let key = |group: &[BucketItem]| group.first().map(|first| format!("{prefix}{}", first.bucket)).unwrap_or_default();
    let mut buckets = 0_usize;
    let mut uncached: Vec<&[BucketItem]> = Vec::new();
    for group in order.chunk_by(|a, b| a.bucket == b.bucket) {
        buckets += 1;
        match store.cached(&key(group)) {
            Some(text) => search_bucket(group, &text).map_err(|CorruptBucket| LookupError::Corrupt(key(group)))?,
            None => uncached.push(group),
        }
    }
    // A search that may read more than the cache can contain would evict the buckets of all other launches.
    let fits_cache = buckets.saturating_mul(index.largest as usize) <= store.cache_limit();
    let plan = plan_reads(index, items.len());
    let reads = uncached.chunks(plan.keys).map(|groups| {
        // Built when the read begins: the keys of all buckets together would take megabytes.
        let keys: Vec<String> = groups.iter().map(|group| key(group)).collect();
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
        for ((key, group), text) in keys.into_iter().zip(groups).zip(texts) {
            let Some(text) = text else { return Err(LookupError::Missing(key)) };
            if let Err(CorruptBucket) = search_bucket(group, &text) {
                return Err(LookupError::Corrupt(key));
            }
            if fits_cache {
                store.cache(key, text);
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
    let lists = size_of::<BucketItem>() as u64 * items as u64 + 4 * u64::from(index.buckets) + 16 * buckets;
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

/// An item and the number of its bucket. Stored together, because computing the number again would access hashes in random order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct BucketItem {
    bucket: u32,
    item: u32,
}

/// Sorts items by bucket. Many items are sorted by counting, which takes time and memory for each bucket; few items are sorted by
/// comparing.
fn sort_by_bucket(items: &[u32], buckets: u32, bucket_number: impl Fn(u32) -> u32) -> Vec<BucketItem> {
    let with_bucket = |&item: &u32| BucketItem { bucket: bucket_number(item), item };
    if items.len() < buckets as usize / 4 {
        let mut order: Vec<BucketItem> = items.iter().map(with_bucket).collect();
        order.sort_by_key(|item| item.bucket);
        return order;
    }
    let mut starts = vec![0_u32; buckets as usize];
    for item in items.iter().map(with_bucket) {
        if let Some(count) = starts.get_mut(item.bucket as usize) {
            *count += 1;
        }
    }
    let mut next = 0;
    for start in &mut starts {
        next += std::mem::replace(start, next);
    }
    let mut order = vec![BucketItem::default(); items.len()];
    for item in items.iter().map(with_bucket) {
        if let Some(start) = starts.get_mut(item.bucket as usize) {
            if let Some(slot) = order.get_mut(*start as usize) {
                *slot = item;
            }
            *start += 1;
        }
    }
    order
}

#[cfg(test)]
mod tests;
