//! Converts replies to responses of the runtime. The types of the `worker` crate call the runtime for each header and property;
//! here one call converts all of them.

use futures_util::{StreamExt as _, TryStream, stream};
use js_sys::Uint8Array;
use serde::Serialize;
use web_sys::{ReadableStream, Response, ResponseInit};
use worker::{Error, Result};

use super::{runtime, telemetry};
use crate::{
    api::reply::{Reply, ReplyBody},
    problem::Cause,
};

/// The body of a response.
pub enum RuntimeBody {
    Bytes(Vec<u8>),
    Stream(ReadableStream),
}

pub fn from_reply(reply: Reply<Option<ReadableStream>>) -> Result<Response> {
    let body = match reply.body {
        ReplyBody::Empty | ReplyBody::Stream(None) => RuntimeBody::Bytes(Vec::new()),
        ReplyBody::Bytes(bytes) => RuntimeBody::Bytes(bytes),
        ReplyBody::Stream(Some(stream)) => RuntimeBody::Stream(stream),
        ReplyBody::Lines(lines) => readable(lines.map(|piece| piece.map_err(|cause| cut_off("a reply", &cause))))?,
        ReplyBody::Pieces(pieces) => readable(stream::iter(pieces.map(Ok::<_, Error>)))?,
    };
    new(reply.status, &reply.headers, body)
}

/// Makes a response. Each header has one value.
pub fn new(status: u16, headers: &[(&'static str, String)], body: RuntimeBody) -> Result<Response> {
    #[derive(Serialize)]
    struct ResponseFields<'a> {
        status: u16,
        #[serde(serialize_with = "runtime::serialize_headers")]
        headers: &'a [(&'static str, String)],
    }
    let init: ResponseInit = runtime::object(&ResponseFields { status, headers })?;
    let response = match body {
        RuntimeBody::Bytes(bytes) => {
            let bytes = (!bytes.is_empty()).then(|| Uint8Array::from(bytes.as_slice()));
            Response::new_with_opt_js_u8_array_and_init(bytes.as_ref(), &init)?
        }
        RuntimeBody::Stream(stream) => Response::new_with_opt_readable_stream_and_init(Some(&stream), &init)?,
    };
    Ok(response)
}

/// Makes a body of pieces. The runtime asks for the next piece when it has room.
pub fn readable<S>(pieces: S) -> Result<RuntimeBody>
where
    S: TryStream<Ok = Vec<u8>, Error = Error> + 'static,
{
    let response: Response = worker::Response::from_stream(pieces)?.into();
    Ok(response.body().map_or(RuntimeBody::Bytes(Vec::new()), RuntimeBody::Stream))
}

/// Logs why a response is cut off. The result aborts the response.
pub fn cut_off(what: &str, cause: &Cause) -> Error {
    telemetry::failure(None, &format!("{what} was cut off"), cause);
    Error::RustError("the rest of the response cannot be read".to_owned())
}
