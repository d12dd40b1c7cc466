//! Objects and exceptions of the JavaScript runtime.

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Env, Error, Result};

/// Returns a binding as the runtime's own object. Used if the type of the `worker` crate lacks a feature.
pub fn bound<T: JsCast>(env: &Env, name: &str) -> Result<T> {
    let binding = Reflect::get(env, &name.into())?;
    if binding.is_undefined() {
        return Err(Error::BindingError(name.to_owned()));
    }
    Ok(binding.unchecked_into())
}

/// Returns the message of an exception.
pub fn message(error: &JsValue) -> String {
    error.dyn_ref::<js_sys::Error>().map_or_else(|| "no message".to_owned(), |error| String::from(error.message()))
}
