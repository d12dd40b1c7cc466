//! Why an import fails, or a row is refused.

use std::{borrow::Cow, io, path::PathBuf};

use crate::{
    limits::{BUCKET_LIMIT, FIELDS_LIMIT},
    profiles::key::Class,
};

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("cannot read the file")]
    Read(#[from] io::Error),
    #[error("the file is empty")]
    Empty,
    #[error("header: {0}")]
    Header(Cow<'static, str>),
    #[error("the file needs more than {FIELDS_LIMIT} indexes; remove custom fields or channels")]
    TooManyFields,
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
