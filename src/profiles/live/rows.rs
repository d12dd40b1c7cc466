//! Reads a request with changes: rows of JSON, each with all keys of one profile, or with `"deleted": true`.
//!
//! The names are those of an import. An invalid row is refused, and the others are applied. A body that is not valid JSON is
//! refused as a whole.

use std::{cell::Cell, fmt};

use hashbrown::HashSet;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    command::DatabaseRefusal,
    message::{ChangeSet, ChangeSetHead},
    row::{PackedKey, count_units},
};
use crate::{
    limits::{CELLS_LIMIT, CHANGED_KEYS_LIMIT, CHANGES_LIMIT, CHANGES_ROWS_LIMIT, FIELD_NAME_SHOWN},
    memory::Reservation,
    outcome::Outcome,
    problem::{Problem, Refused},
    profiles::{
        bucket::BucketSection,
        column::{Column, InvalidKey, KeyColumn, simplify_name},
        key::{Class, IndexKey, ProfileId},
        normal::Normaliser,
    },
    text::without_byte_order_mark,
};

/// How the rows of a body are separated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// One JSON array.
    Array,
    /// One JSON object on each line.
    Lines,
}

/// A row that is not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedChange {
    /// Rows are numbered from 0.
    pub index: usize,
    pub field: String,
    pub reason: &'static str,
}

/// The rows of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct ParsedChanges {
    /// The good rows: a [`ChangeSet`].
    pub message: Vec<u8>,
    pub refused: Vec<RefusedChange>,
}

/// Reasons of refused rows besides those of [`Outcome`].
pub const UNKNOWN_FIELD: &str = "unknown_field";
/// A second value, or a second row of a profile.
pub const DUPLICATE: &str = "duplicate";
/// A deleted profile with keys.
pub const DELETED_WITH_KEYS: &str = "deleted_with_keys";
/// More than [`CHANGED_KEYS_LIMIT`] keys.
pub const TOO_MANY_KEYS: &str = "too_many_keys";

/// Why a row is refused.
struct RowFault {
    field: String,
    reason: &'static str,
}

impl RowFault {
    fn new(field: &str, reason: &'static str) -> Self {
        Self { field: field.chars().take(FIELD_NAME_SHOWN).collect(), reason }
    }

    fn of(field: &str, outcome: Outcome) -> Self {
        Self::new(field, outcome.reason().unwrap_or_default())
    }
}

/// Bytes of memory for each profile in the set of profiles, at its lowest load.
const SEEN_BYTES: u64 = 2 * (size_of::<ProfileId>() as u64 + 1);

/// Reads the rows of a body, and hashes their keys under all index keys.
pub fn parse_changes(
    body: &[u8],
    format: RowFormat,
    head: &ChangeSetHead,
    (keys, normaliser): (&[IndexKey], &Normaliser),
    memory: &mut Reservation,
) -> Result<ParsedChanges, Refused> {
    let body = std::str::from_utf8(without_byte_order_mark(body));
    let body = body.map_err(|error| Problem::Malformed(format!("byte {}: not UTF-8", error.valid_up_to())))?;
    // The members of a row are copied before they are checked, and a row can be as large as the body.
    let row_bytes = body.len() as u64;
    memory.grow(row_bytes)?;
    let mut reader = RowReader {
        keys,
        normaliser,
        memory,
        seen: HashSet::new(),
        units: 0,
        index: 0,
        parsed: ParsedChanges { message: ChangeSet::begin(head), refused: Vec::new() },
    };
    match format {
        RowFormat::Array => {
            let mut json = serde_json::Deserializer::from_str(body);
            let fault = Cell::new(None);
            let read = ArraySeed { reader: &mut reader, fault: &fault }.deserialize(&mut json);
            if let Some(fault) = fault.take() {
                return Err(fault);
            }
            read.and_then(|()| json.end()).map_err(|error| Problem::Malformed(format!("invalid JSON: {error}")))?;
        }
        RowFormat::Lines => {
            for (number, line) in (1_u64..).zip(body.split('\n')) {
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let row = serde_json::from_str(line).map_err(|error| {
                    Problem::Malformed(format!("line {number}: invalid JSON at column {}", error.column()))
                })?;
                reader.add(row)?;
            }
        }
    }
    let parsed = reader.parsed;
    memory.shrink(row_bytes);
    Ok(parsed)
}

