//! Collects what a framer finds in a body: root fields, items and attachments, decoded, and the fault to answer.

use std::rc::Rc;

use super::{
    attachments::{AttachmentEntry, DecodedAttachments, EntryFault},
    blocks::Records,
    items::{Items, Keying},
    root::{self, Root, SetError},
};
use crate::{
    fields::{Endpoint, FieldKind, KeyField, RootField},
    launch::request::BodySettings,
    limits::ATTACHMENTS_LIMIT,
    memory::{OutOfMemory, Reservation},
    problem::{Problem, Refused},
    profiles::normal::Normaliser,
    wire::{Format, InvalidItem, Item, Piece, Sink, json, scalar::must_be, xml},
};

#[derive(Debug)]
pub struct Collector {
    pub(super) settings: BodySettings,
    pub(super) format: Format,
    pub(super) memory: Reservation,
    pub(super) root: Root,
    seen: Vec<RootField>,
    /// The fault with the highest priority.
    pub(super) fault: Option<Refused>,
    /// Set if memory ran out and a framer dropped a value: then a field that is missing may have arrived.
    pub(super) shortage: Option<OutOfMemory>,
    /// Bytes that the framer keeps of an incomplete value.
    pub(super) incomplete: u64,
    /// Known once `matching` and `field_name` are.
    pub(super) keying: Option<Keying>,
    /// Set once the request can no longer succeed; only validation continues.
    pub(super) is_closed: bool,
    pub(super) items: Items,
    normaliser: Rc<Normaliser>,
    item_count: u64,
    /// Entries of `attach` that have begun.
    pub(super) attachments: usize,
    entry: AttachmentEntry,
    pub(super) decoded: DecodedAttachments,
    /// Bytes of attachments decoded before the token arrived.
    pub(super) before_token: u64,
    /// Items as sent, until it is known how to hash their keys.
    unkeyed: Records,
    /// The fields of the item of `start`, as sent.
    single: Vec<(KeyField, Vec<u8>)>,
}

impl Collector {
    pub fn new(settings: BodySettings, normaliser: Rc<Normaliser>, memory: Reservation) -> Self {
        Self {
            format: settings.format.unwrap_or_default(),
            settings,
            memory,
            root: Root::default(),
            seen: Vec::new(),
            fault: None,
            shortage: None,
            incomplete: 0,
            keying: None,
            is_closed: false,
            items: Items::default(),
            normaliser,
            item_count: 0,
            attachments: 0,
            entry: AttachmentEntry::default(),
            decoded: DecodedAttachments::default(),
            before_token: 0,
            unkeyed: Records::default(),
            single: Vec::new(),
        }
    }

    /// Records a fault, and drops the collected values.
    pub fn record_fault(&mut self, fault: impl Into<Refused>) {
        let fault = fault.into();
        self.fault = Some(match self.fault.take() {
            Some(earlier) => earlier.first(fault),
            None => fault,
        });
        self.close();
    }

    fn reject_field(&mut self, field: RootField, what: &str) {
        let name = field.name(self.settings.endpoint).unwrap_or_default();
        self.record_fault(Problem::BadField(format!("{name}: {what}")));
    }

