//! Reads a [`Scalar`] as the type of its field: the same for JSON and XML, for launches and definitions.
//!
//! The error says what the value must be, and what was received if its type is wrong. The caller adds the name of the field.

use super::{Scalar, ValueType};
use std::{borrow::Cow, ops::RangeInclusive};

/// The text of an error after the name of the field, such as `must be a string, not a JSON array`.
pub type MustBe = Cow<'static, str>;

/// Reads an integer within `range`: a JSON number without an exponent whose fraction, if any, is zeros; or decimal text, with
/// ASCII white space around it. `None` if the field is absent.
pub fn integer(value: &Scalar<'_>, range: RangeInclusive<u64>) -> Result<Option<u64>, MustBe> {
    let text = match value {
        Scalar::Absent => return Ok(None),
        Scalar::Integer(text) | Scalar::ZeroFraction(text) => text,
        Scalar::Text(text) => text.trim_ascii(),
        Scalar::Boolean(_) | Scalar::WrongType(_) => "",
    };
    decimal(text).filter(|number| range.contains(number)).map(Some).ok_or_else(|| {
        let (from, to) = (range.start(), range.end());
        let expected = format!("an integer from {from} to {to}");
        let right_type = matches!(value, Scalar::Text(_) | Scalar::Integer(_) | Scalar::ZeroFraction(_));
        must_be(&expected, if right_type { None } else { received(value) })
    })
}

/// Reads a boolean: JSON `true` or `false`, the numbers 1 and 0, or the texts `true`, `false` (in any case), `1` and `0`, with
/// ASCII white space around them. `None` if the field is absent.
pub fn boolean(value: &Scalar<'_>) -> Result<Option<bool>, MustBe> {
    let boolean = match value {
        Scalar::Absent => return Ok(None),
        Scalar::Boolean(value) => Some(*value),
        Scalar::Text(text) => match text.trim_ascii() {
            "1" => Some(true),
            "0" => Some(false),
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        },
        Scalar::Integer(text) | Scalar::ZeroFraction(text) => match decimal(text) {
            Some(1) => Some(true),
            Some(0) => Some(false),
            _ => None,
        },
        Scalar::WrongType(_) => None,
    };
    boolean.map(Some).ok_or_else(|| {
        let right_type = !matches!(value, Scalar::WrongType(_));
        must_be("true or false", if right_type { None } else { received(value) })
    })
}

/// Reads a string, unchanged. `None` if the field is absent.
pub fn text<'v>(value: &'v Scalar<'_>) -> Result<Option<&'v str>, MustBe> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Text(text) => Ok(Some(text)),
        _ => Err(must_be("a string", received(value))),
    }
}

/// Returns a text that says what a value must be, and what was received if its type is wrong.
pub fn must_be(expected: &str, received: Option<ValueType>) -> MustBe {
    match received {
        Some(received) => format!("must be {expected}, not {received}").into(),
        None => format!("must be {expected}").into(),
    }
}

/// Returns the type of a value for an error. `None`: the value is absent, or it is text, which an error does not name.
fn received(value: &Scalar<'_>) -> Option<ValueType> {
    match value {
        Scalar::Absent | Scalar::Text(_) => None,
        Scalar::Integer(_) | Scalar::ZeroFraction(_) => Some(ValueType::Number),
        Scalar::Boolean(_) => Some(ValueType::Boolean),
        Scalar::WrongType(received) => Some(*received),
    }
}

