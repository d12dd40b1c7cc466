//! Complete pieces to scalars and items. The framer has checked them; what it would not let pass is of a wrong
//! type here.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::QName;

use super::chars::is_white;
use super::object::object;
use crate::wire::{Item, NotAnItem, ObjectText, Scalar};

/// A root field's value: its text without the white space around it (which is there to make XML readable).
pub fn text(raw: &[u8]) -> Scalar<'_> {
    let trim = |char: char| u8::try_from(char).is_ok_and(is_white);
    match text_as_is(raw) {
        Scalar::Text(Cow::Borrowed(text)) => Scalar::Text(Cow::Borrowed(text.trim_matches(trim))),
        Scalar::Text(Cow::Owned(text)) => Scalar::Text(Cow::Owned(text.trim_matches(trim).to_owned())),
        other => other,
    }
}

/// Text as it stands there, white space included; of a wrong type where there are elements.
pub fn text_as_is(raw: &[u8]) -> Scalar<'_> {
    std::str::from_utf8(raw).ok().and_then(string).map_or(Scalar::WrongType, Scalar::Text)
}

/// Inner markup without elements as the text that it stands for.
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr3(b'<', b'&', b'\r', raw.as_bytes()).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    let (mut text, mut reader) = reader(raw);
    loop {
        match reader.read_event().ok()? {
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => text.push(character(&reference)?),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => return Some(Cow::Owned(text)),
            Event::Start(_) | Event::Empty(_) | Event::End(_) | Event::Decl(_) | Event::DocType(_) => return None,
        }
    }
}

/// A reader of a piece, and the text that precedes what it reads. (At the start of what it is given the reader
/// takes U+FEFF for a byte order mark, but here it is a character.)
fn reader(raw: &str) -> (String, Reader<&[u8]>) {
    let rest = raw.trim_start_matches('\u{FEFF}');
    let (marks, rest) = raw.split_at_checked(raw.len() - rest.len()).unwrap_or(("", raw));
    (marks.to_owned(), Reader::from_str(rest))
}

/// The character that a reference stands for.
pub fn character(reference: &BytesRef<'_>) -> Option<char> {
    match reference.resolve_char_ref() {
        Ok(Some(char)) => Some(char),
        Ok(None) => match reference.as_ref() {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => None,
        },
        Err(_) => None,
    }
}

/// Whether a tag holds `array='true'`.
pub fn marks_array(tag: &BytesStart<'_>) -> bool {
    // The framer has checked that they are unique; the check here takes the square of their number.
    !tag.attributes_raw().is_empty()
        && tag
            .attributes()
            .with_checks(false)
            .flatten()
            .any(|attribute| attribute.key == QName("array") && attribute.value.as_ref() == "true")
}

/// Whether text between elements is nothing but white space.
pub fn is_blank(text: &str) -> bool {
    text.bytes().all(is_white)
}

/// The fields of an item, from the inner markup of its element. Text of the item's own makes it none.
///
/// A field is text as it stands there; with elements inside, marked as an array or given twice it is of a wrong
/// type. `custom_data` follows [`object`]. Fields that are not known are ignored.
pub fn item(raw: &[u8]) -> Result<Item<'_>, NotAnItem> {
    let raw = std::str::from_utf8(raw).map_err(|_| NotAnItem)?;
    if raw.starts_with('\u{FEFF}') {
        return Err(NotAnItem);
    }
    let mut reader = Reader::from_str(raw);
    let mut item = Item::default();
    loop {
        match reader.read_event().map_err(|_| NotAnItem)? {
            Event::Start(tag) => {
                let span = reader.read_to_end(tag.name()).map_err(|_| NotAnItem)?;
                let ends = usize::try_from(span.start).ok().zip(usize::try_from(span.end).ok());
                let inner = ends.and_then(|(start, end)| raw.get(start..end)).ok_or(NotAnItem)?;
                field(&mut item, &tag, inner);
            }
            Event::Empty(tag) => field(&mut item, &tag, ""),
            Event::Text(text) if is_blank(&text) => {}
            Event::CData(text) if is_blank(&text) => {}
            Event::GeneralRef(reference)
                if character(&reference).is_some_and(|char| is_blank(char.encode_utf8(&mut [0; 4]))) => {}
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => return Ok(item),
            _ => return Err(NotAnItem),
        }
    }
}

/// Puts a child of an item where it belongs.
fn field<'a>(item: &mut Item<'a>, tag: &BytesStart<'_>, inner: &'a str) {
    let slot = match tag.name().as_ref() {
        "email" => &mut item.email,
        "phone" => &mut item.phone,
        "profile_id" => &mut item.profile_id,
        "field_value" => &mut item.field_value,
        "provider" => &mut item.provider,
        "subscription_id" => &mut item.subscription_id,
        "custom_data" => {
            let first = item.custom_data == ObjectText::Absent;
            let right = first && !marks_array(tag);
            item.custom_data = if right { object(inner.as_bytes()) } else { ObjectText::WrongType };
            return;
        }
        _ => return,
    };
    let first = *slot == Scalar::Absent;
    let value = if first && !marks_array(tag) { string(inner) } else { None };
    *slot = value.map_or(Scalar::WrongType, Scalar::Text);
}
