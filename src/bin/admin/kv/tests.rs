//! Both implementations of [`KvStore`] on the same data.

use std::collections::HashMap;

use super::{
    local::LocalKv,
    store::{KvBinding, KvStore},
    wrangler::{BulkValue, WranglerKv, parse_output},
};

fn write_read_and_delete(kv: &mut dyn KvStore) {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let pairs = [pair("a:1", "x\n\"é"), pair("a:2", ""), pair("b:1", "z")];
    kv.put(KvBinding::Profiles, &pairs).unwrap();
    let values = kv.get(KvBinding::Profiles, &keys(&["b:1", "none:1", "a:1", "a:2"])).unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(values, [text("z"), None, text("x\n\"é"), text("")]);
    assert_eq!(kv.list(KvBinding::Profiles, "a:").unwrap(), keys(&["a:1", "a:2"]));
    assert_eq!(kv.list(KvBinding::Access, "").unwrap(), keys(&[]));
    kv.delete(KvBinding::Profiles, &keys(&["a:1", "none:2"])).unwrap();
    assert_eq!(kv.list(KvBinding::Profiles, "").unwrap(), keys(&["a:2", "b:1"]));
}

#[test]
#[ignore = "starts wrangler: needs the npm packages"]
fn wrangler_reads_what_the_helper_writes_and_behaves_alike() {
    let state = tempfile::tempdir().unwrap();
    let mut local = LocalKv::start(state.path()).unwrap();
    write_read_and_delete(&mut local);
    local.delete(KvBinding::Profiles, &["a:2".into()]).unwrap();
    drop(local);
    let target = vec!["--local".into(), "--persist-to".into(), state.path().to_string_lossy().into_owned()];
    let mut wrangler = WranglerKv::new(target).unwrap();
    assert_eq!(wrangler.list(KvBinding::Profiles, "").unwrap(), ["b:1"]);
    write_read_and_delete(&mut wrangler);
    let text = wrangler.run(KvBinding::Profiles, &["nonsense"]).unwrap_err().to_string();
    assert!(text.starts_with("wrangler kv: ") && text.lines().count() == 1, "{text}");
}

#[test]
fn parses_both_forms_of_values_in_the_output_of_wrangler() {
    let mut found: HashMap<String, BulkValue> =
        parse_output("Note\n{\"a\":null,\"b\":\"x\",\"c\":{\"value\":\"y\"}}\n", '{').unwrap();
    let values = ["a", "b", "c"].map(|key| found.remove(key).unwrap().into_text());
    assert_eq!(values, [None, Some("x".into()), Some("y".into())]);
    assert!(parse_output::<Vec<u8>>("nothing", '[').is_err());
}
