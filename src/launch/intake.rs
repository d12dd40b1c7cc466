//! Taking a body in, chunk by chunk: it is framed, counted and digested, its fields decoded, its items keyed.
//!
//! No I/O: the use case feeds chunks and asks what is known so far. A fault does not end the intake, because
//! one that is found later may be the one to answer (contract, §1 *Errors*): the rest of the body is then only
//! checked, and nothing of it kept.

use super::{
    blocks::{BLOCK_BYTES, FIRST_BYTES, Records},
    digest::BodyDigest,
    entry::{Arrived, Entry},
    items::{Items, Keying},
    root::Root,
    taken::State,
};
use crate::{
    fields::Endpoint,
    limits::Limits,
    memory::{OutOfMemory, Reservation},
    problem::{Problem, Refused},
    profiles::key::IndexKey,
    wire::{Format, FrameError, json::JsonFramer, xml::XmlFramer},
};
use std::rc::Rc;

/// Lists of items that can grow at the same time.
const LISTS: u64 = 6;
/// Most bytes that lists keep for each byte of a body: an item of three bytes has two keys, under two index keys.
const ENTRIES: u64 = 14;

/// What the intake needs to know.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which request it is.
    pub endpoint: Endpoint,
    /// The body's format; `None`: its first byte that is not white space decides.
    pub body: Option<Format>,
    /// The deployment's limits.
    pub limits: Limits,
    /// The index keys under which items are hashed: one, or two while a key is rotated.
    pub secrets: Rc<[IndexKey]>,
    /// A digest of the body is the request's id: `DEDUPLICATION` is `checksum`, and the caller gave none.
    pub checksum: bool,
}

/// A body on its way in.
#[derive(Debug)]
pub struct Intake {
    framer: Framer,
    state: State,
    /// Bytes fed.
    fed: u64,
    digest: BodyDigest,
    /// The body is malformed: what is still to come is only counted.
    broken: bool,
    /// Bytes behind a fault inside the data of an attachment: they would have been of it.
    behind: u64,
}

/// A body that is in: complete, well-formed, with every field good.
#[derive(Debug)]
pub struct Request {
    /// The fields of its root.
    pub root: Root,
    /// The campaign.
    pub trigger_id: u64,
    /// How its items are keyed.
    pub keying: Keying,
    /// Its items.
    pub items: Items,
}

#[derive(Debug)]
enum Framer {
    /// Only white space so far: both are fed, and one of them is dropped by the first byte that tells.
    Undecided(Box<(JsonFramer, XmlFramer)>),
    Json(JsonFramer),
    Xml(XmlFramer),
}

impl Intake {
    /// A body of which nothing has come yet. `memory` is the request's.
    pub fn new(setup: Setup, memory: Reservation) -> Self {
        let (json, xml) = (JsonFramer::new(setup.endpoint), XmlFramer::new(setup.endpoint));
        let framer = match setup.body {
            None => Framer::Undecided(Box::new((json, xml))),
            Some(Format::Json) => Framer::Json(json),
            Some(Format::Xml) => Framer::Xml(xml),
        };
        let format = setup.body.unwrap_or_default();
        let digest = BodyDigest::new(setup.checksum);
        let state = State {
            setup,
            format,
            memory,
            root: Root::default(),
            seen: Vec::new(),
            fault: None,
            shortage: None,
            incomplete: 0,
            keying: None,
            closed: false,
            items: Items::default(),
            item_count: 0,
            attachments: 0,
            entry: Entry::default(),
            arrived: Arrived::default(),
            before_token: 0,
            held: Records::default(),
            single: Vec::new(),
        };
        Self { framer, state, fed: 0, digest, broken: false, behind: 0 }
    }

