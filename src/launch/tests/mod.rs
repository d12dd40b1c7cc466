//! Launches from the body to the log, in a world of their own.

mod bucket;
mod staging;
pub mod world;
