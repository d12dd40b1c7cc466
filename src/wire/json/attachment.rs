//! One entry of `attach`: `{"name": …, "data": …}`, in either order.

use super::Reading;
use crate::{
    limits::ATTACHMENT_NAME_LIMIT,
    wire::{Piece, ValueType, Sink},
};

/// The entry under way.
#[derive(Debug, Default)]
pub(super) struct Entry {
    member: Member,
    name_seen: bool,
    data_seen: bool,
    /// What is kept of the name: valid UTF-8, because runs end at its borders or are pushed to the end.
    name: Vec<u8>,
}

/// The member under way.
#[derive(Debug, Clone, Copy, Default)]
enum Member {
    #[default]
    Unknown,
    Name,
    Data,
    SecondData,
}

impl Entry {
    /// A member of that name begins. Only known names are handed in whole.
    pub fn member<S: Sink>(&mut self, name: Option<&[u8]>, sink: &mut S) {
        self.member = match name {
            Some(b"name") if std::mem::replace(&mut self.name_seen, true) => {
                sink.accept(Piece::AttachDuplicate("name"));
                Member::Unknown
            }
            Some(b"name") => Member::Name,
            Some(b"data") if std::mem::replace(&mut self.data_seen, true) => {
                sink.accept(Piece::AttachDuplicate("data"));
                Member::SecondData
            }
            Some(b"data") => Member::Data,
            _ => Member::Unknown,
        };
    }

    /// The member's value begins with `byte`: tells how it is to be read, if it is a string that matters.
    pub fn value<S: Sink>(&mut self, byte: u8, sink: &mut S) -> Reading {
        match (self.member, byte) {
            (Member::Name, b'"') => return Reading::AttachName,
            (Member::Data, b'"') => {
                sink.accept(Piece::AttachDataBegin);
                return Reading::AttachData { hand_on: true };
            }
            (Member::SecondData, b'"') => return Reading::AttachData { hand_on: false },
            (Member::Name | Member::Data, b'n') | (Member::SecondData | Member::Unknown, _) => {}
            (Member::Name, _) => sink.accept(Piece::AttachNameWrongType(ValueType::of_json(byte))),
            (Member::Data, _) => sink.accept(Piece::AttachDataWrongType(ValueType::of_json(byte))),
        }
        Reading::Nothing
    }

    /// Takes some of the name. No more is kept than can be handed on.
    pub fn push_name(&mut self, run: &[u8]) {
        let room = NAME_KEPT.saturating_sub(self.name.len());
        self.name.extend_from_slice(run.get(..room).unwrap_or(run));
    }

    /// The name has ended; `lone`: with half of a surrogate pair in it.
    pub fn end_name<S: Sink>(&mut self, lone: bool, sink: &mut S) {
        let name = std::mem::take(&mut self.name);
        // A name that was cut may end within a character.
        let name = name.utf8_chunks().next().map(|chunk| chunk.valid()).unwrap_or_default();
        let past = name.char_indices().map(|(at, character)| at + character.len_utf8());
        let cut = past.into_iter().find(|end| *end > ATTACHMENT_NAME_LIMIT).and_then(|end| name.get(..end));
        let name = Piece::AttachName(cut.unwrap_or(name));
        sink.accept(if lone { Piece::AttachNameWrongType(ValueType::LoneSurrogate) } else { name });
    }
}

/// Enough for a character that begins within the limit and ends past it.
const NAME_KEPT: usize = ATTACHMENT_NAME_LIMIT + 4;
