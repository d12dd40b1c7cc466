//! Converts replies to responses of the runtime.

use futures_util::{StreamExt as _, stream};
use worker::{Headers, Response, ResponseBody, Result};

use super::telemetry;
use crate::api::reply::{Reply, ReplyBody};

pub fn from_reply(reply: Reply<ResponseBody>) -> Result<Response> {
    let headers = Headers::new();
    for (name, value) in &reply.headers {
        headers.set(name, value)?;
    }
    let builder = Response::builder().with_headers(headers).with_status(reply.status);
    match reply.body {
        ReplyBody::Empty => Ok(builder.empty()),
        ReplyBody::Bytes(bytes) => Ok(builder.fixed(bytes)),
        ReplyBody::Stream(body) => Ok(builder.body(body)),
        ReplyBody::Lines(lines) => builder.from_stream(lines.map(|piece| {
            piece.map_err(|cause| {
                telemetry::failure(None, "a reply was cut off", &cause);
                worker::Error::RustError("the generation cannot be read to its end".to_owned())
            })
        })),
        ReplyBody::Pieces(pieces) => builder.from_stream(stream::iter(pieces.map(Ok::<_, worker::Error>))),
    }
}
