//! Request bodies: framing, decoding, and the types of decoded values.
//!
//! A *framer* ([`json::JsonFramer`], [`xml::XmlFramer`]) reads a body in chunks of any size. It checks that the whole body is
//! well-formed, recognises only the outer structure, and passes each [`Piece`] to a [`Sink`]: a root field, an item, or a run
//! of attachment data. It keeps only the piece that is incomplete at the end of a chunk, and reserves that memory with the
//! sink first. *Decoders* then read complete pieces.
//!
//! | module | purpose |
//! |---|---|
//! | [`json`], [`xml`] | the framer and the decoders of a format |
//! | `piece`, `value`, `format` | the types that both formats share |
//! | `buffer`, `capture`, `attachment_name`, `flat_item` | parts of both framers |
//! | [`scalar`] | reads a decoded value as an integer, a boolean or text |
//! | [`members`] | reads the members of a small JSON object, such as a definition |
//! | [`attachment_data`], [`base64`] | decode the `data` of attachments, in chunks |
//! | [`foreign`] | recognises bodies in other formats, for error messages |
//! | `testing` | a recording sink for tests and fuzz targets; not part of the Worker |

pub mod attachment_data;
mod attachment_name;
pub mod base64;
mod buffer;
mod capture;
mod flat_item;
pub mod foreign;
mod format;
pub mod json;
pub mod members;
mod piece;
pub mod scalar;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod value;
pub mod xml;

pub use format::{Format, is_utf8};
pub use piece::{FrameError, Piece, Sink};
pub use value::{InvalidItem, Item, ObjectText, Scalar, ValueType};
