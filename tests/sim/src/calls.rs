//! Which call of an import goes wrong, and how.

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The host refuses it: the medium is full, the generator gives nothing, the queue is full.
    Refused,
    /// The power goes, or the process ends, before it is carried out.
    CutBefore,
    /// The power goes, or the process ends, when it has been carried out.
    CutAfter,
}

/// Counts the calls of one party, and strikes one of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    made: u64,
    strikes: Option<(u64, How)>,
    /// Nothing works any longer: the power is gone.
    pub(crate) is_cut: bool,
    /// A call was struck since this was looked at.
    pub(crate) was_struck: bool,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is carried out and answered.
    Goes,
    /// It is refused.
    Refused,
    /// It is not answered, and carried out or not.
    Cut { done: bool },
}

impl Calls {
    /// Strikes the call that comes after so many others.
    pub(crate) const fn strike_after(&mut self, calls: u64, how: How) {
        self.strikes = Some((self.made + calls, how));
    }

    /// Strikes none.
    pub(crate) const fn spare(&mut self) {
        self.strikes = None;
    }

    /// How many there were.
    pub(crate) const fn made(&self) -> u64 {
        self.made
    }

    /// What becomes of the next call.
    pub(crate) fn next(&mut self) -> Fate {
        if self.is_cut {
            return Fate::Cut { done: false };
        }
        let number = self.made;
        self.made += 1;
        let Some((_, how)) = self.strikes.take_if(|(at, _)| *at == number) else {
            return Fate::Goes;
        };
        self.was_struck = true;
        self.is_cut = how != How::Refused;
        match how {
            How::Refused => Fate::Refused,
            How::CutBefore => Fate::Cut { done: false },
            How::CutAfter => Fate::Cut { done: true },
        }
    }
}
