//! What became of each item of a launch, as the report of the launch itself has it.

use std::fmt::Write;

use super::{
    layout::Section,
    log::Log,
    packed::Runs,
    sql::{Broken, Sql},
    stored::Stored,
};
use crate::outcome::Outcome;

/// A piece of a report has at least this many bytes, but the last.
const PIECE: usize = 64 * 1024;

/// A report on its way. It holds the packed outcomes: a byte an item at most, and a few for most launches.
#[derive(Debug)]
pub struct Report {
    outcomes: Vec<u8>,
    opening: Option<String>,
    list: List,
    /// Of the outcomes: the next run's offset, the next item's index, and how much is left of a run.
    offset: usize,
    index: u64,
    run: Option<(Outcome, u32)>,
    separator: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Unmatched,
    Invalid,
    Duplicates,
    Done,
}

impl List {
    fn has(self, outcome: Outcome) -> bool {
        match self {
            Self::Unmatched => outcome.is_unmatched(),
            Self::Invalid => outcome.is_invalid(),
            Self::Duplicates => outcome == Outcome::Duplicate,
            Self::Done => false,
        }
    }

    /// The list after this one, and what stands between them.
    fn next(self) -> (Self, &'static str) {
        match self {
            Self::Unmatched => (Self::Invalid, "],\"invalid\":["),
            Self::Invalid => (Self::Duplicates, "],\"duplicates\":["),
            Self::Duplicates | Self::Done => (Self::Done, "]}"),
        }
    }
}

impl Report {
    pub(super) fn open<S: Sql>(log: &Log<S>, stored: &Stored) -> Result<Self, Broken> {
        let outcomes = log.section(stored, Section::Outcomes, 0..stored.layout.section(Section::Outcomes))?;
        let head = &stored.head;
        let (id, matched) = (head.launch_id, head.counts.matched);
        let opening = format!("{{\"launch_id\":\"{id}\",\"matched\":{matched},\"unmatched\":[");
        Ok(Self {
            outcomes,
            opening: Some(opening),
            list: List::Unmatched,
            offset: 0,
            index: 0,
            run: None,
            separator: false,
        })
    }

    pub(super) fn step(&mut self) -> Option<Vec<u8>> {
        let mut piece = self.opening.take().unwrap_or_default();
        while self.list != List::Done && piece.len() < PIECE {
            match self.take_run() {
                Some((outcome, length)) if self.list.has(outcome) => self.items(outcome, length, &mut piece),
                Some((_, length)) => self.index = self.index.saturating_add(length.into()),
                None => {
                    let (list, between) = self.list.next();
                    piece.push_str(between);
                    (self.list, self.offset, self.index, self.separator) = (list, 0, 0, false);
                }
            }
        }
        (!piece.is_empty()).then(|| piece.into_bytes())
    }

    /// What is left of a run, or the next one.
    fn take_run(&mut self) -> Option<(Outcome, u32)> {
        if let Some(run) = self.run.take() {
            return Some(run);
        }
        let mut runs = Runs::new(self.outcomes.get(self.offset..)?);
        let run = runs.next()?.ok()?;
        self.offset = self.outcomes.len().saturating_sub(runs.rest().len());
        Some(run)
    }

    /// Writes the items of a run, as many as fit the piece.
    fn items(&mut self, outcome: Outcome, length: u32, piece: &mut String) {
        let mut left = length;
        while left > 0 && piece.len() < PIECE {
            if std::mem::replace(&mut self.separator, true) {
                piece.push(',');
            }
            let _ = match outcome.reason() {
                Some(reason) => write!(piece, "{{\"index\":{},\"reason\":\"{reason}\"}}", self.index),
                None => write!(piece, "{}", self.index),
            };
            self.index = self.index.saturating_add(1);
            left -= 1;
        }
        if left > 0 {
            self.run = Some((outcome, left));
        }
    }
}
