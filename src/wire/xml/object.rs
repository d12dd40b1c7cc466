//! Converts `content` and `custom_data` from XML to JSON.
//!
//! | XML | JSON |
//! |---|---|
//! | an element without children | its text as a string, white space included; `""` if it is empty |
//! | an element with children | an object, in the order in which their names first appear |
//! | several siblings of one name, or one marked `array='true'` | an array, at the place of the first one |
//! | the field itself, if it is empty or white space | an empty object |
//!
//! Text next to children has the wrong type, unless it is white space. Other attributes (also `xsi:nil`), comments and
//! processing instructions are ignored.
//!
//! Converting 1 MiB of `<a/>` needs about 9 MiB, so the memory is computed and reserved first.

use std::{
    cell::Cell,
    cmp::Ordering,
    fmt,
    io::{self, Write},
};

use serde::Serializer as _;

use super::characters::is_white;
use super::markup::{MarkupPart, MarkupParts};
use super::string::{decode_pieces, is_blank, is_plain};
use super::tag;
use crate::limits::{DEPTH_LIMIT, NAME_LIMIT};
use crate::memory::{OutOfMemory, Reservation};
use crate::wire::{ObjectText, ValueType};

/// Converts the inner markup of `content` or `custom_data`, unless the JSON would be longer than `limit` bytes. The result is
/// never absent: `<content/>` is an empty object. The caller reads the attributes of the field itself.
///
/// The text that is returned stays reserved: the caller releases [`ObjectText::allocated`] when it drops the text.
pub fn object(raw: &[u8], limit: usize, memory: &mut Reservation) -> Result<ObjectText<'static>, OutOfMemory> {
    let Ok(markup) = std::str::from_utf8(raw) else { return Ok(ObjectText::WrongType(ValueType::Text)) };
    let need = ConversionSize::of(markup, limit);
    memory.grow(need.bytes())?;
    let text = convert(markup, &need, limit);
    memory.shrink(need.bytes().saturating_sub(text.allocated()));
    Ok(text)
}

fn convert(markup: &str, need: &ConversionSize, limit: usize) -> ObjectText<'static> {
    let Some(tree) = ElementTree::read(markup, need) else { return ObjectText::WrongType(ValueType::Text) };
    if tree.is_cut {
        return ObjectText::TooLong;
    }
    let mut out = LimitedJson { text: Vec::with_capacity(need.text), limit, is_full: false };
    match tree.write_object(0, &mut out) {
        None if out.is_full => ObjectText::TooLong,
        None => ObjectText::WrongType(ValueType::Text),
        Some(()) => match String::from_utf8(out.text) {
            Ok(text) => ObjectText::Object(text.into()),
            Err(_) => ObjectText::WrongType(ValueType::Text),
        },
    }
}

/// The most that a conversion allocates.
#[derive(Debug)]
struct ConversionSize {
    /// Nodes of the tree.
    nodes: usize,
    /// Elements that are open at once.
    open: usize,
    /// Bytes of JSON.
    text: usize,
}

impl ConversionSize {
    /// Computes the size in one pass over the markup. CDATA and comments may count for more than they need.
    fn of(markup: &str, limit: usize) -> Self {
        let bytes = markup.as_bytes();
        let begins = |at: usize| !matches!(bytes.get(at + 1), Some(b'/' | b'!' | b'?'));
        let elements = memchr::memchr_iter(b'<', bytes).filter(|at| begins(*at)).count();
        let escapes = bytes.iter().filter(|byte| matches!(byte, b'"' | b'\\' | b'\t' | b'\n' | b'\r')).count();
        // `<a/>` becomes `"a":"",`, or `"",` in an array: the JSON has at most three bytes more, and at least three.
        let text = bytes.len().saturating_add(escapes).saturating_add(3 * elements).saturating_add(2);
        Self { nodes: elements.min(limit / 3) + 1, open: (elements + 1).min(DEPTH_LIMIT), text: text.min(limit) }
    }

    fn bytes(&self) -> u64 {
        let tree = self.nodes * (size_of::<Node>() + size_of::<Child>()) + self.open * size_of::<OpenElement<'_>>();
        (tree + self.text) as u64
    }
}

