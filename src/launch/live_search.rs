//! Searches the profiles of all items in a database whose profiles change between imports: first the buckets of a generation,
//! and then the pending changes, about which the database's object is asked once.
//!
//! The object names another generation if the manifest in KV is out of date; then the search is repeated. Every result is that of
//! one version: the object's last answer.

use super::{
    found::{FoundProfiles, SearchError, SearchResult, cannot_read_index, collect_recipients, wanted_items},
    ports::{ObjectError, Ports},
    receive::items::{Items, Keying},
};
use crate::{
    limits::QUESTION_ITEMS,
    memory::Reservation,
    problem::{Cause, Refused},
    profiles::{
        bucket::{Bucket, BucketSection, CorruptBucket, KeyMatch},
        key::{IndexKey, KeyHash, ProfileId},
        live::{
            message::{Answer, Question},
            pending::{FoundHolders, PendingChanges, PendingError},
        },
        lookup::{self, IndexSearch, LookupError, Statistics},
        manifest::{Generation, Manifest},
    },
};
use std::error::Error as _;

/// Why a generation was not searched.
#[derive(Debug)]
enum LiveSearchError {
    /// The search failed, in memory or in KV.
    Search(SearchError),
    /// The object cannot be asked.
    Object(ObjectError),
    /// The object does not let launches search this generation. Contains those that can be searched.
    Other(Vec<Generation>),
}

impl From<LookupError> for LiveSearchError {
    fn from(error: LookupError) -> Self {
        Self::Search(SearchError::Lookup(error))
    }
}

impl From<crate::memory::OutOfMemory> for LiveSearchError {
    fn from(error: crate::memory::OutOfMemory) -> Self {
        Self::Search(error.into())
    }
}

/// What both kinds of searches pass to [`lookup::visit`]. One type for both keeps the Worker small.
type OnItem<'a> = &'a mut dyn FnMut(u32, Option<&Bucket<'_>>) -> Result<(), CorruptBucket>;
type HashOf<'a> = &'a dyn Fn(u32) -> KeyHash;

/// The database, and what the search needs of the request.
#[derive(Debug, Clone, Copy)]
struct LiveSearch<'a> {
    database: u64,
    secrets: &'a [IndexKey],
    items: &'a Items,
    keying: &'a Keying,
}

/// Searches all items. `manifest` may be out of date.
pub async fn search_live<P: Ports>(
    ports: &P,
    (database, manifest): (u64, Manifest),
    secrets: &[IndexKey],
    items: &Items,
    keying: &Keying,
    memory: &mut Reservation,
) -> Result<SearchResult, Refused> {
    let search = LiveSearch { database, secrets, items, keying };
    let mut statistics = Statistics::default();
    let mut failure: Option<Cause> = None;
    let mut generations: Vec<Generation> = std::iter::once(manifest.current).chain(manifest.previous).collect();
    let mut tried: Vec<String> = Vec::new();
    let mut has_asked = false;
    loop {
        let before = memory.bytes();
        let next = generations.iter().find(|generation| !tried.contains(&generation.name)).cloned();
        let result = match next {
            Some(generation) => {
                tried.push(generation.name.clone());
                let found = search_generation(ports, search, &generation, memory, &mut statistics).await;
                found.map_err(|error| (generation.name, error))
            }
            // No generation of the manifest can be read. The object may name others.
            None if !has_asked => {
                let about = Some((&[][..], &[][..]));
                let error = match ask(ports, database, Question { generation: "", about }, memory).await {
                    Ok(answer) => match Answer::read(&answer) {
                        Ok(Answer::Other(others)) => LiveSearchError::Other(others),
                        _ => LiveSearchError::Other(Vec::new()),
                    },
                    Err(error) => error,
                };
                Err((String::new(), error))
            }
            None => {
                let cause = failure.unwrap_or_else(|| Cause::new("the manifest names no generation"));
                return Err(cannot_read_index(database, cause));
            }
        };
        match result {
            Ok(found) => {
                let mut result = collect_recipients(items, &found, memory)?;
                if let Some(cause) = failure {
                    ports.report("a generation of the profile index could not be read", &cause);
                }
                result.statistics = statistics;
                return Ok(result);
            }
            Err((_, LiveSearchError::Search(SearchError::OutOfMemory(error)))) => return Err(error.into()),
            Err((_, LiveSearchError::Object(error))) => return Err(cannot_read_changes(database, error)),
            Err((_, LiveSearchError::Other(others))) => {
                has_asked = true;
                generations = others;
            }
            Err((name, LiveSearchError::Search(SearchError::Lookup(error)))) => {
                let cause = format!("database {database}, generation {name}: {error}");
                failure = Some(Cause(failure.map_or(cause.clone(), |earlier| format!("{earlier}; {cause}"))));
            }
        }
        memory.shrink(memory.bytes().saturating_sub(before));
    }
}

