//! The target of a request: path and query, from its URL.

/// The path of a URL as the runtime hands it over (absolute, normalised), percent-encoded as it came, and the
/// parameters of its query, decoded.
pub fn split(url: &str) -> (&str, Vec<(String, String)>) {
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
    fn paths_and_parameters() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(split("https://example.com"), ("/", vec![]));
        assert_eq!(split("https://example.com?a=1"), ("/", vec![pair("a", "1")]));
        assert_eq!(split("http://localhost:8787/healthz#x?y"), ("/healthz", vec![]));
        let (path, query) = split("http://h/api/v1.1/x/?token=a%2Bb+c&format=xml&flag&token=second");
        assert_eq!(path, "/api/v1.1/x/");
        let expected = [pair("token", "a+b c"), pair("format", "xml"), pair("flag", ""), pair("token", "second")];
        assert_eq!(query, expected);
    }
}
