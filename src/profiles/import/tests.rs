//! Imports files of profiles: which rows are refused, and which keys are found in the buckets.

use std::{
    collections::{BTreeMap, HashMap},
    io::BufReader,
};

use proptest::prelude::*;

use super::{build::count_buckets, row::KNOWN_NAMES, *};
use crate::{
    limits::{BUCKET_LIMIT, BULK_KEYS, BULK_READS_LIMIT, FIELDS_LIMIT, KEY_LIMIT, ROW_LIMIT},
    profiles::{
        bucket::{Bucket, BucketSection, KeyMatch},
        key::{Class, ProfileId},
    },
    text::error_chain,
};

type Buckets = BTreeMap<(Class, String, u32), String>;

fn key() -> IndexKey {
    IndexKey::new(&"k".repeat(32)).unwrap()
}

/// Imports a file, and writes a temporary file for every `run` keys.
fn try_import(file: &[u8], run: usize) -> Result<(Buckets, BuiltIndex, RowCounts, Vec<RefusedRow>), ImportError> {
    let mut importer = Importer::new(key(), run);
    let mut refused = Vec::new();
    let rows = importer.read(file, |row| refused.push(row))?;
    let mut buckets = Buckets::new();
    let plan = importer.plan()?;
    let planned = plan.classes().to_vec();
    let built = plan.build(|index, number, text| {
        assert!(buckets.insert((index.class, index.field.clone(), number), text).is_none());
        Ok::<_, ImportError>(())
    })?;
    assert_eq!(planned.len(), built.classes.len());
    for index in &built.classes {
        let texts: Vec<&String> =
            (0..index.buckets).map(|number| &buckets[&(index.class, index.field.clone(), number)]).collect();
        assert_eq!(texts.iter().map(|text| text.len() as u32).max(), Some(index.largest));
        assert!(planned.iter().any(|p| (p.class, &p.field, p.buckets) == (index.class, &index.field, index.buckets)));
    }
    assert_eq!(built.classes.iter().map(|index| index.buckets as usize).sum::<usize>(), buckets.len());
    Ok((buckets, built, rows, refused))
}

fn import(file: &str) -> (Buckets, BuiltIndex, RowCounts, Vec<RefusedRow>) {
    try_import(file.as_bytes(), 7).unwrap()
}

fn look_up(
    (buckets, built): (&Buckets, &BuiltIndex),
    class: Class,
    field: &str,
    section: BucketSection,
    value: &str,
) -> KeyMatch {
    // The providers of push subscriptions share one index.
    let index_field = if class == Class::Push { "" } else { field };
    let Some(index) = built.classes.iter().find(|index| index.class == class && index.field == index_field) else {
        return KeyMatch::None;
    };
    let hash = key().hash(class, field, value);
    let text = &buckets[&(class, index_field.to_owned(), hash.bucket_number(index.buckets))];
    Bucket::parse(text).unwrap().find(section, hash.prefix()).unwrap()
}

fn id(number: u8) -> String {
    format!("{number:024x}")
}

fn profile(number: u8) -> KeyMatch {
    KeyMatch::Profile(ProfileId::parse(&id(number)).unwrap())
}

fn reasons(refused: &[RefusedRow]) -> Vec<(u64, &str)> {
    refused.iter().map(|row| (row.line, row.reason.as_str())).collect()
}

