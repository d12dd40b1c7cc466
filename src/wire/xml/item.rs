//! Decodes items.

use super::characters::is_white;
use super::markup::{MarkupPart, MarkupParts};
use super::object::object;
use super::string::{decode, is_blank};
use super::tag::{self, Marks};
use crate::fields::{ItemField, ItemFieldSet};
use crate::limits::{ITEM_DATA_LIMIT, KEY_LIMIT};
use crate::memory::{OutOfMemory, Reservation};
use crate::wire::{InvalidItem, Item, ObjectText, Scalar, ValueType};

/// Decodes an item from the markup between the tags of its element. An item with text of its own is invalid.
///
/// A key is text as sent. Its type is wrong if it contains elements, is marked as an array, or occurs twice. A key longer than
/// [`KEY_LIMIT`] may be cut after a few more bytes. The text of `custom_data` ([`object`]) stays reserved in `memory`.
pub fn item<'a>(raw: &'a [u8], memory: &mut Reservation) -> Result<Result<Item<'a>, InvalidItem>, OutOfMemory> {
    let mut item = Item::default();
    let result = read_fields(raw, &mut item, memory)?;
    if result.is_err() {
        memory.shrink(item.custom_data.allocated());
    }
    Ok(result.map(|()| item))
}

fn read_fields<'a>(
    raw: &'a [u8],
    item: &mut Item<'a>,
    memory: &mut Reservation,
) -> Result<Result<(), InvalidItem>, OutOfMemory> {
    let Ok(markup) = std::str::from_utf8(raw) else { return Ok(Err(InvalidItem)) };
    let mut parts = MarkupParts::new(markup);
    let mut seen = ItemFieldSet::default();
    loop {
        let Ok(part) = parts.next() else { return Ok(Err(InvalidItem)) };
        let is_white = match part {
            None => return Ok(Ok(())),
            Some(MarkupPart::Start { tag, .. }) => {
                let Some((name, marks, inner)) = child(tag, &mut parts) else { return Ok(Err(InvalidItem)) };
                set_field(item, &mut seen, (name, marks), inner, memory)?;
                continue;
            }
            Some(MarkupPart::Text(text)) => is_blank(text).unwrap_or(false),
            Some(MarkupPart::CData(text)) => text.bytes().all(is_white),
            Some(MarkupPart::End { .. }) => false,
        };
        if !is_white {
            return Ok(Err(InvalidItem));
        }
    }
}

/// Returns name, marks and inner markup of the element that begins with `tag`.
fn child<'a>(tag: &'a str, parts: &mut MarkupParts<'a>) -> Option<(&'a str, Marks, &'a str)> {
    let start = tag::read_start(tag.as_bytes(), 0).ok()?;
    let name = tag.get(..start.name.len())?;
    let inner = if start.is_empty { "" } else { parts.skip(name).ok()? };
    Some((name, start.marks, inner))
}

/// Sets the field of an item with this name. Unknown fields are ignored.
fn set_field<'a>(
    item: &mut Item<'a>,
    seen: &mut ItemFieldSet,
    (name, marks): (&str, Marks),
    inner: &'a str,
    memory: &mut Reservation,
) -> Result<(), OutOfMemory> {
    let Some(field) = ItemField::from_name(name.as_bytes()) else { return Ok(()) };
    let is_first = seen.insert(field);
    match field {
        ItemField::Key(field) => {
            *item.key_mut(field) = match marks {
                _ if !is_first => Scalar::WrongType(ValueType::Elements),
                Marks { nil: true, .. } => Scalar::Absent,
                Marks { array: true, .. } => Scalar::WrongType(ValueType::MarkedArray),
                _ => decode(inner, KEY_LIMIT).map_or(Scalar::WrongType(ValueType::Elements), Scalar::Text),
            };
        }
        ItemField::CustomData => {
            item.custom_data = match marks {
                _ if !is_first => {
                    memory.shrink(item.custom_data.allocated());
                    ObjectText::WrongType(ValueType::Elements)
                }
                Marks { nil: true, .. } => ObjectText::Absent,
                Marks { array: true, .. } => ObjectText::WrongType(ValueType::MarkedArray),
                _ => object(inner.as_bytes(), ITEM_DATA_LIMIT, memory)?,
            };
        }
    }
    Ok(())
}
