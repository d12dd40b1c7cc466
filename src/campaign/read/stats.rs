//! The totals of each hour or day of a period.

use serde::Serialize;

use crate::{
    campaign::{
        log::{
            state::{LaunchLog, LogError},
            totals::LaunchTotals,
        },
        protocol::commands::StatsRequest,
    },
    storage::sql::{Sql, StorageError},
    text::rfc3339_in,
};

/// The reply to a request for totals.
#[derive(Debug, Serialize)]
pub struct StatsReply {
    buckets: Vec<StatsBucket>,
}

/// The totals of one hour or day.
#[derive(Debug, Serialize)]
struct StatsBucket {
    at: String,
    launches: u64,
    recipients: u64,
    unmatched: u64,
    invalid: u64,
}

impl StatsReply {
    /// Reads the totals. All launches of the period have to be counted.
    pub fn read<S: Sql>(log: &LaunchLog<S>, request: &StatsRequest) -> Result<Self, LogError> {
        // Refuses if the campaign was never defined.
        log.state()?;
        let totals = log.totals(request)?.ok_or_else(|| StorageError::damaged("launches have not been counted"))?;
        let pairs = totals.iter().zip(totals.iter().skip(1));
        let starts = (0_i64..).map(|number| {
            let width = i64::try_from(request.width).unwrap_or(i64::MAX);
            request.first.saturating_add(width.saturating_mul(number))
        });
        let buckets = pairs
            .zip(starts)
            .map(|((before, after), start)| StatsBucket::between(before, after, rfc3339_in(start, request.offset)));
        Ok(Self { buckets: buckets.collect() })
    }
}

impl StatsBucket {
    fn between(before: &LaunchTotals, after: &LaunchTotals, at: String) -> Self {
        Self {
            at,
            launches: after.launches.saturating_sub(before.launches),
            recipients: after.recipients.saturating_sub(before.recipients),
            unmatched: after.items.unmatched.saturating_sub(before.items.unmatched),
            invalid: after.items.invalid.saturating_sub(before.items.invalid),
        }
    }
}
