//! The definition of a webhook: the body of `PUT`, and what is stored.

use serde::{Deserialize, Serialize};

use super::signature::{SECRET_BYTES, Secret};
use crate::{
    campaign::protocol::webhook::{Ordering, RecipientsMode, WebhookDefinition},
    limits::{
        SECRET_OVERLAP_MS, WEBHOOK_HEADER_NAME_LIMIT, WEBHOOK_HEADER_VALUE_LIMIT, WEBHOOK_HEADERS_LIMIT,
        WEBHOOK_URL_LIMIT,
    },
    problem::Problem,
    text::SAFE_INTEGER_MAX,
    wire::{Scalar, ValueType, json, members::ObjectMembers, scalar},
};

/// A webhook as it is stored, in JSON. Pinned: a change is a migration.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookConfig {
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub ordering: Ordering,
    pub active: bool,
    /// The first sequence of each mode, in order. A launch keeps the mode in which it was committed.
    recipients: Vec<(u64, RecipientsMode)>,
    secret: String,
    previous: Option<PreviousSecret>,
}

/// A secret that was replaced.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PreviousSecret {
    secret: String,
    /// Until when it signs, in milliseconds since 1970.
    until: u64,
}

/// The secret was replaced a short time ago, and the one before still signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret before the last rotation signs until {until}")]
pub struct RotatedBefore {
    /// Milliseconds since 1970.
    pub until: u64,
}

impl WebhookConfig {
    /// A webhook with the defaults, which begins with the launch after `last`.
    pub fn new(url: String, random: [u8; SECRET_BYTES], last: u64) -> Self {
        Self {
            url,
            headers: Vec::new(),
            ordering: Ordering::Strict,
            active: true,
            recipients: vec![(last.saturating_add(1), RecipientsMode::Inline)],
            secret: Secret::new(random).to_text(),
            previous: None,
        }
    }

    /// Changes the fields that are present. `last` is the last sequence in the log, `removed` the last that retention removed.
    pub fn change(&mut self, definition: WebhookDefinition, last: u64, removed: u64) {
        self.url = definition.url.unwrap_or_else(|| self.url.clone());
        self.headers = definition.headers.unwrap_or_else(|| self.headers.clone());
        self.ordering = definition.ordering.unwrap_or(self.ordering);
        self.active = definition.active.unwrap_or(self.active);
        if let Some(mode) = definition.recipients.filter(|mode| *mode != self.recipients()) {
            let next = last.saturating_add(1);
            self.recipients.retain(|(first, _)| *first < next);
            if self.recipients.is_empty() || mode != self.recipients() {
                self.recipients.push((next, mode));
            }
        }
        // Only the mode of the oldest launch, and the modes after it, are needed.
        let oldest = self.recipients.iter().rposition(|(first, _)| *first <= removed.saturating_add(1)).unwrap_or(0);
        self.recipients.drain(..oldest);
    }

    /// The mode of launches that are committed now.
    pub fn recipients(&self) -> RecipientsMode {
        self.recipients.last().map_or(RecipientsMode::Inline, |(_, mode)| *mode)
    }

    /// The mode in which a launch was committed.
    pub fn recipients_of(&self, sequence: u64) -> RecipientsMode {
        let (before, after) =
            self.recipients.split_at(self.recipients.partition_point(|(first, _)| *first <= sequence));
        // A replay can include launches that are older than the webhook.
        before.last().or(after.first()).map_or(RecipientsMode::Inline, |(_, mode)| *mode)
    }

    /// The text of the current secret.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Replaces the secret. The old one signs for [`SECRET_OVERLAP_MS`], too.
    pub fn rotate(&mut self, random: [u8; SECRET_BYTES], now: u64) -> Result<(), RotatedBefore> {
        if let Some(PreviousSecret { until, .. }) = self.valid_previous(now) {
            return Err(RotatedBefore { until: *until });
        }
        let secret = std::mem::replace(&mut self.secret, Secret::new(random).to_text());
        self.previous = Some(PreviousSecret { secret, until: now.saturating_add(SECRET_OVERLAP_MS) });
        Ok(())
    }

    /// The secrets that sign now.
    pub fn secrets(&self, now: u64) -> Vec<Secret> {
        let previous = self.valid_previous(now).map(|previous| &previous.secret);
        std::iter::once(&self.secret).chain(previous).filter_map(|text| Secret::parse(text)).collect()
    }

