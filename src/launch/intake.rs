//! Taking a body in, chunk by chunk: it is framed, counted and digested, its fields decoded, its items keyed.
//!
//! No I/O: the use case feeds chunks and asks what is known so far. A fault does not end the intake, because
//! one that is found later may be the one to answer (contract, §1 *Errors*): the rest of the body is then only
//! checked, and nothing of it kept.

use super::{
    blocks::Records,
    entry::{Arrived, Entry},
    items::{Items, Keying, Refused},
    root::{self, Root},
};
use crate::{
    limits::{ATTACHMENTS_LIMIT, Limits},
    memory::Reservation,
    problem::Problem,
    profiles::key::IndexKey,
    wire::{
        Endpoint, Field, Format, FrameError, Item, NotAnItem, Piece, Sink,
        json::{self, JsonFramer},
        xml::{self, XmlFramer},
    },
};
use std::rc::Rc;

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
}

/// A body on its way in.
#[derive(Debug)]
pub struct Intake {
    framer: Framer,
    state: State,
    /// Bytes fed.
    fed: u64,
    digest: blake3::Hasher,
    /// The body is malformed: what is still to come is only counted.
    broken: bool,
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

#[derive(Debug)]
struct State {
    setup: Setup,
    format: Format,
    memory: Reservation,
    root: Root,
    seen: Vec<Field>,
    fault: Option<Problem>,
    keying: Option<Keying>,
    /// Nothing more is kept but what is needed to find the fault that is answered.
    closed: bool,
    items: Items,
    item_count: u64,
    /// Entries of `attach` that have begun.
    attachments: usize,
    entry: Entry,
    arrived: Arrived,
    /// Items as they came, while it is not known how to key them.
    held: Records,
    /// The item of a single launch: its fields as they came.
    single: Vec<(Field, Vec<u8>)>,
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
        let state = State {
            setup,
            format,
            memory,
            root: Root::default(),
            seen: Vec::new(),
            fault: None,
            keying: None,
            closed: false,
            items: Items::default(),
            item_count: 0,
            attachments: 0,
            entry: Entry::default(),
            arrived: Arrived::default(),
            held: Records::default(),
            single: Vec::new(),
        };
        Self { framer, state, fed: 0, digest: blake3::Hasher::new(), broken: false }
    }

