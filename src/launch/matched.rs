//! From keys to recipients: the search of all items in one generation of the index.

use super::{
    items::{Items, Keying, Known},
    ports::Ports,
};
use crate::{
    campaign::packed::Packer,
    memory::{OutOfMemory, Reservation},
    outcome::{Counts, Outcome},
    problem::{Cause, Refused},
    profiles::{
        bucket::KeyMatch,
        key::{IndexKey, ProfileId},
        lookup::{self, IndexSearch, LookupError, Statistics},
        manifest::{IndexError, Manifest, UsableGeneration},
    },
};
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// What the search found.
#[derive(Debug, Default)]
pub struct Matched {
    /// The recipients' profile ids, 12 bytes each, in the order of `data`, each profile once.
    pub recipients: Vec<u8>,
    /// What became of each item, packed.
    pub outcomes: Vec<u8>,
    /// The counts of it.
    pub counts: Counts,
    /// The first item that is unmatched or invalid, and why.
    pub first_refused: Option<(u64, Outcome)>,
    /// For each item with a `custom_data` of its own that became a recipient: the recipient's number, and the
    /// item's place among those with one.
    pub with_data: Vec<(u32, u32)>,
    /// What it took.
    pub statistics: Statistics,
}

/// The index of a database's profiles.
#[derive(Debug, Clone, Copy)]
pub struct Index<'a> {
    /// The database.
    pub database: u64,
    /// What stands in its manifest; `None`: there is none.
    pub manifest: Option<&'a str>,
    /// The index keys that the deployment has.
    pub secrets: &'a [IndexKey],
}

