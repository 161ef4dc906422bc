//! The event log: a text of JSON lines, version 1, that says what the machine was told and what it did.
//!
//! It says who took part (devices and HQ, each with its config), and then, in order, every input of every party with all
//! that came of it: what the party asked its host for and was given, what it answered, and the digest of its state.
//!
//! The first line is the header, then comes a line for each entry, and a last line that says that the log is whole.
//! Every line ends with `,"hash":"…"}`: SHA-256 in hexadecimal over the hash of the line before (32 bytes, zeros for the first)
//! and the bytes of this line up to that comma. So a log that was edited or lost its end is refused, with the line.
//!
//! Values are the contract's types as serde writes them: a variant as `{"Name": …}`, a record as its fields, a list of
//! sixteen bytes and more as a text, `base64url:…`.
//!
//! There are two kinds, and the header says which (`secrets`):
//!
//! - With secrets: of doubles, in the simulator and the sandbox. It replays (`tests/replay`).
//! - **Redacted**: of a real device (`otscert-device run --record`). Of every list of bytes only the length is written,
//!   `redacted:LEN`, whatever it holds; the writer has no way round that. It serves for reading. It may lack its
//!   last line, since the box it tells of may have lost power.

pub mod bindings;
mod call;
mod lines;
mod log;
mod packed;
mod shown;

pub use call::{Asked, Call, Got};
pub use lines::{LogError, MAX_LINE, MAX_LINES, Writer};
pub use log::{End, Entry, Header, Input, Log, Outcome, Party, PartyConfig, VERSION};
pub use packed::hidden;