/// All elements of the field, in the order of their start tags. The first node is the field itself.
///
/// The tree is built in one pass over the markup, and the JSON is written in one pass over the tree.
struct ElementTree<'a> {
    markup: &'a str,
    nodes: Vec<Node>,
    /// Elements are missing, because their JSON would be too long.
    is_cut: bool,
}

/// An element. Offsets are in the markup.
struct Node {
    /// Offset of the name.
    name: u32,
    name_length: u16,
    is_array: bool,
    /// Begin and end of the content.
    content: (u32, u32),
    /// The number of the node after its last descendant.
    end: u32,
}

const _: () = assert!(NAME_LIMIT <= u16::MAX as usize + 1, "a tag without its brackets");

/// A child of an element, with the first child of the same name. It is not `Copy`, because the standard library then sorts it with
/// twice the code.
struct Child {
    first: u32,
    node: u32,
}

struct OpenElement<'a> {
    name: &'a str,
    /// `None` if the tree lacks the element.
    node: Option<u32>,
    has_children: bool,
    /// The element has text that is not white space.
    has_text: bool,
}

impl<'a> ElementTree<'a> {
    /// Returns `None` if an element has both text and children, or the field itself is text.
    fn read(markup: &'a str, need: &ConversionSize) -> Option<Self> {
        let mut tree = Self { markup, nodes: Vec::with_capacity(need.nodes), is_cut: false };
        let mut open = Vec::with_capacity(need.open);
        let field = tree.push(need, 0, "", false)?;
        open.push(OpenElement { name: "", node: field, has_children: false, has_text: false });
        let mut parts = MarkupParts::new(markup);
        loop {
            match parts.next().ok()? {
                Some(MarkupPart::Start { tag, begin }) => {
                    if open.len() >= DEPTH_LIMIT {
                        return None;
                    }
                    open.last_mut()?.has_children = true;
                    let start = tag::read_start(tag.as_bytes(), 0).ok()?;
                    let name = tag.get(..start.name.len())?;
                    let node = tree.push(need, begin + 1, name, start.marks.array)?;
                    tree.content_begins(node, parts.position())?;
                    if !start.is_empty {
                        open.push(OpenElement { name, node, has_children: false, has_text: false });
                    }
                }
                Some(MarkupPart::End { name, begin }) => {
                    let closed = open.pop().filter(|closed| closed.name == name && !open.is_empty())?;
                    tree.content_ends(closed.node, begin)?;
                    if closed.has_text && closed.has_children {
                        return None;
                    }
                }
                Some(MarkupPart::Text(text)) => {
                    let element = open.last_mut()?;
                    element.has_text = element.has_text || !is_blank(text)?;
                }
                Some(MarkupPart::CData(text)) => open.last_mut()?.has_text |= !text.bytes().all(is_white),
                None => {
                    let field = open.pop()?;
                    tree.content_ends(field.node, markup.len())?;
                    return (open.is_empty() && !field.has_text).then_some(tree);
                }
            }
        }
    }

    /// Adds an element and returns its number, or `Some(None)` if there is no room. Returns `None` if the markup is malformed.
    fn push(&mut self, need: &ConversionSize, begin: usize, name: &str, is_array: bool) -> Option<Option<u32>> {
        if self.nodes.len() >= need.nodes {
            self.is_cut = true;
            return Some(None);
        }
        let node = u32::try_from(self.nodes.len()).ok()?;
        let (name, name_length) = (u32::try_from(begin).ok()?, u16::try_from(name.len()).ok()?);
        self.nodes.push(Node { name, name_length, is_array, content: (0, 0), end: node + 1 });
        Some(Some(node))
    }

    fn content_begins(&mut self, node: Option<u32>, at: usize) -> Option<()> {
        let Some(node) = node else { return Some(()) };
        let at = u32::try_from(at).ok()?;
        self.nodes.get_mut(node as usize)?.content = (at, at);
        Some(())
    }

    fn content_ends(&mut self, node: Option<u32>, at: usize) -> Option<()> {
        let Some(node) = node else { return Some(()) };
        let end = u32::try_from(self.nodes.len()).ok()?;
        let node = self.nodes.get_mut(node as usize)?;
        (node.content.1, node.end) = (u32::try_from(at).ok()?, end);
        Some(())
    }

    fn node(&self, node: u32) -> Option<&Node> {
        self.nodes.get(node as usize)
    }

