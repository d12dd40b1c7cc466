//! Framing of XML.
