//! The R2 bucket of attachments. The runtime keeps the bytes of parts and hashes them, so that wasm memory, which never
//! shrinks, does not grow with them.

use std::ops::Range;

use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStream, WritableStreamDefaultWriter};
use worker::{
    Env,
    crypto::{DigestStream, DigestStreamAlgorithm},
};

use crate::{
    campaign::{ports::AttachmentStore, protocol::head::Upload},
    launch::ports::AttachmentUploader,
    problem::Cause,
};

#[wasm_bindgen]
extern "C" {
    /// The runtime's `R2Bucket`. The type of the `worker` crate accepts parts in wasm memory only.
    #[derive(Debug, Clone)]
    type R2Bucket;
    #[wasm_bindgen(method, catch, js_name = createMultipartUpload)]
    async fn create_multipart_upload(this: &R2Bucket, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = resumeMultipartUpload)]
    fn resume_multipart_upload(this: &R2Bucket, key: &str, upload_id: &str) -> Result<R2Upload, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn get(this: &R2Bucket, key: &str, options: &Object) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn head(this: &R2Bucket, key: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn delete(this: &R2Bucket, keys: &Array) -> Result<JsValue, JsValue>;

    type R2Upload;
    #[wasm_bindgen(method, catch, js_name = uploadPart)]
    async fn upload_part(this: &R2Upload, number: u16, bytes: &Uint8Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn complete(this: &R2Upload, parts: &Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn abort(this: &R2Upload) -> Result<JsValue, JsValue>;
}

#[derive(Debug, Clone)]
pub struct Attachments(R2Bucket);

/// A part: a buffer of the runtime, whose first `len` bytes are used.
pub struct PartBuffer {
    memory: Uint8Array,
    len: u32,
}

/// An incomplete SHA-256.
pub struct Sha256 {
    stream: DigestStream,
    writer: WritableStreamDefaultWriter,
}

impl Attachments {
    pub fn new(env: &Env) -> worker::Result<Self> {
        super::bound(env, super::bindings::ATTACHMENTS).map(Self)
    }

    /// Reads the file under a key, or a range of it, as a stream of the runtime; `None`: no such file. Fails if the file does
    /// not have `size` bytes.
    pub async fn read(&self, key: &str, size: u64, range: Option<Range<u64>>) -> Result<Option<ReadableStream>, Cause> {
        let options = Object::new();
        if let Some(range) = range {
            let bytes = Object::new();
            // Sizes are far below 2^53.
            let set = |name: &str, value: u64| Reflect::set(&bytes, &name.into(), &(value as f64).into());
            set("offset", range.start)
                .and_then(|_| set("length", range.end.saturating_sub(range.start)))
                .and_then(|_| Reflect::set(&options, &"range".into(), &bytes))
                .map_err(|error| failed("get", &error))?;
        }
        let object = self.0.get(key, &options).await.map_err(|error| failed("get", &error))?;
        if object.is_null() || object.is_undefined() {
            return Ok(None);
        }
        let stored = Reflect::get(&object, &"size".into()).ok().and_then(|size| size.as_f64());
        if stored != Some(size as f64) {
            return Err(Cause(format!("{stored:?} bytes in place of {size}")));
        }
        let body = Reflect::get(&object, &"body".into()).map_err(|error| failed("get", &error))?;
        body.dyn_into().map(Some).map_err(|_| Cause("the bucket sent no body".to_owned()))
    }
}

fn failed(operation: &str, error: &JsValue) -> Cause {
    let cause = Cause(super::thrown(error).unwrap_or_else(|| "no message".to_owned()));
    cause.during(format_args!("R2 {} {operation}", super::bindings::ATTACHMENTS))
}

fn text(object: &JsValue, name: &str) -> Result<String, Cause> {
    let value = Reflect::get(object, &name.into()).ok().and_then(|value| value.as_string());
    value.ok_or_else(|| Cause(format!("the bucket named no {name}")))
}

impl PartBuffer {
    fn used(&self) -> Uint8Array {
        self.memory.subarray(0, self.len)
    }
}

impl AttachmentUploader for Attachments {
    type Part = PartBuffer;
    type Digest = Sha256;

    fn part(&self, room: usize) -> PartBuffer {
        PartBuffer { memory: Uint8Array::new_with_length(u32::try_from(room).unwrap_or_default()), len: 0 }
    }

    fn capacity(&self, part: &PartBuffer) -> usize {
        part.memory.length() as usize
    }

    fn len(&self, part: &PartBuffer) -> usize {
        part.len as usize
    }

    fn append(&self, part: &mut PartBuffer, bytes: &[u8]) {
        let free = part.memory.subarray(part.len, part.memory.length());
        let bytes = bytes.get(..free.length() as usize).unwrap_or(bytes);
        // The length fits, because `bytes` is not longer than the rest of the array.
        let more = u32::try_from(bytes.len()).unwrap_or_default();
        free.subarray(0, more).copy_from(bytes);
        part.len += more;
    }

    fn copy(&self, part: &PartBuffer, to: &mut PartBuffer) {
        to.memory.set(&part.used(), to.len);
        to.len += part.len;
    }

    fn clear(&self, part: &mut PartBuffer) {
        part.len = 0;
    }

    fn digest(&self) -> Result<Sha256, Cause> {
        let stream = DigestStream::new(DigestStreamAlgorithm::Sha256);
        let writer = stream.raw().get_writer().map_err(|error| failed("digest", &error))?;
        Ok(Sha256 { stream, writer })
    }

    async fn update(&self, digest: Sha256, part: &PartBuffer) -> Result<Sha256, Cause> {
        JsFuture::from(digest.writer.write_with_chunk(&part.used())).await.map_err(|error| failed("digest", &error))?;
        Ok(digest)
    }

    async fn finish(&self, digest: Sha256) -> Result<[u8; 32], Cause> {
        JsFuture::from(digest.writer.close()).await.map_err(|error| failed("digest", &error))?;
        let sum = digest.stream.digest().await.map_err(|error| Cause(error.to_string()))?;
        sum.to_vec().try_into().map_err(|_| Cause("a digest of another length".to_owned()))
    }

    async fn begin(&self, key: &str) -> Result<String, Cause> {
        let upload =
            self.0.create_multipart_upload(key).await.map_err(|error| failed("createMultipartUpload", &error))?;
        text(&upload, "uploadId")
    }

    async fn upload(&self, key: &str, upload_id: &str, number: u16, part: &PartBuffer) -> Result<String, Cause> {
        let upload = self.0.resume_multipart_upload(key, upload_id).map_err(|error| failed("uploadPart", &error))?;
        let uploaded = upload.upload_part(number, &part.used()).await.map_err(|error| failed("uploadPart", &error))?;
        text(&uploaded, "etag")
    }
}

impl AttachmentStore for Attachments {
    async fn complete(&self, upload: &Upload) -> Result<(), Cause> {
        let parts = Array::new();
        for part in &upload.parts {
            let object = Object::new();
            let number = Reflect::set(&object, &"partNumber".into(), &part.number.into());
            number
                .and(Reflect::set(&object, &"etag".into(), &part.etag.as_str().into()))
                .map_err(|e| failed("complete", &e))?;
            parts.push(&object);
        }
        let resumed = self
            .0
            .resume_multipart_upload(&upload.key, &upload.upload_id)
            .map_err(|error| failed("complete", &error))?;
        let Err(error) = resumed.complete(&parts).await else { return Ok(()) };
        // A repeated completion fails, but then the object exists.
        let head = self.0.head(&upload.key).await.map_err(|error| failed("complete", &error))?;
        if head.is_null() || head.is_undefined() { Err(failed("complete", &error)) } else { Ok(()) }
    }

    async fn abort(&self, key: &str, upload_id: &str) -> Result<(), Cause> {
        let upload = self.0.resume_multipart_upload(key, upload_id).map_err(|error| failed("abort", &error))?;
        upload.abort().await.map(drop).map_err(|error| failed("abort", &error))
    }

    async fn delete(&self, keys: &[String]) -> Result<(), Cause> {
        let keys: Array = keys.iter().map(|key| JsValue::from_str(key)).collect();
        self.0.delete(&keys).await.map(drop).map_err(|error| failed("delete", &error))
    }
}
