//! One request from arrival to answer: counted, checked against what the caller was told before,
//! processed, and bent by the fault that waits for it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use serde_json::json;

use crate::clock::{Now, pause};
use crate::fault::{Endpoint, Fault, RetryAfter};
use crate::journal::Caller;
use crate::reply::Reply;
use crate::sandbox::{State, World};
use crate::wire::Wire;

/// A hanging request ends at last, so that nothing stays for ever.
const LONGEST_HANG: Duration = Duration::from_secs(600);
/// A header may name that much and no more.
const LARGEST_BODY: usize = 64 << 20;

/// A request at an endpoint.
pub(crate) struct Call {
    pub(crate) endpoint: Endpoint,
    pub(crate) caller: Caller,
    pub(crate) wire: Wire,
}

/// Answers `call` by `process`, or as the fault set for its endpoint says.
pub(crate) async fn answer(
    world: &Arc<World>,
    call: Call,
    process: impl FnOnce(&mut State, Now) -> Reply,
) -> Response {
    let fault = arrive(world, &call);
    give(world, call, fault, process).await
}

/// Notes a request; gives the fault that it meets.
pub(crate) fn arrive(world: &World, call: &Call) -> Option<Fault> {
    world.with(|state, now| {
        state.journal.arrived(call.endpoint, call.caller, now.up);
        state.faults.take(call.endpoint)
    })
}

/// The answer to a request that has arrived.
pub(crate) async fn give(
    world: &Arc<World>,
    call: Call,
    fault: Option<Fault>,
    process: impl FnOnce(&mut State, Now) -> Reply,
) -> Response {
    let _running = Running::begin(world, &call);
    let processed = || world.with(process);
    let reply = match fault {
        None => processed(),
        Some(Fault::Status { status, retry_after }) => {
            proxy_error(world, &call, status, retry_after)
        }
        Some(Fault::OauthError { status, error, description, interval }) => {
            let mut body = json!({ "error": error });
            if let Some(description) = description {
                body["error_description"] = description.into();
            }
            if let Some(interval) = interval {
                body["interval"] = interval.into();
            }
            Reply::json(status, &body)
        }
        Some(Fault::Garbage { status }) => {
            Reply::new(status, "application/json", b"{\"access_token\": \xff\xfe\x00 oops".to_vec())
        }
        Some(Fault::Html { status }) => Reply::new(
            status,
            "text/html; charset=utf-8",
            "<!doctype html><title>Welcome</title><p>Please accept our terms to use this network.",
        ),
        Some(Fault::Empty { status }) => Reply::empty(status),
        Some(Fault::Oversized { bytes }) => {
            let padding = "x".repeat(bytes.min(LARGEST_BODY).saturating_sub(14));
            Reply::json(200, &json!({ "padding": padding }))
        }
        Some(Fault::Slow { pause_ms }) => {
            return drip(processed(), Duration::from_millis(pause_ms));
        }
        Some(Fault::Delay { ms }) => {
            pause(Duration::from_millis(ms).min(LONGEST_HANG)).await;
            processed()
        }
        Some(Fault::Hang { processed: first }) => {
            if first {
                processed();
            }
            pause(LONGEST_HANG).await;
            Reply::empty(504)
        }
        Some(Fault::Reset { processed: first }) => {
            if first {
                processed();
            }
            call.wire.reset();
            Reply::empty(500)
        }
        Some(Fault::Cut { bytes }) => return cut(processed(), bytes),
        Some(Fault::Redirect { status, location }) => {
            let location = location.unwrap_or_else(|| "/elsewhere".to_owned());
            Reply::empty(status).header(header::LOCATION, location)
        }
        Some(Fault::FormEncoded) => processed().into_form(),
        Some(Fault::Edit { set, remove }) => processed().edit(|fields| {
            fields.extend(set);
            fields.retain(|name, _| !remove.contains(name));
        }),
        Some(Fault::PartialSuccess { rejected }) => {
            let reply = processed();
            crate::backend::routes::partial(reply, call.endpoint, rejected)
        }
    };
    reply.into_response()
}

/// A bare status, and from now on the caller is held to its `Retry-After`.
fn proxy_error(world: &World, call: &Call, status: u16, retry_after: Option<RetryAfter>) -> Reply {
    let reply = Reply::new(status, "text/plain", "set by the sandbox\n");
    let Some(retry_after) = retry_after else { return reply };
    let (seconds, value) = match retry_after {
        RetryAfter::Seconds(seconds) => (seconds, seconds.to_string()),
        RetryAfter::Date(seconds) => {
            let unix = world.now().unix.saturating_add(u64::from(seconds));
            (seconds, http_date(unix))
        }
    };
    world.with(|state, now| {
        let mut until = now.up + Duration::from_secs(seconds.into());
        if matches!(retry_after, RetryAfter::Date(_)) {
            // A date has whole seconds only.
            until = until.saturating_sub(Duration::from_secs(1));
        }
        state.journal.told_to_wait(call.endpoint, call.caller, until);
    });
    reply.header(header::RETRY_AFTER, value)
}

fn http_date(unix: u64) -> String {
    let timestamp = i64::try_from(unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    timestamp
        .and_then(|timestamp| printer.timestamp_to_rfc9110_string(&timestamp).ok())
        .unwrap_or_default()
}

/// The whole reply, declared with its length, one byte at a time.
fn drip(mut reply: Reply, between: Duration) -> Response {
    let body = std::mem::take(&mut reply.body);
    let reply = reply.header(header::CONTENT_LENGTH, body.len().to_string());
    let bytes = stream::unfold((body, 0), move |(body, next)| async move {
        let byte = *body.get(next)?;
        if next > 0 {
            pause(between).await;
        }
        Some((Ok::<_, Infallible>(Bytes::copy_from_slice(&[byte])), (body, next + 1)))
    });
    reply.with_body(Body::from_stream(bytes))
}

/// The reply's head with its full length, `bytes` of its body, and no more.
fn cut(mut reply: Reply, bytes: usize) -> Response {
    let mut body = std::mem::take(&mut reply.body);
    let reply = reply.header(header::CONTENT_LENGTH, body.len().to_string());
    body.truncate(bytes);
    let parts = stream::unfold(Some(body), |part| async move {
        match part {
            Some(body) => Some((Ok(Bytes::from(body)), None)),
            None => {
                // What was sent so far has to leave before the connection goes.
                pause(Duration::from_millis(20)).await;
                Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), None))
            }
        }
    });
    reply.with_body(Body::from_stream(parts))
}

/// Notices refreshes that overlap; ends when the answer is given or the client has gone.
struct Running<'a> {
    world: &'a World,
    caller: Option<Caller>,
}

impl<'a> Running<'a> {
    fn begin(world: &'a World, call: &Call) -> Self {
        let caller = (call.endpoint == Endpoint::TokenRefresh).then_some(call.caller);
        if let Some(caller) = caller {
            world.with(|state, _| state.journal.refresh_begins(caller));
        }
        Self { world, caller }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(caller) = self.caller {
            self.world.with(|state, _| state.journal.refresh_ends(caller));
        }
    }
}
