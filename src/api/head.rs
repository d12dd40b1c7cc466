//! The head of a request: reads the URL and the headers, and refuses requests that the head alone shows to be invalid.

use super::{headers, settings::Settings};
use crate::{
    fields::Endpoint,
    launch::{BodySettings, RequestHead},
    limits::{CHANGES_BODY_LIMIT, DEFINITION_LIMIT},
    problem::{Cause, Problem, Refused},
    profiles::live::rows::RowFormat,
    text::push_hex,
    wire::Format,
};
use std::rc::Rc;

/// A request without its body, as the runtime passes it.
#[derive(Clone, Copy)]
pub struct HttpRequest<'a> {
    pub method: &'a str,
    /// Absolute and normalised.
    pub url: &'a str,
    /// Returns the value of a header. Values of a repeated header are joined with `, `.
    pub header: &'a dyn Fn(&str) -> Option<String>,
}

/// The head of a request.
pub struct HttpHead<'a> {
    request: HttpRequest<'a>,
    /// The caller's request ID, or a new one.
    pub request_id: String,
    /// Whether the caller sent the request ID.
    pub has_request_id: bool,
    /// Why the caller's request ID is invalid, if it is.
    pub request_id_fault: Option<Problem>,
    /// Format of the reply, unless the body names one.
    pub format: Format,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// The different tokens in `Authorization` and the query. A valid request has at most one.
    pub tokens: Vec<String>,
    query: Vec<(String, String)>,
}

impl<'a> HttpHead<'a> {
    /// Reads the head. `query` has the decoded parameters of the URL. `random` fills a new request ID if the caller sent none.
    pub fn read(
        request: HttpRequest<'a>,
        query: Vec<(String, String)>,
        is_json_only: bool,
        random: impl FnOnce(&mut [u8]),
    ) -> Self {
        let header = request.header;
        let id = headers::request_id(
            header("Request-ID").as_deref(),
            header("Idempotency-Key").as_deref(),
            header("X-Request-ID").as_deref(),
        );
        let (id, request_id_fault) = match id {
            Ok(id) => (id, None),
            Err(fault) => (None, Some(fault)),
        };
        let in_query = query.iter().filter(|(name, _)| name == "token").map(|(_, token)| token.as_str());
        let tokens = headers::tokens(header("Authorization").as_deref(), in_query);
        let mut head = Self {
            has_request_id: id.is_some(),
            request_id: id.unwrap_or_else(|| new_request_id(random)),
            request_id_fault,
            format: Format::Json,
            length: headers::content_length(header("Content-Length").as_deref()),
            tokens,
            query,
            request,
        };
        if !is_json_only {
            let in_query = head.parameter("format").and_then(Format::from_name);
            head.format = in_query.unwrap_or_else(|| headers::accepted_format(header("Accept").as_deref()));
        }
        head
    }

    pub fn header(&self, name: &str) -> Option<String> {
        (self.request.header)(name)
    }

    pub fn is_head_request(&self) -> bool {
        self.request.method == "HEAD"
    }

    /// The first query parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether `Accept` names this media type.
    pub fn accepts(&self, media_type: &str) -> bool {
        headers::asks_for(self.header("Accept").as_deref(), media_type)
    }

    /// The caller's address, or nothing if the platform does not send it.
    pub fn client_address(&self) -> String {
        self.header("CF-Connecting-IP").unwrap_or_default()
    }

    /// Returns what a launch needs from the head, or refuses the request before its body is read.
    pub fn launch_head(&self, endpoint: Endpoint, settings: &Settings) -> Result<RequestHead, Refused> {
        let content_type = self.header("Content-Type");
        let body = headers::body_format(content_type.as_deref(), self.header("Content-Encoding").as_deref())?;
        self.check_length(settings.limits.files)?;
        if settings.secrets.is_empty() {
            let message = "the deployment has no PROFILE_INDEX_KEY";
            return Err(Refused::unavailable(message, Cause::new("the secret PROFILE_INDEX_KEY is not set")));
        }
        let format_is_invalid = self.parameter("format").is_some_and(|name| Format::from_name(name).is_none());
        let bad_format = || format_is_invalid.then(|| Problem::BadField("format: must be json or xml".into()));
        Ok(RequestHead {
            settings: BodySettings {
                endpoint,
                format: body,
                limits: settings.limits,
                secrets: Rc::clone(&settings.secrets),
                digest_is_id: settings.checksum && !self.has_request_id,
            },
            length: self.length,
            tokens: self.tokens.clone(),
            format: self.format,
            request_id: self.request_id.clone(),
            fault: self.request_id_fault.clone().or_else(bad_format),
        })
    }

    /// Refuses the definition of a campaign before its body is read and its token is verified.
    pub fn check_definition(&self) -> Result<(), Problem> {
        let content_type = self.header("Content-Type");
        headers::json_body(content_type.as_deref(), self.header("Content-Encoding").as_deref())?;
        self.check_length(DEFINITION_LIMIT as u64)
    }

