//! The items of one launch. Each key is hashed to 16 bytes as soon as its item has arrived.

use super::blocks::{Blocks, Records};
use crate::{
    launch::matching::{ItemKeys, Matching, SearchStep},
    limits::{ITEM_DATA_LIMIT, KEY_LIMIT},
    memory::{OutOfMemory, Reservation},
    outcome::Outcome,
    problem::{Problem, Refused},
    profiles::{
        key::{Class, IndexKey, KeyHash},
        lookup::IndexSearch,
        manifest::Generation,
        normal::{Normaliser, is_normal},
    },
    wire::{InvalidItem, Item, ObjectText},
};

/// The state of an item before its keys are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    Invalid(Outcome),
    /// Whether the item has a key for the first and for the second search of the matching mode.
    Keys {
        first: bool,
        second: bool,
    },
}

/// How the keys of items are hashed.
#[derive(Debug, Clone)]
pub struct Keying {
    pub matching: Matching,
    /// The root field `field_name`; empty if the mode does not need it.
    pub field_name: String,
}

impl Keying {
    /// The search of one step of the matching mode in a generation.
    pub fn index_search<'a>(&'a self, database: u64, generation: &'a Generation, step: &SearchStep) -> IndexSearch<'a> {
        IndexSearch { database, generation, class: step.class, field: &self.field_name, sections: step.sections }
    }
}

fn too_long(index: usize) -> Refused {
    Problem::BadField(format!("data[{index}].custom_data: longer than {ITEM_DATA_LIMIT} bytes")).into()
}

/// The items with hashed keys.
///
/// Each item has `secrets × searches` hashes: one for each search of the matching mode, under each of the deployment's index
/// keys (two during a key rotation).
#[derive(Debug, Default)]
pub struct Items {
    states: Blocks<ItemState>,
    hashes: Blocks<KeyHash>,
    /// Number of hashes of one item.
    stride: usize,
    /// Number of searches of the matching mode.
    searches: usize,
    /// Indices of the items with their own `custom_data`, in order.
    with_data: Blocks<u32>,
    data: Records,
}

const NO_HASH: KeyHash = KeyHash([0; 16]);

impl Items {
    pub fn len(&self) -> usize {
        self.states.len()
    }

    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Drops all items and returns their memory.
    pub fn clear(&mut self, memory: &mut Reservation) {
        self.states.clear(memory);
        self.hashes.clear(memory);
        self.with_data.clear(memory);
        self.data.clear(memory);
    }

    pub fn states(&self) -> impl Iterator<Item = ItemState> + '_ {
        self.states.iter()
    }

    /// The hash of an item's key for one search, under one of the deployment's index keys.
    pub fn hash(&self, item: u32, secret: usize, search: usize) -> KeyHash {
        let at = item as usize * self.stride + secret * self.searches + search;
        self.hashes.get(at).unwrap_or(NO_HASH)
    }

    /// The items with their own `custom_data`: index and JSON text, in order.
    pub fn custom_data(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.with_data.iter().zip(self.data.iter())
    }

    /// Adds an item whose only member is the key field of the mode, if its value is valid. This is the common case, and needs no
    /// decoder. Returns `false` if the item has another form.
    pub fn push_plain(
        &mut self,
        (name, value): (&[u8], &[u8]),
        keying: &Keying,
        secrets: &[IndexKey],
        normaliser: &Normaliser,
        memory: &mut Reservation,
    ) -> Result<bool, OutOfMemory> {
        let Some(field) = keying.matching.only_key() else { return Ok(false) };
        let [SearchStep { class, .. }] = keying.matching.searches() else { return Ok(false) };
        if field.name().as_bytes() != name || value.len() > KEY_LIMIT {
            return Ok(false);
        }
        if is_normal(*class, value) {
            return self.push_hashes((*class, value), keying, secrets, memory).map(|()| true);
        }
        match std::str::from_utf8(value).ok().and_then(|value| normaliser.normalise(*class, value)) {
            Some(normal) => self.push_hashes((*class, normal.as_bytes()), keying, secrets, memory).map(|()| true),
            None => Ok(false),
        }
    }

    /// Adds an item with one normalised key.
    fn push_hashes(
        &mut self,
        (class, value): (Class, &[u8]),
        keying: &Keying,
        secrets: &[IndexKey],
        memory: &mut Reservation,
    ) -> Result<(), OutOfMemory> {
        (self.searches, self.stride) = (1, secrets.len());
        for secret in secrets {
            self.hashes.push(secret.hash_bytes(class, &keying.field_name, value), memory)?;
        }
        self.states.push(ItemState::Keys { first: true, second: false }, memory)
    }

    /// Adds a decoded item.
    pub fn push(
        &mut self,
        item: Result<Item<'_>, InvalidItem>,
        keying: &Keying,
        secrets: &[IndexKey],
        normaliser: &Normaliser,
        memory: &mut Reservation,
    ) -> Result<(), Refused> {
        let index = self.len();
        let Ok(item) = item else {
            return Ok(self.push_keys(keying.matching, secrets, memory, |_| Err(Outcome::Malformed))?);
        };
        let custom_data = match &item.custom_data {
            ObjectText::TooLong => return Err(too_long(index)),
            ObjectText::Object(text) if text.len() > ITEM_DATA_LIMIT => return Err(too_long(index)),
            ObjectText::Object(text) => Some(text),
            ObjectText::Absent => None,
            ObjectText::WrongType(_) => {
                return Ok(self.push_keys(keying.matching, secrets, memory, |_| Err(Outcome::WrongType))?);
            }
        };
        self.push_keys(keying.matching, secrets, memory, |secret| {
            keying.matching.hash_keys(&item, &keying.field_name, secret, normaliser)
        })?;
        if let Some(text) = custom_data {
            let index = u32::try_from(index).map_err(|_| OutOfMemory::Entries)?;
            self.with_data.push(index, memory)?;
            self.data.push(text.as_bytes(), memory)?;
        }
        Ok(())
    }

    fn push_keys(
        &mut self,
        matching: Matching,
        secrets: &[IndexKey],
        memory: &mut Reservation,
        keys: impl Fn(&IndexKey) -> Result<ItemKeys, Outcome>,
    ) -> Result<(), OutOfMemory> {
        self.searches = matching.searches().len();
        self.stride = secrets.len() * self.searches;
        let mut state = ItemState::Invalid(Outcome::Malformed);
        for secret in secrets {
            let keys = match keys(secret) {
                Ok(keys) => {
                    let [first, second] = &keys;
                    state = ItemState::Keys { first: first.is_some(), second: second.is_some() };
                    keys
                }
                Err(reason) => {
                    state = ItemState::Invalid(reason);
                    [None, None]
                }
            };
            for key in keys.iter().take(self.searches) {
                self.hashes.push(key.unwrap_or(NO_HASH), memory)?;
            }
        }
        self.states.push(state, memory)
    }
}