    fn name(&self, node: u32) -> &'a str {
        let range = self.node(node).map(|node| node.name as usize..node.name as usize + usize::from(node.name_length));
        range.and_then(|range| self.markup.get(range)).unwrap_or_default()
    }

    /// Writes an element with children. The recursion is at most [`DEPTH_LIMIT`] levels deep.
    fn write_object(&self, parent: u32, out: &mut LimitedJson) -> Option<()> {
        out.push(b"{")?;
        for (index, group) in self.children(parent)?.chunk_by(|one, other| one.first == other.first).enumerate() {
            let Child { first, .. } = *group.first()?;
            out.separate(index)?;
            serde_json::to_writer(&mut *out, self.name(first)).ok()?;
            out.push(b":")?;
            if group.len() == 1 && !self.node(first)?.is_array {
                self.write_value(first, out)?;
                continue;
            }
            out.push(b"[")?;
            for (index, child) in group.iter().enumerate() {
                out.separate(index)?;
                self.write_value(child.node, out)?;
            }
            out.push(b"]")?;
        }
        out.push(b"}")
    }

    fn write_value(&self, node: u32, out: &mut LimitedJson) -> Option<()> {
        let Node { content: (begin, end), end: next, .. } = self.node(node)?;
        if *next > node + 1 {
            return self.write_object(node, out);
        }
        let raw = self.markup.get(*begin as usize..*end as usize)?;
        if is_plain(raw) {
            return serde_json::to_writer(out, raw).ok();
        }
        let text = MarkupText { raw, is_malformed: Cell::new(false) };
        serde_json::Serializer::new(out).collect_str(&text).ok()?;
        (!text.is_malformed.get()).then_some(())
    }

    /// Returns the children of an element, grouped by name, in the order in which the names first appear.
    fn children(&self, parent: u32) -> Option<Vec<Child>> {
        let end = self.node(parent)?.end;
        let places = || {
            let next = |node: &u32| self.node(*node).map(|node| node.end).filter(|node| *node < end);
            std::iter::successors((parent + 1 < end).then_some(parent + 1), next)
        };
        let mut children = Vec::with_capacity(places().count());
        let first = parent + 1;
        if places().all(|node| self.name(node) == self.name(first)) {
            children.extend(places().map(|node| Child { first, node }));
            return Some(children);
        }
        children.extend(places().map(|node| Child { first: node, node }));
        let by_name = |child: &Child| (self.name(child.node), child.node);
        sort(&mut children, &|one, other| by_name(one).cmp(&by_name(other)));
        let mut first = first;
        for child in &mut children {
            if self.name(child.node) != self.name(first) {
                first = child.node;
            }
            child.first = first;
        }
        sort(&mut children, &|one, other| (one.first, one.node).cmp(&(other.first, other.node)));
        Some(children)
    }
}

/// Sorts with one copy of the code for all orders. Each copy takes several KB.
fn sort(children: &mut [Child], order: &dyn Fn(&Child, &Child) -> Ordering) {
    children.sort_unstable_by(order);
}

/// The text of markup without elements. It is written in pieces, without an allocation.
struct MarkupText<'a> {
    raw: &'a str,
    /// Set if the markup is malformed. ([`fmt::Display`] can only return errors of the writer.)
    is_malformed: Cell<bool>,
}

impl fmt::Display for MarkupText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = Ok(());
        let result = decode_pieces(self.raw, |part| {
            if written.is_ok() {
                written = f.write_str(part);
            }
        });
        self.is_malformed.set(result.is_none());
        written
    }
}

/// JSON text of at most `limit` bytes.
struct LimitedJson {
    text: Vec<u8>,
    limit: usize,
    /// A write exceeded the limit.
    is_full: bool,
}

impl LimitedJson {
    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        self.write_all(bytes).ok()
    }

    fn separate(&mut self, index: usize) -> Option<()> {
        if index > 0 { self.push(b",") } else { Some(()) }
    }
}

impl Write for LimitedJson {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.text.len() {
            self.is_full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory::Budget;

