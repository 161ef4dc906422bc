//! One exchange: tries the origins in turn until one answers.

use wasi::http::outgoing_handler;
use wasi::http::types::{
    Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};
use wasi::io::poll::Pollable;
use wasi::io::streams::{InputStream, OutputStream, StreamError};

use crate::Way;
use crate::bindings::otscert::provision::types::{
    Answer, Endpoint, Exchange as ExchangeId, Failure, FailureKind, HqAnswer, HqRequest,
};
use crate::convert::{self, failure};
use otscert_contract::MAX_BODY;
use otscert_host::bundle::Origin;

/// An exchange under way.
pub(crate) struct Exchange {
    id: ExchangeId,
    message: HqRequest,
    /// The origin that is asked first.
    first: usize,
    /// How many origins have been tried or passed over.
    turn: usize,
    failures: Vec<Failure>,
    stage: Stage,
    /// When the origin of this turn has had its time, by the monotonic clock.
    deadline: u64,
}

/// A body that is being written. Fields end in the order in which they stand, and a stream has to end before its body.
struct Outgoing {
    stream: OutputStream,
    body: OutgoingBody,
}

/// A body that is being read; as above.
struct Incoming {
    stream: InputStream,
    _body: IncomingBody,
}

/// Where the exchange with an origin stands.
enum Stage {
    /// The next origin is to be asked.
    Idle,
    /// The message is being written.
    Sending {
        message: Outgoing,
        sent: usize,
        response: FutureIncomingResponse,
    },
    /// It is written.
    Awaiting { response: FutureIncomingResponse },
    /// The answer is being read.
    Reading {
        answer: Incoming,
        head: Head,
        bytes: Vec<u8>,
    },
}

/// What the head of an answer says.
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Whether the body claims to be one of HQ's messages.
    pub(crate) is_jose: bool,
    pub(crate) retry_after_s: Option<u64>,
}

/// What became of a step.
enum Moved {
    /// Another step may follow at once.
    To(Stage),
    /// Nothing to do before the runtime says so.
    Stays(Stage),
    /// The origin answered.
    Ended(HqAnswer),
}

impl Exchange {
    pub(crate) fn new(id: ExchangeId, message: HqRequest, way: &Way) -> Self {
        Self {
            id,
            message,
            first: way.preferred,
            turn: 0,
            failures: Vec::new(),
            stage: Stage::Idle,
            deadline: u64::MAX,
        }
    }

    pub(crate) fn id(&self) -> ExchangeId {
        self.id.clone()
    }

    pub(crate) fn number(&self) -> u64 {
        self.id.number
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.deadline
    }

    /// What to wait for.
    pub(crate) fn subscribe(&self) -> Vec<Pollable> {
        match &self.stage {
            Stage::Idle => Vec::new(),
            Stage::Sending {
                message, response, ..
            } => vec![message.stream.subscribe(), response.subscribe()],
            Stage::Awaiting { response, .. } => vec![response.subscribe()],
            Stage::Reading { answer, .. } => vec![answer.stream.subscribe()],
        }
    }

