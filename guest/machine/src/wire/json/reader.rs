//! Reads JSON (RFC 8259): one object, and nothing that is not its grammar.
//!
//! serde_json would do it, and does in the tests, where both must say the same of every text, in
//! the same words. In the component it took 9.5 KB more, much of it for fractions, which the
//! protocol does not have: here a number is an unsigned integer, or its form and its range are
//! looked at and it is forgotten (`docs/adr/0003`).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Json, JsonError, JsonFault, Object};
use crate::map::SmallMap;

/// Reads bytes that are one object, with white space around it.
pub(super) fn read(bytes: &[u8]) -> Result<Object, JsonError> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(0)?;
    if reader.visible().is_some() {
        return Err(reader.expected("trailing characters"));
    }
    match value {
        Json::Object(object) => Ok(object),
        Json::Other | Json::Number(_) | Json::Text(_) | Json::List(_) => {
            Err(syntax("the top level is no object"))
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// How many of them are read.
    at: usize,
}

impl Reader<'_> {
    /// A value; `depth` is how many lists and objects it stands in. It calls itself, at most
    /// [`MAX_DEPTH`] times.
    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > MAX_DEPTH {
            return Err(syntax("nested too deeply"));
        }
        match self.visible() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.text().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null"),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(_) | None => Err(self.ended_or(VALUE, "expected value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut object = SmallMap::new();
        self.at += 1;
        let mut first = true;
        while self.another(first, b'}')? {
            first = false;
            if self.peek() != Some(b'"') {
                return Err(self.expected("key must be a string"));
            }
            let name = self.text()?;
            self.visible();
            self.take(b':', "EOF while parsing an object", "expected `:`")?;
            let value = self.value(depth + 1)?;
            if object.len() == MAX_MEMBERS {
                return Err(syntax("an object has too many members"));
            }
            if object.contains_key(&name) {
                let name = name.chars().filter(|c| !c.is_control()).take(48).collect();
                return Err(JsonFault::DuplicateMember(name).into());
            }
            object.insert(name, value);
        }
        Ok(Json::Object(Object(object)))
    }

    fn list(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut list = Vec::new();
        self.at += 1;
        while self.another(list.is_empty(), b']')? {
            list.push(self.value(depth + 1)?);
        }
        Ok(Json::List(list))
    }

    /// Goes to the next element of a list or an object, or past its end.
    fn another(&mut self, first: bool, end: u8) -> Result<bool, JsonError> {
        let next = self.visible();
        if next == Some(end) {
            self.at += 1;
            return Ok(false);
        }
        if first && next.is_some() {
            return Ok(true);
        }
        let (ended, neither) = match end {
            b'}' => ("EOF while parsing an object", "expected `,` or `}`"),
            _ => ("EOF while parsing a list", "expected `,` or `]`"),
        };
        self.take(b',', ended, neither)?;
        match self.visible() {
            Some(next) if next != end => Ok(true),
            Some(_) | None => Err(self.ended_or(VALUE, "trailing comma")),
        }
    }

    fn word(&mut self, word: &str) -> Result<Json, JsonError> {
        for byte in word.bytes() {
            self.take(byte, VALUE, "expected ident")?;
        }
        Ok(Json::Other)
    }

    /// Text, from its first quote to behind its last.
    fn text(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let start = self.at;
            while self
                .peek()
                .is_some_and(|c| !matches!(c, ..b' ' | b'"' | b'\\'))
            {
                self.at += 1;
            }
            text.extend_from_slice(self.bytes.get(start..self.at).unwrap_or_default());
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let c = self.escape()?;
                    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(_) | None => {
                    let control =
                        "control character (\\u0000-\\u001F) found while parsing a string";
                    return Err(self.ended_or(STRING, control));
                }
            }
        }
        self.at += 1;
        String::from_utf8(text).map_err(|error| {
            let behind = error.as_bytes().len() - error.utf8_error().valid_up_to();
            self.fault("invalid unicode code point", self.at.saturating_sub(behind))
        })
    }

    /// What an escape stands for (RFC 8259 section 7).
    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(),
            Some(_) | None => return Err(self.ended_or(STRING, "invalid escape")),
        };
        self.at += 1;
        Ok(c)
    }

    /// The code point of one escape with `u`, or of two that are a pair of surrogates.
    fn code_point(&mut self) -> Result<char, JsonError> {
        let mut code = self.hex()?;
        if matches!(code, 0xd800..0xdc00) {
            self.take(b'\\', STRING, "unexpected end of hex escape")?;
            if self.peek() != Some(b'u') {
                return Err(self.ended_or(STRING, "unexpected end of hex escape"));
            }
            let low = self.hex()?;
            // What is no low surrogate becomes something that is no character.
            code = match low {
                0xdc00..0xe000 => 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00),
                _ => code,
            };
        }
        char::from_u32(code)
            .ok_or_else(|| self.fault("lone leading surrogate in hex escape", self.at))
    }

    /// `u` and four hexadecimal digits.
    fn hex(&mut self) -> Result<u32, JsonError> {
        self.at += 1;
        let mut code = 0;
        let Some(digits) = self.bytes.get(self.at..self.at + 4) else {
            self.at = self.bytes.len();
            return Err(self.expected(STRING));
        };
        self.at += 4;
        for digit in digits {
            let digit = char::from(*digit).to_digit(16);
            let digit = digit.ok_or_else(|| self.fault("invalid escape", self.at))?;
            code = (code << 4) | digit;
        }
        Ok(code)
    }

    /// A number. Only an unsigned integer has a value here.
    fn number(&mut self) -> Result<Json, JsonError> {
        let mut number = Decimal::default();
        let mut integer = !self.skip(|c| c == b'-');
        match self.peek() {
            Some(b'0') => {
                self.at += 1;
                if self.peek().is_some_and(|c| c.is_ascii_digit()) {
                    return Err(self.expected(NUMBER));
                }
            }
            Some(_) | None => _ = self.digits(&mut number)?,
        }
        if self.skip(|c| c == b'.') {
            integer = false;
            number.shift -= self.digits(&mut number)?;
        }
        if self.skip(|c| matches!(c, b'e' | b'E')) {
            integer = false;
            let minus = self.peek() == Some(b'-');
            self.skip(|c| matches!(c, b'+' | b'-'));
            let mut exponent = Decimal::default();
            self.digits(&mut exponent)?;
            let exponent = i64::from(i32::try_from(exponent.leading).unwrap_or(i32::MAX));
            number.shift += if minus { -exponent } else { exponent };
        }
        if !number.in_range() {
            return Err(self.fault("number out of range", self.at));
        }
        Ok(match integer && !number.full {
            true => Json::Number(number.leading),
            false => Json::Other,
        })
    }

    /// At least one digit; gives how many.
    fn digits(&mut self, number: &mut Decimal) -> Result<i64, JsonError> {
        let mut count = 0;
        while let Some(c @ b'0'..=b'9') = self.peek() {
            number.push(c - b'0');
            self.at += 1;
            count += 1;
        }
        if count == 0 {
            return Err(self.ended_or(VALUE, NUMBER));
        }
        Ok(count)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next byte that is no white space.
    #[inline(never)]
    fn visible(&mut self) -> Option<u8> {
        while self.skip(|c| matches!(c, b' ' | b'\t' | b'\n' | b'\r')) {}
        self.peek()
    }

    fn skip(&mut self, skipped: impl FnOnce(u8) -> bool) -> bool {
        let skip = self.peek().is_some_and(skipped);
        self.at += usize::from(skip);
        skip
    }

    /// Goes past a byte that must come next.
    #[inline(never)]
    fn take(
        &mut self,
        byte: u8,
        ended: &'static str,
        other: &'static str,
    ) -> Result<(), JsonError> {
        match self.skip(|c| c == byte) {
            true => Ok(()),
            false => Err(self.ended_or(ended, other)),
        }
    }

    /// What is wrong where the text ended, or with the byte that comes next.
    #[cold]
    #[inline(never)]
    fn ended_or(&self, ended: &str, other: &str) -> JsonError {
        self.expected(match self.peek() {
            None => ended,
            Some(_) => other,
        })
    }

    /// What is wrong with the byte that comes next.
    #[cold]
    #[inline(never)]
    fn expected(&self, what: &str) -> JsonError {
        self.fault(what, self.at + 1)
    }

    /// What is wrong, found when so many bytes were read.
    #[cold]
    #[inline(never)]
    fn fault(&self, what: &str, read: usize) -> JsonError {
        let read = self.bytes.get(..read).unwrap_or(self.bytes);
        let (mut line, mut column) = (1_usize, 0_usize);
        for byte in read {
            column += 1;
            if *byte == b'\n' {
                line += 1;
                column = 0;
            }
        }
        syntax(&alloc::format!("{what} at line {line} column {column}"))
    }
}