/// Adds rows to a set of changes.
struct RowReader<'a> {
    keys: &'a [IndexKey],
    normaliser: &'a Normaliser,
    memory: &'a mut Reservation,
    seen: HashSet<ProfileId>,
    /// How much the good rows count towards the limit of pending changes.
    units: u64,
    /// The number of the next row.
    index: usize,
    parsed: ParsedChanges,
}

impl RowReader<'_> {
    /// Adds a row. Fails if the request is refused as a whole.
    fn add(&mut self, row: Row) -> Result<(), Refused> {
        let index = self.index;
        self.index += 1;
        if index == CHANGES_ROWS_LIMIT {
            return Err(Problem::BadField(format!("rows: more than {CHANGES_ROWS_LIMIT}")).into());
        }
        match self.read_row(row) {
            Ok((profile, packed)) => {
                // More changes than the limit can never be applied, and would need too much memory.
                self.units += count_units(&packed, self.keys.len()).map_err(Refused::internal)?;
                if self.units > CHANGES_LIMIT {
                    return Err(DatabaseRefusal::TooManyChanges(self.units).into());
                }
                self.reserve(packed.len() + ChangeSet::HEAD_BYTES)?;
                ChangeSet::push(&mut self.parsed.message, profile, &packed);
            }
            Err(RowFault { field, reason }) => {
                self.memory.grow(field.len() as u64 + 128)?;
                self.parsed.refused.push(RefusedChange { index, field, reason });
            }
        }
        Ok(())
    }

    /// Makes room for `bytes` at the end of the message, and for a profile in `seen`, after reserving the memory.
    fn reserve(&mut self, bytes: usize) -> Result<(), Refused> {
        self.memory.grow(SEEN_BYTES)?;
        let message = &mut self.parsed.message;
        let needed = message.len() + bytes;
        if needed > message.capacity() {
            let capacity = needed + needed / 2;
            self.memory.grow((capacity - message.capacity()) as u64)?;
            message.reserve_exact(capacity - message.len());
        }
        Ok(())
    }

    /// Returns the profile and its packed keys, which are empty if the profile is deleted.
    fn read_row(&mut self, row: Row) -> Result<(ProfileId, Vec<u8>), RowFault> {
        let (members, mut fault) = match row {
            Row::Object(members) => (members, None),
            Row::TooLarge(profile_id) => (profile_id.into_iter().collect(), Some(RowFault::new("", TOO_MANY_KEYS))),
            Row::Other => return Err(RowFault::of("", Outcome::WrongType)),
        };
        let mut profile = None;
        let mut is_deleted = false;
        let mut packed: Vec<Vec<u8>> = Vec::new();
        for (name, value) in members {
            let read = match column(&name) {
                Some(RowColumn::ProfileId) => read_profile_id(&name, &value, &mut profile),
                Some(RowColumn::Deleted) => read_deleted(&name, &value, &mut is_deleted),
                Some(RowColumn::Keys(column)) => {
                    value.values().try_for_each(|value| self.push_key(&column, &name, value, &mut packed))
                }
                None => Err(RowFault::new(&name, UNKNOWN_FIELD)),
            };
            // The row's profile is noted even if another member is invalid: a second row of it is refused.
            fault = fault.or(read.err());
        }
        let Some(profile) = profile else {
            return Err(fault.unwrap_or_else(|| RowFault::of(PROFILE_ID, Outcome::MissingField)));
        };
        if !self.seen.insert(profile) {
            return Err(RowFault::new(PROFILE_ID, DUPLICATE));
        }
        match fault {
            Some(fault) => return Err(fault),
            None if is_deleted && !packed.is_empty() => return Err(RowFault::new(DELETED, DELETED_WITH_KEYS)),
            None if packed.len() > CHANGED_KEYS_LIMIT => return Err(RowFault::new("", TOO_MANY_KEYS)),
            None if is_deleted => return Ok((profile, Vec::new())),
            None => {}
        }
        insert(&mut packed, self.pack(Class::ProfileId, BucketSection::Profiles, "", ("", &profile.to_string())));
        Ok((profile, packed.concat()))
    }

    fn push_key(
        &self,
        column: &KeyColumn,
        name: &str,
        value: &MemberValue,
        packed: &mut Vec<Vec<u8>>,
    ) -> Result<(), RowFault> {
        let text = match value {
            MemberValue::Text(text) => text,
            MemberValue::Integer(digits) if takes_integers(column.class) => digits,
            MemberValue::Null => return Ok(()),
            _ => return Err(RowFault::of(name, Outcome::WrongType)),
        };
        if text.is_empty() {
            return Ok(());
        }
        let key = column.key(text, self.normaliser).map_err(|invalid| {
            let outcome = if invalid == InvalidKey::TooLong { Outcome::TooLong } else { Outcome::Malformed };
            RowFault::of(name, outcome)
        })?;
        if packed.len() <= CHANGED_KEYS_LIMIT {
            insert(packed, self.pack(key.class, column.section, &column.field, (key.field, &key.value)));
        }
        Ok(())
    }

    /// Packs a key with its hash under each index key. `index_field` is the field of the index, `field` that of the hash.
    fn pack(&self, class: Class, section: BucketSection, index_field: &str, (field, value): (&str, &str)) -> Vec<u8> {
        let hashes: Vec<[u8; 16]> = self.keys.iter().map(|key| key.hash(class, field, value).0).collect();
        let mut packed = Vec::with_capacity(3 + index_field.len() + 16 * hashes.len());
        PackedKey { class, field: index_field, section, hashes: &hashes }.pack(&mut packed);
        packed
    }
}

