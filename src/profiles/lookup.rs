//! Looking up all items of a launch: each bucket once, a hundred to a bulk read, a few reads at once.

use std::{fmt, future::Future, ops::AddAssign, rc::Rc};

use futures_util::stream::{self, StreamExt as _};

use super::{
    BINDING,
    bucket::{Bucket, Corrupt, Found, Section},
    key::{Class, KeyHash},
    manifest::{ClassIndex, Generation, bucket_prefix},
};
use crate::{
    limits::{BULK_KEYS, BULK_READS_AIM, BULK_READS_AT_ONCE, BYTES_IN_FLIGHT},
    problem::Cause,
};

/// Where buckets are read from.
pub trait BucketStore {
    /// Reads at most [`BULK_KEYS`] values at once. The values are in the order of the keys; `None`: the store
    /// does not hold that key (or not yet, at this place).
    fn read(&self, keys: &[String]) -> impl Future<Output = Result<Vec<Option<String>>, Cause>>;
    /// Bytes of buckets that are kept for later searches ([`super::cache`]).
    fn room(&self) -> usize {
        0
    }
    /// The bucket under a key, if it was kept.
    fn kept(&self, _key: &str) -> Option<Rc<String>> {
        None
    }
    /// Keeps a bucket.
    fn keep(&self, _key: String, _bucket: String) {}
}

/// Why a search came to no end. What it has answered so far is void.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupError {
    /// The bucket under this key is absent: the *whole* launch is searched again, in the generation before.
    Missing(String),
    /// The bucket under this key is damaged.
    Corrupt(String),
    /// The store failed.
    Store(Cause),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(key) => write!(f, "KV {BINDING} {key}: not found"),
            Self::Corrupt(key) => write!(f, "KV {BINDING} {key}: damaged"),
            Self::Store(cause) => cause.fmt(f),
        }
    }
}

/// What to search.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The database.
    pub database: u64,
    /// The generation.
    pub generation: &'a Generation,
    /// The class of the keys.
    pub class: Class,
    /// The custom field of the class; empty for classes without one (also for push).
    pub field: &'a str,
    /// The sections to search, in this order: a profile ends the search, and so does an ambiguous key.
    pub sections: &'a [Section],
}

/// What a search took, without what was kept from earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Bulk reads.
    pub reads: usize,
    /// Keys in them, each of another bucket.
    pub keys: usize,
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.keys += other.keys;
    }
}

/// Looks up the items `wanted`; `hash` is an item's hash, `answer` is told each item's result once, in no
/// particular order. A class that the generation does not have is answered without a read.
pub async fn find<S: BucketStore>(
    store: &S,
    search: Search<'_>,
    wanted: &[u32],
    hash: impl Fn(u32) -> KeyHash,
    mut answer: impl FnMut(u32, Found),
) -> Result<Statistics, LookupError> {
    let Some(index) = search.generation.class(search.class, search.field) else {
        for &item in wanted {
            answer(item, Found::NotFound);
        }
        return Ok(Statistics::default());
    };
    let bucket_of = |item: u32| hash(item).bucket(index.buckets);
    let order = by_bucket(wanted, index.buckets, bucket_of);
    let mut answer_all = |group: &[Placed], text: &str| {
        let bucket = Bucket::parse(text)?;
        for &Placed { item, .. } in group {
            answer(item, bucket.find_first(search.sections, &hash(item))?);
        }
        Ok::<(), Corrupt>(())
    };
    let prefix = bucket_prefix(search.database, &search.generation.name, search.class, search.field);
    let key = |group: &[Placed]| group.first().map(|placed| format!("{prefix}{}", placed.bucket)).unwrap_or_default();
    let mut buckets = 0_usize;
    let mut absent: Vec<&[Placed]> = Vec::new();
    for group in order.chunk_by(|a, b| a.bucket == b.bucket) {
        buckets += 1;
        match store.kept(&key(group)) {
            Some(text) => answer_all(group, &text).map_err(|Corrupt| LookupError::Corrupt(key(group)))?,
            None => absent.push(group),
        }
    }
    // A search that may read more than is kept would drive out what all others use.
    let keep = buckets.saturating_mul(index.largest as usize) <= store.room();
    let plan = plan(index, wanted.len());
    let reads = absent.chunks(plan.keys).map(|groups| {
        // Made when they are asked for: those of all buckets together would be megabytes.
        let keys: Vec<String> = groups.iter().map(|group| key(group)).collect();
        async move {
            let texts = store.read(&keys).await;
            (keys, groups, texts)
        }
    });
    let mut reads = stream::iter(reads).buffer_unordered(plan.at_once);
    while let Some((keys, groups, texts)) = reads.next().await {
        let texts = texts.map_err(LookupError::Store)?;
        if texts.len() != groups.len() {
            let cause = format!("KV {BINDING}: {} values for {} keys", texts.len(), groups.len());
            return Err(LookupError::Store(Cause(cause)));
        }
        for ((key, group), text) in keys.into_iter().zip(groups).zip(texts) {
            let Some(text) = text else { return Err(LookupError::Missing(key)) };
            let answered = answer_all(group, &text);
            if let Err(Corrupt) = answered {
                return Err(LookupError::Corrupt(key));
            }
            if keep {
                store.keep(key, text);
            }
        }
    }
    Ok(Statistics { reads: absent.len().div_ceil(plan.keys), keys: absent.len() })
}

