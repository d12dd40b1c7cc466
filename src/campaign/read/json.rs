//! Parts of JSON that several replies write.

/// How much of a list has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListProgress {
    NotStarted,
    Started,
    Done,
}

/// Writes a number or `null`.
pub fn number_or_null(number: Option<u64>) -> String {
    number.map_or_else(|| "null".to_owned(), |number| number.to_string())
}
