//! Where the pages of a launch begin, and the messages that contain them.
//!
//! The boundaries follow from the stored launch alone, so a page has the same content in every attempt: a page ends before it
//! would have more than [`DELIVERY_PAGE_RECIPIENTS`] recipients, or more than [`DELIVERY_PAGE_BYTES`] bytes of recipients in JSON.

use crate::{
    campaign::{protocol::layout::PROFILE_ID, read::recipients::RecipientPosition},
    limits::{DELIVERY_PAGE_BYTES, DELIVERY_PAGE_RECIPIENTS},
};

/// Returns where the page after the one at `start` begins. `recipients` is the number of all recipients of the launch. `entry`
/// returns an entry of the items' data: its recipient, and the end of its text; `None` after the last one.
pub fn next_start<E>(
    start: RecipientPosition,
    recipients: u64,
    mut entry: impl FnMut(u64) -> Result<Option<(u64, u64)>, E>,
) -> Result<RecipientPosition, E> {
    let limit = start.recipient.saturating_add(DELIVERY_PAGE_RECIPIENTS).min(recipients);
    let mut next = start;
    let mut bytes = 0;
    let mut data = entry(next.entry)?;
    while next.recipient < limit {
        let own = data.filter(|(recipient, _)| *recipient == next.recipient);
        let length = own.map(|(_, end)| end.saturating_sub(next.text));
        bytes += json_bytes(next.recipient, length) + u64::from(next.recipient > start.recipient);
        if bytes > DELIVERY_PAGE_BYTES && next.recipient > start.recipient {
            break;
        }
        next.recipient += 1;
        if let Some((_, end)) = own {
            (next.entry, next.text) = (next.entry + 1, end);
            data = entry(next.entry)?;
        }
    }
    Ok(next)
}

/// Returns the number of pages of a launch whose recipients have no data of their own. A launch without recipients has one page.
pub fn count_without_data(recipients: u64) -> u64 {
    recipients.div_ceil(DELIVERY_PAGE_RECIPIENTS).max(1)
}

/// Returns the length of one recipient in JSON, with or without `custom_data` of `data` bytes.
fn json_bytes(index: u64, data: Option<u64>) -> u64 {
    const MEMBERS: usize = "{\"index\":,\"profile_id\":\"\"}".len() + 2 * PROFILE_ID;
    const DATA: usize = ",\"custom_data\":".len();
    let digits = u64::from(index.checked_ilog10().unwrap_or(0)) + 1;
    MEMBERS as u64 + digits + data.map_or(0, |length| DATA as u64 + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the first recipients of all pages, and the number of recipients.
    fn pages(recipients: u64, entries: &[(u64, u64)]) -> Vec<RecipientPosition> {
        let mut starts = vec![RecipientPosition::default()];
        loop {
            let last = *starts.last().unwrap();
            let entry = |number: u64| Ok::<_, ()>(entries.get(usize::try_from(number).unwrap()).copied());
            let next = next_start(last, recipients, entry).unwrap();
            starts.push(next);
            if next.recipient == recipients {
                return starts;
            }
        }
    }

    #[test]
    fn a_page_without_data_has_a_thousand_recipients() {
        for (recipients, expected) in
            [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (300_000, 300), (1_000_000, 1000)]
        {
            assert_eq!(count_without_data(recipients), expected, "{recipients}");
            assert_eq!(pages(recipients, &[]).len() as u64 - 1, expected, "{recipients}");
        }
    }

    #[test]
    fn a_page_has_at_most_a_mebibyte_unless_it_has_one_recipient() {
        let kib = 1024;
        // Recipients of 0, 64 KiB and 2 MiB of data.
        let entries = [(1, 64 * kib), (2, 64 * kib + 2048 * kib), (4, 64 * kib + 2048 * kib + 1024 * kib)];
        let starts: Vec<u64> = pages(6, &entries).iter().map(|start| start.recipient).collect();
        assert_eq!(starts, [0, 2, 3, 4, 5, 6]);
    }

    proptest! {
        #[test]
        fn pages_are_contiguous_and_within_both_limits(
            recipients in 0_u64..5_000,
            lengths in prop::collection::btree_map(0_u64..5_000, 1_u64..70_000, 0..200),
        ) {
            let mut end = 0;
            let entries: Vec<(u64, u64)> = lengths
                .range(..recipients)
                .map(|(recipient, length)| {
                    end += length;
                    (*recipient, end)
                })
                .collect();
            let length = |recipient| lengths.get(&recipient).copied();
            let starts = pages(recipients, &entries);
            for pair in starts.windows(2) {
                let page = pair[0].recipient..pair[1].recipient;
                let bytes = |range: std::ops::Range<u64>| -> u64 {
                    range.clone().map(|recipient| json_bytes(recipient, length(recipient)) + 1).sum::<u64>().saturating_sub(1)
                };
                prop_assert!(!page.is_empty() || recipients == 0);
                let count = page.end - page.start;
                prop_assert!(count <= DELIVERY_PAGE_RECIPIENTS);
                prop_assert!(bytes(page.clone()) <= DELIVERY_PAGE_BYTES || count == 1);
                // A page is not smaller than necessary.
                let is_full = count == DELIVERY_PAGE_RECIPIENTS || bytes(page.start..page.end + 1) > DELIVERY_PAGE_BYTES;
                prop_assert!(is_full || page.end == recipients);
                prop_assert_eq!(pair[1].entry, entries.iter().filter(|(recipient, _)| *recipient < page.end).count() as u64);
            }
        }
    }

    #[test]
    fn the_length_of_a_recipient_is_exact() {
        for (index, data) in [(0, None), (9, Some("{}")), (10, None), (999_999, Some("{\"a\":\"\u{fc}\"}"))] {
            let custom = data.map(|data| format!(",\"custom_data\":{data}")).unwrap_or_default();
            let json = format!("{{\"index\":{index},\"profile_id\":\"6606e08f10bcdd88297057a7\"{custom}}}");
            assert_eq!(json_bytes(index, data.map(|data| data.len() as u64)), json.len() as u64);
        }
    }
}
