//! OTLP/HTTP from local programs (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP"), and plain JSON or
//! text at `/v1/events`: checked once, bounded at every step, and acknowledged only when it is
//! durable, or by 202 where a client would rather not wait for that.
//!
//! A body is decompressed as it comes, so that a bomb costs no more than its limit; the bytes of
//! all bodies together are counted until the store has them, whether their clients stay or not.

mod body;
mod translate;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN,
};
use hyper::{Method, Request, StatusCode};
use signpost_core::otlp::{Lines, Signal, Untranslated, count_records};
use signpost_hal::clock;
use tokio::sync::OwnedSemaphorePermit;

use super::sockets::{Desk, Reply, Unavailable as _, no_such_path, text, wrong_method};
use crate::ports::{Answer, Call};

use body::{Encoding, Trouble, receive};
use translate::{Into, translate};

const EVENTS: &str = "/v1/events";

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// One object, a list, or one after the other: all are read alike.
const JSON_LINES: [&str; 5] = [
    JSON,
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/jsonlines",
];
const UNNAMED: [&str; 2] = ["application/x-www-form-urlencoded", "application/octet-stream"];

/// RFC 7240, section 4.1.
const RESPOND_ASYNC: &str = "respond-async";

/// When to come again once others' bodies have been taken in.
const CROWDED: Duration = Duration::from_secs(1);
/// When to come again after flash has failed.
const FLASH_FAILED: Duration = Duration::from_secs(30);

pub(super) async fn answer(request: Request<Incoming>, desk: &Arc<Desk>) -> Reply {
    let path = request.uri().path();
    let signal = Signal::ALL.into_iter().find(|signal| signal.path() == path);
    let target = match signal {
        Some(signal) => Target::Signal(signal),
        None if path == EVENTS => Target::Events,
        None => return no_such_path(),
    };
    let in_protobuf = matches!(target, Target::Signal(_)) && !is(request.headers(), JSON);
    let promised = !prefers_no_wait(request.headers());
    match take_in(target, promised, request, desk).await {
        Ok(()) => {
            let (media_type, body) = if in_protobuf { (PROTOBUF, "") } else { (JSON, "{}") };
            if promised {
                return text(StatusCode::OK, media_type, body);
            }
            let mut reply = text(StatusCode::ACCEPTED, media_type, body);
            let applied = HeaderValue::from_static(RESPOND_ASYNC);
            reply.headers_mut().insert("preference-applied", applied);
            reply
        }
        Err(refusal) => refusal.into_reply(!in_protobuf),
    }
}

/// What a path takes.
#[derive(Clone, Copy)]
enum Target {
    Signal(Signal),
    Events,
}

impl Target {
    /// The form that a body is said to have. `None`: one that is not understood here.
    fn form(self, headers: &HeaderMap) -> Option<Form> {
        let media_type = media_type(headers);
        let is = |name: &str| media_type.is_some_and(|it| it.eq_ignore_ascii_case(name));
        match self {
            Self::Signal(_) if is(PROTOBUF) => Some(Form::Protobuf),
            Self::Signal(_) if is(JSON) => Some(Form::Json),
            Self::Signal(_) => None,
            Self::Events if JSON_LINES.into_iter().any(is) => Some(Form::Lines(Some(Lines::Json))),
            Self::Events if is("text/plain") => Some(Form::Lines(Some(Lines::Text))),
            // What curl and wget say of a body that they know nothing of, or nothing at all.
            Self::Events if media_type.is_none() || UNNAMED.into_iter().any(is) => {
                Some(Form::Lines(None))
            }
            Self::Events => None,
        }
    }
}

/// How records are spelled.
#[derive(Clone, Copy)]
enum Form {
    Protobuf,
    Json,
    /// `None`: the first byte tells.
    Lines(Option<Lines>),
}