    /// Goes as far as it can without waiting; an answer ends the exchange.
    pub(crate) fn drive(&mut self, way: &mut Way, now: u64) -> Option<Answer> {
        if now >= self.deadline {
            self.stage = Stage::Idle;
            let what = format!(
                "no whole answer within {} s: HQ is overloaded or hangs",
                PATIENCE_NS / NS_PER_S
            );
            self.fail(way, failure(FailureKind::TimedOut, what));
        }
        loop {
            let index = (self.first + self.turn) % way.origins.len();
            let stage = std::mem::replace(&mut self.stage, Stage::Idle);
            let moved = match stage {
                Stage::Idle if self.turn >= way.origins.len() => {
                    return Some(Answer::Failed(convert::sum_up(std::mem::take(
                        &mut self.failures,
                    ))));
                }
                Stage::Idle
                    if !way.may_carry(index, self.message.endpoint == Endpoint::Contact) =>
                {
                    self.turn += 1;
                    continue;
                }
                Stage::Idle => {
                    self.deadline = now.saturating_add(PATIENCE_NS);
                    begin(&way.origins[index], &self.message)
                }
                Stage::Sending {
                    message,
                    sent,
                    response,
                } => send(&self.message.body, message, sent, response),
                Stage::Awaiting { response } => receive(response),
                Stage::Reading {
                    answer,
                    head,
                    bytes,
                } => read(answer, head, bytes),
            };
            match moved {
                Ok(Moved::To(stage)) => self.stage = stage,
                Ok(Moved::Stays(stage)) => {
                    self.stage = stage;
                    return None;
                }
                Ok(Moved::Ended(answer)) => {
                    way.preferred = index;
                    return Some(Answer::Hq(answer));
                }
                Err(failed) => self.fail(way, failed),
            }
        }
    }

    /// Goes on to the next origin.
    fn fail(&mut self, way: &Way, mut failure: Failure) {
        let origin = &way.origins[(self.first + self.turn) % way.origins.len()];
        let message = path(self.message.endpoint);
        failure.detail = format!("{message} to HQ at {origin}: {}", failure.detail);
        self.failures.push(failure);
        self.turn += 1;
        self.deadline = u64::MAX;
    }
}

fn begin(origin: &Origin, message: &HqRequest) -> Result<Moved, Failure> {
    let refused = |what: &str| {
        failure(
            FailureKind::Misconfigured,
            format!("the runtime refuses {what}"),
        )
    };
    let headers = Fields::new();
    for (name, value) in [
        ("content-type", JOSE),
        ("accept", JOSE),
        ("content-length", &message.body.len().to_string()),
        (
            "user-agent",
            concat!("otscert-wasi/", env!("CARGO_PKG_VERSION")),
        ),
    ] {
        headers
            .append(name, value.as_bytes())
            .map_err(|_refused| refused(&format!("the header {name}")))?;
    }
    let request = OutgoingRequest::new(headers);
    let scheme = if origin.is_tls() {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let authority = origin.uri().authority().map(ToString::to_string);
    let path = format!("{PREFIX}{}", path(message.endpoint));
    request
        .set_method(&Method::Post)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(authority.as_deref()))
        .and_then(|()| request.set_path_with_query(Some(&path)))
        .map_err(|()| refused("the origin or the path"))?;
    let body = request.body().map_err(|()| refused("a body"))?;
    let stream = body.write().map_err(|()| refused("a body"))?;
    let options = RequestOptions::new();
    // A runtime may know none of them; the deadline of the exchange holds in any case.
    let _unsupported = options.set_connect_timeout(Some(CONNECT_NS));
    let _unsupported = options.set_first_byte_timeout(Some(PATIENCE_NS));
    let _unsupported = options.set_between_bytes_timeout(Some(PATIENCE_NS));
    let response =
        outgoing_handler::handle(request, Some(options)).map_err(|code| convert::refusal(&code))?;
    Ok(Moved::To(Stage::Sending {
        message: Outgoing { stream, body },
        sent: 0,
        response,
    }))
}

fn send(
    bytes: &[u8],
    message: Outgoing,
    mut sent: usize,
    response: FutureIncomingResponse,
) -> Result<Moved, Failure> {
    while sent < bytes.len() {
        let room = match message.stream.check_write() {
            Ok(0) => {
                return Ok(Moved::Stays(Stage::Sending {
                    message,
                    sent,
                    response,
                }));
            }
            Ok(room) => usize::try_from(room).unwrap_or(usize::MAX),
            // Why is in the response.
            Err(_closed) => return Ok(Moved::To(Stage::Awaiting { response })),
        };
        let end = sent.saturating_add(room).min(bytes.len());
        if message.stream.write(&bytes[sent..end]).is_err() {
            return Ok(Moved::To(Stage::Awaiting { response }));
        }
        sent = end;
    }
    let Outgoing { stream, body } = message;
    drop(stream);
    match OutgoingBody::finish(body, None) {
        Ok(()) => Ok(Moved::To(Stage::Awaiting { response })),
        Err(code) => Err(convert::refusal(&code)),
    }
}

