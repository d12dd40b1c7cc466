//! Complete pieces to scalars and items. The framer has checked them; anything else that comes here is of a wrong type.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use super::chars::is_white;
use super::elements::{Part, Parts};
use super::object::object;
use super::{Marks, tag};
use crate::limits::{ITEM_DATA_LIMIT, KEY_LIMIT, SCALAR_LIMIT};
use crate::memory::{OutOfMemory, Reservation};
use crate::wire::{Item, InvalidItem, ObjectText, ValueType, Scalar};

/// Reads a root field: its text, without the white space around it (which is there to make XML readable).
pub fn text(raw: &[u8]) -> Scalar<'_> {
    let trim = |char: char| u8::try_from(char).is_ok_and(is_white);
    match text_as_is(raw) {
        Scalar::Text(Cow::Borrowed(text)) => Scalar::Text(Cow::Borrowed(text.trim_matches(trim))),
        Scalar::Text(Cow::Owned(text)) => Scalar::Text(Cow::Owned(text.trim_matches(trim).to_owned())),
        other => other,
    }
}

/// Reads a root field without trimming. Elements are of a wrong type.
pub fn text_as_is(raw: &[u8]) -> Scalar<'_> {
    let text = std::str::from_utf8(raw).ok().and_then(|raw| string(raw, SCALAR_LIMIT));
    text.map_or(Scalar::WrongType(ValueType::Elements), Scalar::Text)
}

/// Reads the text that markup without elements stands for. If the text has to be decoded, and is longer than `limit` bytes, it
/// is cut after more than that: no more memory is used than a text within the limit needs.
fn string(raw: &str, limit: usize) -> Option<Cow<'_, str>> {
    if is_plain(raw) {
        return Some(Cow::Borrowed(raw));
    }
    // The longest character has four bytes.
    let most = limit.saturating_add(4);
    let mut text = String::with_capacity(raw.len().min(most));
    characters(raw, |part| {
        let room = most.saturating_sub(text.len());
        text.push_str(part.get(..part.floor_char_boundary(room)).unwrap_or_default());
    })?;
    Some(Cow::Owned(text))
}

/// Whether markup is the text that it stands for.
pub fn is_plain(raw: &str) -> bool {
    memchr::memchr3(b'<', b'&', b'\r', raw.as_bytes()).is_none()
}

/// Passes the text that markup without elements stands for to `out`, piece by piece. `None` if there are elements, or an
/// unknown reference.
pub fn characters(raw: &str, mut out: impl FnMut(&str)) -> Option<()> {
    // The reader takes a first U+FEFF for a byte order mark, but here it is a character.
    let rest = raw.trim_start_matches('\u{FEFF}');
    out(raw.get(..raw.len() - rest.len())?);
    let mut reader = Reader::from_str(rest);
    loop {
        match reader.read_event().ok()? {
            Event::Text(part) => lines(&part, &mut out),
            Event::CData(part) => lines(&part, &mut out),
            Event::GeneralRef(reference) => out(character(&reference)?.encode_utf8(&mut [0; 4])),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => return Some(()),
            Event::Start(_) | Event::Empty(_) | Event::End(_) | Event::Decl(_) | Event::DocType(_) => return None,
        }
    }
}

/// Passes text on with line ends as XML has them (§2.11): `\r\n` and `\r` become `\n`.
fn lines(text: &str, out: &mut impl FnMut(&str)) {
    let mut parts = text.split('\r');
    out(parts.next().unwrap_or_default());
    for part in parts {
        out("\n");
        out(part.strip_prefix('\n').unwrap_or(part));
    }
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

/// Whether character data is white space, references included. `None` if it has an unknown reference among white space.
pub fn is_blank(raw: &str) -> Option<bool> {
    match raw.bytes().find(|byte| !is_white(*byte)) {
        None => Some(true),
        Some(b'&') => {
            let mut blank = true;
            characters(raw, |part| blank &= part.bytes().all(is_white))?;
            Some(blank)
        }
        Some(_) => Some(false),
    }
}

/// Reads the fields of an item from the inner markup of its element. Text of the item's own makes it no item.
///
/// A field is text as it stands there; with elements inside, marked as an array or given twice it is of a wrong type. A key
/// that is longer than [`KEY_LIMIT`] may be cut after more than that. `custom_data` follows [`object`]: its text stays
/// reserved in `memory`. Unknown fields are ignored.
pub fn item<'a>(raw: &'a [u8], memory: &mut Reservation) -> Result<Result<Item<'a>, InvalidItem>, OutOfMemory> {
    let mut item = Item::default();
    let read = fields(raw, &mut item, memory)?;
    if read.is_err() {
        memory.shrink(item.custom_data.allocated());
    }
    Ok(read.map(|()| item))
}

