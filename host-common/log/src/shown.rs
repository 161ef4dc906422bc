//! Entries in words.

use std::fmt;

use crate::bindings::exports::otscert::provision::{provisioner, registrar};
use crate::bindings::otscert::provision::types;
use crate::{Input, Outcome};

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("a new instance"),
            Self::Device(input) => device(input, f),
            Self::Hq(input) => hq(input, f),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceStarted(Ok(())) | Self::HqStarted(Ok(())) => f.write_str("started"),
            Self::DeviceStarted(Err(error)) => write!(f, "not started: {error:?}"),
            Self::HqStarted(Err(error)) => write!(f, "not started: {error:?}"),
            Self::Device(Ok(progress)) => {
                write!(f, "{}: {}", progress.state, clean(&progress.reason))
            }
            Self::Device(Err(error)) => write!(f, "refused: {error:?}"),
            Self::Hq(Ok(decision)) => {
                f.write_str("decided")?;
                if let Some(reply) = &decision.reply {
                    let problem = if reply.problem.is_empty() {
                        "ok"
                    } else {
                        &reply.problem
                    };
                    write!(f, ", replies {problem} ({} bytes)", reply.body.len())?;
                }
                for note in &decision.notes {
                    write!(
                        f,
                        "; {}: {} ({})",
                        note.kind,
                        clean(&note.text),
                        note.subject
                    )?;
                }
                Ok(())
            }
            Self::Hq(Err(error)) => write!(f, "refused: {error:?}"),
        }
    }
}

fn device(input: &provisioner::Input, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match input {
        provisioner::Input::Resumed(number) => write!(f, "resumed ({number})"),
        provisioner::Input::Woke => f.write_str("woke"),
        provisioner::Input::Answered(answered) => {
            write!(f, "exchange {}: ", answered.exchange.number)?;
            answer(&answered.answer, f)
        }
        provisioner::Input::Addresses(addresses) => {
            let list: Vec<String> = addresses.iter().map(|one| clean(one)).collect();
            write!(f, "addresses {}", list.join(" "))
        }
        provisioner::Input::Reset => f.write_str("a factory reset is asked for"),
        provisioner::Input::Renew => f.write_str("a new certificate is asked for"),
        provisioner::Input::CredentialRefused(refusal) => {
            write!(f, "the server cannot use version {}", refusal.version)
        }
        provisioner::Input::Companion(_) => f.write_str("the owner's browser brings a seed"),
        provisioner::Input::SealedCompanion(_) => {
            f.write_str("the owner's browser brings a sealed seed")
        }
        provisioner::Input::ClaimCode(_) => f.write_str("the owner types the code on the label"),
    }
}

fn hq(input: &registrar::Input, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match input {
        registrar::Input::Request(request) => {
            let (endpoint, len) = (request.endpoint, request.body.len());
            write!(f, "a request, {endpoint:?} ({len} bytes)")
        }
        registrar::Input::Answered(answered) => {
            let types::Exchange { subject, number } = &answered.exchange;
            write!(f, "exchange {number} of {}: ", clean(subject))?;
            answer(&answered.answer, f)
        }
        registrar::Input::Due(subject) => write!(f, "{} is due", clean(subject)),
        registrar::Input::Command(command) => {
            let order = match &command.order {
                registrar::OperatorOrder::Retire => "retire",
                registrar::OperatorOrder::Accept => "accept",
                registrar::OperatorOrder::Renew => "renew",
                registrar::OperatorOrder::OwnCsr(_) => "own-csr",
                registrar::OperatorOrder::ImportClaims(_) => "import-claims",
                registrar::OperatorOrder::ImportVoucher(_) => "import-voucher",
                registrar::OperatorOrder::ImportStarvedKeys(_) => "import-starved-keys",
                registrar::OperatorOrder::ReleaseClaim(_) => "release-claim",
            };
            write!(f, "the operator: {order} {}", clean(&command.subject))
        }
    }
}

fn answer(answer: &types::Answer, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match answer {
        types::Answer::Hq(answer) => write!(f, "an answer of {} bytes", answer.body.len()),
        types::Answer::Ca(answer) => {
            let name = match answer {
                types::CaAnswer::Order(report) => {
                    return write!(f, "the CA: the order is {:?}", report.state);
                }
                types::CaAnswer::Authorizations(_) => "authorizations",
                types::CaAnswer::Accepted => "accepted",
                types::CaAnswer::Chain(_) => "the chain",
                types::CaAnswer::RenewalWindow(_) => "a renewal window",
                types::CaAnswer::Revoked => "revoked",
                types::CaAnswer::Problem(problem) => {
                    return write!(f, "the CA refuses: {}", clean(&problem.detail));
                }
                types::CaAnswer::Deferred(deferral) => {
                    return write!(f, "put off: {}", clean(&deferral.reason));
                }
            };
            write!(f, "the CA: {name}")
        }
        types::Answer::Dns(answer) => match answer {
            types::DnsAnswer::Done => f.write_str("the zone: done"),
            types::DnsAnswer::Visible(visible) => write!(f, "the zone: visible: {visible}"),
            types::DnsAnswer::Refused(reason) => write!(f, "the zone refuses: {}", clean(reason)),
        },
        types::Answer::Failed(failure) => {
            write!(
                f,
                "nothing ({:?}): {}",
                failure.kind,
                clean(&failure.detail)
            )
        }
    }
}

/// A text of a log is a stranger's: nothing in it moves the cursor of whoever reads it.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '·' } else { c })
        .collect()
}