/// Searches all items, in the current generation or, where a bucket of it is absent, in the one before.
pub async fn search<P: Ports>(
    ports: &P,
    index: Index<'_>,
    items: &Items,
    keying: &Keying,
    memory: &mut Reservation,
) -> Result<Matched, Refused> {
    let Index { database, manifest, secrets } = index;
    let unusable = |why: IndexError| Refused::unavailable(why.message(database), why.cause(database));
    let manifest = Manifest::parse(manifest).map_err(unusable)?;
    let mut statistics = Statistics::default();
    let mut failed: Option<(&str, Cause)> = None;
    for usable in manifest.generations(secrets).map_err(unusable)? {
        let before = memory.bytes();
        let found = in_generation(ports, database, usable, items, keying, memory, &mut statistics).await;
        match found {
            Ok(found) => {
                let mut matched = settle(items, &found, memory)?;
                if let Some((generation, cause)) = failed {
                    ports.report(&format!("generation {generation} of the profile index could not be read"), &cause);
                }
                matched.statistics = statistics;
                return Ok(matched);
            }
            Err(Failed::OutOfMemory(error)) => return Err(error.into()),
            // A bucket that cannot be read is never "not found": the whole launch uses the generation before.
            Err(Failed::Lookup(error)) => {
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
    Err(unreadable(database, cause))
}

/// 503: the index cannot be read now.
pub fn unreadable(database: u64, cause: Cause) -> Refused {
    Refused::unavailable(format!("profile index of database {database} cannot be read now: retry later"), cause)
}

enum Failed {
    OutOfMemory(OutOfMemory),
    Lookup(LookupError),
}

impl From<OutOfMemory> for Failed {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

/// What the index says of each item; one number of an [`Outcome`] and one profile id an item.
struct Answers {
    outcomes: Vec<Outcome>,
    ids: Vec<ProfileId>,
}

async fn in_generation<P: Ports>(
    ports: &P,
    database: u64,
    usable: UsableGeneration<'_>,
    items: &Items,
    keying: &Keying,
    memory: &mut Reservation,
    statistics: &mut Statistics,
) -> Result<Answers, Failed> {
    const EACH: usize = size_of::<Outcome>() + size_of::<ProfileId>() + size_of::<u32>();
    memory.grow((items.len() * EACH) as u64)?;
    let invalid = |known| match known {
        Known::Invalid(reason) => reason,
        Known::Keys { .. } => Outcome::NotFound,
    };
    let mut answers =
        Answers { outcomes: items.known().map(invalid).collect(), ids: vec![ProfileId([0; 12]); items.len()] };
    for (number, search) in keying.matching.searches().iter().enumerate() {
        let wanted: Vec<u32> = (0..)
            .zip(items.known())
            .zip(&answers.outcomes)
            .filter(|((_, known), outcome)| has_key(*known, number) && **outcome == Outcome::NotFound)
            .map(|((item, _), _)| item)
            .collect();
        let search = IndexSearch {
            database,
            generation: usable.generation,
            class: search.class,
            field: &keying.field_name,
            sections: search.sections,
        };
        let working = lookup::working_bytes(&search, wanted.len());
        memory.grow(working)?;
        let hash = |item| items.hash(item, usable.key_position, number);
        let answer = |item: u32, found| {
            let (outcome, id) = match found {
                KeyMatch::Profile(id) => (Outcome::Matched, id),
                KeyMatch::Ambiguous => (Outcome::Ambiguous, ProfileId([0; 12])),
                KeyMatch::None => return,
            };
            let at = item as usize;
            if let (Some(slot), Some(place)) = (answers.outcomes.get_mut(at), answers.ids.get_mut(at)) {
                (*slot, *place) = (outcome, id);
            }
        };
        *statistics += lookup::find(ports, search, &wanted, hash, answer).await.map_err(Failed::Lookup)?;
        memory.shrink(working);
    }
    Ok(answers)
}

fn has_key(known: Known, search: usize) -> bool {
    match known {
        Known::Invalid(_) => false,
        Known::Keys { first, second } => match search {
            0 => first,
            _ => second,
        },
    }
}

/// Puts each profile once, counts, and packs.
fn settle(items: &Items, answers: &Answers, memory: &mut Reservation) -> Result<Matched, OutOfMemory> {
    let matches = answers.outcomes.iter().filter(|outcome| **outcome == Outcome::Matched).count();
    // The table holds a number and a tag for each profile, at most eight sevenths doubled; the recipients 12 bytes.
    memory.grow((matches * (12 + 12)) as u64)?;
    let mut matched = Matched { recipients: Vec::with_capacity(matches * 12), ..Matched::default() };
    let mut seen: HashTable<u32> = HashTable::with_capacity(matches);
    let hasher = hashbrown::DefaultHashBuilder::default();
    let mut outcomes = Packer::default();
    let mut with_data = items.custom_data().map(|(item, _)| item).zip(0_u32..).peekable();
    let id_of = |item: u32| answers.ids.get(item as usize);
    for (item, (outcome, id)) in (0_u32..).zip(answers.outcomes.iter().zip(&answers.ids)) {
        let data = with_data.next_if(|(with, _)| *with == item).map(|(_, place)| place);
        let mut outcome = *outcome;
        if outcome == Outcome::Matched {
            let hash = |id: &ProfileId| hasher.hash_one(id.0);
            let entry = seen.entry(hash(id), |other| id_of(*other) == Some(id), |other| id_of(*other).map_or(0, hash));
            match entry {
                hashbrown::hash_table::Entry::Occupied(_) => outcome = Outcome::Duplicate,
                hashbrown::hash_table::Entry::Vacant(place) => {
                    place.insert(item);
                    matched.recipients.extend_from_slice(&id.0);
                }
            }
        }
        if let (Outcome::Matched, Some(place)) = (outcome, data) {
            let recipient = u32::try_from(matched.counts.matched).map_err(|_| OutOfMemory::Entries)?;
            memory.grow(8)?;
            matched.with_data.push((recipient, place));
        }
        if outcome.reason().is_some() && matched.first_refused.is_none() {
            matched.first_refused = Some((u64::from(item), outcome));
        }
        matched.counts.add(outcome);
        outcomes.push(outcome);
    }
    matched.outcomes = outcomes.finish();
    Ok(matched)
}