/// Reads `[0-9]+`, and `-0`, which is 0. `None` for a number that does not fit 64 bits.
fn decimal(text: &str) -> Option<u64> {
    let digits = match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| byte == b'0') => digits,
        Some(_) => return None,
        None => text,
    };
    // `parse` accepts a plus sign, JSON and decimal text do not.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::SAFE_INTEGER_MAX;

    fn of_text(text: &str) -> Scalar<'_> {
        Scalar::Text(Cow::Borrowed(text))
    }

    const WRONG: [(Scalar<'static>, &str); 4] = [
        (Scalar::WrongType(ValueType::Object), "a JSON object"),
        (Scalar::WrongType(ValueType::Array), "a JSON array"),
        (Scalar::WrongType(ValueType::Elements), "XML elements"),
        (Scalar::WrongType(ValueType::OtherNumber), "a JSON number with a fraction or an exponent"),
    ];

    #[test]
    fn reads_an_integer_within_its_range() {
        let range = 1..=SAFE_INTEGER_MAX;
        assert_eq!(integer(&Scalar::Absent, range.clone()), Ok(None));
        for (text, expected) in [("1", 1), ("0085", 85), ("9007199254740991", SAFE_INTEGER_MAX)] {
            for value in [of_text(text), Scalar::Integer(text), Scalar::ZeroFraction(text)] {
                assert_eq!(integer(&value, range.clone()), Ok(Some(expected)), "{value:?}");
            }
        }
        assert_eq!(integer(&of_text("\n 85\t"), range.clone()), Ok(Some(85)));
        for value in [Scalar::Integer("-0"), Scalar::ZeroFraction("-0"), Scalar::ZeroFraction("0"), of_text("-0")] {
            assert_eq!(integer(&value, 0..=1), Ok(Some(0)));
        }
        assert_eq!(integer(&of_text("18446744073709551615"), 0..=u64::MAX), Ok(Some(u64::MAX)));
    }

    #[test]
    fn rejects_what_is_not_an_integer_within_the_range() {
        let error = |value: &Scalar<'_>| integer(value, 1..=SAFE_INTEGER_MAX).unwrap_err();
        let expected = "must be an integer from 1 to 9007199254740991";
        for text in ["", " ", "0", "-1", "+1", "1.0", "1e3", "0x1", "1 2", "9007199254740992", "99999999999999999999"] {
            assert_eq!(error(&of_text(text)), expected, "{text:?}");
        }
        for number in ["0", "-1", "9007199254740992", "99999999999999999999"] {
            assert_eq!(error(&Scalar::Integer(number)), expected, "{number}");
            assert_eq!(error(&Scalar::ZeroFraction(number)), expected, "{number}.0");
        }
        assert_eq!(error(&Scalar::Boolean(true)), format!("{expected}, not a JSON boolean"));
        for (value, name) in WRONG {
            assert_eq!(error(&value), format!("{expected}, not {name}"));
        }
    }

    #[test]
    fn reads_a_boolean_in_every_spelling() {
        assert_eq!(boolean(&Scalar::Absent), Ok(None));
        for (yes, no) in [
            (Scalar::Boolean(true), Scalar::Boolean(false)),
            (Scalar::Integer("1"), Scalar::Integer("0")),
            (Scalar::ZeroFraction("1"), Scalar::ZeroFraction("0")),
            (of_text("1"), of_text("0")),
            (of_text("true"), of_text("false")),
            (of_text("True"), of_text("False")),
            (of_text("TRUE"), of_text("FALSE")),
            (of_text("tRuE"), of_text("fAlSe")),
            (of_text(" true\n"), of_text("\t0 ")),
        ] {
            assert_eq!((boolean(&yes), boolean(&no)), (Ok(Some(true)), Ok(Some(false))), "{yes:?} {no:?}");
        }
        assert_eq!(boolean(&Scalar::Integer("-0")), Ok(Some(false)));
    }

    #[test]
    fn rejects_what_is_not_a_boolean() {
        for wrong in ["", "yes", "no", "on", "t", "2", "01", "1.0", "truefalse", "true false", "\u{a0}true"] {
            assert_eq!(boolean(&of_text(wrong)).unwrap_err(), "must be true or false", "{wrong:?}");
        }
        for wrong in ["2", "-1", "10", "99999999999999999999"] {
            assert_eq!(boolean(&Scalar::Integer(wrong)).unwrap_err(), "must be true or false", "{wrong}");
            assert_eq!(boolean(&Scalar::ZeroFraction(wrong)).unwrap_err(), "must be true or false", "{wrong}.0");
        }
        for (value, name) in WRONG {
            assert_eq!(boolean(&value).unwrap_err(), format!("must be true or false, not {name}"));
        }
    }

    #[test]
    fn reads_a_string_unchanged_and_nothing_else() {
        assert_eq!(text(&Scalar::Absent), Ok(None));
        assert_eq!(text(&of_text(" a ")), Ok(Some(" a ")));
        assert_eq!(text(&Scalar::Integer("1")).unwrap_err(), "must be a string, not a JSON number");
        assert_eq!(text(&Scalar::ZeroFraction("1")).unwrap_err(), "must be a string, not a JSON number");
        assert_eq!(text(&Scalar::Boolean(true)).unwrap_err(), "must be a string, not a JSON boolean");
        for (value, name) in WRONG {
            assert_eq!(text(&value).unwrap_err(), format!("must be a string, not {name}"));
        }
    }
}
