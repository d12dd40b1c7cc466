//! What a request in XML means: the JSON that the contract translates it to, taken in as JSON.

use super::{
    intake::{Taken, take_in},
    xml::{is_array, is_nil, is_white, lines, own_text, with_namespaces, without_namespaces},
};
use roxmltree::{Document, Node};
use trigger_launch::{
    fields::{Endpoint, RootField},
    limits::{Limits, SCALAR_LIMIT},
    problem::Problem,
    wire::Format,
};

/// Stands for a value of a wrong type, whatever type is right.
const WRONG: &str = "[]";
/// Stands for an absent value.
const NULL: &str = "null";
/// A text may get twice as long (by escapes): it is then to be within the limits still.
const LONGEST: usize = SCALAR_LIMIT / 2;

/// Compares what was taken in with what is taken in of the same in JSON.
pub fn compare(endpoint: Endpoint, data: &[u8], taken: &Result<Taken, Problem>) {
    let Ok(body) = std::str::from_utf8(data) else { return };
    if data.len() > LONGEST {
        return;
    }
    let Some(body) = without_namespaces(body) else { return };
    // What is well-formed is the target `xml`'s to compare.
    if matches!(taken, Err(Problem::Malformed(_) | Problem::UnsupportedMediaType(_))) {
        return;
    }
    let text = lines(&body);
    let document = Document::parse(&text).expect("what is taken in is well-formed");
    let json = with_namespaces(&translated(endpoint, document.root_element()));
    match (take_in(endpoint, Some(Format::Json), Limits::default(), &[json.as_bytes()]), taken) {
        // An array is a level of its own in JSON alone.
        (Err(Problem::Malformed(what)), _) if what.contains("64") => {}
        (Err(expected), Err(problem)) => assert_eq!(problem.rank(), expected.rank(), "{problem:?} for {expected:?}"),
        (expected, taken) => assert_eq!(*taken, expected, "{json}"),
    }
}

fn translated(endpoint: Endpoint, root: Node<'_, '_>) -> String {
    let mut members: Vec<(&str, String)> = Vec::new();
    for child in root.children().filter(Node::is_element) {
        let name = child.tag_name().name();
        let value = match RootField::from_name(endpoint, name.as_bytes()) {
            None => continue,
            Some(RootField::Data) if is_nil(child) => entry("{}".to_owned(), name, &mut members),
            Some(RootField::Attach) if is_nil(child) => None,
            Some(_) if is_nil(child) => Some(NULL.to_owned()),
            Some(RootField::Data) => entry(item(child), name, &mut members),
            Some(RootField::Attach) => entry(attachment(child), name, &mut members),
            Some(RootField::Content | RootField::CustomData) => Some(object(child)),
            Some(RootField::Key(_)) => Some(string(child)),
            Some(_) => Some(scalar(child)),
        };
        members.extend(value.map(|value| (name, value)));
    }
    let member = |(name, value): &(&str, String)| match RootField::from_name(endpoint, name.as_bytes()) {
        Some(RootField::Data | RootField::Attach) => format!("{}:[{value}]", quoted(name)),
        _ => format!("{}:{value}", quoted(name)),
    };
    braced(members.iter().map(member).collect())
}

/// Elements that stand for entries of one array: the first makes the member, the others go on with it.
fn entry(entry: String, name: &str, members: &mut [(&str, String)]) -> Option<String> {
    match members.iter_mut().find(|(known, _)| *known == name) {
        None => Some(entry),
        Some((_, entries)) => {
            entries.push(',');
            entries.push_str(&entry);
            None
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("JSON")
}

fn braced(members: Vec<String>) -> String {
    format!("{{{}}}", members.join(","))
}

fn has_elements(node: Node<'_, '_>) -> bool {
    node.children().any(|child| child.is_element())
}

fn string(node: Node<'_, '_>) -> String {
    if is_array(node) || has_elements(node) { WRONG.to_owned() } else { quoted(&own_text(node)) }
}

/// The same, without the white space around it.
fn scalar(node: Node<'_, '_>) -> String {
    let text = own_text(node);
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if is_array(node) || has_elements(node) { WRONG.to_owned() } else { quoted(text) }
}

fn object(node: Node<'_, '_>) -> String {
    let value = value(node).filter(|_| !is_array(node));
    match value {
        Some(value) if value.starts_with('{') => value,
        Some(_) if is_white(&own_text(node)) => "{}".to_owned(),
        _ => WRONG.to_owned(),
    }
}

/// `None`: text stands beside children.
fn value(node: Node<'_, '_>) -> Option<String> {
    if !has_elements(node) {
        return Some(quoted(&own_text(node)));
    }
    let mut groups: Vec<(&str, Vec<Node<'_, '_>>)> = Vec::new();
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name().name();
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(child),
            None => groups.push((name, vec![child])),
        }
    }
    let member = |(name, group): (&str, Vec<Node<'_, '_>>)| {
        let values = group.iter().map(|node| value(*node)).collect::<Option<Vec<_>>>()?.join(",");
        let single = group.len() == 1 && !is_array(group[0]);
        Some(if single { format!("{}:{values}", quoted(name)) } else { format!("{}:[{values}]", quoted(name)) })
    };
    let members = groups.into_iter().map(member).collect::<Option<_>>()?;
    is_white(&own_text(node)).then(|| braced(members))
}

fn item(node: Node<'_, '_>) -> String {
    if !is_white(&own_text(node)) {
        return WRONG.to_owned();
    }
    let mut members: Vec<(&str, String)> = Vec::new();
    for child in node.children().filter(Node::is_element) {
        let name = child.tag_name().name();
        let value = match name {
            _ if is_nil(child) => NULL.to_owned(),
            "custom_data" => object(child),
            _ => string(child),
        };
        match members.iter_mut().find(|(known, _)| *known == name) {
            // In XML a field that stands twice is of a wrong type: the item goes on.
            Some((_, first)) => WRONG.clone_into(first),
            None => members.push((name, value)),
        }
    }
    braced(members.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect())
}

fn attachment(node: Node<'_, '_>) -> String {
    if !is_white(&own_text(node)) {
        return WRONG.to_owned();
    }
    let children = node.children().filter(|child| child.has_tag_name("name") || child.has_tag_name("data"));
    let value = |child| if is_nil(child) { NULL.to_owned() } else { string(child) };
    braced(children.map(|child| format!("{}:{}", quoted(child.tag_name().name()), value(child))).collect())
}
