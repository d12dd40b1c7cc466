//! Compares the tables of the documentation with the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use trigger_launch::{
    access::Scope,
    api::{
        routes::{Method, ROUTES, ReplyFormats, UNKNOWN_RESOURCE, UNKNOWN_ROUTE},
        settings::{DEDUPLICATION, INDEX_KEYS, LIMIT_VARIABLES, RATE_LIMITING, WEBHOOK_HOSTS},
    },
    campaign::log::{listing, uploads},
    fields::{AttachmentField, Endpoint, RootField},
    launch::matching::Matching,
    limits,
    outcome::Outcome,
    problem,
    profiles::column::KNOWN_NAMES,
    telemetry::{FAILURE_FIELDS, REQUEST_FIELDS},
};

/// Returns a file of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Returns the text of the section with that heading, up to the next heading of any level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no section {heading:?}"));
    let body = &page[start + heading.len() + 2..];
    &body[..body.find("\n#").unwrap_or(body.len())]
}

/// Returns the rows of the first table of a section, without its header and without backticks.
fn table(path: &str, heading: &str) -> Vec<Vec<String>> {
    let page = format!("\n{}", read(path));
    let cells = |line: &str| {
        let inner = line.trim().trim_matches('|');
        inner.split('|').map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>()
    };
    let lines = section(&page, heading).lines().skip_while(|line| !line.starts_with('|'));
    let rows: Vec<_> = lines.take_while(|line| line.starts_with('|')).skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "{path}: section {heading:?} has no table");
    rows
}

