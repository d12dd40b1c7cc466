//! Downloads of attachments: conditions and ranges (RFC 9110, sections 13 and 14), and the headers of the reply.
//!
//! A file never changes, so its SHA-256 is a strong entity tag.

use std::{fmt::Write, ops::Range};

use super::{
    head::HttpHead,
    ports::ApiPorts,
    reply::{Reply, ReplyBody},
};
use crate::{
    access::TokenRecord,
    campaign::protocol::{
        commands::{AttachmentFile, Command},
        id::LaunchId,
    },
    json,
    launch::ports::ObjectError,
    problem::{Cause, Problem, Refused},
};

/// Answers `GET` and `HEAD` of an attachment.
pub async fn answer<P: ApiPorts>(
    ports: &P,
    head: &HttpHead<'_>,
    trigger_id: u64,
    (launch_id, number): (LaunchId, usize),
    token: &TokenRecord,
) -> Result<Reply<P::Stream>, Refused> {
    let command = Command::Attachment(launch_id, number);
    let file = ports.command(trigger_id, command.clone(), &token.databases).await?;
    let file: AttachmentFile = json::from_slice(&file)
        .map_err(|error| Refused::from(ObjectError::Lost(Cause::new(error).during("a file of a launch"))))?;
    // `Range` is defined for `GET` only (RFC 9110, §14.2).
    let range = head.header("Range").filter(|_| !head.is_head_request());
    let (if_none_match, if_range) = (head.header("If-None-Match"), head.header("If-Range"));
    let conditions =
        Conditions { range: range.as_deref(), if_none_match: if_none_match.as_deref(), if_range: if_range.as_deref() };
    let selection = select(&file, &conditions)?;
    let mut reply = Reply::new(selection.status(), &head.request_id);
    for (name, value) in headers(&file, &selection) {
        reply.set(name, value);
    }
    if selection == Selection::NotModified || head.is_head_request() {
        return Ok(reply);
    }
    let range = match selection {
        Selection::Part(range) => Some(range),
        Selection::NotModified | Selection::Whole => None,
    };
    let unavailable = |cause: Cause| {
        let message = "attachments cannot be read now: retry later";
        Refused::unavailable(message, cause.during(format_args!("R2 key {}", file.key)))
    };
    match ports.file(&file.key, file.size, range).await.map_err(unavailable)? {
        Some(body) => {
            reply.body = ReplyBody::Stream(body);
            Ok(reply)
        }
        None => {
            // Retention may have removed the launch after the first command. If so, the object now refuses with the reason.
            ports.command(trigger_id, command, &token.databases).await?;
            Err(unavailable(Cause::new("not in the bucket")))
        }
    }
}

/// The conditional headers of a request, as sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions<'a> {
    /// `Range`.
    pub range: Option<&'a str>,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
    /// `If-Range`.
    pub if_range: Option<&'a str>,
}

/// The bytes of the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// 304: the caller has the file.
    NotModified,
    /// 200: all bytes.
    Whole,
    /// 206: this range, which is not empty.
    Part(Range<u64>),
}

impl Selection {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotModified => 304,
            Self::Whole => 200,
            Self::Part(_) => 206,
        }
    }
}

/// Selects the bytes of the reply. A range after the end of the file is [`Problem::RangeNotSatisfiable`].
pub fn select(file: &AttachmentFile, conditions: &Conditions<'_>) -> Result<Selection, Problem> {
    let tag = entity_tag(file);
    if conditions.if_none_match.is_some_and(|tags| any_matches(tags, &tag)) {
        return Ok(Selection::NotModified);
    }
    // `If-Range` uses strong comparison. A date never matches, because no `Last-Modified` is sent.
    let same = conditions.if_range.is_none_or(|known| known.trim() == tag);
    match conditions.range.filter(|_| same).and_then(|range| parse(range, file.size)) {
        None => Ok(Selection::Whole),
        Some(range) if range.is_empty() => Err(Problem::RangeNotSatisfiable(file.size)),
        Some(range) => Ok(Selection::Part(range)),
    }
}

