//! The summary of an import.

use serde::Serialize;
use trigger_launch::profiles::import::{BuiltIndex, ImportReport, LeftOut, Reason};

use crate::terminal::count;

/// What an import has read and written.
#[derive(Debug, Serialize)]
pub struct Summary {
    database: u64,
    dry_run: bool,
    /// Whether the import is in use, or would be after a dry run.
    imported: bool,
    /// `None`: the index was not built. The same applies to the next two numbers.
    profiles: Option<u64>,
    keys: Option<u64>,
    ambiguous_keys: Option<u64>,
    #[serde(flatten)]
    pub report: ImportReport,
}

impl Summary {
    pub fn new(database: u64, dry_run: bool, report: ImportReport) -> Self {
        Self { database, dry_run, imported: false, profiles: None, keys: None, ambiguous_keys: None, report }
    }

    /// Adds the index that is in use, or would be.
    pub fn set_built(&mut self, built: &BuiltIndex) {
        self.imported = true;
        self.profiles = Some(built.profiles);
        self.keys = Some(built.keys);
        self.ambiguous_keys = Some(built.ambiguous);
    }

    /// Returns a line for each reason why rows or values are left out.
    pub fn reasons(&self) -> Vec<String> {
        let line = |Reason { left_out, reason, count: number, lines }: &Reason| {
            let what = match left_out {
                LeftOut::Row => format!("{} refused", count(*number, "row")),
                LeftOut::Value => format!("{} skipped", count(*number, "value")),
            };
            let plural = if lines.len() == 1 { "" } else { "s" };
            let numbers: Vec<String> = lines.iter().map(u64::to_string).collect();
            let more = if *number > lines.len() as u64 { ", …" } else { "" };
            format!("{what}: {reason} (line{plural} {}{more})", numbers.join(", "))
        };
        self.report.reasons.iter().map(line).collect()
    }

    /// Returns the summary of an index that was built.
    pub fn line(&self) -> Option<String> {
        let Self { database, report, .. } = self;
        let (profiles, keys) = (count(self.profiles?, "profile"), count(self.keys?, "key"));
        let ambiguous = count(self.ambiguous_keys?, "ambiguous key");
        let (refused, skipped) = (count(report.rows.refused, "row"), count(report.values.skipped, "value"));
        let dry_run = if self.dry_run { "dry run, nothing was written: " } else { "" };
        Some(format!(
            "{dry_run}database {database}: {profiles}, {keys} (addresses, numbers and custom values that launches can match), \
             {ambiguous} (shared by several profiles, so they match none), {refused} refused, {skipped} skipped"
        ))
    }
}

#[cfg(test)]
mod tests {
    use trigger_launch::profiles::import::{RowCounts, ValueCounts};

    use super::*;

    fn summary(dry_run: bool) -> Summary {
        let reason = |left_out, reason: &str, count, lines: &[u64]| Reason {
            left_out,
            reason: reason.into(),
            count,
            lines: lines.into(),
        };
        let report = ImportReport {
            rows: RowCounts { accepted: 3, refused: 1 },
            values: ValueCounts { used: 5, skipped: 7 },
            reasons: vec![
                reason(LeftOut::Row, "profile_id: missing", 1, &[4]),
                reason(LeftOut::Value, "email: not an e-mail address", 7, &[1, 2, 3, 5, 6]),
            ],
        };
        Summary::new(7, dry_run, report)
    }

    #[test]
    fn counts_profiles_keys_rows_and_values() {
        let mut summary = summary(true);
        assert_eq!(summary.line(), None);
        summary.set_built(&BuiltIndex { profiles: 1, keys: 2, ambiguous: 1, ..BuiltIndex::default() });
        assert_eq!(
            summary.line().as_deref(),
            Some(
                "dry run, nothing was written: database 7: 1 profile, 2 keys (addresses, numbers and custom values that \
                 launches can match), 1 ambiguous key (shared by several profiles, so they match none), 1 row refused, 7 \
                 values skipped"
            )
        );
        assert_eq!(
            summary.reasons(),
            [
                "1 row refused: profile_id: missing (line 4)",
                "7 values skipped: email: not an e-mail address (lines 1, 2, 3, 5, 6, …)"
            ]
        );
    }

    #[test]
    fn the_summary_is_one_json_object() {
        let json = serde_json::to_value(summary(false)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "database": 7,
                "dry_run": false,
                "imported": false,
                "profiles": null,
                "keys": null,
                "ambiguous_keys": null,
                "rows": { "accepted": 3, "refused": 1 },
                "values": { "used": 5, "skipped": 7 },
                "reasons": [
                    { "of": "row", "reason": "profile_id: missing", "count": 1, "lines": [4] },
                    { "of": "value", "reason": "email: not an e-mail address", "count": 7, "lines": [1, 2, 3, 5, 6] },
                ],
            })
        );
    }
}
