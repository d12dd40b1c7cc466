//! The `name` of an attachment, collected from its runs. It needs no reservation, because its length is limited.

use crate::limits::ATTACHMENT_NAME_LIMIT;

/// Enough for a character that begins within the limit and ends beyond it.
const KEPT: usize = ATTACHMENT_NAME_LIMIT + 4;

#[derive(Debug, Default)]
pub struct AttachmentName {
    bytes: Vec<u8>,
}

impl AttachmentName {
    pub fn push(&mut self, run: &[u8]) {
        let room = KEPT.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(run.get(..room).unwrap_or(run));
    }

    /// Whether the name is longer than the limit, so that further runs do not change it.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= KEPT
    }

    /// Returns the name, cut after the first character beyond the limit. The cut tells the sink that the name is too long.
    pub fn text(&self) -> &str {
        let text = self.bytes.utf8_chunks().next().map(|chunk| chunk.valid()).unwrap_or_default();
        text.get(..text.ceil_char_boundary(ATTACHMENT_NAME_LIMIT + 1)).unwrap_or(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_a_long_name_after_the_first_character_beyond_the_limit() {
        for (unit, bytes) in [("a", 1), ("é", 2), ("€", 3), ("\u{1F600}", 4)] {
            for before in ["", "a", "aa", "aaa"] {
                let whole = before.to_owned() + &unit.repeat(ATTACHMENT_NAME_LIMIT + 1);
                for run in [1, 7, whole.len()] {
                    let mut name = AttachmentName::default();
                    whole.as_bytes().chunks(run).for_each(|run| name.push(run));
                    let kept = name.text();
                    assert!(whole.starts_with(kept), "{unit} after {before}");
                    assert!(kept.len() > ATTACHMENT_NAME_LIMIT && kept.len() - bytes <= ATTACHMENT_NAME_LIMIT);
                }
            }
        }
    }

    #[test]
    fn keeps_a_name_within_the_limit() {
        for text in ["", "é.txt", &"a".repeat(ATTACHMENT_NAME_LIMIT)] {
            let mut name = AttachmentName::default();
            name.push(text.as_bytes());
            assert_eq!(name.text(), text);
        }
    }
}
