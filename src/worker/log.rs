//! Writes the operator's log, and one data point for each request if a dataset is bound.

use worker::{AnalyticsEngineDataPointBuilder, Env, console_error, console_log};

use super::bindings;
use crate::{
    launch::{LaunchOutcome, reply::Launched},
    outcome::Counts,
    problem::{Cause, Problem, Refused},
    profiles::lookup::Statistics,
    telemetry::{FailureLine, Memory, RequestLine},
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

/// The route of a request that matches none.
pub const NOWHERE: &str = "nowhere";

/// Logs a failure from which the request recovers.
pub fn failure(request_id: Option<&str>, failure: &str, cause: &Cause) {
    console_error!("{}", FailureLine::new(request_id, failure, cause).to_json());
}

/// Logs a request other than a launch, or one that was refused before its body was read.
pub fn other(env: &Env, told: Told<'_>, status: u16, refused: Option<&Refused>, format: Format) {
    let Told { route, request_id, total } = told;
    console_log!("{}", RequestLine::new(request_id, status, refused, total).to_json());
    let outcome = refused.map_or("answered", |refused| refused.problem.text());
    point(env, request_id, [route, &status.to_string(), format.name(), outcome], &[total]);
}

/// Logs a launch request. `reserved` is what all requests of the isolate have reserved, in bytes.
pub fn request(env: &Env, told: Told<'_>, settled: &LaunchOutcome, reserved: u64) {
    let Told { route, total, .. } = told;
    let timings = settled.timings;
    let memory = Memory { linear: linear_memory(), reserved };
    console_log!("{}", RequestLine::of_launch(settled, total, memory).to_json());
    let (status, outcome) = match &settled.result {
        Ok(launched) if launched.launch_id.is_none() => (200, "dry run"),
        Ok(launched) if launched.repeated => (200, "repeated"),
        Ok(_) => (200, "launched"),
        Err(refused) => (refused.problem.status(), Problem::text(&refused.problem)),
    };
    let launched = settled.result.as_ref().ok();
    let counts = launched.map_or_else(Counts::default, |launched| launched.counts);
    let lookups = launched.map_or_else(Statistics::default, Launched::lookups);
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
        memory.linear,
    ];
    point(env, told.request_id, [route, &status.to_string(), settled.format.name(), outcome], &doubles);
}

/// Writes a data point. Its index is the route, so that sampling keeps rare ones. Queries name blobs and doubles by their place
/// (docs/operating.md): new ones go to the end.
fn point(env: &Env, request_id: &str, blobs: [&str; 4], doubles: &[u64]) {
    let Some(dataset) = bindings::metrics(env) else { return };
    let point = AnalyticsEngineDataPointBuilder::new()
        .indexes([blobs[0]])
        .blobs(blobs)
        .doubles(doubles.iter().map(|value| *value as f64));
    if let Err(error) = point.write_to(&dataset) {
        failure(Some(request_id), "a data point was not written", &Cause::new(error));
    }
}

/// The isolate's linear memory, in bytes. It never shrinks.
fn linear_memory() -> u64 {
    const PAGE: u64 = 64 * 1024;
    core::arch::wasm32::memory_size::<0>() as u64 * PAGE
}
