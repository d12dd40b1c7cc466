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
    limits::{KEY_PROFILES_LIMIT, QUESTION_ITEMS},
    memory::Reservation,
    problem::{Cause, Refused},
    profiles::{
        bucket::{Bucket, BucketSection, CorruptBucket, KeyMatch},
        cache::changes_key,
        key::{BucketPlace, HashPrefix, IndexKey, KeyHash, ProfileId},
        live::{
            message::{Answer, ChangeList, Question, Subject},
            pending::{ChangedKeys, FoundHolders, PendingChanges},
        },
        lookup::{self, KeyPlace, LookupError, Statistics},
        manifest::{Generation, Manifest},
    },
    text::error_chain,
};
use std::{convert::Infallible, rc::Rc};

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

/// Receives an item, the place of its key, and the bucket of the key. One type for both kinds of searches keeps the Worker small.
type OnItem<'a> = &'a mut dyn FnMut(u32, KeyPlace, Option<&Bucket<'_>>) -> Result<(), CorruptBucket>;
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
                let subject = Subject::Keys { hashes: &[], profiles: &[] };
                let error = match ask(ports, database, Question { generation: "", subject }, memory).await {
                    Ok(_) => LiveSearchError::Other(Vec::new()),
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
    error.into_refused(format!("profile changes of database {database} cannot be read now: retry later"))
}

/// Asks the database's object for changes. `None`: the database has no live changes.
async fn ask<P: Ports>(
    ports: &P,
    database: u64,
    question: Question<'_>,
    memory: &mut Reservation,
) -> Result<Option<ChangeList>, LiveSearchError> {
    let answer = ports.ask_database(database, &question.encode(), memory).await.map_err(LiveSearchError::Object)?;
    match Answer::read(answer) {
        Ok(Answer::NotLive) => Ok(None),
        Ok(Answer::Changes(list)) => Ok(Some(list)),
        Ok(Answer::Other(others)) => Err(LiveSearchError::Other(others)),
        Err(error) => Err(LiveSearchError::Object(ObjectError::Lost(Cause::new(error)))),
    }
}

/// Returns all changes that a generation lacks. Those that the isolate has kept are brought up to date.
async fn all_changes<P: Ports>(
    ports: &P,
    database: u64,
    generation: &str,
    memory: &mut Reservation,
) -> Result<Rc<PendingChanges>, LiveSearchError> {
    let key = changes_key(database, generation);
    let kept = || ports.cache().and_then(|cache| cache.borrow_mut().changes(&key));
    let keep = |changes: PendingChanges| {
        let changes = Rc::new(changes);
        if let Some(cache) = ports.cache() {
            cache.borrow_mut().put_changes(key.clone(), Rc::clone(&changes));
        }
        changes
    };
    let question = |version| Question { generation, subject: Subject::After(version) };
    // The kept changes are not held while the object is asked, because they do not count towards the memory of the launch.
    if let Some(version) = kept().map(|changes| changes.version()) {
        let before = memory.bytes();
        let Some(later) = ask(ports, database, question(version), memory).await? else { return Ok(Rc::default()) };
        // In the meantime, another launch may have kept later ones.
        if let Some(changes) = kept().filter(|changes| changes.version() >= version) {
            if later.version() <= changes.version() {
                changes.reserve(memory)?;
                return Ok(changes);
            }
            if changes.can_apply(&later) {
                return Ok(keep(changes.updated(later, memory)?));
            }
        }
        memory.shrink(memory.bytes().saturating_sub(before));
    }
    let Some(list) = ask(ports, database, question(0), memory).await? else { return Ok(Rc::default()) };
    Ok(keep(PendingChanges::new(list, memory)?))
}

async fn search_generation<P: Ports>(
    ports: &P,
    search: LiveSearch<'_>,
    generation: &Generation,
    memory: &mut Reservation,
    statistics: &mut Statistics,
) -> Result<FoundProfiles, LiveSearchError> {
    let usable = generation.usable(search.secrets).map_err(|error| LookupError::Store(Cause(error_chain(&error))))?;
    let key_position = usable.key_position;
    if search.items.len() > QUESTION_ITEMS {
        let changes = all_changes(ports, search.database, &generation.name, memory).await?;
        return search_with_changes(ports, search, (generation, key_position), &changes, memory, statistics).await;
    }
    let candidates = find_candidates(ports, search, (generation, key_position), memory, statistics).await?;
    // The lists and the message that contains them.
    let named: usize = candidates.iter().map(Vec::len).sum();
    memory.grow((2 * (candidates.len() * 16 + named * 12)) as u64)?;
    let mut hashes: Vec<[u8; 16]> = Vec::with_capacity(candidates.len());
    for (number, _) in search.keying.matching.searches().iter().enumerate() {
        let keys = wanted_items(search.items, number, |_| true);
        hashes.extend(keys.into_iter().map(|item| search.items.hash(item, key_position, number).0));
    }
    let mut profiles: Vec<[u8; 12]> = Vec::with_capacity(named);
    profiles.extend(candidates.iter().flatten().filter_map(|known| Some(known.profile?.0)));
    let subject = Subject::Keys { hashes: &hashes, profiles: &profiles };
    let list = ask(ports, search.database, Question { generation: &generation.name, subject }, memory).await?;
    let changes = PendingChanges::new(list.unwrap_or_default(), memory)?;
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

/// Bytes to reserve for the candidates of each item and search of a small launch: a list that doubles, in two sections.
const CANDIDATE_BYTES: usize =
    size_of::<Vec<Candidate>>() + (2 * KEY_PROFILES_LIMIT).next_power_of_two() * size_of::<Candidate>();

/// Finds the profiles of all items in the index.
async fn find_candidates<P: Ports>(
    ports: &P,
    live: LiveSearch<'_>,
    generation: (&Generation, usize),
    memory: &mut Reservation,
    statistics: &mut Statistics,
) -> Result<ItemCandidates, LiveSearchError> {
    let LiveSearch { items, keying, .. } = live;
    let searches = keying.matching.searches();
    memory.grow((items.len() * (searches.len() * CANDIDATE_BYTES + FoundProfiles::BYTES_EACH)) as u64)?;
    let mut candidates = vec![Vec::new(); searches.len() * items.len()];
    for (step, search) in searches.iter().enumerate() {
        let wanted = wanted_items(items, step, |_| true);
        let on_item: OnItem<'_> = &mut |item, place, bucket| {
            let (Some(bucket), Some(own)) = (bucket, candidates.get_mut(step * items.len() + item as usize)) else {
                return Ok(());
            };
            search.sections.iter().try_for_each(|section| {
                let add = |profile| own.push(Candidate { section: *section, profile });
                bucket.each_holder(*section, place.prefix, add)
            })
        };
        *statistics += visit_step(ports, live, generation, step, &wanted, memory, on_item).await?;
    }
    Ok(candidates)
}

/// Reads the buckets for one step of the matching mode.
async fn visit_step<P: Ports>(
    ports: &P,
    LiveSearch { database, items, keying, .. }: LiveSearch<'_>,
    (generation, key_position): (&Generation, usize),
    step: usize,
    wanted: &[u32],
    memory: &mut Reservation,
    on_item: OnItem<'_>,
) -> Result<Statistics, LiveSearchError> {
    let Some(search) = keying.matching.searches().get(step) else { return Ok(Statistics::default()) };
    let search = keying.index_search(database, generation, search);
    let working = lookup::working_bytes(&search, wanted.len());
    memory.grow(working)?;
    let hash: HashOf<'_> = &|item| items.hash(item, key_position, step);
    let visited = lookup::visit(ports, search, wanted, hash, on_item).await?;
    memory.shrink(working);
    Ok(visited)
}

/// Finds the profile of each item in the candidates and the changes.
fn apply_changes(
    LiveSearch { items, keying, .. }: LiveSearch<'_>,
    key_position: usize,
    candidates: &ItemCandidates,
    changes: &PendingChanges,
) -> FoundProfiles {
    let mut found = FoundProfiles::new(items);
    let keys = changes.keys_in(BucketPlace::WHOLE);
    for (step, search) in keying.matching.searches().iter().enumerate() {
        for item in wanted_items(items, step, |item| found.is_missing(item)) {
            let own = candidates.get(step * items.len() + item as usize).map(Vec::as_slice).unwrap_or_default();
            let key = items.hash(item, key_position, step).prefix();
            let result = first_match(search.sections, &keys, key, |section, holders| {
                for known in own.iter().filter(|known| known.section == section) {
                    add_holder(known.profile, changes, holders);
                }
                Ok::<(), Infallible>(())
            });
            let Ok(result) = result;
            found.record(item, result);
        }
    }
    found
}

/// Finds the profile of a key in the first section that has one. `add_known` adds the profiles that the index has in a section.
fn first_match<E>(
    sections: &[BucketSection],
    changed: &ChangedKeys<'_>,
    key: HashPrefix,
    mut add_known: impl FnMut(BucketSection, &mut FoundHolders) -> Result<(), E>,
) -> Result<KeyMatch, E> {
    for section in sections {
        let mut holders = FoundHolders::default();
        changed.add_holders(*section, key, &mut holders);
        add_known(*section, &mut holders)?;
        if holders.result() != KeyMatch::None {
            return Ok(holders.result());
        }
    }
    Ok(KeyMatch::None)
}

/// Adds a profile of the index, unless it has changed. Most changes leave most keys as they are, and then the profile is known.
fn add_holder(profile: Option<ProfileId>, changes: &PendingChanges, holders: &mut FoundHolders) {
    match profile {
        Some(profile) if holders.has(profile) || changes.is_changed(profile) => {}
        Some(profile) => holders.add(profile),
        None => holders.add_unknown(),
    }
}

/// Searches a large launch, whose changes are all known.
async fn search_with_changes<P: Ports>(
    ports: &P,
    live: LiveSearch<'_>,
    generation: (&Generation, usize),
    changes: &PendingChanges,
    memory: &mut Reservation,
    statistics: &mut Statistics,
) -> Result<FoundProfiles, LiveSearchError> {
    let LiveSearch { items, keying, .. } = live;
    memory.grow((items.len() * FoundProfiles::BYTES_EACH) as u64)?;
    let mut found = FoundProfiles::new(items);
    for (step, search) in keying.matching.searches().iter().enumerate() {
        let wanted = wanted_items(items, step, |item| found.is_missing(item));
        // The keys of the bucket that is being searched.
        let mut changed = (BucketPlace::WHOLE, None);
        let on_item: OnItem<'_> = &mut |item, KeyPlace { bucket: place, prefix }, bucket| {
            if changed.0 != place {
                changed = (place, None);
            }
            let keys = changed.1.get_or_insert_with(|| changes.keys_in(place));
            let result = first_match(search.sections, keys, prefix, |section, holders| match bucket {
                Some(bucket) => bucket.each_holder(section, prefix, |profile| add_holder(profile, changes, holders)),
                None => Ok(()),
            })?;
            found.record(item, result);
            Ok(())
        };
        *statistics += visit_step(ports, live, generation, step, &wanted, memory, on_item).await?;
    }
    Ok(found)
}
