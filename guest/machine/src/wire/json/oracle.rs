//! The same rules by serde_json, which reads JSON for everybody: whatever the reader here says of a
//! text, accepted or refused and in which words, this must say too. (Where a text has several faults of
//! the protocol's own, the first counts.)

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::reader::{HALFWAY_TO_INFINITY, MAX_DEPTH, MAX_MEMBERS};
use super::{Json, JsonError, JsonFault, Object};
use crate::map::SmallMap;

/// What [`Object::parse`] does, by serde_json.
pub(super) fn read(bytes: &[u8]) -> Result<Object, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let fault = Cell::new(None);
    let top = Seed {
        depth: 0,
        fault: &fault,
    };
    let read = top.deserialize(&mut reader);
    let read = read.and_then(|value| reader.end().map(|()| value));
    if let Some(fault) = fault.take() {
        return Err(fault.into());
    }
    match read {
        Ok(Json::Object(object)) => Ok(object),
        Ok(Json::Other | Json::Number(_) | Json::Text(_) | Json::List(_)) => {
            Err(JsonFault::Syntax("the top level is no object".to_string()).into())
        }
        Err(error) => Err(JsonFault::Syntax(error.to_string()).into()),
    }
}

/// Reads a value. What is wrong with it beyond its syntax is noted beside: serde's errors have only
/// text. After that, whatever is returned, the reader finds itself in the middle of something and
/// stops.
struct Seed<'a> {
    depth: usize,
    fault: &'a Cell<Option<JsonFault>>,
}

impl Seed<'_> {
    fn fail(&self, fault: JsonFault) -> Json {
        self.fault.set(self.fault.take().or(Some(fault)));
        Json::Other
    }

    const fn deeper(&self) -> Self {
        Self {
            depth: self.depth + 1,
            fault: self.fault,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        if self.depth > MAX_DEPTH {
            return Ok(self.fail(JsonFault::Syntax("nested too deeply".to_string())));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element_seed(self.deeper())? {
            list.push(element);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut object = SmallMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.deeper())?;
            if object.len() == MAX_MEMBERS {
                let fault = "an object has too many members".to_string();
                return Ok(self.fail(JsonFault::Syntax(fault)));
            }
            if object.contains_key(&name) {
                let name = name.chars().filter(|c| !c.is_control()).take(48).collect();
                return Ok(self.fail(JsonFault::DuplicateMember(name)));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(Object(object)))
    }
}

/// Pieces of a text between quotes, most of them right.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => "[ -!#-Z^-~]{1,3}".prop_map(String::into_bytes),
        2 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        4 => "\\\\[\"\\\\/bfnrt]".prop_map(String::into_bytes),
        4 => "\\\\u00[0-7][0-9a-fA-F]".prop_map(String::into_bytes),
        2 => "\\\\ud[89ab][0-9a-f]{2}\\\\ud[c-f][0-9A-F]{2}".prop_map(String::into_bytes),
        1 => "(\\\\u[c-e][0-9a-f]{3}){1,2}".prop_map(String::into_bytes),
        1 => "\\\\(u[0-9a-g]{0,4})?".prop_map(String::into_bytes),
        1 => any::<u8>().prop_map(|byte| [byte].to_vec()),
    ];
    vec(piece, 0..4).prop_map(|pieces| [b"\"".to_vec(), pieces.concat(), b"\"".to_vec()].concat())
}

/// A value's text: mostly right, white space and members twice included.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        "(null|true|false)".prop_map(String::into_bytes),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][-+]?[0-9]{1,3})?"
            .prop_map(String::into_bytes),
        "1844674407370955(0|1)[0-9]{4}".prop_map(String::into_bytes),
        "-?0?[0-9]{0,2}\\.?[0-9]?[eE]?[-+]?[0-9]{0,9}".prop_map(String::into_bytes),
        text(),
    ];
    leaf.prop_recursive(10, 24, 3, |inner| {
        let members = vec((name(), space(), space(), inner.clone()), 0..4);
        prop_oneof![
            vec((space(), inner, space()), 0..4).prop_map(|elements| {
                let elements = elements.into_iter().map(|(a, b, c)| [a, b, c].concat());
                joined(b'[', elements.collect(), b']')
            }),
            members.prop_map(object),
        ]
    })
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "\"([a-d]|\\\\u006[1-4])\"".prop_map(String::into_bytes),
        "\"[a-z]{2,5}\"".prop_map(String::into_bytes),
        text(),
    ]
}

