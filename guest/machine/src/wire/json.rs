//! JSON (RFC 8259), strictly: one object, no duplicate members, bounded depth, numbers that are
//! unsigned integers.

#[cfg(test)]
mod oracle;
mod reader;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::map::SmallMap;
use crate::types::{Malformed, Quoted, text_of};

/// A JSON value as far as the protocol uses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`, `true`, `false`, and numbers that are no unsigned integer: nothing here reads them.
    Other,
    /// An unsigned integer.
    Number(u64),
    /// Text.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// An object.
    Object(Object),
}

/// A JSON object without duplicate members. Unknown members are kept and ignored: boxes live long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(SmallMap<String, Json>);

/// Why some bytes are not an object that the protocol understands.
/// One pointer: it goes upwards through results that hold little else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct JsonError(Box<JsonFault>);

/// What [`JsonError`] holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON, or not one object.
    #[error("not a JSON object: {0}")]
    Syntax(String),
    /// A member stands twice in one object.
    #[error("member {} stands twice", Quoted(.0))]
    DuplicateMember(String),
    /// A member that must be there is not.
    #[error("member \"{0}\" is missing")]
    Missing(&'static str),
    /// A member is there and is not what it must be.
    #[error("member \"{member}\": {source}")]
    Member {
        /// Its name.
        member: &'static str,
        /// What is wrong with it.
        source: Malformed,
    },
}

impl JsonError {
    /// What is wrong.
    #[must_use]
    pub fn fault(&self) -> &JsonFault {
        &self.0
    }

    #[cold]
    pub(super) fn missing(member: &'static str) -> Self {
        JsonFault::Missing(member).into()
    }

    #[cold]
    pub(crate) fn member(member: &'static str, source: Malformed) -> Self {
        JsonFault::Member { member, source }.into()
    }
}

impl From<JsonFault> for JsonError {
    fn from(fault: JsonFault) -> Self {
        Self(Box::new(fault))
    }
}

