//! Writes the OpenAPI description of the API from the tables that the code uses, and compares the file with them.
//!
//! `npm run openapi` writes `assets/openapi.json`. A route without an entry in [`operations`] fails the test.

mod operations;
mod schemas;

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use serde_json::{Map, Value, json};
use trigger_launch::{
    api::routes::{Method, ROUTES, RouteSpec},
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

/// Returns the statuses of refusals, in order.
fn refusal_statuses() -> BTreeSet<u16> {
    problem::samples().iter().map(Problem::status).collect()
}

/// Returns a response for each status of a refusal.
fn refusals() -> Value {
    let mut responses = Map::new();
    for status in refusal_statuses() {
        let samples = problem::samples();
        let same: Vec<&Problem> = samples.iter().filter(|sample| sample.status() == status).collect();
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
        let xml = json!({ "schema": schema });
        let json_content = json!({ "schema": schema, "examples": examples });
        responses.insert(
            format!("Error{status}"),
            json!({
                "description": texts.into_iter().collect::<Vec<_>>().join(", or "),
                "headers": headers,
                "content": { "application/json": json_content, "application/xml": xml },
            }),
        );
    }
    Value::Object(responses)
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
