//! The operations: parameters, bodies, responses and links. The routes are those of the code; this file adds, by the name of a
//! route, what the table of routes does not contain.

use serde_json::{Map, Value, json};
use trigger_launch::{
    access::Scope,
    api::routes::{ReplyFormats, RouteSpec},
    limits,
    text::SAFE_INTEGER_MAX,
};

use super::{RefusalKind, path_parameters, reference, schemas::of};

/// What the table of routes does not say about an operation.
struct Details {
    summary: &'static str,
    /// Names of query parameters, in `components/parameters`.
    query: &'static [&'static str],
    /// The schema of the body.
    body: Option<&'static str>,
    /// The schema of the reply. `None`: a file.
    reply: Option<&'static str>,
    /// Statuses besides those of every operation of its kind.
    statuses: &'static [u16],
}

const DETAILS: Details = Details { summary: "", query: &[], body: None, reply: None, statuses: &[] };

fn details(name: &str) -> Details {
    let read = |summary, reply| Details { summary, reply: Some(reply), ..DETAILS };
    match name {
        "healthz" => read("Check that the Worker runs", "Health"),
        "token" => read("Get the token of the request", "Token"),
        "start_batch" => Details {
            query: &["Format"],
            body: Some("StartBatch"),
            statuses: &[404, 409, 422, 507],
            ..read("Launch a campaign for many profiles", "Launched")
        },
        "start" => Details {
            query: &["Format"],
            body: Some("Start"),
            statuses: &[404, 409, 422, 507],
            ..read("Launch a campaign for one profile", "Launched")
        },
        "campaigns" => Details { query: &["After", "Limit"], ..read("List campaigns", "Campaigns") },
        "campaign" => read("Get a campaign", "Campaign"),
        "define" => Details {
            body: Some("CampaignDefinition"),
            statuses: &[409],
            ..read("Define, change, pause or resume a campaign", "Campaign")
        },
        "stats" => Details { query: &["Bucket", "From", "To", "Offset"], ..read("Get totals over time", "Stats") },
        "launches" => Details {
            query: &["After", "Limit", "Order", "Before"],
            statuses: &[410],
            ..read("List launches", "Launches")
        },
        "launch" => Details { statuses: &[410], ..read("Get a launch", "Launch") },
        "recipients" => {
            Details { query: &["After", "RecipientsLimit"], statuses: &[410], ..read("List recipients", "Recipients") }
        }
        "report" => Details { statuses: &[410], ..read("Get the report of a launch", "Report") },
        "attachment" => Details { summary: "Download an attachment", statuses: &[410, 416], ..DETAILS },
        "profiles" => read("Get the state of a database", "Database"),
        "change_profiles" => Details {
            query: &["Strict"],
            body: Some("ProfileChanges"),
            statuses: &[409, 422, 507],
            ..read("Change profiles", "ChangesApplied")
        },
        "webhook" => read("Get the webhook", "Webhook"),
        "webhook_define" => {
            Details { body: Some("WebhookDefinition"), ..read("Define or change the webhook", "Webhook") }
        }
        "webhook_remove" => read("Remove the webhook", "Webhook"),
        "webhook_rotate" => Details { statuses: &[409], ..read("Replace the webhook's secret", "Webhook") },
        "webhook_test" => read("Send a test message", "WebhookTest"),
        "webhook_replay" => {
            Details { body: Some("WebhookReplay"), statuses: &[410], ..read("Deliver launches again", "Webhook") }
        }
        "webhook_resume" => read("Continue after the delivery has stopped", "Webhook"),
        "webhook_skip" => Details { statuses: &[409], ..read("Skip the page that blocks the delivery", "Webhook") },
        "webhook_attempts" => {
            Details { query: &["AttemptsLimit"], ..read("List attempts of delivery", "WebhookAttempts") }
        }
        "pending_changes" => Details {
            query: &["Purpose"],
            statuses: &[409],
            summary: "Read pending changes, for the command line",
            ..DETAILS
        },
        "entries" => Details {
            query: &["Generation", "EntriesFrom"],
            ..read("Read the entries of a generation, for the command line", "EntriesLines")
        },
        "manifest" => read("Read the manifest, for the command line", "DatabaseStatus"),
        "live" => Details {
            body: Some("LiveSetting"),
            statuses: &[409],
            ..read("Turn live changes on or off, for the command line", "DatabaseStatus")
        },
        "publish" => Details {
            body: Some("Publication"),
            statuses: &[409],
            ..read("Make a generation the current one, for the command line", "Published")
        },
        _ => panic!("describe the route {name} in tests/openapi/operations.rs"),
    }
}

