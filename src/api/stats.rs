//! The query parameters of a request for totals.

use super::head::HttpHead;
use crate::{
    campaign::protocol::commands::StatsRequest,
    limits::{DAY_MS, HOUR_MS, STATS_BUCKETS_MAX, STATS_DAYS_DEFAULT, STATS_HOURS_DEFAULT},
    problem::Problem,
    text::{SAFE_INTEGER_MAX, parse_rfc3339, parse_zone},
};

/// Parses the parameters. Without `from` and `to`, the last bucket is that of `now`.
pub fn parse(head: &HttpHead<'_>, now: u64) -> Result<StatsRequest, Problem> {
    let wrong = |what: String| Problem::BadField(what);
    let (width, default) = match head.parameter("bucket").map(str::trim_ascii) {
        None | Some("hour") => (HOUR_MS, STATS_HOURS_DEFAULT),
        Some("day") => (DAY_MS, STATS_DAYS_DEFAULT),
        Some(_) => return Err(wrong("bucket: must be hour or day".to_owned())),
    };
    let time = |name: &str| head.parameter(name).map(|text| parse_time(name, text)).transpose();
    let (from, to) = (time("from")?, time("to")?);
    let zone = head.parameter("offset").map(|text| {
        let what = "offset: must be a time zone such as +01:00, -05:30 or Z";
        parse_zone(text.trim_ascii_end()).ok_or_else(|| wrong(what.to_owned()))
    });
    let offset = zone.transpose()?.unwrap_or(0);
    let start_of = |time: u64| bucket_start(time, width, offset);
    let signed = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    let end = |time: u64| start_of(time).saturating_add(signed(width));
    let to = to.unwrap_or_else(|| u64::try_from(end(now)).unwrap_or(0));
    let from = from.unwrap_or_else(|| {
        let last = end(to.saturating_sub(1));
        u64::try_from(last.saturating_sub(signed(width.saturating_mul(default)))).unwrap_or(0)
    });
    if to < from {
        return Err(wrong("to: must not be before from".to_owned()));
    }
    let first = start_of(from);
    let length = u64::try_from(signed(to).saturating_sub(first)).unwrap_or(0);
    let buckets = if from == to { 0 } else { length.div_ceil(width) };
    if buckets > STATS_BUCKETS_MAX {
        return Err(wrong(format!("from: the period has {buckets} buckets, at most {STATS_BUCKETS_MAX} are allowed")));
    }
    Ok(StatsRequest { width, first, buckets, from, to, offset })
}

/// Parses a time. A time before 1970 counts as 1970, and one that is very late as 2^53 - 1.
fn parse_time(name: &str, text: &str) -> Result<u64, Problem> {
    let time = parse_rfc3339(text.trim_ascii()).ok_or_else(|| {
        Problem::BadField(format!("{name}: must be a time in RFC 3339, such as 2026-11-23T18:00:00Z"))
    })?;
    Ok(u64::try_from(time).unwrap_or(0).min(SAFE_INTEGER_MAX))
}

/// Returns the full hour or day at or before `time`, in the time zone.
fn bucket_start(time: u64, width: u64, offset: i32) -> i64 {
    let (time, width) = (i64::try_from(time).unwrap_or(i64::MAX), i64::try_from(width).unwrap_or(i64::MAX));
    let local = time.saturating_add(i64::from(offset).saturating_mul(60_000));
    time.saturating_sub(local.rem_euclid(width))
}
