//! Frames and decodes XML 1.0.
//!
//! | module | purpose |
//! |---|---|
//! | `framer` | passes chunks to the lexer, and its tokens to the outline |
//! | `lexer` | turns bytes into tokens, and checks that they are well-formed |
//! | `outline` | knows the structure of a request: which element is a field, an item, an attachment |
//! | `input` | the chunk being framed; offsets and errors |
//! | `tag`, `reference`, `characters` | complete tags, references (`&…;`), the characters that XML allows |
//! | `line_ends` | line ends in names of attachments |
//! | `flat` | the fast path for items |
//! | `markup` | finds the elements in a complete piece |
//! | `string`, `item`, `object` | decode complete pieces to text, items and JSON |
//!
//! A body must be well-formed XML 1.0 in UTF-8 (also named `utf8`, `us-ascii` or `ascii`) without a DTD. Namespaces are ignored:
//! `a:b` is a name, and the prefix of `xsi:nil` need not be declared.
//!
//! *Invariant:* pieces and errors depend on the bytes alone, not on where chunks end.

mod characters;
mod flat;
mod framer;
mod input;
mod item;
mod lexer;
mod line_ends;
mod markup;
mod object;
mod outline;
mod reference;
mod string;
mod tag;
#[cfg(test)]
mod tests;

pub use framer::XmlFramer;
pub use item::item;
pub use object::object;
pub use string::{text, text_as_is};
