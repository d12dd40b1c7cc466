//! Objects and exceptions of the JavaScript runtime.

use js_sys::{ArrayBuffer, JSON, Promise, Reflect, Uint8Array};
use serde::{Serialize, Serializer};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::{Env, Error, Result};

use crate::problem::Cause;

/// Returns a binding as the runtime's own object. Used if the type of the `worker` crate lacks a feature.
pub fn bound<T: JsCast>(env: &Env, name: &str) -> Result<T> {
    let binding = Reflect::get(env, &name.into())?;
    if binding.is_undefined() {
        return Err(Error::BindingError(name.to_owned()));
    }
    Ok(binding.unchecked_into())
}

/// Converts a value to an object of the runtime, in one call.
pub fn object<T: JsCast>(value: &impl Serialize) -> Result<T> {
    Ok(JSON::parse(&serde_json::to_string(value)?)?.unchecked_into())
}

/// Serializes headers as the properties of an object. The runtime converts a list of pairs more slowly.
pub fn serialize_headers<S: Serializer>(
    headers: impl AsRef<[(&'static str, String)]>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(headers.as_ref().iter().map(|(name, value)| (name, value)))
}

/// Waits for the bytes of a request or response.
pub async fn bytes(buffer: std::result::Result<Promise, JsValue>) -> Result<Vec<u8>> {
    let buffer: ArrayBuffer = JsFuture::from(buffer?).await?.unchecked_into();
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// The exception that makes the platform repeat an alarm.
pub fn thrown(cause: Cause) -> JsValue {
    Error::RustError(cause.0).into()
}

/// Returns the message of an exception.
pub fn message(error: &JsValue) -> String {
    error.dyn_ref::<js_sys::Error>().map_or_else(|| "no message".to_owned(), |error| String::from(error.message()))
}
