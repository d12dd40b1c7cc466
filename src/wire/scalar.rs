//! Reading a [`Scalar`] as what its field is to be: the same for JSON and XML. Where a value is wrong, the
//! text says what it must be; the caller of these puts the field's name in front of it.

use super::Scalar;
use std::{borrow::Cow, ops::RangeInclusive};

/// What a field must be: the second half of a refusal, `trigger_id must be …`.
pub type MustBe = Cow<'static, str>;

/// An integer within `range`: a JSON number or decimal text. ASCII white space around the text is not meant
/// (documents that were laid out by a tool have it). `None` if the field is absent.
pub fn integer(value: &Scalar<'_>, range: RangeInclusive<u64>) -> Result<Option<u64>, MustBe> {
    let text = match value {
        Scalar::Absent => return Ok(None),
        Scalar::Integer(text) => text,
        Scalar::Text(text) => text.trim_ascii(),
        Scalar::Boolean(_) | Scalar::WrongType => "",
    };
    decimal(text).filter(|number| range.contains(number)).map(Some).ok_or_else(|| {
        let (from, to) = (range.start(), range.end());
        Cow::Owned(format!("must be an integer from {from} to {to}"))
    })
}

/// A boolean: JSON `true` or `false`, or the text `true`, `false`, `1` or `0` (ASCII white space around it is
/// not meant). The JSON numbers 1 and 0 are none. `None` if the field is absent.
pub fn boolean(value: &Scalar<'_>) -> Result<Option<bool>, MustBe> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Boolean(value) => Ok(Some(*value)),
        Scalar::Text(text) => match text.trim_ascii() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(NOT_BOOLEAN),
        },
        Scalar::Integer(_) | Scalar::WrongType => Err(NOT_BOOLEAN),
    }
}

/// A string, as it is. `None` if the field is absent.
pub fn text<'v>(value: &'v Scalar<'_>) -> Result<Option<&'v str>, MustBe> {
    match value {
        Scalar::Absent => Ok(None),
        Scalar::Text(text) => Ok(Some(text)),
        Scalar::Integer(_) | Scalar::Boolean(_) | Scalar::WrongType => Err(Cow::Borrowed("must be a string")),
    }
}

const NOT_BOOLEAN: MustBe = Cow::Borrowed("must be true or false");

/// `[0-9]+`, and `-0`, which is nought. A number past 64 bits is none.
fn decimal(text: &str) -> Option<u64> {
    let digits = match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| byte == b'0') => digits,
        Some(_) => return None,
        None => text,
    };
    // `parse` takes a plus sign, JSON and decimal text do not.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(text: &str) -> Scalar<'_> {
        Scalar::Text(Cow::Borrowed(text))
    }

    #[test]
    fn an_integer_is_a_number_or_decimal_text_within_its_range() {
        let range = 1..=9_007_199_254_740_991;
        assert_eq!(integer(&Scalar::Absent, range.clone()), Ok(None));
        for (text, expected) in [("1", 1), ("0085", 85), ("9007199254740991", 9_007_199_254_740_991)] {
            assert_eq!(integer(&of_text(text), range.clone()), Ok(Some(expected)));
            assert_eq!(integer(&Scalar::Integer(text), range.clone()), Ok(Some(expected)));
        }
        assert_eq!(integer(&of_text("\n 85\t"), range.clone()), Ok(Some(85)));
        for text in ["", " ", "0", "-1", "+1", "1.0", "1e3", "0x1", "1 2", "9007199254740992", "99999999999999999999"] {
            let wrong = integer(&of_text(text), range.clone()).unwrap_err();
            assert_eq!(wrong, "must be an integer from 1 to 9007199254740991", "{text:?}");
        }
        assert!(integer(&Scalar::Boolean(true), range.clone()).is_err());
        assert!(integer(&Scalar::WrongType, range).is_err());
        assert_eq!(integer(&Scalar::Integer("-0"), 0..=1), Ok(Some(0)));
        assert_eq!(integer(&of_text("18446744073709551615"), 0..=u64::MAX), Ok(Some(u64::MAX)));
    }

    #[test]
    fn a_boolean_is_json_or_text_but_no_number() {
        assert_eq!(boolean(&Scalar::Absent), Ok(None));
        assert_eq!(boolean(&Scalar::Boolean(false)), Ok(Some(false)));
        for (text, expected) in [("true", true), ("1", true), ("false", false), ("0", false), (" true\n", true)] {
            assert_eq!(boolean(&of_text(text)), Ok(Some(expected)));
        }
        for wrong in [of_text("TRUE"), of_text(""), of_text("yes"), Scalar::Integer("1"), Scalar::WrongType] {
            assert!(boolean(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_string_is_taken_as_it_is() {
        assert_eq!(text(&Scalar::Absent), Ok(None));
        assert_eq!(text(&of_text(" a ")), Ok(Some(" a ")));
        assert!(text(&Scalar::Integer("1")).is_err());
        assert!(text(&Scalar::Boolean(true)).is_err());
    }
}
