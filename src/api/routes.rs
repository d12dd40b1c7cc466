//! The routes of the API, in one table. Matching, `405 Allow`, required scopes, reply formats, and names in metrics are derived
//! from [`ROUTES`].

use crate::{
    access::Scope, campaign::protocol::id::LaunchId, fields::Endpoint, problem::Problem, text::SAFE_INTEGER_MAX,
};

/// All routes.
pub static ROUTES: [RouteSpec; 29] = [
    RouteSpec {
        method: Method::Get,
        path: "/healthz",
        scopes: &[],
        formats: ReplyFormats::Json,
        name: "healthz",
        route: |_| Some(Route::Health),
    },
    RouteSpec {
        method: Method::Post,
        path: "/api/v1.1/campaigns/triggers/start_batch",
        scopes: &[Scope::Launch],
        formats: ReplyFormats::JsonOrXml,
        name: "start_batch",
        route: |_| Some(Route::Launch(Endpoint::StartBatch)),
    },
    RouteSpec {
        method: Method::Post,
        path: "/api/v1.1/campaigns/triggers/start",
        scopes: &[Scope::Launch],
        formats: ReplyFormats::JsonOrXml,
        name: "start",
        route: |_| Some(Route::Launch(Endpoint::Start)),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/token",
        scopes: &Scope::ALL,
        formats: ReplyFormats::Json,
        name: "token",
        route: |_| operate(Operation::ReadToken),
    },
    RouteSpec {
        method: Method::Get,
        path: CAMPAIGNS,
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "campaigns",
        route: |_| operate(Operation::ListCampaigns),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "campaign",
        route: |path| operate(Operation::ReadCampaign(path.trigger_id?)),
    },
    RouteSpec {
        method: Method::Put,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "define",
        route: |path| operate(Operation::DefineCampaign(path.trigger_id?)),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/stats",
        scopes: &[Scope::Read],
        formats: ReplyFormats::Json,
        name: "stats",
        route: |path| operate(Operation::ReadLog(path.trigger_id?, LogResource::Stats)),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/launches",
        scopes: &[Scope::Read],
        formats: ReplyFormats::Json,
        name: "launches",
        route: |path| operate(Operation::ReadLog(path.trigger_id?, LogResource::Launches)),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/launches/{launch_id}",
        scopes: &[Scope::Read],
        formats: ReplyFormats::Json,
        name: "launch",
        route: |path| operate(Operation::ReadLog(path.trigger_id?, LogResource::Launch(path.launch_id?))),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/launches/{launch_id}/recipients",
        scopes: &[Scope::Read],
        formats: ReplyFormats::JsonOrNdjson,
        name: "recipients",
        route: |path| operate(Operation::ReadLog(path.trigger_id?, LogResource::Recipients(path.launch_id?))),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/launches/{launch_id}/report",
        scopes: &[Scope::Read],
        formats: ReplyFormats::Json,
        name: "report",
        route: |path| operate(Operation::ReadLog(path.trigger_id?, LogResource::Report(path.launch_id?))),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/launches/{launch_id}/attachments/{n}",
        scopes: &[Scope::Read],
        formats: ReplyFormats::File,
        name: "attachment",
        route: |path| operate(Operation::ReadLog(path.trigger_id?, LogResource::Attachment(path.launch_id?, path.n?))),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/profiles/{database}",
        scopes: &[Scope::Profiles, Scope::Admin],
        formats: ReplyFormats::Json,
        name: "profiles",
        route: |path| operate(Operation::Profiles(path.database?, ProfilesOperation::Read)),
    },
    RouteSpec {
        method: Method::Post,
        path: "/api/v1.1/profiles/{database}/changes",
        scopes: &[Scope::Profiles],
        formats: ReplyFormats::Json,
        name: "change_profiles",
        route: |path| operate(Operation::Profiles(path.database?, ProfilesOperation::Change)),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/profiles/{database}/changes",
        scopes: &[Scope::Profiles],
        formats: ReplyFormats::File,
        name: "pending_changes",
        route: |path| operate(Operation::Profiles(path.database?, ProfilesOperation::ReadChanges)),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/profiles/{database}/entries",
        scopes: &[Scope::Profiles],
        formats: ReplyFormats::Json,
        name: "entries",
        route: |path| operate(Operation::Profiles(path.database?, ProfilesOperation::ReadEntries)),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/profiles/{database}/manifest",
        scopes: &[Scope::Profiles],
        formats: ReplyFormats::Json,
        name: "manifest",
        route: |path| operate(Operation::Profiles(path.database?, ProfilesOperation::ReadManifest)),
    },
    RouteSpec {
        method: Method::Put,
        path: "/api/v1.1/profiles/{database}/live",
        scopes: &[Scope::Profiles],
        formats: ReplyFormats::Json,
        name: "live",
        route: |path| operate(Operation::Profiles(path.database?, ProfilesOperation::SetLive)),
    },
    RouteSpec {
        method: Method::Post,
        path: "/api/v1.1/profiles/{database}/generations",
        scopes: &[Scope::Profiles],
        formats: ReplyFormats::Json,
        name: "publish",
        route: |path| operate(Operation::Profiles(path.database?, ProfilesOperation::Publish)),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/webhook",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "webhook",
        route: |path| operate(Operation::Webhook(path.trigger_id?, WebhookAction::Read)),
    },
    RouteSpec {
        method: Method::Put,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/webhook",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "webhook_define",
        route: |path| operate(Operation::Webhook(path.trigger_id?, WebhookAction::Define)),
    },
    RouteSpec {
        method: Method::Delete,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/webhook",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "webhook_remove",
        route: |path| operate(Operation::Webhook(path.trigger_id?, WebhookAction::Remove)),
    },
    RouteSpec {
        method: Method::Post,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/webhook/rotate",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "webhook_rotate",
        route: |path| operate(Operation::Webhook(path.trigger_id?, WebhookAction::Rotate)),
    },
    RouteSpec {
        method: Method::Post,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/webhook/test",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "webhook_test",
        route: |path| operate(Operation::Webhook(path.trigger_id?, WebhookAction::Test)),
    },
    RouteSpec {
        method: Method::Post,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/webhook/replay",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "webhook_replay",
        route: |path| operate(Operation::Webhook(path.trigger_id?, WebhookAction::Replay)),
    },
    RouteSpec {
        method: Method::Post,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/webhook/resume",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "webhook_resume",
        route: |path| operate(Operation::Webhook(path.trigger_id?, WebhookAction::Resume)),
    },
    RouteSpec {
        method: Method::Post,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/webhook/skip",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "webhook_skip",
        route: |path| operate(Operation::Webhook(path.trigger_id?, WebhookAction::Skip)),
    },
    RouteSpec {
        method: Method::Get,
        path: "/api/v1.1/campaigns/triggers/{trigger_id}/webhook/attempts",
        scopes: &[Scope::Admin],
        formats: ReplyFormats::Json,
        name: "webhook_attempts",
        route: |path| operate(Operation::Webhook(path.trigger_id?, WebhookAction::Attempts)),
    },
];

