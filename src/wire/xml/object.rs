//! `content` and `custom_data`: XML to JSON.
//!
//! | XML | JSON |
//! |---|---|
//! | an element without children | its text as a string, white space included; `""` if it is empty |
//! | an element with children | an object of them, in the order in which their names first appear |
//! | several siblings of one name, or one marked `array='true'` | an array, where the first of them stands |
//! | the field itself, empty or with white space alone | an empty object |
//!
//! Text beside children is of a wrong type, unless it is white space. Other attributes, comments and processing
//! instructions are ignored.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::decode::{character, is_blank, marks_array, string};
use crate::limits::DEPTH_LIMIT;
use crate::wire::ObjectText;

/// The JSON object that the inner markup of `content` or `custom_data` stands for. Never absent: `<content/>` is
/// an empty object. Whether the field itself is marked as an array is the caller's to look at.
pub fn object(raw: &[u8]) -> ObjectText<'_> {
    let json = std::str::from_utf8(raw).ok().and_then(Tree::read).and_then(|tree| tree.json());
    json.map_or(ObjectText::WrongType, |json| ObjectText::Object(Cow::Owned(json)))
}

/// All elements of the field, in the order of their start tags. The first entry is the field itself.
///
/// One pass over the text makes the tree, and one over the tree the JSON: however deep it is, and however many
/// names there are, nothing is looked at again for each of them.
struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

#[derive(Default)]
struct Node<'a> {
    name: &'a str,
    /// The markup between its tags.
    inner: &'a str,
    array: bool,
    /// Places in the tree; 0 is none, for the field itself is nobody's child or sibling.
    first_child: usize,
    next: usize,
}

/// An element that has begun and not ended.
struct Open {
    node: usize,
    /// Where its content begins in the text.
    content: usize,
    last_child: usize,
    /// It has text that is not white space.
    has_text: bool,
}

impl<'a> Tree<'a> {
    /// `None` where text stands beside children, or the field itself is text.
    fn read(raw: &'a str) -> Option<Self> {
        if raw.starts_with('\u{FEFF}') {
            return None;
        }
        let mut reader = Reader::from_str(raw);
        let mut nodes = vec![Node { inner: raw, ..Node::default() }];
        let mut open = vec![Open { node: 0, content: 0, last_child: 0, has_text: false }];
        loop {
            let before = usize::try_from(reader.buffer_position()).ok()?;
            let event = reader.read_event().ok()?;
            let after = usize::try_from(reader.buffer_position()).ok()?;
            match &event {
                Event::Start(tag) | Event::Empty(tag) => {
                    if open.len() >= DEPTH_LIMIT {
                        return None;
                    }
                    let node = nodes.len();
                    let begin = before.checked_add(1)?;
                    let name = raw.get(begin..begin.checked_add(tag.name().as_ref().len())?)?;
                    nodes.push(Node { name, array: marks_array(tag), ..Node::default() });
                    let parent = open.last_mut()?;
                    let link = if parent.last_child == 0 {
                        &mut nodes.get_mut(parent.node)?.first_child
                    } else {
                        &mut nodes.get_mut(parent.last_child)?.next
                    };
                    *link = node;
                    parent.last_child = node;
                    if matches!(event, Event::Start(_)) {
                        open.push(Open { node, content: after, last_child: 0, has_text: false });
                    }
                }
                Event::End(_) => {
                    let closed = open.pop()?;
                    closed.is_sound().then_some(())?;
                    nodes.get_mut(closed.node)?.inner = raw.get(closed.content..before)?;
                }
                Event::Text(text) => open.last_mut()?.has_text |= !is_blank(text),
                Event::CData(text) => open.last_mut()?.has_text |= !is_blank(text),
                Event::GeneralRef(reference) => {
                    let char = character(reference)?;
                    open.last_mut()?.has_text |= !is_blank(char.encode_utf8(&mut [0; 4]));
                }
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => {
                    let field = open.pop()?;
                    return (open.is_empty() && !field.has_text).then_some(Self { nodes });
                }
                Event::Decl(_) | Event::DocType(_) => return None,
            }
        }
    }

    fn json(&self) -> Option<String> {
        let mut out = Vec::new();
        self.write_object(self.nodes.first()?, &mut out)?;
        String::from_utf8(out).ok()
    }

    /// Writes an element with children. As deep as the elements are, which are at most [`DEPTH_LIMIT`].
    fn write_object(&self, parent: &Node<'a>, out: &mut Vec<u8>) -> Option<()> {
        let mut children = self.children(parent);
        children.sort_unstable();
        let mut groups: Vec<&[(&str, usize)]> = children.chunk_by(|one, other| one.0 == other.0).collect();
        groups.sort_unstable_by_key(|group| group.first().map(|(_, node)| *node));
        out.push(b'{');
        for (index, group) in groups.iter().enumerate() {
            let (name, first) = group.first()?;
            separate(index, out);
            write_string(name, out)?;
            out.push(b':');
            let first = self.nodes.get(*first)?;
            if group.len() == 1 && !first.array {
                self.write_value(first, out)?;
                continue;
            }
            out.push(b'[');
            for (index, (_, node)) in group.iter().enumerate() {
                separate(index, out);
                self.write_value(self.nodes.get(*node)?, out)?;
            }
            out.push(b']');
        }
        out.push(b'}');
        Some(())
    }

    fn write_value(&self, node: &Node<'a>, out: &mut Vec<u8>) -> Option<()> {
        if node.first_child == 0 { write_string(&string(node.inner)?, out) } else { self.write_object(node, out) }
    }

    /// The names and places of the children of an element.
    fn children(&self, parent: &Node<'a>) -> Vec<(&'a str, usize)> {
        let place = |place: usize| (place != 0).then_some(place);
        let next = |last: &usize| self.nodes.get(*last).and_then(|node| place(node.next));
        std::iter::successors(place(parent.first_child), next)
            .filter_map(|place| Some((self.nodes.get(place)?.name, place)))
            .collect()
    }
}

impl Open {
    fn is_sound(&self) -> bool {
        !(self.has_text && self.last_child != 0)
    }
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) -> Option<()> {
    serde_json::to_writer(out, text).ok()
}