/// Inserts a packed key in order, once, so that equal keys of a profile have equal bytes.
fn insert(packed: &mut Vec<Vec<u8>>, key: Vec<u8>) {
    let at = packed.partition_point(|known| *known < key);
    if packed.get(at) != Some(&key) {
        packed.insert(at, key);
    }
}

const PROFILE_ID: &str = "profile_id";
const DELETED: &str = "deleted";

/// A member of a row.
enum RowColumn {
    ProfileId,
    Deleted,
    Keys(KeyColumn),
}

/// Returns the column of a name. The names are those of an import, and `deleted`.
fn column(name: &str) -> Option<RowColumn> {
    if simplify_name(name) == DELETED {
        return Some(RowColumn::Deleted);
    }
    Column::parse(name).ok().map(|column| match column {
        Column::ProfileId => RowColumn::ProfileId,
        Column::Keys(keys) => RowColumn::Keys(keys),
    })
}

fn takes_integers(class: Class) -> bool {
    matches!(class, Class::Phone | Class::Custom | Class::CustomSub)
}

fn read_profile_id(name: &str, value: &MemberValue, profile: &mut Option<ProfileId>) -> Result<(), RowFault> {
    let MemberValue::Text(text) = value else { return Err(RowFault::of(name, Outcome::WrongType)) };
    let id = ProfileId::parse(text.trim()).ok_or_else(|| RowFault::of(name, Outcome::Malformed))?;
    match profile.replace(id) {
        None => Ok(()),
        Some(_) => Err(RowFault::new(name, DUPLICATE)),
    }
}

fn read_deleted(name: &str, value: &MemberValue, is_deleted: &mut bool) -> Result<(), RowFault> {
    *is_deleted = match value {
        MemberValue::Boolean(value) => *value,
        MemberValue::Text(text) if text.eq_ignore_ascii_case("true") || text == "1" => true,
        MemberValue::Text(text) if text.eq_ignore_ascii_case("false") || text == "0" => false,
        MemberValue::Integer(digits) if digits == "1" => true,
        MemberValue::Integer(digits) if digits == "0" => false,
        MemberValue::Null => false,
        _ => return Err(RowFault::of(name, Outcome::WrongType)),
    };
    Ok(())
}

/// The name and the value of a member.
type Member = (String, MemberValue);

/// A row.
enum Row {
    /// The members in order.
    Object(Vec<Member>),
    /// More members and values than any valid row has. Only the profile's ID is kept: the others would take many times the memory
    /// of the body.
    TooLarge(Option<Member>),
    Other,
}

/// The value of a member.
enum MemberValue {
    Text(String),
    /// The decimal digits of an integer.
    Integer(String),
    Boolean(bool),
    Null,
    /// The values that are not empty.
    List(Vec<MemberValue>),
    /// More values than a row may have.
    TooMany,
    Other,
}