    /// Drops the collected values. Later values are only validated.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.unkeyed.clear(&mut self.memory);
        self.items.clear(&mut self.memory);
        self.single = Vec::new();
        self.decoded = DecodedAttachments::default();
    }

    /// Calls `set` unless the field was given before.
    fn set_once(&mut self, field: RootField, set: impl FnOnce(&mut Self)) {
        if self.seen.contains(&field) {
            return self.reject_field(field, "is given twice");
        }
        self.seen.push(field);
        set(self);
    }

    fn set_field(&mut self, field: RootField, value: &[u8], marked_array: bool) {
        if let RootField::Key(field) = field {
            // An array has the wrong type, whatever its content.
            let value = if marked_array { b"<array/>".as_slice() } else { value };
            if !self.is_closed {
                self.single.push((field, value.to_vec()));
            }
            return;
        }
        if field.kind() == FieldKind::Object && self.is_closed {
            return;
        }
        match self.root.set(field, value, self.format, marked_array, &mut self.memory) {
            Ok(()) => {}
            Err(SetError::MustBe(what)) => return self.reject_field(field, &what),
            Err(SetError::OutOfMemory(error)) => return self.record_fault(error),
        }
        if matches!(field, RootField::Matching | RootField::FieldName) {
            self.resolve_keying(false);
        }
    }

    /// Decides how the keys of items are hashed, as soon as `matching` and, if the mode needs it, `field_name` are known. At the
    /// end of the body, absent fields have their defaults.
    fn resolve_keying(&mut self, at_end: bool) {
        if self.keying.is_some() || (self.root.matching.is_none() && !at_end) {
            return;
        }
        let matching = self.root.matching.unwrap_or_default();
        let field_name = match &self.root.field_name {
            _ if !matching.needs_field_name() => String::new(),
            Some(name) if !name.is_empty() => name.clone(),
            None if !at_end => return,
            _ => {
                return self
                    .reject_field(RootField::FieldName, &format!("is required where matching is {}", matching.name()));
            }
        };
        self.keying = Some(Keying { matching, field_name });
        let unkeyed = std::mem::take(&mut self.unkeyed);
        for block in unkeyed.into_blocks(&mut self.memory) {
            for raw in block.iter() {
                self.add_keyed_item(raw, None);
            }
            block.clear(&mut self.memory);
        }
    }

    fn add_item(&mut self, raw: &[u8], plain: Option<(&[u8], &[u8])>) {
        self.item_count += 1;
        if self.item_count > self.settings.limits.items {
            if self.item_count == self.settings.limits.items + 1 {
                self.reject_field(RootField::Data, &format!("has more than {} items", self.settings.limits.items));
            }
            return;
        }
        if self.is_closed {
            return;
        }
        if self.keying.is_some() {
            return self.add_keyed_item(raw, plain);
        }
        if let Err(error) = self.unkeyed.push(raw, &mut self.memory) {
            self.record_fault(error);
        }
    }

    fn add_keyed_item(&mut self, raw: &[u8], plain: Option<(&[u8], &[u8])>) {
        let Some(keying) = self.keying.as_ref().filter(|_| !self.is_closed) else { return };
        let secrets = &self.settings.secrets;
        if let Some(plain) = plain {
            match self.items.push_plain(plain, keying, secrets, &self.normaliser, &mut self.memory) {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => return self.record_fault(error),
            }
        }
        let item = match self.format {
            Format::Json => json::item(raw),
            Format::Xml => match xml::item(raw, &mut self.memory) {
                Ok(item) => item,
                Err(error) => return self.record_fault(error),
            },
        };
        let converted = item.as_ref().map_or(0, |item| item.custom_data.allocated());
        let pushed = self.items.push(item, keying, secrets, &self.normaliser, &mut self.memory);
        self.memory.shrink(converted);
        if let Err(fault) = pushed {
            self.record_fault(fault);
        }
    }

    /// Decodes a piece of the current entry of `attach`.
    fn add_attachment_piece(&mut self, piece: Piece<'_>) {
        let must_be = |expected, received| must_be(expected, Some(received)).into_owned();
        let before = self.decoded.bytes.len();
        let result = match piece {
            Piece::AttachNotAnObject(received) => Err(EntryFault::Entry(must_be("an object", received))),
            Piece::AttachName(name) => self.entry.set_name(name),
            Piece::AttachNameWrongType(received) => Err(EntryFault::Name(must_be("a string", received))),
            Piece::AttachDataBegin => {
                self.entry.begin_data();
                Ok(())
            }
            Piece::AttachData(piece) => self.entry.push_data(piece, &mut self.decoded),
            Piece::AttachDataEnd => self.entry.finish_data(&mut self.decoded),
            Piece::AttachDataWrongType(received) => Err(EntryFault::Data(must_be("a string", received))),
            Piece::AttachDuplicate(field) => Err(EntryFault::Entry(format!("{} is given twice", field.name()))),
            Piece::AttachEnd => std::mem::take(&mut self.entry).finish(&mut self.decoded),
            _ => Ok(()),
        };
        self.count_before_token(before);
        if let Err(fault) = result {
            let index = self.attachments.saturating_sub(1);
            self.record_fault(Problem::BadField(format!("attach[{index}]{fault}")));
        }
    }

    fn count_before_token(&mut self, before: usize) {
        if self.root.token.is_none() {
            self.before_token += self.decoded.bytes.len().saturating_sub(before) as u64;
        }
    }

    /// Adds the item of `start`, whose fields are at the root.
    fn add_single_item(&mut self) {
        let fields = std::mem::take(&mut self.single);
        let mut item = Item::default();
        for (field, raw) in &fields {
            let value = match self.format {
                Format::Json => json::scalar(raw),
                Format::Xml => xml::text_as_is(raw),
            };
            *item.key_mut(*field) = value;
        }
        let item: Result<Item<'_>, InvalidItem> = Ok(item);
        let Some(keying) = &self.keying else { return };
        if let Err(fault) = self.items.push(item, keying, &self.settings.secrets, &self.normaliser, &mut self.memory) {
            self.record_fault(fault);
        }
    }

    /// Ends a well-formed body: reports what is missing.
    pub fn finish(&mut self) {
        if self.shortage.is_some() {
            return;
        }
        self.resolve_keying(true);
        if self.root.trigger_id.is_none() && self.fault.is_none() {
            self.reject_field(RootField::TriggerId, "is required");
        }
        match self.settings.endpoint {
            Endpoint::StartBatch if self.item_count == 0 => {
                self.reject_field(RootField::Data, "must have at least one item")
            }
            Endpoint::StartBatch => {}
            Endpoint::Start if self.is_closed => {}
            Endpoint::Start => self.add_single_item(),
        }
    }
}