/// Path of the list of campaigns. The routes of launches and of logs are below it.
const CAMPAIGNS: &str = "/api/v1.1/campaigns/triggers";
/// The beginning of the paths of databases.
const PROFILES: &str = "/api/v1.1/profiles";

/// Name in metrics of a request whose path and method match no route.
pub const UNKNOWN_ROUTE: &str = "nowhere";

/// Name in metrics of a request for [`LogResource::Unknown`].
pub const UNKNOWN_RESOURCE: &str = "nothing";

/// A row of the table.
#[derive(Debug)]
pub struct RouteSpec {
    pub method: Method,
    /// Parameters are in braces.
    pub path: &'static str,
    /// The token needs one of these scopes. A refusal names the first. If the list is empty, no token is needed.
    pub scopes: &'static [Scope],
    pub formats: ReplyFormats,
    /// Name in metrics. It contains nothing that the caller chose.
    pub name: &'static str,
    /// Builds the route. `None` if the path lacks a parameter that the route needs.
    route: fn(&PathParameters) -> Option<Route>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Also serves `HEAD`.
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// The methods of requests that the route serves, as in `Allow`.
    pub fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    fn serves(self, method: &str) -> bool {
        self.allow().split(", ").any(|served| served == method)
    }
}

/// Formats of a route's replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyFormats {
    /// JSON or XML, as the caller prefers. In all other formats, refusals are JSON.
    JsonOrXml,
    Json,
    /// JSON, or NDJSON if `Accept` names it.
    JsonOrNdjson,
    /// The bytes of a file.
    File,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Health,
    Launch(Endpoint),
    Operate(Operation),
}

