//! Why an operation stopped, inside this crate.

use crate::authority::CaError;
use crate::operation::{CaAnswer, CaProblem};

/// Why an operation stopped: the CA refused, or there was no answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The CA refused; this is an answer.
    Problem(CaProblem),
    /// There was no answer.
    Error(CaError),
}

impl Stop {
    /// What the caller hears.
    pub(crate) fn answer(result: Result<CaAnswer, Self>) -> Result<CaAnswer, CaError> {
        match result {
            Ok(answer) => Ok(answer),
            Err(Self::Problem(problem)) => Ok(CaAnswer::Problem(problem)),
            Err(Self::Error(error)) => Err(error),
        }
    }
}

impl From<CaError> for Stop {
    fn from(error: CaError) -> Self {
        Self::Error(error)
    }
}