#[cold]
#[inline(never)]
fn syntax(what: &str) -> JsonError {
    JsonFault::Syntax(what.to_string()).into()
}

/// The digits of a number as far as they fit, and the power of ten that they are to be taken times.
#[derive(Default)]
struct Decimal {
    leading: u64,
    shift: i64,
    /// A digit did not fit: this one and all after it are dropped.
    full: bool,
}

impl Decimal {
    fn push(&mut self, digit: u8) {
        let digit = u64::from(digit);
        let fits = self.leading < u64::MAX / 10
            || (self.leading == u64::MAX / 10 && digit <= u64::MAX % 10);
        self.full |= !fits;
        match self.full {
            true => self.shift += 1,
            false => self.leading = self.leading * 10 + digit,
        }
    }

    /// Whether a double near it is finite (IEEE 754, rounded to nearest). Twenty digits decide.
    fn in_range(&self) -> bool {
        let (mut leading, mut shift) = (self.leading, self.shift);
        if leading == 0 {
            return true;
        }
        while leading <= u64::MAX / 10 {
            leading *= 10;
            shift -= 1;
        }
        (shift, leading) <= (289, HALFWAY_TO_INFINITY)
    }
}

/// The first twenty digits, of 309, of 2^1024 - 2^970: from there on, doubles round to infinity.
pub(super) const HALFWAY_TO_INFINITY: u64 = 17_976_931_348_623_158_079;
/// Most members of one object; the protocol's own have at most 16, and boxes live long.
pub(super) const MAX_MEMBERS: usize = 256;
/// Deepest nesting of a message; the protocol's own messages need five.
pub(super) const MAX_DEPTH: usize = 8;

const VALUE: &str = "EOF while parsing a value";
const STRING: &str = "EOF while parsing a string";
const NUMBER: &str = "invalid number";
