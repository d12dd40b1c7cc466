//! The fields of a body's root, decoded: JSON and XML into the same types.

use super::matching::Matching;
use crate::{
    limits::{Limits, SCALAR_LIMIT},
    wire::{Field, Format, ObjectText, Scalar, json, scalar, xml},
};
use std::borrow::Cow;

/// The largest `trigger_id`: the largest integer that every JSON reader keeps exactly.
pub const TRIGGER_ID_MAX: u64 = (1 << 53) - 1;

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
pub fn limit(field: Field, limits: &Limits) -> usize {
    match field {
        Field::Content | Field::CustomData => usize::try_from(limits.content).unwrap_or(usize::MAX),
        _ => SCALAR_LIMIT,
    }
}

impl Root {
    /// Takes in a field's value: JSON text, or XML markup. The error says what the value has to be.
    pub fn set(
        &mut self,
        field: Field,
        value: &[u8],
        body: Format,
        marked_array: bool,
    ) -> Result<(), Cow<'static, str>> {
        if matches!(field, Field::Content | Field::CustomData) {
            let object = match body {
                Format::Json => json::object(value),
                Format::Xml if marked_array => ObjectText::WrongType,
                Format::Xml => xml::object(value),
            };
            let object = match object {
                ObjectText::Absent => None,
                ObjectText::Object(text) => Some(text.into_owned()),
                ObjectText::WrongType => return Err("must be an object".into()),
            };
            match field {
                Field::Content => self.content = object,
                _ => self.custom_data = object,
            }
            return Ok(());
        }
        let value = match body {
            Format::Json => json::scalar(value),
            Format::Xml if marked_array => Scalar::WrongType,
            Format::Xml => xml::text(value),
        };
        self.set_scalar(field, &value)
    }

    fn set_scalar(&mut self, field: Field, value: &Scalar<'_>) -> Result<(), Cow<'static, str>> {
        let text = || scalar::text(value);
        let boolean = || scalar::boolean(value);
        match field {
            Field::Token => self.token = text()?.filter(|token| !token.is_empty()).map(str::to_owned),
            Field::Format => {
                let known = |text| Format::from_name(text).ok_or(Cow::Borrowed("must be json or xml"));
                self.format = text()?.map(known).transpose()?;
            }
            Field::TriggerId => {
                self.trigger_id = scalar::integer(value, 1..=TRIGGER_ID_MAX)?;
            }
            Field::Matching => {
                let known = |text| Matching::from_name(text).ok_or_else(unknown_mode);
                self.matching = text()?.map(known).transpose()?;
            }
            Field::FieldName => self.field_name = text()?.map(str::to_owned),
            Field::SkipTriggers => self.skip_triggers = boolean()?.unwrap_or(false),
            Field::Report => self.report = boolean()?.unwrap_or(false),
            Field::Strict => self.strict = boolean()?.unwrap_or(false),
            Field::DryRun => self.dry_run = boolean()?.unwrap_or(false),
            // The rest is not the root's: `data`, `attach`, and the item of a single launch.
            _ => {}
        }
        Ok(())
    }
}

fn unknown_mode() -> Cow<'static, str> {
    let names: Vec<_> = Matching::ALL.iter().map(|(_, name)| *name).collect();
    format!("must be one of {}", names.join(", ")).into()
}
