//! The schemas of bodies.

use serde_json::{Map, Value, json};
use trigger_launch::{
    access::Scope,
    fields::{AttachmentField, Endpoint, FieldKind, ItemField, RootField},
    launch::matching::Matching,
    limits,
    outcome::{Outcome, ReportList},
    text::SAFE_INTEGER_MAX,
};

use super::reference;

/// Returns a reference to a schema.
pub fn of(name: &str) -> Value {
    reference("schemas", name)
}

/// Whether a schema describes a body that callers send. Unknown fields of such bodies are ignored, or the API rejects them.
pub fn is_request(name: &str) -> bool {
    matches!(name, "StartBatch" | "Start" | "Item" | "AttachmentUpload" | "ProfileChange")
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": SAFE_INTEGER_MAX })
}

fn id() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": SAFE_INTEGER_MAX })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn launch_id() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn profile_id() -> Value {
    json!({ "type": "string", "pattern": "^[0-9a-f]{24}$" })
}

fn array(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn nullable(mut schema: Value) -> Value {
    schema["type"] = json!([schema["type"], "null"]);
    schema
}

fn object_or_null() -> Value {
    json!({ "type": ["object", "null"], "additionalProperties": true })
}

/// An object with exactly these properties. Those of the second list are optional.
fn closed<const N: usize, const M: usize>(properties: [(&str, Value); N], optional: [(&str, Value); M]) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let all: Map<String, Value> =
        properties.iter().chain(&optional).map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": all, "required": required, "additionalProperties": false })
}

/// The schema of a field by its type. `null` means that the field is absent.
fn field(kind: FieldKind) -> Value {
    match kind {
        FieldKind::Text => json!({ "type": ["string", "null"] }),
        FieldKind::Integer => json!({
            "anyOf": [nullable(id()), { "type": "string", "pattern": "^[ \\t\\r\\n]*[0-9]+[ \\t\\r\\n]*$" }],
        }),
        FieldKind::TextOrInteger => json!({ "type": ["string", "integer", "null"] }),
        FieldKind::Boolean => json!({
            "anyOf": [
                { "type": ["boolean", "null"] },
                { "enum": [0, 1, "0", "1", "true", "false"] },
            ],
        }),
        FieldKind::Object => object_or_null(),
        FieldKind::Items => {
            json!({ "type": "array", "items": of("Item"), "minItems": 1, "maxItems": limits::Limits::default().items })
        }
        FieldKind::Attachments => json!({
            "type": ["array", "null"], "items": of("AttachmentUpload"), "maxItems": limits::ATTACHMENTS_LIMIT,
        }),
    }
}

/// The body of a launch at an endpoint.
fn launch(endpoint: Endpoint) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for root in RootField::all() {
        let Some(name) = root.name(endpoint) else { continue };
        let mut schema = field(root.kind());
        match root {
            RootField::TriggerId => {
                required.push(name);
                schema["anyOf"][0] = id();
            }
            RootField::Data => required.push(name),
            RootField::Matching => {
                schema["description"] = json!("The matching mode; `email` if absent.");
                schema["enum"] = Matching::ALL.iter().map(|(_, name)| json!(name)).chain([Value::Null]).collect();
            }
            RootField::Format => schema["enum"] = json!(["json", "xml", null]),
            _ => {}
        }
        properties.insert(name.to_owned(), schema);
    }
    json!({
        "type": "object", "properties": properties, "required": required,
        "xml": { "name": "xml" },
        "description": "Unknown fields are ignored. In XML, arrays are repeated elements.",
    })
}

fn item() -> Value {
    let properties: Map<String, Value> =
        ItemField::all().map(|item| (item.name().to_owned(), field(item.kind()))).collect();
    json!({ "type": "object", "properties": properties, "description": "Needs the key fields of the matching mode." })
}

