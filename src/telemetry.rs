//! The operator's view of requests: lines of the log, and data points for metrics.
//!
//! The log has one JSON line for each request, and one for each failure from which a request or an object recovers. Neither lines
//! nor data points contain tokens, addresses or bodies.

use serde::Serialize;

use crate::{
    launch::{LaunchOutcome, reply::LaunchResult},
    outcome::Counts,
    problem::{Cause, Refused},
    profiles::lookup::Statistics,
    wire::Format,
};

/// The fields of a request's line, in order.
pub const REQUEST_FIELDS: [&str; 19] = [
    "request_id",
    "status",
    "total_ms",
    "error",
    "cause",
    "bytes",
    "parse_ms",
    "match_ms",
    "commit_ms",
    "wasm_bytes",
    "reserved_bytes",
    "launch_id",
    "repeated",
    "matched",
    "unmatched",
    "invalid",
    "duplicates",
    "kv_reads",
    "kv_keys",
];

/// The fields of a failure's line, in order.
pub const FAILURE_FIELDS: [&str; 3] = ["request_id", "failure", "cause"];

/// The line of a request. Fields that do not apply to the request are absent.
#[derive(Debug, Default, Serialize)]
pub struct RequestLine<'a> {
    request_id: &'a str,
    status: u16,
    total_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parse_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    match_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wasm_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reserved_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    launch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unmatched: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kv_reads: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kv_keys: Option<u64>,
}

/// IsolateMemory of the isolate, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IsolateMemory {
    /// Linear memory, which never shrinks.
    pub linear: u64,
    /// Reserved by all requests.
    pub reserved: u64,
}

impl<'a> RequestLine<'a> {
    /// The line of a request other than a launch, or of a launch that was refused before its body was read.
    pub fn new(request_id: &'a str, status: u16, refused: Option<&'a Refused>, total_ms: u64) -> Self {
        let error = refused.map(|refused| refused.problem.text());
        let cause = refused.and_then(|refused| refused.cause.as_ref()).map(|cause| cause.0.as_str());
        Self { request_id, status, total_ms, error, cause, ..Self::default() }
    }

