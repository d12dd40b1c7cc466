//! A request's body: read into a view of [`READ_VIEW`] bytes on the runtime's side, handed out in chunks of at most
//! [`READ_BUFFER`] bytes of wasm memory.

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
    limits::{BODY_TIMEOUT_MS, DRAIN_LIMIT, READ_BUFFER, READ_VIEW},
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

/// [`READ_BUFFER`], as the runtime counts.
#[allow(clippy::cast_possible_truncation, reason = "no more than a view has")]
const BUFFER: u32 = {
    assert!(READ_BUFFER <= READ_VIEW as usize);
    READ_BUFFER as u32
};

/// The body of a request. Reading through a BYOB reader with a view of its own costs a third of what the default
/// reader's small chunks cost.
pub struct RequestBody {
    /// `None`: there is no body, or it has ended.
    reader: Option<ReadableStreamByobReader>,
    /// Memory on the runtime's side, handed to the reader and back with each read.
    view: Option<Uint8Array>,
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
        Ok(Self { reader, view: None, rest: None, buffer: Buffer::default(), length, read: 0, timer: None, last_byte })
    }

    /// Reads what is left of the body if it is little, so that a simple client sees the answer that follows and no
    /// broken connection.
    pub async fn drain(&mut self) {
        let left = self.length.map(|length| length.saturating_sub(self.read));
        if left.is_some_and(|left| left > DRAIN_LIMIT) {
            return;
        }
        let mut drained = 0_u64;
        while drained <= DRAIN_LIMIT {
            match self.read().await {
                Ok(Some(chunk)) => drained = drained.saturating_add(chunk.len() as u64),
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// Bytes of the view: a small body needs no large one.
    fn view_length(&self) -> u32 {
        self.length.and_then(|length| u32::try_from(length).ok()).map_or(READ_VIEW, |length| length.clamp(1, READ_VIEW))
    }

    /// What comes next of the body, put into the buffer: how many bytes, `None` at the end.
    async fn fill(&mut self) -> Result<Option<usize>, BodyError> {
        let read = match self.rest.take() {
            Some(rest) => rest,
            None => match self.read_some().await? {
                Some(read) => read,
                None => return Ok(None),
            },
        };
        let (bytes, length) = (read.length().min(BUFFER), read.length());
        read.subarray(0, bytes).copy_to(self.buffer.room(bytes as usize));
        if bytes < length {
            self.rest = Some(read.subarray(bytes, length));
        } else {
            self.view = Some(Uint8Array::new(&read.buffer()));
        }
        Ok(Some(bytes as usize))
    }

    /// One read, of at least a byte; `None` at the end.
    async fn read_some(&mut self) -> Result<Option<Uint8Array>, BodyError> {
        // The runtime hands out no more than was announced: at that length there is nothing to wait for.
        let Some(reader) = self.reader.as_ref().filter(|_| self.length != Some(self.read)) else { return Ok(None) };
        let view = self.view.take().unwrap_or_else(|| Uint8Array::new_with_length(self.view_length()));
        let mut promise = JsFuture::from(reader.read_with_array_buffer_view(view.unchecked_ref()));
        let result = loop {
            let timer = self.timer.get_or_insert_with(|| Delay::from(Duration::from_millis(BODY_TIMEOUT_MS)));
            match select(&mut promise, timer).await {
                Either::Left((result, _)) => break result.map_err(|_| BodyError::Aborted)?,
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
        let result: ReadResult = result.unchecked_into();
        let Some(value) = result.value().filter(|_| !result.done()) else {
            self.reader = None;
            self.timer = None;
            return Ok(None);
        };
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

impl Body for RequestBody {
    async fn read(&mut self) -> Result<Option<&[u8]>, BodyError> {
        let filled = self.fill().await;
        if filled.is_err() {
            // Nothing more is to be had: who drains the body is not to wait for it once more.
            self.reader = None;
        }
        Ok(filled?.and_then(|bytes| self.buffer.get(bytes)))
    }
}
