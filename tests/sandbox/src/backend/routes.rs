//! OTLP over HTTP, behind a bearer token.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, State as Shared};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use flate2::read::MultiGzDecoder;

use super::otlp::{self, Encoding, Signal};
use super::{Delivery, Stored};
use crate::fault::Endpoint;
use crate::issuer::Refused;
use crate::issuer::routes::bearer;
use crate::journal::{Caller, Violation};
use crate::play::{Call, answer};
use crate::reply::Reply;
use crate::sandbox::World;
use crate::wire::Wire;

/// Before and after decompression.
const LARGEST_BODY: usize = 16 << 20;

/// Codes of gRPC that OTLP's errors carry.
const INVALID_ARGUMENT: i32 = 3;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNAUTHENTICATED: i32 = 16;
const PERMISSION_DENIED: i32 = 7;

pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/v1/logs", post(logs))
        .route("/v1/metrics", post(metrics))
        .route("/v1/traces", post(traces))
        .route("/elsewhere", any(elsewhere))
        .merge(crate::pages::live::router())
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(world)
}

type Parts = (Shared<Arc<World>>, Extension<Wire>, HeaderMap, Bytes);

async fn logs(
    world: Shared<Arc<World>>,
    wire: Extension<Wire>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    take(Signal::Logs, (world, wire, headers, body)).await
}

async fn metrics(
    world: Shared<Arc<World>>,
    wire: Extension<Wire>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    take(Signal::Metrics, (world, wire, headers, body)).await
}

async fn traces(
    world: Shared<Arc<World>>,
    wire: Extension<Wire>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    take(Signal::Traces, (world, wire, headers, body)).await
}

async fn take(signal: Signal, parts: Parts) -> Response {
    let (Shared(world), Extension(wire), headers, body) = parts;
    let endpoint = signal.endpoint();
    let encoding = encoding(&headers);
    let answer_in = *encoding.as_ref().unwrap_or(&Encoding::Protobuf);
    let subject = world.look(|state, now| {
        let (audience, scope) = (Some(world.telemetry_url()), world.telemetry_scope());
        state.issuer.check_access(bearer(&headers), audience, scope, now)
    });
    let caller = Caller::of(subject.as_ref().ok());
    // Only whoever may send makes the sandbox unpack and decode.
    let delivery = subject.map(|subject| unpack(signal, encoding, subject, &headers, body));
    answer(&world, Call { endpoint, caller, wire }, |state, now| {
        let delivery = match delivery {
            Ok(Ok(delivery)) => delivery,
            Ok(Err(unread)) => return unread.reply(answer_in),
            Err(refused) => {
                if matches!(refused, Refused::WrongAudience) {
                    state.journal.violation(Violation::WrongAudience { endpoint });
                }
                return unauthorized(&refused, answer_in);
            }
        };
        if state.backend.store(delivery, now) == Stored::Changed {
            state.journal.violation(Violation::ChangedUnderKey { endpoint });
            let why = "this idempotency key came with another body".to_owned();
            return Unread { status: 422, why }.reply(answer_in);
        }
        Reply::new(200, answer_in.content_type(), otlp::accepted(signal, answer_in, 0))
    })
    .await
}

fn unpack(
    signal: Signal,
    encoding: Result<Encoding, Unread>,
    subject: String,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Delivery, Unread> {
    let encoding = encoding?;
    let wire_bytes = body.len();
    let body = inflate(headers, body)?;
    let records =
        otlp::decode(signal, encoding, &body).map_err(|why| Unread { status: 400, why })?;
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: BTreeMap<String, String> = headers
        .iter()
        .filter(|(name, _)| *name != header::AUTHORIZATION)
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    Ok(Delivery { signal, subject, headers, encoding, wire_bytes, body, records })
}

/// An accepted request's answer with some records declared rejected.
pub(crate) fn partial(reply: Reply, endpoint: Endpoint, rejected: u32) -> Reply {
    let signals = [Signal::Logs, Signal::Metrics, Signal::Traces];
    let Some(signal) = signals.into_iter().find(|signal| signal.endpoint() == endpoint) else {
        return reply;
    };
    if reply.status != 200 {
        return reply;
    }
    let json = reply.headers.iter().any(|(_, value)| value == Encoding::Json.content_type());
    let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
    Reply::new(200, encoding.content_type(), otlp::accepted(signal, encoding, rejected))
}

/// A body that could not be taken, and why.
struct Unread {
    status: u16,
    why: String,
}

impl Unread {
    fn reply(&self, encoding: Encoding) -> Reply {
        let code = if self.status == 413 { RESOURCE_EXHAUSTED } else { INVALID_ARGUMENT };
        let body = otlp::refused(encoding, code, &self.why);
        Reply::new(self.status, encoding.content_type(), body)
    }
}

fn unauthorized(refused: &Refused, encoding: Encoding) -> Reply {
    let mut reply = refused.reply();
    let code = if reply.status == 403 { PERMISSION_DENIED } else { UNAUTHENTICATED };
    reply.body = otlp::refused(encoding, code, "the access token was refused");
    reply.header(header::CONTENT_TYPE, encoding.content_type())
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Unread> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mime = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if mime.eq_ignore_ascii_case("application/x-protobuf") {
        Ok(Encoding::Protobuf)
    } else if mime.eq_ignore_ascii_case("application/json") {
        Ok(Encoding::Json)
    } else {
        Err(Unread { status: 415, why: "neither protobuf nor JSON".to_owned() })
    }
}

fn inflate(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Unread> {
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    match coding {
        None | Some("identity") => Ok(body),
        Some("gzip") => read_plain(MultiGzDecoder::new(&body[..])),
        Some("zstd") => match zstd::stream::read::Decoder::new(&body[..]) {
            Ok(decoder) => read_plain(decoder),
            Err(_) => Err(Unread { status: 400, why: "broken zstd".to_owned() }),
        },
        Some(_) => Err(Unread { status: 415, why: "gzip, zstd or nothing".to_owned() }),
    }
}

fn read_plain(decoder: impl Read) -> Result<Bytes, Unread> {
    let mut plain = Vec::new();
    // One byte more than allowed tells "just fits" from "too much".
    match decoder.take(LARGEST_BODY as u64 + 1).read_to_end(&mut plain) {
        Ok(_) if plain.len() > LARGEST_BODY => {
            Err(Unread { status: 413, why: "too large once decompressed".to_owned() })
        }
        Ok(_) => Ok(plain.into()),
        Err(_) => Err(Unread { status: 400, why: "not what content-encoding says".to_owned() }),
    }
}

/// Where a redirect leads. A client that brings its token here has given it away.
async fn elsewhere(Shared(world): Shared<Arc<World>>) -> Response {
    world.with(|state, _| state.journal.violation(Violation::FollowedRedirect));
    Reply::empty(400).into_response()
}