impl Sink for Collector {
    fn accept(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Field { field, value, marked_array } => {
                self.set_once(field, |collector| collector.set_field(field, value, marked_array));
            }
            Piece::FieldTooLong { field } => self.set_once(field, |collector| {
                collector.reject_field(field, &format!("is longer than {} bytes", collector.field_limit(field)));
            }),
            Piece::Array { field } | Piece::Null { field } => self.set_once(field, |_| {}),
            Piece::NotAnArray { field, received } => {
                self.set_once(field, |collector| collector.reject_field(field, &must_be("an array", Some(received))));
            }
            Piece::Item { raw, plain } => self.add_item(raw, plain),
            Piece::AttachBegin => {
                self.attachments += 1;
                self.entry = AttachmentEntry::default();
                if self.attachments == ATTACHMENTS_LIMIT + 1 {
                    self.reject_field(RootField::Attach, &format!("has more than {ATTACHMENTS_LIMIT} entries"));
                }
            }
            _ if self.is_closed => {}
            piece => self.add_attachment_piece(piece),
        }
    }

    fn take_base64(&mut self, bytes: &[u8]) -> usize {
        if self.is_closed {
            return 0;
        }
        let before = self.decoded.bytes.len();
        let decoded = self.entry.push_base64(bytes, &mut self.decoded);
        self.count_before_token(before);
        decoded
    }

    fn reserve(&mut self, bytes: usize) -> bool {
        let reserved = self.memory.grow(bytes as u64);
        match reserved {
            Ok(()) => self.incomplete = self.incomplete.saturating_add(bytes as u64),
            Err(error) => {
                self.shortage = Some(error);
                self.record_fault(error);
            }
        }
        reserved.is_ok()
    }

    fn release(&mut self, bytes: usize) {
        self.memory.shrink(bytes as u64);
        self.incomplete = self.incomplete.saturating_sub(bytes as u64);
    }

    fn field_limit(&self, field: RootField) -> usize {
        root::limit(field, &self.settings.limits)
    }
}
