//! Framing of XML against `roxmltree`: what one accepts the other accepts, and the pieces are those that the tree gives.
//!
//! ItemState differences: `roxmltree` reads namespaces (so `xsi:nil` is replaced before it reads), has no limit of depth, takes nearly anything for an XML declaration,
//! wants no white space behind the target of a processing instruction, and knows nothing of the root's name and text.

use super::{
    framing::{FramedBody, RecordedPiece, frame},
    json::kept,
};
use roxmltree::{Document, Node};
use trigger_launch::{
    fields::{AttachmentField, Endpoint, RootField},
    limits::DEPTH_LIMIT,
    memory::{Budget, Reservation},
    wire::{FrameError, Scalar, xml},
};

/// The target.
pub fn run(data: &[u8]) {
    for endpoint in [Endpoint::StartBatch, Endpoint::Start] {
        let outcome = frame::<xml::XmlFramer>(endpoint, data);
        outcome.pieces.iter().for_each(decoded);
        let Ok(body) = std::str::from_utf8(data) else {
            assert!(outcome.result.is_err(), "accepted, and not UTF-8");
            continue;
        };
        if let Some(body) = without_namespaces(body) {
            compare(endpoint, &body, &outcome);
        }
    }
}

/// The body for a reader of namespaces, for which `xsi:nil` has a name as long that needs no declaration. `None` if that
/// reader may see the body differently.
pub fn without_namespaces(body: &str) -> Option<String> {
    let renamed = renamed(body);
    (!renamed.contains(':') && !renamed.contains("xmlns") && !body.contains(NIL)).then_some(renamed)
}

/// Stands for `xsi:nil`.
const NIL: &str = "xsi_nil";

fn renamed(text: &str) -> String {
    text.replace("xsi:nil", NIL)
}

/// The text as it was before [`without_namespaces`].
pub fn with_namespaces(text: &str) -> String {
    text.replace(NIL, "xsi:nil")
}

/// Whether it is marked as nil. References in the attribute are not decoded.
pub fn is_nil(node: Node<'_, '_>) -> bool {
    let attribute = node.attribute_node(NIL);
    let value = attribute.map(|attribute| &node.document().input_text()[attribute.range_value()]);
    value.is_some_and(|value| matches!(value.trim_matches([' ', '\t', '\r', '\n']), "true" | "1"))
}

/// Line ends as the standard has them (§2.11). `roxmltree` leaves some carriage returns as they are.
pub fn lines(body: &str) -> String {
    body.replace("\r\n", "\n").replace('\r', "\n")
}

fn compare(endpoint: Endpoint, body: &str, outcome: &FramedBody) {
    let text = lines(body);
    let Ok(document) = Document::parse(&text) else {
        assert!(outcome.result.is_err(), "accepted, and not well-formed");
        return;
    };
    let root = document.root_element();
    if root.tag_name().name() != "xml" || !is_white(&own_text(root)) {
        assert!(outcome.result.is_err(), "accepted with an invalid root");
        return;
    }
    match &outcome.result {
        Err(FrameError::Encoding(_)) => assert!(text.contains("encoding"), "no encoding is named"),
        Err(FrameError::Malformed { at, what }) => {
            let declaration = text.trim_start_matches('\u{FEFF}').starts_with("<?xml") && *at < 60;
            let known = declaration
                || what.contains("'?>' in a processing instruction")
                || (what.contains("deeper than 64") && depth(root) > DEPTH_LIMIT);
            assert!(known, "refused: {what} at {at}");
        }
        Ok(()) => {
            assert!(depth(root) <= DEPTH_LIMIT, "accepted, and too deep");
            assert_eq!(in_lines(&outcome.pieces), in_lines(&pieces(endpoint, root, &text)));
        }
    }
}

fn depth(node: Node<'_, '_>) -> usize {
    node.descendants().map(|node| node.ancestors().filter(Node::is_element).count()).max().unwrap_or_default()
}

