//! The shell: what names the `worker` crate. It moves bytes and calls the core; nothing is decided here.

mod bindings;
mod body;
mod bucket;
pub mod campaigns;
mod download;
mod entry;
mod log;
mod object;
mod operate;
mod ports;
mod respond;

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    entry::handle(request, &env, &context).await
}
