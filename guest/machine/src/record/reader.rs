//! Reads postcard (<https://postcard.jamesmunns.com/wire-format>) into whatever derives
//! `Deserialize`.
//!
//! The crate `postcard` reads it too, and a quarter of the component was then the way out of every
//! field of every record: drop what has been read, hand the error up. So this reader does not
//! stop at a fault. It notes the first one and goes on with zeros and empty lists until the value
//! is whole, and `open` throws that value away. [`Never`] tells the compiler that nothing on the
//! way can fail.

use alloc::borrow::ToOwned;
use core::fmt;

use serde::de::value::U32Deserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

/// Reads a value from here on, whatever is wrong with the bytes: [`Reader::verdict`] says it.
///
/// # Panics
///
/// If `T` has a `Deserialize` of its own that refuses values, or one that wants other things than
/// the machine stores: signed numbers, fractions, characters. Derived ones refuse nothing that this
/// reader offers. (And one that reads a struct or a tuple until it ends never returns: a derived
/// one takes as many parts as there are.)
pub(super) fn read<T: DeserializeOwned>(reader: &mut Reader<'_>) -> T {
    let Ok(value) = T::deserialize(reader);
    value
}

pub(super) struct Reader<'de> {
    rest: &'de [u8],
    fault: Option<&'static str>,
}

/// The error that does not happen.
#[derive(Debug)]
pub(super) enum Never {}

impl<'de> Reader<'de> {
    pub(super) const fn new(bytes: &'de [u8]) -> Self {
        Self {
            rest: bytes,
            fault: None,
        }
    }

    /// What is wrong with the bytes, for people. Nothing, if the value took up all of them.
    pub(super) fn verdict(&self) -> Option<&'static str> {
        self.fault
            .or((!self.rest.is_empty()).then_some("bytes are left over"))
    }

    /// From here on there are only zeros.
    #[cold]
    fn fail(&mut self, fault: &'static str) {
        self.fault.get_or_insert(fault);
        self.rest = &[];
    }

    #[inline(never)]
    fn byte(&mut self) -> u8 {
        match self.rest {
            [byte, rest @ ..] => {
                self.rest = rest;
                *byte
            }
            [] => {
                self.fail("it ends early");
                0
            }
        }
    }

    /// A number of at most `bits` bits, seven in a byte, the lowest first.
    #[inline(never)]
    fn number(&mut self, bits: u32) -> u64 {
        let (mut number, mut shift) = (0_u64, 0);
        while shift < bits {
            let byte = self.byte();
            let low = u64::from(byte & 0x7f);
            if bits - shift < 7 && low >> (bits - shift) != 0 {
                break;
            }
            number |= low << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
        self.fail("a number is too large");
        0
    }

    /// A number of things, each of which takes at least a byte.
    fn count(&mut self) -> usize {
        match usize::try_from(self.number(64)) {
            Ok(count) if count <= self.rest.len() => count,
            Ok(_) | Err(_) => {
                self.fail("it ends early");
                0
            }
        }
    }

    #[inline(never)]
    fn slice(&mut self) -> &'de [u8] {
        let count = self.count();
        let (slice, rest) = self.rest.split_at(count);
        self.rest = rest;
        slice
    }

    #[inline(never)]
    fn text(&mut self) -> &'de str {
        core::str::from_utf8(self.slice()).unwrap_or_else(|_| {
            self.fail("a text is not UTF-8");
            ""
        })
    }

    /// One of the first `choices` numbers.
    #[inline(never)]
    fn choice(&mut self, choices: usize) -> u32 {
        let number = self.number(32) as u32;
        if number as usize >= choices {
            self.fail("a choice is none that this version knows");
            return 0;
        }
        number
    }
}

impl de::Error for Never {
    fn custom<T: fmt::Display>(_: T) -> Self {
        not_stored()
    }
}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl core::error::Error for Never {}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Never;

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_bool(self.choice(2) == 1)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_u8(self.byte())
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_u16(self.number(16) as u16)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_u32(self.number(32) as u32)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_u64(self.number(64))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_borrowed_str(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_string(self.text().to_owned())
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_borrowed_bytes(self.slice())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_byte_buf(self.slice().to_owned())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        match self.choice(2) {
            1 => visitor.visit_some(self),
            _ => visitor.visit_none(),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Never> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Never> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        let left = self.count();
        visitor.visit_seq(Elements { reader: self, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_seq(Fields(self))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Never> {
        visitor.visit_seq(Fields(self))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Never> {
        let left = self.count();
        visitor.visit_map(Elements { reader: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Never> {
        visitor.visit_seq(Fields(self))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Never> {
        let number = self.choice(variants.len());
        visitor.visit_enum(Variant {
            reader: self,
            number,
        })
    }

    /// Nothing says what comes next.
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Never> {
        not_stored()
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 f32 f64 char identifier ignored_any
    }
}

/// See [`read`], "Panics".
fn not_stored() -> ! {
    unreachable!("a type is read from a record that no record holds")
}

/// What a struct or a tuple consists of. Nobody counts: who reads one asks for each part once, and
/// without an end that could come too early there is no way out to write for every field.
struct Fields<'a, 'de>(&'a mut Reader<'de>);

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = Never;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Never> {
        seed.deserialize(&mut *self.0).map(Some)
    }
}

/// What a list consists of.
struct Elements<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
}

impl Elements<'_, '_> {
    const fn next(&mut self) -> bool {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Never;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Never> {
        match self.next() {
            true => seed.deserialize(&mut *self.reader).map(Some),
            false => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = Never;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Never> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Never> {
        seed.deserialize(&mut *self.reader)
    }
}

struct Variant<'a, 'de> {
    reader: &'a mut Reader<'de>,
    number: u32,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Never;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Never> {
        let number: U32Deserializer<Never> = self.number.into_deserializer();
        Ok((seed.deserialize(number)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Never;

    fn unit_variant(self) -> Result<(), Never> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Never> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_seq(Fields(self.reader))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Never> {
        visitor.visit_seq(Fields(self.reader))
    }
}