fn attachment_upload() -> Value {
    let mut properties = Map::new();
    for each in AttachmentField::ALL {
        let schema = match each {
            AttachmentField::Name => {
                json!({ "type": "string", "minLength": 1, "maxLength": limits::ATTACHMENT_NAME_LIMIT })
            }
            AttachmentField::Data => json!({
                "type": "string", "description": "Base64, or a data URI in base64.",
            }),
        };
        properties.insert(each.name().to_owned(), schema);
    }
    json!({ "type": "object", "properties": properties, "required": AttachmentField::ALL.map(AttachmentField::name) })
}

fn report() -> Value {
    let entries = |list: ReportList| {
        let reasons: Vec<&str> = Outcome::ALL
            .iter()
            .filter(|outcome| list.contains(**outcome))
            .filter_map(|outcome| outcome.reason())
            .collect();
        if reasons.is_empty() {
            return array(count());
        }
        array(closed([("index", count()), ("reason", json!({ "type": "string", "enum": reasons }))], []))
    };
    let mut schema = closed([("launch_id", nullable(launch_id())), ("matched", count())], []);
    let mut list = Some(ReportList::FIRST);
    while let Some(each) = list {
        schema["properties"][each.name()] = entries(each);
        schema["required"].as_array_mut().unwrap().push(json!(each.name()));
        list = each.next();
    }
    schema
}

fn error(extra: &[(&str, Value)]) -> Value {
    let mut schema = closed([("error", count()), ("error_text", text()), ("error_debug", text())], []);
    for (name, property) in extra {
        schema["properties"][*name] = property.clone();
        schema["required"].as_array_mut().unwrap().push(json!(name));
    }
    schema["xml"] = json!({ "name": "xml" });
    schema
}

fn webhook() -> Value {
    closed(
        [
            ("url", json!({ "type": "string", "format": "uri" })),
            ("headers", array(text())),
            ("recipients", json!({ "type": "string", "enum": ["inline", "none"] })),
            ("ordering", json!({ "type": "string", "enum": ["strict", "relaxed"] })),
            ("active", json!({ "type": "boolean" })),
            ("state", of("WebhookState")),
        ],
        [(
            "secret",
            json!({ "type": "string", "pattern": "^whsec_", "description": "Only when it was created or rotated." }),
        )],
    )
}