    /// Takes in the next chunk. An error is final: nothing that could still come would be answered instead.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        self.fed = self.fed.saturating_add(chunk.len() as u64);
        self.digest.update(chunk);
        if self.fed > self.state.setup.limits.files {
            return Err(Problem::BodyTooLarge);
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            // What the framer gets is never more than the body may still have, so that the limit is counted
            // before anything beyond it is kept; attachment data in it does not count, and so there may be more.
            let counted = (self.fed - rest.len() as u64).saturating_sub(self.attachment_bytes());
            let allowed = (self.state.setup.limits.body + 1).saturating_sub(counted);
            if allowed == 0 {
                return Err(Problem::BodyTooLarge);
            }
            let allowed = usize::try_from(allowed).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(allowed);
            rest = later;
            if !self.broken
                && let Err(error) = self.frame(now)
            {
                self.state.fault(problem(error));
                self.broken = true;
            }
        }
        if self.body_bytes() > self.state.setup.limits.body { Err(Problem::BodyTooLarge) } else { Ok(()) }
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
        match &self.framer {
            Framer::Undecided(_) => 0,
            Framer::Json(framer) => framer.attachment_bytes(),
            Framer::Xml(framer) => framer.attachment_bytes(),
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
    pub fn broken_with_rest(&self, rest: u64) -> Option<Problem> {
        let too_large = self.body_bytes().saturating_add(rest) > self.state.setup.limits.body;
        if too_large { Some(Problem::BodyTooLarge) } else { self.state.fault.clone() }
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
        used.events.clear();
        used.bytes.clear();
        std::mem::replace(&mut self.state.arrived, used)
    }

    /// A fault that was found outside: no room, or a store that failed.
    pub fn fail(&mut self, problem: Problem) {
        self.state.fault(problem);
    }

    /// Whether memory could not be reserved: then a field may be missing although it came.
    pub fn is_short_of_memory(&self) -> bool {
        matches!(self.state.fault, Some(Problem::Unavailable(_)))
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
    pub fn fault(&self) -> Option<&Problem> {
        self.state.fault.as_ref()
    }

    /// The digest of the body as sent.
    pub fn digest(&self) -> [u8; 32] {
        *self.digest.finalize().as_bytes()
    }

    /// The request, with what it holds.
    pub fn into_request(self) -> Result<(Request, Reservation), Problem> {
        let State { root, fault, keying, items, memory, .. } = self.state;
        if let Some(problem) = fault {
            return Err(problem);
        }
        match (root.trigger_id, keying) {
            (Some(trigger_id), Some(keying)) => Ok((Request { root, trigger_id, keying, items }, memory)),
            _ => Err(Problem::Internal),
        }
    }
}

fn problem(error: FrameError) -> Problem {
    match error {
        FrameError::Malformed { at, what } => Problem::Malformed(format!("byte {at}: {what}")),
        FrameError::Encoding(name) => {
            Problem::UnsupportedMediaType(format!("the XML declaration names the encoding {name}: UTF-8 is read"))
        }
    }
}

impl State {
    fn fault(&mut self, problem: Problem) {
        self.fault = Some(match self.fault.take() {
            Some(earlier) => earlier.first(problem),
            None => problem,
        });
        self.close();
    }

    fn bad(&mut self, field: Field, what: &str) {
        let name = root::name(field, self.setup.endpoint);
        self.fault(Problem::BadField(format!("{name}: {what}")));
    }

    fn close(&mut self) {
        self.closed = true;
        self.held.clear(&mut self.memory);
        self.items.clear(&mut self.memory);
        self.single = Vec::new();
        self.arrived = Arrived::default();
    }

    /// Takes the field in, unless it came before.
    fn once(&mut self, field: Field, take: impl FnOnce(&mut Self)) {
        if self.seen.contains(&field) {
            return self.bad(field, "is given twice");
        }
        self.seen.push(field);
        take(self);
    }

    fn field(&mut self, field: Field, value: &[u8], marked_array: bool) {
        if matches!(
            field,
            Field::Email
                | Field::Phone
                | Field::ProfileId
                | Field::FieldValue
                | Field::Provider
                | Field::SubscriptionId
        ) {
            // An array stands for a value of a wrong type, whatever it holds.
            let value = if marked_array { b"<array/>".as_slice() } else { value };
            if !self.closed {
                self.single.push((field, value.to_vec()));
            }
            return;
        }
        if matches!(field, Field::Content | Field::CustomData) && self.closed {
            return;
        }
        if matches!(field, Field::Content | Field::CustomData) && self.memory.grow(value.len() as u64).is_err() {
            return self.fault(Problem::no_memory());
        }
        if let Err(what) = self.root.set(field, value, self.format, marked_array) {
            return self.bad(field, &what);
        }
        if matches!(field, Field::Matching | Field::FieldName) {
            self.resolve_keying(false);
        }
    }

    /// Decides how items are keyed, as soon as that is known: a mode that needs no `field_name` by `matching`
    /// alone, and whatever is absent at the end of the body.
    fn resolve_keying(&mut self, at_end: bool) {
        if self.keying.is_some() || (self.root.matching.is_none() && !at_end) {
            return;
        }
        let matching = self.root.matching.unwrap_or_default();
        let field_name = match &self.root.field_name {
            _ if !matching.needs_field_name() => String::new(),
            Some(name) if !name.is_empty() => name.clone(),
            None if !at_end => return,
            _ => return self.bad(Field::FieldName, &format!("is required where matching is {}", matching.name())),
        };
        self.keying = Some(Keying { matching, field_name });
        let held = std::mem::take(&mut self.held);
        for block in held.into_blocks(&mut self.memory) {
            for raw in block.iter() {
                self.key_item(raw, None);
            }
            block.clear(&mut self.memory);
        }
    }

    fn item(&mut self, raw: &[u8], plain: Option<(&[u8], &[u8])>) {
        self.item_count += 1;
        if self.item_count > self.setup.limits.items {
            if self.item_count == self.setup.limits.items + 1 {
                self.bad(Field::Data, &format!("has more than {} items", self.setup.limits.items));
            }
            return;
        }
        if self.closed {
            return;
        }
        if self.keying.is_some() {
            return self.key_item(raw, plain);
        }
        if self.held.push(raw, &mut self.memory).is_err() {
            self.fault(Problem::no_memory());
        }
    }

    fn key_item(&mut self, raw: &[u8], plain: Option<(&[u8], &[u8])>) {
        let Some(keying) = self.keying.as_ref().filter(|_| !self.closed) else { return };
        let secrets = &self.setup.secrets;
        if let Some(plain) = plain {
            match self.items.push_plain(plain, keying, secrets, &mut self.memory) {
                Ok(true) => return,
                Ok(false) => {}
                Err(_) => return self.fault(Problem::no_memory()),
            }
        }
        let item = match self.format {
            Format::Json => json::item(raw),
            Format::Xml => xml::item(raw),
        };
        match self.items.push(item, keying, secrets, &mut self.memory) {
            Ok(()) => {}
            Err(Refused::OutOfMemory) => self.fault(Problem::no_memory()),
            Err(Refused::Problem(problem)) => self.fault(problem),
        }
    }

    /// A piece of the entry of `attach` that is under way.
    fn attachment(&mut self, piece: Piece<'_>) {
        let must_be = |what: &str| Err(("", what.to_owned()));
        let taken = match piece {
            Piece::AttachNotAnObject => must_be("must be an object"),
            Piece::AttachName(name) => self.entry.name(name),
            Piece::AttachNameWrongType => Err((".name", "must be a string".to_owned())),
            Piece::AttachDataBegin => {
                self.entry.begin();
                Ok(())
            }
            Piece::AttachData(piece) => self.entry.push(piece, &mut self.arrived),
            Piece::AttachDataEnd => self.entry.finish(&mut self.arrived),
            Piece::AttachDataWrongType => Err((".data", "must be a string".to_owned())),
            Piece::AttachDuplicate(member) => Err(("", format!("{member} is given twice"))),
            Piece::AttachEnd => std::mem::take(&mut self.entry).end(&mut self.arrived),
            _ => Ok(()),
        };
        if let Err((member, what)) = taken {
            let index = self.attachments.saturating_sub(1);
            self.fault(Problem::BadField(format!("attach[{index}]{member}: {what}")));
        }
    }

    /// The item of a single launch.
    fn single_item(&mut self) {
        let fields = std::mem::take(&mut self.single);
        let mut item = Item::default();
        for (field, raw) in &fields {
            let value = match self.format {
                Format::Json => json::scalar(raw),
                Format::Xml => xml::text_as_is(raw),
            };
            match field {
                Field::Email => item.email = value,
                Field::Phone => item.phone = value,
                Field::ProfileId => item.profile_id = value,
                Field::FieldValue => item.field_value = value,
                Field::Provider => item.provider = value,
                _ => item.subscription_id = value,
            }
        }
        let item: Result<Item<'_>, NotAnItem> = Ok(item);
        let Some(keying) = &self.keying else { return };
        if self.items.push(item, keying, &self.setup.secrets, &mut self.memory).is_err() {
            self.fault(Problem::no_memory());
        }
    }

    /// What can be said only at the end of a well-formed body.
    fn finish(&mut self) {
        self.resolve_keying(true);
        if self.root.trigger_id.is_none() && self.fault.is_none() {
            self.bad(Field::TriggerId, "is required");
        }
        match self.setup.endpoint {
            Endpoint::Batch if self.item_count == 0 => self.bad(Field::Data, "must hold at least one item"),
            Endpoint::Batch => {}
            Endpoint::Single if self.closed => {}
            Endpoint::Single => self.single_item(),
        }
    }
}

impl Sink for State {
    fn piece(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Field { field, value, marked_array } => {
                self.once(field, |state| state.field(field, value, marked_array));
            }
            Piece::FieldTooLong { field } => self.once(field, |state| {
                state.bad(field, &format!("is longer than {} bytes", state.field_limit(field)));
            }),
            Piece::Array { field } | Piece::Null { field } => self.once(field, |_| {}),
            Piece::NotAnArray { field } => self.once(field, |state| state.bad(field, "must be an array")),
            Piece::Item { raw, plain } => self.item(raw, plain),
            Piece::AttachBegin => {
                self.attachments += 1;
                self.entry = Entry::default();
                if self.attachments == ATTACHMENTS_LIMIT + 1 {
                    self.bad(Field::Attach, &format!("has more than {ATTACHMENTS_LIMIT} entries"));
                }
            }
            _ if self.closed => {}
            piece => self.attachment(piece),
        }
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        let reserved = self.memory.grow(bytes as u64).is_ok();
        if !reserved {
            self.fault(Problem::no_memory());
        }
        reserved
    }

    fn release(&mut self, bytes: usize) {
        self.memory.shrink(bytes as u64);
    }

    fn field_limit(&self, field: Field) -> usize {
        root::limit(field, &self.setup.limits)
    }
}