/// Whether a list of entity tags contains `tag`, by weak comparison, as in `If-None-Match`.
fn any_matches(list: &str, tag: &str) -> bool {
    if list.trim() == "*" {
        return true;
    }
    // A tag can contain a comma, but this API's tags do not: parts of a foreign tag match nothing.
    list.split(',').map(str::trim).any(|known| known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Returns the bytes that `Range` selects; an empty range if the file has none of them. `None`: the header is ignored, because
/// it is malformed, uses another unit or has several ranges.
fn parse(range: &str, size: u64) -> Option<Range<u64>> {
    let (unit, range) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    match (first, last) {
        ("", length) => {
            let length = number(length)?;
            // `Content-Range` cannot express a part of an empty file, so the whole file is sent.
            (size > 0 || length == 0).then(|| size.saturating_sub(length)..size)
        }
        (first, "") => Some(number(first)?.min(size)..size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| first.min(size)..last.saturating_add(1).min(size))
        }
    }
}

/// Parses a decimal number. A number that is too large becomes the largest one.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The file's strong entity tag.
pub fn entity_tag(file: &AttachmentFile) -> String {
    format!("\"{}\"", file.sha256)
}

/// Returns the headers that are specific to downloads.
pub fn headers(file: &AttachmentFile, selection: &Selection) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("ETag", entity_tag(file)),
        ("Accept-Ranges", "bytes".to_owned()),
        ("Cache-Control", "private, no-store".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
        ("Content-Security-Policy", "sandbox; default-src 'none'".to_owned()),
        ("Content-Disposition", disposition(&file.name)),
    ];
    let length = match selection {
        Selection::NotModified => return headers,
        Selection::Whole => file.size,
        Selection::Part(range) => {
            let last = range.end.saturating_sub(1);
            headers.push(("Content-Range", format!("bytes {}-{last}/{}", range.start, file.size)));
            range.end.saturating_sub(range.start)
        }
    };
    headers.push(("Content-Length", length.to_string()));
    headers.push(("Content-Type", content_type(&file.content_type).to_owned()));
    headers
}

/// Returns the stored type if it is valid in a header.
fn content_type(stored: &str) -> &str {
    let good = !stored.is_empty() && stored.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if good { stored } else { "application/octet-stream" }
}