fn fields<'a>(
    raw: &'a [u8],
    item: &mut Item<'a>,
    memory: &mut Reservation,
) -> Result<Result<(), InvalidItem>, OutOfMemory> {
    let Ok(markup) = std::str::from_utf8(raw) else { return Ok(Err(InvalidItem)) };
    let mut parts = Parts::new(markup);
    let mut seen = 0;
    loop {
        let Ok(part) = parts.next() else { return Ok(Err(InvalidItem)) };
        let is_white = match part {
            None => return Ok(Ok(())),
            Some(Part::Start { tag, .. }) => {
                let Some((name, marks, inner)) = child(tag, &mut parts) else { return Ok(Err(InvalidItem)) };
                field(item, &mut seen, (name, marks), inner, memory)?;
                continue;
            }
            Some(Part::Text(text)) => is_blank(text).unwrap_or(false),
            Some(Part::CData(text)) => text.bytes().all(is_white),
            Some(Part::End { .. }) => false,
        };
        if !is_white {
            return Ok(Err(InvalidItem));
        }
    }
}

/// The name, the marks and the inner markup of the element that begins with `tag`.
fn child<'a>(tag: &'a str, parts: &mut Parts<'a>) -> Option<(&'a str, Marks, &'a str)> {
    let start = tag::start(tag.as_bytes(), 0).ok()?;
    let name = tag.get(..start.name.len())?;
    let inner = if start.empty { "" } else { parts.skip(name).ok()? };
    Some((name, start.marks, inner))
}

/// Puts a child of an item where it belongs. `seen` has a bit for each field that has come.
fn field<'a>(
    item: &mut Item<'a>,
    seen: &mut u8,
    (name, marks): (&str, Marks),
    inner: &'a str,
    memory: &mut Reservation,
) -> Result<(), OutOfMemory> {
    const CUSTOM_DATA: u8 = 1 << 6;
    let (bit, slot) = match name {
        "email" => (1, &mut item.email),
        "phone" => (1 << 1, &mut item.phone),
        "profile_id" => (1 << 2, &mut item.profile_id),
        "field_value" => (1 << 3, &mut item.field_value),
        "provider" => (1 << 4, &mut item.provider),
        "subscription_id" => (1 << 5, &mut item.subscription_id),
        "custom_data" => {
            let twice = *seen & CUSTOM_DATA != 0;
            *seen |= CUSTOM_DATA;
            item.custom_data = match marks {
                _ if twice => {
                    memory.shrink(item.custom_data.allocated());
                    ObjectText::WrongType(ValueType::Elements)
                }
                Marks { nil: true, .. } => ObjectText::Absent,
                Marks { array: true, .. } => ObjectText::WrongType(ValueType::MarkedArray),
                _ => object(inner.as_bytes(), ITEM_DATA_LIMIT, memory)?,
            };
            return Ok(());
        }
        _ => return Ok(()),
    };
    let twice = *seen & bit != 0;
    *seen |= bit;
    *slot = match marks {
        _ if twice => Scalar::WrongType(ValueType::Elements),
        Marks { nil: true, .. } => Scalar::Absent,
        Marks { array: true, .. } => Scalar::WrongType(ValueType::MarkedArray),
        _ => string(inner, KEY_LIMIT).map_or(Scalar::WrongType(ValueType::Elements), Scalar::Text),
    };
    Ok(())
}
