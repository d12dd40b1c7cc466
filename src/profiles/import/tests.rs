//! Imports files of profiles: which rows are refused, and which keys are found in the buckets.

use std::{
    collections::{BTreeMap, HashMap},
    io::BufReader,
};

use proptest::prelude::*;

use super::{build::count_buckets, *};
use crate::{
    limits::{BUCKET_LIMIT, BULK_KEYS, BULK_READS_LIMIT, FIELDS_LIMIT, KEY_LIMIT, ROW_LIMIT, SORT_BATCH},
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

/// Imports a file with at most `run` keys in memory.
fn try_import(file: &[u8], run: usize) -> Result<(Buckets, BuiltIndex, ImportReport), ImportError> {
    import_with(file, run, &ReadOptions::default())
}

fn import_with(
    file: &[u8],
    run: usize,
    options: &ReadOptions,
) -> Result<(Buckets, BuiltIndex, ImportReport), ImportError> {
    let mut importer = Importer::new(key(), run);
    let report = importer.read(file, options)?;
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
    Ok((buckets, built, report))
}

fn import(file: &str) -> (Buckets, BuiltIndex, ImportReport) {
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

/// The reasons for rows or values that are left out, with their lines.
fn reasons(report: &ImportReport, of: LeftOut) -> Vec<(Vec<u64>, &str)> {
    let reasons = report.reasons.iter().filter(|reason| reason.left_out == of);
    reasons.map(|reason| (reason.lines.clone(), reason.reason.as_str())).collect()
}

/// The lines of refused rows.
fn refused_lines(report: &ImportReport) -> Vec<u64> {
    let mut lines: Vec<u64> = reasons(report, LeftOut::Row).into_iter().flat_map(|(lines, _)| lines).collect();
    lines.sort_unstable();
    lines
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
    let (buckets, built, report) = import(&csv);
    assert_eq!((report.rows, built.profiles, built.keys), (RowCounts { accepted: 1, refused: 0 }, 1, 10));
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
        "profile_id,email,phone\n{a},x@x,111\n{a},x@x,222\n{b},y@x,222\n{b},Y@X;y@x,\n{c},y@x,333\n",
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
        assert_eq!([phone("111"), phone("222"), phone("333")], [profile(1), KeyMatch::Ambiguous, profile(3)]);
    }
}

#[test]
fn refuses_a_csv_row_or_skips_a_value_and_imports_the_others() {
    let long = "x".repeat(1025);
    let head = format!("\u{feff}profile_id,email,push_sub\n\n{},a@x,\r\n", id(1));
    let rest = format!(
        "12,b@x,\n{i},c@x\n,d@x,\n{i},e@x,noprovider\n{i},{long},\n\"{i}\",\"f\n@x\",\n{i},g@x,,,\n{i},h@x,,i\n , ,\n",
        i = id(2)
    );
    let file = [head.as_bytes(), rest.as_bytes(), id(3).as_bytes(), b",\xFF,\n", id(4).as_bytes(), b",h@x,:"].concat();
    let (buckets, built, report) = try_import(&file, 3).unwrap();
    assert_eq!(
        reasons(&report, LeftOut::Row),
        [
            (vec![4], "profile_id: not 24 hexadecimal digits"),
            (vec![6], "profile_id: missing"),
            (vec![12], "more cells than the header"),
            (vec![14], "not UTF-8; if the file has another encoding, name it with --encoding"),
        ]
    );
    assert_eq!(
        reasons(&report, LeftOut::Value),
        [
            (vec![7, 15], "push_sub: not in the form provider:subscription_id"),
            (vec![8], "email: longer than 1024 bytes"),
            (vec![9], "email: contains a control character"),
        ]
    );
    assert_eq!(report.rows, RowCounts { accepted: 7, refused: 4 });
    assert_eq!(report.values, ValueCounts { used: 5, skipped: 4 });
    assert_eq!((built.profiles, built.keys), (3, 5));
    let email = |value| look_up((&buckets, &built), Class::Email, "", BucketSection::Profiles, value);
    assert_eq!([email("a@x"), email("c@x"), email("e@x"), email("g@x")], [1, 2, 2, 2].map(profile));
    assert_eq!([email("d@x"), email("f\n@x"), email("h@x")], [KeyMatch::None, KeyMatch::None, profile(4)]);
}

#[test]
fn imports_the_rows_of_many_batches_whatever_the_memory_is() {
    let rows = 3 * SORT_BATCH;
    let row = |row: usize| format!("{row:024x},c{row}@x,{}", 79_000_000_000 + row);
    let file =
        ["profile_id,email,phone".to_owned()].into_iter().chain((0..rows).map(row)).collect::<Vec<_>>().join("\n");
    let (buckets, built, report) = try_import(file.as_bytes(), 10 * rows).unwrap();
    assert_eq!((report.rows.accepted, built.profiles, built.keys), (rows as u64, rows as u64, 2 * rows as u64));
    let with_file = try_import(file.as_bytes(), SORT_BATCH).unwrap();
    assert_eq!((with_file.0, with_file.2), (buckets, report));
}

#[test]
fn counts_csv_lines_that_end_with_lf_cr_or_crlf() {
    for end in ["\n", "\r", "\r\n"] {
        let file = ["profile_id,email", "", "1,a@x", "\"2\",\"b", "@x\"", "", "3,c@x", ""].join(end);
        for size in [3, 4, 5, 7, 1000] {
            let input = BufReader::with_capacity(size, file.as_bytes());
            let report = Importer::new(key(), 9).read(input, &ReadOptions::default()).unwrap();
            assert_eq!(refused_lines(&report), [3, 4, 7], "{end:?} in reads of {size} bytes");
        }
    }
}

#[test]
fn refuses_an_ndjson_row_or_skips_a_value_and_imports_the_others() {
    let long = format!("{{\"profile_id\":\"{}\",\"x\":\"{}\"}}", id(1), "x".repeat(ROW_LIMIT));
    let i = id(1);
    let lines = [
        &format!(
            r#"{{"Profile-ID":" {i} ","email":"a@x","custom:n":[1,-2,"3"],"phone":[null,79001],"email_sub":[],"":null}}"#
        ),
        "",
        r#"{"profile_id":"12"}"#,
        r#"{"email":"b@x"}"#,
        r#"["profile_id"]"#,
        "{",
        &format!(r#"{{"profile_id":"{i}","email":5,"phone":-7900}}"#),
        &format!(r#"{{"profile_id":"{i}","email":["c@x",["d@x"]]}}"#),
        &format!(r#"{{"profile_id":"{i}","custom:n":1.5}}"#),
        &format!(r#"{{"profile_id":["{i}"]}}"#),
        &format!(r#"{{"profile_id":"{i}","profile_id":"{i}"}}"#),
        &format!(r#"{{"profile_id":"{i}","":"x"}}"#),
        &format!(r#"{{"profile_id":"{i}","email":"\ud800"}}"#),
        &long,
        &format!(r#"{{"profile_\u0069d":"{}","em\u0061il":"\u0065@x","custom:n":" a;b "}}"#, id(2)),
    ];
    let (buckets, built, report) = import(&lines.join("\n"));
    assert_eq!(
        reasons(&report, LeftOut::Row),
        [
            (vec![3], "profile_id: not 24 hexadecimal digits"),
            (vec![4], "profile_id: missing"),
            (vec![5], "not a JSON object"),
            (vec![6], "not JSON"),
            (vec![10], "profile_id: not a string"),
            (vec![11], "profile_id: more than one value"),
            (vec![12], "a member has no name"),
            (vec![14], "longer than 1048576 bytes"),
        ]
    );
    assert_eq!(
        reasons(&report, LeftOut::Value),
        [
            (vec![7, 8], "email: not a string or an array of strings"),
            (vec![7], "phone: not a string, an integer, or an array of strings and integers"),
            (vec![9], "custom:n: not a string, an integer, or an array of strings and integers"),
            (vec![13], "email: half a surrogate pair"),
        ]
    );
    assert_eq!((report.rows, built.profiles, built.keys), (RowCounts { accepted: 6, refused: 8 }, 2, 8));
    let all = (&buckets, &built);
    assert_eq!(look_up(all, Class::Custom, "n", BucketSection::Profiles, "-2"), profile(1));
    assert_eq!(look_up(all, Class::Custom, "n", BucketSection::Profiles, " a;b "), profile(2));
    assert_eq!(look_up(all, Class::Email, "", BucketSection::Profiles, "e@x"), profile(2));
    assert_eq!(look_up(all, Class::Email, "", BucketSection::Profiles, "c@x"), profile(1));
    assert_eq!(look_up(all, Class::Phone, "", BucketSection::Profiles, "79001"), profile(1));
    let array = format!(
        "\n[ {} ]\n",
        lines.iter().filter(|line| !line.is_empty() && **line != "{").copied().collect::<Vec<_>>().join(",\n")
    );
    let (from_array, _, array_report) = import(&array);
    assert_eq!((from_array, array_report.values), (buckets, report.values));
    assert_eq!(array_report.rows, RowCounts { accepted: 6, refused: 7 });
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
                let input = BufReader::with_capacity(1000, file.as_bytes());
                let report = importer.read(input, &ReadOptions::default()).unwrap();
                assert_eq!(report.rows, RowCounts { accepted: 1, refused: 1 });
                assert_eq!(refused_lines(&report), [refused_at]);
            }
        }
        let input = BufReader::with_capacity(1000, blank.as_bytes());
        let empty = Importer::new(key(), 7).read(input, &ReadOptions::default());
        assert_eq!(empty.map_err(|error| error.to_string()), Err("the file is empty".to_owned()));
    }
}

#[test]
fn skips_a_byte_order_mark_before_the_header_for_every_read_size() {
    for size in 3..20 {
        for start in ["\u{feff}", "\n\u{feff}", " \u{feff}", "\u{feff}\u{feff}"] {
            let file = format!("{start}profile_id\n{}\n", id(1));
            let input = BufReader::with_capacity(size, file.as_bytes());
            let report = Importer::new(key(), 7).read(input, &ReadOptions::default());
            assert_eq!(
                report.map(|report| report.rows).map_err(|error| error.to_string()),
                Ok(RowCounts { accepted: 1, refused: 0 }),
                "{start:?} {size}"
            );
        }
    }
}

#[test]
fn refuses_a_file_whose_quotes_are_wrong_and_names_the_line() {
    let [a, b, c] = [1, 2, 3].map(id);
    let rest = format!("{b},x@x\n").repeat(50_000);
    let not_closed = "a quote is opened and never closed";
    let after_space = "white space before the quote at the start of a cell; remove the white space";
    let text_after = "text after the closing quote of a cell; write a quote inside a quoted cell twice";
    let rows = "a quoted cell contains whole rows; close the quote where the cell ends";
    for (file, line, reason) in [
        (format!("profile_id,email\n{a},a@x\n{b},\"b@x\n{rest}"), 3, not_closed),
        (format!("profile_id,email\n{a},a@x\n{b},\"b@x\n{c},c@x\n"), 3, not_closed),
        (format!("profile_id,email\r\n{a},a@x\r\n{b},\"b@x"), 3, not_closed),
        (format!("profile_id,email\n\n\"{a}\",\"\"\"\n"), 3, not_closed),
        ("profile_id,\"email\n".to_owned(), 1, not_closed),
        (format!("profile_id, email\n{a}, \"a@x\"\n"), 2, after_space),
        (format!("profile_id;email\n{a};\t\"a@x\"\n"), 2, after_space),
        (format!("profile_id,email\n\"{a}\" ,a@x\n"), 2, text_after),
        (format!("profile_id,email\n{a},\"a@x\n{b},\"b@x\"\n"), 2, text_after),
        (format!("profile_id,email\n{a},\"a\"b\n"), 2, text_after),
        (format!("profile_id,email\n{a},\"a@x\n{b},b@x\n{c},\"\n"), 2, rows),
        (format!("email;profile_id\n\"a@x\n;{b}\n\";{c}\n"), 2, rows),
        (format!("email,profile_id\n\"a@x,{a}\nb@x\",{b}\n"), 2, rows),
        (format!("custom:name;email;profile_id\nC;c@x;{c}\n\"A;a@x;{a}\r\nB\";b@x;{b}\n"), 3, rows),
    ] {
        for size in [3, 7, 64, 10_000] {
            let input = BufReader::with_capacity(size, file.as_bytes());
            let error = Importer::new(key(), 9).read(input, &ReadOptions::default()).unwrap_err();
            assert_eq!(error.to_string(), format!("line {line}: {reason}"), "{size}");
        }
    }
    let good =
        format!("profile_id,custom:f,email\n{a},\"a \"\"b\"\", c\",\n{b},5\" pipe,\"\"\n\"{c}\",\"\",=\"c@x\"\n");
    let (buckets, built, report) = import(&good);
    assert_eq!((report.reasons, built.keys), (vec![], 3));
    let custom = |value| look_up((&buckets, &built), Class::Custom, "f", BucketSection::Profiles, value);
    assert_eq!([custom("a \"b\", c"), custom("5\" pipe")], [1, 2].map(profile));
}

#[test]
fn refuses_a_file_whose_header_is_invalid() {
    let refused = |header: &str| try_import(format!("{header}\n").as_bytes(), 9).err().map(|error| error_chain(&error));
    assert_eq!(
        refused("profile_id,name,E.Mail").as_deref(),
        Some(
            "line 1: unknown columns \"name\" (the nearest known name is email_sub), \"E.Mail\" (the nearest known name is \
             email); use --map \"name=email_sub\" if that is meant, or --ignore-unknown"
        )
    );
    assert_eq!(refused("email").as_deref(), Some("header: the column profile_id is missing"));
    for delimiter in [",", ";"] {
        let first_row = ["jo@example.com", &id(1), "+380501234567"].join(delimiter);
        let missing = "header: missing; the first row contains a profile ID instead of names";
        assert_eq!(refused(&first_row).as_deref(), Some(missing));
    }
    assert_eq!(refused("profile_id,email,email").as_deref(), Some("header: duplicate column email"));
    assert_eq!(refused("profile_id,E-Mail,email").as_deref(), Some("header: duplicate column email"));
    assert!(refused("profile_id,custom:").is_some());
    assert!(refused("profile_id,other:x").is_some());
    assert_eq!(refused("\n \n").as_deref(), Some("the file is empty"));
    assert!(refused(&format!("profile_id,{}", vec!["custom:a"; 2_000].join(","))).is_some());
    let many: Vec<String> = (0..=FIELDS_LIMIT).map(|i| format!("custom:{i}")).collect();
    let expected = "the file has too many custom fields or channels; remove some: 1001 custom fields and channels with 2894 \
                    bytes of names; the limits are 1000 and 262144";
    assert_eq!(refused(&format!("profile_id,{}", many.join(","))).as_deref(), Some(expected));
    assert_eq!(refused("<html>").as_deref(), Some("the file is a web page or XML; export the profiles as CSV"));
}

#[test]
fn detects_the_delimiter_by_the_names_of_the_header() {
    for delimiter in [',', ';', '\t', '|'] {
        let file = ["profile_id", "custom:a,b", "e-mail\n"].join(&delimiter.to_string()).replace("a,b", "ab");
        let file = file + &[&id(1), "x", "a@x"].join(&delimiter.to_string());
        let (_, built, report) = import(&file);
        assert_eq!((built.keys, report.reasons), (2, vec![]), "{delimiter:?}");
    }
    for line in ["sep=^", "SEP=^\r", "\"sep=^\""] {
        let (_, built, report) = import(&format!("{line}\nprofile_id^email\n{}^a@x\nbad^b@x\n", id(1)));
        assert_eq!((built.keys, refused_lines(&report)), (1, vec![4]), "{line}");
    }
    // A tab before the first name is an empty cell.
    let error = try_import(format!("\n\tprofile_id\temail\n0\t{}\ta@x\n", id(1)).as_bytes(), 9).unwrap_err();
    let expected = "line 3: column 1 has values but no name; name the column, or use --ignore-unknown";
    assert_eq!(error.to_string(), expected);
    let (_, built, report) = import(&format!("\tprofile_id\temail\n\t{}\ta@x\n", id(1)));
    assert_eq!((built.keys, report.reasons), (1, vec![]));
}

#[test]
fn the_operator_maps_or_ignores_unknown_names() {
    let csv = format!("ID,Email 1,Email 2,notes,\n{},a@x,b@x,\"c\nd\",5\n", id(1));
    let array = format!("[{{\"id\":\"{}\",\"email 1\":\"a@x\",\"Email_2\":\"b@x\",\"notes\":5}}]", id(1));
    let options = |aliases: &[&str], ignore_unknown| {
        let aliases = aliases.iter().map(|alias| alias.parse().unwrap()).collect();
        ReadOptions { names: NameOptions { aliases, ignore_unknown }, ..ReadOptions::default() }
    };
    let aliases = ["ID=profile_id", "Email 1=email", "Email 2=email"];
    for file in [csv, array] {
        let (_, built, report) = import_with(file.as_bytes(), 9, &options(&aliases, true)).unwrap();
        assert_eq!((built.keys, report.reasons), (2, vec![]));
        let error = import_with(file.as_bytes(), 9, &options(&aliases, false)).unwrap_err();
        assert!(matches!(error, ImportError::UnknownColumns { line, .. } if line == 1), "{error}");
        let unused = [&aliases[..], &["Phone 1=phone"]].concat();
        let error = import_with(file.as_bytes(), 9, &options(&unused, true)).unwrap_err();
        assert_eq!(error.to_string(), "--map: the file has no column \"Phone 1\"");
    }
}

/// What an import of a file in `tests/import-files` has to result in: an error, or the keys of profiles with the counts of
/// refused rows and skipped values.
enum Expected {
    Error(&'static str),
    Keys { keys: &'static [(&'static str, u8)], rows: (u64, u64), values: (u64, u64) },
}

/// The result of each file. Each one represents a class of files that real programs write.
fn expected_results() -> Vec<(&'static str, Expected)> {
    use Expected::{Error, Keys};
    let imported = |keys: &'static [(&'static str, u8)], profiles| Keys {
        keys,
        rows: (profiles, 0),
        values: (keys.len() as u64, 0),
    };
    let skipped = |keys: &'static [(&'static str, u8)], profiles, skipped| Keys {
        keys,
        rows: (profiles, 0),
        values: (keys.len() as u64, skipped),
    };
    vec![
        ("array.json", imported(&[("n02@example.com", 1)], 1)),
        ("byte-order-mark.csv", imported(&[("c01@example.com", 1)], 1)),
        ("decimal.csv", skipped(&[], 1, 1)),
        ("decomposed.csv", imported(&[("jos\u{e9}@example.com", 1)], 1)),
        ("domain.csv", imported(&[("c31@xn--bcher-kva.example", 1), ("c31b@xn--bcher-kva.example", 2)], 2)),
        ("empty-last-column.csv", imported(&[("c09a@example.com", 1), ("c09b@example.com", 2)], 2)),
        ("exponents.csv", skipped(&[], 3, 3)),
        ("header-case.csv", imported(&[("c07@example.com", 1), ("4930123", 1)], 1)),
        (
            "header-unknown.csv",
            Error(
                "line 1: unknown columns \"Email Address\" (the nearest known name is email), \"Phone Number\" (the nearest \
                 known name is phone); use --map \"Email Address=email\" if that is meant, or --ignore-unknown",
            ),
        ),
        ("invisible-characters.csv", imported(&[("49307778868", 1), ("79022222222", 2), ("15551234567", 3)], 3)),
        (
            "names-of-addresses.csv",
            imported(&[("c18@example.com", 1), ("c18b@example.com", 2), ("c18c@example.com", 3)], 3),
        ),
        ("no-break-space.csv", skipped(&[("c29a@example.com", 1), ("c29c@example.com", 3)], 3, 1)),
        ("nul.csv", skipped(&[], 2, 2)),
        ("open-quote.csv", Error("line 3: a quote is opened and never closed")),
        ("padded.csv", imported(&[("c14@example.com", 1)], 1)),
        ("phone-spellings.csv", skipped(&[("442079460000", 3), ("0301234567", 4), ("49301234568", 5)], 5, 2)),
        ("semicolon.csv", imported(&[("c04@example.com", 1), ("4930123", 1)], 1)),
        ("separator-line.csv", imported(&[("c05@example.com", 1)], 1)),
        ("shifted.csv", skipped(&[], 4, 8)),
        (
            "short-row.csv",
            imported(&[("c08a@example.com", 1), ("c08b@example.com", 2), ("c08c@example.com", 3), ("4930123", 3)], 3),
        ),
        (
            "several-addresses.csv",
            imported(
                &[
                    ("c17a@example.com", 1),
                    ("c17b@example.com", 1),
                    ("c17c@example.com", 2),
                    ("c17d@example.com", 2),
                    ("c17e@example.com", 3),
                    ("c17f@example.com", 3),
                ],
                3,
            ),
        ),
        (
            "space-before-quote.csv",
            Error("line 2: white space before the quote at the start of a cell; remove the white space"),
        ),
        (
            "spreadsheet.csv",
            Error(
                "the file is a ZIP archive or a spreadsheet (.xlsx, .ods); in the spreadsheet program, save it as CSV UTF-8",
            ),
        ),
        ("spreadsheet-guards.csv", imported(&[("380501234567", 1), ("380501234568", 2), ("380501234569", 3)], 3)),
        ("tab.tsv", imported(&[("c05@example.com", 1)], 1)),
        (
            "unknown-member.ndjson",
            Error(
                "line 1: unknown column \"first_name\" (the nearest known name is custom:<field>); use --map \
                 \"first_name=custom:first_name\" if that is meant, or --ignore-unknown",
            ),
        ),
        ("utf-16.csv", imported(&[("c02@example.com", 1)], 1)),
    ]
}

#[test]
fn each_class_of_files_is_imported_or_rejected_as_expected() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import-files");
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let mut results = expected_results();
    results.sort_by_key(|(name, _)| *name);
    assert_eq!(files, results.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (name, expected) in results {
        let file = std::fs::read(folder.join(name)).unwrap();
        let (result, expected) = match (try_import(&file, 9), expected) {
            (Err(error), Expected::Error(expected)) => {
                assert_eq!(error_chain(&error), expected, "{name}");
                continue;
            }
            (Ok(result), Expected::Keys { keys, rows, values }) => (result, (keys, rows, values)),
            (Ok(_), Expected::Error(_)) => panic!("{name}: imported"),
            (Err(error), Expected::Keys { .. }) => panic!("{name}: {error}"),
        };
        let ((buckets, built, report), (keys, rows, values)) = (result, expected);
        assert_eq!((report.rows.accepted, report.rows.refused), rows, "{name}");
        assert_eq!((report.values.used, report.values.skipped), values, "{name}: {report:?}");
        assert_eq!((built.profiles, built.keys as usize), (rows.0, keys.len()), "{name}");
        for (key, number) in keys {
            let class = if key.contains('@') { Class::Email } else { Class::Phone };
            let id = ProfileId::parse(&format!("a{number:023}")).unwrap();
            let found = look_up((&buckets, &built), class, "", BucketSection::Profiles, key);
            assert_eq!(found, KeyMatch::Profile(id), "{name}: {key}");
        }
    }
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
            Ok((_, _, report)) => {
                assert!(!report.reasons.is_empty(), "{file:?}");
                report.reasons.into_iter().map(|reason| reason.reason).collect()
            }
        };
        assert_eq!(crate::escape::escape(&text).to_string(), text, "{file:?}");
        assert!(text.len() < 500, "{text}");
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
            for value in values.iter().filter(|value| !value.contains('\n')) {
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
        rows in prop::collection::vec((0..6_u8, "[ab@A \"\n]{0,5}", "[ab:c]{1,2}x[ab:]{0,3}"), 1..30),
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
