//! What a box makes of HQ's refusals (docs/PROTOCOL.md, section 9).

use alloc::string::{String, ToString};

use super::agenda::{AFTER_FINAL_REFUSAL, AFTER_MALFORMED, AFTER_REFUSAL, jitter_at};
use super::config::Config;
use super::state::{Link, Unit};
use crate::backoff::{self, Policy};
use crate::time::{Moment, Span};
use crate::wire::message::Problem;
use crate::wire::problem::ProblemKind;

/// Whether the very same request may succeed later: HQ has not looked at it. A request that came
/// by the path of another was put there by somebody on the way, or by a fault of the host.
pub(super) const fn repeats(kind: Option<ProblemKind>) -> bool {
    matches!(
        kind,
        Some(ProblemKind::RateLimited | ProblemKind::Unavailable | ProblemKind::WrongType)
    )
}

/// HQ has not looked at the request: it goes out again, unchanged, when HQ said.
pub(super) fn hold_for(config: &Config, unit: &mut Unit, problem: &Problem, now: Moment) {
    let noise = jitter_at(config, unit, unit.link.attempt);
    let span = backoff::delay(unit.link.attempt, Policy::Hq, noise);
    unit.link = Link {
        in_flight: false,
        asked: None,
        attempt: unit.link.attempt.saturating_add(1),
        retry_at: now.monotonic + backoff::no_sooner_than(span, problem.retry_after),
        trouble: Some(sentence(problem)),
    };
}

/// HQ refused the request: how long until the next, new one.
pub(super) fn refuse(config: &Config, unit: &mut Unit, problem: &Problem, now: Moment) {
    let attempt = unit.link.attempt;
    let span = match problem.kind {
        // The first retry comes at once; after that something is wrong on one side.
        Some(ProblemKind::StaleNonce) if attempt == 0 => Span::ZERO,
        Some(ProblemKind::StaleNonce | ProblemKind::RateLimited | ProblemKind::Unavailable) => {
            backoff::delay(attempt, Policy::Hq, jitter_at(config, unit, attempt))
        }
        Some(ProblemKind::Retired | ProblemKind::Challenged | ProblemKind::BadGrant) => {
            AFTER_FINAL_REFUSAL
        }
        Some(
            ProblemKind::AlreadyEnrolled
            | ProblemKind::AdmissionClosed
            | ProblemKind::BadCredential
            | ProblemKind::UnknownModel
            | ProblemKind::UnknownDevice
            | ProblemKind::StaleRequest
            | ProblemKind::BadToken
            | ProblemKind::WrongAudience,
        ) => AFTER_REFUSAL,
        Some(
            ProblemKind::Malformed
            | ProblemKind::TooLarge
            | ProblemKind::UnknownVersion
            | ProblemKind::UnknownCritical
            | ProblemKind::DuplicateMember
            | ProblemKind::WrongType
            | ProblemKind::BadSignature
            | ProblemKind::BadCsr
            | ProblemKind::WrongNames
            | ProblemKind::KeyReused
            | ProblemKind::OrderInProgress
            | ProblemKind::BadAddress,
        )
        | None => AFTER_MALFORMED,
    };
    unit.link = Link {
        in_flight: false,
        asked: None,
        attempt: attempt.saturating_add(1),
        retry_at: now.monotonic + problem.retry_after.unwrap_or(span).min(AFTER_FINAL_REFUSAL),
        trouble: Some(sentence(problem)),
    };
}

/// What a problem says, for people.
pub(super) fn sentence(problem: &Problem) -> String {
    let title = problem
        .kind
        .map_or("HQ refused, for a reason newer than this box.", |k| {
            k.title()
        });
    match problem.detail.is_empty() {
        true => title.to_string(),
        false => alloc::format!("{title} {}", problem.detail),
    }
}
