//! Paths and methods.

use std::borrow::Cow;

use crate::{campaign::id::LaunchId, fields::Endpoint, launch::root::TRIGGER_ID_MAX, problem::Problem};

/// What all paths but `/healthz` begin with.
const TRIGGERS: &str = "/api/v1.1/campaigns/triggers";

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `GET /healthz`.
    Health,
    /// `POST …/start_batch` and `POST …/start`.
    Launch(Endpoint),
    /// `GET …/triggers`: the campaigns.
    Campaigns,
    /// `PUT …/{id}`: define, pause, resume.
    Define(u64),
    /// `GET …/{id}`.
    Campaign(u64),
    /// `GET …/{id}/launches…`.
    Log(u64, Log),
}

/// A part of a campaign's launch log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// `…/launches`.
    Launches,
    /// `…/launches/{launch_id}`.
    Launch(LaunchId),
    /// `…/launches/{launch_id}/recipients`.
    Recipients(LaunchId),
    /// `…/launches/{launch_id}/report`.
    Report(LaunchId),
    /// `…/launches/{launch_id}/attachments/{n}`.
    Attachment(LaunchId, usize),
    /// What stands in place of a launch id or a number is none, and so names nothing: 404, but only for a caller who
    /// may know.
    Nothing(&'static str),
}

impl Route {
    /// What the operator is told of it: nothing that the caller has chosen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Health => "healthz",
            Self::Launch(Endpoint::StartBatch) => "start_batch",
            Self::Launch(Endpoint::Start) => "start",
            Self::Campaigns => "campaigns",
            Self::Define(_) => "define",
            Self::Campaign(_) => "campaign",
            Self::Log(_, Log::Launches) => "launches",
            Self::Log(_, Log::Launch(_)) => "launch",
            Self::Log(_, Log::Recipients(_)) => "recipients",
            Self::Log(_, Log::Report(_)) => "report",
            Self::Log(_, Log::Attachment(..)) => "attachment",
            Self::Log(_, Log::Nothing(_)) => "nothing",
        }
    }
}

/// Finds the route. `path` is the URL's, percent-encoded as it came. Repeated slashes count as one, and one at the end is
/// ignored.
pub fn route(method: &str, path: &str) -> Result<Route, Problem> {
    let path = &*normalized(path);
    let allowed = |allow: &'static str, route: Route| {
        if allow.split(", ").any(|allowed| allowed == method) {
            Ok(route)
        } else {
            Err(Problem::MethodNotAllowed(allow))
        }
    };
    if path == "/healthz" {
        return allowed("GET, HEAD", Route::Health);
    }
    let rest = path.strip_prefix(TRIGGERS).ok_or(Problem::NoSuchPath)?;
    let mut parts = rest.split('/');
    if parts.next() != Some("") {
        return Err(Problem::NoSuchPath);
    }
    let parts: Vec<_> = parts.take(6).collect();
    match parts.as_slice() {
        [] => allowed("GET, HEAD", Route::Campaigns),
        ["start_batch"] => allowed("POST", Route::Launch(Endpoint::StartBatch)),
        ["start"] => allowed("POST", Route::Launch(Endpoint::Start)),
        [id] => {
            let id = trigger_id(id)?;
            allowed("GET, HEAD, PUT", if method == "PUT" { Route::Define(id) } else { Route::Campaign(id) })
        }
        [id, "launches", rest @ ..] => {
            let id = trigger_id(id)?;
            let log = log(rest)?;
            allowed("GET, HEAD", Route::Log(id, log))
        }
        _ => Err(Problem::NoSuchPath),
    }
}

/// Whether a path's replies are JSON whatever the caller prefers, errors too: the log's and the operator's.
pub fn is_json_alone(path: &str) -> bool {
    let path = &*normalized(path);
    match path.strip_prefix(TRIGGERS) {
        Some(rest) => !matches!(rest, "/start_batch" | "/start"),
        None => path == "/healthz",
    }
}

/// The path with single slashes, and none at its end.
fn normalized(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(path.strip_suffix('/').unwrap_or(path));
    }
    let parts = path.split('/').filter(|part| !part.is_empty());
    Cow::Owned(parts.flat_map(|part| ["/", part]).collect())
}

fn trigger_id(text: &str) -> Result<u64, Problem> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let id = text.parse().ok().filter(|id| digits && (1..=TRIGGER_ID_MAX).contains(id));
    id.ok_or(Problem::NoSuchPath)
}

