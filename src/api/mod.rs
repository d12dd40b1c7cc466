//! What the head of a request says: its path, and its headers as far as they matter.

pub mod download;
pub mod headers;
pub mod routes;
pub mod target;
