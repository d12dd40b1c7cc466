//! Access to KV.

use std::collections::HashMap;

use crate::Failure;

use super::{
    wrangler::{Value, json_in},
    *,
};

#[test]
fn what_wrangler_says_becomes_one_line() {
    let said = "\n ⛅️ wrangler 4.164.0\n───\n\n✘ \u{1b}[41;31m[\u{1b}[41;97mERROR\u{1b}[41;31m]\u{1b}[0m \u{1b}[1mNo such binding\u{1b}[0m\n\n  More of it.\n🪵 Logs were written\n";
    assert_eq!(error_line(said), "No such binding");
    assert_eq!(
        error_line("node:internal\n throw\nError: Cannot find module 'x'\n  at y"),
        "Error: Cannot find module 'x'"
    );
    assert_eq!(error_line(""), "it printed no error message");
    assert_eq!(error_line("Error: \u{9b}2J\u{202e}x\ry"), "Error: \\u{9b}2J\\u{202e}x\\ry");
    assert_eq!(error_line(&"x".repeat(500)), format!("{}…", "x".repeat(400)));
    assert_eq!(first_line("a\u{7}\nb"), "a\\u{7}");
}

fn round_trip(kv: &mut dyn Kv) {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let pairs = [pair("a:1", "x\n\"é"), pair("a:2", ""), pair("b:1", "z")];
    kv.put(Namespace::Profiles, &pairs).unwrap();
    let values = kv.get(Namespace::Profiles, &keys(&["b:1", "none:1", "a:1", "a:2"])).unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(values, [text("z"), None, text("x\n\"é"), text("")]);
    assert_eq!(kv.list(Namespace::Profiles, "a:").unwrap(), keys(&["a:1", "a:2"]));
    assert_eq!(kv.list(Namespace::Access, "").unwrap(), keys(&[]));
    kv.delete(Namespace::Profiles, &keys(&["a:1", "none:2"])).unwrap();
    assert_eq!(kv.list(Namespace::Profiles, "").unwrap(), keys(&["a:2", "b:1"]));
}

/// Both ways on one state: what the helper writes is what wrangler reads.
#[test]
#[ignore = "starts wrangler: needs the npm packages"]
fn the_helper_and_wrangler_do_the_same() {
    let state = tempfile::tempdir().unwrap();
    let mut local = Local::start(state.path()).unwrap();
    round_trip(&mut local);
    local.delete(Namespace::Profiles, &["a:2".into()]).unwrap();
    drop(local);
    let target = vec!["--local".into(), "--persist-to".into(), state.path().to_string_lossy().into_owned()];
    let mut wrangler = Wrangler::new(target).unwrap();
    assert_eq!(wrangler.list(Namespace::Profiles, "").unwrap(), ["b:1"]);
    round_trip(&mut wrangler);
    let Failure(text) = wrangler.run(Namespace::Profiles, &["nonsense"]).unwrap_err();
    assert!(text.starts_with("wrangler kv: ") && text.lines().count() == 1, "{text}");
}

#[test]
fn both_forms_of_a_bulk_get_are_understood() {
    let found: HashMap<String, Value> =
        json_in("Note\n{\"a\":null,\"b\":\"x\",\"c\":{\"value\":\"y\"}}\n", '{').unwrap();
    let text = |key: &str| match &found[key] {
        Value::Plain(value) | Value::Wrapped { value } => value.clone(),
    };
    assert_eq!([text("a"), text("b"), text("c")], [None, Some("x".into()), Some("y".into())]);
    assert!(json_in::<Vec<u8>>("nothing", '[').is_err());
}
