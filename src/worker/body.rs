//! Reads the body of a request into a buffer of the runtime, and copies chunks of at most [`READ_BUFFER`] bytes to wasm memory.

use std::cell::RefCell;

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamByobReader, ReadableStreamGetReaderOptions, ReadableStreamReaderMode, Request};

use crate::{
    launch::ports::{Body, Disconnected},
    limits::READ_BUFFER,
};

#[wasm_bindgen]
extern "C" {
    /// The result of a read of a stream.
    type ReadResult;
    #[wasm_bindgen(method, getter)]
    fn done(this: &ReadResult) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &ReadResult) -> Option<Uint8Array>;
}

/// The body of a request. A BYOB reader with its own view costs a third of what the default reader costs with its small chunks.
pub struct RequestBody {
    /// `None`: the body is empty or has ended.
    reader: Option<ReadableStreamByobReader>,
    /// The view of the last read, whose memory the next read uses again.
    used: Option<Uint8Array>,
    /// The read in progress. A stream allows one at a time.
    pending: Option<JsFuture>,
    /// Bytes that were read, but not passed on yet.
    rest: Option<Uint8Array>,
}

impl RequestBody {
    /// Locks the body of a request. The local runtime reads a body that is not locked to its end before it sends the answer,
    /// and it reports an error if an empty body is locked and never read.
    pub fn new(request: &Request, header: impl Fn(&str) -> Option<String>) -> Self {
        let is_empty = header("Content-Length").as_deref() == Some("0");
        let reader = request.body().filter(|_| !is_empty).map(|stream| {
            let options = ReadableStreamGetReaderOptions::new();
            options.set_mode(ReadableStreamReaderMode::Byob);
            stream.get_reader_with_options(&options).unchecked_into::<ReadableStreamByobReader>()
        });
        Self { reader, used: None, pending: None, rest: None }
    }

    fn end(&mut self) {
        (self.reader, self.pending, self.used, self.rest) = (None, None, None, None);
    }
}

impl Body for RequestBody {
    async fn read(&mut self, at_once: usize) -> Result<Option<usize>, Disconnected> {
        let Some(reader) = &self.reader else { return Ok(None) };
        let used = &mut self.used;
        let pending = self.pending.get_or_insert_with(|| {
            let memory = used.take().map(|used| Uint8Array::new(&used.buffer()));
            // Memory that is much larger was returned to the budget.
            let fits = memory.filter(|memory| (count(at_once)..=2 * count(at_once)).contains(&memory.length()));
            let view = fits.unwrap_or_else(|| Uint8Array::new_with_length(count(at_once)));
            JsFuture::from(reader.read_with_array_buffer_view(view.unchecked_ref()))
        });
        let result = pending.await;
        self.pending = None;
        let Ok(result) = result else {
            self.end();
            return Err(Disconnected);
        };
        let result: ReadResult = result.unchecked_into();
        match result.value().filter(|_| !result.done()) {
            Some(value) => {
                let bytes = value.length() as usize;
                self.rest = Some(value);
                Ok(Some(bytes))
            }
            None => {
                self.end();
                Ok(None)
            }
        }
    }

    fn chunk<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let read = self.rest.take()?;
        let (bytes, length) = (count(READ_BUFFER), read.length());
        let part = if bytes < length {
            self.rest = Some(read.subarray(bytes, length));
            read.subarray(0, bytes)
        } else {
            self.used = Some(read.clone());
            read
        };
        Some(BUFFER.with(|buffer| match buffer.try_borrow_mut() {
            Ok(mut buffer) => take(buffer.fill(&part)),
            // Used only if `take` itself reads a chunk, which parsing never does.
            Err(_) => take(&part.to_vec()),
        }))
    }

    fn discard(&mut self) {
        if let Some(read) = self.rest.take() {
            self.used = Some(read);
        }
    }
}

thread_local! {
    /// The only buffer of the isolate. One buffer is enough, because a chunk is parsed before other code runs.
    static BUFFER: RefCell<Buffer> = RefCell::default();
}

/// Wasm memory for a chunk, aligned to a page. Views start at a page as well. A copy to a slightly higher offset within a page than
/// that of its source takes up to four times as long: the processor mistakes loads for loads of the bytes just stored.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

/// Size of a page, in bytes.
const PAGE: usize = 4096;

impl Buffer {
    /// Copies `part` to wasm memory and returns the copy.
    fn fill(&mut self, part: &Uint8Array) -> &[u8] {
        let length = part.length() as usize;
        if self.bytes.len() < self.start + length {
            self.bytes = vec![0; length + PAGE];
            self.start = self.bytes.as_ptr().align_offset(PAGE).min(PAGE);
        }
        let room = self.bytes.get_mut(self.start..self.start + length).unwrap_or_default();
        part.copy_to(room);
        room
    }
}

/// Converts a number of bytes for the runtime. No number here is larger than a view.
fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
