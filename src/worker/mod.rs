//! The shell.
pub mod campaigns;