impl Object {
    /// Parses bytes.
    ///
    /// # Errors
    ///
    /// If they are not one JSON object without duplicate members, at most 8 levels deep.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        reader::read(bytes)
    }

    /// Writes the object, members in the order of their names, without white space.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = String::new();
        write_object(&mut out, self);
        out.into_bytes()
    }

    /// A member, whatever it is.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// Text that may be absent.
    ///
    /// # Errors
    ///
    /// If it is there and no text.
    pub fn optional_text(&self, name: &'static str) -> Result<Option<&str>, JsonError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text)),
            Some(Json::Other | Json::Number(_) | Json::List(_) | Json::Object(_)) => {
                Err(wrong(name, "text"))
            }
        }
    }

    /// Text that must be there.
    ///
    /// # Errors
    ///
    /// If it is absent or no text.
    pub fn text(&self, name: &'static str) -> Result<&str, JsonError> {
        self.optional_text(name)?
            .ok_or_else(|| JsonError::missing(name))
    }

    /// Text that must be there and parse.
    ///
    /// # Errors
    ///
    /// If it is absent, no text, or does not parse.
    pub fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Malformed>,
    ) -> Result<T, JsonError> {
        parse(self.text(name)?).map_err(|source| JsonError::member(name, source))
    }

    /// Text that may be absent and otherwise must parse.
    ///
    /// # Errors
    ///
    /// If it is there and is no text or does not parse.
    pub fn optional_parsed<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Malformed>,
    ) -> Result<Option<T>, JsonError> {
        match self.optional_text(name)? {
            None => Ok(None),
            Some(text) => parse(text)
                .map(Some)
                .map_err(|source| JsonError::member(name, source)),
        }
    }

    /// Bytes in base64url that must be there.
    ///
    /// # Errors
    ///
    /// If they are absent or no base64url.
    pub fn bytes(&self, name: &'static str) -> Result<Vec<u8>, JsonError> {
        self.parsed(name, |text| {
            super::base64url::decode(text)
                .map_err(|_| Malformed::new("bytes", "base64url without padding", text))
        })
    }

    /// A number that may be absent.
    ///
    /// # Errors
    ///
    /// If it is there and no unsigned integer.
    pub fn optional_number(&self, name: &'static str) -> Result<Option<u64>, JsonError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::Number(number)) => Ok(Some(*number)),
            Some(Json::Other | Json::Text(_) | Json::List(_) | Json::Object(_)) => {
                Err(wrong(name, "an unsigned integer"))
            }
        }
    }

    /// A number that must be there.
    ///
    /// # Errors
    ///
    /// If it is absent or no unsigned integer.
    pub fn number(&self, name: &'static str) -> Result<u64, JsonError> {
        self.optional_number(name)?
            .ok_or_else(|| JsonError::missing(name))
    }

    /// An object that may be absent.
    ///
    /// # Errors
    ///
    /// If it is there and no object.
    pub fn optional_object(&self, name: &'static str) -> Result<Option<&Self>, JsonError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Json::Object(object)) => Ok(Some(object)),
            Some(Json::Other | Json::Text(_) | Json::List(_) | Json::Number(_)) => {
                Err(wrong(name, "an object"))
            }
        }
    }

    /// An object that must be there.
    ///
    /// # Errors
    ///
    /// If it is absent or no object.
    pub fn object(&self, name: &'static str) -> Result<&Self, JsonError> {
        self.optional_object(name)?
            .ok_or_else(|| JsonError::missing(name))
    }

    /// A list of at most `max` texts, each of which must parse; an absent list is empty.
    ///
    /// # Errors
    ///
    /// If it is no list, is longer, or an element is no text or does not parse.
    pub fn texts<T>(
        &self,
        name: &'static str,
        max: usize,
        mut parse: impl FnMut(&str) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, JsonError> {
        let list = match self.0.get(name) {
            None => return Ok(Vec::new()),
            Some(Json::List(list)) => list,
            Some(Json::Other | Json::Text(_) | Json::Object(_) | Json::Number(_)) => {
                return Err(wrong(name, "a list"));
            }
        };
        if list.len() > max {
            return Err(wrong(name, "a shorter list"));
        }
        let mut texts = Vec::with_capacity(list.len());
        for element in list {
            let Json::Text(text) = element else {
                return Err(wrong(name, "a list of texts"));
            };
            texts.push(parse(text).map_err(|source| JsonError::member(name, source))?);
        }
        Ok(texts)
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: Json) -> Self {
        self.put(name, value);
        self
    }

    /// Adds text.
    #[must_use]
    pub fn with_text(self, name: &str, text: impl fmt::Display) -> Self {
        self.with_written(name, &text)
    }

    /// Not generic: every kind of thing is written into a message by the same code.
    #[inline(never)]
    fn with_written(self, name: &str, text: &dyn fmt::Display) -> Self {
        self.with(name, Json::Text(text_of(text)))
    }

    /// Adds text if there is any.
    #[must_use]
    pub fn with_some_text(self, name: &str, text: Option<impl fmt::Display>) -> Self {
        match text {
            Some(text) => self.with_text(name, text),
            None => self,
        }
    }

    /// Adds a number.
    #[must_use]
    pub fn with_number(self, name: &str, number: u64) -> Self {
        self.with(name, Json::Number(number))
    }

    /// Adds a number if there is one.
    #[must_use]
    pub fn with_some_number(self, name: &str, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.with_number(name, number),
            None => self,
        }
    }

    /// Adds bytes as base64url.
    #[must_use]
    pub fn with_bytes(self, name: &str, bytes: &[u8]) -> Self {
        self.with(name, Json::Text(super::base64url::encode(bytes)))
    }

    /// Adds a list of texts.
    #[must_use]
    pub fn with_texts<T: fmt::Display>(
        self,
        name: &str,
        texts: impl IntoIterator<Item = T>,
    ) -> Self {
        let list = texts
            .into_iter()
            .map(|text| Json::Text(text_of(&text)))
            .collect();
        self.with(name, Json::List(list))
    }

    #[inline(never)]
    fn put(&mut self, name: &str, value: Json) {
        self.0.insert(name.to_string(), value);
    }
}