/// 503: the database's object cannot be asked.
fn cannot_read_changes(database: u64, error: ObjectError) -> Refused {
    match error {
        ObjectError::Refused(refused) => refused,
        ObjectError::Lost(cause) => Refused::unavailable(
            format!("profile changes of database {database} cannot be read now: retry later"),
            cause,
        ),
    }
}

/// Asks the database's object.
async fn ask<P: Ports>(
    ports: &P,
    database: u64,
    question: Question<'_>,
    memory: &mut Reservation,
) -> Result<Vec<u8>, LiveSearchError> {
    ports.ask_database(database, &question.encode(), memory).await.map_err(LiveSearchError::Object)
}

/// Reads an answer, and builds the tables of the changes in it.
fn read_answer<'a>(answer: &'a [u8], memory: &mut Reservation) -> Result<PendingChanges<'a>, LiveSearchError> {
    let damaged = |error: &dyn std::fmt::Display| LiveSearchError::Object(ObjectError::Lost(Cause::new(error)));
    match Answer::read(answer).map_err(|error| damaged(&error))? {
        Answer::NotLive => Ok(PendingChanges::none()),
        Answer::Other(others) => Err(LiveSearchError::Other(others)),
        Answer::Changes(list) => PendingChanges::new(list, memory).map_err(|error| match error {
            PendingError::OutOfMemory(error) => error.into(),
            error @ PendingError::Damaged(_) => damaged(&error),
        }),
    }
}

async fn search_generation<P: Ports>(
    ports: &P,
    search: LiveSearch<'_>,
    generation: &Generation,
    memory: &mut Reservation,
    statistics: &mut Statistics,
) -> Result<FoundProfiles, LiveSearchError> {
    let usable = generation.usable(search.secrets).map_err(|error| {
        let name = format!("{error}{}", error.source().map(|source| format!(": {source}")).unwrap_or_default());
        LookupError::Store(Cause(name))
    })?;
    let key_position = usable.key_position;
    if search.items.len() > QUESTION_ITEMS {
        let answer =
            ask(ports, search.database, Question { generation: &generation.name, about: None }, memory).await?;
        let changes = read_answer(&answer, memory)?;
        return search_with_changes(ports, search, (generation, key_position), &changes, memory, statistics).await;
    }
    let candidates = find_candidates(ports, search, (generation, key_position), memory, statistics).await?;
    let mut hashes: Vec<[u8; 16]> = Vec::new();
    for (number, _) in search.keying.matching.searches().iter().enumerate() {
        let keys = wanted_items(search.items, number, |_| true);
        hashes.extend(keys.into_iter().map(|item| search.items.hash(item, key_position, number).0));
    }
    let profiles: Vec<[u8; 12]> = candidates.iter().flatten().filter_map(|known| Some(known.profile?.0)).collect();
    let question = Question { generation: &generation.name, about: Some((&hashes, &profiles)) };
    let answer = ask(ports, search.database, question, memory).await?;
    let changes = read_answer(&answer, memory)?;
    Ok(apply_changes(search, key_position, &candidates, &changes))
}

/// A profile that has the key of an item according to the index.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    section: BucketSection,
    /// `None`: the index does not name the profiles.
    profile: Option<ProfileId>,
}

/// The candidates of each item for the first search, and then for the second.
type ItemCandidates = Vec<Vec<Candidate>>;

/// Bytes to reserve for each item and search of a small launch: its candidates, and its part of the question.
const CANDIDATE_BYTES: usize = 512;