#[test]
fn keys_of_every_column_are_found_in_their_class_and_section() {
    let csv = format!(
        "profile_id,email,email_sub,phone,phone_sub,push_sub,custom:Custom_ID,custom_sub:tele;gram\r\n\
         {},A@x.org;b@x.org, S@x.org ,+7 (900) 1,8-900,ios:a:b;android:c,003;AA,T\r\n",
        id(1)
    );
    let ndjson = format!(
        "{{\"profile_id\":{:?},\"email\":[\"A@x.org\",\"b@x.org\"],\"email_sub\":\" S@x.org \",\"phone\":\"+7 (900) 1\",\
         \"phone_sub\":\"8-900\",\"push_sub\":[\"ios:a:b\",\"android:c\"],\"custom:Custom_ID\":[\"003\",\"AA\"],\
         \"custom_sub:tele;gram\":\"T\"}}\n",
        id(1)
    );
    let (buckets, built, rows, _) = import(&csv);
    assert_eq!((rows, built.profiles, built.keys), (RowCounts { accepted: 1, refused: 0 }, 1, 10));
    let all = (&buckets, &built);
    use BucketSection::{Profiles, Subscriptions};
    for (class, field, section, value) in [
        (Class::Email, "", Profiles, "a@x.org"),
        (Class::Email, "", Profiles, "b@x.org"),
        (Class::Email, "", Subscriptions, "s@x.org"),
        (Class::Phone, "", Profiles, "79001"),
        (Class::Phone, "", Subscriptions, "8900"),
        (Class::Push, "ios", Subscriptions, "a:b"),
        (Class::Push, "android", Subscriptions, "c"),
        (Class::Custom, "Custom_ID", Profiles, "003"),
        (Class::Custom, "Custom_ID", Profiles, "AA"),
        (Class::CustomSub, "tele;gram", Subscriptions, "T"),
        (Class::ProfileId, "", Profiles, &id(1)),
    ] {
        assert_eq!(look_up(all, class, field, section, value), profile(1), "{class:?} {value}");
        let other = if section == Profiles { Subscriptions } else { Profiles };
        assert_eq!(look_up(all, class, field, other, value), KeyMatch::None, "{class:?} {value}");
    }
    let (from_ndjson, built_from_ndjson, ..) = import(&ndjson);
    assert_eq!((from_ndjson, built_from_ndjson), (buckets, built));
}

#[test]
fn rows_of_a_profile_are_merged_and_a_key_of_two_profiles_is_ambiguous() {
    let csv = format!(
        "profile_id,email,phone\n{a},x@x,1\n{a},x@x,2\n{b},y@x,2\n{b},Y@X;y@x,\n{c},y@x,3\n",
        a = id(1),
        b = id(2),
        c = id(3)
    );
    for run in [1, 2, 100] {
        let (buckets, built, ..) = try_import(csv.as_bytes(), run).unwrap();
        assert_eq!((built.profiles, built.keys, built.ambiguous), (3, 5, 2));
        let email = |value| look_up((&buckets, &built), Class::Email, "", BucketSection::Profiles, value);
        let phone = |value| look_up((&buckets, &built), Class::Phone, "", BucketSection::Profiles, value);
        assert_eq!([email("x@x"), email("y@x")], [profile(1), KeyMatch::Ambiguous]);
        assert_eq!([phone("1"), phone("2"), phone("3")], [profile(1), KeyMatch::Ambiguous, profile(3)]);
    }
}

#[test]
fn refuses_a_csv_row_with_an_error_and_imports_the_others() {
    let long = "x".repeat(1025);
    let head = format!("\u{feff}profile_id,email,push_sub\n\n{},a@x,\r\n", id(1));
    let rest =
        format!("12,b@x,\n{i},c@x\n,d@x,\n{i},e@x,noprovider\n{i},{long},\n\"{i}\",\"f\n@x\",\n{i},g@x,\n", i = id(2));
    let file = [head.as_bytes(), rest.as_bytes(), id(3).as_bytes(), b",\xFF,\n", id(4).as_bytes(), b",h@x,:"].concat();
    let (buckets, built, rows, refused) = try_import(&file, 3).unwrap();
    assert_eq!(
        reasons(&refused),
        [
            (4, "profile_id: not 24 hexadecimal digits"),
            (5, "2 cells, but the header has 3"),
            (6, "profile_id: not 24 hexadecimal digits"),
            (7, "push_sub: not in the form provider:subscription_id"),
            (8, "email: value longer than 1024 bytes"),
            (12, "not UTF-8"),
            (13, "push_sub: not in the form provider:subscription_id"),
        ]
    );
    assert_eq!((rows, built.profiles, built.keys), (RowCounts { accepted: 3, refused: 7 }, 2, 3));
    let email = |value| look_up((&buckets, &built), Class::Email, "", BucketSection::Profiles, value);
    assert_eq!(
        [email("a@x"), email("e@x"), email("f\n@x"), email("g@x")],
        [profile(1), KeyMatch::None, profile(2), profile(2)]
    );
}

