//! The schemas of bodies.

use serde_json::{Map, Value, json};
use trigger_launch::{
    access::Scope,
    delivery::config::{RESERVED, RESERVED_PREFIXES},
    fields::{AttachmentField, Endpoint, FieldKind, ItemField, RootField},
    launch::matching::Matching,
    limits,
    outcome::{Outcome, ReportList},
    profiles::{key::Class, manifest::FORMAT_VERSION},
    text::SAFE_INTEGER_MAX,
};

use super::reference;

/// Returns a reference to a schema.
pub fn of(name: &str) -> Value {
    reference("schemas", name)
}

/// Whether a schema describes a body that callers send. Unknown fields of such bodies are ignored, or the API rejects them.
pub fn is_request(name: &str) -> bool {
    matches!(
        name,
        "StartBatch" | "Start" | "Item" | "AttachmentUpload" | "ProfileChange" | "LiveSetting" | "Publication"
    )
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

/// A pattern of ASCII white space, which is trimmed.
const SPACE: &str = "[ \\t\\n\\f\\r]*";

/// A pattern of text without control characters.
const NO_CONTROL: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// Returns a pattern of a text in any case. Patterns of JSON Schema have no flags.
fn any_case(text: &str) -> String {
    let letters = text.chars().map(|letter| match letter.is_ascii_alphabetic() {
        true => format!("[{}{letter}]", letter.to_ascii_uppercase()),
        false => letter.to_string(),
    });
    letters.collect()
}

/// The schema of a field by its type. `null` means that the field is absent.
fn field(kind: FieldKind) -> Value {
    match kind {
        FieldKind::Text => json!({ "type": ["string", "null"] }),
        FieldKind::Integer => json!({
            "anyOf": [nullable(id()), { "type": "string", "pattern": format!("^{SPACE}0*[1-9][0-9]{{0,14}}{SPACE}$") }],
        }),
        FieldKind::TextOrInteger => json!({ "type": ["string", "integer", "null"] }),
        FieldKind::Boolean => json!({
            "anyOf": [
                { "type": ["boolean", "null"] },
                { "enum": [0, 1] },
                { "type": "string", "pattern": format!("^{SPACE}({}|{}|[01]){SPACE}$", any_case("true"), any_case("false")) },
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
    let with_field: Vec<&str> =
        Matching::ALL.iter().filter(|(mode, _)| mode.needs_field_name()).map(|(_, name)| *name).collect();
    json!({
        "type": "object", "properties": properties, "required": required,
        "if": { "properties": { "matching": { "enum": with_field } }, "required": ["matching"] },
        "then": { "properties": { "field_name": { "type": "string", "minLength": 1 } }, "required": ["field_name"] },
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
                json!({ "type": "string", "minLength": 1, "maxLength": limits::ATTACHMENT_NAME_LIMIT, "pattern": NO_CONTROL })
            }
            AttachmentField::Data => json!({
                "type": "string", "description": "Base64, or a data URI in base64.",
                // Whole groups of four; the last one has no bits that are not used.
                "pattern": "^(data:[a-z]+/[a-z]+;base64,)?([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$",
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

/// Returns a pattern of the names of headers.
fn header_names() -> String {
    format!("^[!#$%&'*+.^_`|~0-9A-Za-z-]{{1,{}}}$", limits::WEBHOOK_HEADER_NAME_LIMIT)
}

/// Returns a pattern of the names of headers that the Worker sets.
fn reserved_headers() -> String {
    let names = RESERVED.iter().map(|name| any_case(name) + "$");
    let prefixes = RESERVED_PREFIXES.iter().map(|prefix| any_case(prefix));
    format!("^({})", names.chain(prefixes).collect::<Vec<_>>().join("|"))
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

/// A launch in the log. `is_complete`: its texts are required; in a message they are on page 1 only.
fn logged_launch(is_complete: bool) -> Value {
    let texts =
        [("content", object_or_null()), ("custom_data", object_or_null()), ("attachments", array(of("Attachment")))];
    let mut schema = closed(
        [
            ("launch_id", launch_id()),
            ("sequence", id()),
            ("trigger_id", id()),
            ("accepted_at", time()),
            ("request_id", text()),
            ("token_name", text()),
            ("matching", json!({ "type": "string", "enum": Matching::ALL.map(|(_, name)| name) })),
            ("recipients", count()),
            ("unmatched", count()),
            ("invalid", count()),
            ("duplicates", count()),
            ("skip_triggers", json!({ "type": "boolean" })),
        ],
        texts,
    );
    if is_complete {
        schema["required"].as_array_mut().unwrap().extend(["content", "custom_data", "attachments"].map(Value::from));
    }
    schema
}

/// A row of changes.
fn profile_change() -> Value {
    let keys = |integers: bool| {
        let types = if integers { json!(["string", "integer", "null"]) } else { json!(["string", "null"]) };
        json!({ "anyOf": [{ "type": types }, { "type": "array", "items": { "type": types } }] })
    };
    json!({
        "type": "object",
        "properties": {
            "profile_id": { "type": "string", "pattern": format!("^{SPACE}[0-9A-Fa-f]{{24}}{SPACE}$") },
            "deleted": field(FieldKind::Boolean),
            "email": keys(false), "phone": keys(true), "email_sub": keys(false), "phone_sub": keys(true), "push_sub": keys(false),
        },
        "patternProperties": { "^custom(_sub)?:": keys(true) },
        "required": ["profile_id"],
        "description": "All keys of the profile, with the names of an import file. A row with an invalid value is refused, and the \
            others are applied.",
    })
}

/// The manifest of a database, and its generations. Requests may contain unknown members, which are ignored.
fn manifest_schemas(schemas: &mut Map<String, Value>) {
    let (custom, fixed): (Vec<Class>, Vec<Class>) =
        Class::ALL.iter().partition(|class| matches!(class, Class::Custom | Class::CustomSub));
    let names = |classes: Vec<Class>| -> Vec<&str> { classes.into_iter().map(Class::as_str).collect() };
    let milliseconds = || {
        let mut schema = count();
        schema["description"] = json!("Milliseconds since 1970.");
        schema
    };
    let name =
        || json!({ "type": "string", "pattern": format!("^[0-9A-Za-z_-]{{1,{}}}$", limits::GENERATION_NAME_LIMIT) });
    let between = |maximum: usize| json!({ "type": "integer", "minimum": 1, "maximum": maximum });
    let index = |classes: Vec<Class>| {
        [
            ("class", json!({ "type": "string", "enum": names(classes) })),
            ("buckets", between(limits::BULK_READS_LIMIT * limits::BULK_KEYS)),
            ("largest", between(limits::BUCKET_LIMIT)),
        ]
    };
    let [class, buckets, largest] = index(custom);
    let field = json!({ "type": "string", "minLength": 1, "maxLength": limits::KEY_LIMIT });
    let class = json!({ "oneOf": [
        closed(index(fixed), []),
        closed([class, buckets, largest, ("field", field)], []),
    ] });
    let generation = closed(
        [
            ("name", name()),
            ("created", milliseconds()),
            ("normalisation", json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })),
            ("key", name()),
            ("classes", array(of("ClassIndex"))),
        ],
        [("profiles", count())],
    );
    let manifest = closed(
        [("format", json!({ "const": FORMAT_VERSION })), ("current", of("Generation"))],
        [
            ("previous", of("Generation")),
            ("retired", array(closed([("name", name()), ("since", milliseconds())], []))),
            ("live", json!({ "type": "boolean" })),
        ],
    );
    let status = closed(
        [
            ("manifest", of("Manifest")),
            ("live", json!({ "type": "boolean" })),
            ("live_since", nullable(milliseconds())),
            ("version", count()),
            ("pending", count()),
        ],
        [],
    );
    let contents = json!({ "oneOf": [
        closed([("changes_through", count())], []),
        closed([("export_at", milliseconds())], []),
    ] });
    let published = closed([("status", of("DatabaseStatus")), ("superseded", count()), ("later", count())], []);
    let mut setting = closed([("live", json!({ "type": "boolean" }))], [("manifest", of("Manifest"))]);
    setting["description"] = json!("To turn changes on, send the manifest in KV, which already says that they are on.");
    let publication = closed(
        [("replaces", name()), ("generation", of("Generation")), ("contents", contents)],
        [("deleted", array(name()))],
    );
    let lines = json!({ "oneOf": [
        closed([("generation", of("Generation"))], []),
        closed([("class", count()), ("number", count()), ("bucket", text())], []),
        closed([("next", nullable(count()))], []),
    ] });
    for (name, schema) in [
        ("ClassIndex", class),
        ("Generation", generation),
        ("Manifest", manifest),
        ("DatabaseStatus", status),
        ("Published", published),
        ("LiveSetting", setting),
        ("Publication", publication),
        (
            "EntriesLines",
            json!({ "type": "array", "items": lines, "description": "The elements are lines of the body." }),
        ),
    ] {
        schemas.insert(name.to_owned(), schema);
    }
}

/// Returns every schema.
pub fn all() -> Value {
    let mut schemas = api_schemas();
    manifest_schemas(schemas.as_object_mut().unwrap());
    schemas
}

fn api_schemas() -> Value {
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
            ("name", json!({
                "type": ["string", "null"], "minLength": 1, "maxLength": limits::CAMPAIGN_NAME_LIMIT,
                "pattern": NO_CONTROL,
                "description": format!("At most {} bytes in UTF-8, without control characters.", limits::CAMPAIGN_NAME_LIMIT),
            })),
            ("database", field(FieldKind::Integer)),
            ("active", field(FieldKind::Boolean)),
            ("id", json!({ "description": "The ID in the path, or absent." })),
            ("launches", json!({ "description": "Ignored, so that the answer to a read can be sent back." })),
            ("recipients", json!({ "description": "Ignored." })),
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
        "Launch": logged_launch(true),
        "Launches": closed([("launches", array(of("Launch"))), ("first", nullable(id())), ("next", nullable(id()))], []),
        "Stats": closed([("buckets", json!({
            "type": "array", "maxItems": limits::STATS_BUCKETS_MAX,
            "items": closed([
                ("at", time()), ("launches", count()), ("recipients", count()), ("unmatched", count()), ("invalid", count()),
            ], []),
        }))], []),
        "Recipient": closed([("index", count()), ("profile_id", profile_id())], [("custom_data", json!({ "type": "object", "additionalProperties": true }))]),
        "Recipients": closed([("recipients", array(of("Recipient"))), ("next", nullable(count()))], []),
        "RecipientLines": { "type": "array", "items": of("Recipient"), "description": "The elements are lines of the body." },
        "WebhookDefinition": closed([], [
            ("url", json!({
                "type": ["string", "null"], "format": "uri", "maxLength": limits::WEBHOOK_URL_LIMIT,
                "description": "An address with https and a public host name. Required when the webhook is created.",
            })),
            ("headers", json!({
                "type": ["object", "null"], "maxProperties": limits::WEBHOOK_HEADERS_LIMIT,
                "propertyNames": { "allOf": [{ "pattern": header_names() }, { "not": { "pattern": reserved_headers() } }] },
                "additionalProperties": {
                    "type": "string", "pattern": "^[\\t -~]*$", "maxLength": limits::WEBHOOK_HEADER_VALUE_LIMIT,
                },
            })),
            ("recipients", json!({ "type": ["string", "null"], "enum": ["inline", "none", null] })),
            ("ordering", json!({ "type": ["string", "null"], "enum": ["strict", "relaxed", null] })),
            ("active", field(FieldKind::Boolean)),
        ]),
        "WebhookState": closed([
            ("status", json!({ "type": "string", "enum": ["idle", "delivering", "retrying", "paused", "stopped"] })),
            ("delivered_through", nullable(count())), ("expired", count()),
            ("next_attempt_at", nullable(time())), ("failing_since", nullable(time())),
            ("last_status", nullable(count())), ("last_error", nullable(text())),
        ], []),
        "Webhook": webhook(),
        "WebhookReplay": closed([("after", json!({
            "anyOf": [count(), { "type": "string", "pattern": format!("^{SPACE}[0-9]{{1,15}}{SPACE}$") }],
        }))], []),
        "WebhookTest": closed([("status", nullable(count())), ("duration_ms", count()), ("error", nullable(text()))], []),
        "WebhookAttempts": closed([("attempts", array(closed([
            ("webhook_id", text()), ("sequence", count()), ("page", count()), ("at", time()), ("duration_ms", count()),
            ("status", nullable(count())), ("error", nullable(text())),
        ], [])))], []),
        "Delivery": closed([
            ("type", json!({ "type": "string", "enum": ["launch.created"] })),
            ("timestamp", time()),
            ("data", closed([("launch", logged_launch(false)), ("page", id()), ("pages", id())], [("recipients", array(of("Recipient")))])),
        ], []),
        "Database": closed([
            ("database", id()), ("generation", text()), ("created_at", time()), ("live", json!({ "type": "boolean" })),
            ("live_since", nullable(time())), ("version", count()), ("pending", count()), ("limit", count()),
        ], []),
        "ProfileChange": profile_change(),
        "ProfileChanges": { "type": "array", "items": of("ProfileChange"), "maxItems": limits::CHANGES_ROWS_LIMIT },
        "ChangesApplied": closed([
            ("error", json!({ "const": 0 })), ("error_text", json!({ "const": "Successful operation" })),
            ("version", count()), ("applied", count()),
            ("refused", array(closed([("index", count()), ("field", text()), ("reason", text())], []))),
        ], []),
    })
}