    fn valid_previous(&self, now: u64) -> Option<&PreviousSecret> {
        // If the clock was set back, the secret would otherwise sign for as long.
        let is_valid = |previous: &&PreviousSecret| {
            now < previous.until && previous.until <= now.saturating_add(SECRET_OVERLAP_MS)
        };
        self.previous.as_ref().filter(is_valid)
    }
}

/// Parses the body of `PUT`.
pub fn parse_definition(body: &[u8]) -> Result<WebhookDefinition, Problem> {
    let mut definition = WebhookDefinition::default();
    for (name, value) in ObjectMembers::parse(body)? {
        let wrong = |what: &str| ObjectMembers::wrong(&name, what);
        let raw = value.get();
        let value = json::scalar(raw.as_bytes());
        match name.as_ref() {
            "url" => {
                definition.url = scalar::text(&value).map_err(|what| wrong(&what))?.map(str::to_owned);
                if definition.url.as_ref().is_some_and(|url| url.len() > WEBHOOK_URL_LIMIT) {
                    return Err(wrong(&format!("is longer than {WEBHOOK_URL_LIMIT} bytes")));
                }
            }
            "headers" => definition.headers = parse_headers(raw)?,
            "recipients" => {
                let modes = [("inline", RecipientsMode::Inline), ("none", RecipientsMode::None)];
                definition.recipients = one_of(&value, modes).map_err(|what| wrong(&what))?;
            }
            "ordering" => {
                let orderings = [("strict", Ordering::Strict), ("relaxed", Ordering::Relaxed)];
                definition.ordering = one_of(&value, orderings).map_err(|what| wrong(&what))?;
            }
            "active" => definition.active = scalar::boolean(&value).map_err(|what| wrong(&what))?,
            _ => return Err(wrong("unknown field; a webhook has url, headers, recipients, ordering and active")),
        }
    }
    Ok(definition)
}

/// Parses the body of `replay`: the sequence after which delivery begins again.
pub fn parse_replay(body: &[u8]) -> Result<u64, Problem> {
    let mut after = None;
    for (name, value) in ObjectMembers::parse(body)? {
        let value = json::scalar(value.get().as_bytes());
        match name.as_ref() {
            "after" => {
                let integer = scalar::integer(&value, 0..=SAFE_INTEGER_MAX);
                after = integer.map_err(|what| ObjectMembers::wrong(&name, &what))?;
            }
            _ => return Err(ObjectMembers::wrong(&name, "unknown field; a replay has after")),
        }
    }
    after.ok_or_else(|| ObjectMembers::wrong("after", "is missing: the sequence after which delivery begins again"))
}

/// Reads a text that has to be one of two names.
fn one_of<T>(value: &Scalar<'_>, names: [(&str, T); 2]) -> Result<Option<T>, scalar::MustBe> {
    let [(first, _), (second, _)] = &names;
    let expected = format!("\"{first}\" or \"{second}\"");
    let Some(text) = scalar::text(value)? else { return Ok(None) };
    match names.into_iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(Some(value)),
        None => Err(scalar::must_be(&expected, None)),
    }
}

fn parse_headers(raw: &str) -> Result<Option<Vec<(String, String)>>, Problem> {
    let wrong = |what: &str| ObjectMembers::wrong("headers", what);
    match raw.as_bytes().first() {
        Some(b'{') => {}
        Some(b'n') => return Ok(None),
        first => {
            let received = first.map_or(ValueType::Null, |first| ValueType::of_json(*first));
            return Err(wrong(&format!("must be an object of names and values, not {received}")));
        }
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in ObjectMembers::parse(raw.as_bytes())? {
        if headers.len() == WEBHOOK_HEADERS_LIMIT {
            return Err(wrong(&format!("more than {WEBHOOK_HEADERS_LIMIT} headers")));
        }
        check_header_name(&name).map_err(|what| wrong(&what))?;
        if headers.iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(&name)) {
            return Err(wrong(&format!("{name}: is given twice")));
        }
        let value = json::scalar(value.get().as_bytes());
        let text = scalar::text(&value).map_err(|what| wrong(&format!("{name}: {what}")))?;
        let text = text.ok_or_else(|| wrong(&format!("{name}: must be a string, not JSON null")))?;
        let is_visible = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
        if !text.bytes().all(is_visible) {
            return Err(wrong(&format!("{name}: the value must be visible ASCII")));
        }
        if text.len() > WEBHOOK_HEADER_VALUE_LIMIT {
            return Err(wrong(&format!("{name}: the value is longer than {WEBHOOK_HEADER_VALUE_LIMIT} bytes")));
        }
        headers.push((name.into_owned(), text.to_owned()));
    }
    Ok(Some(headers))
}

