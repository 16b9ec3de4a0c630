//! OTLP/HTTP from local programs (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP"): checked once,
//! bounded at every step, and acknowledged only when it is durable.
//!
//! A body is decompressed as it comes, so that a bomb costs no more than its limit; the bytes of
//! all bodies together are counted until the store has them, whether their clients stay or not.

mod body;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN,
};
use hyper::{Method, Request, StatusCode};
use signpost_core::otlp::{Signal, count_records};
use tokio::sync::OwnedSemaphorePermit;

use super::sockets::{Desk, Reply, Unavailable as _, no_such_path, text, wrong_method};
use crate::ports::{Answer, Call};

use body::{Encoding, Trouble, receive};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// When to come again once others' bodies have been taken in.
const CROWDED: Duration = Duration::from_secs(1);
/// When to come again after flash has failed.
const FLASH_FAILED: Duration = Duration::from_secs(30);

pub(super) async fn answer(request: Request<Incoming>, desk: &Arc<Desk>) -> Reply {
    let path = request.uri().path();
    let Some(signal) = Signal::ALL.into_iter().find(|signal| signal.path() == path) else {
        return no_such_path();
    };
    let json = is_json(request.headers());
    match take_in(signal, request, desk).await {
        Ok(()) => text(StatusCode::OK, PROTOBUF, ""),
        Err(refusal) => refusal.into_reply(json),
    }
}

async fn take_in(
    signal: Signal,
    request: Request<Incoming>,
    desk: &Arc<Desk>,
) -> Result<(), Refusal> {
    let headers = request.headers();
    // Browsers say where a page comes from; no program of this device is a page.
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        return Err(Refusal::Page);
    }
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    if !is_protobuf(headers) {
        return Err(Refusal::MediaType);
    }
    let encoding = encoding(headers).ok_or(Refusal::Encoding)?;
    let limits = &desk.limits;
    if request.body().size_hint().lower() > limits.received as u64 {
        return Err(Refusal::TooLarge);
    }
    let received = receive(request.into_body(), encoding, limits, &desk.memory);
    let (body, memory) = match tokio::time::timeout(limits.body, received).await {
        Ok(received) => received?,
        Err(_) => return Err(Refusal::Slow),
    };
    match count_records(&body) {
        Ok(0) => Ok(()),
        Ok(_) => store(Call::Accept { signal, body }, memory, desk).await,
        Err(_) => Err(Refusal::NotOtlp),
    }
}

/// Goes on when the client leaves: its bytes count until the store has done with them.
async fn store(call: Call, memory: OwnedSemaphorePermit, desk: &Arc<Desk>) -> Result<(), Refusal> {
    let desk = Arc::clone(desk);
    let stored = tokio::spawn(async move {
        let answer = desk.ask(call).await;
        drop(memory);
        answer
    });
    match stored.await {
        Ok(Answer::Done) => Ok(()),
        Ok(Answer::TryLater(after)) => Err(Refusal::Later(after)),
        Ok(Answer::TooLarge) => Err(Refusal::TooLarge),
        Ok(Answer::NotSaved) => Err(Refusal::Later(FLASH_FAILED)),
        Ok(
            Answer::Token(..)
            | Answer::Proof(_)
            | Answer::Status(_)
            | Answer::SignInNeeded
            | Answer::Refused
            | Answer::BadConfiguration(_),
        )
        | Err(_) => Err(Refusal::Later(CROWDED)),
    }
}

/// Why nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Page,
    Method,
    MediaType,
    Encoding,
    TooLarge,
    Slow,
    Broken,
    NotGzip,
    NotOtlp,
    Later(Duration),
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::TooLarge => Self::TooLarge,
            Trouble::Crowded => Self::Later(CROWDED),
            Trouble::Broken => Self::Broken,
            Trouble::NotGzip => Self::NotGzip,
        }
    }
}

/// Codes of google.rpc.Code.
const INVALID_ARGUMENT: u8 = 3;
const DEADLINE_EXCEEDED: u8 = 4;
const PERMISSION_DENIED: u8 = 7;
const UNIMPLEMENTED: u8 = 12;
const UNAVAILABLE: u8 = 14;

impl Refusal {
    fn into_reply(self, json: bool) -> Reply {
        let (status, code, message) = match self {
            Self::Page => (
                StatusCode::FORBIDDEN,
                PERMISSION_DENIED,
                "pages in a browser must not send telemetry here",
            ),
            Self::Method => return wrong_method("POST"),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                UNIMPLEMENTED,
                "send application/x-protobuf (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)",
            ),
            Self::Encoding => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                UNIMPLEMENTED,
                "compress with gzip or not at all (OTEL_EXPORTER_OTLP_COMPRESSION=gzip)",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                INVALID_ARGUMENT,
                "too large; send fewer records at a time",
            ),
            Self::Slow => {
                (StatusCode::REQUEST_TIMEOUT, DEADLINE_EXCEEDED, "the body did not come in time")
            }
            Self::Broken => (StatusCode::BAD_REQUEST, INVALID_ARGUMENT, "the body is not whole"),
            Self::NotGzip => (
                StatusCode::BAD_REQUEST,
                INVALID_ARGUMENT,
                "the body is not the gzip that content-encoding announces, or not all of it",
            ),
            Self::NotOtlp => (
                StatusCode::BAD_REQUEST,
                INVALID_ARGUMENT,
                "the body is no Export...ServiceRequest in protobuf",
            ),
            Self::Later(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, "not stored; send it again later")
            }
        };
        let mut reply = if json {
            text(status, JSON, format!("{{\"code\":{code},\"message\":\"{message}\"}}"))
        } else {
            text(status, PROTOBUF, rpc_status(code, message))
        };
        match self {
            Self::Later(after) => reply.retry_after(after),
            Self::Encoding => {
                reply.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
                reply
            }
            Self::Page
            | Self::Method
            | Self::MediaType
            | Self::TooLarge
            | Self::Slow
            | Self::Broken
            | Self::NotGzip
            | Self::NotOtlp => reply,
        }
    }
}

/// `google.rpc.Status` in protobuf: field 1 the code, field 2 the message (under 128 bytes here).
fn rpc_status(code: u8, message: &str) -> Vec<u8> {
    let length = u8::try_from(message.len()).unwrap_or(0x7f).min(0x7f);
    let mut out = vec![0x08, code, 0x12, length];
    out.extend_from_slice(&message.as_bytes()[..length.into()]);
    out
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|it| it.eq_ignore_ascii_case(PROTOBUF))
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|it| it.eq_ignore_ascii_case(JSON))
}

/// The media type without its parameters.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

/// `None`: one that is not understood.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let encoding = match values.next().map(HeaderValue::to_str) {
        None => Encoding::Identity,
        Some(Ok(name)) if name.trim().eq_ignore_ascii_case("identity") => Encoding::Identity,
        Some(Ok(name)) if name.trim().eq_ignore_ascii_case("gzip") => Encoding::Gzip,
        Some(_) => return None,
    };
    values.next().is_none().then_some(encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_the_protobuf_message() {
        assert_eq!(rpc_status(3, "no"), [0x08, 3, 0x12, 2, b'n', b'o']);
    }
}
