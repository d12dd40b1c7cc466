//! Connects the core to the platform. Only this module uses the `worker` crate. It converts values and makes no decisions.

mod bindings;
mod body;
mod bucket;
mod fetch;
mod kv;
mod object;
mod objects;
mod ports;
mod profiles;
mod receiver;
mod response;
mod runtime;
mod telemetry;
mod unicode;

use std::rc::Rc;

use futures_channel::oneshot;
use worker::{Context, Env, Error, Request, Response, Result, event};

/// Runs every request under `waitUntil`. If a caller disconnects, the platform can cancel a handler without dropping its future, so
/// its memory reservations would leak. Under `waitUntil` the handler keeps running, sees the request body end, and releases them.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let context = Rc::new(context);
    let (answer, answered) = oneshot::channel();
    let within = Rc::clone(&context);
    context.wait_until(async move {
        // Sending fails if the caller has disconnected.
        let _ = answer.send(Box::pin(fetch::handle(request, env, within)).await);
    });
    answered.await.unwrap_or_else(|_| Err(Error::RustError("the request was dropped".to_owned())))
}
