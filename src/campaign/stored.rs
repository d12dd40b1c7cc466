//! A launch as the log holds it.

use std::ops::Range;

use super::{
    commands::{Refusal, Thing},
    head::Head,
    id::LaunchId,
    layout::{Layout, PREFIX, Section},
    log::{Fault, Log},
    sql::{Bound, Broken, Row, Sql, integer},
};

/// A launch without its sections, which are read piece by piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Of this campaign.
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub accepted_at: u64,
    /// The small things.
    pub head: Head,
    /// Where its sections are.
    pub layout: Layout,
    /// Whether they stand in the launch's own row.
    inline: bool,
}

/// Reads `sequence, accepted_at, head, payload IS NOT NULL`.
pub(super) fn read(mut row: Row) -> Result<Stored, Broken> {
    let (sequence, accepted_at, record) = (row.number()?, row.number()?, row.blob()?);
    let inline = row.number()? != 0;
    let broken = || Broken(format!("launch {sequence} cannot be read"));
    let layout = Layout::read(&record).ok_or_else(broken)?;
    let head = record.get(PREFIX..).and_then(|head| serde_json::from_slice(head).ok()).ok_or_else(broken)?;
    Ok(Stored { sequence, accepted_at, head, layout, inline })
}

impl<S: Sql> Log<S> {
    /// The launch of that id. One that is not held is expired if it is no younger than the last one that retention
    /// removed (a launch id tells its time), else it never was.
    pub fn find(&self, launch_id: LaunchId) -> Result<Stored, Fault> {
        let state = self.state()?;
        let statement = "SELECT sequence, accepted_at, head, payload IS NOT NULL FROM launches \
                         WHERE key = ? AND launch_id = ?";
        let bound = [Bound::Integer(launch_id.key().to_i64()), Bound::Text(&launch_id.to_string())];
        match self.sql.exec(statement, &bound)?.pop() {
            Some(row) => Ok(read(row)?),
            None if state.removed > 0 && launch_id.time() <= state.removed_at => {
                Err(Refusal::Expired { first: state.first() }.into())
            }
            None => Err(Refusal::NotFound(Thing::Launch).into()),
        }
    }

    /// At most `limit` launches, from that sequence on, without gaps.
    pub(super) fn launches_from(&self, sequence: u64, limit: u64) -> Result<Vec<Stored>, Broken> {
        let statement = "SELECT sequence, accepted_at, head, payload IS NOT NULL FROM launches \
                         WHERE sequence >= ? ORDER BY sequence LIMIT ?";
        let rows = self.sql.exec(statement, &[integer(sequence), integer(limit)])?;
        rows.into_iter()
            .zip(sequence..)
            .map(|(row, expected)| read(row).and_then(|stored| stored.expect(expected)))
            .collect()
    }

    /// The bytes `range` of a section, or those of them that there are.
    pub(super) fn section(&self, of: &Stored, section: Section, range: Range<u64>) -> Result<Vec<u8>, Broken> {
        let whole = of.layout.range(section);
        let at = |offset: u64| whole.start.saturating_add(offset).min(whole.end);
        self.payload(of, at(range.start)..at(range.end))
    }

    /// The head as it was written, byte for byte.
    pub(super) fn head_bytes(&self, of: &Stored) -> Result<Vec<u8>, Broken> {
        let statement = "SELECT substr(head, ? + 1, ?) FROM launches WHERE sequence = ?";
        let bound = [integer(PREFIX as u64), integer(of.layout.head()), integer(of.sequence)];
        let row = self.sql.exec(statement, &bound)?.into_iter().next();
        row.ok_or_else(|| Broken(format!("launch {} is gone", of.sequence)))?.blob()
    }

    /// A whole section that is text.
    pub(super) fn text(&self, of: &Stored, section: Section) -> Result<String, Broken> {
        let bytes = self.section(of, section, 0..of.layout.section(section))?;
        String::from_utf8(bytes).map_err(Broken::new)
    }

    /// The bytes `range` of all sections.
    pub(super) fn payload(&self, of: &Stored, range: Range<u64>) -> Result<Vec<u8>, Broken> {
        let length = range.end.saturating_sub(range.start);
        let mut bytes = Vec::new();
        loop {
            let have = bytes.len() as u64;
            if have >= length {
                break;
            }
            let piece = self.piece(of, range.start.saturating_add(have), length.saturating_sub(have))?;
            if piece.is_empty() {
                // Retention may have come between two pieces of an answer.
                return Err(Broken(format!("launch {}: bytes are missing", of.sequence)));
            }
            if bytes.is_empty() {
                bytes = piece;
            } else {
                bytes.extend_from_slice(&piece);
            }
        }
        Ok(bytes)
    }

    /// At most `length` bytes from `start` on: as many as stand in one row.
    fn piece(&self, of: &Stored, start: u64, length: u64) -> Result<Vec<u8>, Broken> {
        let rows = if of.inline {
            let statement = "SELECT substr(payload, ? + 1, ?) FROM launches WHERE sequence = ?";
            self.sql.exec(statement, &[integer(start), integer(length), integer(of.sequence)])
        } else {
            let statement = "SELECT substr(bytes, ? - start + 1, ?) FROM chunks \
                             WHERE sequence = ? AND start <= ? ORDER BY start DESC LIMIT 1";
            self.sql.exec(statement, &[integer(start), integer(length), integer(of.sequence), integer(start)])
        }?;
        rows.into_iter().next().map_or(Ok(Vec::new()), |mut row| row.blob())
    }
}

impl Stored {
    fn expect(self, sequence: u64) -> Result<Self, Broken> {
        if self.sequence == sequence { Ok(self) } else { Err(Broken(format!("launch {sequence} is gone"))) }
    }
}
