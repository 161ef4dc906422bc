//! Says what the clock of a kind of board is worth.
//!
//! Statistics cannot prove entropy: a clock that is a fixed pseudorandom sequence has 7 bits a delta by NIST's own tool.
//! So the machine credits clock deltas only where a person has assessed this very kind of board
//! (docs/ASSESSMENT.md, docs/THREATS.md). This crate is the arithmetic of that, and the two kinds of files. It reads no
//! file, no clock and no board.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`estimate`] | the ten estimators of SP 800-90B section 6.3 |
//! | [`restart`] | the restart tests of its section 3.1.4 |
//! | [`sibling`] | whether one unit foretells another |
//! | [`judge`] | the rules: what is accepted, what is refused, and why |
//! | [`table`] | the judgement in words |
//! | [`evidence`], [`report`] | what the files hold |
//!
//! Where the machine has a rule (health tests, the least that it believes), that one is used: this is an offline tool,
//! as the key ceremony is.

pub mod estimate;
pub mod evidence;
pub mod judge;
pub mod report;
pub mod restart;
pub mod sibling;
mod suffix;
pub mod table;
