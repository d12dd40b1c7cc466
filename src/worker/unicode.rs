//! Unicode operations of the runtime. Their tables would make the wasm larger by several hundred KiB.

use wasm_bindgen::{JsCast as _, JsValue, prelude::wasm_bindgen};

use crate::profiles::normal::UnicodePort;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = String)]
    type RuntimeString;
    /// The default form is NFC.
    #[wasm_bindgen(method, js_class = "String")]
    fn normalize(this: &RuntimeString) -> String;

    #[wasm_bindgen(js_name = URL)]
    type Url;
    #[wasm_bindgen(static_method_of = Url, js_class = "URL")]
    fn parse(text: &str) -> Option<Url>;
    #[wasm_bindgen(method, getter, js_class = "URL")]
    fn hostname(this: &Url) -> String;
}

#[derive(Debug)]
pub struct RuntimeUnicode;

impl UnicodePort for RuntimeUnicode {
    fn compose(&self, text: &str) -> String {
        JsValue::from_str(text).unchecked_into::<RuntimeString>().normalize()
    }

    fn domain_to_ascii(&self, domain: &str) -> Option<String> {
        Url::parse(&["http://", domain].concat()).map(|url| url.hostname())
    }
}
