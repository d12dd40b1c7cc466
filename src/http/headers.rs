//! Headers, read: media types, tokens, request ids.

use std::net::Ipv6Addr;

use crate::{limits::REQUEST_ID_LIMIT, problem::Problem, wire::Format};

/// What curl sends where nobody says what a body is.
const CURLS_OWN: &str = "application/x-www-form-urlencoded";
/// What `fetch` sends then.
const FETCHS_OWN: &str = "text/plain";

/// The format that `Content-Type` gives the body, if it gives one. A body that is neither JSON nor XML, or not in
/// UTF-8, or compressed, is refused.
pub fn body_format(content_type: Option<&str>, content_encoding: Option<&str>) -> Result<Option<Format>, Problem> {
    match media_type(content_type, content_encoding)?.as_str() {
        "" | CURLS_OWN => Ok(None),
        "application/json" => Ok(Some(Format::Json)),
        "application/xml" | "text/xml" => Ok(Some(Format::Xml)),
        _ => Err(unread("Content-Type: application/json, application/xml or text/xml is read")),
    }
}

/// Whether a body may be JSON, which is all that it can be here: where nobody said what it is, it is taken for JSON.
pub fn json_body(content_type: Option<&str>, content_encoding: Option<&str>) -> Result<(), Problem> {
    match media_type(content_type, content_encoding)?.as_str() {
        "" | CURLS_OWN | FETCHS_OWN | "application/json" => Ok(()),
        _ => Err(unread("Content-Type: application/json is read here")),
    }
}

/// The media type, in lower case, of a body that is in UTF-8 and not compressed.
fn media_type(content_type: Option<&str>, content_encoding: Option<&str>) -> Result<String, Problem> {
    let coding = content_encoding.unwrap_or_default().trim();
    if !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") {
        return Err(unread("Content-Encoding: send the body as it is (identity)"));
    }
    let mut parts = content_type.unwrap_or_default().split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    for parameter in parts {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        let utf8 = value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8");
        if name.trim().eq_ignore_ascii_case("charset") && !utf8 {
            return Err(unread("Content-Type: charset: UTF-8 is read"));
        }
    }
    Ok(essence)
}

fn unread(what: &'static str) -> Problem {
    Problem::UnsupportedMediaType(what.into())
}

/// The token of an `Authorization: Bearer …`. Other schemes hold no token.
pub fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The tokens of a head, each once: of `Authorization`, and of the query. More than one: they differ.
pub fn tokens<'a>(authorization: Option<&str>, query: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut tokens: Vec<String> = bearer(authorization).map(str::to_owned).into_iter().collect();
    for token in query.filter(|token| !token.is_empty()) {
        if !tokens.iter().any(|known| known == token) {
            tokens.push(token.to_owned());
        }
    }
    tokens
}

