//! Reads request headers: media types, tokens, request IDs, lengths.
//!
//! The runtime joins repeated headers with `, `. A header that was sent several times with one value counts as one.

use std::{borrow::Cow, net::Ipv6Addr};

use crate::{
    limits::{HEADER_VALUE_SHOWN, REQUEST_ID_LIMIT},
    problem::Problem,
    profiles::live::rows::RowFormat,
    wire::{Format, is_utf8},
};

/// The media type that curl sends by default.
const CURL_DEFAULT: &str = "application/x-www-form-urlencoded";
/// The media type that `fetch` sends by default.
const FETCH_DEFAULT: &str = "text/plain";
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Returns the format that `Content-Type` names. `None`: the body's first byte decides.
pub fn body_format(content_type: Option<&str>, content_encoding: Option<&str>) -> Result<Option<Format>, Problem> {
    match media_type(content_type, content_encoding)?.as_str() {
        "" | CURL_DEFAULT | FETCH_DEFAULT => Ok(None),
        "application/json" => Ok(Some(Format::Json)),
        "application/xml" | "text/xml" => Ok(Some(Format::Xml)),
        other => Err(unsupported_type(other, "application/json or application/xml")),
    }
}

/// Returns the format of rows that `Content-Type` names. `None`: the body's first byte decides.
pub fn row_format(content_type: Option<&str>, content_encoding: Option<&str>) -> Result<Option<RowFormat>, Problem> {
    match media_type(content_type, content_encoding)?.as_str() {
        "" | CURL_DEFAULT | FETCH_DEFAULT => Ok(None),
        "application/json" => Ok(Some(RowFormat::Array)),
        "application/x-ndjson" => Ok(Some(RowFormat::Lines)),
        other => Err(unsupported_type(other, "application/json or application/x-ndjson")),
    }
}

/// Checks the headers of a body that must be JSON. A body without a media type counts as JSON.
pub fn json_body(content_type: Option<&str>, content_encoding: Option<&str>) -> Result<(), Problem> {
    match media_type(content_type, content_encoding)?.as_str() {
        "" | CURL_DEFAULT | FETCH_DEFAULT | "application/json" => Ok(()),
        other => Err(unsupported_type(other, "application/json")),
    }
}

/// Returns the media type in lower case. Rejects a body that is compressed, or not UTF-8.
fn media_type(content_type: Option<&str>, content_encoding: Option<&str>) -> Result<String, Problem> {
    let mut codings = content_encoding.unwrap_or_default().split(',').map(str::trim);
    if let Some(coding) = codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity")) {
        let coding = shown(coding);
        return Err(unsupported(format!("Content-Encoding: unsupported coding {coding}; send the body uncompressed")));
    }
    let header = content_type.unwrap_or_default();
    let mut found: Option<String> = None;
    for value in unquoted_split(header, b',') {
        let mut parts = unquoted_split(value, b';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        for parameter in parts {
            let Some((name, charset)) = parameter.split_once('=') else { continue };
            let charset = charset.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("charset") && !is_utf8(charset) {
                let charset = shown(charset);
                return Err(unsupported(format!("Content-Type: unsupported charset {charset}; send UTF-8")));
            }
        }
        match &found {
            None => found = Some(essence).filter(|essence| !essence.is_empty()),
            // A value without a slash is the rest of a parameter that contains a comma.
            Some(first) if essence.contains('/') && *first != essence => {
                let header = shown(header);
                return Err(unsupported(format!("Content-Type: sent with different values, {header}; send one")));
            }
            Some(_) => {}
        }
    }
    Ok(found.unwrap_or_default())
}

fn unsupported_type(media_type: &str, accepted: &str) -> Problem {
    let not = match media_type {
        _ if media_type.starts_with("multipart/") => ", not a multipart body",
        _ if media_type.contains("soap") => ", not SOAP",
        _ if media_type.contains("gzip") => ", not a compressed body",
        _ => "",
    };
    unsupported(format!("Content-Type: unsupported media type {}; send {accepted}{not}", shown(media_type)))
}

fn unsupported(what: String) -> Problem {
    Problem::UnsupportedMediaType(what)
}

