//! What the operator is told of a request: one structured line, and one data point where a dataset is bound. What it came
//! to, and no value of it.

use serde_json::json;
use worker::{AnalyticsEngineDataPointBuilder, Env, console_error, console_log};

use super::bindings;
use crate::{launch::Settled, outcome::Counts, problem::Problem, profiles::lookup::Statistics, wire::Format};

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

/// The route of a request that names none.
pub const NOWHERE: &str = "nowhere";

/// Tells of a request that came to no launch and to no attempt at one.
pub fn other(env: &Env, told: Told<'_>, status: u16, refused: Option<&Problem>, format: Format) {
    let Told { route, request_id, total } = told;
    console_log!("{}", json!({ "request_id": request_id, "status": status, "total_ms": total }));
    let outcome = refused.map_or("answered", Problem::text);
    point(env, [route, &status.to_string(), format.name(), outcome], &[total]);
}

/// Tells of a launch request.
pub fn request(env: &Env, told: Told<'_>, settled: &Settled) {
    let Told { route, total, .. } = told;
    let timings = settled.timings;
    let linear = memory();
    let mut line = json!({
        "request_id": settled.request_id,
        "bytes": settled.read,
        "parse_ms": timings.parse,
        "match_ms": timings.r#match,
        "commit_ms": timings.commit,
        "total_ms": total,
        "wasm_bytes": linear,
    });
    let (more, status, outcome, counts, lookups) = match &settled.result {
        Ok(launched) => {
            let (counts, lookups) = (launched.counts, launched.lookups());
            let more = json!({
                "status": 200,
                "launch_id": launched.launch_id.map(|id| id.to_string()),
                "repeated": launched.repeated,
                "matched": counts.matched,
                "unmatched": counts.unmatched,
                "invalid": counts.invalid,
                "duplicates": counts.duplicates,
                "kv_reads": lookups.reads,
                "kv_keys": lookups.keys,
            });
            let outcome = match launched.launch_id {
                None => "dry run",
                Some(_) if launched.repeated => "repeated",
                Some(_) => "launched",
            };
            (more, 200, outcome, counts, lookups)
        }
        Err(problem) => {
            let more = json!({ "status": problem.status(), "error": problem.text() });
            (more, problem.status(), problem.text(), Counts::default(), Statistics::default())
        }
    };
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
        line.extend(more.clone());
    }
    console_log!("{line}");
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
        linear as u64,
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

/// The isolate's linear memory. It never shrinks: this is the most that requests have needed so far.
fn memory() -> usize {
    const PAGE: usize = 64 * 1024;
    core::arch::wasm32::memory_size::<0>() * PAGE
}