/// Returns the number in a cell, in bytes or seconds if it has such a unit. `None` if there is no number.
fn quantity(cell: &str) -> Option<u64> {
    let (number, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    let number: u64 = number.replace(',', "").parse().ok()?;
    Some(match unit {
        "KiB" => number * 1024,
        "MiB" => number * 1024 * 1024,
        "GiB" => number * 1024 * 1024 * 1024,
        _ => number,
    })
}

/// Returns the first cell of each row, and the number in the second one.
fn quantities(path: &str, heading: &str) -> Vec<(String, Option<u64>)> {
    table(path, heading).into_iter().map(|row| (row[0].clone(), quantity(&row[1]))).collect()
}

/// Names the expected quantities as [`quantities`] does.
fn expected<const N: usize>(rows: [(&str, Option<u64>); N]) -> Vec<(String, Option<u64>)> {
    rows.map(|(name, value)| (name.to_owned(), value)).into()
}

const API: &str = "docs/reference/api.md";
const COMMAND_LINE: &str = "docs/reference/command-line.md";
const CONFIGURATION: &str = "docs/reference/configuration.md";
const ERRORS: &str = "docs/reference/errors.md";
const FIELDS: &str = "docs/reference/fields.md";
const IMPORT_FILE: &str = "docs/reference/import-file.md";
const LIMITS: &str = "docs/reference/limits.md";
const LOG: &str = "docs/reference/log.md";

#[test]
fn the_tables_of_variables_have_the_defaults_and_maxima_of_the_code() {
    let rows = [table(LIMITS, "## Configurable limits"), table(CONFIGURATION, "## Variables")].concat();
    let (numeric, text): (Vec<_>, Vec<_>) = rows.iter().partition(|row| quantity(&row[1]).is_some());

    let documented: BTreeMap<_, _> =
        numeric.iter().map(|row| (row[0].as_str(), (quantity(&row[1]).unwrap(), quantity(&row[2])))).collect();
    let in_code: BTreeMap<_, _> =
        LIMIT_VARIABLES.iter().map(|variable| (variable.name, (variable.default_value(), variable.max))).collect();
    assert_eq!(documented, in_code);
    assert_eq!(numeric.len(), documented.len(), "a variable is documented twice");

    let documented: Vec<_> = text.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    assert_eq!(documented, [(RATE_LIMITING, "on"), (DEDUPLICATION, "off"), (WEBHOOK_HOSTS, "public")]);
}

#[test]
fn the_table_of_secrets_has_every_index_key() {
    let documented: Vec<_> = table(CONFIGURATION, "## Secrets").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(documented, INDEX_KEYS);
}

#[test]
fn the_tables_of_fixed_limits_have_the_values_of_the_code() {
    let size = |bytes: usize| Some(bytes as u64);
    let fixed = expected([
        ("custom_data of an item, as JSON", size(limits::ITEM_DATA_LIMIT)),
        ("any other field of the root, as sent", size(limits::SCALAR_LIMIT)),
        ("entries of attach", size(limits::ATTACHMENTS_LIMIT)),
        ("name of an attachment", size(limits::ATTACHMENT_NAME_LIMIT)),
        ("prefix of a data URI", size(limits::DATA_URI_PREFIX_LIMIT)),
        ("nesting of the body, including the root", size(limits::DEPTH_LIMIT)),
        ("XML tag with its attributes", size(limits::NAME_LIMIT)),
        ("key of an item, before normalisation", size(limits::KEY_LIMIT)),
        ("token", size(limits::TOKEN_LIMIT)),
        ("request ID", size(limits::REQUEST_ID_LIMIT)),
        ("body of PUT", size(limits::DEFINITION_LIMIT)),
        ("name of a campaign", size(limits::CAMPAIGN_NAME_LIMIT)),
        ("buckets of stats", Some(limits::STATS_BUCKETS_MAX)),
        ("time without a byte of the body", Some(limits::BODY_TIMEOUT_MS / 1000)),
        ("row of an import file", size(limits::ROW_LIMIT)),
        ("value in an import file", size(limits::KEY_LIMIT)),
        ("custom fields and channels of a database", size(limits::FIELDS_LIMIT)),
        ("names of custom fields and channels together", size(limits::FIELD_NAMES_LIMIT)),
        ("profiles of a key that an index lists", size(limits::KEY_PROFILES_LIMIT)),
        ("rows in a request with changes", size(limits::CHANGES_ROWS_LIMIT)),
        ("body of a request with changes", size(limits::CHANGES_BODY_LIMIT)),
        ("keys of a profile in a change", size(limits::CHANGED_KEYS_LIMIT)),
        ("address of a webhook", size(limits::WEBHOOK_URL_LIMIT)),
        ("headers of a webhook", size(limits::WEBHOOK_HEADERS_LIMIT)),
        ("name of such a header", size(limits::WEBHOOK_HEADER_NAME_LIMIT)),
        ("value of such a header", size(limits::WEBHOOK_HEADER_VALUE_LIMIT)),
        ("pending changes (CHANGES_LIMIT)", Some(limits::CHANGES_LIMIT)),
    ]);
    assert_eq!(quantities(LIMITS, "## Fixed limits"), fixed);

    let unverified = expected([
        ("memory that each request reserves at least", Some(limits::BASE_COST)),
        ("attachment data before the token, one request", None),
        ("attachment data before the token, all requests", None),
        ("rate of the body after the first 10 seconds", Some(limits::RATE_MIN)),
    ]);
    assert_eq!(quantities(LIMITS, "## Memory"), unverified);
    assert_eq!(limits::RATE_GRACE_SECONDS, 10);

    let refused = expected([
        ("bytes that are discarded", None),
        ("bytes that are discarded for an address with 429", Some(limits::DRAIN_RATE_LIMITED)),
        ("time", Some(limits::DRAIN_MS / 1000)),
    ]);
    assert_eq!(quantities(LIMITS, "## Refused bodies"), refused);
}

#[test]
fn the_table_of_errors_has_every_status_code_and_text() {
    let rows = table(ERRORS, "## Status codes");
    let documented: BTreeSet<_> = rows.iter().map(|row| [row[0].clone(), row[1].clone(), row[2].clone()]).collect();
    let in_code: BTreeSet<_> = problem::samples()
        .iter()
        .map(|problem| [problem.status().to_string(), problem.code().to_string(), problem.text().to_owned()])
        .collect();
    assert_eq!(documented, in_code);
    assert_eq!(documented.len(), rows.len(), "an error is documented twice");
}

#[test]
fn the_order_of_faults_has_the_rank_and_status_of_every_problem() {
    let rows = table("docs/explanation/order-of-faults.md", "# The order of faults");
    let documented: Vec<_> = rows.iter().map(|row| [row[0].clone(), row[2].clone()]).collect();
    let in_code: Vec<_> =
        problem::samples().iter().map(|problem| [problem.rank().to_string(), problem.status().to_string()]).collect();
    assert_eq!(documented, in_code);
    let ranks: Vec<_> = problem::samples().iter().map(|problem| usize::from(problem.rank())).collect();
    assert_eq!(ranks, (0..ranks.len()).collect::<Vec<_>>());
}

#[test]
fn the_table_of_endpoints_has_every_route() {
    let mut documented = table(API, "## Endpoints");
    let mut in_code: Vec<_> = ROUTES
        .iter()
        .map(|route| {
            let method = match route.method {
                Method::Get => "GET",
                Method::Post => "POST",
                Method::Put => "PUT",
                Method::Delete => "DELETE",
            };
            let formats = match route.formats {
                ReplyFormats::JsonOrXml => "JSON, XML",
                ReplyFormats::Json => "JSON",
                ReplyFormats::JsonOrNdjson => "JSON, NDJSON",
                ReplyFormats::File => "file",
            };
            let scopes: Vec<_> = route.scopes.iter().map(|scope| scope.as_str()).collect();
            let scopes = match scopes.len() {
                0 => "none".to_owned(),
                count if count == Scope::ALL.len() => "any".to_owned(),
                _ => scopes.join(", "),
            };
            vec![format!("{method} {}", route.path), scopes, formats.to_owned(), route.name.to_owned()]
        })
        .collect();
    documented.sort();
    in_code.sort();
    assert_eq!(documented, in_code);
}

#[test]
fn every_endpoint_has_a_section_with_its_path() {
    let page = read(API);
    for route in &ROUTES {
        let path = route.path;
        assert!(
            page.lines().any(|line| {
                let line = line.trim_matches('`');
                line.split_once(' ').is_some_and(|(_, rest)| rest.split('?').next() == Some(path))
            }),
            "{path}"
        );
    }
}

#[test]
fn the_tables_of_log_lines_have_every_field() {
    let documented: Vec<_> = table(LOG, "## Request line").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(documented, REQUEST_FIELDS);
    let page = read(LOG);
    let (introduction, _) = section(&page, "## Failure line").split_once("\n|").unwrap();
    let documented: Vec<_> = introduction.split('`').skip(1).step_by(2).filter(|name| *name != "null").collect();
    assert_eq!(documented, FAILURE_FIELDS);
}

#[test]
fn the_table_of_failures_has_those_of_the_alarm() {
    let documented: Vec<_> = table(LOG, "## Failure line").into_iter().map(|row| row[0].clone()).collect();
    for failure in [listing::FAILURE, uploads::FAILURE] {
        assert!(documented.iter().any(|known| known == failure), "{failure}");
    }
}

#[test]
fn the_table_of_root_fields_has_the_type_and_endpoint_of_every_field() {
    let mut documented: Vec<_> =
        table(FIELDS, "## Fields of the root").into_iter().map(|row| row[..3].to_vec()).collect();
    let mut in_code = Vec::new();
    for field in RootField::all() {
        let [start_batch, start] = [Endpoint::StartBatch, Endpoint::Start].map(|endpoint| field.name(endpoint));
        let row = |name: &str, endpoint: &str| vec![name.to_owned(), field.kind().to_string(), endpoint.to_owned()];
        if start_batch == start {
            in_code.extend(start.map(|name| row(name, "both")));
        } else {
            in_code.extend(start_batch.map(|name| row(name, "start_batch")));
            in_code.extend(start.map(|name| row(name, "start")));
        }
    }
    documented.sort();
    in_code.sort();
    assert_eq!(documented, in_code);
}

#[test]
fn the_table_of_attachment_fields_has_the_type_of_every_field() {
    let documented: Vec<_> = table(FIELDS, "## Attachments").into_iter().map(|row| row[..2].to_vec()).collect();
    let in_code = AttachmentField::ALL.map(|field| [field.name().to_owned(), field.kind().to_string()]);
    assert_eq!(documented, in_code);
}

#[test]
fn the_table_of_matching_modes_has_every_mode() {
    let documented: Vec<_> = table(FIELDS, "## Matching modes").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(documented, Matching::ALL.map(|(_, name)| name));
}

#[test]
fn the_table_of_outcomes_has_every_reason() {
    let documented: Vec<_> =
        table(FIELDS, "### Outcome of an item").into_iter().map(|row| [row[0].clone(), row[1].clone()]).collect();
    let in_code: Vec<_> = Outcome::ALL
        .iter()
        .map(|outcome| {
            let kind = match outcome {
                Outcome::Matched => "matched",
                Outcome::Duplicate => "duplicate",
                outcome if outcome.is_unmatched() => "unmatched",
                _ => "invalid",
            };
            [kind, outcome.reason().unwrap_or_default()].map(str::to_owned)
        })
        .collect();
    assert_eq!(documented, in_code);
}

#[test]
fn the_table_of_metrics_has_the_names_of_requests_without_an_endpoint() {
    let rows = table(LOG, "## Metrics");
    let (_, names) = rows.iter().map(|row| (&row[0], &row[1])).find(|(column, _)| *column == "blob1").unwrap();
    for name in [UNKNOWN_RESOURCE, UNKNOWN_ROUTE] {
        assert!(names.contains(&format!("{name} for ")), "{name}: {names}");
    }
}

#[test]
fn the_table_of_columns_has_every_column_of_an_import_file() {
    let without_name = |column: &str| column.split_once(':').map_or(column.to_owned(), |(kind, _)| format!("{kind}:"));
    let documented: Vec<_> = table(IMPORT_FILE, "## Columns").iter().map(|row| without_name(&row[0])).collect();
    assert_eq!(documented, KNOWN_NAMES.map(without_name));
}

/// Returns the long options that the help of a command lists.
fn options(command: &str) -> BTreeSet<String> {
    let arguments = command.split_whitespace().chain(["--help"]);
    let output = Command::new(env!("CARGO_BIN_EXE_admin")).args(arguments).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (_, list) = help.split_once("\nOptions:\n").unwrap_or_else(|| panic!("{command}: {help}"));
    // A line of an option begins with white space and `-h, ` or `--`.
    let names = list.lines().map(|line| line.trim_start().trim_start_matches("-h, "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("--"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_tables_of_the_command_line_have_every_command_and_option() {
    let rows = table(COMMAND_LINE, "## Options");
    for row in table(COMMAND_LINE, "## Commands") {
        let words = row[0].split_whitespace().take(2).collect::<Vec<_>>();
        let command = words.join(" ");
        let of_command = rows.iter().filter(|row| row[1] == "all" || row[1] == command);
        assert_eq!(of_command.map(|row| row[0].clone()).collect::<BTreeSet<_>>(), options(&command), "{command}");
    }
    let commands: BTreeSet<_> = table(COMMAND_LINE, "## Commands").iter().map(|row| row[0].clone()).collect();
    for group in ["token", "profiles"] {
        let output = Command::new(env!("CARGO_BIN_EXE_admin")).args([group, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let (_, after) = help.split_once("\nCommands:\n").unwrap();
        let names = after.lines().map_while(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        for name in names {
            let start = format!("{group} {name}");
            assert!(commands.iter().any(|command| command.starts_with(&start)), "{start}");
        }
    }
}
