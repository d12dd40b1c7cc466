//! The root fields of a body, decoded from JSON or XML.

use crate::{
    fields::{FieldKind, RootField},
    launch::matching::Matching,
    limits::{Limits, SCALAR_LIMIT},
    memory::{OutOfMemory, Reservation},
    text::SAFE_INTEGER_MAX,
    wire::{
        Format, ObjectText, Scalar, ValueType, json,
        scalar::{self, MustBe},
        xml,
    },
};
use std::borrow::Cow;

/// The root fields that have arrived.
#[derive(Debug, Default)]
pub struct Root {
    pub token: Option<String>,
    /// The format of the reply.
    pub format: Option<Format>,
    /// `trigger_id` of `start_batch`, or `id` of `start`.
    pub trigger_id: Option<u64>,
    pub matching: Option<Matching>,
    pub field_name: Option<String>,
    pub skip_triggers: bool,
    /// JSON text.
    pub content: Option<String>,
    /// JSON text.
    pub custom_data: Option<String>,
    pub report: bool,
    pub strict: bool,
    pub dry_run: bool,
}

/// Returns the longest value of a root field, in bytes as sent.
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
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// The value is invalid. The text says what is expected.
    #[error("{0}")]
    MustBe(MustBe),
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}

impl From<MustBe> for SetError {
    fn from(must_be: MustBe) -> Self {
        Self::MustBe(must_be)
    }
}

impl Root {
    /// Decodes a value (JSON text or XML markup) and sets its field. The memory of `content` and `custom_data` stays reserved.
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
            RootField::Token
            | RootField::Format
            | RootField::TriggerId
            | RootField::Matching
            | RootField::FieldName
            | RootField::SkipTriggers
            | RootField::Report
            | RootField::Strict
            | RootField::DryRun => {
                let value = match body {
                    Format::Json => json::scalar(value),
                    Format::Xml if marked_array => Scalar::WrongType(ValueType::MarkedArray),
                    Format::Xml => xml::text(value),
                };
                self.set_scalar(field, &value)?;
            }
            // The collector handles arrays and the item fields of `start`.
            RootField::Data | RootField::Attach | RootField::Key(_) => {}
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
                self.trigger_id = scalar::integer(value, 1..=SAFE_INTEGER_MAX)?;
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
            // `set` decodes objects. The collector handles arrays and the item fields of `start`.
            RootField::Content | RootField::CustomData | RootField::Data | RootField::Attach | RootField::Key(_) => {}
        }
        Ok(())
    }
}

/// Decodes an object and reserves its memory.
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
        Format::Xml if marked_array => ObjectText::WrongType(ValueType::MarkedArray),
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
        // Unreachable: no limit is given.
        ObjectText::TooLong => Err(OutOfMemory::Entries.into()),
        ObjectText::WrongType(received) => Err(scalar::must_be("an object", Some(received)).into()),
    }
}

fn unknown_mode() -> Cow<'static, str> {
    let names: Vec<_> = Matching::ALL.iter().map(|(_, name)| *name).collect();
    format!("must be one of {}", names.join(", ")).into()
}
