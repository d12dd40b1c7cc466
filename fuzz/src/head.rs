//! The head of a request: URL, path, headers; and of a download: which bytes, and that no header of the answer can be
//! broken by the name of a file.
//!
//! The input is lines: method, URL, then the values of headers, of which the later ones may be absent; the last is the name
//! of a file.

use trigger_launch::{
    api::{
        download::{Conditions, Selection, headers, select},
        head::split_url,
        headers::{accepted_format, asks_for, body_format, client_network, content_length, request_id, tokens},
        routes::{Operation, ReplyFormats, Route, find, is_json_only},
    },
    campaign::protocol::commands::AttachmentFile,
    limits::REQUEST_ID_LIMIT,
    problem::Problem,
    wire::Format,
};

/// The target.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (method, url) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let (path, parameters) = split_url(url);
    assert!(!path.is_empty() && !path.contains(['?', '#']));
    assert!(parameters.len() <= url.len());
    routed(method, path);
    client_network(url);

    let mut header = || lines.next();
    let _ = body_format(header(), header());
    let authorization = header();
    for token in tokens(authorization, std::iter::empty()) {
        assert!(!token.is_empty() && token.trim_ascii() == token);
        assert!(authorization.is_some_and(|all| all.contains(&token)));
    }
    let accept = header();
    let xml = accept.is_some_and(|accept| accept.to_ascii_lowercase().contains("xml") || accept.contains('*'));
    assert!(accepted_format(accept) == Format::Json || (xml && !asks_for(accept, "text/html")));
    let ids = [header(), header(), header()];
    if let Ok(Some(id)) = request_id(ids[0], ids[1], ids[2]) {
        assert!((1..=REQUEST_ID_LIMIT).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
        // Repeated, or in quotes with escapes.
        let contains = |header: &str| header.replace(r"\\", r"\").contains(&id) || header.contains(&id);
        assert!(ids.into_iter().flatten().any(contains));
    }
    if let Some(length) = content_length(ids[0]) {
        assert!(ids[0].is_some_and(|header| header.contains(&length.to_string())));
    }
    let conditions = Conditions { range: header(), if_none_match: header(), if_range: header() };
    let content_type = header().unwrap_or_default().to_owned();
    let name = header().unwrap_or_default().to_owned();
    for size in [0, 1, 10, u64::MAX] {
        let (sha256, key) = ("ab".repeat(32), String::new());
        download(
            &AttachmentFile { name: name.clone(), content_type: content_type.clone(), size, sha256, key },
            &conditions,
        );
    }
}

/// A path matches a route only if it has the segments of the route's path, each parameter replaced by its value.
fn routed(method: &str, path: &str) {
    let Ok(found) = find(method, path) else { return };
    let segments = |path: &str| path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
    let (given, expected): (Vec<String>, Vec<String>) = (segments(path), segments(found.spec.path));
    assert_eq!(given.len(), expected.len(), "{path}");
    for (given, expected) in given.iter().zip(&expected) {
        assert!(expected.starts_with('{') || given == expected, "{path}");
    }
    let single_slashes = format!("/{}", given.join("/"));
    assert_eq!(find(method, &single_slashes).map(|found| found.route), Ok(found.route));
    assert_eq!(is_json_only(path), found.spec.formats != ReplyFormats::JsonOrXml);
    if let Route::Operate(Operation::ReadCampaign(id) | Operation::DefineCampaign(id) | Operation::ReadLog(id, _)) =
        found.route
    {
        assert!(given.contains(&id.to_string()), "{id} for {path}");
    }
}

fn download(file: &AttachmentFile, conditions: &Conditions<'_>) {
    let selection = match select(file, conditions) {
        Ok(selection) => selection,
        Err(Problem::RangeNotSatisfiable(size)) => return assert_eq!(size, file.size),
        Err(other) => panic!("{other:?}"),
    };
    let length = match &selection {
        Selection::NotModified => None,
        Selection::Whole => Some(file.size),
        Selection::Part(range) => {
            assert!(range.start < range.end && range.end <= file.size, "{range:?} of {}", file.size);
            Some(range.end - range.start)
        }
    };
    let headers = headers(file, &selection);
    let value = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let visible = |text: &str| text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    assert!(headers.iter().all(|(_, value)| visible(value)), "{headers:?}");
    assert_eq!(value("Content-Length").map(str::to_owned), length.map(|length| length.to_string()));
    disposition(&file.name, value("Content-Disposition").expect("always"));
}

/// What a client reads of the header is the name, but for what is no part of one.
fn disposition(name: &str, value: &str) {
    let safe = |c: char| if matches!(c, '/' | '\\') || c.is_control() { '_' } else { c };
    let name: String = name.chars().map(safe).collect();
    let value = value.strip_prefix("attachment; filename=\"").expect("an attachment, always");
    let (plain, extended) = value.split_once('"').expect("a quoted string");
    assert_eq!(plain.chars().count(), name.chars().count());
    if extended.is_empty() {
        return assert_eq!(plain, name);
    }
    let mut encoded = extended.strip_prefix("; filename*=UTF-8''").expect("nothing else");
    let mut bytes = Vec::new();
    while let Some((before, behind)) = encoded.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&behind[..2], 16).expect("two digits"));
        encoded = &behind[2..];
    }
    bytes.extend_from_slice(encoded.as_bytes());
    assert_eq!(String::from_utf8(bytes).expect("UTF-8"), name);
}
