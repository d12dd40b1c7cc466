//! Connects the core to the platform. Only this module uses the `worker` crate. It converts values and makes no decisions.

mod bindings;
mod body;
mod bucket;
mod fetch;
mod isolate;
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

use web_sys::{Request, Response};
use worker::{Context, Env, Result, event};

/// Answers a request. The main module passes the result to `waitUntil`.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    Box::pin(fetch::handle(request, env, context)).await
}
