//! A request's body: read into a view on the runtime's side, handed out in chunks of at most [`READ_BUFFER`] bytes of wasm
//! memory.

use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{ReadableStreamByobReader, ReadableStreamGetReaderOptions, ReadableStreamReaderMode};
use worker::{Delay, Request};

use super::ports::now;
use crate::{
    launch::ports::{Body, BodyError},
    limits::{BODY_TIMEOUT_MS, DRAIN_LIMIT, READ_BUFFER, READ_FIRST},
};

#[wasm_bindgen]
extern "C" {
    /// What a read of a stream comes to.
    type ReadResult;
    #[wasm_bindgen(method, getter)]
    fn done(this: &ReadResult) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &ReadResult) -> Option<Uint8Array>;
}

/// The body of a request. Reading through a BYOB reader with a view of its own costs a third of what the default
/// reader's small chunks cost.
pub struct RequestBody {
    /// `None`: there is no body, or it has ended.
    reader: Option<ReadableStreamByobReader>,
    /// Memory on the runtime's side, handed to the reader and back with each read.
    view: Option<Uint8Array>,
    /// A read that nobody has waited for to its end: a stream takes no second one beside it.
    pending: Option<JsFuture>,
    /// What was read and not yet handed out.
    rest: Option<Uint8Array>,
    buffer: Buffer,
    /// `Content-Length`.
    length: Option<u64>,
    read: u64,
    /// When a read that gets no byte is given up. One timer serves many reads.
    timer: Option<Delay>,
    /// Milliseconds since 1970.
    last_byte: u64,
}

impl RequestBody {
    /// The body of `request`, whose `Content-Length` is `length`.
    pub fn new(request: &Request, length: Option<u64>) -> Result<Self, JsValue> {
        let reader = match request.inner().body() {
            None => None,
            Some(stream) => {
                let options = ReadableStreamGetReaderOptions::new();
                options.set_mode(ReadableStreamReaderMode::Byob);
                let reader = stream.get_reader_with_options(&options);
                Some(reader.unchecked_into::<ReadableStreamByobReader>())
            }
        };
        let last_byte = now();
        Ok(Self {
            reader,
            view: None,
            pending: None,
            rest: None,
            buffer: Buffer::default(),
            length,
            read: 0,
            timer: None,
            last_byte,
        })
    }

    /// Reads what is left of the body if it is little, so that a simple client sees the answer that follows and no
    /// broken connection.
    pub async fn drain(&mut self) {
        self.view = None;
        let left = self.length.map(|length| length.saturating_sub(self.read));
        if left.is_some_and(|left| left > DRAIN_LIMIT) {
            return;
        }
        let mut drained = 0_u64;
        while drained <= DRAIN_LIMIT {
            match self.read(READ_FIRST).await {
                Ok(Some(chunk)) => drained = drained.saturating_add(chunk.len() as u64),
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// What comes next of the body, put into the buffer: how many bytes, `None` at the end.
    async fn fill(&mut self, at_once: usize) -> Result<Option<usize>, BodyError> {
        let read = match self.rest.take() {
            Some(rest) => rest,
            None => match self.read_some(at_once).await? {
                Some(read) => read,
                None => return Ok(None),
            },
        };
        let (bytes, length) = (read.length().min(count(READ_BUFFER)), read.length());
        read.subarray(0, bytes).copy_to(self.buffer.room(bytes as usize));
        if bytes < length {
            self.rest = Some(read.subarray(bytes, length));
        } else {
            self.view = Some(Uint8Array::new(&read.buffer()));
        }
        Ok(Some(bytes as usize))
    }

    /// One read, of at least a byte; `None` at the end.
    async fn read_some(&mut self, at_once: usize) -> Result<Option<Uint8Array>, BodyError> {
        // The runtime hands out no more than was announced: at that length there is nothing to wait for.
        let Some(reader) = self.reader.as_ref().filter(|_| self.length != Some(self.read)) else { return Ok(None) };
        // How long nobody read does not count.
        self.last_byte = now();
        let view = &mut self.view;
        let pending = self.pending.get_or_insert_with(|| {
            let fits = view.take().filter(|view| view.length() >= count(at_once));
            let view = fits.unwrap_or_else(|| Uint8Array::new_with_length(count(at_once)));
            JsFuture::from(reader.read_with_array_buffer_view(view.unchecked_ref()))
        });
        let result = loop {
            let timer = self.timer.get_or_insert_with(|| Delay::from(Duration::from_millis(BODY_TIMEOUT_MS)));
            match select(&mut *pending, timer).await {
                Either::Left((result, _)) => break result,
                Either::Right(_) => {
                    // The timer may have begun at an earlier read: what is left of the time since the last byte?
                    let left = BODY_TIMEOUT_MS.saturating_sub(now().saturating_sub(self.last_byte));
                    if left == 0 {
                        return Err(BodyError::Timeout);
                    }
                    self.timer = Some(Delay::from(Duration::from_millis(left)));
                }
            }
        };
        self.pending = None;
        let result = result.map_err(|_| BodyError::Aborted)?;
        let result: ReadResult = result.unchecked_into();
        let Some(value) = result.value().filter(|_| !result.done()) else { return Ok(None) };
        self.last_byte = now();
        self.read = self.read.saturating_add(u64::from(value.length()));
        Ok(Some(value))
    }
}

/// Wasm memory for a chunk, from the start of a page on. Views begin at one as well, and a copy from one page to another takes
/// up to four times as long where it goes to a place a little further into its page than it comes from: the processor holds a
/// load of what follows to be one of what was just stored.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

/// Bytes of a page.
const PAGE: usize = 4096;

impl Buffer {
    /// Room for so many bytes, whatever stands there.
    fn room(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() < self.start + length {
            self.bytes = vec![0; length + PAGE];
            self.start = self.bytes.as_ptr().align_offset(PAGE).min(PAGE);
        }
        self.bytes.get_mut(self.start..self.start + length).unwrap_or_default()
    }

    /// The first bytes of it.
    fn get(&self, length: usize) -> Option<&[u8]> {
        self.bytes.get(self.start..self.start + length)
    }
}

/// A number of bytes, as the runtime counts: none here is larger than a view.
fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl Body for RequestBody {
    async fn read(&mut self, at_once: usize) -> Result<Option<&[u8]>, BodyError> {
        let filled = self.fill(at_once).await;
        if !matches!(filled, Ok(Some(_))) {
            // Nothing more is to be had: who drains the body is not to wait for it once more, and no memory is needed.
            (self.reader, self.pending, self.view, self.timer) = (None, None, None, None);
            self.buffer = Buffer::default();
        }
        Ok(filled?.and_then(|bytes| self.buffer.get(bytes)))
    }
}
