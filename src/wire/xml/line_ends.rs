//! The name of an attachment, as it is put together of what the lexer finds.

use crate::limits::ATTACHMENT_NAME_LIMIT;

/// See the module.
#[derive(Debug, Default)]
pub struct AttachmentName {
    bytes: Vec<u8>,
    /// Where a line feed would belong to the carriage return before it.
    behind_return: Option<u64>,
    /// It has become too long.
    full: bool,
}

impl AttachmentName {
    /// Takes bytes that stand at the offset `at`, or in a reference.
    pub fn push(&mut self, bytes: &[u8], at: Option<u64>) {
        let mut at = at;
        for byte in bytes {
            let starts = *byte & 0xC0 != 0x80;
            self.full |= starts && self.bytes.len() > ATTACHMENT_NAME_LIMIT;
            if self.full {
                return;
            }
            // However a line ended as sent, it ends in '\n'; but a reference stands for itself.
            let joined = *byte == b'\n' && at.is_some() && at == self.behind_return;
            let returned = *byte == b'\r' && at.is_some();
            at = at.map(|at| at.saturating_add(1));
            self.behind_return = if returned { at } else { None };
            if !joined {
                self.bytes.push(if returned { b'\n' } else { *byte });
            }
        }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }
}
