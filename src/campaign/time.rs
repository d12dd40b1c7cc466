//! Times as callers read them.

/// RFC 3339 in UTC with milliseconds: `2026-11-23T18:00:00.000Z`. `time` is in milliseconds since 1970; the years
/// are those of the Gregorian calendar. (An algorithm of a few lines in place of a calendar library: the Worker
/// is downloaded and compiled at every cold start.)
pub fn rfc3339(time: u64) -> String {
    let (seconds, milliseconds) = (time / 1000, time % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Year, month and day of the day that many days after 1970-01-01. Years begin in March here, so that the leap day
/// is a year's last, and an era is 400 years: 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // from March
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}