impl MemberValue {
    /// The elements of a list, or the value itself.
    fn values(&self) -> impl Iterator<Item = &Self> {
        match self {
            Self::List(values) => values.iter(),
            value => std::slice::from_ref(value).iter(),
        }
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RowVisitor)
    }
}

impl<'de> Deserialize<'de> for MemberValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct RowVisitor;

/// Implements the methods of a visitor for values that have no parts.
macro_rules! visit_scalars {
    ($value:ty, $($method:ident: $argument:ty => $result:expr),*) => {
        $(fn $method<E: serde::de::Error>(self, value: $argument) -> Result<$value, E> {
            #[allow(clippy::redundant_closure_call, reason = "the closure names the argument")]
            Ok(($result)(value))
        })*
    };
}

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut members = Vec::new();
        let mut parts = 0;
        while let Some((name, value)) = map.next_entry::<String, MemberValue>()? {
            parts += value.values().count().max(1);
            if parts > CHANGED_KEYS_LIMIT + CELLS_LIMIT || matches!(value, MemberValue::TooMany) {
                members.push((name, value));
                let is_id = |(name, _): &Member| matches!(column(name), Some(RowColumn::ProfileId));
                let mut profile_id = members.into_iter().find(is_id);
                while let Some(member) = map.next_entry()? {
                    profile_id = profile_id.or_else(|| Some(member).filter(is_id));
                }
                return Ok(Row::TooLarge(profile_id));
            }
            members.push((name, value));
        }
        Ok(Row::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Row, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Row::Other)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Row, E> {
        Ok(Row::Other)
    }

    visit_scalars!(Row,
        visit_bool: bool => |_| Row::Other,
        visit_i64: i64 => |_| Row::Other,
        visit_u64: u64 => |_| Row::Other,
        visit_f64: f64 => |_| Row::Other,
        visit_str: &str => |_: &str| Row::Other
    );
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = MemberValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MemberValue, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(MemberValue::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<MemberValue, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element::<MemberValue>()? {
            if values.len() > CHANGED_KEYS_LIMIT {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(MemberValue::TooMany);
            }
            match value {
                MemberValue::Null => {}
                MemberValue::Text(text) if text.is_empty() => {}
                // Lists inside of lists are not valid values, and their contents are not needed.
                MemberValue::List(_) | MemberValue::TooMany => values.push(MemberValue::Other),
                value => values.push(value),
            }
        }
        Ok(MemberValue::List(values))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<MemberValue, E> {
        Ok(MemberValue::Null)
    }

    visit_scalars!(MemberValue,
        visit_bool: bool => MemberValue::Boolean,
        visit_i64: i64 => |value: i64| MemberValue::Integer(value.to_string()),
        visit_u64: u64 => |value: u64| MemberValue::Integer(value.to_string()),
        visit_f64: f64 => |_| MemberValue::Other,
        visit_str: &str => |value: &str| MemberValue::Text(value.to_owned())
    );
}

/// Reads an array, and passes each element to the reader before the next one is read.
struct ArraySeed<'a, 'r> {
    reader: &'a mut RowReader<'r>,
    /// Why the request is refused as a whole.
    fault: &'a Cell<Option<Refused>>,
}