/// Returns the description of a route.
pub fn operation(spec: &RouteSpec) -> Value {
    let details = details(spec.name);
    let is_health = spec.name == "healthz";
    let mut parameters: Vec<Value> =
        path_parameters(spec).into_iter().map(|name| reference("parameters", name)).collect();
    parameters.extend(details.query.iter().map(|name| reference("parameters", name)));
    if !is_health {
        parameters.push(reference("parameters", "Request-ID"));
    }
    let mut operation = json!({
        "operationId": spec.name,
        "summary": details.summary,
        "parameters": parameters,
        "responses": responses(spec, &details),
    });
    if is_health {
        operation["security"] = json!([]);
    } else {
        let scopes: Vec<_> = spec.scopes.iter().map(|scope| format!("`{}`", scope.as_str())).collect();
        let scopes = if scopes.len() == Scope::ALL.len() { "any".to_owned() } else { scopes.join(" or ") };
        operation["description"] = json!(format!("Scope of the token: {scopes}."));
    }
    if let Some(body) = details.body {
        operation["requestBody"] = request_body(spec, body);
    }
    operation
}

fn request_body(spec: &RouteSpec, body: &str) -> Value {
    let example = match spec.name {
        "start_batch" => json!({ "trigger_id": 8, "report": true, "data": [{ "email": "example1@example.com" }] }),
        "start" => json!({ "id": 96, "matching": "custom", "field_name": "Custom_ID", "field_value": "003" }),
        "define" => json!({ "name": "Welcome", "database": 1, "active": true }),
        "change_profiles" => json!([{ "profile_id": "6606e08f10bcdd88297057a7", "email": ["example1@example.com"] }]),
        "live" => json!({ "live": false }),
        "publish" => json!({
            "replaces": "k3v9x2", "contents": { "changes_through": 17 },
            "generation": {
                "name": "m8q4z1", "created": 1_700_000_000_000_u64, "normalisation": 3, "key": "5f0c",
                "classes": [{ "class": "email", "buckets": 1, "largest": 1024 }],
            },
        }),
        "webhook_define" => json!({ "url": "https://receiver.example/launches", "recipients": "none" }),
        _ => json!({ "after": 0 }),
    };
    let mut content = json!({ "application/json": { "schema": of(body), "example": example } });
    if spec.formats == ReplyFormats::JsonOrXml {
        content["application/xml"] = json!({ "schema": of(body) });
    }
    if spec.name == "change_profiles" {
        content["application/x-ndjson"] = json!({ "schema": of(body) });
    }
    json!({ "required": true, "content": content })
}

