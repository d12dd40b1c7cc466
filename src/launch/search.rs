//! Searches the profiles of all items in one generation of the profile index.

use super::{
    ports::Ports,
    receive::items::{ItemState, Items, Keying},
};
use crate::{
    campaign::protocol::packed::OutcomePacker,
    memory::{OutOfMemory, Reservation},
    outcome::{Counts, Outcome},
    problem::{Cause, Refused},
    profiles::{
        bucket::KeyMatch,
        key::{IndexKey, ProfileId},
        lookup::{self, IndexSearch, LookupError, SortedKeys, Statistics},
        manifest::{IndexError, Manifest, UsableGeneration},
    },
};
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// The recipients of a launch, and the outcome of each item.
#[derive(Debug, Default)]
pub struct SearchResult {
    /// The recipients' profile IDs, 12 bytes each, in the order of `data`. Each profile appears once.
    pub recipients: Vec<u8>,
    /// The outcome of each item, packed ([`OutcomePacker`]).
    pub outcomes: Vec<u8>,
    pub counts: Counts,
    /// Index and outcome of the first item that is unmatched or invalid.
    pub first_refused: Option<(u64, Outcome)>,
    /// For each recipient whose item has its own `custom_data`: the recipient's number, and the number of the `custom_data`
    /// among all of the request.
    pub with_data: Vec<(u32, u32)>,
    pub statistics: Statistics,
}

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
) -> Result<SearchResult, Refused> {
    let ProfileIndex { database, manifest, secrets } = index;
    let unusable = |why: IndexError| Refused::unavailable(why.message(database), why.cause(database));
    let manifest = Manifest::parse(manifest).map_err(unusable)?;
    let mut statistics = Statistics::default();
    let mut failed: Option<(&str, Cause)> = None;
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
    Err(cannot_read_index(database, cause))
}

/// 503: KV failed.
pub fn cannot_read_index(database: u64, cause: Cause) -> Refused {
    Refused::unavailable(format!("profile index of database {database} cannot be read now: retry later"), cause)
}

#[derive(Debug, thiserror::Error)]
enum SearchError {
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    #[error("{0}")]
    Lookup(LookupError),
}

/// One outcome and one profile ID for each item. The ID is valid if the outcome is [`Outcome::Matched`].
struct FoundProfiles {
    outcomes: Vec<Outcome>,
    ids: Vec<ProfileId>,
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
    const EACH: usize = size_of::<Outcome>() + size_of::<ProfileId>();
    memory.grow((items.len() * EACH) as u64)?;
    let invalid = |known| match known {
        ItemState::Invalid(reason) => reason,
        ItemState::Keys { .. } => Outcome::NotFound,
    };
    let mut found =
        FoundProfiles { outcomes: items.states().map(invalid).collect(), ids: vec![ProfileId([0; 12]); items.len()] };
    for (number, search) in keying.matching.searches().iter().enumerate() {
        let search = IndexSearch {
            database,
            generation: usable.generation,
            class: search.class,
            field: &keying.field_name,
            sections: search.sections,
        };
        let wanted = || {
            let is_wanted = |known, outcome| has_key(known, number) && outcome == Outcome::NotFound;
            (0..)
                .zip(items.states().zip(&found.outcomes))
                .filter(move |(_, (known, outcome))| is_wanted(*known, **outcome))
                .map(|(item, _)| (item, items.hash(item, usable.key_position, number)))
        };
        let working = lookup::working_bytes(&search, wanted().count());
        memory.grow(working)?;
        let keys = SortedKeys::new(&search, wanted);
        let record = |item: u32, entry| {
            let (outcome, id) = match entry {
                KeyMatch::Profile(id) => (Outcome::Matched, id),
                KeyMatch::Ambiguous => (Outcome::Ambiguous, ProfileId([0; 12])),
                KeyMatch::None => return,
            };
            let at = item as usize;
            if let (Some(slot), Some(place)) = (found.outcomes.get_mut(at), found.ids.get_mut(at)) {
                (*slot, *place) = (outcome, id);
            }
        };
        *statistics += lookup::find(ports, search, &keys, record).await.map_err(SearchError::Lookup)?;
        drop(keys);
        memory.shrink(working);
    }
    Ok(found)
}

fn has_key(known: ItemState, search: usize) -> bool {
    match known {
        ItemState::Invalid(_) => false,
        ItemState::Keys { first, second } => match search {
            0 => first,
            _ => second,
        },
    }
}

/// Lists each matched profile once, counts the outcomes, and packs them.
fn collect_recipients(
    items: &Items,
    found: &FoundProfiles,
    memory: &mut Reservation,
) -> Result<SearchResult, OutOfMemory> {
    let matches = found.outcomes.iter().filter(|outcome| **outcome == Outcome::Matched).count();
    // Each profile needs 12 bytes in `recipients`, and at most 12 bytes in the hash table (a number and a tag, at a load of 7/16).
    memory.grow((matches * (12 + 12)) as u64)?;
    let mut result = SearchResult { recipients: Vec::with_capacity(matches * 12), ..SearchResult::default() };
    let mut seen: HashTable<u32> = HashTable::with_capacity(matches);
    let hasher = hashbrown::DefaultHashBuilder::default();
    let mut outcomes = OutcomePacker::default();
    let mut with_data = items.custom_data().map(|(item, _)| item).zip(0_u32..).peekable();
    let id_of = |item: u32| found.ids.get(item as usize);
    for (item, (outcome, id)) in (0_u32..).zip(found.outcomes.iter().zip(&found.ids)) {
        let data = with_data.next_if(|(with, _)| *with == item).map(|(_, place)| place);
        let mut outcome = *outcome;
        if outcome == Outcome::Matched {
            let hash = |id: &ProfileId| hasher.hash_one(id.0);
            let entry = seen.entry(hash(id), |other| id_of(*other) == Some(id), |other| id_of(*other).map_or(0, hash));
            match entry {
                hashbrown::hash_table::Entry::Occupied(_) => outcome = Outcome::Duplicate,
                hashbrown::hash_table::Entry::Vacant(place) => {
                    place.insert(item);
                    result.recipients.extend_from_slice(&id.0);
                }
            }
        }
        if let (Outcome::Matched, Some(place)) = (outcome, data) {
            let recipient = u32::try_from(result.counts.matched).map_err(|_| OutOfMemory::Entries)?;
            memory.grow(8)?;
            result.with_data.push((recipient, place));
        }
        if outcome.reason().is_some() && result.first_refused.is_none() {
            result.first_refused = Some((u64::from(item), outcome));
        }
        result.counts.add(outcome);
        outcomes.push(outcome);
    }
    result.outcomes = outcomes.finish();
    Ok(result)
}
