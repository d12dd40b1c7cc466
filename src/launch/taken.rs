//! What has been taken in of a body: its fields decoded, its items keyed, its attachments decoded, its faults remembered.
//!
//! [`super::intake`] frames the body and counts; what a framer hands on comes here.

use super::{
    blocks::Records,
    entry::{Arrived, Entry},
    intake::Setup,
    items::{Items, Keying},
    root::{self, Root, SetError},
};
use crate::{
    fields::{Endpoint, FieldKind, KeyField, RootField},
    limits::ATTACHMENTS_LIMIT,
    memory::{OutOfMemory, Reservation},
    problem::{Problem, Refused},
    wire::{Format, Item, NotAnItem, Piece, Sink, json, scalar::must_be, xml},
};

/// A body as far as it has been taken in.
#[derive(Debug)]
pub struct State {
    pub setup: Setup,
    pub format: Format,
    pub memory: Reservation,
    pub root: Root,
    pub seen: Vec<RootField>,
    pub fault: Option<Refused>,
    /// Set if a framer was refused memory and dropped something: a field that is missing may have arrived.
    pub shortage: Option<OutOfMemory>,
    /// Bytes that the framer holds of a value that is not complete.
    pub incomplete: u64,
    pub keying: Option<Keying>,
    /// Nothing more is kept but what is needed to find the fault that is answered.
    pub closed: bool,
    pub items: Items,
    pub item_count: u64,
    /// Entries of `attach` that have begun.
    pub attachments: usize,
    pub entry: Entry,
    pub arrived: Arrived,
    /// Bytes of attachments that were decoded until the token came.
    pub before_token: u64,
    /// Items as they came, while it is not known how to key them.
    pub held: Records,
    /// The item of a single launch: its fields as they came.
    pub single: Vec<(KeyField, Vec<u8>)>,
}

impl State {
    pub fn fault(&mut self, fault: impl Into<Refused>) {
        let fault = fault.into();
        self.fault = Some(match self.fault.take() {
            Some(earlier) => earlier.first(fault),
            None => fault,
        });
        self.close();
    }

    fn bad(&mut self, field: RootField, what: &str) {
        let name = field.name(self.setup.endpoint).unwrap_or_default();
        self.fault(Problem::BadField(format!("{name}: {what}")));
    }

    pub fn close(&mut self) {
        self.closed = true;
        self.held.clear(&mut self.memory);
        self.items.clear(&mut self.memory);
        self.single = Vec::new();
        self.arrived = Arrived::default();
    }

    /// Takes the field in, unless it came before.
    fn once(&mut self, field: RootField, take: impl FnOnce(&mut Self)) {
        if self.seen.contains(&field) {
            return self.bad(field, "is given twice");
        }
        self.seen.push(field);
        take(self);
    }