/// Returns every schema.
pub fn all() -> Value {
    let scopes: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
    json!({
        "StartBatch": launch(Endpoint::StartBatch),
        "Start": launch(Endpoint::Start),
        "Item": item(),
        "AttachmentUpload": attachment_upload(),
        "Error": error(&[]),
        "ExpiredError": error(&[("first", nullable(id()))]),
        "Report": report(),
        "Launched": {
            "xml": { "name": "xml" },
            "type": "object",
            "properties": {
                "error": { "const": 0 },
                "error_text": { "const": "Successful operation" },
                "result": array(closed([("profile_id", profile_id())], [])),
                "report": of("Report"),
            },
            "required": ["error", "error_text", "result"],
            "additionalProperties": false,
        },
        "Health": closed([("status", json!({ "const": "ok" })), ("version", text())], []),
        "Token": closed([
            ("name", text()),
            ("scopes", array(json!({ "type": "string", "enum": scopes }))),
            ("databases", array(id())),
        ], []),
        "Campaign": closed([
            ("id", id()), ("name", text()), ("database", id()), ("active", json!({ "type": "boolean" })),
            ("launches", count()), ("recipients", count()),
        ], []),
        "CampaignDefinition": closed([], [
            ("name", json!({ "type": ["string", "null"], "minLength": 1, "maxLength": limits::CAMPAIGN_NAME_LIMIT })),
            ("database", nullable(id())),
            ("active", json!({ "type": ["boolean", "null"] })),
        ]),
        "Campaigns": closed([
            ("campaigns", array(closed(
                [("id", id()), ("name", text()), ("database", id())],
                [("active", json!({ "type": "boolean", "description": "Absent in a copy of an earlier version." }))],
            ))),
            ("next", nullable(id())),
        ], []),
        "Attachment": closed([
            ("name", text()), ("content_type", text()), ("size", count()),
            ("sha256", json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })),
        ], []),
        "Launch": closed([
            ("launch_id", launch_id()), ("sequence", id()), ("trigger_id", id()), ("accepted_at", time()),
            ("request_id", text()), ("token_name", text()), ("matching", text()),
            ("recipients", count()), ("unmatched", count()), ("invalid", count()), ("duplicates", count()),
            ("skip_triggers", json!({ "type": "boolean" })),
            ("content", object_or_null()), ("custom_data", object_or_null()),
            ("attachments", array(of("Attachment"))),
        ], []),
        "Launches": closed([("launches", array(of("Launch"))), ("first", nullable(id())), ("next", nullable(id()))], []),
        "Stats": closed([("buckets", json!({
            "type": "array", "maxItems": limits::STATS_BUCKETS_MAX,
            "items": closed([
                ("at", time()), ("launches", count()), ("recipients", count()), ("unmatched", count()), ("invalid", count()),
            ], []),
        }))], []),
        "Recipient": closed([("index", count()), ("profile_id", profile_id())], [("custom_data", json!({ "type": "object", "additionalProperties": true }))]),
        "Recipients": closed([("recipients", array(of("Recipient"))), ("next", nullable(count()))], []),
        "WebhookDefinition": closed([], [
            ("url", json!({ "type": "string", "format": "uri", "description": "Required when the webhook is created." })),
            ("headers", json!({ "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": 10 })),
            ("recipients", json!({ "type": "string", "enum": ["inline", "none"] })),
            ("ordering", json!({ "type": "string", "enum": ["strict", "relaxed"] })),
            ("active", json!({ "type": "boolean" })),
        ]),
        "WebhookState": closed([
            ("status", json!({ "type": "string", "enum": ["idle", "delivering", "retrying", "paused", "stopped"] })),
            ("delivered_through", nullable(count())), ("expired", count()),
            ("next_attempt_at", nullable(time())), ("failing_since", nullable(time())),
            ("last_status", nullable(count())), ("last_error", nullable(text())),
        ], []),
        "Webhook": webhook(),
        "WebhookReplay": closed([("after", count())], []),
        "WebhookTest": closed([("status", nullable(count())), ("duration_ms", count()), ("error", nullable(text()))], []),
        "WebhookAttempts": closed([("attempts", array(closed([
            ("webhook_id", text()), ("sequence", count()), ("page", count()), ("at", time()), ("duration_ms", count()),
            ("status", nullable(count())), ("error", nullable(text())),
        ], [])))], []),
        "Delivery": closed([
            ("type", json!({ "type": "string", "enum": ["launch.created"] })),
            ("timestamp", time()),
            ("data", closed([("launch", json!({ "type": "object", "description": "A launch. `content`, `custom_data` and \
                `attachments` are on page 1 only." })), ("page", id()), ("pages", id())], [("recipients", array(of("Recipient")))])),
        ], []),
        "Database": closed([
            ("database", id()), ("generation", text()), ("created_at", time()), ("live", json!({ "type": "boolean" })),
            ("live_since", nullable(time())), ("version", count()), ("pending", count()), ("limit", count()),
        ], []),
        "ProfileChange": {
            "type": "object",
            "properties": { "profile_id": { "type": "string" }, "deleted": { "type": "boolean" } },
            "required": ["profile_id"],
            "description": "The keys of the profile, with the names of an import file.",
        },
        "ProfileChanges": { "type": "array", "items": of("ProfileChange"), "maxItems": limits::CHANGES_ROWS_LIMIT },
        "ChangesApplied": closed([
            ("error", json!({ "const": 0 })), ("error_text", json!({ "const": "Successful operation" })),
            ("version", count()), ("applied", count()),
            ("refused", array(closed([("index", count()), ("field", text()), ("reason", text())], []))),
        ], []),
    })
}
