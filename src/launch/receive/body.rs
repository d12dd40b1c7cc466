//! Parses a body chunk by chunk: frames it, enforces its limits, digests it. [`super::collector`] decodes what the framer finds.
//!
//! A fault does not end the parsing, because a later fault may rank before it. The rest of the body is checked, but not kept.

use std::rc::Rc;

use super::{
    attachments::DecodedAttachments,
    blocks::{BLOCK_BYTES, FIRST_BYTES},
    collector::Collector,
    digest::BodyDigest,
    root::Root,
};
use crate::{
    launch::request::{BodySettings, LaunchRequest},
    memory::{OutOfMemory, Reservation},
    problem::{Problem, Refused},
    profiles::normal::Normaliser,
    wire::{Format, FrameError, json::JsonFramer, xml::XmlFramer},
};

/// Number of lists of items that can grow at the same time.
const LISTS: u64 = 6;
/// Largest growth of the lists for each byte of a body, in bytes. An item of three bytes can have two keys, each hashed with two
/// index keys.
const ENTRIES: u64 = 14;

/// A body that is being received.
#[derive(Debug)]
pub struct BodyParser {
    framer: BodyFramer,
    collector: Collector,
    /// Bytes received.
    received: u64,
    digest: BodyDigest,
    /// The rest of a malformed body is only counted.
    is_malformed: bool,
    /// The body has ended.
    is_finished: bool,
    /// Bytes after a syntax error inside an attachment; they count as attachment data.
    after_fault: u64,
}

/// What was parsed of a body.
#[derive(Debug)]
pub struct ParsedBody {
    /// The fault with the highest priority, if there is one.
    pub fault: Option<Refused>,
    /// Set if memory ran out: then a field that is missing may have arrived.
    pub shortage: Option<OutOfMemory>,
    /// The request; `None` if the body has a fault or was not read to its end.
    pub request: Option<LaunchRequest>,
    /// The field `format`, if it arrived before reading stopped.
    pub format: Option<Format>,
    /// Bytes read.
    pub read: u64,
    /// The digest that a repeated request must match.
    pub digest: [u8; 32],
    /// The digest that is the request's ID, if the request has no other.
    pub digest_id: Option<[u8; 32]>,
    pub memory: Reservation,
}

impl ParsedBody {
    /// Returns the request with its reservation, or the fault.
    pub fn into_request(self) -> Result<(LaunchRequest, Reservation), Refused> {
        match (self.fault, self.request) {
            (Some(fault), _) => Err(fault),
            (None, Some(request)) => Ok((request, self.memory)),
            (None, None) => Err(Refused::internal("a body without a fault and without a request")),
        }
    }
}

#[derive(Debug)]
enum BodyFramer {
    /// Only white space so far. Both framers are fed, and the first other byte drops one of them.
    Undecided(Box<(JsonFramer, XmlFramer)>),
    Json(JsonFramer),
    Xml(XmlFramer),
}

impl BodyParser {
    pub fn new(settings: BodySettings, normaliser: Rc<Normaliser>, memory: Reservation) -> Self {
        let (json, xml) = (JsonFramer::new(settings.endpoint), XmlFramer::new(settings.endpoint));
        let framer = match settings.format {
            None => BodyFramer::Undecided(Box::new((json, xml))),
            Some(Format::Json) => BodyFramer::Json(json),
            Some(Format::Xml) => BodyFramer::Xml(xml),
        };
        let digest = BodyDigest::new(settings.digest_is_id);
        let collector = Collector::new(settings, normaliser, memory);
        Self { framer, collector, received: 0, digest, is_malformed: false, is_finished: false, after_fault: 0 }
    }

