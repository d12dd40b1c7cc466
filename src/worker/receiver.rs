//! Sends messages to the receivers of webhooks, and parses their addresses.

use futures_util::future::LocalBoxFuture;
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use web_sys::{AbortController, Headers, RequestInit, RequestRedirect, Response};

use crate::delivery::{
    address::UrlParts,
    ports::{Message, ReceiverAnswer},
};

#[wasm_bindgen]
extern "C" {
    /// The runtime's `URL` (WHATWG).
    #[wasm_bindgen(js_name = URL)]
    type PlatformUrl;

    #[wasm_bindgen(constructor, catch, js_class = URL)]
    fn new(text: &str) -> Result<PlatformUrl, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn protocol(this: &PlatformUrl) -> String;

    #[wasm_bindgen(method, getter)]
    fn username(this: &PlatformUrl) -> String;

    #[wasm_bindgen(method, getter)]
    fn password(this: &PlatformUrl) -> String;

    #[wasm_bindgen(method, getter)]
    fn hostname(this: &PlatformUrl) -> String;
}

pub fn url_parts(text: &str) -> Option<UrlParts> {
    let url = PlatformUrl::new(text).ok()?;
    Some(UrlParts {
        protocol: url.protocol(),
        username: url.username(),
        password: url.password(),
        hostname: url.hostname(),
    })
}

#[wasm_bindgen]
extern "C" {
    /// The runtime's `fetch`. The one of the `worker` crate also converts options that are not used here, which takes 10 KB of wasm.
    #[wasm_bindgen(catch)]
    async fn fetch(url: &str, init: &RequestInit) -> Result<JsValue, JsValue>;
}

/// Ends a request, and the rest of its answer, when it is dropped.
struct Connection(AbortController);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub fn post(message: Message) -> LocalBoxFuture<'static, Result<ReceiverAnswer, String>> {
    let request = request(&message);
    let url = message.url;
    Box::pin(async move {
        let failed = |error: worker::Error| {
            // An address can contain a secret.
            format!("the request failed: {}", error.to_string().replace(&url, "the receiver"))
        };
        let request = request.map_err(failed)?;
        let controller = AbortController::new().map_err(|error| failed(error.into()))?;
        request.set_signal(Some(&controller.signal()));
        let _connection = Connection(controller);
        let response = fetch(&url, &request).await.map_err(|error| failed(error.into()))?;
        let response: Response = response.unchecked_into();
        let retry_after = response.headers().get("retry-after").ok().flatten();
        Ok(ReceiverAnswer { status: response.status(), retry_after })
    })
}

/// Builds the request. Copies the body out of linear memory.
fn request(message: &Message) -> worker::Result<RequestInit> {
    let headers = Headers::new()?;
    for (name, value) in &message.headers {
        headers.set(name, value)?;
    }
    let init = RequestInit::new();
    init.set_method("POST");
    init.set_redirect(RequestRedirect::Manual);
    init.set_headers(&headers);
    init.set_body(&Uint8Array::from(message.body.as_bytes()));
    Ok(init)
}
