//! Writes the OpenAPI description of the API from the tables that the code uses, and compares the file with them.
//!
//! `npm run openapi` writes `assets/openapi.json`. A route without an entry in [`operations`] fails the test.

mod operations;
mod schemas;

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use serde_json::{Map, Value, json};
use trigger_launch::{
    api::routes::{Method, ROUTES, ReplyFormats, RouteSpec},
    limits,
    problem::{self, Problem},
};

/// The variable that makes the test write the file.
const WRITE: &str = "OPENAPI_WRITE";

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/openapi.json")
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// Returns the description of the API.
fn description() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for spec in &ROUTES {
        let method = match spec.method {
            Method::Get => "get",
            Method::Post => "post",
            Method::Put => "put",
            Method::Delete => "delete",
        };
        let path = paths.entry(spec.path).or_insert_with(|| json!({}));
        path[method] = operations::operation(spec);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Trigger launch API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Launches trigger campaigns for many profiles, and reads their launch logs.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This deployment." }],
        "security": [{ "bearer": [] }, { "query": [] }],
        "paths": paths,
        "webhooks": { "delivery": { "post": operations::delivery() } },
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "query": { "type": "apiKey", "in": "query", "name": "token", "description": "Proxies and browsers log URLs." },
            },
            "headers": headers(),
            "parameters": operations::parameters(),
            "schemas": schemas::all(),
            "responses": refusals(),
        },
    })
}

/// The headers that several responses have.
fn headers() -> Value {
    let header =
        |description: &str, schema: Value| json!({ "description": description, "required": true, "schema": schema });
    json!({
        "Request-ID": header(
            "The ID of the request, sent by the caller or generated.",
            json!({ "type": "string", "minLength": 1, "maxLength": limits::REQUEST_ID_LIMIT }),
        ),
        "RateLimit-Policy": header("The rate limits.", json!({ "type": "string" })),
        "Retry-After": header("Seconds until the request can be sent again.", json!({ "type": "integer", "minimum": 1 })),
        "Allow": header("The methods of the path.", json!({ "type": "string" })),
        "Content-Range": header("The size of the file.", json!({ "type": "string" })),
    })
}

/// Which routes a response of a refusal belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Launches, whose refusals are JSON or XML.
    Launch,
    /// All other routes, whose refusals are JSON.
    Json,
}

impl RefusalKind {
    pub fn of(spec: &RouteSpec) -> Self {
        match spec.formats {
            ReplyFormats::JsonOrXml => Self::Launch,
            _ => Self::Json,
        }
    }

    /// The name of the response in `components`.
    pub fn component(self, status: u16) -> String {
        let prefix = if self == Self::Launch { "Launch" } else { "" };
        format!("{prefix}Error{status}")
    }
}

/// Returns a response for each status of a refusal and each kind of route that has it.
fn refusals() -> Value {
    let mut used = BTreeSet::new();
    for spec in &ROUTES {
        let kind = RefusalKind::of(spec);
        used.extend(operations::refusal_statuses(spec).into_iter().map(|status| (kind == RefusalKind::Launch, status)));
    }
    let mut responses = Map::new();
    for (is_launch, status) in used {
        let kind = if is_launch { RefusalKind::Launch } else { RefusalKind::Json };
        responses.insert(kind.component(status), refusal(kind, status));
    }
    Value::Object(responses)
}

fn refusal(kind: RefusalKind, status: u16) -> Value {
    let samples = problem::samples();
    // Live changes concern databases; a launch never gets these refusals.
    let is_possible = |sample: &Problem| {
        kind == RefusalKind::Json || !matches!(sample, Problem::LiveChanges { .. } | Problem::WebhookConflict(_))
    };
    let same: Vec<&Problem> =
        samples.iter().filter(|sample| sample.status() == status && is_possible(sample)).collect();
    let texts: BTreeSet<&str> = same.iter().map(|sample| sample.text()).collect();
    let mut headers = json!({
        "Request-ID": reference("headers", "Request-ID"),
        "RateLimit-Policy": reference("headers", "RateLimit-Policy"),
    });
    for (name, has) in
        [("Retry-After", matches!(status, 429 | 503)), ("Allow", status == 405), ("Content-Range", status == 416)]
    {
        if has {
            headers[name] = reference("headers", name);
        }
    }
    if same.iter().any(|sample| matches!(sample, Problem::LiveChanges { .. })) {
        headers["Retry-After"] = json!({
            "description": "Seconds until the request can be sent again; absent if time alone does not help.",
            "schema": { "type": "integer", "minimum": 1 },
        });
    }
    let examples: Map<String, Value> = same
        .iter()
        .map(|sample| {
            let mut value = json!({
                "error": sample.code(), "error_text": sample.text(), "error_debug": sample.debug("85297b79995c895b03ffccf3fbd13272"),
            });
            if status == 410 {
                value["first"] = json!(7);
            }
            (format!("problem{}", sample.rank()), json!({ "value": value }))
        })
        .collect();
    let schema = json!({
        "$ref": format!("#/components/schemas/{}", if status == 410 { "ExpiredError" } else { "Error" }),
    });
    let mut content = json!({ "application/json": { "schema": schema, "examples": examples } });
    if kind == RefusalKind::Launch {
        content["application/xml"] = json!({ "schema": schema });
    }
    json!({ "description": texts.into_iter().collect::<Vec<_>>().join(", or "), "headers": headers, "content": content })
}

fn written(description: &Value) -> String {
    serde_json::to_string_pretty(description).unwrap() + "\n"
}

#[test]
fn the_file_describes_the_routes_fields_errors_and_limits_of_the_code() {
    let expected = written(&description());
    if env::var_os(WRITE).is_some() {
        fs::create_dir_all(file().parent().unwrap()).unwrap();
        fs::write(file(), &expected).unwrap();
    }
    let found = fs::read_to_string(file()).unwrap_or_default();
    assert!(found == expected, "assets/openapi.json is not current: run npm run openapi");
}

#[test]
fn every_reference_has_a_target_and_every_component_is_used() {
    let description = description();
    let mut references = BTreeSet::new();
    collect_references(&description, &mut references);
    for reference in &references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
    for kind in ["schemas", "parameters", "headers", "responses"] {
        for name in description["components"][kind].as_object().unwrap().keys() {
            // Every path can refuse a method.
            let is_used = references.contains(&format!("#/components/{kind}/{name}"));
            assert!(is_used, "{kind}/{name}");
        }
    }
}

fn collect_references(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(reference) if name == "$ref" => drop(references.insert(reference.clone())),
                    _ => collect_references(value, references),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, references)),
        _ => {}
    }
}

#[test]
fn every_object_in_a_response_is_closed() {
    for (name, schema) in schemas::all().as_object().unwrap() {
        if schema.get("properties").is_some() && !schemas::is_request(name) {
            assert_eq!(schema["additionalProperties"], false, "{name}");
            assert!(schema.get("required").is_some(), "{name}");
        }
    }
}

/// Returns the parameters in a route's path.
pub fn path_parameters(spec: &RouteSpec) -> Vec<&'static str> {
    spec.path.split(['{', '}']).skip(1).step_by(2).collect()
}
