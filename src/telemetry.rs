//! The operator's log: one JSON line for each request, and one for each failure from which a request recovers. No line contains a
//! token, an address or a body.

use serde::Serialize;

use crate::{
    launch::{LaunchOutcome, reply::Launched},
    problem::{Cause, Refused},
};

/// The line of a request. A field that is absent does not apply to the request.
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

/// Memory of the isolate when a line is written, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Linear memory, which never shrinks.
    pub linear: u64,
    /// Reserved by all requests.
    pub reserved: u64,
}

impl<'a> RequestLine<'a> {
    /// The line of a request other than a launch, or of one that was refused before its body was read.
    pub fn new(request_id: &'a str, status: u16, refused: Option<&'a Refused>, total_ms: u64) -> Self {
        let error = refused.map(|refused| refused.problem.text());
        let cause = refused.and_then(|refused| refused.cause.as_ref()).map(|cause| cause.0.as_str());
        Self { request_id, status, total_ms, error, cause, ..Self::default() }
    }

    /// The line of a launch request.
    pub fn of_launch(settled: &'a LaunchOutcome, total_ms: u64, memory: Memory) -> Self {
        let launched = settled.result.as_ref().ok();
        let refused = settled.result.as_ref().err();
        let status = refused.map_or(200, |refused| refused.problem.status());
        let count = |of: fn(&Launched) -> u64| launched.map(of);
        Self {
            bytes: Some(settled.read),
            parse_ms: Some(settled.timings.parse),
            match_ms: Some(settled.timings.r#match),
            commit_ms: Some(settled.timings.commit),
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
            ..Self::new(&settled.request_id, status, refused, total_ms)
        }
    }

    /// The line as JSON.
    pub fn to_json(&self) -> String {
        // Plain data: it always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The line of a failure from which a request, or an object's alarm, recovers.
#[derive(Debug, Serialize)]
pub struct FailureLine<'a> {
    /// The request's ID; `null` for an alarm.
    pub request_id: Option<&'a str>,
    /// What failed, and what happens instead.
    pub failure: &'a str,
    /// Why it failed.
    pub cause: &'a str,
}

impl<'a> FailureLine<'a> {
    /// The line of a failure.
    pub fn new(request_id: Option<&'a str>, failure: &'a str, cause: &'a Cause) -> Self {
        Self { request_id, failure, cause: &cause.0 }
    }

    /// The line as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
