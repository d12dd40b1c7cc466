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

    const NOT_A_URL: &str = "must be an absolute URL";
    const SCHEME: &str = "must begin with https://";
    const CREDENTIALS: &str = "must not contain a user name or password; send credentials in headers";
    const ADDRESS: &str = "must contain a host name, not an IP address";
    const PRIVATE: &str =
        "must contain a public host name: names under localhost, local, internal and home.arpa are private";
    const DOT: &str = "must contain a public host name, with a dot";

    /// Addresses, and why they are refused (empty: they are allowed).
    const TABLE: [(&str, &str); 64] = [
        ("https://example.com", ""),
        ("https://example.com/", ""),
        ("https://example.com:8443/hooks?campaign=8#here", ""),
        ("HTTPS://EXAMPLE.COM/Hook", ""),
        ("https://example.com./hook", ""),
        ("https://a.b.c.example.co.uk/hook", ""),
        ("https://xn--bcher-kva.example/hook", ""),
        ("https://b\u{fc}cher.example/hook", ""),
        ("https://localhost.example.com/", ""),
        ("https://notlocalhost.com/", ""),
        ("https://internal.example.com/", ""),
        ("https://my-internal.io/", ""),
        ("https://127.0.0.1.example.com/", ""),
        ("https://1.example/", ""),
        ("", NOT_A_URL),
        ("example.com", NOT_A_URL),
        ("/hook", NOT_A_URL),
        ("https://", NOT_A_URL),
        ("https://exa mple.com/", NOT_A_URL),
        ("https://example.com:99999/", NOT_A_URL),
        ("https://256.256.256.256/", NOT_A_URL),
        ("https://1.2.3.4.5/", NOT_A_URL),
        ("https://[::1/", NOT_A_URL),
        ("https://%00.example.com/", NOT_A_URL),
        ("http://example.com/", SCHEME),
        ("ftp://example.com/", SCHEME),
        ("file:///etc/passwd", SCHEME),
        ("javascript:alert(1)", SCHEME),
        ("data:text/plain,hello", SCHEME),
        ("wss://example.com/", SCHEME),
        ("https://user@example.com/", CREDENTIALS),
        ("https://user:password@example.com/", CREDENTIALS),
        ("https://:password@example.com/", CREDENTIALS),
        ("https://example.com:443@127.0.0.1/", CREDENTIALS),
        ("https://127.0.0.1/", ADDRESS),
        ("https://127.1/", ADDRESS),
        ("https://127.0.0.1./", ADDRESS),
        ("https://0177.0.0.1/", ADDRESS),
        ("https://0x7f.0.0.1/", ADDRESS),
        ("https://0x7f000001/", ADDRESS),
        ("https://2130706433/", ADDRESS),
        ("https://017700000001/", ADDRESS),
        ("https://0/", ADDRESS),
        ("https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/", ADDRESS),
        ("https://127\u{3002}0\u{3002}0\u{3002}1/", ADDRESS),
        ("https://%31%32%37.0.0.1/", ADDRESS),
        ("https://169.254.169.254/latest/meta-data/", ADDRESS),
        ("https://8.8.8.8/", ADDRESS),
        ("https://[::1]/", ADDRESS),
        ("https://[::]/", ADDRESS),
        ("https://[::ffff:127.0.0.1]/", ADDRESS),
        ("https://[fe80::1]:8443/", ADDRESS),
        ("https://[2001:db8::1]/", ADDRESS),
        ("https://localhost/", PRIVATE),
        ("https://LOCALHOST:8787/", PRIVATE),
        ("https://localhost./", PRIVATE),
        ("https://api.localhost/", PRIVATE),
        ("https://printer.local/", PRIVATE),
        ("https://metadata.google.internal/", PRIVATE),
        ("https://router.home.arpa/", PRIVATE),
        ("https://\u{24db}ocalhost/", PRIVATE),
        ("https://intranet/", DOT),
        ("https://com./", DOT),
        ("https://example..com/", DOT),
    ];

    #[test]
    fn only_public_names_over_https_are_allowed() {
        for (text, reason) in TABLE {
            let result = check(parse(text).as_ref(), AllowedHosts::Public);
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
