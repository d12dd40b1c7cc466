//! KV namespaces, through the runtime's own objects. The client of the `worker` crate converts values to maps of JSON, which
//! takes longer than reading them, and adds its decoder to the wasm.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use js_sys::{Array, JSON, JsString, Map, Object, Reflect};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::Delay;

use super::runtime;
use crate::{
    access::{CampaignRecord, campaign_key, loggable_key},
    campaign::ports::CampaignCopies,
    json,
    limits::{COPY_WAIT_MS, KV_CACHE_SECONDS},
    problem::Cause,
};

#[wasm_bindgen]
extern "C" {
    /// The runtime's `KVNamespace`.
    #[derive(Debug, Clone)]
    type KvNamespace;
    #[wasm_bindgen(method, catch)]
    async fn get(this: &KvNamespace, keys: &JsValue, options: &Object) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn put(this: &KvNamespace, key: &str, value: &str, options: &Object) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn list(this: &KvNamespace, options: &Object) -> Result<JsValue, JsValue>;

    /// The runtime's `TextEncoder`.
    type TextEncoder;
    #[wasm_bindgen(constructor)]
    fn new() -> TextEncoder;
    #[wasm_bindgen(method, js_name = encodeInto)]
    fn encode_into(this: &TextEncoder, text: &JsString, into: &mut [u8]) -> Encoded;
    /// The result of `encodeInto`.
    type Encoded;
    #[wasm_bindgen(method, getter)]
    fn read(this: &Encoded) -> u32;
}

#[derive(Debug, Clone)]
pub struct Namespace {
    kv: KvNamespace,
    binding: &'static str,
}

/// A page of the keys of a namespace.
pub struct Listed<T> {
    /// The metadata of each key that has metadata of this kind.
    pub metadata: Vec<T>,
    /// Where the next page begins; `None`: this is the last page.
    pub cursor: Option<String>,
}

impl Namespace {
    /// Opens the namespace bound as `binding`.
    pub fn bound(env: &worker::Env, binding: &'static str) -> worker::Result<Self> {
        Ok(Self { kv: runtime::bound(env, binding)?, binding })
    }

    /// The cause of a failed operation.
    fn failed(&self, operation: &str, error: &JsValue) -> Cause {
        Cause(runtime::message(error)).during(format_args!("KV {} {operation}", self.binding))
    }

    /// Reads the text under a key. The location may serve it from its cache for `cache_seconds`.
    pub async fn text(&self, key: &str, cache_seconds: u64) -> Result<Option<String>, Cause> {
        let failed = |error: JsValue| self.failed(&format!("get {}", loggable_key(key)), &error);
        let value = self.kv.get(&key.into(), &reading(cache_seconds)).await.map_err(failed)?;
        Ok(value.dyn_ref::<JsString>().map(text))
    }

    /// Reads the JSON under a key, as [`Namespace::text`] does.
    pub async fn json<T: DeserializeOwned>(&self, key: &str, cache_seconds: u64) -> Result<Option<T>, Cause> {
        let text = self.text(key, cache_seconds).await?;
        let bad = |error: serde_json::Error| {
            Cause::new(error).during(format_args!("KV {} {}: damaged", self.binding, loggable_key(key)))
        };
        text.map(|text| json::from_str(&text).map_err(bad)).transpose()
    }

    /// Reads the texts under at most 100 keys, in the order of the keys.
    pub async fn texts(&self, keys: &[String], cache_seconds: u64) -> Result<Vec<Option<String>>, Cause> {
        let wanted: Vec<JsValue> = keys.iter().map(|key| JsValue::from_str(key)).collect();
        let list: Array = wanted.iter().collect();
        let operation = format!("bulk get of {} keys", keys.len());
        let failed = |error: JsValue| self.failed(&operation, &error);
        let values = self.kv.get(&list, &reading(cache_seconds)).await.map_err(failed)?;
        let values: Map = values.dyn_into().map_err(|_| failed("the answer is not a map".into()))?;
        Ok(wanted.iter().map(|key| values.get(key).dyn_ref::<JsString>().map(text)).collect())
    }

    /// Writes a value with metadata for [`Namespace::list`].
    pub async fn put(&self, key: &str, value: &str, metadata: &impl Serialize) -> Result<(), Cause> {
        let failed = |error: JsValue| self.failed(&format!("put {}", loggable_key(key)), &error);
        let metadata = serde_json::to_string(metadata).map_err(Cause::new)?;
        let options = options(&[("metadata", JSON::parse(&metadata).map_err(failed)?)]);
        self.kv.put(key, value, &options).await.map(drop).map_err(failed)
    }

    /// Lists the metadata of the keys that begin with `prefix`, in the order of the keys, from `cursor` on.
    pub async fn list<T: DeserializeOwned>(&self, prefix: &str, cursor: Option<String>) -> Result<Listed<T>, Cause> {
        let cursor = cursor.map_or(JsValue::UNDEFINED, JsValue::from);
        let failed = |error: JsValue| self.failed(&format!("list {prefix}"), &error);
        let page = self.kv.list(&options(&[("prefix", prefix.into()), ("cursor", cursor)])).await.map_err(failed)?;
        let field = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).map_err(failed);
        let mut metadata = Vec::new();
        for key in Array::from(&field(&page, "keys")?).iter() {
            let text = JSON::stringify(&field(&key, "metadata")?).ok().and_then(|text| text.as_string());
            metadata.extend(text.and_then(|text| json::from_str(&text).ok()));
        }
        let complete = field(&page, "list_complete")?.is_truthy();
        Ok(Listed { metadata, cursor: field(&page, "cursor")?.as_string().filter(|_| !complete) })
    }
}

impl CampaignCopies for Namespace {
    async fn read(&self, id: u64) -> Result<Option<CampaignRecord>, Cause> {
        let late = || Err(Cause(format!("KV did not answer in {COPY_WAIT_MS} ms")));
        within(COPY_WAIT_MS, self.json(&campaign_key(id), KV_CACHE_SECONDS)).await.unwrap_or_else(late)
    }

    async fn write(&self, record: &CampaignRecord) -> Result<(), Cause> {
        let value = serde_json::to_string(record).map_err(|error| Cause(error.to_string()))?;
        self.put(&campaign_key(record.id), &value, record).await
    }
}

/// Returns the output of a future, or drops the future and returns `None` after `milliseconds`.
pub async fn within<F: Future>(milliseconds: u64, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(Delay::from(Duration::from_millis(milliseconds)))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Copies a text to wasm memory. The runtime writes a long ASCII text, such as a bucket, in one call; the generated code
/// would copy it character by character.
fn text(value: &JsString) -> String {
    thread_local!(static ENCODER: TextEncoder = TextEncoder::new());
    let length = value.length();
    let mut bytes = vec![0; length as usize];
    let read = ENCODER.with(|encoder| encoder.encode_into(value, &mut bytes).read());
    match String::from_utf8(bytes) {
        Ok(text) if read == length => text,
        _ => String::from(value),
    }
}

fn reading(cache_seconds: u64) -> Object {
    // The number of seconds is far below 2^53.
    options(&[("type", "text".into()), ("cacheTtl", (cache_seconds as f64).into())])
}

fn options(fields: &[(&str, JsValue)]) -> Object {
    let options = Object::new();
    for (name, value) in fields {
        // Setting a field of a new, plain object does not fail.
        let _ = Reflect::set(&options, &(*name).into(), value);
    }
    options
}