/// Finds the profiles of all items in the index.
async fn find_candidates<P: Ports>(
    ports: &P,
    LiveSearch { database, items, keying, .. }: LiveSearch<'_>,
    (generation, key_position): (&Generation, usize),
    memory: &mut Reservation,
    statistics: &mut Statistics,
) -> Result<ItemCandidates, LiveSearchError> {
    let searches = keying.matching.searches();
    memory.grow((items.len() * (searches.len() * CANDIDATE_BYTES + FoundProfiles::BYTES_EACH)) as u64)?;
    let mut candidates = vec![Vec::new(); searches.len() * items.len()];
    for (step, search) in searches.iter().enumerate() {
        let wanted = wanted_items(items, step, |_| true);
        let search = IndexSearch {
            database,
            generation,
            class: search.class,
            field: &keying.field_name,
            sections: search.sections,
        };
        let working = lookup::working_bytes(&search, wanted.len());
        memory.grow(working)?;
        let hash = |item| items.hash(item, key_position, step);
        let on_item: OnItem<'_> = &mut |item, bucket| {
            let (Some(bucket), Some(own)) = (bucket, candidates.get_mut(step * items.len() + item as usize)) else {
                return Ok(());
            };
            search.sections.iter().try_for_each(|section| {
                let add = |profile| own.push(Candidate { section: *section, profile });
                bucket.each_holder(*section, &hash(item), add)
            })
        };
        *statistics += lookup::visit(ports, search, &wanted, &hash as HashOf<'_>, on_item).await?;
        memory.shrink(working);
    }
    Ok(candidates)
}

/// Finds the profile of each item in the candidates and the changes.
fn apply_changes(
    LiveSearch { items, keying, .. }: LiveSearch<'_>,
    key_position: usize,
    candidates: &ItemCandidates,
    changes: &PendingChanges<'_>,
) -> FoundProfiles {
    let mut found = FoundProfiles::new(items);
    for (step, search) in keying.matching.searches().iter().enumerate() {
        for item in wanted_items(items, step, |item| found.is_missing(item)) {
            let own = candidates.get(step * items.len() + item as usize).map(Vec::as_slice).unwrap_or_default();
            let hash = items.hash(item, key_position, step);
            for section in search.sections {
                let mut holders = FoundHolders::default();
                for known in own.iter().filter(|known| known.section == *section) {
                    add_holder(known.profile, changes, &mut holders);
                }
                changes.add_holders(*section, &hash, &mut holders);
                if holders.result() != KeyMatch::None {
                    found.record(item, holders.result());
                    break;
                }
            }
        }
    }
    found
}

/// Adds a profile of the index, unless it has changed.
fn add_holder(profile: Option<ProfileId>, changes: &PendingChanges<'_>, holders: &mut FoundHolders) {
    match profile {
        Some(profile) if changes.is_changed(&profile) => {}
        Some(profile) => holders.add(profile),
        None => holders.add_unknown(),
    }
}

/// Searches a large launch, whose changes are all known.
async fn search_with_changes<P: Ports>(
    ports: &P,
    LiveSearch { database, items, keying, .. }: LiveSearch<'_>,
    (generation, key_position): (&Generation, usize),
    changes: &PendingChanges<'_>,
    memory: &mut Reservation,
    statistics: &mut Statistics,
) -> Result<FoundProfiles, LiveSearchError> {
    memory.grow((items.len() * FoundProfiles::BYTES_EACH) as u64)?;
    let mut found = FoundProfiles::new(items);
    for (step, search) in keying.matching.searches().iter().enumerate() {
        let wanted = wanted_items(items, step, |item| found.is_missing(item));
        let search = IndexSearch {
            database,
            generation,
            class: search.class,
            field: &keying.field_name,
            sections: search.sections,
        };
        let working = lookup::working_bytes(&search, wanted.len());
        memory.grow(working)?;
        let hash = |item| items.hash(item, key_position, step);
        let on_item: OnItem<'_> = &mut |item, bucket| {
            let hash = hash(item);
            for section in search.sections {
                let mut holders = FoundHolders::default();
                if let Some(bucket) = bucket {
                    bucket.each_holder(*section, &hash, |profile| add_holder(profile, changes, &mut holders))?;
                }
                changes.add_holders(*section, &hash, &mut holders);
                if holders.result() != KeyMatch::None {
                    found.record(item, holders.result());
                    break;
                }
            }
            Ok(())
        };
        *statistics += lookup::visit(ports, search, &wanted, &hash as HashOf<'_>, on_item).await?;
        memory.shrink(working);
    }
    Ok(found)
}
