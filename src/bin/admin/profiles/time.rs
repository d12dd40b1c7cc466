//! Reads times in RFC 3339.

/// Reads a time such as `2026-11-23T18:00:00Z` or `2026-11-23T19:00:00.500+01:00`, and returns milliseconds since 1970. Seconds
/// and their fraction may be absent.
pub fn parse_time(text: &str) -> Result<u64, String> {
    parse(text.trim()).ok_or_else(|| "not a time in RFC 3339, such as 2026-11-23T18:00:00Z".to_owned())
}

fn parse(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = rest.split_at_checked(zone_at)?;
    let mut date = date.split('-');
    let (year, month, day) = (digits(date.next()?, 4)?, digits(date.next()?, 2)?, digits(date.next()?, 2)?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.split(':');
    let (hour, minute) = (digits(time.next()?, 2)?, digits(time.next()?, 2)?);
    let second = time.next().map_or(Some(0), |second| digits(second, 2))?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let is_date = (1..=12).contains(&month) && (1..=days).contains(&day) && date.next().is_none();
    let is_time = hour < 24 && minute < 60 && second < 60 && time.next().is_none();
    if !is_date || !is_time {
        return None;
    }
    let milliseconds = digits(&format!("{fraction:0<3}").chars().take(3).collect::<String>(), 3)?;
    let seconds = (days_since_1970(year, month, day) * 24 + hour) * 3600 + minute * 60 + second - offset(zone)?;
    u64::try_from(seconds * 1000 + milliseconds).ok()
}

/// Returns the offset of a zone from UTC in seconds.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(text: &str, length: usize) -> Option<i64> {
    let is_valid = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_valid)
}

/// Days from 1970-01-01. Internally a year begins in March, so that the leap day is its last day.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use trigger_launch::text::rfc3339;

    use super::*;

    #[test]
    fn reads_what_the_api_writes() {
        for time in [0, 951_782_399_999, 951_782_400_000, 1_709_251_199_001, 1_795_456_800_000, 4_107_542_400_000] {
            assert_eq!(parse_time(&rfc3339(time)), Ok(time));
        }
    }

    #[test]
    fn reads_offsets_and_short_times() {
        for text in
            ["2026-11-23T19:00:00+01:00", "2026-11-23T18:00Z", "2026-11-23 12:30:00.000-05:30", "2026-11-23t18:00:00z"]
        {
            assert_eq!(parse_time(text), Ok(1_795_456_800_000), "{text}");
        }
    }

    #[test]
    fn rejects_other_texts() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T18:00:00",
            "2026-02-29T00:00Z",
            "2026-13-01T00:00Z",
            "2026-1-01T00:00Z",
            "2026-11-23T24:00Z",
            "2026-11-23T18:00:00+1:00",
            "1969-12-31T23:59Z",
            "now",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
