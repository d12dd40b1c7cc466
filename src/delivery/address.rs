//! Which addresses a webhook may have.
//!
//! The platform's URL parser has normalised the address: it writes IPv4 addresses of every spelling as four decimal numbers,
//! international names as A-labels, and letters in lower case. Names are checked, not what they resolve to: the deployment's flag
//! `global_fetch_strictly_public` leaves that to the platform.

use std::net::Ipv4Addr;

/// The parts of a URL, as the platform's parser (WHATWG) returns them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UrlParts {
    /// `https:`
    pub protocol: String,
    pub username: String,
    pub password: String,
    /// Without the port. An IPv6 address is in brackets.
    pub hostname: String,
}

/// Which addresses the deployment allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedHosts {
    /// `https`, and names that can be public.
    Public,
    /// `http` and every host, for development.
    Any,
}

/// Top-level names that never belong to a public host.
const PRIVATE_NAMES: [&str; 4] = ["localhost", "local", "internal", "home.arpa"];

/// Returns why a webhook may not have this address. `None` as the parts: the text is not a URL.
pub fn check(parts: Option<&UrlParts>, allowed: AllowedHosts) -> Result<(), &'static str> {
    let parts = parts.ok_or("must be an absolute URL")?;
    match (parts.protocol.as_str(), allowed) {
        ("https:", _) | ("http:", AllowedHosts::Any) => {}
        _ => return Err("must begin with https://"),
    }
    if !parts.username.is_empty() || !parts.password.is_empty() {
        return Err("must not contain a user name or password; send credentials in headers");
    }
    if allowed == AllowedHosts::Any {
        return Ok(());
    }
    let host = parts.hostname.strip_suffix('.').unwrap_or(&parts.hostname);
    if host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        return Err("must contain a host name, not an IP address");
    }
    let is_under = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if PRIVATE_NAMES.into_iter().any(is_under) {
        return Err(
            "must contain a public host name: names under localhost, local, internal and home.arpa are private",
        );
    }
    let labels: Vec<&str> = host.split('.').collect();
    if labels.len() < 2 || labels.iter().any(|label| label.is_empty()) {
        return Err("must contain a public host name, with a dot");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<UrlParts> {
        let url = url::Url::parse(text).ok()?;
        Some(UrlParts {
            protocol: format!("{}:", url.scheme()),
            username: url.username().to_owned(),
            password: url.password().unwrap_or_default().to_owned(),
            hostname: url.host_str().unwrap_or_default().to_owned(),
        })
    }

    #[test]
    fn only_public_names_over_https_are_allowed() {
        // Addresses, and why they are refused (empty: they are allowed). The runtime's suites use the same table.
        let table = include_str!("../../tests/addresses.json");
        for [text, reason] in serde_json::from_str::<Vec<[String; 2]>>(table).unwrap() {
            let result = check(parse(&text).as_ref(), AllowedHosts::Public);
            assert_eq!(result.err().unwrap_or_default(), reason, "{text}");
        }
    }

    #[test]
    fn development_allows_http_and_local_receivers_without_credentials() {
        for text in ["http://localhost:9000/", "http://127.0.0.1/", "https://[::1]/", "http://receiver/"] {
            assert_eq!(check(parse(text).as_ref(), AllowedHosts::Any), Ok(()), "{text}");
        }
        for text in ["ftp://localhost/", "http://user@localhost/", "localhost"] {
            assert!(check(parse(text).as_ref(), AllowedHosts::Any).is_err(), "{text}");
        }
    }
}
