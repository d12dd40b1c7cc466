//! The profiles that a search has found, and the result of a search. Both kinds of searches use them.

use super::receive::items::{ItemState, Items};
use crate::{
    campaign::protocol::packed::OutcomePacker,
    memory::{OutOfMemory, Reservation},
    outcome::{Counts, Outcome},
    problem::{Cause, Refused},
    profiles::{
        bucket::KeyMatch,
        key::ProfileId,
        lookup::{LookupError, Statistics},
    },
};
use hashbrown::{HashTable, hash_table};
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

/// 503: KV failed.
pub fn cannot_read_index(database: u64, cause: Cause) -> Refused {
    Refused::unavailable(format!("profile index of database {database} cannot be read now: retry later"), cause)
}

/// Why a search has no result.
#[derive(Debug)]
pub struct FailedSearch {
    pub refused: Refused,
    /// Whether the manifest cannot be used, or names buckets that are missing or damaged. A newer one may be usable.
    pub needs_other_manifest: bool,
}

impl From<Refused> for FailedSearch {
    fn from(refused: Refused) -> Self {
        Self { refused, needs_other_manifest: false }
    }
}

impl From<OutOfMemory> for FailedSearch {
    fn from(error: OutOfMemory) -> Self {
        Refused::from(error).into()
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SearchError {
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    #[error("{0}")]
    Lookup(LookupError),
}

/// One outcome and one profile ID for each item. The ID is valid if the outcome is [`Outcome::Matched`].
pub(super) struct FoundProfiles {
    outcomes: Vec<Outcome>,
    ids: Vec<ProfileId>,
}

impl FoundProfiles {
    /// Bytes to reserve for each item, and for its number in a list of items to search.
    pub(super) const BYTES_EACH: usize = size_of::<Outcome>() + size_of::<ProfileId>() + size_of::<u32>();

    /// The outcomes before the search.
    pub(super) fn new(items: &Items) -> Self {
        let invalid = |known| match known {
            ItemState::Invalid(reason) => reason,
            ItemState::Keys { .. } => Outcome::NotFound,
        };
        Self { outcomes: items.states().map(invalid).collect(), ids: vec![ProfileId([0; 12]); items.len()] }
    }

    pub(super) fn is_missing(&self, item: u32) -> bool {
        self.outcomes.get(item as usize) == Some(&Outcome::NotFound)
    }

    /// Records the result of a search.
    pub(super) fn record(&mut self, item: u32, result: KeyMatch) {
        let (outcome, id) = match result {
            KeyMatch::Profile(id) => (Outcome::Matched, id),
            KeyMatch::Ambiguous => (Outcome::Ambiguous, ProfileId([0; 12])),
            KeyMatch::None => return,
        };
        let at = item as usize;
        if let (Some(slot), Some(place)) = (self.outcomes.get_mut(at), self.ids.get_mut(at)) {
            (*slot, *place) = (outcome, id);
        }
    }
}

/// Returns the items that have a key for a search, and for which `is_wanted` is true.
pub(super) fn wanted_items(items: &Items, search: usize, is_wanted: impl Fn(u32) -> bool) -> Vec<u32> {
    (0..)
        .zip(items.states())
        .filter(|(item, known)| has_key(*known, search) && is_wanted(*item))
        .map(|(item, _)| item)
        .collect()
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
pub(super) fn collect_recipients(
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
    for (item, (outcome, id)) in (0_u32..).zip(found.outcomes.iter().zip(&found.ids)) {
        let data = with_data.next_if(|(with, _)| *with == item).map(|(_, place)| place);
        let mut outcome = *outcome;
        if outcome == Outcome::Matched {
            let recipients = result.recipients.as_chunks().0;
            let id_of = |recipient: &u32| recipients.get(*recipient as usize).copied().map(ProfileId);
            let hash_of = |recipient: &u32| id_of(recipient).map_or(0, |id| hasher.hash_one(id));
            match seen.entry(hasher.hash_one(id), |recipient| id_of(recipient) == Some(*id), hash_of) {
                hash_table::Entry::Occupied(_) => outcome = Outcome::Duplicate,
                hash_table::Entry::Vacant(place) => {
                    // There are at most as many recipients as items.
                    place.insert(u32::try_from(recipients.len()).unwrap_or(u32::MAX));
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
