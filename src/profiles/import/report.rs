//! Counts the rows and values of a file, and why some of them are left out.

use std::{fmt, str::FromStr};

use serde::Serialize;

use super::error::{ImportError, RowError};
use crate::limits::{REASON_LINES, REASONS_KEPT};

/// What is left out for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    Row,
    Value,
}

/// Why rows or values are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    #[serde(rename = "of")]
    pub left_out: LeftOut,
    pub reason: String,
    pub count: u64,
    /// The first lines, at most [`REASON_LINES`]. The first line of a file is 1.
    pub lines: Vec<u64>,
}

/// Numbers of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RowCounts {
    pub accepted: u64,
    pub refused: u64,
}

/// Numbers of values that are not empty, in accepted rows. Profile IDs do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ValueCounts {
    pub used: u64,
    pub skipped: u64,
}

/// What an import has read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ImportReport {
    pub rows: RowCounts,
    pub values: ValueCounts,
    pub reasons: Vec<Reason>,
}

impl ImportReport {
    /// Adds an accepted row.
    pub fn add_row(&mut self, values: ValueCounts) {
        self.rows.accepted += 1;
        self.values.used += values.used;
        self.values.skipped += values.skipped;
    }

    /// Adds a refused row. Returns an error if the import fails.
    pub fn add_refused(&mut self, line: u64, error: RowError) -> Result<(), ImportError> {
        match error {
            RowError::Refused(reason) => {
                self.rows.refused += 1;
                self.add_reason(LeftOut::Row, line, &reason);
                Ok(())
            }
            RowError::Import(error) => Err(error),
        }
    }

    /// Adds the reason for a skipped value.
    pub fn add_skipped(&mut self, line: u64, reason: &str) {
        self.add_reason(LeftOut::Value, line, reason);
    }

    fn add_reason(&mut self, left_out: LeftOut, line: u64, reason: &str) {
        let is_same = |known: &&mut Reason| known.left_out == left_out && known.reason == reason;
        if let Some(known) = self.reasons.iter_mut().find(is_same) {
            known.count += 1;
            if known.lines.len() < REASON_LINES {
                known.lines.push(line);
            }
            return;
        }
        if self.reasons.len() < REASONS_KEPT {
            self.reasons.push(Reason { left_out, reason: reason.to_owned(), count: 1, lines: vec![line] });
        } else if reason != OTHER_REASONS {
            // Room for the two entries of other reasons.
            match self.reasons.iter_mut().find(|known| known.left_out == left_out && known.reason == OTHER_REASONS) {
                Some(known) => known.count += 1,
                None => self.reasons.push(Reason {
                    left_out,
                    reason: OTHER_REASONS.to_owned(),
                    count: 1,
                    lines: vec![line],
                }),
            }
        }
    }

    /// Returns an error if more rows are refused, or more values skipped, than the operator accepts.
    pub fn check(&self, most: Percentage) -> Result<(), TooManyBad> {
        let exceeds = |bad, good, what| {
            let total = good + bad;
            most.is_exceeded_by(bad, total).then(|| format!("{bad} of {total} {what}"))
        };
        let rows = exceeds(self.rows.refused, self.rows.accepted, "rows refused");
        let values = exceeds(self.values.skipped, self.values.used, "values skipped");
        let what: Vec<String> = rows.into_iter().chain(values).collect();
        if what.is_empty() { Ok(()) } else { Err(TooManyBad { what: what.join(" and "), most }) }
    }
}

const OTHER_REASONS: &str = "other reasons";

/// Too many rows are refused, or too many values skipped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what}, which is more than {most}; correct the file, or accept a higher percentage with --max-bad")]
pub struct TooManyBad {
    what: String,
    most: Percentage,
}

/// A percentage from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentage(f64);

impl Percentage {
    /// The percentage of rows and values that an import leaves out unless the operator accepts more.
    pub const MAX_BAD_DEFAULT: Self = Self(1.0);

    fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        part as f64 * 100.0 > self.0 * whole as f64
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// A text is not a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a percentage from 0% to 100%")]
pub struct InvalidPercentage;

impl FromStr for Percentage {
    type Err = InvalidPercentage;

    fn from_str(text: &str) -> Result<Self, InvalidPercentage> {
        let number = text.trim().trim_end_matches('%').trim_end();
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let percentage = number.parse().ok().filter(|percentage| is_plain && (0.0..=100.0).contains(percentage));
        percentage.map(Self).ok_or(InvalidPercentage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_reason_and_keeps_its_first_lines() {
        let mut report = ImportReport::default();
        for line in 1..=7 {
            report.add_refused(line, RowError::refused("a")).unwrap();
            report.add_skipped(line, "a");
        }
        report.add_row(ValueCounts { used: 3, skipped: 2 });
        let reason = |left_out| Reason { left_out, reason: "a".into(), count: 7, lines: vec![1, 2, 3, 4, 5] };
        assert_eq!(report.reasons, [reason(LeftOut::Row), reason(LeftOut::Value)]);
        assert_eq!(report.rows, RowCounts { accepted: 1, refused: 7 });
        assert_eq!(report.values, ValueCounts { used: 3, skipped: 2 });
    }

    #[test]
    fn counts_the_reasons_above_the_limit_together() {
        let mut report = ImportReport::default();
        for number in 0..REASONS_KEPT as u64 + 10 {
            report.add_skipped(number, &number.to_string());
        }
        report.add_skipped(0, "0");
        assert_eq!(report.reasons.len(), REASONS_KEPT + 1);
        assert_eq!(report.reasons.last().map(|reason| reason.count), Some(10));
        assert_eq!(report.reasons.iter().map(|reason| reason.count).sum::<u64>(), REASONS_KEPT as u64 + 11);
    }

    #[test]
    fn more_bad_rows_or_values_than_the_limit_are_an_error() {
        let check = |rows: (u64, u64), values: (u64, u64), most: &str| {
            let report = ImportReport {
                rows: RowCounts { accepted: rows.0, refused: rows.1 },
                values: ValueCounts { used: values.0, skipped: values.1 },
                reasons: Vec::new(),
            };
            report.check(most.parse().unwrap()).map_err(|error| error.to_string())
        };
        assert_eq!(check((99, 1), (99, 1), "1%"), Ok(()));
        assert_eq!(check((0, 0), (0, 0), "0"), Ok(()));
        assert_eq!(check((50, 50), (0, 100), "100%"), Ok(()));
        let error = check((98, 1), (0, 0), "1%").unwrap_err();
        assert!(error.starts_with("1 of 99 rows refused, which is more than 1 %; "), "{error}");
        let error = check((99, 1), (199, 3), "1.48").unwrap_err();
        assert!(error.starts_with("3 of 202 values skipped, which is more than 1.48 %; "), "{error}");
        let error = check((5, 1), (9, 3), "1%").unwrap_err();
        assert!(
            error.starts_with("1 of 6 rows refused and 3 of 12 values skipped, which is more than 1 %; "),
            "{error}"
        );
        for text in ["", "%", "-1", "101", "1e1", "inf", "NaN", "a", "1 2"] {
            assert_eq!(text.parse::<Percentage>(), Err(InvalidPercentage), "{text}");
        }
    }
}
