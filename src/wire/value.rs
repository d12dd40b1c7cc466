//! Decoded values: what the decoders of both formats return.

use std::{borrow::Cow, fmt};

use crate::fields::KeyField;

/// An entry of `data`, or the item of `start`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item<'a> {
    pub email: Scalar<'a>,
    pub phone: Scalar<'a>,
    pub profile_id: Scalar<'a>,
    pub field_value: Scalar<'a>,
    pub provider: Scalar<'a>,
    pub subscription_id: Scalar<'a>,
    /// The item's own `custom_data`.
    pub custom_data: ObjectText<'a>,
}

impl<'a> Item<'a> {
    pub fn key(&self, field: KeyField) -> &Scalar<'a> {
        match field {
            KeyField::Email => &self.email,
            KeyField::Phone => &self.phone,
            KeyField::ProfileId => &self.profile_id,
            KeyField::FieldValue => &self.field_value,
            KeyField::Provider => &self.provider,
            KeyField::SubscriptionId => &self.subscription_id,
        }
    }

    #[inline]
    pub fn key_mut(&mut self, field: KeyField) -> &mut Scalar<'a> {
        match field {
            KeyField::Email => &mut self.email,
            KeyField::Phone => &mut self.phone,
            KeyField::ProfileId => &mut self.profile_id,
            KeyField::FieldValue => &mut self.field_value,
            KeyField::Provider => &mut self.provider,
            KeyField::SubscriptionId => &mut self.subscription_id,
        }
    }
}

/// An entry of `data` is not an object, or has a known field twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an object, or a known field occurs twice")]
pub struct InvalidItem;

/// The value of a field that is a string, an integer or a boolean. [`super::scalar`] reads it as one of these types. From
/// XML, every value is text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scalar<'a> {
    /// The field is missing, or JSON `null`.
    #[default]
    Absent,
    /// A string, decoded.
    Text(Cow<'a, str>),
    /// A JSON number that is an integer (`-?[0-9]+`), as sent.
    Integer(&'a str),
    /// The integer part of a JSON number whose fraction is zero, such as `8.0`.
    ZeroFraction(&'a str),
    /// JSON `true` or `false`.
    Boolean(bool),
    WrongType(ValueType),
}

/// The value of a field that is an object, as JSON text. From JSON, the text is as sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ObjectText<'a> {
    /// The field is missing, or JSON `null`.
    #[default]
    Absent,
    Object(Cow<'a, str>),
    /// XML whose JSON text would be longer than the field's limit. It was not converted.
    TooLong,
    WrongType(ValueType),
}

impl ObjectText<'_> {
    /// Returns the bytes of memory that the text occupies, or 0 if it is borrowed from the body.
    pub fn allocated(&self) -> u64 {
        match self {
            Self::Object(Cow::Owned(text)) => text.capacity() as u64,
            _ => 0,
        }
    }
}

/// The type of a received value, for the messages of fields that require another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    Null,
    Boolean,
    Number,
    /// A number with a fraction or an exponent.
    OtherNumber,
    String,
    /// A JSON string that is not Unicode text, such as `"\ud800"`.
    LoneSurrogate,
    Array,
    Object,
    /// XML text in place of elements.
    Text,
    /// XML elements in place of text.
    Elements,
    /// An XML element with `array='true'`.
    MarkedArray,
}

impl ValueType {
    /// Returns the type of a JSON value from its first byte.
    pub fn of_json(first: u8) -> Self {
        match first {
            b'{' => Self::Object,
            b'[' => Self::Array,
            b'"' => Self::String,
            b't' | b'f' => Self::Boolean,
            b'n' => Self::Null,
            _ => Self::Number,
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "JSON null",
            Self::Boolean => "a JSON boolean",
            Self::Number => "a JSON number",
            Self::OtherNumber => "a JSON number with a fraction or an exponent",
            Self::String => "a JSON string",
            Self::LoneSurrogate => "a JSON string with half of a surrogate pair",
            Self::Array => "a JSON array",
            Self::Object => "a JSON object",
            Self::Text => "text",
            Self::Elements => "XML elements",
            Self::MarkedArray => "an XML element with array='true'",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_has_a_value_of_its_own_for_each_key_field() {
        let mut item = Item::default();
        for (number, field) in KeyField::ALL.into_iter().enumerate() {
            *item.key_mut(field) = Scalar::Text(number.to_string().into());
        }
        for (number, field) in KeyField::ALL.into_iter().enumerate() {
            assert_eq!(*item.key(field), Scalar::Text(number.to_string().into()));
        }
    }
}
