//! Searches the profiles of all items in one generation of the profile index.

use futures_util::FutureExt as _;

pub use super::found::{FailedSearch, SearchResult, cannot_read_index};
use super::{
    found::{FoundProfiles, SearchError, collect_recipients, wanted_items},
    live_search::search_live,
    ports::Ports,
    receive::items::{Items, Keying},
};
use crate::{
    memory::Reservation,
    problem::{Cause, Refused},
    profiles::{
        key::IndexKey,
        lookup::{self, LookupError, Statistics},
        manifest::{IndexError, Manifest, UsableGeneration},
    },
};

/// The profile index of a database.
#[derive(Debug, Clone, Copy)]
pub struct ProfileIndex<'a> {
    pub database: u64,
    /// The text of the manifest, if KV has one.
    pub manifest: Option<&'a str>,
    /// The deployment's index keys.
    pub secrets: &'a [IndexKey],
}

/// Searches all items in the current generation. If one of its buckets cannot be read, searches all items in the previous
/// generation: a launch never mixes generations.
pub async fn search<P: Ports>(
    ports: &P,
    index: ProfileIndex<'_>,
    items: &Items,
    keying: &Keying,
    memory: &mut Reservation,
) -> Result<SearchResult, FailedSearch> {
    let ProfileIndex { database, manifest, secrets } = index;
    let unusable = |why: IndexError| FailedSearch {
        refused: Refused::unavailable(why.message(database), why.cause(database)),
        needs_other_manifest: true,
    };
    let manifest = Manifest::parse(manifest).map_err(unusable)?;
    if manifest.live {
        let found = search_live(ports, (database, manifest), secrets, items, keying, memory).boxed_local().await;
        return found.map_err(FailedSearch::from);
    }
    let mut statistics = Statistics::default();
    let mut failed: Option<(&str, Cause)> = None;
    let mut needs_other_manifest = false;
    for usable in manifest.generations(secrets).map_err(unusable)? {
        let before = memory.bytes();
        let found = search_generation(ports, database, usable, items, keying, memory, &mut statistics).await;
        match found {
            Ok(found) => {
                let mut result = collect_recipients(items, &found, memory)?;
                if let Some((generation, cause)) = failed {
                    ports.report(&format!("generation {generation} of the profile index could not be read"), &cause);
                }
                result.statistics = statistics;
                return Ok(result);
            }
            Err(SearchError::OutOfMemory(error)) => return Err(error.into()),
            // A bucket that cannot be read never means "not found".
            Err(SearchError::Lookup(error)) => {
                memory.shrink(memory.bytes().saturating_sub(before));
                needs_other_manifest |= !matches!(error, LookupError::Store(_));
                let name = usable.generation.name.as_str();
                let cause = format!("database {database}, generation {name}: {error}");
                failed = Some(match failed {
                    None => (name, Cause(cause)),
                    Some((first, earlier)) => (first, Cause(format!("{earlier}; {cause}"))),
                });
            }
        }
    }
    let cause = failed.map_or_else(|| Cause::new("the manifest names no generation"), |(_, cause)| cause);
    Err(FailedSearch { refused: cannot_read_index(database, cause), needs_other_manifest })
}

async fn search_generation<P: Ports>(
    ports: &P,
    database: u64,
    usable: UsableGeneration<'_>,
    items: &Items,
    keying: &Keying,
    memory: &mut Reservation,
    statistics: &mut Statistics,
) -> Result<FoundProfiles, SearchError> {
    memory.grow((items.len() * FoundProfiles::BYTES_EACH) as u64)?;
    let mut found = FoundProfiles::new(items);
    for (number, search) in keying.matching.searches().iter().enumerate() {
        let wanted = wanted_items(items, number, |item| found.is_missing(item));
        let search = keying.index_search(database, usable.generation, search);
        let working = lookup::working_bytes(&search, wanted.len());
        memory.grow(working)?;
        let hash = |item| items.hash(item, usable.key_position, number);
        let record = |item: u32, result| found.record(item, result);
        *statistics += lookup::find(ports, search, &wanted, hash, record).await.map_err(SearchError::Lookup)?;
        memory.shrink(working);
    }
    Ok(found)
}
