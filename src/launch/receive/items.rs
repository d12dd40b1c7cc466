//! The items of one launch: a 16-byte hash of each key as soon as the item has been read.

use super::blocks::{Blocks, Records};
use crate::{
    launch::matching::{ItemKeys, Matching, SearchStep},
    limits::{ITEM_DATA_LIMIT, KEY_LIMIT},
    memory::{OutOfMemory, Reservation},
    outcome::Outcome,
    problem::{Problem, Refused},
    profiles::{
        key::{IndexKey, KeyHash},
        normal::is_normal,
    },
    wire::{Item, NotAnItem, ObjectText},
};

/// What is known of an item before the index has been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemState {
    /// It is invalid.
    Invalid(Outcome),
    /// It has a key for the mode's first search, and for the second.
    Keys {
        /// For the first.
        first: bool,
        /// For the second.
        second: bool,
    },
}

/// How the items are keyed: known as soon as `matching` and `field_name` are.
#[derive(Debug, Clone)]
pub struct Keying {
    /// The matching mode.
    pub matching: Matching,
    /// The root's `field_name`; empty where the mode needs none.
    pub field_name: String,
}

fn too_long(index: usize) -> Refused {
    Problem::BadField(format!("data[{index}].custom_data: longer than {ITEM_DATA_LIMIT} bytes")).into()
}

/// The keyed items.
///
/// For each item there are `secrets × searches` hashes: as many as the mode has searches, for each of the one
/// or two index keys that the deployment has (two while a key is being rotated).
#[derive(Debug, Default)]
pub struct Items {
    known: Blocks<ItemState>,
    hashes: Blocks<KeyHash>,
    /// Hashes of one item.
    stride: usize,
    /// The mode's searches.
    searches: usize,
    /// The items with a `custom_data` of their own, in order, and these.
    with_data: Blocks<u32>,
    data: Records,
}

const NO_HASH: KeyHash = KeyHash([0; 16]);

impl Items {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Drops them and gives their memory back.
    pub fn clear(&mut self, memory: &mut Reservation) {
        self.known.clear(memory);
        self.hashes.clear(memory);
        self.with_data.clear(memory);
        self.data.clear(memory);
    }

    /// What is known of each, in order.
    pub fn known(&self) -> impl Iterator<Item = ItemState> + '_ {
        self.known.iter()
    }

    /// The hash of the item's key for one search, under one of the deployment's index keys.
    pub fn hash(&self, item: u32, secret: usize, search: usize) -> KeyHash {
        let at = item as usize * self.stride + secret * self.searches + search;
        self.hashes.get(at).unwrap_or(NO_HASH)
    }

    /// The items with a `custom_data` of their own, in order.
    pub fn custom_data(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.with_data.iter().zip(self.data.iter())
    }

    /// Takes in an item whose only member is the mode's own field, with a value that needs no normalisation: the common
    /// shape, without a decoder. `false` where it is not that shape.
    pub fn push_plain(
        &mut self,
        (name, value): (&[u8], &[u8]),
        keying: &Keying,
        secrets: &[IndexKey],
        memory: &mut Reservation,
    ) -> Result<bool, OutOfMemory> {
        let Some(field) = keying.matching.only_field() else { return Ok(false) };
        let [SearchStep { class, .. }] = keying.matching.searches() else { return Ok(false) };
        if field.as_bytes() != name || value.len() > KEY_LIMIT || !is_normal(*class, value) {
            return Ok(false);
        }
        (self.searches, self.stride) = (1, secrets.len());
        for secret in secrets {
            self.hashes.push(secret.hash_bytes(*class, &keying.field_name, value), memory)?;
        }
        self.known.push(ItemState::Keys { first: true, second: false }, memory)?;
        Ok(true)
    }

    /// Takes in a decoded item. `index` is its place in `data`, for messages.
    pub fn push(
        &mut self,
        item: Result<Item<'_>, NotAnItem>,
        keying: &Keying,
        secrets: &[IndexKey],
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
            keying.matching.keys(&item, &keying.field_name, secret)
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
        let mut known = ItemState::Invalid(Outcome::Malformed);
        for secret in secrets {
            let keys = match keys(secret) {
                Ok(keys) => {
                    let [first, second] = &keys;
                    known = ItemState::Keys { first: first.is_some(), second: second.is_some() };
                    keys
                }
                Err(reason) => {
                    known = ItemState::Invalid(reason);
                    [None, None]
                }
            };
            for key in keys.iter().take(self.searches) {
                self.hashes.push(key.unwrap_or(NO_HASH), memory)?;
            }
        }
        self.known.push(known, memory)
    }
}
