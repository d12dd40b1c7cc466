//! One structured line a request: what it came to, and no value of it.

use serde_json::json;
use worker::console_log;

use crate::launch::Settled;

/// Logs a request that came to no launch and to no attempt at one.
pub fn other(request_id: &str, status: u16, total: u64) {
    console_log!("{}", json!({ "request_id": request_id, "status": status, "total_ms": total }));
}

/// Logs a launch request that took `total` milliseconds.
pub fn request(settled: &Settled, total: u64) {
    let timings = settled.timings;
    let mut line = json!({
        "request_id": settled.request_id,
        "bytes": settled.read,
        "parse_ms": timings.parse,
        "match_ms": timings.r#match,
        "commit_ms": timings.commit,
        "total_ms": total,
        "wasm_bytes": memory(),
    });
    let more = match &settled.result {
        Ok(launched) => json!({
            "status": 200,
            "launch_id": launched.launch_id.map(|id| id.to_string()),
            "repeated": launched.repeated,
            "matched": launched.counts.matched,
            "unmatched": launched.counts.unmatched,
            "invalid": launched.counts.invalid,
            "duplicates": launched.counts.duplicates,
            "kv_reads": launched.lookups().reads,
            "kv_keys": launched.lookups().keys,
        }),
        Err(problem) => json!({ "status": problem.status(), "error": problem.text() }),
    };
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
        line.extend(more.clone());
    }
    console_log!("{line}");
}

/// The isolate's linear memory. It never shrinks: this is the most that requests have needed so far.
fn memory() -> usize {
    const PAGE: usize = 64 * 1024;
    core::arch::wasm32::memory_size::<0>() * PAGE
}
