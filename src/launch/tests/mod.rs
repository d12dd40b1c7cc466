//! Launches from the body to the log, in a world of their own.

mod bucket;
mod completion;
mod decisions;
pub mod place;
mod properties;
mod seeded;
mod simulation;
mod staging;
mod vectors;
pub mod world;
