//! The fields of a body's root, decoded: JSON and XML into the same types.

use super::matching::Matching;
use crate::{
    fields::{FieldKind, RootField},
    limits::{Limits, SCALAR_LIMIT},
    memory::{OutOfMemory, Reservation},
    text::SAFE_INTEGER_MAX,
    wire::{
        Format, ObjectText, Received, Scalar, json,
        scalar::{self, MustBe},
        xml,
    },
};
use std::borrow::Cow;

/// The largest `trigger_id`.
pub const TRIGGER_ID_MAX: u64 = SAFE_INTEGER_MAX;

/// What the root says, as far as it has been read.
#[derive(Debug, Default)]
pub struct Root {
    /// `token`.
    pub token: Option<String>,
    /// `format`, of the reply.
    pub format: Option<Format>,
    /// `trigger_id`, or `id` of a single launch.
    pub trigger_id: Option<u64>,
    /// `matching`.
    pub matching: Option<Matching>,
    /// `field_name`.
    pub field_name: Option<String>,
    /// `skip_triggers`.
    pub skip_triggers: bool,
    /// `content`, as JSON text.
    pub content: Option<String>,
    /// `custom_data`, as JSON text.
    pub custom_data: Option<String>,
    /// `report`.
    pub report: bool,
    /// `strict`.
    pub strict: bool,
    /// `dry_run`.
    pub dry_run: bool,
}

/// The longest value of a root field, in bytes as sent.
pub fn limit(field: RootField, limits: &Limits) -> usize {
    match field.kind() {
        FieldKind::Object => usize::try_from(limits.content).unwrap_or(usize::MAX),
        FieldKind::Text
        | FieldKind::Integer
        | FieldKind::TextOrInteger
        | FieldKind::Boolean
        | FieldKind::Items
        | FieldKind::Attachments => SCALAR_LIMIT,
    }
}

/// Why a field cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    /// The value is wrong: what it must be.
    MustBe(MustBe),
    /// No room to keep or convert it.
    OutOfMemory(OutOfMemory),
}

impl From<MustBe> for SetError {
    fn from(must_be: MustBe) -> Self {
        Self::MustBe(must_be)
    }
}

impl From<OutOfMemory> for SetError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

impl Root {
    /// Decodes and keeps a field's value: JSON text, or XML markup. What `content` and `custom_data` take stays reserved in
    /// `memory`.
    pub fn set(
        &mut self,
        field: RootField,
        value: &[u8],
        body: Format,
        marked_array: bool,
        memory: &mut Reservation,
    ) -> Result<(), SetError> {
        match field {
            RootField::Content => self.content = object(value, body, marked_array, memory)?,
            RootField::CustomData => self.custom_data = object(value, body, marked_array, memory)?,
            _ => {
                let value = match body {
                    Format::Json => json::scalar(value),
                    Format::Xml if marked_array => Scalar::WrongType(Received::MarkedArray),
                    Format::Xml => xml::text(value),
                };
                self.set_scalar(field, &value)?;
            }
        }
        Ok(())
    }

    fn set_scalar(&mut self, field: RootField, value: &Scalar<'_>) -> Result<(), MustBe> {
        let text = || scalar::text(value);
        let boolean = || scalar::boolean(value);
        match field {
            RootField::Token => {
                let token = text()?.map(str::trim_ascii);
                self.token = token.filter(|token| !token.is_empty()).map(str::to_owned);
            }
            RootField::Format => {
                let known = |text| Format::from_name(text).ok_or(Cow::Borrowed("must be json or xml"));
                self.format = text()?.map(known).transpose()?;
            }
            RootField::TriggerId => {
                self.trigger_id = scalar::integer(value, 1..=TRIGGER_ID_MAX)?;
            }
            RootField::Matching => {
                let known = |text| Matching::from_name(text).ok_or_else(unknown_mode);
                self.matching = text()?.map(known).transpose()?;
            }
            RootField::FieldName => self.field_name = text()?.map(str::to_owned),
            RootField::SkipTriggers => self.skip_triggers = boolean()?.unwrap_or(false),
            RootField::Report => self.report = boolean()?.unwrap_or(false),
            RootField::Strict => self.strict = boolean()?.unwrap_or(false),
            RootField::DryRun => self.dry_run = boolean()?.unwrap_or(false),
            // `set` decodes objects. Arrays and the fields of a single item are not set here.
            RootField::Content
            | RootField::CustomData
            | RootField::Data
            | RootField::Attach
            | RootField::Key(_) => {}
        }
        Ok(())
    }
}

/// Decodes an object, and reserves what is kept of it.
fn object(
    value: &[u8],
    body: Format,
    marked_array: bool,
    memory: &mut Reservation,
) -> Result<Option<String>, SetError> {
    let object = match body {
        Format::Json => {
            memory.grow(value.len() as u64)?;
            json::object(value)
        }
        Format::Xml if marked_array => ObjectText::WrongType(Received::MarkedArray),
        Format::Xml => xml::object(value, usize::MAX, memory)?,
    };
    match object {
        ObjectText::Absent => Ok(None),
        ObjectText::Object(Cow::Borrowed(text)) => Ok(Some(text.to_owned())),
        ObjectText::Object(Cow::Owned(mut text)) => {
            let reserved = text.capacity();
            text.shrink_to_fit();
            memory.shrink((reserved - text.capacity()) as u64);
            Ok(Some(text))
        }
        // Without a limit nothing is too long.
        ObjectText::TooLong => Err(OutOfMemory::Entries.into()),
        ObjectText::WrongType(received) => Err(scalar::must_be("an object", Some(received)).into()),
    }
}

fn unknown_mode() -> Cow<'static, str> {
    let names: Vec<_> = Matching::ALL.iter().map(|(_, name)| *name).collect();
    format!("must be one of {}", names.join(", ")).into()
}