fn receive(response: FutureIncomingResponse) -> Result<Moved, Failure> {
    match response.get() {
        None => Ok(Moved::Stays(Stage::Awaiting { response })),
        Some(Ok(Ok(response))) => {
            let head = head(&response);
            let broken = |()| {
                failure(
                    FailureKind::Misconfigured,
                    "the runtime gives no body of the answer".to_owned(),
                )
            };
            let body = response.consume().map_err(broken)?;
            let stream = body.stream().map_err(broken)?;
            Ok(Moved::To(Stage::Reading {
                answer: Incoming {
                    stream,
                    _body: body,
                },
                head,
                bytes: Vec::new(),
            }))
        }
        Some(Ok(Err(code))) => Err(convert::refusal(&code)),
        Some(Err(())) => Err(failure(
            FailureKind::Misconfigured,
            "the runtime gave the answer away before".to_owned(),
        )),
    }
}

fn read(answer: Incoming, head: Head, mut bytes: Vec<u8>) -> Result<Moved, Failure> {
    loop {
        // One byte more than fits, so that a larger answer is noticed.
        match answer.stream.read((MAX_BODY + 1 - bytes.len()) as u64) {
            Ok(more) if more.is_empty() => {
                return Ok(Moved::Stays(Stage::Reading {
                    answer,
                    head,
                    bytes,
                }));
            }
            Ok(more) => bytes.extend_from_slice(&more),
            Err(StreamError::Closed) => {
                return if head.is_jose {
                    let status = head.status;
                    Ok(Moved::Ended(HqAnswer {
                        status,
                        body: bytes,
                    }))
                } else {
                    Err(convert::unsigned(&head))
                };
            }
            Err(StreamError::LastOperationFailed(_broken)) => {
                return Err(failure(
                    FailureKind::Unreachable,
                    "the connection broke in the middle of the answer".to_owned(),
                ));
            }
        }
        if bytes.len() > MAX_BODY {
            return Err(failure(
                FailureKind::TooLarge,
                format!(
                    "the answer is larger than {MAX_BODY} bytes: whatever answers there is not HQ, or a faulty one"
                ),
            ));
        }
    }
}

fn head(response: &IncomingResponse) -> Head {
    let headers = response.headers();
    let first = |name: &str| {
        let value = headers.get(name).into_iter().next()?;
        String::from_utf8(value).ok()
    };
    let is_jose = first("content-type").is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(JOSE)
    });
    // The delay form of RFC 9110 section 10.2.3; the date form needs a clock that a box may not have.
    let retry_after_s = first("retry-after")
        .and_then(|value| value.trim().parse().ok())
        .map(|seconds: u64| seconds.min(MAX_RETRY_AFTER_S));
    Head {
        status: response.status(),
        is_jose,
        retry_after_s,
    }
}

fn path(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Contact => "contact",
        Endpoint::Enrol => "enrol",
        Endpoint::Order => "order",
        Endpoint::Poll => "poll",
        Endpoint::Address => "address",
        Endpoint::Retire => "retire",
    }
}

const PREFIX: &str = "/otscert/v1/";
const JOSE: &str = "application/jose+json";
const NS_PER_S: u64 = 1_000_000_000;
const CONNECT_NS: u64 = 10 * NS_PER_S;
/// From the connection's beginning to the answer's last byte.
const PATIENCE_NS: u64 = 50 * NS_PER_S;
/// A peer that is not authenticated may not silence a box for longer.
const MAX_RETRY_AFTER_S: u64 = 3600;
