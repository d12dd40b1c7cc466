//! What became of each item of a launch: a closed set.

use serde::{Deserialize, Serialize};

/// What became of one item. The numbers are stored with the launch: they are pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Stands for a profile, and is the first to do so: a recipient.
    Matched = 0,
    /// Stands for a profile that an earlier item stood for.
    Duplicate = 1,
    /// Unmatched: no profile has that key.
    NotFound = 2,
    /// Unmatched: the key stands for two profiles or more.
    Ambiguous = 3,
    /// Invalid: the matching mode's field is absent.
    MissingField = 4,
    /// Invalid: the field is of a wrong type.
    WrongType = 5,
    /// Invalid: the key is longer than [`crate::limits::KEY_LIMIT`].
    TooLong = 6,
    /// Invalid: not an object, no profile id, or nothing is left after normalisation.
    Malformed = 7,
}

/// The four counts of a launch; together they are its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the outcomes'")]
pub struct Counts {
    pub matched: u64,
    pub unmatched: u64,
    pub invalid: u64,
    pub duplicates: u64,
}

impl Outcome {
    /// All of them, by their number.
    pub const ALL: [Self; 8] = [
        Self::Matched,
        Self::Duplicate,
        Self::NotFound,
        Self::Ambiguous,
        Self::MissingField,
        Self::WrongType,
        Self::TooLong,
        Self::Malformed,
    ];

    /// The outcome of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The reason as callers read it, for what is unmatched or invalid.
    pub fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::Matched | Self::Duplicate => return None,
            Self::NotFound => "not_found",
            Self::Ambiguous => "ambiguous",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
        })
    }

    /// Whether the item is unmatched.
    pub fn is_unmatched(self) -> bool {
        matches!(self, Self::NotFound | Self::Ambiguous)
    }

    /// Whether the item is invalid.
    pub fn is_invalid(self) -> bool {
        matches!(self, Self::MissingField | Self::WrongType | Self::TooLong | Self::Malformed)
    }
}

impl Counts {
    /// Counts one item.
    pub fn add(&mut self, outcome: Outcome) {
        self.add_many(outcome, 1);
    }

    /// Counts `items` of the same outcome.
    pub fn add_many(&mut self, outcome: Outcome, items: u64) {
        let count = match outcome {
            Outcome::Matched => &mut self.matched,
            Outcome::Duplicate => &mut self.duplicates,
            o if o.is_unmatched() => &mut self.unmatched,
            _ => &mut self.invalid,
        };
        *count = count.saturating_add(items);
    }

    /// All items.
    pub fn items(&self) -> u64 {
        self.matched.saturating_add(self.unmatched).saturating_add(self.invalid).saturating_add(self.duplicates)
    }
}
