//! Text formats that several modules share: hexadecimal, RFC 3339 times, safe integers, UTF-8 that arrives in chunks, errors
//! with their causes.

use std::error::Error;

/// The largest integer that every JSON reader represents exactly: 2^53 − 1, JavaScript's `Number.MAX_SAFE_INTEGER`.
pub const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// A UTF-8 byte order mark.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Returns `bytes` without a byte order mark at the start.
pub fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Appends `bytes` to `text` as lower-case hexadecimal digits.
pub fn push_hex(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        for digit in hex_digits(*byte) {
            text.push(char::from(digit));
        }
    }
}

/// Returns `bytes` as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    push_hex(bytes, &mut text);
    text
}

/// Returns the two lower-case hexadecimal digits of a byte.
pub fn hex_digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|nibble| nibble + if nibble < 10 { b'0' } else { b'a' - 10 })
}

/// Reads exactly `N` bytes from hexadecimal digits of either case.
pub fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    let mut all = 0;
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| HEX_VALUES.get(usize::from(digit)).copied().unwrap_or(NO_DIGIT));
        *byte = high << 4 | low;
        all |= high | low;
    }
    (all < NO_DIGIT).then_some(bytes)
}

/// The value of each byte as a hexadecimal digit. Digits of IDs are random, so a processor cannot predict branches.
const HEX_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut digits: &[u8] = b"0123456789abcdef0123456789ABCDEF";
    let mut value = 0;
    while let [digit, rest @ ..] = digits {
        let (_, from) = values.split_at_mut(*digit as usize);
        if let [slot, ..] = from {
            *slot = value % 16;
        }
        (digits, value) = (rest, value + 1);
    }
    values
};

/// The value of a byte that is no digit. It has a bit that no value of a digit has.
const NO_DIGIT: u8 = 16;

/// Returns `time` (milliseconds since 1970) in RFC 3339, in UTC: `2026-11-23T18:00:00.000Z`.
pub fn rfc3339(time: u64) -> String {
    rfc3339_in(i64::try_from(time).unwrap_or(i64::MAX), 0)
}