fn responses(spec: &RouteSpec, details: &Details) -> Value {
    let mut responses = Map::new();
    let file = json!({ "schema": { "type": "string", "format": "binary" } });
    let content = match (spec.name, spec.formats, details.reply) {
        ("pending_changes", ..) => json!({ "application/octet-stream": file }),
        ("entries", .., Some(reply)) => json!({ "application/x-ndjson": { "schema": of(reply) } }),
        (_, ReplyFormats::JsonOrXml, Some(reply)) => {
            json!({ "application/json": { "schema": of(reply) }, "application/xml": { "schema": of(reply) } })
        }
        (_, ReplyFormats::JsonOrNdjson, Some(reply)) => json!({
            "application/json": { "schema": of(reply) },
            "application/x-ndjson": { "schema": of("RecipientLines") },
        }),
        (.., Some(reply)) => json!({ "application/json": { "schema": of(reply) } }),
        (.., None) => json!({ "*/*": file }),
    };
    let mut success = json!({ "description": "Success.", "content": content });
    success["headers"] = success_headers(spec);
    if matches!(spec.name, "start_batch" | "start") {
        success["links"] = links(spec.name);
    }
    responses.insert("200".to_owned(), success);
    if spec.name == "attachment" {
        let part = json!({ "*/*": { "schema": { "type": "string", "format": "binary" } } });
        responses.insert("206".to_owned(), json!({ "description": "A part of the file.", "content": part }));
        responses.insert("304".to_owned(), json!({ "description": "The caller has the file." }));
    }
    for status in statuses(spec, details) {
        let name = RefusalKind::of(spec).component(status);
        responses.insert(status.to_string(), reference("responses", &name));
    }
    Value::Object(responses)
}

/// Returns the statuses of a route's refusals.
pub fn refusal_statuses(spec: &RouteSpec) -> Vec<u16> {
    statuses(spec, &details(spec.name))
}

