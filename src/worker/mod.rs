//! The shell: what names the `worker` crate. It moves bytes and calls the core; nothing is decided here.

mod bindings;
mod body;
mod bucket;
mod fetch;
mod kv;
mod object;
mod objects;
mod ports;
mod response;
mod telemetry;

use std::rc::Rc;

use futures_channel::oneshot;
use wasm_bindgen::JsCast;
use worker::{Context, Env, Error, Request, Response, Result, event};

/// Runs every request under `waitUntil`. If a caller disconnects, the platform can cancel a handler without dropping its
/// future, and its reservations would never be returned; under `waitUntil` the handler sees its body end.
#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    let context = Rc::new(context);
    let (answer, answered) = oneshot::channel();
    let within = Rc::clone(&context);
    context.wait_until(async move {
        // Nobody may be there any more to take it.
        let _ = answer.send(Box::pin(fetch::handle(request, env, within)).await);
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