/// Returns `Content-Disposition: attachment` (RFC 6266) with a plain ASCII name for simple clients and, if the name differs, with
/// the name in percent-encoding (RFC 8187). Path separators are replaced in both: a name is not a path.
fn disposition(name: &str) -> String {
    let name: String = name.chars().map(|c| if matches!(c, '/' | '\\') || c.is_control() { '_' } else { c }).collect();
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '%') || c == ' ';
    let fallback: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut value = format!("attachment; filename=\"{fallback}\"");
    if fallback != name {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            // `attr-char` of RFC 8187.
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                value.push(char::from(byte));
            } else {
                let _ = write!(value, "%{byte:02X}");
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(size: u64) -> AttachmentFile {
        AttachmentFile {
            name: "policy.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            size,
            sha256: "ab".repeat(32),
            key: "k/0".to_owned(),
        }
    }

    fn range(text: &str, size: u64) -> Result<Selection, Problem> {
        select(&file(size), &Conditions { range: Some(text), ..Conditions::default() })
    }

    #[test]
    fn selects_a_part_for_a_single_range() {
        for (text, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-9", 0..10),
            ("bytes=3-", 3..10),
            ("bytes=9-9", 9..10),
            ("bytes=2-99999999999999999999999", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-10", 0..10),
            ("bytes=-99999999999999999999999", 0..10),
            ("Bytes = 1-2 ", 1..3),
            ("bytes=001-002", 1..3),
        ] {
            assert_eq!(range(text, 10), Ok(Selection::Part(expected)), "{text}");
        }
    }

    #[test]
    fn rejects_a_range_after_the_end_with_the_size() {
        for text in ["bytes=10-", "bytes=10-12", "bytes=99999999999999999999999-", "bytes=-0"] {
            assert_eq!(range(text, 10), Err(Problem::RangeNotSatisfiable(10)), "{text}");
        }
        for text in ["bytes=0-", "bytes=0-0", "bytes=-0"] {
            assert_eq!(range(text, 0), Err(Problem::RangeNotSatisfiable(0)), "{text}");
        }
        assert_eq!(range("bytes=-1", 0), Ok(Selection::Whole));
    }

    #[test]
    fn ignores_a_range_that_is_malformed_or_has_several_parts() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=+1-2",
            "bytes=1-2,4-5",
            "bytes=1-2,",
            "bytes=--1",
            "bytes=1 - 2",
            "items=1-2",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "\u{661}=1-2",
        ] {
            assert_eq!(range(text, 10), Ok(Selection::Whole), "{text}");
        }
    }

    #[test]
    fn answers_304_if_the_caller_has_the_file() {
        let tag = entity_tag(&file(1));
        let selection = |tags: &str| {
            select(
                &file(10),
                &Conditions { if_none_match: Some(tags), range: Some("bytes=99-"), ..Conditions::default() },
            )
        };
        for tags in [tag.clone(), format!("\"x\", {tag}"), format!("W/{tag}"), format!("{tag},"), " * ".to_owned()] {
            assert_eq!(selection(&tags), Ok(Selection::NotModified), "{tags}");
        }
        for tags in ["", "\"x\"", "ab", "W/*", &tag[1..], "\"*\""] {
            assert_eq!(selection(tags), Err(Problem::RangeNotSatisfiable(10)), "{tags}");
        }
    }

    #[test]
    fn ignores_a_range_if_if_range_names_another_file() {
        let tag = entity_tag(&file(1));
        let selection = |known: &str| {
            select(&file(10), &Conditions { if_range: Some(known), range: Some("bytes=1-"), ..Conditions::default() })
        };
        assert_eq!(selection(&tag), Ok(Selection::Part(1..10)));
        for known in ["\"x\"", &format!("W/{tag}"), "Mon, 23 Nov 2026 18:00:00 GMT", "", "*"] {
            assert_eq!(selection(known), Ok(Selection::Whole), "{known}");
        }
    }

    #[test]
    fn sets_the_headers_of_each_selection() {
        let of = |selection: &Selection| {
            let lines = headers(&file(10), selection).into_iter().map(|(name, value)| format!("{name}: {value}\n"));
            lines.collect::<String>()
        };
        let always = format!(
            "ETag: \"{}\"\nAccept-Ranges: bytes\nCache-Control: private, no-store\nX-Content-Type-Options: nosniff\n\
             Content-Security-Policy: sandbox; default-src 'none'\n\
             Content-Disposition: attachment; filename=\"policy.pdf\"\n",
            "ab".repeat(32)
        );
        let end = "Content-Type: application/pdf\n";
        assert_eq!(of(&Selection::NotModified), always);
        assert_eq!(of(&Selection::Whole), format!("{always}Content-Length: 10\n{end}"));
        let part = format!("{always}Content-Range: bytes 2-4/10\nContent-Length: 3\n{end}");
        assert_eq!(of(&Selection::Part(2..5)), part);
        let statuses = [Selection::NotModified, Selection::Whole, Selection::Part(0..1)].map(|one| one.status());
        assert_eq!(statuses, [304, 200, 206]);
    }

    #[test]
    fn encodes_a_name_so_that_it_injects_no_header() {
        for (name, expected) in [
            ("a b.txt", r#"filename="a b.txt""#),
            ("a;b=c.txt", r#"filename="a;b=c.txt""#),
            ("a\"b.txt", r#"filename="a_b.txt"; filename*=UTF-8''a%22b.txt"#),
            ("100%41.txt", r#"filename="100_41.txt"; filename*=UTF-8''100%2541.txt"#),
            ("../../etc\\passwd", r#"filename=".._.._etc_passwd""#),
            ("a\r\nSet-Cookie: x=y", r#"filename="a__Set-Cookie: x=y""#),
            (
                "Прайс €.pdf",
                r#"filename="_____ _.pdf"; filename*=UTF-8''%D0%9F%D1%80%D0%B0%D0%B9%D1%81%20%E2%82%AC.pdf"#,
            ),
            ("\u{85}\u{2028}", "filename=\"__\"; filename*=UTF-8''_%E2%80%A8"),
        ] {
            assert_eq!(disposition(name), format!("attachment; {expected}"), "{name:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn sets_headers_of_visible_ascii(name in "\\PC{0,40}|[\\x00-\\xff]{0,40}", kind in ".{0,20}") {
            let file = AttachmentFile { name, content_type: kind, ..file(3) };
            for (header, value) in headers(&file, &Selection::Whole) {
                prop_assert!(value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{header}: {value}");
            }
            let value = disposition(&file.name);
            let quoted = value.split_once('"').unwrap().1;
            let (quoted, rest) = quoted.split_once('"').unwrap();
            prop_assert!(!quoted.contains('\\'));
            prop_assert!(rest.is_empty() || rest.starts_with("; filename*=UTF-8''") && !rest.contains(['"', ',', '\\']));
        }

        #[test]
        fn selects_a_part_within_the_file(text in "bytes=[0-9]{0,3}-[0-9]{0,3}|.{0,20}", size in 0_u64..500) {
            match range(&text, size) {
                Ok(Selection::Part(part)) => prop_assert!(part.start < part.end && part.end <= size),
                Ok(selection) => prop_assert_eq!(selection, Selection::Whole),
                Err(problem) => prop_assert_eq!(problem, Problem::RangeNotSatisfiable(size)),
            }
        }
    }
}
