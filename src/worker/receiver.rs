//! Sends messages to the receivers of webhooks, and parses their addresses.

use futures_util::future::LocalBoxFuture;
use js_sys::Uint8Array;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::{AbortController, Fetch, Headers, Method, Request, RequestInit, RequestRedirect};

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

/// Ends a request, and the rest of its answer, when it is dropped.
struct Connection(Option<AbortController>);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}

pub fn post(message: Message) -> LocalBoxFuture<'static, Result<ReceiverAnswer, String>> {
    let url = message.url.clone();
    let request = request(message);
    Box::pin(async move {
        let failed = |error: worker::Error| {
            // An address can contain a secret.
            format!("the request failed: {}", error.to_string().replace(&url, "the receiver"))
        };
        let request = request.map_err(failed)?;
        let controller = AbortController::default();
        let signal = controller.signal();
        let _connection = Connection(Some(controller));
        let response = Fetch::Request(request).send_with_signal(&signal).await.map_err(failed)?;
        let retry_after = response.headers().get("retry-after").ok().flatten();
        Ok(ReceiverAnswer { status: response.status_code(), retry_after })
    })
}

/// Builds the request. Copies the body out of linear memory.
fn request(message: Message) -> worker::Result<Request> {
    let headers = Headers::new();
    for (name, value) in &message.headers {
        headers.set(name, value)?;
    }
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_body(Some(Uint8Array::from(message.body.as_bytes()).into()));
    Request::new_with_init(&message.url, &init)
}
