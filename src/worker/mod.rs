//! The shell: what names the `worker` crate. It moves bytes and calls the core; nothing is decided here.

mod bindings;
mod body;
mod bucket;
pub mod campaigns;
mod download;
mod entry;
mod kv;
mod log;
mod object;
mod operate;
mod ports;
mod respond;

use std::rc::Rc;

use futures_channel::oneshot;
use wasm_bindgen::JsCast;
use worker::{Context, Env, Error, Request, Response, Result, event};

/// Every request runs under `waitUntil`: where the caller goes away, the platform drops what waits for an answer
/// without another turn, and what a request holds would never be given back. So it goes on to see its body end.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let context = Rc::new(context);
    let (answer, answered) = oneshot::channel();
    let within = Rc::clone(&context);
    context.wait_until(async move {
        // Nobody may be there any more to take it.
        let _ = answer.send(entry::handle(request, &env, &within).await);
    });
    answered.await.unwrap_or_else(|_| Err(Error::RustError("the request was dropped".to_owned())))
}

/// A binding of the runtime's own, for what the crate does not bind as it is needed here.
fn bound<T: JsCast>(env: &Env, name: &str) -> Result<T> {
    let binding = js_sys::Reflect::get(env, &name.into())?;
    if binding.is_undefined() {
        return Err(Error::BindingError(name.to_owned()));
    }
    Ok(binding.unchecked_into())
}

/// What the runtime has thrown, in words.
fn thrown(error: &wasm_bindgen::JsValue) -> Option<String> {
    error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()))
}