    /// Takes in the next chunk. An error is final: nothing that could still come would be answered instead.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Refused> {
        self.fed = self.fed.saturating_add(chunk.len() as u64);
        self.digest.update(chunk);
        if self.fed > self.state.setup.limits.files {
            return Err(Problem::BodyTooLarge.into());
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            // What the framer gets is never more than the body may still have, so that the limit is counted
            // before anything beyond it is kept; attachment data in it does not count, and so there may be more.
            let counted = (self.fed - rest.len() as u64).saturating_sub(self.attachment_bytes());
            let allowed = (self.state.setup.limits.body + 1).saturating_sub(counted);
            if allowed == 0 {
                return Err(Problem::BodyTooLarge.into());
            }
            let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
            let allowed = if allowed < rest.len() { allowed.max(self.data_ahead(rest)) } else { rest.len() };
            let (now, later) = rest.split_at(allowed);
            rest = later;
            let mut behind = now.len() as u64;
            if !self.broken {
                behind = 0;
                if let Err(error) = self.frame(now) {
                    if let FrameError::Malformed { at, .. } = &error {
                        behind = (self.fed - rest.len() as u64).saturating_sub(*at);
                    }
                    self.state.fault(problem(error));
                    self.broken = true;
                }
            }
            if self.is_in_attachment() {
                self.behind = self.behind.saturating_add(behind);
            }
        }
        if self.body_bytes() > self.state.setup.limits.body { Err(Problem::BodyTooLarge.into()) } else { Ok(()) }
    }

    fn frame(&mut self, chunk: &[u8]) -> Result<(), FrameError> {
        if let Framer::Undecided(framers) = &mut self.framer {
            let (json, xml) = framers.as_mut();
            const BLANK: &[u8] = b" \t\r\n\xEF\xBB\xBF";
            let blank = chunk.iter().take_while(|byte| BLANK.contains(byte)).count();
            let (blank, rest) = chunk.split_at(blank);
            json.feed(blank, &mut self.state)?;
            xml.feed(blank, &mut self.state)?;
            let Some(first) = rest.first() else { return Ok(()) };
            let json = std::mem::replace(json, JsonFramer::new(self.state.setup.endpoint));
            let xml = std::mem::replace(xml, XmlFramer::new(self.state.setup.endpoint));
            (self.framer, self.state.format) =
                if *first == b'<' { (Framer::Xml(xml), Format::Xml) } else { (Framer::Json(json), Format::Json) };
            return self.frame(rest);
        }
        match &mut self.framer {
            Framer::Json(framer) => framer.feed(chunk, &mut self.state),
            Framer::Xml(framer) => framer.feed(chunk, &mut self.state),
            Framer::Undecided(_) => Ok(()),
        }
    }

    fn attachment_bytes(&self) -> u64 {
        let framed = match &self.framer {
            Framer::Undecided(_) => 0,
            Framer::Json(framer) => framer.attachment_bytes(),
            Framer::Xml(framer) => framer.attachment_bytes(),
        };
        framed.saturating_add(self.behind)
    }

    /// The number of bytes up to the first one that can end the data of the current attachment. All before it are data.
    fn data_ahead(&self, bytes: &[u8]) -> usize {
        let end = match &self.framer {
            // After a fault in the data, all bytes count as data.
            _ if self.broken && self.is_in_attachment() => return bytes.len(),
            Framer::Xml(framer) => framer.attachment_data_ends(),
            Framer::Json(framer) => framer.is_in_attachment().then_some([b'"'; 2]),
            Framer::Undecided(_) => None,
        };
        let Some([one, other]) = end else { return 0 };
        memchr::memchr2(one, other, bytes).map_or(bytes.len(), |at| at + 1)
    }

    /// Whether what comes next, or came last before a fault, is data of an attachment.
    fn is_in_attachment(&self) -> bool {
        match &self.framer {
            Framer::Undecided(_) => false,
            Framer::Json(framer) => framer.is_in_attachment(),
            Framer::Xml(framer) => framer.is_in_attachment(),
        }
    }

    fn body_bytes(&self) -> u64 {
        self.fed.saturating_sub(self.attachment_bytes())
    }

    /// Bytes fed so far.
    pub fn fed(&self) -> u64 {
        self.fed
    }

    /// Whether the body is known to be malformed, so that only its size can still change the answer.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// What the answer to a malformed body is if `rest` more bytes are known to come.
    pub fn broken_with_rest(&self, rest: u64) -> Option<Refused> {
        let rest = if self.is_in_attachment() { 0 } else { rest };
        let too_large = self.body_bytes().saturating_add(rest) > self.state.setup.limits.body;
        if too_large { Some(Problem::BodyTooLarge.into()) } else { self.state.fault.clone() }
    }

    /// The fields of the root, as far as they have come.
    pub fn root(&self) -> &Root {
        &self.state.root
    }

    /// Whether attachments have begun to come.
    pub fn has_attachments(&self) -> bool {
        self.state.attachments > 0
    }

    /// Takes what has arrived of attachments since the last time. `used` is what was taken then: its memory is used
    /// again.
    pub fn take_arrived(&mut self, mut used: Arrived) -> Arrived {
        used.clear();
        std::mem::replace(&mut self.state.arrived, used)
    }

    /// Bytes of attachments that came ahead of the body's token, if it has one.
    pub fn before_token(&self) -> u64 {
        self.state.before_token
    }

    /// A fault that was found outside: no room, or a store that failed.
    pub fn fail(&mut self, fault: impl Into<Refused>) {
        self.state.fault(fault);
    }

    /// Whether memory could not be reserved: then a field may be missing although it came.
    pub fn is_short_of_memory(&self) -> bool {
        self.state.shortage.is_some()
    }

    /// Why memory could not be reserved, if it could not.
    pub fn shortage(&self) -> Option<OutOfMemory> {
        self.state.shortage
    }

    /// The most memory that `bytes` more of the body can take.
    pub fn growth(&self, bytes: usize) -> u64 {
        // Each list grows fourfold until its blocks have their full size.
        let lists =
            self.state.memory.bytes().saturating_mul(4).clamp(LISTS * FIRST_BYTES as u64, LISTS * BLOCK_BYTES as u64);
        // An incomplete value grows by half, and is then copied.
        let value = self.state.incomplete.saturating_mul(2).saturating_add(2 * bytes as u64);
        lists.saturating_add(value).saturating_add(ENTRIES * bytes as u64)
    }

    /// The token is good: what is held no longer counts as an unverified caller's.
    pub fn verified(&mut self) {
        self.state.memory.verify();
    }

    /// Nothing of the body is needed any more but whether it is well-formed, and its digest.
    pub fn close(&mut self) {
        self.state.close();
    }

    /// Whether nothing more is kept: there is a fault, or an answer.
    pub fn is_closed(&self) -> bool {
        self.state.closed
    }

    /// What the request holds.
    pub fn memory(&mut self) -> &mut Reservation {
        &mut self.state.memory
    }

    /// The body has ended. Afterwards [`Intake::fault`] and [`Intake::into_request`] tell the rest.
    /// `length` is what `Content-Length` announced.
    pub fn finish(&mut self, length: Option<u64>) {
        if let Framer::Undecided(framers) = &mut self.framer {
            // Nothing but white space: the JSON framer says what is missing.
            let json = std::mem::replace(&mut framers.0, JsonFramer::new(self.state.setup.endpoint));
            self.framer = Framer::Json(json);
        }
        if !self.broken {
            let end = match &mut self.framer {
                Framer::Json(framer) => framer.finish(&mut self.state),
                Framer::Xml(framer) => framer.finish(&mut self.state),
                Framer::Undecided(_) => Ok(()),
            };
            if let Err(error) = end {
                self.state.fault(problem(error));
                self.broken = true;
            }
        }
        if let Some(length) = length.filter(|length| *length != self.fed) {
            let fed = self.fed;
            self.state.fault(Problem::Malformed(format!("the body has {fed} bytes, Content-Length said {length}")));
            self.broken = true;
        }
        if !self.broken {
            self.state.finish();
        }
    }

    /// The fault to answer, of those found so far.
    pub fn fault(&self) -> Option<&Refused> {
        self.state.fault.as_ref()
    }

    /// The digest of the body as sent.
    pub fn digest(&self) -> &BodyDigest {
        &self.digest
    }

    /// The request, with what it holds.
    pub fn into_request(self) -> Result<(Request, Reservation), Refused> {
        let State { root, fault, keying, items, memory, .. } = self.state;
        if let Some(fault) = fault {
            return Err(fault);
        }
        match (root.trigger_id, keying) {
            (Some(trigger_id), Some(keying)) => Ok((Request { root, trigger_id, keying, items }, memory)),
            _ => Err(Refused::internal("a complete body without a campaign, or without a matching mode")),
        }
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