    /// Refuses a body that is not JSON before it is read and the token is verified.
    pub fn check_json(&self) -> Result<(), Problem> {
        headers::json_body(self.header("Content-Type").as_deref(), self.header("Content-Encoding").as_deref())
    }

    /// Refuses a request with changes before its body is read and its token is verified.
    pub fn check_changes(&self) -> Result<(), Problem> {
        self.row_format()?;
        self.check_length(CHANGES_BODY_LIMIT as u64)
    }

    /// Returns the format of the rows of a request with changes. `None`: the first byte decides.
    pub fn row_format(&self) -> Result<Option<RowFormat>, Problem> {
        headers::row_format(self.header("Content-Type").as_deref(), self.header("Content-Encoding").as_deref())
    }

    fn check_length(&self, limit: u64) -> Result<(), Problem> {
        match self.length {
            Some(length) if length > limit => Err(Problem::LengthTooLarge),
            _ => Ok(()),
        }
    }
}

/// 128 random bits in hexadecimal.
fn new_request_id(random: impl FnOnce(&mut [u8])) -> String {
    let mut bytes = [0; 16];
    random(&mut bytes);
    let mut id = String::with_capacity(32);
    push_hex(&bytes, &mut id);
    id
}

/// Splits an absolute URL into its path, percent-encoded as it is, and the decoded parameters of its query.
pub fn split_url(url: &str) -> (&str, Vec<(String, String)>) {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let target = after_scheme.find(['/', '?', '#']).and_then(|start| after_scheme.get(start..)).unwrap_or("/");
    let target = target.split_once('#').map_or(target, |(target, _)| target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (if path.is_empty() { "/" } else { path }, form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_a_url_into_path_and_parameters() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(split_url("https://example.com"), ("/", vec![]));
        assert_eq!(split_url("https://example.com?a=1"), ("/", vec![pair("a", "1")]));
        assert_eq!(split_url("http://localhost:8787/healthz#x?y"), ("/healthz", vec![]));
        let (path, query) = split_url("http://h/api/v1.1/x/?token=a%2Bb+c&format=xml&flag&token=second");
        assert_eq!(path, "/api/v1.1/x/");
        let expected = [pair("token", "a+b c"), pair("format", "xml"), pair("flag", ""), pair("token", "second")];
        assert_eq!(query, expected);
    }

    /// Reads a head with these headers and this query.
    fn read(headers: &[(&str, &str)], query: &str, is_json_only: bool, check: impl FnOnce(HttpHead<'_>)) {
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| (*value).to_owned())
        };
        let (_, query) = split_url(query);
        let request = HttpRequest { method: "GET", url: "", header: &header };
        check(HttpHead::read(request, query, is_json_only, |bytes| bytes.fill(0xAB)));
    }

    #[test]
    fn takes_the_request_id_from_the_caller_or_makes_one() {
        let new = "ab".repeat(16);
        read(&[], "/", false, |head| {
            assert_eq!((head.request_id, head.has_request_id, head.request_id_fault), (new.clone(), false, None));
        });
        read(&[("Idempotency-Key", "\"a\"")], "/", false, |head| {
            assert_eq!((head.request_id.as_str(), head.has_request_id, head.request_id_fault), ("a", true, None));
        });
        read(&[("Request-ID", "a b")], "/", false, |head| {
            assert_eq!((head.request_id.as_str(), head.has_request_id), (new.as_str(), false));
            assert_eq!(head.request_id_fault.map(|fault| fault.status()), Some(400));
        });
    }

    #[test]
    fn takes_the_reply_format_from_the_query_before_accept() {
        let xml = [("Accept", "application/xml")];
        for (headers, query, format) in [
            (&[][..], "/", Format::Json),
            (&xml, "/", Format::Xml),
            (&xml, "/?format=json", Format::Json),
            (&[], "/?format=xml", Format::Xml),
            (&xml, "/?format=yaml", Format::Xml),
            (&[], "/?format=xml&format=json", Format::Xml),
        ] {
            read(headers, query, false, |head| assert_eq!(head.format, format, "{query}"));
            read(headers, query, true, |head| assert_eq!(head.format, Format::Json, "{query}: JSON only"));
        }
    }

    #[test]
    fn reads_tokens_length_and_network() {
        let headers = [
            ("Authorization", "Bearer a"),
            ("Content-Length", "12"),
            ("CF-Connecting-IP", "2001:db8:1:2:3:4:5:6"),
            ("Accept", "application/x-ndjson"),
        ];
        read(&headers, "/?token=b&after=7&token=a", false, |head| {
            assert_eq!(head.tokens, ["a", "b"]);
            assert_eq!(head.length, Some(12));
            assert_eq!(headers::client_network(&head.client_address()), "2001:db8:1:2::/64");
            assert_eq!((head.parameter("after"), head.parameter("limit")), (Some("7"), None));
            assert!(head.accepts("application/x-ndjson") && !head.accepts("text/csv"));
        });
    }
}
