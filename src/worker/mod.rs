//! Connects the core to the platform. Only this module uses the `worker` crate. It converts values and makes no decisions.

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
        // Sending fails if the caller has disconnected.
        let _ = answer.send(Box::pin(fetch::handle(request, env, within)).await);
    });
    answered.await.unwrap_or_else(|_| Err(Error::RustError("the request was dropped".to_owned())))
}

/// Returns a binding as the runtime's own object. Used if the type of the `worker` crate lacks a feature.
fn bound<T: JsCast>(env: &Env, name: &str) -> Result<T> {
    let binding = js_sys::Reflect::get(env, &name.into())?;
    if binding.is_undefined() {
        return Err(Error::BindingError(name.to_owned()));
    }
    Ok(binding.unchecked_into())
}

/// Returns the message of an exception of the runtime.
fn thrown(error: &wasm_bindgen::JsValue) -> Option<String> {
    error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()))
}