    fn field(&mut self, field: RootField, value: &[u8], marked_array: bool) {
        if let RootField::Key(field) = field {
            // An array stands for a value of a wrong type, whatever it holds.
            let value = if marked_array { b"<array/>".as_slice() } else { value };
            if !self.closed {
                self.single.push((field, value.to_vec()));
            }
            return;
        }
        if field.kind() == FieldKind::Object && self.closed {
            return;
        }
        match self.root.set(field, value, self.format, marked_array, &mut self.memory) {
            Ok(()) => {}
            Err(SetError::MustBe(what)) => return self.bad(field, &what),
            Err(SetError::OutOfMemory(error)) => return self.fault(error),
        }
        if matches!(field, RootField::Matching | RootField::FieldName) {
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
            _ => return self.bad(RootField::FieldName, &format!("is required where matching is {}", matching.name())),
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
                self.bad(RootField::Data, &format!("has more than {} items", self.setup.limits.items));
            }
            return;
        }
        if self.closed {
            return;
        }
        if self.keying.is_some() {
            return self.key_item(raw, plain);
        }
        if let Err(error) = self.held.push(raw, &mut self.memory) {
            self.fault(error);
        }
    }

    fn key_item(&mut self, raw: &[u8], plain: Option<(&[u8], &[u8])>) {
        let Some(keying) = self.keying.as_ref().filter(|_| !self.closed) else { return };
        let secrets = &self.setup.secrets;
        if let Some(plain) = plain {
            match self.items.push_plain(plain, keying, secrets, &mut self.memory) {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => return self.fault(error),
            }
        }
        let item = match self.format {
            Format::Json => json::item(raw),
            Format::Xml => match xml::item(raw, &mut self.memory) {
                Ok(item) => item,
                Err(error) => return self.fault(error),
            },
        };
        let converted = item.as_ref().map_or(0, |item| item.custom_data.allocated());
        let pushed = self.items.push(item, keying, secrets, &mut self.memory);
        self.memory.shrink(converted);
        if let Err(fault) = pushed {
            self.fault(fault);
        }
    }

    /// A piece of the entry of `attach` that is under way.
    fn attachment(&mut self, piece: Piece<'_>) {
        let wrong = |member, expected, received| Err((member, must_be(expected, Some(received)).into_owned()));
        let before = self.arrived.bytes.len();
        let taken = match piece {
            Piece::AttachNotAnObject(received) => wrong("", "an object", received),
            Piece::AttachName(name) => self.entry.name(name),
            Piece::AttachNameWrongType(received) => wrong(".name", "a string", received),
            Piece::AttachDataBegin => {
                self.entry.begin();
                Ok(())
            }
            Piece::AttachData(piece) => self.entry.push(piece, &mut self.arrived),
            Piece::AttachDataEnd => self.entry.finish(&mut self.arrived),
            Piece::AttachDataWrongType(received) => wrong(".data", "a string", received),
            Piece::AttachDuplicate(member) => Err(("", format!("{member} is given twice"))),
            Piece::AttachEnd => std::mem::take(&mut self.entry).end(&mut self.arrived),
            _ => Ok(()),
        };
        self.decoded_since(before);
        if let Err((member, what)) = taken {
            let index = self.attachments.saturating_sub(1);
            self.fault(Problem::BadField(format!("attach[{index}]{member}: {what}")));
        }
    }

    fn decoded_since(&mut self, before: usize) {
        if self.root.token.is_none() {
            self.before_token += self.arrived.bytes.len().saturating_sub(before) as u64;
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
            *item.key_mut(*field) = value;
        }
        let item: Result<Item<'_>, NotAnItem> = Ok(item);
        let Some(keying) = &self.keying else { return };
        if let Err(fault) = self.items.push(item, keying, &self.setup.secrets, &mut self.memory) {
            self.fault(fault);
        }
    }

    /// What can be said only at the end of a well-formed body: what is missing.
    pub fn finish(&mut self) {
        if self.shortage.is_some() {
            return;
        }
        self.resolve_keying(true);
        if self.root.trigger_id.is_none() && self.fault.is_none() {
            self.bad(RootField::TriggerId, "is required");
        }
        match self.setup.endpoint {
            Endpoint::StartBatch if self.item_count == 0 => self.bad(RootField::Data, "must hold at least one item"),
            Endpoint::StartBatch => {}
            Endpoint::Start if self.closed => {}
            Endpoint::Start => self.single_item(),
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
            Piece::NotAnArray { field, received } => {
                self.once(field, |state| state.bad(field, &must_be("an array", Some(received))));
            }
            Piece::Item { raw, plain } => self.item(raw, plain),
            Piece::AttachBegin => {
                self.attachments += 1;
                self.entry = Entry::default();
                if self.attachments == ATTACHMENTS_LIMIT + 1 {
                    self.bad(RootField::Attach, &format!("has more than {ATTACHMENTS_LIMIT} entries"));
                }
            }
            _ if self.closed => {}
            piece => self.attachment(piece),
        }
    }

    fn base64(&mut self, bytes: &[u8]) -> usize {
        if self.closed {
            return 0;
        }
        let before = self.arrived.bytes.len();
        let taken = self.entry.push_base64(bytes, &mut self.arrived);
        self.decoded_since(before);
        taken
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        let reserved = self.memory.grow(bytes as u64);
        match reserved {
            Ok(()) => self.incomplete = self.incomplete.saturating_add(bytes as u64),
            Err(error) => {
                self.shortage = Some(error);
                self.fault(error);
            }
        }
        reserved.is_ok()
    }

    fn release(&mut self, bytes: usize) {
        self.memory.shrink(bytes as u64);
        self.incomplete = self.incomplete.saturating_sub(bytes as u64);
    }

    fn field_limit(&self, field: RootField) -> usize {
        root::limit(field, &self.setup.limits)
    }
}
