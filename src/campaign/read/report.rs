//! The report of a launch: its items that are unmatched, invalid or duplicates.

use std::fmt::Write;

use crate::{
    campaign::{
        log::{state::LaunchLog, stored::StoredLaunch},
        protocol::{layout::MessageSection, packed::OutcomeRuns},
    },
    limits::REPLY_PIECE,
    outcome::{Outcome, ReportList},
    storage::sql::{Sql, StorageError},
};

/// A report. It keeps the packed outcomes in memory: at most one byte an item, and a few bytes for most launches. It decodes
/// them once for each list.
#[derive(Debug)]
pub struct ReportReply {
    outcomes: Vec<u8>,
    /// The JSON before the first list, until it has been written.
    opening: Option<String>,
    /// The list that is being written. `None` after the last.
    list: Option<ReportList>,
    position: OutcomePosition,
}

/// How much of a list has been written.
#[derive(Debug, Default)]
struct OutcomePosition {
    /// The offset of the next run.
    offset: usize,
    /// The index of the next item.
    index: u64,
    /// The items of the current run that have not been written.
    run: Option<(Outcome, u32)>,
    is_started: bool,
    has_entries: bool,
}

impl ReportReply {
    pub fn open<S: Sql>(log: &LaunchLog<S>, launch: &StoredLaunch) -> Result<Self, StorageError> {
        let length = launch.layout.section(MessageSection::Outcomes);
        let outcomes = log.section(launch, MessageSection::Outcomes, 0..length)?;
        let (id, matched) = (launch.head.launch_id, launch.head.counts.matched);
        let opening = Some(format!("{{\"launch_id\":\"{id}\",\"matched\":{matched}"));
        Ok(Self { outcomes, opening, list: Some(ReportList::FIRST), position: OutcomePosition::default() })
    }

    pub(super) fn next_piece(&mut self) -> Option<Vec<u8>> {
        let mut piece = self.opening.take().unwrap_or_default();
        while let Some(list) = self.list
            && piece.len() < REPLY_PIECE
        {
            if !std::mem::replace(&mut self.position.is_started, true) {
                // Writing to a string cannot fail.
                let _ = write!(piece, ",\"{}\":[", list.name());
            }
            match self.take_run() {
                Some((outcome, length)) if list.contains(outcome) => self.write_run(outcome, length, &mut piece),
                Some((_, length)) => self.position.index = self.position.index.saturating_add(length.into()),
                None => {
                    self.list = list.next();
                    self.position = OutcomePosition::default();
                    piece.push_str(if self.list.is_some() { "]" } else { "]}" });
                }
            }
        }
        (!piece.is_empty()).then(|| piece.into_bytes())
    }

    /// Returns the rest of the current run, or the next run.
    fn take_run(&mut self) -> Option<(Outcome, u32)> {
        if let Some(run) = self.position.run.take() {
            return Some(run);
        }
        let mut runs = OutcomeRuns::new(self.outcomes.get(self.position.offset..)?);
        let run = runs.next()?.ok()?;
        self.position.offset = self.outcomes.len().saturating_sub(runs.rest().len());
        Some(run)
    }

    /// Writes items of a run until the piece is full.
    fn write_run(&mut self, outcome: Outcome, length: u32, piece: &mut String) {
        let position = &mut self.position;
        let mut remaining = length;
        while remaining > 0 && piece.len() < REPLY_PIECE {
            if std::mem::replace(&mut position.has_entries, true) {
                piece.push(',');
            }
            let _ = match outcome.reason() {
                Some(reason) => write!(piece, "{{\"index\":{},\"reason\":\"{reason}\"}}", position.index),
                None => write!(piece, "{}", position.index),
            };
            position.index = position.index.saturating_add(1);
            remaining -= 1;
        }
        if remaining > 0 {
            position.run = Some((outcome, remaining));
        }
    }
}