/// Headers that describe the message or the connection, which the Worker sets.
pub const RESERVED: [&str; 8] =
    ["host", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"];
/// Prefixes of reserved names.
pub const RESERVED_PREFIXES: [&str; 2] = ["content-", "webhook-"];

fn check_header_name(name: &str) -> Result<(), String> {
    const SYMBOLS: &[u8] = b"!#$%&'*+-.^_`|~";
    let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || SYMBOLS.contains(&byte));
    if !is_token || name.len() > WEBHOOK_HEADER_NAME_LIMIT {
        return Err(format!(
            "a name is not a header name: 1 to {WEBHOOK_HEADER_NAME_LIMIT} letters, digits and {}",
            SYMBOLS.escape_ascii()
        ));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || RESERVED_PREFIXES.into_iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(format!(
            "{name}: is set by the Worker; Host, Content-*, webhook-* and headers of the connection are reserved"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> String {
        let problem = parse_definition(body.as_bytes()).unwrap_err();
        assert_eq!(problem.status(), 400, "{body:.80}");
        problem.debug("").into_owned()
    }

    #[test]
    fn parses_the_fields_that_are_present() {
        assert_eq!(parse_definition(b"{}"), Ok(WebhookDefinition::default()));
        let body = r#"{"url":"https://a.example/x","headers":{"Authorization":"Bearer x","X-A":""},
            "recipients":"none","ordering":"relaxed","active":"0"}"#;
        let expected = WebhookDefinition {
            url: Some("https://a.example/x".to_owned()),
            headers: Some(vec![("Authorization".into(), "Bearer x".into()), ("X-A".into(), String::new())]),
            recipients: Some(RecipientsMode::None),
            ordering: Some(Ordering::Relaxed),
            active: Some(false),
        };
        assert_eq!(parse_definition(body.as_bytes()), Ok(expected));
        let nulls = r#"{"url":null,"headers":null,"recipients":null,"ordering":null,"active":null}"#;
        assert_eq!(parse_definition(nulls.as_bytes()), Ok(WebhookDefinition::default()));
    }

    #[test]
    fn rejects_an_invalid_definition_with_a_text_that_names_the_fault() {
        let eleven: Vec<String> = (0..11).map(|number| format!("\"X-{number}\":\"\"")).collect();
        let reserved = "is set by the Worker; Host, Content-*, webhook-* and headers of the connection are reserved";
        for (body, expected) in [
            (r#"{"uri":"x"}"#, "uri: unknown field; a webhook has url, headers, recipients, ordering and active"),
            (r#"{"url":1}"#, "url: must be a string, not a JSON number"),
            (&format!(r#"{{"url":"https://{}"}}"#, "x".repeat(WEBHOOK_URL_LIMIT)), "url: is longer than 2048 bytes"),
            (r#"{"headers":["X"]}"#, "headers: must be an object of names and values, not a JSON array"),
            (r#"{"headers":"X: 1"}"#, "headers: must be an object of names and values, not a JSON string"),
            (&format!(r#"{{"headers":{{{}}}}}"#, eleven.join(",")), "headers: more than 10 headers"),
            (r#"{"headers":{"X-A":"1","x-a":"2"}}"#, "headers: x-a: is given twice"),
            (r#"{"headers":{"X-A":5}}"#, "headers: X-A: must be a string, not a JSON number"),
            (r#"{"headers":{"X-A":null}}"#, "headers: X-A: must be a string, not JSON null"),
            (r#"{"headers":{"X-A":"a\r\nHost: b"}}"#, "headers: X-A: the value must be visible ASCII"),
            (r#"{"headers":{"Host":"b"}}"#, &format!("headers: Host: {reserved}")),
            (r#"{"headers":{"content-TYPE":"b"}}"#, &format!("headers: content-TYPE: {reserved}")),
            (r#"{"headers":{"Webhook-Id":"b"}}"#, &format!("headers: Webhook-Id: {reserved}")),
            (r#"{"headers":{"Transfer-Encoding":"b"}}"#, &format!("headers: Transfer-Encoding: {reserved}")),
            (r#"{"recipients":"all"}"#, "recipients: must be \"inline\" or \"none\""),
            (r#"{"recipients":true}"#, "recipients: must be a string, not a JSON boolean"),
            (r#"{"ordering":"Strict"}"#, "ordering: must be \"strict\" or \"relaxed\""),
            (r#"{"active":"yes"}"#, "active: must be true or false"),
            (r#"{"active":true,"active":true}"#, "active: is given twice"),
            ("[]", "the body must be a JSON object, not a JSON array"),
        ] {
            assert_eq!(error(body), expected, "{body:.80}");
        }
        for name in ["", "X A", "X:", "\u{e9}", &"x".repeat(129)] {
            assert!(error(&format!(r#"{{"headers":{{"{name}":""}}}}"#)).contains("not a header name"), "{name}");
        }
    }

    #[test]
    fn parses_a_replay() {
        assert_eq!(parse_replay(br#"{"after":0}"#), Ok(0));
        assert_eq!(parse_replay(br#"{"after":"17"}"#), Ok(17));
        for (body, expected) in [
            ("{}", "after: is missing: the sequence after which delivery begins again"),
            (r#"{"after":-1}"#, "after: must be an integer from 0 to 9007199254740991"),
            (r#"{"from":1}"#, "from: unknown field; a replay has after"),
        ] {
            assert_eq!(parse_replay(body.as_bytes()).unwrap_err().debug(""), expected);
        }
    }

    #[test]
    fn a_launch_keeps_the_mode_in_which_it_was_committed() {
        let mut config = WebhookConfig::new("https://a.example".to_owned(), [1; SECRET_BYTES], 5);
        let set = |config: &mut WebhookConfig, mode, last, removed| {
            config.change(WebhookDefinition { recipients: Some(mode), ..WebhookDefinition::default() }, last, removed);
        };
        set(&mut config, RecipientsMode::None, 7, 0);
        set(&mut config, RecipientsMode::Inline, 7, 0);
        set(&mut config, RecipientsMode::None, 9, 0);
        let modes: Vec<_> = (1..13).map(|sequence| config.recipients_of(sequence) == RecipientsMode::None).collect();
        assert_eq!(modes, [false, false, false, false, false, false, false, false, false, true, true, true]);
        assert_eq!(config.recipients.len(), 2);
        set(&mut config, RecipientsMode::Inline, 12, 10);
        assert_eq!(config.recipients, [(10, RecipientsMode::None), (13, RecipientsMode::Inline)]);
    }

    #[test]
    fn two_secrets_sign_for_a_day_after_a_rotation() {
        let mut config = WebhookConfig::new("https://a.example".to_owned(), [1; SECRET_BYTES], 0);
        let first = config.secret().to_owned();
        assert_eq!(config.rotate([2; SECRET_BYTES], 1_000), Ok(()));
        let until = 1_000 + SECRET_OVERLAP_MS;
        assert_eq!(config.rotate([3; SECRET_BYTES], until - 1), Err(RotatedBefore { until }));
        let texts = |now| config.secrets(now).iter().map(Secret::to_text).collect::<Vec<_>>();
        assert_eq!(texts(until - 1), [config.secret().to_owned(), first]);
        assert_eq!(texts(until), [config.secret().to_owned()]);
        assert_eq!(texts(0).len(), 1, "the clock was set back");
        assert_eq!(config.rotate([3; SECRET_BYTES], until), Ok(()));
    }

    /// Pinned: an object that restarts reads it.
    #[test]
    fn the_stored_definition_is_pinned() {
        let mut config = WebhookConfig::new("https://a.example".to_owned(), [1; SECRET_BYTES], 5);
        config.headers = vec![("X-A".to_owned(), "b".to_owned())];
        config.rotate([2; SECRET_BYTES], 1_000).unwrap();
        let json = r#"{"url":"https://a.example","headers":[["X-A","b"]],"ordering":"strict","active":true,"recipients":[[6,"inline"]],"secret":"whsec_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=","previous":{"secret":"whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","until":86401000}}"#;
        assert_eq!(serde_json::to_string(&config).unwrap(), json);
        assert!(serde_json::from_str::<WebhookConfig>(json).unwrap() == config);
    }
}