/// Bytes to reserve for a search of so many items: its lists, and the buckets that are read at once.
pub fn working_bytes(search: &Search<'_>, wanted: usize) -> u64 {
    let Some(index) = search.generation.class(search.class, search.field) else { return 0 };
    let buckets = (index.buckets as u64).min(wanted as u64);
    let lists = size_of::<Placed>() as u64 * wanted as u64 + 4 * u64::from(index.buckets) + 16 * buckets;
    let Plan { keys, at_once } = plan(index, wanted);
    let in_flight = (keys * at_once) as u64;
    lists + u64::from(index.largest) * buckets.min(in_flight)
}

/// How buckets are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// Keys of one bulk read.
    keys: usize,
    /// Bulk reads under way at once.
    at_once: usize,
}

/// Many reads at once, each of few keys, as long as that takes no more than [`BULK_READS_AIM`] of them: within
/// [`BYTES_IN_FLIGHT`] either way.
fn plan(index: &ClassIndex, wanted: usize) -> Plan {
    let largest = (index.largest as usize).max(1);
    let buckets = wanted.min(index.buckets as usize);
    let few = BYTES_IN_FLIGHT / BULK_READS_AT_ONCE / largest;
    let keys = few.max(buckets.div_ceil(BULK_READS_AIM)).clamp(1, BULK_KEYS);
    let at_once = (BYTES_IN_FLIGHT / largest.saturating_mul(keys)).clamp(1, BULK_READS_AT_ONCE);
    Plan { keys, at_once }
}

/// An item and its bucket: kept together, since hashes lie far apart once items are in the order of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Placed {
    bucket: u32,
    item: u32,
}

/// The items in the order of their buckets. Many items are sorted by counting, which takes time and room for
/// each bucket; few by comparing.
fn by_bucket(wanted: &[u32], buckets: u32, bucket_of: impl Fn(u32) -> u32) -> Vec<Placed> {
    let place = |&item: &u32| Placed { bucket: bucket_of(item), item };
    if wanted.len() < buckets as usize / 4 {
        let mut order: Vec<Placed> = wanted.iter().map(place).collect();
        order.sort_by_key(|placed| placed.bucket);
        return order;
    }
    let mut starts = vec![0_u32; buckets as usize];
    for placed in wanted.iter().map(place) {
        if let Some(count) = starts.get_mut(placed.bucket as usize) {
            *count += 1;
        }
    }
    let mut next = 0;
    for start in &mut starts {
        next += std::mem::replace(start, next);
    }
    let mut order = vec![Placed::default(); wanted.len()];
    for placed in wanted.iter().map(place) {
        if let Some(start) = starts.get_mut(placed.bucket as usize) {
            if let Some(to) = order.get_mut(*start as usize) {
                *to = placed;
            }
            *start += 1;
        }
    }
    order
}

#[cfg(test)]
mod tests;