    /// The line of a launch request.
    pub fn of_launch(launch: &'a LaunchOutcome, total_ms: u64, memory: IsolateMemory) -> Self {
        let launched = launch.result.as_ref().ok();
        let refused = launch.result.as_ref().err();
        let status = refused.map_or(200, |refused| refused.problem.status());
        let count = |of: fn(&LaunchResult) -> u64| launched.map(of);
        Self {
            bytes: Some(launch.read),
            parse_ms: Some(launch.timings.parse),
            match_ms: Some(launch.timings.r#match),
            commit_ms: Some(launch.timings.commit),
            wasm_bytes: Some(memory.linear),
            reserved_bytes: Some(memory.reserved),
            launch_id: launched.and_then(|launched| launched.launch_id).map(|id| id.to_string()),
            repeated: launched.map(|launched| launched.repeated),
            matched: count(|launched| launched.counts.matched),
            unmatched: count(|launched| launched.counts.unmatched),
            invalid: count(|launched| launched.counts.invalid),
            duplicates: count(|launched| launched.counts.duplicates),
            kv_reads: count(|launched| launched.lookups().reads as u64),
            kv_keys: count(|launched| launched.lookups().keys as u64),
            ..Self::new(&launch.request_id, status, refused, total_ms)
        }
    }

    pub fn to_json(&self) -> String {
        // Serializing cannot fail: the fields are numbers, booleans and strings.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The line of a failure from which a request, or an object's alarm, recovers.
#[derive(Debug, Serialize)]
pub struct FailureLine<'a> {
    /// `null` for an alarm.
    request_id: Option<&'a str>,
    /// What failed, and what happens instead.
    failure: &'a str,
    cause: &'a str,
}

impl<'a> FailureLine<'a> {
    pub fn new(request_id: Option<&'a str>, failure: &'a str, cause: &'a Cause) -> Self {
        Self { request_id, failure, cause: &cause.0 }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A data point for metrics. Queries address blobs and doubles by position, so new ones are added at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPoint {
    route: &'static str,
    status: String,
    format: &'static str,
    outcome: &'static str,
    doubles: Vec<u64>,
}

/// The `outcome` of a request other than a launch that was not refused.
const ANSWERED: &str = "answered";

impl DataPoint {
    /// The data point of a request other than a launch, or of a launch that was refused before its body was read.
    pub fn new(route: &'static str, status: u16, format: Format, refused: Option<&Refused>, total_ms: u64) -> Self {
        let outcome = refused.map_or(ANSWERED, |refused| refused.problem.text());
        Self { route, status: status.to_string(), format: format.name(), outcome, doubles: vec![total_ms] }
    }

    /// The data point of a launch request.
    pub fn of_launch(route: &'static str, launch: &LaunchOutcome, total_ms: u64, memory: IsolateMemory) -> Self {
        let (status, outcome) = match &launch.result {
            Ok(launched) if launched.launch_id.is_none() => (200, "dry run"),
            Ok(launched) if launched.repeated => (200, "repeated"),
            Ok(_) => (200, "launched"),
            Err(refused) => (refused.status(), refused.problem.text()),
        };
        let launched = launch.result.as_ref().ok();
        let counts = launched.map_or_else(Counts::default, |launched| launched.counts);
        let lookups = launched.map_or_else(Statistics::default, LaunchResult::lookups);
        let doubles = vec![
            total_ms,
            launch.read,
            launch.timings.parse,
            launch.timings.r#match,
            launch.timings.commit,
            counts.matched,
            counts.unmatched,
            counts.invalid,
            counts.duplicates,
            lookups.reads as u64,
            lookups.keys as u64,
            memory.linear,
        ];
        Self { route, status: status.to_string(), format: launch.format.name(), outcome, doubles }
    }

    /// The data point of a delivery that begins to fail, stops, or loses launches to retention. `launches` is the number of
    /// launches that are lost.
    pub fn of_delivery(outcome: &'static str, launches: u64) -> Self {
        Self { route: "delivery", status: String::new(), format: "", outcome, doubles: vec![launches] }
    }

    /// The sampling key. With the route as the key, sampling keeps data points of rare routes.
    pub fn index(&self) -> &str {
        self.route
    }

    pub fn blobs(&self) -> [&str; 4] {
        [self.route, &self.status, self.format, self.outcome]
    }

    pub fn doubles(&self) -> &[u64] {
        &self.doubles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> Vec<String> {
        // `Map` does not preserve the order: read the names from the text. No value contains a quote.
        line.split('"').skip(1).step_by(2).filter(|text| *text != "x").map(str::to_owned).collect()
    }

    #[test]
    fn request_fields_lists_every_field_of_a_line_in_order() {
        let line = RequestLine {
            request_id: "x",
            status: 1,
            total_ms: 1,
            error: Some("x"),
            cause: Some("x"),
            bytes: Some(1),
            parse_ms: Some(1),
            match_ms: Some(1),
            commit_ms: Some(1),
            wasm_bytes: Some(1),
            reserved_bytes: Some(1),
            launch_id: Some("x".to_owned()),
            repeated: Some(true),
            matched: Some(1),
            unmatched: Some(1),
            invalid: Some(1),
            duplicates: Some(1),
            kv_reads: Some(1),
            kv_keys: Some(1),
        };
        assert_eq!(fields(&line.to_json()), REQUEST_FIELDS);
    }

    #[test]
    fn failure_fields_lists_every_field_of_a_line_in_order() {
        let cause = Cause::new("x");
        assert_eq!(fields(&FailureLine::new(Some("x"), "x", &cause).to_json()), FAILURE_FIELDS);
        let alarm = FailureLine::new(None, "x", &cause).to_json();
        assert_eq!(alarm, r#"{"request_id":null,"failure":"x","cause":"x"}"#);
    }
}