/// Returns `time` (milliseconds since 1970) in RFC 3339. `offset` is the time zone: minutes to add to UTC.
///
/// A calendar library would add to the size of the Worker, which every cold start compiles.
pub fn rfc3339_in(time: i64, offset: i32) -> String {
    let local = time.saturating_add(i64::from(offset).saturating_mul(60_000));
    let (days, millisecond) = (local.div_euclid(86_400_000), local.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let (second, millisecond) = (millisecond / 1000, millisecond % 1000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let zone = match offset {
        0 => "Z".to_owned(),
        _ => {
            let sign = if offset < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", offset.unsigned_abs() / 60, offset.unsigned_abs() % 60)
        }
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}{zone}")
}

/// Parses a time in RFC 3339. Returns milliseconds since 1970; further digits are cut off.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.split_at_checked(10)?;
    let (clock, rest) = time.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
        None => ("000", rest),
    };
    // A leap second is the first second of the next minute.
    let is_valid = (1..=12).contains(&month)
        && (1..=month_days(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && !fraction.is_empty();
    let offset = i64::from(parse_zone(zone).filter(|_| is_valid)?);
    let milliseconds = fraction.bytes().chain(*b"00").take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset;
    Some((minutes * 60 + second) * 1000 + milliseconds)
}

/// Parses the time zone of RFC 3339: `Z`, `+01:00` or `-05:30`. Returns the minutes to add to UTC. A space is read as `+`,
/// because an unescaped `+` in a query is decoded as a space.
pub fn parse_zone(text: &str) -> Option<i32> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match text.bytes().next()? {
        b'+' | b' ' => 1,
        b'-' => -1,
        _ => return None,
    };
    let [hours, minutes] = numbers(text.get(1..)?, ':', [2, 2])?;
    let is_valid = hours < 24 && minutes < 60;
    i32::try_from(sign * (hours * 60 + minutes)).ok().filter(|_| is_valid)
}

/// Parses decimal numbers of these lengths with a separator between them.
fn numbers<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part =
            parts.next().filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The inverse of [`date`].
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // From March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Returns year, month and day of a day counted from 1970-01-01. Internally a year begins in March, so that the leap day is
/// its last day, and an era has 400 years or 146,097 days.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468); // since 0000-03-01
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // from March
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

/// Returns the message of an error, followed by the messages of its causes: `message: cause: cause`.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Checks UTF-8 byte by byte (Unicode, table 3-7), so that a character may be split between chunks at any byte.
#[derive(Debug, Default)]
pub struct Utf8Checker {
    /// Bytes of the current character that are still missing. The next one must be in `low..=high`.
    missing: u8,
    low: u8,
    high: u8,
}

impl Utf8Checker {
    /// Whether all characters so far are complete.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Returns whether `byte` is valid at this position. The state does not change if it is not.
    #[inline(always)]
    pub fn push(&mut self, byte: u8) -> bool {
        if self.missing > 0 {
            if !(self.low..=self.high).contains(&byte) {
                return false;
            }
            *self = Self { missing: self.missing - 1, low: 0x80, high: 0xBF };
            return true;
        }
        let (missing, low, high) = match byte {
            ..0x80 => return true,
            0xC2..=0xDF => (1, 0x80, 0xBF),
            0xE0 => (2, 0xA0, 0xBF),
            0xED => (2, 0x80, 0x9F),
            0xE1..=0xEF => (2, 0x80, 0xBF),
            0xF0 => (3, 0x90, 0xBF),
            0xF1..=0xF3 => (3, 0x80, 0xBF),
            0xF4 => (3, 0x80, 0x8F),
            _ => return false,
        };
        *self = Self { missing, low, high };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_written_as_two_digits_at_every_position() {
        for length in 1..=9 {
            for byte in 0..=u8::MAX {
                let bytes: Vec<u8> = (0..length).map(|at| byte.wrapping_add(at)).collect();
                let expected: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(hex(&bytes), expected);
            }
        }
    }

    #[test]
    fn hexadecimal_round_trips_in_either_case() {
        let bytes = [0x00, 0x9a, 0xff];
        assert_eq!(hex(&bytes), "009aff");
        assert_eq!(parse_hex::<3>(b"009aFF"), Some(bytes));
        for invalid in ["009af", "009aff0", "009aff00", "009agg", ""] {
            assert_eq!(parse_hex::<3>(invalid.as_bytes()), None, "{invalid}");
        }
    }

    #[test]
    fn an_error_is_followed_by_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("{text}")]
        struct Failed {
            text: &'static str,
            source: Option<Box<Failed>>,
        }
        let cause = Failed { text: "the disk is full", source: None };
        let cause = Failed { text: "cannot write a.csv", source: Some(cause.into()) };
        assert_eq!(error_chain(&cause), "cannot write a.csv: the disk is full");
        let error = Failed { text: "cannot import", source: Some(cause.into()) };
        assert_eq!(error_chain(&error), "cannot import: cannot write a.csv: the disk is full");
    }

    #[test]
    fn formats_times_in_rfc_3339() {
        let known = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_795_456_800_000, "2026-11-23T18:00:00.000Z"),
            ((1 << 48) - 1, "10889-08-02T05:31:50.655Z"),
        ];
        for (time, text) in known {
            assert_eq!(rfc3339(time), text);
        }
        assert!(!rfc3339(u64::MAX).is_empty());
        for (time, offset, text) in [
            (0, 60, "1970-01-01T01:00:00.000+01:00"),
            (0, -330, "1969-12-31T18:30:00.000-05:30"),
            (-1, 0, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, 14 * 60, "2000-02-29T14:00:00.000+14:00"),
        ] {
            assert_eq!(rfc3339_in(time, offset), text);
            assert_eq!(parse_rfc3339(text), Some(time), "{text}");
        }
    }

    #[test]
    fn parses_every_time_that_it_formats() {
        for day in (-719_000_i64..2_900_000).step_by(97) {
            let time = day * 86_400_000 + day.rem_euclid(86_399_999);
            for offset in [0, 1439, -1439] {
                let text = rfc3339_in(time, offset);
                assert_eq!(parse_rfc3339(&text), Some(time), "{text}");
            }
        }
    }

    #[test]
    fn parses_times_in_every_form_of_rfc_3339() {
        for text in [
            "2026-11-23T18:00:00Z",
            "2026-11-23t18:00:00z",
            "2026-11-23 18:00:00Z",
            "2026-11-23T18:00:00.0Z",
            "2026-11-23T18:00:00.000999999Z",
            "2026-11-23T19:00:00+01:00",
            "2026-11-23T19:00:00 01:00",
            "2026-11-23T12:30:00-05:30",
            "2026-11-24T17:59:00+23:59",
            "2026-11-23T17:59:60Z",
        ] {
            assert_eq!(parse_rfc3339(text), Some(1_795_456_800_000), "{text}");
        }
        assert_eq!(parse_rfc3339("2026-11-23T18:00:00.25Z"), Some(1_795_456_800_250));
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T18:00Z",
            "2026-11-23T18:00:00",
            "2026-11-23T18:00:00.Z",
            "2026-11-23T18:00:00.5",
            "2026-11-23T18:00:00+1:00",
            "2026-11-23T18:00:00+01",
            "2026-11-23T18:00:00+24:00",
            "2026-11-23T18:00:00+01:60",
            "2026-11-23T24:00:00Z",
            "2026-11-23T18:60:00Z",
            "2026-11-23T18:00:61Z",
            "2026-02-29T18:00:00Z",
            "2026-04-31T18:00:00Z",
            "2026-13-01T18:00:00Z",
            "2026-00-01T18:00:00Z",
            "2026-01-00T18:00:00Z",
            "+026-01-01T18:00:00Z",
            "2026-11-23T18:00:00Z ",
            "1795456800000",
            "2026-11-2\u{e9}T18:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn rejects_what_the_standard_library_rejects() {
        let accepts = |bytes: &[u8]| {
            let mut checker = Utf8Checker::default();
            bytes.iter().all(|byte| checker.push(*byte)) && checker.is_complete()
        };
        for first in 0..=255 {
            for second in 0..=255 {
                for rest in [&[][..], &[0x80], &[0xBF, 0x80], &[0x80, 0x41]] {
                    let bytes = [&[first, second], rest].concat();
                    assert_eq!(accepts(&bytes), std::str::from_utf8(&bytes).is_ok(), "{bytes:x?}");
                }
            }
        }
    }
}
