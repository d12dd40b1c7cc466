//! What a receiver's answer means, and when a page that was not delivered is sent again.

use crate::limits::{DELIVERY_RETRY_AFTER_MAX_MS, DELIVERY_RETRY_MS};

/// The answer to one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptAnswer {
    /// The receiver sent a status line.
    Status {
        status: u16,
        /// The header `Retry-After`, in milliseconds from now.
        retry_after_ms: Option<u64>,
    },
    /// There was no status line within the time limit, or the connection failed. Says why, without the address.
    None(String),
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// The page is sent again.
    Retry {
        retry_after_ms: Option<u64>,
    },
    /// The receiver is gone (410): nothing more is sent until an operator resumes the delivery.
    Stop,
}

impl AttemptAnswer {
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Status { status: 200..=299, .. } => Verdict::Delivered,
            Self::Status { status: 410, .. } => Verdict::Stop,
            Self::Status { retry_after_ms, .. } => Verdict::Retry { retry_after_ms: *retry_after_ms },
            Self::None(_) => Verdict::Retry { retry_after_ms: None },
        }
    }
}

/// Returns how long to wait after a page has failed `failures` times, in milliseconds. `None`: there is no further attempt.
/// `random` varies the time by up to 10 % in both directions.
pub fn retry_delay(failures: u8, retry_after_ms: Option<u64>, random: u16) -> Option<u64> {
    let delay = *DELIVERY_RETRY_MS.get(usize::from(failures).checked_sub(1)?)?;
    let spread = delay / 5 * u64::from(random) / u64::from(u16::MAX);
    let delay = (delay - delay / 10).saturating_add(spread);
    Some(delay.max(retry_after_ms.unwrap_or(0).min(DELIVERY_RETRY_AFTER_MAX_MS)))
}

/// Returns the longest time that [`retry_delay`] can return, in milliseconds. A page that is due later than that from now was
/// recorded before the clock was set back.
pub fn longest_delay(failures: u8) -> u64 {
    retry_delay(failures, Some(DELIVERY_RETRY_AFTER_MAX_MS), u16::MAX).unwrap_or(0)
}

/// Parses `Retry-After`: seconds, or a date. Returns milliseconds from `now`.
pub fn parse_retry_after(value: &str, now: u64) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(u64::try_from(since.as_millis()).ok()?.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> AttemptAnswer {
        AttemptAnswer::Status { status, retry_after_ms: Some(7) }
    }

    #[test]
    fn only_2xx_delivers_and_only_410_stops() {
        for code in 100..600 {
            let expected = match code {
                200..=299 => Verdict::Delivered,
                410 => Verdict::Stop,
                _ => Verdict::Retry { retry_after_ms: Some(7) },
            };
            assert_eq!(status(code).verdict(), expected, "{code}");
        }
        assert_eq!(AttemptAnswer::None("timeout".to_owned()).verdict(), Verdict::Retry { retry_after_ms: None });
    }

    #[test]
    fn retries_follow_the_documented_times_within_ten_percent() {
        let seconds = [5, 30, 120, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800];
        for (failures, seconds) in (1..).zip(seconds) {
            let delays = [0, 1, 30_000, u16::MAX].map(|random| retry_delay(failures, None, random).unwrap());
            assert!(delays.is_sorted(), "{failures}");
            assert_eq!((delays[0], delays[3]), (900 * seconds, 1_100 * seconds), "{failures}");
        }
        assert_eq!((retry_delay(0, None, 0), retry_delay(12, None, 0)), (None, None));
    }

    #[test]
    fn retry_after_delays_an_attempt_by_an_hour_at_most() {
        assert_eq!(retry_delay(1, Some(1_000), 0), Some(4_500), "the schedule is later");
        assert_eq!(retry_delay(1, Some(60_000), 0), Some(60_000));
        assert_eq!(retry_delay(1, Some(86_400_000), 0), Some(3_600_000));
        assert_eq!(longest_delay(1), 3_600_000);
        assert_eq!(longest_delay(11), 31_680_000);
    }

    #[test]
    fn reads_retry_after_as_seconds_or_as_a_date() {
        let now = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
        for (value, expected) in [
            ("120", Some(120_000)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_retry_after(value, now), expected, "{value}");
        }
    }
}
