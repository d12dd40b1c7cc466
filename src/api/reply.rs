//! The status, headers and body of every reply, independent of the runtime.

use super::ports::ObjectStream;
use crate::{
    launch::reply::{self, LaunchResult, ReplyWriter, Timings},
    problem::{Cause, Problem},
    wire::Format,
};
use futures_util::stream::LocalBoxStream;

/// The rate limits (draft-ietf-httpapi-ratelimit-headers).
const RATE_LIMIT_POLICY: &str = "\"token\";q=1000;w=10, \"address\";q=100;w=10";

/// A reply. `S` is the runtime's type of a streamed body.
pub struct Reply<S> {
    pub status: u16,
    /// Each name at most once.
    pub headers: Vec<(&'static str, String)>,
    pub body: ReplyBody<S>,
}

pub enum ReplyBody<S> {
    Empty,
    Bytes(Vec<u8>),
    /// A reply to a launch that has more than one piece.
    Pieces(Box<Pieces>),
    /// Pieces that are read from KV while they are sent. After an error the reply is cut off.
    Lines(LocalBoxStream<'static, Result<Vec<u8>, Cause>>),
    /// A stream from a campaign's object or from the bucket of attachments.
    Stream(S),
}

impl<S> Reply<S> {
    /// A reply without a body, with the headers of every reply.
    pub fn new(status: u16, request_id: &str) -> Self {
        let headers = vec![
            ("Request-ID", request_id.to_owned()),
            ("RateLimit-Policy", RATE_LIMIT_POLICY.to_owned()),
            ("Cache-Control", "no-store".to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
        ];
        Self { status, headers, body: ReplyBody::Empty }
    }

    fn with_content_type(status: u16, request_id: &str, content_type: &str) -> Self {
        let mut reply = Self::new(status, request_id);
        reply.headers.push(("Content-Type", content_type.to_owned()));
        reply
    }

    /// Sets a header. Replaces an earlier value.
    pub fn set(&mut self, name: &'static str, value: String) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The reply to `GET /healthz`.
    pub fn health(request_id: &str) -> Self {
        let body = concat!(r#"{"status":"ok","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
        Self::json(body.into(), request_id)
    }

    /// A reply of JSON text.
    pub fn json(body: Vec<u8>, request_id: &str) -> Self {
        let body = ReplyBody::Bytes(body);
        Self { body, ..Self::with_content_type(200, request_id, Format::Json.content_type()) }
    }

    /// A reply that a campaign's object streams.
    pub fn streamed(stream: ObjectStream<S>, request_id: &str) -> Self {
        let body = ReplyBody::Stream(stream.body);
        Self { body, ..Self::with_content_type(200, request_id, &stream.content_type) }
    }

    /// The reply to a launch.
    pub fn launched(launched: LaunchResult, format: Format, request_id: &str, timings: Timings) -> Self {
        let mut reply = Self::with_content_type(200, request_id, format.content_type());
        if let Some(id) = launched.launch_id {
            reply.set("Launch-ID", id.to_string());
        }
        let counts = launched.counts;
        reply.set("Launch-Matched", counts.matched.to_string());
        reply.set("Launch-Unmatched", counts.unmatched.to_string());
        reply.set("Launch-Invalid", counts.invalid.to_string());
        reply.set("Launch-Duplicate", counts.duplicates.to_string());
        if launched.repeated {
            reply.set("Duplicate-Request", "true".to_owned());
            reply.set("Duplicate-Key", request_id.to_owned());
        }
        let Timings { parse, r#match, commit } = timings;
        reply.set("Server-Timing", format!("parse;dur={parse}, match;dur={match}, commit;dur={commit}"));
        reply.body = launched_body(ReplyWriter::new(launched, format));
        reply
    }

    /// The reply to a request that is refused.
    pub fn refused(problem: &Problem, request_id: &str, format: Format) -> Self {
        let mut reply = Self::with_content_type(problem.status(), request_id, format.content_type());
        if let Some(seconds) = problem.retry_after() {
            reply.set("Retry-After", seconds.to_string());
        }
        match problem {
            Problem::MethodNotAllowed(allow) => reply.set("Allow", allow.clone()),
            Problem::RangeNotSatisfiable(size) => reply.set("Content-Range", format!("bytes */{size}")),
            _ => {}
        }
        reply.body = ReplyBody::Bytes(reply::problem(problem, request_id, format).into_bytes());
        reply
    }
}

fn launched_body<S>(mut writer: ReplyWriter) -> ReplyBody<S> {
    let first = writer.piece().unwrap_or_default();
    match writer.piece() {
        None => ReplyBody::Bytes(first),
        Some(second) => {
            writer.wait();
            ReplyBody::Pieces(Box::new(Pieces { first: Some(first), second: Some(second), writer }))
        }
    }
}

/// The pieces of a reply to a launch. Each piece is written when the runtime asks for it.
#[derive(Debug)]
pub struct Pieces {
    first: Option<Vec<u8>>,
    second: Option<Vec<u8>>,
    writer: ReplyWriter,
}

impl Iterator for Pieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.first.take().or_else(|| self.second.take()).or_else(|| self.writer.piece())
    }
}
