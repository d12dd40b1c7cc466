//! Why an import fails, or a row is refused.

use std::{borrow::Cow, io, path::PathBuf};

use crate::{
    limits::BUCKET_LIMIT,
    profiles::{key::Class, manifest::TooManyFields},
};

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("cannot read the file")]
    Read(#[from] io::Error),
    #[error("the file is empty")]
    Empty,
    /// Contains the type of the file, and how to proceed.
    #[error("the file is {0}")]
    FileType(&'static str),
    #[error("header: {0}")]
    Header(Cow<'static, str>),
    #[error("line {line}: {names}; use --map \"{example}\" if that is meant, or --ignore-unknown")]
    UnknownColumns { line: u64, names: String, example: String },
    #[error("--map: the file has no column \"{0}\"")]
    UnusedAlias(String),
    #[error("line {line}: column {column} has values but no name; name the column, or use --ignore-unknown")]
    UnnamedColumn { line: u64, column: usize },
    /// The line is the one on which the quote opens.
    #[error("line {line}: {error}")]
    Quote { line: u64, error: QuoteError },
    #[error("line {line}: {reason}")]
    Array { line: u64, reason: &'static str },
    #[error("the file has too many custom fields or channels; remove some")]
    TooManyFields(#[from] TooManyFields),
    #[error("too many keys of the class {}: {keys}; import fewer profiles into this database", class.as_str())]
    TooManyKeys { class: Class, keys: u64 },
    #[error(
        "a bucket of the class {} exceeds {BUCKET_LIMIT} bytes; import fewer profiles into this database",
        .0.as_str()
    )]
    BucketTooLarge(Class),
    #[error("cannot use temporary files in {folder} (set TMPDIR to a folder with free space)", folder = folder.display())]
    TemporaryFile { folder: PathBuf, source: io::Error },
}

/// What is wrong with a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    #[error("a quote is opened and never closed")]
    NotClosed,
    #[error("white space before the quote at the start of a cell; remove the white space")]
    AfterSpace,
    #[error("text after the closing quote of a cell; write a quote inside a quoted cell twice")]
    TextAfter,
    #[error("a quoted cell contains whole rows; close the quote where the cell ends")]
    ContainsRows,
}

/// Why a row is not imported.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The row is refused, and the import continues.
    #[error("{0}")]
    Refused(Cow<'static, str>),
    /// The import fails.
    #[error(transparent)]
    Import(#[from] ImportError),
}

impl RowError {
    pub fn refused(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(reason.into())
    }

    /// Converts the error of a header. An import fails if its header is refused.
    pub fn in_header(self) -> ImportError {
        match self {
            Self::Refused(reason) => ImportError::Header(reason),
            Self::Import(error) => error,
        }
    }
}

impl From<io::Error> for RowError {
    fn from(error: io::Error) -> Self {
        Self::Import(error.into())
    }
}
