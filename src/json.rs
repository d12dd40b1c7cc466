//! Decodes JSON into structs and enums, with `serde_json`.
//!
//! `serde_json` also accepts an array of values for a struct. No JSON contains such arrays, and the code that decodes them takes 40 KB
//! of the Worker. [`Decoder`] requests an object for each struct, so that this code is not compiled.

use std::fmt;

use serde::{
    Deserialize,
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess,
        Visitor,
    },
};

/// Reads JSON.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(Decoder(&mut json))?;
    json.end()?;
    Ok(value)
}

/// Reads JSON. All JSON is read from texts, because a second source of bytes would add its own decoders to the Worker.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    from_str(std::str::from_utf8(bytes).map_err(serde_json::Error::custom)?)
}

/// Passes every call to the value that it contains, one of `serde_json` or of a type. The only difference: a struct is an object.
struct Decoder<T>(T);

macro_rules! deserialize {
    ($($method:ident($($name:ident: $type:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* Decoder(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Decoder<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Decoder(visitor))
    }

    deserialize! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_f32() deserialize_f64()
        deserialize_char() deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf()
        deserialize_option() deserialize_unit() deserialize_seq() deserialize_map() deserialize_identifier()
        deserialize_ignored_any()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }
}

macro_rules! visit {
    ($($method:ident($type:ty))*) => {
        $(fn $method<E: serde::de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Decoder<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_f64(f64) visit_str(&str) visit_borrowed_str(&'de str)
        visit_string(String)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Decoder(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Decoder(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Decoder(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Decoder(members))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Decoder(variant))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Decoder<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Decoder(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Decoder<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Decoder(seed))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Decoder<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Decoder(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Decoder(seed))
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Decoder<A> {
    type Error = A::Error;
    type Variant = Decoder<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(Decoder(seed))?;
        Ok((value, Decoder(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Decoder<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Decoder(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Decoder(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, A::Error> {
        self.0.newtype_variant_seed(ObjectSeed(visitor))
    }
}

/// Decodes an object with a visitor.
struct ObjectSeed<V>(V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for ObjectSeed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_map(Decoder(self.0))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::{from_slice, from_str};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        inner: Inner,
        list: Vec<Shape>,
        pair: (u8, Option<String>),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        number: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Unit,
        Newtype(Inner),
        Tuple(i64, bool),
        Struct { x: f64, inner: Inner },
    }

    fn value() -> Outer {
        let list = vec![
            Shape::Unit,
            Shape::Newtype(Inner { number: 1 }),
            Shape::Tuple(-1, true),
            Shape::Struct { x: 0.5, inner: Inner { number: 2 } },
        ];
        Outer { inner: Inner { number: u64::MAX }, list, pair: (3, Some("\u{e9}\"".to_owned())) }
    }

    #[test]
    fn reads_what_serde_json_writes() {
        let text = serde_json::to_string(&value()).unwrap();
        assert_eq!(from_str::<Outer>(&text).unwrap(), value());
        assert_eq!(from_slice::<Outer>(text.as_bytes()).unwrap(), value());
    }

    #[test]
    fn rejects_an_array_for_a_struct() {
        assert_eq!(serde_json::from_str::<Inner>("[1]").unwrap(), Inner { number: 1 });
        assert!(from_str::<Inner>("[1]").is_err());
        assert!(from_str::<Shape>(r#"{"Newtype":[1]}"#).is_err());
        assert!(from_str::<Shape>(r#"{"Struct":[0.5,{"number":1}]}"#).is_err());
    }

    #[test]
    fn rejects_text_after_the_value_and_bytes_that_are_not_utf_8() {
        assert!(from_str::<Inner>(r#"{"number":1} {}"#).is_err());
        assert!(from_slice::<String>(b"\"\xff\"").is_err());
    }
}
