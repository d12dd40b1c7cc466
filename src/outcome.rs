//! The outcomes of a launch's items, and how they are counted and reported.

use serde::{Deserialize, Serialize};

/// The outcome of one item. The numbers are stored with the launch, so they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// The first item whose key matches this profile: a recipient.
    Matched = 0,
    /// Matches the same profile as an earlier item.
    Duplicate = 1,
    /// Unmatched: no profile has the key.
    NotFound = 2,
    /// Unmatched: two or more profiles have the key.
    Ambiguous = 3,
    /// Invalid: the field of the matching mode is absent.
    MissingField = 4,
    /// Invalid: the field has a wrong type.
    WrongType = 5,
    /// Invalid: the key is longer than [`crate::limits::KEY_LIMIT`].
    TooLong = 6,
    /// Invalid: the item is not an object, the key is not a profile ID, or the key is empty after normalisation.
    Malformed = 7,
}

/// The number of items with each kind of outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    pub matched: u64,
    pub unmatched: u64,
    pub invalid: u64,
    pub duplicates: u64,
}

/// A list of a report. Every item that is not a recipient is in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportList {
    Unmatched,
    Invalid,
    Duplicates,
}

impl Outcome {
    /// All outcomes, in the order of their numbers.
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

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The reason in a report, for items that are unmatched or invalid.
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

    pub fn is_unmatched(self) -> bool {
        matches!(self, Self::NotFound | Self::Ambiguous)
    }

    pub fn is_invalid(self) -> bool {
        matches!(self, Self::MissingField | Self::WrongType | Self::TooLong | Self::Malformed)
    }
}

impl Counts {
    pub fn add(&mut self, outcome: Outcome) {
        self.add_many(outcome, 1);
    }

    pub fn add_many(&mut self, outcome: Outcome, items: u64) {
        let count = match outcome {
            Outcome::Matched => &mut self.matched,
            Outcome::Duplicate => &mut self.duplicates,
            outcome if outcome.is_unmatched() => &mut self.unmatched,
            _ => &mut self.invalid,
        };
        *count = count.saturating_add(items);
    }

    /// The number of all items.
    pub fn items(&self) -> u64 {
        self.matched.saturating_add(self.unmatched).saturating_add(self.invalid).saturating_add(self.duplicates)
    }
}

impl ReportList {
    /// The first list of a report.
    pub const FIRST: Self = Self::Unmatched;

    pub fn next(self) -> Option<Self> {
        match self {
            Self::Unmatched => Some(Self::Invalid),
            Self::Invalid => Some(Self::Duplicates),
            Self::Duplicates => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Unmatched => "unmatched",
            Self::Invalid => "invalid",
            Self::Duplicates => "duplicates",
        }
    }

    pub fn contains(self, outcome: Outcome) -> bool {
        match self {
            Self::Unmatched => outcome.is_unmatched(),
            Self::Invalid => outcome.is_invalid(),
            Self::Duplicates => outcome == Outcome::Duplicate,
        }
    }
}
