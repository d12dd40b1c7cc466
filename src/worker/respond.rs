//! Answers, as the runtime wants them.

use futures_util::stream;
use worker::{Headers, Response, ResponseBuilder, Result};

use crate::{
    launch::{
        LaunchOutcome,
        reply::{self, Launched, Timings, Writer},
    },
    problem::Problem,
    wire::Format,
};

/// The rate limits, as a client may want to know them (draft-ietf-httpapi-ratelimit-headers).
const RATE_LIMIT_POLICY: &str = "\"token\";q=1000;w=10, \"address\";q=100;w=10";

/// The answer to a launch.
pub fn launch(settled: LaunchOutcome) -> Result<Response> {
    let LaunchOutcome { result, format, request_id, timings, .. } = settled;
    match result {
        Ok(launched) => launched_response(launched, format, &request_id, timings),
        Err(refused) => refusal(&refused.problem, &request_id, format),
    }
}

fn launched_response(launched: Launched, format: Format, request_id: &str, timings: Timings) -> Result<Response> {
    let headers = Headers::new();
    if let Some(id) = launched.launch_id {
        headers.set("Launch-ID", &id.to_string())?;
    }
    let counts = launched.counts;
    for (name, count) in [
        ("Launch-Matched", counts.matched),
        ("Launch-Unmatched", counts.unmatched),
        ("Launch-Invalid", counts.invalid),
        ("Launch-Duplicate", counts.duplicates),
    ] {
        headers.set(name, &count.to_string())?;
    }
    if launched.repeated {
        headers.set("Duplicate-Request", "true")?;
        headers.set("Duplicate-Key", request_id)?;
    }
    let Timings { parse, r#match, commit } = timings;
    headers.set("Server-Timing", &format!("parse;dur={parse}, match;dur={match}, commit;dur={commit}"))?;
    let builder = common(headers, request_id, format)?;
    let mut writer = Writer::new(launched, format);
    let first = writer.piece().unwrap_or_default();
    match writer.piece() {
        None => Ok(builder.fixed(first)),
        Some(second) => {
            writer.wait();
            let begin = [first, second].into_iter();
            let pieces = begin.chain(std::iter::from_fn(move || writer.piece()));
            builder.from_stream(stream::iter(pieces.map(Ok::<_, worker::Error>)))
        }
    }
}

/// The answer to a request that is refused.
pub fn refusal(problem: &Problem, request_id: &str, format: Format) -> Result<Response> {
    let headers = Headers::new();
    if let Some(seconds) = problem.retry_after() {
        headers.set("Retry-After", &seconds.to_string())?;
    }
    if let Problem::MethodNotAllowed(allow) = problem {
        headers.set("Allow", allow)?;
    }
    if let Problem::RangeNotSatisfiable(size) = problem {
        headers.set("Content-Range", &format!("bytes */{size}"))?;
    }
    let body = reply::problem(problem, request_id, format);
    Ok(common(headers, request_id, format)?.with_status(problem.status()).fixed(body.into_bytes()))
}

/// A body of JSON text.
pub fn json(body: String, request_id: &str) -> Result<Response> {
    Ok(common(Headers::new(), request_id, Format::Json)?.fixed(body.into_bytes()))
}

/// What every answer holds.
pub fn stamp(headers: &Headers, request_id: &str) -> Result<()> {
    headers.set("Request-ID", request_id)?;
    headers.set("RateLimit-Policy", RATE_LIMIT_POLICY)?;
    headers.set("Cache-Control", "no-store")?;
    headers.set("X-Content-Type-Options", "nosniff")
}

fn common(headers: Headers, request_id: &str, format: Format) -> Result<ResponseBuilder> {
    stamp(&headers, request_id)?;
    headers.set("Content-Type", format.content_type())?;
    Ok(Response::builder().with_headers(headers))
}