#[test]
fn counts_csv_lines_that_end_with_lf_cr_or_crlf() {
    for end in ["\n", "\r", "\r\n"] {
        let file = ["profile_id,email", "", "1,a@x", "\"2\",\"b", "@x\"", "", "3,c@x", ""].join(end);
        for size in [3, 4, 5, 7, 1000] {
            let mut lines = Vec::new();
            let input = BufReader::with_capacity(size, file.as_bytes());
            Importer::new(key(), 9).read(input, |row| lines.push(row.line)).unwrap();
            assert_eq!(lines, [3, 4, 7], "{end:?} in reads of {size} bytes");
        }
    }
}

#[test]
fn refuses_an_ndjson_row_with_an_error_and_imports_the_others() {
    let long = format!("{{\"profile_id\":\"{}\",\"x\":\"{}\"}}", id(1), "x".repeat(ROW_LIMIT));
    let i = id(1);
    let lines = [
        &format!(r#"{{"profile_id":"{i}","email":"a@x","custom:n":[1,-2,"3"],"phone":null,"email_sub":[]}}"#),
        "",
        r#"{"profile_id":"12"}"#,
        r#"{"email":"b@x"}"#,
        r#"["profile_id"]"#,
        "{",
        &format!(r#"{{"profile_id":"{i}","email":5}}"#),
        &format!(r#"{{"profile_id":"{i}","email":["c@x",["d@x"]]}}"#),
        &format!(r#"{{"profile_id":"{i}","custom:n":1.5}}"#),
        &format!(r#"{{"profile_id":["{i}"]}}"#),
        &format!(r#"{{"profile_id":"{i}","profile_id":"{i}"}}"#),
        &format!(r#"{{"profile_id":"{i}","name":"x"}}"#),
        &format!(r#"{{"profile_id":"{i}","email":"\ud800"}}"#),
        &long,
        &format!(r#"{{"profile_\u0069d":"{}","em\u0061il":"\u0065@x"}}"#, id(2)),
    ];
    let (buckets, built, rows, refused) = import(&lines.join("\n"));
    assert_eq!(
        reasons(&refused),
        [
            (3, "profile_id: not 24 hexadecimal digits"),
            (4, "profile_id: missing"),
            (5, "not a JSON object"),
            (6, "not JSON: column 1"),
            (7, "email: not a string or an array of strings"),
            (8, "email: not a string or an array of strings"),
            (9, "custom:n: not a string, an integer, or an array of strings and integers"),
            (10, "profile_id: not a string"),
            (11, "profile_id: more than one value"),
            (12, &format!("unknown column \"name\"; known columns: {}", KNOWN_NAMES)),
            (13, "email: not a string or an array of strings"),
            (14, "longer than 1048576 bytes"),
        ]
    );
    assert_eq!((rows, built.profiles, built.keys), (RowCounts { accepted: 2, refused: 12 }, 2, 5));
    let all = (&buckets, &built);
    assert_eq!(look_up(all, Class::Custom, "n", BucketSection::Profiles, "-2"), profile(1));
    assert_eq!(look_up(all, Class::Email, "", BucketSection::Profiles, "e@x"), profile(2));
    assert_eq!(look_up(all, Class::Email, "", BucketSection::Profiles, "c@x"), KeyMatch::None);
}

#[test]
fn skips_white_space_at_the_start_of_a_file_whatever_its_length() {
    for blank in [" \r\n\t\n".to_owned(), " ".repeat(ROW_LIMIT + 1), "\r\n \n".repeat(100_000)] {
        let first = 1 + blank.matches('\n').count() as u64;
        let csv = format!("profile_id,email\n{},a@x\nbad,b@x\n", id(1));
        let ndjson = format!("{{\"profile_id\":{:?},\"email\":\"a@x\"}}\nbad\n", id(1));
        for (file, refused_at) in [(csv, first + 2), (ndjson, first + 1)] {
            for mark in ["", "\u{feff}"] {
                let file = format!("{mark}{blank}{file}");
                let mut importer = Importer::new(key(), 7);
                let mut lines = Vec::new();
                let input = BufReader::with_capacity(1000, file.as_bytes());
                let rows = importer.read(input, |row| lines.push(row.line)).map_err(|error| error.to_string());
                assert_eq!((rows, lines), (Ok(RowCounts { accepted: 1, refused: 1 }), vec![refused_at]));
            }
        }
        let empty = Importer::new(key(), 7).read(BufReader::with_capacity(1000, blank.as_bytes()), drop);
        assert_eq!(empty.map_err(|error| error.to_string()), Err("the file is empty".to_owned()));
    }
}

#[test]
fn skips_a_byte_order_mark_before_the_header_for_every_read_size() {
    for size in 3..20 {
        for start in ["\u{feff}", "\n\u{feff}", " \u{feff}", "\u{feff}\u{feff}"] {
            let file = format!("{start}profile_id\n{}\n", id(1));
            let rows = Importer::new(key(), 7).read(BufReader::with_capacity(size, file.as_bytes()), drop);
            assert_eq!(
                rows.map_err(|error| error.to_string()),
                Ok(RowCounts { accepted: 1, refused: 0 }),
                "{start:?} {size}"
            );
        }
    }
}

#[test]
fn refuses_a_row_with_a_quote_that_is_never_closed() {
    let rest = format!("{},x@x\n", id(2)).repeat(50_000);
    let (_, built, rows, refused) = import(&format!("profile_id,email\n{},a@x\n{},\"b@x\n{rest}", id(1), id(2)));
    let reason = "longer than 1048576 bytes; is a quote not closed?";
    assert_eq!((reasons(&refused), rows.accepted, built.profiles), (vec![(3, reason)], 1, 1));
}

#[test]
fn refuses_a_file_whose_header_is_invalid() {
    let refused = |header: &str| try_import(format!("{header}\n").as_bytes(), 9).err().map(|error| error_chain(&error));
    let unknown = format!("header: unknown column \"name\"; known columns: {}", KNOWN_NAMES);
    assert_eq!(refused("profile_id,name").as_deref(), Some(unknown.as_str()));
    assert_eq!(refused("email").as_deref(), Some("header: the column profile_id is missing"));
    assert_eq!(refused("profile_id,email,email").as_deref(), Some("header: duplicate column email"));
    assert!(refused("profile_id,custom:").is_some());
    assert!(refused("profile_id,other:x").is_some());
    assert_eq!(refused("\n \n").as_deref(), Some("the file is empty"));
    assert!(refused(&format!("profile_id,{}", vec!["custom:a"; 2_000].join(","))).is_some());
    let many: Vec<String> = (0..=FIELDS_LIMIT).map(|i| format!("custom:{i}")).collect();
    let expected = "the file needs more than 1000 indexes; remove custom fields or channels";
    assert_eq!(refused(&format!("profile_id,{}", many.join(","))).as_deref(), Some(expected));
}

#[test]
fn escapes_names_from_the_file_in_every_message() {
    const HOSTILE: &str = "x\u{1b}[2J\u{9b}1m\u{7}\r\n\t\u{202e}\u{200b}\u{2028}";
    let i = id(1);
    let long = "v".repeat(KEY_LIMIT + 1);
    let name = |name: &str| serde_json::to_string(name).unwrap();
    let custom = format!("custom:{HOSTILE}");
    let files = [
        format!("profile_id,\"{HOSTILE}\"\n"),
        format!("profile_id,\"{custom}\",\"{custom}\"\n"),
        format!("profile_id,\"{custom}{long}\"\n"),
        format!("profile_id,\"{custom}\"\n{i},{long}\n"),
        format!("profile_id,push_sub\n{i},\"{HOSTILE}\"\n"),
        format!("profile_id,email\n\"{HOSTILE}\",\n"),
        format!("{{{}:1}}", name(HOSTILE)),
        format!("{{{}:1}}", name(&format!("{custom}{long}"))),
        format!("{{\"profile_id\":\"{i}\",{}:{{}}}}", name(&custom)),
        format!("{{\"profile_id\":\"{i}\",{}:[[]]}}", name(&custom)),
        format!("{{\"profile_id\":\"{i}\",{}:\"{long}\"}}", name(&custom)),
        format!("{{\"profile_id\":{}}}", name(HOSTILE)),
        format!("{{{HOSTILE}"),
    ];
    for file in files {
        let text = match try_import(file.as_bytes(), 9) {
            Err(error) => error_chain(&error),
            Ok((_, _, rows, refused)) => {
                assert_eq!((rows.accepted, refused.is_empty()), (0, false), "{file:?}");
                refused.into_iter().map(|row| row.reason).collect()
            }
        };
        assert_eq!(crate::escape::escape(&text).to_string(), text, "{file:?}");
        assert!(text.len() < 300, "{text}");
    }
}

#[test]
fn the_number_of_buckets_limits_the_bulk_reads_of_every_launch() {
    for class in Class::ALL {
        assert_eq!(count_buckets(class, 1).unwrap(), 1);
        assert_eq!(count_buckets(class, 1_000_000).unwrap(), 977);
        let classes = if matches!(class, Class::Email | Class::Phone) { 2 } else { 1 };
        for keys in [3_000_000, 10_000_000, 50_000_000] {
            let buckets = count_buckets(class, keys).unwrap() as usize;
            assert!(classes * buckets.div_ceil(BULK_KEYS) <= BULK_READS_LIMIT);
            assert!(keys as usize * 32 / buckets < BUCKET_LIMIT);
        }
        assert!(count_buckets(class, 200_000_000).is_err());
    }
}

/// Short texts, so that profiles share values.
fn value() -> impl Strategy<Value = String> {
    "[ab;:\", \u{e9}\u{df}@A\n]{0,4}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn finds_exactly_the_values_that_were_imported(
        rows in prop::collection::vec((0..6_u8, prop::collection::vec(value(), 0..4)), 1..40),
        run in 1..20_usize,
        others in prop::collection::vec(value(), 8),
    ) {
        let mut lines = String::new();
        let mut expected: HashMap<String, Vec<u8>> = HashMap::new();
        for (profile, values) in &rows {
            let row = serde_json::json!({ "profile_id": id(*profile), "custom:f": values });
            lines.push_str(&format!("{row}\n"));
            for value in values {
                expected.entry(value.clone()).or_default().push(*profile);
            }
        }
        let (buckets, built, ..) = try_import(lines.as_bytes(), run).unwrap();
        for value in expected.keys().chain(&others) {
            let profiles = expected.get(value).filter(|_| !value.is_empty());
            let expected = match profiles {
                None => KeyMatch::None,
                Some(all) if all.iter().all(|other| *other == all[0]) => profile(all[0]),
                Some(_) => KeyMatch::Ambiguous,
            };
            prop_assert_eq!(look_up((&buckets, &built), Class::Custom, "f", BucketSection::Profiles, value), expected);
        }
    }

    #[test]
    fn builds_the_same_index_from_csv_and_ndjson(
        rows in prop::collection::vec((0..6_u8, "[ab@A \"\n,]{0,5}", "[ab:c]{1,2}x[ab:]{0,3}"), 1..30),
    ) {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let mut csv = "email_sub,profile_id,custom:f\n".to_owned();
        let mut ndjson = String::new();
        for (profile, email, field) in &rows {
            csv.push_str(&format!("{},{},{}\n", quoted(email), id(*profile), quoted(field)));
            let row = serde_json::json!({ "profile_id": id(*profile), "email_sub": email, "custom:f": [field] });
            ndjson.push_str(&format!("{row}\n"));
        }
        let (from_csv, built_from_csv, ..) = import(&csv);
        let (from_ndjson, built_from_ndjson, ..) = import(&ndjson);
        prop_assert_eq!((from_csv, built_from_csv), (from_ndjson, built_from_ndjson));
    }

    #[test]
    fn reads_any_file_without_a_panic(file in "[profile_id,email\n\r\"{}:;0-9a\u{feff}]{0,200}") {
        let _ = try_import(file.as_bytes(), 5);
        let _ = try_import(format!("profile_id,email\n{file}").as_bytes(), 5);
        let _ = try_import(format!("{{{file}").as_bytes(), 5);
    }
}