fn statuses(spec: &RouteSpec, details: &Details) -> Vec<u16> {
    if spec.name == "healthz" {
        return vec![405];
    }
    let mut statuses = vec![400, 401, 405, 429, 500, 503];
    if spec.scopes.len() < Scope::ALL.len() {
        statuses.push(403);
    }
    if !path_parameters(spec).is_empty() {
        statuses.push(404);
    }
    if details.body.is_some() {
        statuses.extend([408, 413, 415]);
    }
    statuses.extend(details.statuses);
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn success_headers(spec: &RouteSpec) -> Value {
    let mut headers = json!({
        "Request-ID": reference("headers", "Request-ID"),
        "RateLimit-Policy": reference("headers", "RateLimit-Policy"),
    });
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    match spec.name {
        "start_batch" | "start" => {
            headers["Launch-ID"] = header(
                "The launch in the campaign's log; absent for a dry run.",
                json!({ "type": "string", "format": "uuid" }),
            );
            for (name, items) in [
                ("Launch-Matched", "recipients"),
                ("Launch-Unmatched", "unmatched items"),
                ("Launch-Invalid", "invalid items"),
                ("Launch-Duplicate", "duplicates"),
            ] {
                let mut each = header(&format!("The number of {items}."), json!({ "type": "integer", "minimum": 0 }));
                each["required"] = json!(true);
                headers[name] = each;
            }
            headers["Server-Timing"] = header("Durations of the phases in milliseconds.", json!({ "type": "string" }));
            headers["Duplicate-Request"] =
                header("The response repeats an earlier launch.", json!({ "const": "true" }));
            headers["Duplicate-Key"] = header("With `Duplicate-Request`: the request ID.", json!({ "type": "string" }));
        }
        "attachment" => {
            for (name, description) in [
                ("ETag", "The SHA-256 of the file, in quotation marks."),
                ("Content-Disposition", "The name of the file."),
                ("Accept-Ranges", "`bytes`."),
                ("Content-Security-Policy", "Prevents the file from running as a page."),
            ] {
                headers[name] = header(description, json!({ "type": "string" }));
            }
        }
        _ => {}
    }
    headers
}

/// Links from a launch to its entry in the log.
fn links(name: &str) -> Value {
    let field = if name == "start" { "id" } else { "trigger_id" };
    let links = ["launch", "recipients", "report"].map(|operation| {
        let link = json!({
            "operationId": operation,
            "parameters": {
                "trigger_id": format!("$request.body#/{field}"),
                "launch_id": "$response.header.Launch-ID",
            },
        });
        (operation.to_owned(), link)
    });
    Value::Object(links.into_iter().collect())
}

/// The parameters of all operations, by their names in `components`.
pub fn parameters() -> Value {
    let id = json!({ "type": "integer", "minimum": 1, "maximum": SAFE_INTEGER_MAX });
    let sequence = json!({ "type": "integer", "minimum": 0, "maximum": SAFE_INTEGER_MAX });
    let path = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "path", "required": true, "schema": schema, "description": description });
    let query = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "query", "schema": schema, "description": description });
    let limit = |max: u64, default: u64| json!({ "type": "integer", "minimum": 1, "maximum": max, "default": default });
    let time = json!({ "type": "string", "format": "date-time" });
    json!({
        "trigger_id": path("trigger_id", id.clone(), "The ID of a trigger campaign."),
        "database": path("database", id, "The ID of a database."),
        "launch_id": path("launch_id", json!({ "type": "string", "format": "uuid" }), "The ID of a launch."),
        "n": path("n", json!({ "type": "integer", "minimum": 0, "maximum": limits::ATTACHMENTS_LIMIT - 1 }),
            "The position of an attachment in `attach`, from 0."),
        "Request-ID": {
            "name": "Request-ID", "in": "header", "description": "A launch is performed once for each ID.",
            "schema": { "type": "string", "pattern": "^[!-~]+$", "minLength": 1, "maxLength": limits::REQUEST_ID_LIMIT },
        },
        "Format": query("format", json!({ "type": "string", "enum": ["json", "xml"] }), "The format of the response."),
        "After": query("after", sequence.clone(), "Returns what follows this ID or `sequence`."),
        "Before": query("before", sequence, "With `order=desc`: returns launches with a lower `sequence`."),
        "Order": query("order", json!({ "type": "string", "enum": ["asc", "desc"], "default": "asc" }),
            "`desc`: newest first. `after` is then not allowed."),
        "Limit": query("limit", limit(limits::LAUNCHES_PAGE_MAX, limits::LAUNCHES_PAGE_DEFAULT), "Size of the page."),
        "RecipientsLimit":
            query("limit", limit(limits::RECIPIENTS_PAGE_MAX, limits::RECIPIENTS_PAGE_DEFAULT), "Size of the page."),
        "AttemptsLimit": query("limit", limit(100, 100), "Number of attempts."),
        "Bucket": query("bucket", json!({ "type": "string", "enum": ["hour", "day"], "default": "hour" }), "Length of a bucket."),
        "From": query("from", time.clone(), "The first time of the period."),
        "To": query("to", time, "The first time after the period."),
        "Offset": query("offset", json!({ "type": "string", "pattern": "^(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$" }),
            "The time zone in which hours and days begin."),
        "Purpose": query("purpose", json!({ "type": "string", "enum": ["search", "compaction"], "default": "search" }),
            "`compaction`: is refused if the compaction could not be published now."),
        "Generation": query("generation", json!({ "type": "string" }), "The name of a generation; the current one if absent."),
        "EntriesFrom": query("from", json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX, "default": 0 }),
            "The first bucket to read: `next` of the answer before."),
        "Strict": query("strict", json!({ "type": "boolean" }), "One refused row refuses the request."),
    })
}

/// The request that a webhook receives.
pub fn delivery() -> Value {
    let header = |name: &str, description: &str| json!({ "name": name, "in": "header", "required": true, "schema": { "type": "string" }, "description": description });
    json!({
        "operationId": "delivery",
        "summary": "A launch is delivered, at least once",
        "description": format!(
            "The receiver has {} s to send a status line; the rest of its response is not read. Redirects are not followed and \
             count as failures. A failed attempt is repeated after 5 s, and later at growing intervals.",
            limits::DELIVERY_TIMEOUT_MS / 1000,
        ),
        "parameters": [
            header("webhook-id", "The same in every attempt."),
            header("webhook-timestamp", "Seconds since 1970."),
            header("webhook-signature", "Standard Webhooks: `v1,` and HMAC-SHA256 in base64, one for each valid secret."),
        ],
        "requestBody": { "required": true, "content": { "application/json": { "schema": of("Delivery") } } },
        "responses": {
            "2XX": { "description": "The page was received." },
            "3XX": { "description": "Not followed. The page is sent again later." },
            "410": { "description": "Stops the delivery." },
            "default": { "description": "The page is sent again later, after `Retry-After` if the response has it." },
        },
        "security": [],
    })
}