    /// Parses the next chunk. Returns an error if no fault that can still be found would be answered instead.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Refused> {
        self.received = self.received.saturating_add(chunk.len() as u64);
        self.digest.update(chunk);
        if self.received > self.collector.settings.limits.files {
            return Err(Problem::BodyTooLarge.into());
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            // The framer gets at most as many bytes as the limit still allows, so that no byte over the limit is kept.
            // Attachment data does not count against the limit, so another round may follow.
            let counted = (self.received - rest.len() as u64).saturating_sub(self.attachment_bytes());
            let allowed = (self.collector.settings.limits.body + 1).saturating_sub(counted);
            if allowed == 0 {
                return Err(Problem::BodyTooLarge.into());
            }
            let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
            let allowed =
                if allowed < rest.len() { allowed.max(self.attachment_data_length(rest)) } else { rest.len() };
            let (now, later) = rest.split_at(allowed);
            rest = later;
            let mut after_fault = now.len() as u64;
            if !self.is_malformed {
                after_fault = 0;
                if let Err(error) = self.frame(now) {
                    if let FrameError::Malformed { at, .. } = &error {
                        after_fault = (self.received - rest.len() as u64).saturating_sub(*at);
                    }
                    self.collector.record_fault(problem(error));
                    self.is_malformed = true;
                }
            }
            if self.is_in_attachment() {
                self.after_fault = self.after_fault.saturating_add(after_fault);
            }
        }
        if self.body_bytes() > self.collector.settings.limits.body { Err(Problem::BodyTooLarge.into()) } else { Ok(()) }
    }

    fn frame(&mut self, chunk: &[u8]) -> Result<(), FrameError> {
        if let BodyFramer::Undecided(framers) = &mut self.framer {
            let (json, xml) = framers.as_mut();
            const BLANK: &[u8] = b" \t\r\n\xEF\xBB\xBF";
            let blank = chunk.iter().take_while(|byte| BLANK.contains(byte)).count();
            let (blank, rest) = chunk.split_at(blank);
            json.feed(blank, &mut self.collector)?;
            xml.feed(blank, &mut self.collector)?;
            let Some(first) = rest.first() else { return Ok(()) };
            let json = std::mem::replace(json, JsonFramer::new(self.collector.settings.endpoint));
            let xml = std::mem::replace(xml, XmlFramer::new(self.collector.settings.endpoint));
            (self.framer, self.collector.format) = if *first == b'<' {
                (BodyFramer::Xml(xml), Format::Xml)
            } else {
                (BodyFramer::Json(json), Format::Json)
            };
            return self.frame(rest);
        }
        match &mut self.framer {
            BodyFramer::Json(framer) => framer.feed(chunk, &mut self.collector),
            BodyFramer::Xml(framer) => framer.feed(chunk, &mut self.collector),
            BodyFramer::Undecided(_) => Ok(()),
        }
    }

    fn attachment_bytes(&self) -> u64 {
        let framed = match &self.framer {
            BodyFramer::Undecided(_) => 0,
            BodyFramer::Json(framer) => framer.attachment_bytes(),
            BodyFramer::Xml(framer) => framer.attachment_bytes(),
        };
        framed.saturating_add(self.after_fault)
    }

    /// The number of bytes up to the first one that can end the data of the current attachment. All before it are data.
    fn attachment_data_length(&self, bytes: &[u8]) -> usize {
        let end = match &self.framer {
            // After a fault in the data, all bytes count as data.
            _ if self.is_malformed && self.is_in_attachment() => return bytes.len(),
            BodyFramer::Xml(framer) => framer.attachment_data_ends(),
            BodyFramer::Json(framer) => framer.is_in_attachment().then_some([b'"'; 2]),
            BodyFramer::Undecided(_) => None,
        };
        let Some([one, other]) = end else { return 0 };
        memchr::memchr2(one, other, bytes).map_or(bytes.len(), |at| at + 1)
    }

    /// Whether the next byte, or the byte at which the body is malformed, is part of an attachment's data.
    fn is_in_attachment(&self) -> bool {
        match &self.framer {
            BodyFramer::Undecided(_) => false,
            BodyFramer::Json(framer) => framer.is_in_attachment(),
            BodyFramer::Xml(framer) => framer.is_in_attachment(),
        }
    }

    fn body_bytes(&self) -> u64 {
        self.received.saturating_sub(self.attachment_bytes())
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether the body is malformed. Then only its size can still change the answer.
    pub fn is_malformed(&self) -> bool {
        self.is_malformed
    }

    /// Returns the fault of a malformed body if `rest` more bytes are announced.
    pub fn fault_with_rest(&self, rest: u64) -> Option<Refused> {
        let rest = if self.is_in_attachment() { 0 } else { rest };
        let too_large = self.body_bytes().saturating_add(rest) > self.collector.settings.limits.body;
        if too_large { Some(Problem::BodyTooLarge.into()) } else { self.collector.fault.clone() }
    }

    /// The root fields that have arrived.
    pub fn root(&self) -> &Root {
        &self.collector.root
    }

    /// Whether an attachment has begun.
    pub fn has_attachments(&self) -> bool {
        self.collector.attachments > 0
    }

    /// Takes the attachment data that was decoded since the last call. `used` is an earlier result, whose memory is reused.
    pub fn take_attachments(&mut self, mut used: DecodedAttachments) -> DecodedAttachments {
        used.clear();
        std::mem::replace(&mut self.collector.decoded, used)
    }

    /// Bytes of attachments that were decoded before the body's token arrived.
    pub fn attachments_before_token(&self) -> u64 {
        self.collector.before_token
    }

    /// Records a fault that was found elsewhere.
    pub fn fail(&mut self, fault: impl Into<Refused>) {
        self.collector.record_fault(fault);
    }

    /// Set if memory ran out: then a field that is missing may have arrived.
    pub fn shortage(&self) -> Option<OutOfMemory> {
        self.collector.shortage
    }

    /// The most memory that `bytes` more of the body can need.
    pub fn growth(&self, bytes: usize) -> u64 {
        // Each list grows fourfold until its blocks have their full size.
        let lists = self
            .collector
            .memory
            .bytes()
            .saturating_mul(4)
            .clamp(LISTS * FIRST_BYTES as u64, LISTS * BLOCK_BYTES as u64);
        // An incomplete value grows by half, and is then copied.
        let value = self.collector.incomplete.saturating_mul(2).saturating_add(2 * bytes as u64);
        lists.saturating_add(value).saturating_add(ENTRIES * bytes as u64)
    }

    /// Keeps nothing more of the body. The rest is checked and digested.
    pub fn close(&mut self) {
        self.collector.close();
    }

    /// Whether nothing more of the body is kept.
    pub fn is_closed(&self) -> bool {
        self.collector.is_closed
    }

    /// The request's reservation.
    pub fn memory(&mut self) -> &mut Reservation {
        &mut self.collector.memory
    }

    /// Ends the body. `length` is its `Content-Length`.
    pub fn finish(&mut self, length: Option<u64>) {
        if let BodyFramer::Undecided(framers) = &mut self.framer {
            // Only white space: the JSON framer reports the missing object.
            let json = std::mem::replace(&mut framers.0, JsonFramer::new(self.collector.settings.endpoint));
            self.framer = BodyFramer::Json(json);
        }
        if !self.is_malformed {
            let end = match &mut self.framer {
                BodyFramer::Json(framer) => framer.finish(&mut self.collector),
                BodyFramer::Xml(framer) => framer.finish(&mut self.collector),
                BodyFramer::Undecided(_) => Ok(()),
            };
            if let Err(error) = end {
                self.collector.record_fault(problem(error));
                self.is_malformed = true;
            }
        }
        if let Some(length) = length.filter(|length| *length != self.received) {
            let received = self.received;
            self.collector.record_fault(Problem::Malformed(format!(
                "the body has {received} bytes; Content-Length announced {length}"
            )));
            self.is_malformed = true;
        }
        if !self.is_malformed {
            self.collector.finish();
        }
        self.is_finished = true;
    }

    /// The fault with the highest priority so far.
    pub fn fault(&self) -> Option<&Refused> {
        self.collector.fault.as_ref()
    }

    /// Returns what was parsed. A body that was not read to its end has no request.
    pub fn into_parsed(self) -> ParsedBody {
        let Collector { root, fault, shortage, keying, items, memory, .. } = self.collector;
        let format = root.format;
        let request = match (root.trigger_id, keying) {
            (Some(trigger_id), Some(keying)) if self.is_finished && fault.is_none() => {
                Some(LaunchRequest { root, trigger_id, keying, items })
            }
            _ => None,
        };
        let (digest, digest_id) = (self.digest.finish(), self.digest.id());
        ParsedBody { fault, shortage, request, format, read: self.received, digest, digest_id, memory }
    }
}

fn problem(error: FrameError) -> Problem {
    match error {
        FrameError::Malformed { at, what } => Problem::Malformed(format!("byte {at}: {what}")),
        FrameError::Encoding(name) => {
            Problem::UnsupportedMediaType(format!("XML declaration: unsupported encoding \"{name}\"; send UTF-8"))
        }
    }
}