/// Quotes a header value for a message: shortened, with escapes for quotes and for everything but visible ASCII.
fn shown(value: &str) -> String {
    let shortened = if value.chars().nth(HEADER_VALUE_SHOWN).is_some() { "…" } else { "" };
    let value: String = value.chars().take(HEADER_VALUE_SHOWN).flat_map(char::escape_default).collect();
    format!("\"{value}{shortened}\"")
}

/// Splits a header value at a separator outside quoted strings (RFC 9110, §5.6.4).
fn unquoted_split(value: &str, separator: u8) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |c: char| {
        let escape = quoted && !escaped && c == '\\';
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = escape;
        !quoted && c == char::from(separator)
    })
}

/// Returns the different values of a header that may have been sent several times. Its values must not contain spaces.
fn distinct(header: &str) -> impl Iterator<Item = &str> {
    let values = || header.split(", ").map(str::trim_ascii);
    values()
        .enumerate()
        .filter(move |(at, value)| values().take(*at).all(|known| known != *value))
        .map(|(_, value)| value)
}

/// Parses `Content-Length`. `None` if it is absent, malformed or contradictory.
pub fn content_length(header: Option<&str>) -> Option<u64> {
    let mut lengths = distinct(header?);
    let length = lengths.next().filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()));
    if lengths.next().is_none() { length?.parse().ok() } else { None }
}

/// Returns the token of `Authorization: Bearer …`. Other schemes are ignored.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim_ascii().split_once(|c: char| c.is_ascii_whitespace())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Returns the different tokens of `Authorization` and the query, without the white space around them. A valid request has at
/// most one.
pub fn tokens<'a>(authorization: Option<&'a str>, query: impl Iterator<Item = &'a str>) -> Vec<String> {
    let header = authorization.unwrap_or_default();
    // The values of a repeated header, if each of them is a token.
    let repeated = distinct(header).map(bearer).collect::<Option<Vec<_>>>();
    let in_header = repeated.unwrap_or_else(|| bearer(header).into_iter().collect());
    let mut tokens: Vec<String> = Vec::new();
    for token in in_header.into_iter().chain(query.map(str::trim_ascii)) {
        if !token.is_empty() && !tokens.iter().any(|known| known == token) {
            tokens.push(token.to_owned());
        }
    }
    tokens
}

/// Returns the format with the greater weight in `Accept`, or JSON. A header that names `text/html` comes from a browser, and gets
/// JSON.
pub fn accepted_format(accept: Option<&str>) -> Format {
    let (mut json, mut xml) = (None, None);
    let mut any = None;
    for (essence, quality) in ranges(accept) {
        let known = match essence.as_str() {
            "text/html" => return Format::Json,
            "application/json" => &mut json,
            "application/xml" | "text/xml" => &mut xml,
            "*/*" | "application/*" => &mut any,
            _ => continue,
        };
        *known = Some(known.unwrap_or(0).max(quality));
    }
    let json = json.or(any).unwrap_or(0);
    if xml.or(any).unwrap_or(0) > json { Format::Xml } else { Format::Json }
}

/// Whether `Accept` names a media type with a weight above zero. The case of letters does not matter.
pub fn asks_for(accept: Option<&str>, media_type: &str) -> bool {
    ranges(accept).any(|(essence, quality)| essence == media_type && quality > 0)
}

/// The media ranges of `Accept`, in lower case, each with its weight in thousandths.
fn ranges(accept: Option<&str>) -> impl Iterator<Item = (String, u32)> {
    accept.unwrap_or_default().split(',').map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|parameter| parameter.strip_prefix("q=").or(parameter.strip_prefix("Q=")));
        (essence, quality.map_or(1000, weight))
    })
}

/// Returns a weight (RFC 9110, section 12.4.2) in thousandths; 0 if it is invalid.
fn weight(text: &str) -> u32 {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = fraction.chars().chain(std::iter::repeat('0')).take(3);
    let thousandths = digits.map(|digit| digit.to_digit(10)).try_fold(0, |sum, digit| Some(sum * 10 + digit?));
    match (whole, thousandths) {
        ("1", Some(_)) => 1000,
        ("0", Some(thousandths)) => thousandths,
        _ => 0,
    }
}