/// A request that needs a token in its head: an operator's, or one that reads the launch log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Describes the token.
    ReadToken,
    ListCampaigns,
    /// Defines, pauses or resumes the campaign.
    DefineCampaign(u64),
    ReadCampaign(u64),
    /// Reads a part of the campaign's launch log.
    ReadLog(u64, LogResource),
    /// Does something with the campaign's webhook.
    Webhook(u64, WebhookAction),
    /// Reads or changes the profiles of a database.
    Profiles(u64, ProfilesOperation),
}

/// What a request does with the profiles of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfilesOperation {
    /// Returns the generation and the state of live changes.
    Read,
    /// Changes profiles.
    Change,
    /// Returns the pending changes, for the command line.
    ReadChanges,
    /// Returns the entries of a generation, for the command line.
    ReadEntries,
    /// Returns the manifest and the state of live changes, for the command line.
    ReadManifest,
    /// Turns live changes on or off.
    SetLive,
    /// Makes a generation the current one.
    Publish,
}

/// What to do with a campaign's webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookAction {
    Read,
    Define,
    Remove,
    Rotate,
    Test,
    Replay,
    Resume,
    Skip,
    Attempts,
}

/// The route of an operation.
fn operate(operation: Operation) -> Option<Route> {
    Some(Route::Operate(operation))
}

/// A part of a campaign's launch log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogResource {
    Stats,
    Launches,
    Launch(LaunchId),
    Recipients(LaunchId),
    Report(LaunchId),
    Attachment(LaunchId, usize),
    /// The path has a malformed launch ID or attachment number: 404 that names the kind of resource. The reply still depends on
    /// whether the token may read the campaign.
    Unknown(&'static str),
}

/// A route that serves a request.
#[derive(Debug, Clone, Copy)]
pub struct FoundRoute {
    pub route: Route,
    pub spec: &'static RouteSpec,
}

impl FoundRoute {
    /// Name in metrics.
    pub fn name(&self) -> &'static str {
        match self.route {
            Route::Operate(Operation::ReadLog(_, LogResource::Unknown(_))) => UNKNOWN_RESOURCE,
            _ => self.spec.name,
        }
    }
}

/// Finds the route of a request. `path` is percent-encoded, as in the URL. Repeated slashes count as one, and a slash at the end
/// is ignored.
pub fn find(method: &str, path: &str) -> Result<FoundRoute, Problem> {
    let mut allow = String::new();
    for spec in &ROUTES {
        let Some(parameters) = spec.parameters(path) else { continue };
        if spec.method.serves(method) {
            let route = spec.route(&parameters).ok_or(Problem::NoSuchPath)?;
            return Ok(FoundRoute { route, spec });
        }
        if !allow.is_empty() {
            allow.push_str(", ");
        }
        allow.push_str(spec.method.allow());
    }
    Err(if allow.is_empty() { Problem::NoSuchPath } else { Problem::MethodNotAllowed(allow) })
}

/// Whether refusals at this path are JSON, whatever format the caller prefers.
pub fn is_json_only(path: &str) -> bool {
    match ROUTES.iter().find(|spec| spec.parameters(path).is_some()) {
        Some(spec) => spec.formats != ReplyFormats::JsonOrXml,
        None => {
            let is_below = |parent: &str| {
                let mut segments = segments(path);
                self::segments(parent).all(|expected| segments.next() == Some(expected))
            };
            is_below(CAMPAIGNS) || is_below(PROFILES)
        }
    }
}

/// The parameters of a path.
#[derive(Debug, Default)]
struct PathParameters {
    trigger_id: Option<u64>,
    database: Option<u64>,
    launch_id: Option<LaunchId>,
    n: Option<usize>,
    /// The kind of the first resource whose parameter is malformed.
    malformed: Option<&'static str>,
}

impl RouteSpec {
    fn route(&self, parameters: &PathParameters) -> Option<Route> {
        match (parameters.trigger_id, parameters.malformed) {
            (Some(trigger_id), Some(kind)) => operate(Operation::ReadLog(trigger_id, LogResource::Unknown(kind))),
            _ => (self.route)(parameters),
        }
    }

