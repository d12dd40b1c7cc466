//! A stored launch as a commit message, for a caller who repeats its request.

use crate::{
    campaign::{
        log::{state::LaunchLog, stored::StoredLaunch},
        protocol::{
            layout::{MessageLayout, MessageSection, PREFIX},
            message::MessageDigest,
        },
    },
    limits::CHUNK,
    storage::sql::{Sql, StorageError},
};

/// The message of a stored launch: head, recipients and outcomes.
#[derive(Debug)]
pub struct RepeatReply {
    launch: StoredLaunch,
    position: Position,
    digest: MessageDigest,
}

/// What the next piece contains.
#[derive(Debug, Clone, Copy)]
enum Position {
    Head,
    /// The sections from this offset on. Recipients and outcomes are adjacent.
    Sections(u64),
    Digest,
    Done,
}

impl RepeatReply {
    pub fn new(launch: StoredLaunch) -> Self {
        Self { launch, position: Position::Head, digest: MessageDigest::default() }
    }

    /// Bytes of the whole message.
    pub fn length(&self) -> u64 {
        self.layout().message()
    }

    fn layout(&self) -> MessageLayout {
        self.launch.layout.repeated()
    }

    pub(super) fn next_piece<S: Sql>(&mut self, log: &LaunchLog<S>) -> Result<Option<Vec<u8>>, StorageError> {
        let stored = self.launch.layout;
        let end = stored.range(MessageSection::Outcomes).end;
        let sections = |offset: u64| if offset < end { Position::Sections(offset) } else { Position::Digest };
        let (piece, next) = match self.position {
            Position::Head => {
                let mut piece = Vec::with_capacity(PREFIX);
                piece.extend_from_slice(&self.layout().to_bytes());
                piece.extend_from_slice(&log.head_bytes(&self.launch)?);
                (piece, sections(stored.range(MessageSection::Recipients).start))
            }
            Position::Sections(offset) => {
                let until = end.min(offset.saturating_add(CHUNK as u64));
                (log.payload(&self.launch, offset..until)?, sections(until))
            }
            Position::Digest => {
                self.position = Position::Done;
                return Ok(Some(self.digest.finish().to_vec()));
            }
            Position::Done => return Ok(None),
        };
        self.position = next;
        self.digest.update(&piece);
        Ok(Some(piece))
    }
}