fn wrong(member: &'static str, expected: &'static str) -> JsonError {
    JsonError::member(member, Malformed::new("value", expected, "something else"))
}

fn write_object(out: &mut String, object: &Object) {
    out.push('{');
    for (index, (name, value)) in object.0.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(out, name);
        out.push(':');
        write_json(out, value);
    }
    out.push('}');
}

fn write_json(out: &mut String, value: &Json) {
    match value {
        Json::Other => out.push_str("null"),
        Json::Number(number) => out.push_str(&number.to_string()),
        Json::Text(text) => write_text(out, text),
        Json::List(list) => {
            out.push('[');
            for (index, element) in list.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(out, element);
            }
            out.push(']');
        }
        Json::Object(object) => write_object(out, object),
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => {
                out.push_str(&alloc::format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::reader::MAX_MEMBERS;
    use super::*;

    #[test]
    fn a_member_that_stands_twice_is_refused_by_name() {
        let twice = JsonError::from(JsonFault::DuplicateMember("a".into()));
        assert_eq!(Object::parse(br#"{"a":1,"a":1}"#), Err(twice.clone()));
        assert_eq!(Object::parse(br#"{"b":[{"a":1,"\u0061":2}]}"#), Err(twice));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for bytes in [
            "",
            "[]",
            "1",
            "\"a\"",
            "{} {}",
            "{",
            "{\"a\":}",
            "{'a':1}",
            "\u{feff}{}",
        ] {
            let error = Object::parse(bytes.as_bytes()).unwrap_err();
            assert!(
                matches!(error.fault(), JsonFault::Syntax(_)),
                "{bytes}: {error}"
            );
        }
        let deep = alloc::format!("{}{}", "{\"a\":".repeat(9), "{}") + &"}".repeat(9);
        assert!(
            Object::parse(deep.as_bytes())
                .unwrap_err()
                .to_string()
                .contains("deeply")
        );
    }

    #[test]
    fn members_are_read_as_what_they_must_be() {
        let object = Object::parse(br#"{"n":-1,"t":"x","l":["a",1],"f":1.5}"#).unwrap();
        assert_eq!(object.number("x"), Err(JsonError::missing("x")));
        for error in [
            object.number("n").unwrap_err(),
            object.number("t").unwrap_err(),
            object.number("f").unwrap_err(),
            object.text("n").unwrap_err(),
            object.texts("l", 2, |t| Ok(t.to_string())).unwrap_err(),
            object.texts("l", 1, |t| Ok(t.to_string())).unwrap_err(),
        ] {
            assert!(matches!(error.fault(), JsonFault::Member { .. }), "{error}");
        }
    }

    #[test]
    fn an_object_with_too_many_members_is_refused() {
        let members = |count: usize| {
            let members: Vec<_> = (0..count).map(|n| alloc::format!("\"{n}\":0")).collect();
            alloc::format!("{{{}}}", members.join(","))
        };
        assert!(Object::parse(members(MAX_MEMBERS).as_bytes()).is_ok());
        let error = Object::parse(members(MAX_MEMBERS + 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("too many members"), "{error}");
    }

    fn object(members: std::collections::BTreeMap<String, Json>) -> Object {
        members
            .into_iter()
            .fold(Object::default(), |object, (name, value)| {
                object.with(&name, value)
            })
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Json::Number),
            any::<String>().prop_map(Json::Text),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::List),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Json::Object(object(map))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_it_was(
            map in prop::collection::btree_map(any::<String>(), json(), 0..4)
        ) {
            let object = object(map);
            prop_assert_eq!(Object::parse(&object.to_bytes()), Ok(object));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Object::parse(&bytes);
        }
    }
}
