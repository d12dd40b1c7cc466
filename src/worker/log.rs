//! What the operator is told of a request: one structured line, and one data point where a dataset is bound. What it came
//! to, and no value of it.

use serde::Serialize;
use worker::{AnalyticsEngineDataPointBuilder, Env, console_error, console_log};

use super::bindings;
use crate::{
    launch::{Settled, reply::Launched},
    outcome::Counts,
    problem::Problem,
    profiles::lookup::Statistics,
    wire::Format,
};

/// What is known of every request.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// [`Route::name`](crate::http::route::Route::name), or [`NOWHERE`].
    pub route: &'static str,
    /// The request's id.
    pub request_id: &'a str,
    /// From its head to its answer, in milliseconds.
    pub total: u64,
}

/// One line. What is absent says nothing of the request.
#[derive(Default, Serialize)]
struct Line<'a> {
    request_id: &'a str,
    status: u16,
    total_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
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

fn line(line: &Line<'_>) {
    console_log!("{}", serde_json::to_string(line).unwrap_or_default());
}

/// The route of a request that names none.
pub const NOWHERE: &str = "nowhere";

/// Tells of a request that came to no launch and to no attempt at one.
pub fn other(env: &Env, told: Told<'_>, status: u16, refused: Option<&Problem>, format: Format) {
    let Told { route, request_id, total } = told;
    line(&Line { request_id, status, total_ms: total, ..Line::default() });
    let outcome = refused.map_or("answered", Problem::text);
    point(env, [route, &status.to_string(), format.name(), outcome], &[total]);
}

/// Tells of a launch request.
pub fn request(env: &Env, told: Told<'_>, settled: &Settled) {
    let Told { route, total, .. } = told;
    let timings = settled.timings;
    let linear = memory();
    let (status, outcome) = match &settled.result {
        Ok(launched) if launched.launch_id.is_none() => (200, "dry run"),
        Ok(launched) if launched.repeated => (200, "repeated"),
        Ok(_) => (200, "launched"),
        Err(problem) => (problem.status(), problem.text()),
    };
    let launched = settled.result.as_ref().ok();
    let counts = launched.map_or_else(Counts::default, |launched| launched.counts);
    let lookups = launched.map_or_else(Statistics::default, Launched::lookups);
    let told = |count: u64| launched.map(|_| count);
    line(&Line {
        request_id: &settled.request_id,
        status,
        total_ms: total,
        error: settled.result.as_ref().err().map(Problem::text),
        bytes: Some(settled.read),
        parse_ms: Some(timings.parse),
        match_ms: Some(timings.r#match),
        commit_ms: Some(timings.commit),
        wasm_bytes: Some(linear),
        launch_id: launched.and_then(|launched| launched.launch_id).map(|id| id.to_string()),
        repeated: launched.map(|launched| launched.repeated),
        matched: told(counts.matched),
        unmatched: told(counts.unmatched),
        invalid: told(counts.invalid),
        duplicates: told(counts.duplicates),
        kv_reads: told(lookups.reads as u64),
        kv_keys: told(lookups.keys as u64),
    });
    let doubles = [
        total,
        settled.read,
        timings.parse,
        timings.r#match,
        timings.commit,
        counts.matched,
        counts.unmatched,
        counts.invalid,
        counts.duplicates,
        lookups.reads as u64,
        lookups.keys as u64,
        linear,
    ];
    point(env, [route, &status.to_string(), settled.format.name(), outcome], &doubles);
}

/// A data point: its index is the route, so that sampling keeps what is rare. The places of blobs and doubles are what
/// queries name (docs/operating.md): new ones go to the end.
fn point(env: &Env, blobs: [&str; 4], doubles: &[u64]) {
    let Some(dataset) = bindings::metrics(env) else { return };
    let point = AnalyticsEngineDataPointBuilder::new()
        .indexes([blobs[0]])
        .blobs(blobs)
        .doubles(doubles.iter().map(|value| *value as f64));
    if let Err(error) = point.write_to(&dataset) {
        console_error!("metrics: {error}");
    }
}

/// The isolate's linear memory, in bytes. It never shrinks: this is the most that requests have needed so far.
fn memory() -> u64 {
    const PAGE: u64 = 64 * 1024;
    core::arch::wasm32::memory_size::<0>() as u64 * PAGE
}
