//! A slow model of the framer and the decoders, based on the tree of `roxmltree`.

use roxmltree::Node;
use serde_json::{Map, Value};

use crate::fields::{Endpoint, RootField};

fn is_white(text: &str) -> bool {
    text.chars().all(|char| matches!(char, ' ' | '\t' | '\r' | '\n'))
}

fn is_array(node: Node<'_, '_>) -> bool {
    node.attribute("array") == Some("true")
}

/// Replaces `xsi:nil`, whose prefix would need a declaration in `roxmltree`.
pub const NIL: &str = "xsi_nil";

fn is_nil(node: Node<'_, '_>) -> bool {
    matches!(node.attribute(NIL).map(str::trim), Some("true" | "1"))
}

/// The text directly in the element.
fn own_text(node: Node<'_, '_>) -> String {
    node.children().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

/// The text of an element without child elements.
pub fn string(node: Node<'_, '_>) -> Option<String> {
    (!node.children().any(|child| child.is_element())).then(|| own_text(node))
}

/// The value of a field as JSON; `None` if its type is wrong.
pub fn object(node: Node<'_, '_>) -> Option<Value> {
    match value(node)? {
        Value::String(text) => is_white(&text).then(|| Value::Object(Map::new())),
        object => Some(object),
    }
}

fn value(node: Node<'_, '_>) -> Option<Value> {
    let children: Vec<_> = node.children().filter(Node::is_element).collect();
    if children.is_empty() {
        return Some(Value::String(own_text(node)));
    }
    if !is_white(&own_text(node)) {
        return None;
    }
    let mut object = Map::new();
    for child in &children {
        let name = child.tag_name().name();
        let same: Vec<_> = children.iter().filter(|other| other.tag_name().name() == name).collect();
        let values: Vec<_> = same.iter().map(|node| value(**node)).collect::<Option<_>>()?;
        let single = values.len() == 1 && !is_array(*child);
        object.insert(name.to_owned(), if single { values.into_iter().next()? } else { Value::Array(values) });
    }
    Some(Value::Object(object))
}

/// An item: `None` if it is invalid, otherwise its fields in the order of [`ITEM_FIELDS`] (absent, text, or `Err` for a wrong
/// type) and its `custom_data`.
pub type Fields = (Vec<Option<Result<String, ()>>>, Option<Result<Value, ()>>);

pub const ITEM_FIELDS: [&str; 6] = ["email", "phone", "profile_id", "field_value", "provider", "subscription_id"];

pub fn item(node: Node<'_, '_>) -> Option<Fields> {
    if !is_white(&own_text(node)) {
        return None;
    }
    let only = |name: &str| {
        let all: Vec<_> = node.children().filter(|child| child.has_tag_name(name)).collect();
        match all[..] {
            [] => None,
            [one] if is_nil(one) => None,
            [one] if !is_array(one) => Some(Ok(one)),
            _ => Some(Err(())),
        }
    };
    let text = |name: &str| only(name).map(|found| found.and_then(|node| string(node).ok_or(())));
    let custom_data = only("custom_data").map(|found| found.and_then(|node| object(node).ok_or(())));
    Some((ITEM_FIELDS.iter().map(|name| text(name)).collect(), custom_data))
}

/// The expected pieces, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Field { field: RootField, array: bool, text: Option<String>, object: Option<Value> },
    Null(RootField),
    Item(Option<Fields>),
    Attach { has_text: bool, name: Option<Result<String, ()>>, data: Option<Result<String, ()>> },
}

/// `None`: the body is rejected because its root is not named `xml` or contains text.
pub fn pieces(endpoint: Endpoint, root: Node<'_, '_>) -> Option<Vec<Expected>> {
    if root.tag_name().name() != "xml" || !is_white(&own_text(root)) {
        return None;
    }
    let child = |node: Node<'_, '_>| {
        Some(match RootField::from_name(endpoint, node.tag_name().name().as_bytes())? {
            RootField::Data if is_nil(node) => Expected::Item(Some((vec![None; ITEM_FIELDS.len()], None))),
            RootField::Attach if is_nil(node) => return None,
            field if is_nil(node) => Expected::Null(field),
            RootField::Data => Expected::Item(item(node)),
            RootField::Attach => {
                let first = |name: &str| {
                    let node = node.children().find(|child| child.has_tag_name(name)).filter(|node| !is_nil(*node))?;
                    Some(string(node).filter(|_| !is_array(node)).ok_or(()))
                };
                Expected::Attach { has_text: !is_white(&own_text(node)), name: first("name"), data: first("data") }
            }
            field => Expected::Field { field, array: is_array(node), text: string(node), object: object(node) },
        })
    };
    Some(root.children().filter(Node::is_element).filter_map(child).collect())
}