    /// The parameters of a path that matches the route's. `None` if the path does not match.
    fn parameters(&self, path: &str) -> Option<PathParameters> {
        let mut given = segments(path);
        let mut parameters = PathParameters::default();
        for expected in segments(self.path) {
            let segment = given.next()?;
            match expected {
                "{trigger_id}" => parameters.trigger_id = Some(parse_id(segment)?),
                "{database}" => parameters.database = Some(parse_id(segment)?),
                "{launch_id}" => {
                    parameters.launch_id = LaunchId::parse(&segment.to_ascii_lowercase());
                    parameters.note_malformed(parameters.launch_id.is_none(), "launch");
                }
                "{n}" => {
                    parameters.n = parse_decimal(segment);
                    parameters.note_malformed(parameters.n.is_none(), "attachment");
                }
                _ if expected == segment => {}
                _ => return None,
            }
        }
        given.next().is_none().then_some(parameters)
    }
}

impl PathParameters {
    fn note_malformed(&mut self, is_malformed: bool, kind: &'static str) {
        if is_malformed {
            self.malformed.get_or_insert(kind);
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn parse_id(segment: &str) -> Option<u64> {
    let id = parse_decimal(segment).filter(|id| (1..=SAFE_INTEGER_MAX).contains(id))?;
    (!segment.starts_with('0')).then_some(id)
}

fn parse_decimal<T: std::str::FromStr>(segment: &str) -> Option<T> {
    let is_decimal = segment.bytes().all(|byte| byte.is_ascii_digit());
    segment.parse().ok().filter(|_| is_decimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a2b3c4-d5e6-7890-8abc-def012345678";

    /// A request for each row of the table, in order, and its route.
    fn rows() -> Vec<(&'static str, String, Route)> {
        let launch_id = LaunchId::parse(ID).unwrap();
        let log = |resource| Route::Operate(Operation::ReadLog(8, resource));
        let launch = format!("{CAMPAIGNS}/8/launches/{ID}");
        let profiles = |operation| Route::Operate(Operation::Profiles(1, operation));
        let webhook = |suffix: &str| format!("{CAMPAIGNS}/8/webhook{suffix}");
        let act = |action| Route::Operate(Operation::Webhook(8, action));
        vec![
            ("GET", "/healthz".to_owned(), Route::Health),
            ("POST", format!("{CAMPAIGNS}/start_batch"), Route::Launch(Endpoint::StartBatch)),
            ("POST", format!("{CAMPAIGNS}/start"), Route::Launch(Endpoint::Start)),
            ("GET", "/api/v1.1/token".to_owned(), Route::Operate(Operation::ReadToken)),
            ("GET", CAMPAIGNS.to_owned(), Route::Operate(Operation::ListCampaigns)),
            ("GET", format!("{CAMPAIGNS}/8"), Route::Operate(Operation::ReadCampaign(8))),
            ("PUT", format!("{CAMPAIGNS}/8"), Route::Operate(Operation::DefineCampaign(8))),
            ("GET", format!("{CAMPAIGNS}/8/stats"), log(LogResource::Stats)),
            ("GET", format!("{CAMPAIGNS}/8/launches"), log(LogResource::Launches)),
            ("GET", launch.clone(), log(LogResource::Launch(launch_id))),
            ("GET", format!("{launch}/recipients"), log(LogResource::Recipients(launch_id))),
            ("GET", format!("{launch}/report"), log(LogResource::Report(launch_id))),
            ("GET", format!("{launch}/attachments/3"), log(LogResource::Attachment(launch_id, 3))),
            ("GET", format!("{PROFILES}/1"), profiles(ProfilesOperation::Read)),
            ("POST", format!("{PROFILES}/1/changes"), profiles(ProfilesOperation::Change)),
            ("GET", format!("{PROFILES}/1/changes"), profiles(ProfilesOperation::ReadChanges)),
            ("GET", format!("{PROFILES}/1/entries"), profiles(ProfilesOperation::ReadEntries)),
            ("GET", format!("{PROFILES}/1/manifest"), profiles(ProfilesOperation::ReadManifest)),
            ("PUT", format!("{PROFILES}/1/live"), profiles(ProfilesOperation::SetLive)),
            ("POST", format!("{PROFILES}/1/generations"), profiles(ProfilesOperation::Publish)),
            ("GET", webhook(""), act(WebhookAction::Read)),
            ("PUT", webhook(""), act(WebhookAction::Define)),
            ("DELETE", webhook(""), act(WebhookAction::Remove)),
            ("POST", webhook("/rotate"), act(WebhookAction::Rotate)),
            ("POST", webhook("/test"), act(WebhookAction::Test)),
            ("POST", webhook("/replay"), act(WebhookAction::Replay)),
            ("POST", webhook("/resume"), act(WebhookAction::Resume)),
            ("POST", webhook("/skip"), act(WebhookAction::Skip)),
            ("GET", webhook("/attempts"), act(WebhookAction::Attempts)),
        ]
    }

    fn found(method: &str, path: &str) -> Result<Route, Problem> {
        find(method, path).map(|found| found.route)
    }

    #[test]
    fn finds_the_route_of_each_row() {
        for (spec, (method, path, route)) in ROUTES.iter().zip(rows()) {
            let found = find(method, &path).unwrap();
            assert_eq!((found.route, found.name()), (route, spec.name), "{path}");
            assert!(std::ptr::eq(found.spec, spec), "{path}");
        }
        assert_eq!(ROUTES.len(), rows().len(), "each route has an example");
    }

    #[test]
    fn names_and_routes_are_distinct() {
        for (at, spec) in ROUTES.iter().enumerate() {
            let others = ROUTES.iter().take(at);
            assert!(
                others.clone().all(|other| (other.method, other.path) != (spec.method, spec.path)),
                "{}",
                spec.path
            );
            let mut names = others.map(|other| other.name).chain([UNKNOWN_ROUTE, UNKNOWN_RESOURCE]);
            assert!(names.all(|name| name != spec.name), "{}", spec.name);
        }
    }

    #[test]
    fn serves_head_where_it_serves_get() {
        for (method, path, route) in rows() {
            let head = found("HEAD", &path);
            match route {
                Route::Launch(_) => assert_eq!(head, Err(Problem::MethodNotAllowed("POST".into())), "{path}"),
                Route::Operate(Operation::DefineCampaign(id)) => {
                    assert_eq!(head, Ok(Route::Operate(Operation::ReadCampaign(id))), "{path}")
                }
                Route::Operate(Operation::Profiles(_, ProfilesOperation::Change)) => {
                    let read = Route::Operate(Operation::Profiles(1, ProfilesOperation::ReadChanges));
                    assert_eq!(head, Ok(read), "{path}")
                }
                Route::Operate(Operation::Webhook(id, WebhookAction::Define | WebhookAction::Remove)) => {
                    assert_eq!(head, Ok(Route::Operate(Operation::Webhook(id, WebhookAction::Read))), "{path}")
                }
                _ if method == "GET" => assert_eq!(head, Ok(route), "{path}"),
                _ => assert_eq!(head, Err(Problem::MethodNotAllowed(method.into())), "{path}"),
            }
        }
    }

    #[test]
    fn names_the_allowed_methods_of_a_path() {
        for (method, path, route) in rows() {
            let allow = match route {
                Route::Launch(_) => "POST",
                Route::Operate(Operation::Webhook(_, _)) if method == "POST" => "POST",
                Route::Operate(Operation::Webhook(
                    _,
                    WebhookAction::Read | WebhookAction::Define | WebhookAction::Remove,
                )) => "GET, HEAD, PUT, DELETE",
                Route::Operate(Operation::ReadCampaign(_) | Operation::DefineCampaign(_)) => "GET, HEAD, PUT",
                Route::Operate(Operation::Profiles(_, ProfilesOperation::Change | ProfilesOperation::ReadChanges)) => {
                    "POST, GET, HEAD"
                }
                Route::Operate(Operation::Profiles(_, ProfilesOperation::SetLive)) => "PUT",
                Route::Operate(Operation::Profiles(_, ProfilesOperation::Publish)) => "POST",
                _ => "GET, HEAD",
            };
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", ""] {
                if allow.split(", ").all(|allowed| allowed != method) {
                    let expected = Err(Problem::MethodNotAllowed(allow.to_owned()));
                    assert_eq!(found(method, &path), expected, "{method} {path}");
                }
            }
        }
    }

    #[test]
    fn counts_repeated_slashes_as_one_and_ignores_a_slash_at_the_end() {
        for (method, path, route) in rows() {
            let is_json = !matches!(route, Route::Launch(_));
            let mut spellings = vec![format!("{path}/")];
            for slashes in ["//", "///", "/////"] {
                for (at, _) in path.match_indices('/') {
                    let (before, after) = path.split_at(at);
                    spellings.push(format!("{before}{slashes}{}", &after[1..]));
                }
                spellings.push(path.replace('/', slashes) + slashes);
            }
            for spelling in spellings {
                assert_eq!(found(method, &spelling), Ok(route), "{spelling}");
                assert_eq!(is_json_only(&spelling), is_json, "{spelling}");
            }
        }
    }

    #[test]
    fn rejects_other_paths() {
        let long = format!("/8/launches/{ID}/attachments/3/x");
        for path in [
            "/9007199254740992",
            "/0",
            "/08",
            "/-8",
            "/+8",
            "/abc",
            "/Start",
            "/start/8",
            "/8/launch",
            "/8/launches//x/y/z",
            "/8/launches/x/attachments",
            "/abc/launches",
            "x",
            "x//",
            &long,
        ] {
            let path = format!("{CAMPAIGNS}{path}");
            assert_eq!(found("GET", &path), Err(Problem::NoSuchPath), "{path}");
        }
        for path in ["/", "//", "", "/api", "/api/v1.1/campaigns", "/healthz/x", "/Healthz", "/healthz%2F"] {
            assert_eq!(found("GET", path), Err(Problem::NoSuchPath), "{path}");
        }
    }

    #[test]
    fn reads_the_largest_trigger_id_and_a_launch_id_in_either_case() {
        let largest = format!("{CAMPAIGNS}/9007199254740991");
        assert_eq!(found("GET", &largest), Ok(Route::Operate(Operation::ReadCampaign(SAFE_INTEGER_MAX))));
        let upper = format!("{CAMPAIGNS}/8/launches/{}", ID.to_ascii_uppercase());
        let launch_id = LaunchId::parse(ID).unwrap();
        assert_eq!(found("GET", &upper), Ok(Route::Operate(Operation::ReadLog(8, LogResource::Launch(launch_id)))));
    }

    #[test]
    fn a_malformed_launch_id_or_attachment_number_is_an_unknown_resource() {
        for (path, kind) in [
            ("x".to_owned(), "launch"),
            ("x/recipients".to_owned(), "launch"),
            ("x/report".to_owned(), "launch"),
            ("x/attachments/3".to_owned(), "launch"),
            ("x/attachments/x".to_owned(), "launch"),
            (format!("{ID}0"), "launch"),
            (format!("{ID}/attachments/x"), "attachment"),
            (format!("{ID}/attachments/-1"), "attachment"),
            (format!("{ID}/attachments/+1"), "attachment"),
            (format!("{ID}/attachments/{}", "9".repeat(40)), "attachment"),
        ] {
            let path = format!("{CAMPAIGNS}/8/launches/{path}");
            let found = find("GET", &path).unwrap();
            assert_eq!(found.route, Route::Operate(Operation::ReadLog(8, LogResource::Unknown(kind))), "{path}");
            assert_eq!(found.name(), UNKNOWN_RESOURCE, "{path}");
            assert!(is_json_only(&path), "{path}");
            assert_eq!(self::found("POST", &path), Err(Problem::MethodNotAllowed("GET, HEAD".into())), "{path}");
        }
    }

    #[test]
    fn refuses_in_json_only_below_the_campaigns_and_the_profiles() {
        for path in ["/abc", "/8/launch", "/start/x", "/8/launches/x/y/z"] {
            let path = format!("{CAMPAIGNS}{path}");
            assert!(is_json_only(&path), "{path}");
        }
        assert!(is_json_only("/api/v1.1/profiles/0") && is_json_only("/api/v1.1/profiles/1/x"));
        for path in ["/", "/x", "/api", "/healthz/x"] {
            assert!(!is_json_only(path), "{path}");
        }
    }
}