impl<'de> DeserializeSeed<'de> for ArraySeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ArraySeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(row) = list.next_element()? {
            if let Err(fault) = self.reader.add(row) {
                self.fault.set(Some(fault));
                return Err(serde::de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::KEY_LIMIT;
    use crate::{limits::MIB, memory::Budget};

    /// The number of good rows, and the refused rows.
    type Summary = (usize, Vec<(usize, String, &'static str)>);

    const A: &str = "6606e08f10bcdd88297057a7";
    const B: &str = "66101437dc4594c2934da6da";

    fn parse(body: &str, format: RowFormat) -> Result<Summary, String> {
        let keys = [IndexKey::new(&"k".repeat(32)).unwrap()];
        let head = ChangeSetHead { key_checks: vec![keys[0].check().to_owned()], request: None };
        let mut memory = Reservation::verified(&Budget::new(64 * MIB, MIB));
        let parsed = parse_changes(body.as_bytes(), format, &head, (&keys, &Normaliser::native()), &mut memory)
            .map_err(|refused| format!("{} {}", refused.status(), refused.problem.debug("")))?;
        let (_, set) = ChangeSet::read(&parsed.message[1..]).unwrap();
        let refused = parsed.refused.into_iter().map(|row| (row.index, row.field, row.reason)).collect();
        Ok((set.rows().count(), refused))
    }

    fn array(body: &str) -> Result<Summary, String> {
        parse(body, RowFormat::Array)
    }

    /// The fault of one row with these members.
    fn fault(members: &str) -> Option<(String, &'static str)> {
        let (good, refused) = array(&format!("[{{{members}}}]")).unwrap();
        assert_eq!(good + refused.len(), 1);
        refused.into_iter().next().map(|(_, field, reason)| (field, reason))
    }

    #[test]
    fn accepts_every_column_as_a_text_or_a_list() {
        let row = format!(
            r#"{{"profile_id":" {A} ","email":["a@b.example","C@d.example"],"phone":79000000001,"email_sub":"x@y.example",
            "phone_sub":["+7 900 000 00 02",79000000003],"push_sub":"fcm:token:1","custom:Custom_ID":["003",4],
            "custom_sub:chat":"c1","email":"","phone":null,"deleted":false}}"#
        );
        assert_eq!(array(&format!("[{row}]")), Ok((1, vec![])));
        assert_eq!(array("[]"), Ok((0, vec![])));
        assert_eq!(fault(&format!(r#""Profile ID":"{A}","E-Mail":"a@b.example""#)), None);
        assert_eq!(fault(&format!(r#""Profile-ID":"{A}","EMAIL SUB":"a@b.example""#)), None);
        assert_eq!(fault(&format!(r#""profile_id":"{A}","deleted":"True""#)), None);
    }

    #[test]
    fn refuses_a_row_with_its_field_and_reason() {
        let id = format!(r#""profile_id":"{A}""#);
        let long = "x".repeat(KEY_LIMIT + 1);
        for (members, field, reason) in [
            (r#""email":"a@b.example""#.to_owned(), "profile_id", "missing_field"),
            (r#""profile_id":7"#.to_owned(), "profile_id", "wrong_type"),
            (r#""profile_id":"7""#.to_owned(), "profile_id", "malformed"),
            (format!("{id},{id}"), "profile_id", DUPLICATE),
            (format!(r#"{id},"mail":"x""#), "mail", UNKNOWN_FIELD),
            (format!(r#"{id},"custom":"x""#), "custom", UNKNOWN_FIELD),
            (format!(r#"{id},"email":7"#), "email", "wrong_type"),
            (format!(r#"{id},"email":[["a@b.example"]]"#), "email", "wrong_type"),
            (format!(r#"{id},"phone":7.5"#), "phone", "wrong_type"),
            (format!(r#"{id},"phone":"-""#), "phone", "malformed"),
            (format!(r#"{id},"push_sub":"token""#), "push_sub", "malformed"),
            (format!(r#"{id},"custom:x":"a\u0000b""#), "custom:x", "malformed"),
            (format!(r#"{id},"custom:x":"{long}""#), "custom:x", "too_long"),
            (format!(r#"{id},"deleted":"yes""#), "deleted", "wrong_type"),
            (format!(r#"{id},"deleted":true,"phone":"790""#), "deleted", DELETED_WITH_KEYS),
        ] {
            assert_eq!(fault(&members), Some((field.to_owned(), reason)), "{members}");
        }
        let keys: Vec<String> = (0..=CHANGED_KEYS_LIMIT).map(|key| key.to_string()).collect();
        assert_eq!(fault(&format!(r#"{id},"custom:x":[{}]"#, keys.join(","))), Some((String::new(), TOO_MANY_KEYS)));
        assert_eq!(array(r#"[1,"x",null,[],true]"#).unwrap().1.len(), 5);
    }

    #[test]
    fn refuses_a_second_row_of_a_profile_even_if_the_first_is_refused() {
        let rows = format!(
            r#"[{{"profile_id":"{A}"}},{{"profile_id":"{B}","x":1}},{{"profile_id":"{}"}},{{"profile_id":"{B}"}}]"#,
            A.to_uppercase()
        );
        let expected = vec![
            (1, "x".to_owned(), UNKNOWN_FIELD),
            (2, "profile_id".to_owned(), DUPLICATE),
            (3, "profile_id".to_owned(), DUPLICATE),
        ];
        assert_eq!(array(&rows), Ok((1, expected)));
    }

    #[test]
    fn keeps_neither_the_values_nor_the_members_of_a_row_that_has_too_many() {
        let row = |json: &str| serde_json::from_str::<Row>(json).unwrap();
        let values = |value: &str, count: usize| vec![value; count].join(",");
        let list = |value: &str| row(&format!(r#"{{"email":[{}]}}"#, values(value, 50_000)));
        assert!(matches!(list("0"), Row::TooLarge(_)));
        assert!(matches!(list("[0]"), Row::TooLarge(_)));
        for empty in ["null", r#""""#] {
            let Row::Object(members) = list(empty) else { panic!("{empty}") };
            assert!(matches!(&members[..], [(_, MemberValue::List(values))] if values.is_empty()), "{empty}");
        }
        assert!(matches!(row(&format!("{{{}}}", values(r#""a":null"#, 50_000))), Row::TooLarge(_)));
        let lists = values(&format!(r#""custom:x":[{}]"#, values("1", 500)), 50);
        assert!(matches!(row(&format!("{{{lists}}}")), Row::TooLarge(_)));
        let phones = format!(r#""phone":[{}]"#, values("7", 50_000));
        for large in [format!(r#""profile_id":"{A}",{phones}"#), format!(r#"{phones},"profile_id":"{A}""#)] {
            let rows = format!(r#"[{{{large}}},{{"profile_id":"{B}"}},{{"profile_id":"{A}"}}]"#);
            let refused = vec![(0, String::new(), TOO_MANY_KEYS), (2, "profile_id".to_owned(), DUPLICATE)];
            assert_eq!(array(&rows), Ok((1, refused)));
        }
    }

    #[test]
    fn reads_lines_and_names_the_line_that_is_invalid() {
        let lines = format!("\u{FEFF}{{\"profile_id\":\"{A}\"}}\r\n\n  \n{{\"profile_id\":\"{B}\"}}");
        assert_eq!(parse(&lines, RowFormat::Lines), Ok((2, vec![])));
        let error = parse("{}\n{\"a\":", RowFormat::Lines).unwrap_err();
        assert!(error.starts_with("400 line 2: invalid JSON"), "{error}");
        for body in ["", "{}", "[{}", "[{}]]", "[{}] x", "[{\"a\":\"\u{1}\"}]"] {
            let error = array(body).unwrap_err();
            assert!(error.starts_with("400 invalid JSON"), "{body}: {error}");
        }
    }

    #[test]
    fn refuses_too_many_rows_and_too_many_keys() {
        let rows = |count: usize| vec!["{}"; count].join("\n");
        assert_eq!(parse(&rows(CHANGES_ROWS_LIMIT), RowFormat::Lines).unwrap().1.len(), CHANGES_ROWS_LIMIT);
        assert_eq!(parse(&rows(CHANGES_ROWS_LIMIT + 1), RowFormat::Lines), Err("400 rows: more than 10000".into()));
        let keys: Vec<String> = (0..CHANGED_KEYS_LIMIT).map(|key| key.to_string()).collect();
        let row = |number: u64| format!(r#"{{"profile_id":"{number:024x}","custom:x":[{}]}}"#, keys.join(","));
        let lines: Vec<String> = (0..100).map(row).collect();
        assert_eq!(parse(&lines.join("\n"), RowFormat::Lines), Err("507 compact first".into()));
    }

    #[test]
    fn equal_keys_have_equal_bytes() {
        let keys = [IndexKey::new(&"k".repeat(32)).unwrap()];
        let head = ChangeSetHead { key_checks: vec![], request: None };
        let parse = |members: &str| {
            let mut memory = Reservation::verified(&Budget::new(64 * MIB, MIB));
            let body = format!(r#"[{{"profile_id":"{A}",{members}}}]"#);
            parse_changes(body.as_bytes(), RowFormat::Array, &head, (&keys, &Normaliser::native()), &mut memory)
                .unwrap()
                .message
        };
        let first = parse(r#""email":["a@b.example","c@d.example"],"phone":"79000000001""#);
        assert_eq!(parse(r#""phone":["79000000001","+79000000001"],"email":["c@d.example","A@b.example"]"#), first);
        assert_ne!(parse(r#""email_sub":["a@b.example","c@d.example"],"phone":"79000000001""#), first);
    }
}
