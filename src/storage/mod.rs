//! The database of an object: a port to SQLite, and schemas with versions and migrations. Both kinds of objects use it: the
//! campaigns' and the databases'.

pub mod schema;
pub mod sql;