/// Whether it is nothing but XML's white space.
pub fn is_white(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

/// The element's own character data.
pub fn own_text(node: Node<'_, '_>) -> String {
    node.children().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

/// Whether it says `array='true'`.
pub fn is_array(node: Node<'_, '_>) -> bool {
    node.attribute("array") == Some("true")
}

fn pieces(endpoint: Endpoint, root: Node<'_, '_>, text: &str) -> Vec<RecordedPiece> {
    let mut got = Vec::new();
    for child in root.children().filter(Node::is_element) {
        match RootField::from_name(endpoint, child.tag_name().name().as_bytes()) {
            None => {}
            Some(RootField::Data) if is_nil(child) => got.push(RecordedPiece::Item(String::new(), None)),
            Some(RootField::Attach) if is_nil(child) => {}
            Some(field) if is_nil(child) => got.push(RecordedPiece::Null(field)),
            Some(RootField::Data) => got.push(RecordedPiece::Item(inner(child, text), None)),
            Some(RootField::Attach) => attachment(child, &mut got),
            Some(field) => {
                got.push(RecordedPiece::Field { field, value: inner(child, text), marked_array: is_array(child) });
            }
        }
    }
    got
}

/// The markup between an element's tags.
fn inner(node: Node<'_, '_>, text: &str) -> String {
    let outer = &text[node.range()];
    let mut quote = None;
    let end = outer.find(|character| {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (character, Some(open)) if character == open => quote = None,
            ('>', None) => return true,
            _ => {}
        }
        false
    });
    let (tag, content) = outer.split_at(end.expect("a tag ends") + 1);
    if tag.ends_with("/>") {
        return String::new();
    }
    content[..content.rfind("</").expect("an end tag")].to_owned()
}

fn attachment(entry: Node<'_, '_>, got: &mut Vec<RecordedPiece>) {
    got.push(RecordedPiece::AttachBegin);
    let (mut text_seen, mut name_seen, mut data_seen) = (false, false, false);
    for child in entry.children() {
        if child.is_text() && !text_seen && !is_white(child.text().unwrap_or_default()) {
            text_seen = true;
            got.push(RecordedPiece::AttachNotAnObject);
        }
        if !child.is_element() {
            continue;
        }
        let string = !is_array(child) && !child.children().any(|node| node.is_element());
        match child.tag_name().name() {
            "name" if std::mem::replace(&mut name_seen, true) => {
                got.push(RecordedPiece::AttachDuplicate(AttachmentField::Name))
            }
            "data" if std::mem::replace(&mut data_seen, true) => {
                got.push(RecordedPiece::AttachDuplicate(AttachmentField::Data))
            }
            "name" | "data" if is_nil(child) => {}
            "name" if string => got.push(RecordedPiece::AttachName(kept(&own_text(child)))),
            "name" => got.push(RecordedPiece::AttachNameWrongType),
            "data" if is_array(child) => got.push(RecordedPiece::AttachDataWrongType),
            "data" => {
                let before = child.children().take_while(|node| !node.is_element());
                let text: String = before.filter(Node::is_text).filter_map(|node| node.text()).collect();
                got.push(RecordedPiece::AttachData(text.into_bytes()));
                got.push(if string { RecordedPiece::AttachDataEnd } else { RecordedPiece::AttachDataWrongType });
            }
            _ => {}
        }
    }
    got.push(RecordedPiece::AttachEnd);
}

/// The pieces, with line ends as the standard has them; of attachment data, where they mean nothing, without any. That an
/// item is plain is left out: the tree does not tell how it was written.
fn in_lines(got: &[RecordedPiece]) -> Vec<RecordedPiece> {
    let piece = |got: &RecordedPiece| match got {
        RecordedPiece::Field { field, value, marked_array } => {
            RecordedPiece::Field { field: *field, value: renamed(&lines(value)), marked_array: *marked_array }
        }
        RecordedPiece::Item(raw, _) => RecordedPiece::Item(renamed(&lines(raw)), None),
        RecordedPiece::AttachName(name) => RecordedPiece::AttachName(renamed(name)),
        RecordedPiece::AttachData(data) => {
            let text = renamed(&String::from_utf8_lossy(data));
            RecordedPiece::AttachData(text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect())
        }
        other => other.clone(),
    };
    got.iter().map(piece).collect()
}

/// The decoders take every piece, and what is plain means what is read of the whole item. What they read is compared in
/// the target `intake`.
fn decoded(got: &RecordedPiece) {
    let mut memory = Reservation::new(&Budget::new(u64::MAX, u64::MAX), 0);
    match got {
        RecordedPiece::Field { value, .. } => {
            xml::text(value.as_bytes());
            let object = xml::object(value.as_bytes(), usize::MAX, &mut memory).expect("there is room");
            assert_eq!(memory.bytes(), object.allocated());
        }
        RecordedPiece::Item(raw, plain) => {
            let item = xml::item(raw.as_bytes(), &mut memory).expect("there is room");
            assert_eq!(memory.bytes(), item.as_ref().map_or(0, |item| item.custom_data.allocated()));
            let Some((name, value)) = plain else { return };
            let item = item.expect("what is plain is an item");
            let fields = [
                ("email", item.email),
                ("phone", item.phone),
                ("profile_id", item.profile_id),
                ("field_value", item.field_value),
                ("provider", item.provider),
                ("subscription_id", item.subscription_id),
            ];
            for (field, scalar) in fields {
                let expected = if field == name { Scalar::Text(value.into()) } else { Scalar::Absent };
                assert_eq!(scalar, expected, "the short way comes to the same");
            }
        }
        _ => {}
    }
}
