//! The query parameters of reads that return pages.

use std::ops::RangeInclusive;

use super::head::HttpHead;
use crate::{
    campaign::protocol::commands::{Command, NewestRequest, PageRequest},
    limits,
    problem::Problem,
    text::SAFE_INTEGER_MAX,
};

/// Parses the parameters of a list of launches: with `order=desc`, `before` replaces `after`.
pub fn of_launches(head: &HttpHead<'_>) -> Result<Command, Problem> {
    let wrong = |what: &str| Err(Problem::BadField(what.to_owned()));
    let (after, before) = (head.parameter("after"), head.parameter("before"));
    match head.parameter("order").map(str::trim_ascii) {
        None | Some("asc") if before.is_some() => wrong("before: needs order=desc"),
        None | Some("asc") => of_campaigns(head).map(Command::Launches),
        Some("desc") if after.is_some() => wrong("after: not allowed with order=desc; send before"),
        Some("desc") => {
            let page = parse(None, head.parameter("limit"), limits::LAUNCHES_PAGE_MAX, limits::LAUNCHES_PAGE_DEFAULT)?;
            let before = before.map(|text| integer("before", text, 0..=SAFE_INTEGER_MAX)).transpose()?;
            Ok(Command::NewestLaunches(NewestRequest { before, limit: page.limit }))
        }
        Some(_) => wrong("order: must be asc or desc"),
    }
}

/// Parses the parameters of a list of campaigns.
pub fn of_campaigns(head: &HttpHead<'_>) -> Result<PageRequest, Problem> {
    parse(head.parameter("after"), head.parameter("limit"), limits::LAUNCHES_PAGE_MAX, limits::LAUNCHES_PAGE_DEFAULT)
}

/// Parses the parameters of a list of recipients.
pub fn of_recipients(head: &HttpHead<'_>) -> Result<PageRequest, Problem> {
    let (after, limit) = (head.parameter("after"), head.parameter("limit"));
    parse(after, limit, limits::RECIPIENTS_PAGE_MAX, limits::RECIPIENTS_PAGE_DEFAULT)
}

/// Parses the number of attempts of a delivery.
pub fn of_attempts(head: &HttpHead<'_>) -> Result<u64, Problem> {
    let max = limits::DELIVERY_ATTEMPTS_KEPT as u64;
    head.parameter("limit").map_or(Ok(max), |text| integer("limit", text, 1..=max))
}

fn parse(after: Option<&str>, limit: Option<&str>, max: u64, default: u64) -> Result<PageRequest, Problem> {
    let after = after.map(|text| integer("after", text, 0..=SAFE_INTEGER_MAX)).transpose()?;
    let limit = limit.map(|text| integer("limit", text, 1..=max)).transpose()?;
    Ok(PageRequest { after, limit: limit.unwrap_or(default) })
}

/// Parses a query parameter that is a decimal integer in `range`.
fn integer(name: &str, text: &str, range: RangeInclusive<u64>) -> Result<u64, Problem> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| is_decimal && range.contains(value));
    value.ok_or_else(|| Problem::BadField(format!("{name}: must be {} to {}", range.start(), range.end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_a_parameter_outside_of_its_range_with_its_name_and_range() {
        let launches = |after, limit| parse(after, limit, limits::LAUNCHES_PAGE_MAX, limits::LAUNCHES_PAGE_DEFAULT);
        assert_eq!(launches(None, None), Ok(PageRequest { after: None, limit: 100 }));
        assert_eq!(launches(Some("0"), Some("1000")), Ok(PageRequest { after: Some(0), limit: 1000 }));
        let refused = |what: &str| Err(Problem::BadField(what.to_owned()));
        for limit in ["0", "1001", "", "+5", "-1", "1.0", "٣", "99999999999999999999"] {
            assert_eq!(launches(None, Some(limit)), refused("limit: must be 1 to 1000"), "{limit}");
        }
        for after in ["", "-1", "9007199254740992", "x"] {
            assert_eq!(launches(Some(after), None), refused("after: must be 0 to 9007199254740991"), "{after}");
        }
        let recipients = |limit| parse(None, limit, limits::RECIPIENTS_PAGE_MAX, limits::RECIPIENTS_PAGE_DEFAULT);
        assert_eq!(recipients(None), Ok(PageRequest { after: None, limit: 1000 }));
        assert_eq!(recipients(Some("50001")), refused("limit: must be 1 to 50000"));
    }
}