fn space() -> impl Strategy<Value = Vec<u8>> {
    "[ \t\r\n]{0,1}".prop_map(String::into_bytes)
}

/// A member's name, the white space on either side of the colon, and the value.
type Member = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

fn object(members: Vec<Member>) -> Vec<u8> {
    let member =
        |(name, before, after, value)| [name, before, b":".to_vec(), after, value].concat();
    joined(b'{', members.into_iter().map(member).collect(), b'}')
}

fn joined(start: u8, elements: Vec<Vec<u8>>, end: u8) -> Vec<u8> {
    [[start].to_vec(), elements.join(&b','), [end].to_vec()].concat()
}

/// What is done to a text: at a place, some bytes are replaced by others.
fn change() -> impl Strategy<Value = (usize, usize, Vec<u8>)> {
    let by = prop_oneof![
        Just(Vec::new()),
        "[\\[\\]{}:,\"\\\\0-9eE.+ \n-]{1,2}".prop_map(String::into_bytes),
        vec(any::<u8>(), 1..3),
    ];
    (any::<prop::sample::Index>(), 0..2_usize, by)
        .prop_map(|(at, cut, by)| (at.index(1 << 16), cut, by))
}

/// What both say. How much of a long exponent serde_json reads before it finds it too great is its
/// own affair.
fn both(bytes: &[u8]) -> [Result<Object, String>; 2] {
    [Object::parse(bytes), read(bytes)].map(|read| {
        read.map_err(|error| {
            let text = error.to_string();
            match text.split_once("number out of range") {
                Some((before, _)) => before.to_string(),
                None => text,
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn both_readers_say_the_same(
        members in vec((name(), space(), space(), value()), 0..4),
        changes in vec(change(), 0..3),
    ) {
        let mut bytes = object(members);
        let [ours, theirs] = both(&bytes);
        prop_assert_eq!(ours, theirs);
        for (at, cut, by) in changes {
            let at = at % (bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, by);
            let [ours, theirs] = both(&bytes);
            prop_assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&bytes));
        }
        bytes.truncate(bytes.len() / 2);
        let [ours, theirs] = both(&bytes);
        prop_assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&bytes));
    }

    /// serde_json rounds such numbers otherwise in the last places, so the standard library is
    /// asked.
    #[test]
    fn a_number_is_refused_where_the_nearest_double_is_infinite(
        leading in prop_oneof![
            HALFWAY_TO_INFINITY - 5..HALFWAY_TO_INFINITY,
            HALFWAY_TO_INFINITY + 1..HALFWAY_TO_INFINITY + 5,
        ],
        more in "[0-9]{0,4}",
        point in 1..24_usize,
        off in 0..3_usize,
    ) {
        let mut number = alloc::format!("{leading}{more}");
        let point = point.min(number.len() - 1);
        number.insert(point, '.');
        number += &alloc::format!("0e{}", 308 + off - point);
        let text = alloc::format!("{{\"n\":{number}}}");
        let finite = number.parse::<f64>().unwrap().is_finite();
        prop_assert_eq!(Object::parse(text.as_bytes()).is_ok(), finite, "{}", text);
    }
}

#[test]
fn numbers_of_every_length_are_judged_alike() {
    for number in [
        "0e99999999999".to_string(),
        "1e99999999999".to_string(),
        "1e-99999999999".to_string(),
        "0.00e99999999999".to_string(),
        alloc::format!("0.{}1e500", "0".repeat(400)),
        alloc::format!("0.{}1e809", "0".repeat(500)),
        alloc::format!("1{}", "0".repeat(308)),
        alloc::format!("1{}", "0".repeat(309)),
        alloc::format!("1{}e-1", "0".repeat(309)),
        alloc::format!("1{}.5e-9", "0".repeat(318)),
        alloc::format!("{}", u64::MAX),
        alloc::format!("{}", u128::from(u64::MAX) + 1),
        alloc::format!("{}0", u64::MAX),
    ] {
        let text = alloc::format!("{{\"n\":{number}}}");
        let [ours, theirs] = both(text.as_bytes());
        assert_eq!(ours, theirs, "{text}");
    }
}
