//! The result of the fast path for items, in both formats.
//!
//! Most items have one or a few text members, such as `{"email":"somebody@example.com"}`, and lie in one chunk. The module
//! `flat` of each format recognises them in one pass, without the state of the framer. The framer reads every other item
//! from its beginning, so the fast path may give up at any point. It must never accept what the framer would reject.

use super::piece::{Piece, PlainMember};

/// An item at the start of some bytes.
pub struct FlatItem<'a> {
    pub raw: &'a [u8],
    pub plain: Option<PlainMember<'a>>,
    /// The bytes after the item.
    pub rest: &'a [u8],
}

impl<'a> FlatItem<'a> {
    pub fn piece(&self) -> Piece<'a> {
        Piece::Item { raw: self.raw, plain: self.plain }
    }
}