/// Returns the caller's request ID: `Request-ID` or `Idempotency-Key`, or `X-Request-ID` if both are absent.
pub fn request_id(
    request_id: Option<&str>,
    idempotency_key: Option<&str>,
    x_request_id: Option<&str>,
) -> Result<Option<String>, Problem> {
    let id = request_id.map(|id| valid_id("Request-ID", id)).transpose()?;
    let key = idempotency_key.map(|key| valid_id(IDEMPOTENCY_KEY, key)).transpose()?;
    match (id, key) {
        (Some(id), Some(key)) if id != key => {
            Err(Problem::BadField("Request-ID and Idempotency-Key: two IDs that differ; send one".into()))
        }
        (Some(id), _) | (None, Some(id)) => Ok(Some(id)),
        (None, None) => x_request_id.map(|id| valid_id("X-Request-ID", id)).transpose(),
    }
}

/// Returns the ID in the header `name`. An `Idempotency-Key` can be a quoted string (RFC 9651, §3.3.3), whose quotes are removed.
fn valid_id(name: &str, header: &str) -> Result<String, Problem> {
    let wrong = |what: &str| Err(Problem::BadField(format!("{name}: {what}")));
    let mut values = distinct(header);
    let value = values.next().unwrap_or_default();
    if values.next().is_some() {
        return wrong("sent with different values; send one");
    }
    let mut id = Cow::Borrowed(value);
    if name == IDEMPOTENCY_KEY {
        if let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            id = Cow::Owned(inner.replace(r"\\", r"\"));
        }
        if id.contains('"') {
            return wrong("has a quote inside; send abc or \"abc\"");
        }
    }
    let valid = (1..=REQUEST_ID_LIMIT).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if valid {
        return Ok(id.into_owned());
    }
    wrong(&format!("must be 1 to {REQUEST_ID_LIMIT} visible ASCII characters"))
}

/// Returns the key of the rate limit for an address. IPv6 addresses share the key of their /64, because one customer has a whole
/// /64.
pub fn client_network(address: &str) -> String {
    match address.parse::<Ipv6Addr>() {
        Ok(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::protocol::transport::NDJSON;

    const JSON: Result<Option<Format>, Problem> = Ok(Some(Format::Json));
    const XML: Result<Option<Format>, Problem> = Ok(Some(Format::Xml));
    const UNDECIDED: Result<Option<Format>, Problem> = Ok(None);

    #[test]
    fn reads_the_format_that_the_content_type_names() {
        for (content_type, expected) in [
            ("application/json", JSON),
            ("Application/JSON; charset=\"UTF-8\"", JSON),
            ("application/json; charset=us-ascii", JSON),
            ("application/json;charset=US-ASCII", JSON),
            ("application/json; charset=ascii", JSON),
            ("application/json; profile=\"a, b; charset=utf-16\"", JSON),
            ("application/json; a=b,c", JSON),
            ("text/xml;charset=utf8", XML),
            ("application/xml; charset=us-ascii", XML),
            ("", UNDECIDED),
            ("; charset=utf-8", UNDECIDED),
            ("application/x-www-form-urlencoded", UNDECIDED),
            ("application/x-www-form-urlencoded; charset=us-ascii", UNDECIDED),
            ("text/plain", UNDECIDED),
            ("text/plain;charset=UTF-8", UNDECIDED),
            // Repeated headers.
            ("application/json, application/json", JSON),
            ("application/json, Application/JSON; charset=utf-8", JSON),
            ("application/xml, application/xml", XML),
            ("text/plain, text/plain", UNDECIDED),
            (", application/json", JSON),
            ("application/json, ", JSON),
            ("application/json; a=\"\\\", text/html\", application/json", JSON),
        ] {
            assert_eq!(body_format(Some(content_type), None), expected, "{content_type}");
            let json = json_body(Some(content_type), None).map_err(|problem| problem.status());
            assert_eq!(json, if expected == XML { Err(415) } else { Ok(()) }, "{content_type}");
        }
        assert_eq!(body_format(None, None), UNDECIDED);
        assert_eq!(json_body(None, None), Ok(()));
        for coding in ["", "identity", "Identity", "identity, identity"] {
            assert_eq!(body_format(Some("application/json"), Some(coding)), JSON, "{coding}");
        }
    }

    #[test]
    fn rejects_a_media_type_with_what_was_received_and_what_to_send() {
        let long = format!("application/{}", "x".repeat(100));
        for (content_type, coding, said) in [
            (
                Some("application/json; charset=utf-16"),
                None,
                r#"Content-Type: unsupported charset "utf-16"; send UTF-8"#,
            ),
            (Some("text/plain; charset=latin1"), None, r#"Content-Type: unsupported charset "latin1"; send UTF-8"#),
            (Some("text/xml; charset="), None, r#"Content-Type: unsupported charset ""; send UTF-8"#),
            (
                Some("text/html"),
                None,
                r#"Content-Type: unsupported media type "text/html"; send application/json or application/xml"#,
            ),
            (
                Some("Multipart/Form-Data; boundary=a,b"),
                None,
                "Content-Type: unsupported media type \"multipart/form-data\"; send application/json or application/xml, \
                 not a multipart body",
            ),
            (
                Some("application/soap+xml"),
                None,
                "Content-Type: unsupported media type \"application/soap+xml\"; send application/json or \
                 application/xml, not SOAP",
            ),
            (
                Some("application/gzip"),
                None,
                "Content-Type: unsupported media type \"application/gzip\"; send application/json or application/xml, \
                 not a compressed body",
            ),
            (
                Some("a\"\u{e9}\n"),
                None,
                "Content-Type: unsupported media type \"a\\\"\\u{e9}\"; send application/json or application/xml",
            ),
            (
                Some(&long),
                None,
                &format!(
                    "Content-Type: unsupported media type \"{}…\"; send application/json or application/xml",
                    &long[..80]
                ),
            ),
            (
                Some("application/json, text/xml"),
                None,
                "Content-Type: sent with different values, \"application/json, text/xml\"; send one",
            ),
            (
                Some("application/json"),
                Some("gzip"),
                r#"Content-Encoding: unsupported coding "gzip"; send the body uncompressed"#,
            ),
            (None, Some("identity, br"), r#"Content-Encoding: unsupported coding "br"; send the body uncompressed"#),
        ] {
            let problem = body_format(content_type, coding).unwrap_err();
            assert_eq!((problem.status(), problem.debug("").as_ref()), (415, said));
            let json_only = json_body(content_type, coding).unwrap_err();
            assert_eq!(json_only.debug(""), said.replace(" or application/xml", ""));
        }
        let xml = json_body(Some("text/xml; charset=utf-8"), None).unwrap_err();
        assert_eq!(xml.debug(""), r#"Content-Type: unsupported media type "text/xml"; send application/json"#);
    }

    #[test]
    fn reads_each_token_of_the_head_once() {
        let of = |header, query: &[&'static str]| tokens(header, query.iter().copied());
        assert_eq!(of(None, &[]), [""; 0]);
        for authorization in
            ["Bearer abc", "bearer  abc ", "BEARER\tabc\t", "Bearer abc, Bearer abc", "Bearer abc, bearer  abc"]
        {
            assert_eq!(of(Some(authorization), &["abc", "", "abc", " abc\n", "\t"]), ["abc"], "{authorization}");
        }
        for authorization in ["Bearer", "Bearer ", "Basic abc", "", "Basic abc, Bearer abc", "abc"] {
            assert_eq!(of(Some(authorization), &[]), [""; 0], "{authorization}");
        }
        assert_eq!(of(None, &["", "\r\n abc \x0C"]), ["abc"]);
        assert_eq!(of(Some("Bearer a, Bearer b"), &[]), ["a", "b"]);
        assert_eq!(of(None, &["a", "b"]), ["a", "b"]);
        assert_eq!(of(Some("Bearer a"), &["b"]), ["a", "b"]);
        assert_eq!(of(Some("Bearer \u{a0}a"), &["a b"]), ["\u{a0}a", "a b"], "only ASCII white space, only outside");
    }

    #[test]
    fn reads_a_length_that_is_sent_once_or_repeated() {
        for (header, expected) in [
            (None, None),
            (Some("12"), Some(12)),
            (Some("12, 12"), Some(12)),
            (Some("12, 13"), None),
            (Some(""), None),
            (Some("+1"), None),
            (Some("99999999999999999999"), None),
        ] {
            assert_eq!(content_length(header), expected, "{header:?}");
        }
    }

    #[test]
    fn prefers_the_format_with_the_greater_weight() {
        for accept in [
            None,
            Some("*/*"),
            Some("text/html"),
            Some("application/json"),
            Some("application/xml;q=0, */*"),
            Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            Some("application/xml, TEXT/HTML;q=0.1"),
            Some("text/xml, text/html"),
        ] {
            assert_eq!(accepted_format(accept), Format::Json, "{accept:?}");
        }
        for (text, thousandths) in
            [("1", 1000), ("1.000", 1000), ("0.8", 800), ("0.125", 125), ("0", 0), ("", 0), ("1.x", 0)]
        {
            assert_eq!(weight(text), thousandths, "{text}");
        }
        for accept in ["application/xml", "text/xml, */*;q=0.1", "application/json;q=0.5, application/xml;q=0.9"] {
            assert_eq!(accepted_format(Some(accept)), Format::Xml, "{accept}");
        }
    }

    #[test]
    fn finds_an_accepted_media_type_in_any_case() {
        for accept in ["application/x-ndjson", "text/html, Application/X-NDJSON ;q=0.1"] {
            assert!(asks_for(Some(accept), NDJSON), "{accept}");
        }
        for accept in ["application/x-ndjson;q=0", "application/x-ndjsons", "*/*", ""] {
            assert!(!asks_for(Some(accept), NDJSON), "{accept}");
        }
        assert!(!asks_for(None, NDJSON));
    }

    #[test]
    fn groups_ipv6_addresses_by_their_64_bit_prefix() {
        assert_eq!(client_network("192.0.2.7"), "192.0.2.7");
        assert_eq!(client_network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(client_network("2001:db8:1:2::9"), client_network("2001:db8:1:2:ffff::"));
        assert_ne!(client_network("2001:db8:1:2::9"), client_network("2001:db8:1:3::9"));
    }

    #[test]
    fn reads_a_request_id_from_three_headers() {
        assert_eq!(request_id(None, None, None), Ok(None));
        let longest = "x".repeat(REQUEST_ID_LIMIT);
        let quoted = format!("\"{longest}\"");
        for (id, key, other, expected) in [
            (Some("a"), Some("a"), Some("c"), "a"),
            (None, Some("b"), Some("c"), "b"),
            (None, None, Some("c"), "c"),
            (Some("a, a"), None, None, "a"),
            (None, Some("a, a, a"), None, "a"),
            (None, Some("\"abc\""), None, "abc"),
            (None, Some("\"abc\", \"abc\""), None, "abc"),
            (None, Some(r#""a\\b""#), None, r"a\b"),
            (None, Some(r"a\\b"), None, r"a\\b"),
            (Some("abc"), Some("\"abc\""), None, "abc"),
            (Some("\"abc\""), None, None, "\"abc\""),
            (None, None, Some("\"abc\""), "\"abc\""),
            (Some("a,a"), None, None, "a,a"),
            (Some(longest.as_str()), Some(quoted.as_str()), None, longest.as_str()),
        ] {
            assert_eq!(request_id(id, key, other), Ok(Some(expected.to_owned())), "{id:?} {key:?} {other:?}");
        }
    }

    #[test]
    fn rejects_a_malformed_request_id() {
        let long = "x".repeat(REQUEST_ID_LIMIT + 1);
        let quoted = format!("\"{long}\"");
        for bad in ["", "a b", "é", "a\tb", "a, b", &long] {
            let headers: [[Option<&str>; 3]; 3] =
                [[Some(bad), None, None], [None, Some(bad), None], [None, None, Some(bad)]];
            for (headers, name) in headers.into_iter().zip(["Request-ID", "Idempotency-Key", "X-Request-ID"]) {
                let problem = request_id(headers[0], headers[1], headers[2]).unwrap_err();
                assert_eq!(problem.status(), 400);
                assert!(problem.debug("").starts_with(&format!("{name}: ")), "{bad}: {problem:?}");
            }
        }
        for bad in ["\"", "\"\"", "\"abc", "abc\"", "a\"b", r#""a"b""#, r#""a\"b""#, "\"a\", \"b\"", "\"a b\"", &quoted]
        {
            let problem = request_id(None, Some(bad), None).unwrap_err();
            assert!(problem.debug("").starts_with("Idempotency-Key: "), "{bad}: {problem:?}");
        }
        for (id, key) in [("a", "b"), ("\"a\"", "\"a\""), ("a", "")] {
            assert_eq!(request_id(Some(id), Some(key), None).unwrap_err().status(), 400, "{id} {key}");
        }
    }
}
