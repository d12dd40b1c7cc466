//! Whole launches, from the body to the log, against the fakes of a [`world`].

mod admission;
mod bucket;
pub mod call;
mod causes;
mod completion;
mod counting;
mod decisions;
mod holding;
mod lenient;
mod live;
mod memory;
mod operator;
mod ports;
mod properties;
mod reading;
mod room;
mod simulation;
mod staging;
mod stale;
mod vectors;
pub mod world;