/// The format that `Accept` prefers: of those that are spoken here the one of the greater weight, JSON if that says
/// nothing.
pub fn accepted_format(accept: Option<&str>) -> Format {
    let (mut json, mut xml) = (None, None);
    let mut any = None;
    for (essence, quality) in ranges(accept) {
        let known = match essence.as_str() {
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

/// Whether `Accept` names a media type, in whatever case, and not to refuse it.
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

/// A weight (RFC 9110, §12.4.2) in thousandths; nothing for what is none.
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

/// The caller's id of its request: `Request-ID` or `Idempotency-Key`, or `X-Request-ID` where both are absent.
pub fn request_id(
    request_id: Option<&str>,
    idempotency_key: Option<&str>,
    x_request_id: Option<&str>,
) -> Result<Option<String>, Problem> {
    let (name, id) = match (request_id, idempotency_key) {
        (Some(a), Some(b)) if a != b => {
            return Err(Problem::BadField("Request-ID and Idempotency-Key: two ids that differ".into()));
        }
        (Some(id), _) => ("Request-ID", id),
        (None, Some(id)) => ("Idempotency-Key", id),
        (None, None) => match x_request_id {
            Some(id) => ("X-Request-ID", id),
            None => return Ok(None),
        },
    };
    let good = (1..=REQUEST_ID_LIMIT).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if good {
        return Ok(Some(id.to_owned()));
    }
    Err(Problem::BadField(format!("{name}: must be 1 to {REQUEST_ID_LIMIT} visible ASCII characters")))
}

/// What an address is counted under by the rate limit: an IPv6 address under its /64, which one customer has.
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
    use crate::campaign::commands::NDJSON;

    #[test]
    fn tokens_that_are_the_same_are_one() {
        let of = |header, query: &[&'static str]| super::tokens(header, query.iter().copied());
        assert_eq!(of(None, &[]), [""; 0]);
        assert_eq!(of(Some("Bearer a"), &["a", "", "a"]), ["a"]);
        assert_eq!(of(None, &["", "a"]), ["a"]);
        assert_eq!(of(None, &["a", "b"]), ["a", "b"]);
        assert_eq!(of(Some("Bearer a"), &["b"]), ["a", "b"]);
    }

    #[test]
    fn bodies() {
        let json = Ok(Some(Format::Json));
        assert_eq!(body_format(Some("application/json"), None), json);
        assert_eq!(body_format(Some("Application/JSON; charset=\"UTF-8\""), Some("identity")), json);
        assert_eq!(body_format(Some("text/xml;charset=utf8"), Some("")), Ok(Some(Format::Xml)));
        assert_eq!(body_format(Some("application/x-www-form-urlencoded"), None), Ok(None));
        assert_eq!(body_format(None, None), Ok(None));
        for (content_type, coding) in [
            (Some("text/html"), None),
            (Some("application/json; charset=latin1"), None),
            (Some("application/json"), Some("gzip")),
            (None, Some("br")),
            (Some("multipart/form-data; boundary=x"), None),
        ] {
            let refused = body_format(content_type, coding).unwrap_err();
            assert_eq!(refused.status(), 415, "{content_type:?} {coding:?}");
            assert_eq!(json_body(content_type, coding).unwrap_err().status(), 415, "{content_type:?} {coding:?}");
        }
        assert_eq!(body_format(Some("text/plain"), None).unwrap_err().status(), 415);
        for content_type in [
            None,
            Some("application/x-www-form-urlencoded"),
            Some("text/plain;charset=UTF-8"),
            Some("application/json;charset=UTF-8"),
        ] {
            assert_eq!(json_body(content_type, None), Ok(()), "{content_type:?}");
        }
        for content_type in ["application/xml", "text/xml; charset=utf-8"] {
            let refused = Problem::UnsupportedMediaType("Content-Type: application/json is read here".into());
            assert_eq!(json_body(Some(content_type), None), Err(refused));
        }
    }

    #[test]
    fn tokens() {
        assert_eq!(bearer(Some("Bearer abc")), Some("abc"));
        assert_eq!(bearer(Some("bearer  abc ")), Some("abc"));
        for other in [None, Some("Bearer"), Some("Bearer "), Some("Basic abc"), Some("")] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }

    #[test]
    fn formats() {
        for accept in [None, Some("*/*"), Some("text/html"), Some("application/json"), Some("application/xml;q=0, */*")]
        {
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
    fn a_media_type_that_is_asked_for() {
        for accept in ["application/x-ndjson", "text/html, Application/X-NDJSON ;q=0.1"] {
            assert!(asks_for(Some(accept), NDJSON), "{accept}");
        }
        for accept in ["application/x-ndjson;q=0", "application/x-ndjsons", "*/*", ""] {
            assert!(!asks_for(Some(accept), NDJSON), "{accept}");
        }
        assert!(!asks_for(None, NDJSON));
    }

    #[test]
    fn networks() {
        assert_eq!(client_network("192.0.2.7"), "192.0.2.7");
        assert_eq!(client_network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(client_network("2001:db8:1:2::9"), client_network("2001:db8:1:2:ffff::"));
        assert_ne!(client_network("2001:db8:1:2::9"), client_network("2001:db8:1:3::9"));
    }

    #[test]
    fn ids() {
        assert_eq!(request_id(None, None, None), Ok(None));
        assert_eq!(request_id(Some("a"), Some("a"), Some("c")), Ok(Some("a".into())));
        assert_eq!(request_id(None, Some("b"), Some("c")), Ok(Some("b".into())));
        assert_eq!(request_id(None, None, Some("c")), Ok(Some("c".into())));
        let long = "x".repeat(256);
        for bad in ["", "a b", "é", "a\tb", &long] {
            assert_eq!(request_id(Some(bad), None, None).unwrap_err().status(), 400, "{bad}");
        }
        assert_eq!(request_id(Some("a"), Some("b"), None).unwrap_err().status(), 400);
    }
}