async fn take_in(
    target: Target,
    promised: bool,
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
    let form = target.form(headers).ok_or(Refusal::MediaType(target))?;
    let encoding = encoding(headers).ok_or(Refusal::Encoding)?;
    let limits = &desk.limits;
    if request.body().size_hint().lower() > limits.received as u64 {
        return Err(Refusal::TooLarge);
    }
    let service = service(&request);
    let received = receive(request.into_body(), encoding, limits, &desk.memory);
    let (body, memory) = match tokio::time::timeout(limits.body, received).await {
        Ok(received) => received?,
        Err(_) => return Err(Refusal::Slow),
    };
    let (signal, events) = match target {
        Target::Signal(signal) => (signal, false),
        Target::Events => (Signal::Logs, true),
    };
    let into = match form {
        Form::Protobuf => None,
        Form::Json => Some(Into::Request(signal)),
        Form::Lines(lines) => {
            let lines = lines.unwrap_or_else(|| look(&body));
            let observed = u64::try_from(clock::wall().as_nanos()).unwrap_or_default();
            Some(Into::Events { lines, service, observed })
        }
    };
    let (body, memory) = match into {
        None => (body, memory),
        Some(into) => translate(body, memory, into, desk).await?,
    };
    match count_records(&body) {
        Ok(0) => Ok(()),
        Ok(_) => {
            let call = Call::Accept { signal, events, body, volatile: !promised };
            store(call, memory, desk).await
        }
        Err(_) => Err(Refusal::NotOtlp),
    }
}

/// An object or a list begins like no line of a log does.
fn look(body: &[u8]) -> Lines {
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => Lines::Json,
        Some(_) | None => Lines::Text,
    }
}

/// `?service=`: who sends, for those who cannot say it in each record.
fn service(request: &Request<Incoming>) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(request.uri().query()?.as_bytes());
    let service = pairs.find(|(key, _)| key == "service").map(|(_, value)| value.into_owned());
    service.filter(|service| !service.is_empty())
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
enum Refusal {
    Page,
    Method,
    MediaType(Target),
    Encoding,
    TooLarge,
    Slow,
    Broken,
    NotGzip,
    NotOtlp,
    NotJson(Untranslated),
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
        let (status, code, message) = match &self {
            Self::Page => (
                StatusCode::FORBIDDEN,
                PERMISSION_DENIED,
                "pages in a browser must not send telemetry here",
            ),
            Self::Method => return wrong_method("POST"),
            Self::MediaType(Target::Signal(_)) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                UNIMPLEMENTED,
                "send application/x-protobuf or application/json (OTEL_EXPORTER_OTLP_PROTOCOL)",
            ),
            Self::MediaType(Target::Events) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                UNIMPLEMENTED,
                "send application/json, application/x-ndjson or text/plain",
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
            Self::NotJson(untranslated) => {
                (StatusCode::BAD_REQUEST, INVALID_ARGUMENT, &*explain(untranslated))
            }
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
            | Self::MediaType(_)
            | Self::TooLarge
            | Self::Slow
            | Self::Broken
            | Self::NotGzip
            | Self::NotOtlp
            | Self::NotJson(_) => reply,
        }
    }
}

/// Where the JSON is wrong; nothing of it is repeated.
fn explain(untranslated: &Untranslated) -> String {
    match untranslated {
        Untranslated::TooLarge => "too large; send fewer records at a time".into(),
        Untranslated::Malformed { field: None, line, column } => {
            format!("no JSON that belongs here: line {line}, column {column}")
        }
        Untranslated::Malformed { field: Some(field), line, column } => {
            format!("{field}: not what belongs there: line {line}, column {column}")
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

fn is(headers: &HeaderMap, name: &str) -> bool {
    media_type(headers).is_some_and(|it| it.eq_ignore_ascii_case(name))
}

/// Whether the client would rather not wait until its records are durable.
fn prefers_no_wait(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    preferences.any(|it| {
        let name = it.split([';', '=']).next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case(RESPOND_ASYNC)
    })
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