    /// Converts markup, and checks that nothing grows beyond what is computed for it.
    #[track_caller]
    fn convert(markup: &str, limit: usize) {
        let need = ConversionSize::of(markup, limit);
        let Some(tree) = ElementTree::read(markup, &need) else { return };
        assert_eq!(tree.nodes.capacity(), need.nodes, "{markup:.100}");
        let mut out = LimitedJson { text: Vec::with_capacity(need.text), limit, is_full: false };
        if !tree.is_cut {
            let _ = tree.write_object(0, &mut out);
        }
        assert_eq!(out.text.capacity(), need.text, "{markup:.100}");
        // At each level there are the children of one element, and no node is the child of two.
        let children = |node| tree.children(node).map_or(0, |children| children.capacity());
        let all: usize = (0..tree.nodes.len()).map(|node| children(u32::try_from(node).unwrap())).sum();
        assert!(all < need.nodes, "{markup:.100}");
    }

    #[test]
    fn computes_what_a_conversion_allocates() {
        for markup in [
            "",
            " ",
            "<a/>",
            "<a/><a/>",
            "<a/><b/>",
            "<a array='true'/>",
            "<a><b/></a>",
            "<a>\"\\\t\n\r</a>",
            "<a>&#9;&#34;&quot;</a>",
            "<a><![CDATA[<b/><c/>\"]]></a>",
            "<!-- <b/> --><a/>",
            "<a>\u{FEFF}\u{2028}é\u{1F600}</a>",
        ] {
            for limit in [0, 1, 2, 8, 9, 20, usize::MAX] {
                convert(markup, limit);
            }
        }
        for many in ["<a/>", "<a></a>", "<a array='true'/>", "<a>\"</a>", "<a>\r\n</a>"] {
            convert(&many.repeat(10_000), usize::MAX);
            convert(&many.repeat(10_000), 1000);
        }
        let different: String = (0..10_000).map(|n| format!("<n{n}/>")).collect();
        convert(&different, usize::MAX);
        let deep = |levels: usize| "<a>".repeat(levels) + &"</a>".repeat(levels);
        convert(&deep(DEPTH_LIMIT - 1).repeat(100), usize::MAX);
    }

    #[test]
    fn reserves_what_it_allocates_and_gives_it_back() {
        for markup in ["<a/>".repeat(262_144), "<a>x</a>".repeat(1000), "<a/>x".to_owned(), String::new()] {
            let need = ConversionSize::of(&markup, usize::MAX).bytes();
            for room in [0, 1, need / 2, need - 1] {
                let budget = Budget::new(room, room);
                let mut memory = Reservation::new(&budget, 0);
                assert!(object(markup.as_bytes(), usize::MAX, &mut memory).is_err(), "{room} of {need}");
                assert_eq!(memory.bytes(), 0);
            }
            let mut memory = Reservation::new(&Budget::new(need, need), 0);
            let text = object(markup.as_bytes(), usize::MAX, &mut memory).unwrap();
            assert_eq!(memory.bytes(), text.allocated());
        }
        // The JSON of an item is short, and what it takes as well, however long the markup is.
        let megabyte = "<a/>".repeat(262_144);
        assert!(ConversionSize::of(&megabyte, usize::MAX).bytes() < 10_000_000);
        assert!(ConversionSize::of(&megabyte, 64 * 1024).bytes() < 1_000_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_conversion_takes_no_more_than_was_computed(
            parts in prop::collection::vec((0..PARTS.len(), any::<bool>()), 0..40),
            limit in prop_oneof![0_usize..60, Just(usize::MAX)],
        ) {
            let (mut markup, mut open) = (String::new(), Vec::new());
            for (part, nested) in parts {
                match PARTS[part].strip_suffix("></a>") {
                    Some(tag) if nested => {
                        markup += &format!("{tag}>");
                        open.push("</a>");
                    }
                    _ => markup += PARTS[part],
                }
                if open.len() > 3 {
                    markup += open.pop().unwrap_or_default();
                }
            }
            convert(&(markup + &open.concat()), limit);
        }
    }

    const PARTS: [&str; 14] = [
        "<a></a>",
        "<a array='true'></a>",
        "<a></a>",
        "<b/>",
        "<é a='\"'>\"\\</é>",
        "<b>\r\n\t&#9;&quot;&#x22;</b>",
        "<a><![CDATA[<a>\"]]></a>",
        "<a>é\u{2028}</a>",
        "<!-- <a> \" -->",
        "<?p <a>?>",
        "<![CDATA[ \n]]>",
        "&#32;",
        " \r\n\t",
        "<b array=\"true\"/>",
    ];
}
