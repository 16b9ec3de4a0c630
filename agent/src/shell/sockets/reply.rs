//! Answers over HTTP, with OAuth's names for what went wrong.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

/// A whole answer.
pub(in crate::shell) type Reply = Response<Full<Bytes>>;

/// `{error, error_description}` (RFC 6749, section 5.2).
#[derive(Serialize)]
struct Error<'a> {
    error: &'a str,
    error_description: &'a str,
}

/// Text of `media_type`.
pub(in crate::shell) fn text(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Reply {
    let mut reply = Reply::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

/// An object; cleared from memory once it is sent, for it may hold a token.
pub(in crate::shell) fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    // Room for a large token: a buffer that grew would leave pieces of it behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(8 << 10));
    if serde_json::to_writer(&mut *bytes, body).is_err() {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "The agent failed.");
    }
    let mut reply = text(status, "application/json", Bytes::from_owner(bytes));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// An error by OAuth's names.
pub(in crate::shell) fn error(status: StatusCode, error: &str, description: &str) -> Reply {
    json(status, &Error { error, error_description: description })
}

/// 404.
pub(in crate::shell) fn no_such_path() -> Reply {
    error(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path.")
}

/// 405.
pub(in crate::shell) fn wrong_method(allowed: &'static str) -> Reply {
    let reply = error(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This path takes another method.",
    );
    with(reply, ALLOW, HeaderValue::from_static(allowed))
}

fn with(mut reply: Reply, name: HeaderName, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}

/// Adds when to come again.
pub(in crate::shell) trait Unavailable {
    /// With `Retry-After`, in whole seconds, one at least.
    fn retry_after(self, after: Duration) -> Self;
}

impl Unavailable for Reply {
    fn retry_after(self, after: Duration) -> Self {
        let seconds = (after + Duration::from_millis(999)).as_secs().clamp(1, 86_400);
        with(self, RETRY_AFTER, HeaderValue::from(seconds))
    }
}
