//! Importing files of profiles, in all formats: a file has the same result if it is read in pieces, sorted in many runs, or as
//! UTF-16, and what it leaves out is counted.

use super::chunks::Dice;
use std::{
    collections::BTreeMap,
    io::{BufReader, Read},
};
use trigger_launch::profiles::{
    import::{BuiltIndex, ImportError, ImportReport, Importer, LeftOut, ReadOptions},
    key::{Class, IndexKey},
};

type Buckets = BTreeMap<(Class, String, u32), String>;

/// More keys than a file here has.
const AT_ONCE: usize = 1 << 16;

/// What an import makes.
#[derive(Debug, PartialEq)]
struct Imported {
    report: ImportReport,
    built: BuiltIndex,
    buckets: Buckets,
}

/// The target.
pub fn run(data: &[u8]) {
    let mut dice = Dice::of(data);
    let whole = import(data, AT_ONCE);
    let reader = BufReader::with_capacity(1 + dice.below(64), data);
    // Sorted runs are files: not for every input.
    let run = if dice.below(8) == 0 { 1 + dice.below(20) } else { AT_ONCE };
    assert_eq!(import(reader, run), whole, "in pieces");
    let Ok(imported) = &whole else { return };
    count(imported);
    let text = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    if let Ok(text) = std::str::from_utf8(text)
        && !text.starts_with('\u{feff}')
    {
        let wide: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        if !data.starts_with(b"\x1f\x8b") && !text.contains('\0') {
            assert_eq!(import(wide.as_slice(), AT_ONCE), whole, "as UTF-16");
        }
    }
}

pub fn key() -> IndexKey {
    IndexKey::new("a key of the index, which is long enough").expect("it is")
}

fn import(input: impl Read, run: usize) -> Result<Imported, String> {
    let mut importer = Importer::new(key(), run);
    let report = importer.read(input, &ReadOptions::default()).map_err(|error| error.to_string())?;
    let mut buckets = Buckets::new();
    let plan = importer.plan().map_err(|error| error.to_string())?;
    let planned = plan.classes().to_vec();
    let built = plan.build(|index, number, text| {
        assert!(number < index.buckets);
        assert!(buckets.insert((index.class, index.field.clone(), number), text).is_none(), "a bucket comes once");
        Ok(())
    });
    let built = built.map_err(|error: ImportError| error.to_string())?;
    assert_eq!(planned.len(), built.classes.len());
    Ok(Imported { report, built, buckets })
}

fn count(Imported { report, built, buckets }: &Imported) {
    let total = |of| report.reasons.iter().filter(|reason| reason.left_out == of).map(|reason| reason.count).sum();
    assert_eq!((report.rows.refused, report.values.skipped), (total(LeftOut::Row), total(LeftOut::Value)));
    assert!(report.reasons.iter().all(|reason| reason.lines.is_sorted() && !reason.reason.is_empty()));
    assert!(built.profiles <= report.rows.accepted && (built.profiles > 0) == (report.rows.accepted > 0));
    assert!(built.keys <= report.values.used && built.ambiguous <= built.keys);
    let numbers: u32 = built.classes.iter().map(|index| index.buckets).sum();
    assert_eq!(numbers as usize, buckets.len());
}