fn log(parts: &[&str]) -> Result<Log, Problem> {
    let [id, rest @ ..] = parts else { return Ok(Log::Launches) };
    let of = |log: fn(LaunchId) -> Log| match LaunchId::parse(&id.to_ascii_lowercase()) {
        Some(id) => log(id),
        None => Log::Nothing("launch"),
    };
    match rest {
        [] => Ok(of(Log::Launch)),
        ["recipients"] => Ok(of(Log::Recipients)),
        ["report"] => Ok(of(Log::Report)),
        ["attachments", number] => {
            let digits = number.bytes().all(|byte| byte.is_ascii_digit());
            Ok(match (of(Log::Launch), number.parse().ok().filter(|_| digits)) {
                (Log::Launch(id), Some(number)) => Log::Attachment(id, number),
                (Log::Launch(_), None) => Log::Nothing("attachment"),
                (nothing, _) => nothing,
            })
        }
        _ => Err(Problem::NoSuchPath),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for path in ["/healthz", TRIGGERS, "/api/v1.1/campaigns/triggers/8", "/api/v1.1/campaigns/triggers/8/launches/"]
        {
            assert!(is_json_alone(path), "{path}");
        }
        for path in ["/", "/x", "/api/v1.1/campaigns/triggers/start", "/api/v1.1/campaigns/triggers/start_batch/"] {
            assert!(!is_json_alone(path), "{path}");
        }
    }

    #[test]
    fn counts_repeated_slashes_as_one() {
        let id = "01a2b3c4-d5e6-7890-8abc-def012345678";
        for (method, path) in [
            ("GET", "/healthz".to_owned()),
            ("POST", format!("{TRIGGERS}/start_batch")),
            ("POST", format!("{TRIGGERS}/start")),
            ("GET", TRIGGERS.to_owned()),
            ("PUT", format!("{TRIGGERS}/8")),
            ("GET", format!("{TRIGGERS}/8/launches/{id}/attachments/3")),
        ] {
            let expected = route(method, &path).unwrap();
            for slashes in ["//", "///", "/////"] {
                for (at, _) in path.match_indices('/') {
                    let (before, after) = path.split_at(at);
                    let path = format!("{before}{slashes}{}", &after[1..]);
                    assert_eq!(route(method, &path), Ok(expected), "{path}");
                    assert_eq!(is_json_alone(&path), !matches!(expected, Route::Launch(_)), "{path}");
                }
                let path = path.replace('/', slashes) + slashes;
                assert_eq!(route(method, &path), Ok(expected), "{path}");
                assert_eq!(is_json_alone(&path), !matches!(expected, Route::Launch(_)), "{path}");
            }
        }
    }

    #[test]
    fn paths_and_methods() {
        let id = "01a2b3c4-d5e6-7890-8abc-def012345678";
        let launch = LaunchId::parse(id).unwrap();
        let base = TRIGGERS;
        let found = [
            ("GET", "/healthz".to_owned(), Route::Health),
            ("POST", format!("{base}/start_batch"), Route::Launch(Endpoint::StartBatch)),
            ("POST", format!("{base}/start_batch/"), Route::Launch(Endpoint::StartBatch)),
            ("POST", format!("{base}/start"), Route::Launch(Endpoint::Start)),
            ("GET", base.to_owned(), Route::Campaigns),
            ("GET", format!("{base}/"), Route::Campaigns),
            ("PUT", format!("{base}/8"), Route::Define(8)),
            ("GET", format!("{base}/9007199254740991"), Route::Campaign(TRIGGER_ID_MAX)),
            ("GET", format!("{base}/8/launches"), Route::Log(8, Log::Launches)),
            ("GET", format!("{base}/8/launches/{id}"), Route::Log(8, Log::Launch(launch))),
            ("GET", format!("{base}/8/launches/{id}/recipients"), Route::Log(8, Log::Recipients(launch))),
            ("GET", format!("{base}/8/launches/{id}/report/"), Route::Log(8, Log::Report(launch))),
            ("GET", format!("{base}/8/launches/{id}/attachments/3"), Route::Log(8, Log::Attachment(launch, 3))),
        ];
        for (method, path, expected) in found {
            assert_eq!(route(method, &path), Ok(expected), "{method} {path}");
        }
        for path in
            ["/", "//", "", "/api", "/api/v1.1/campaigns/triggersx", &format!("{base}/0"), &format!("{base}x//")]
        {
            assert_eq!(route("GET", path), Err(Problem::NoSuchPath), "{path}");
        }
        for path in ["/9007199254740992", "/abc", "/08", "/8/launch", "/8/launches//x/y/z"] {
            assert!(route("GET", &format!("{base}{path}")).is_err(), "{path}");
        }
        assert_eq!(route("GET", &format!("{base}/start_batch")), Err(Problem::MethodNotAllowed("POST")));
        // `HEAD` is served wherever `GET` is, and said to be.
        assert_eq!(route("HEAD", &format!("{base}/8")), Ok(Route::Campaign(8)));
        assert_eq!(route("DELETE", &format!("{base}/8")), Err(Problem::MethodNotAllowed("GET, HEAD, PUT")));
        assert_eq!(route("GET", &format!("{base}/8/launches/x")), Ok(Route::Log(8, Log::Nothing("launch"))));
    }
}
