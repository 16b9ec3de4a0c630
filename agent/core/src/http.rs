//! One HTTP exchange as values: what to send, and the three ways in which it can end.

use crate::{jws::Unsigned, secret::Secret};
use alloc::{borrow::Cow, string::String, vec::Vec};
use core::{fmt, time::Duration};

/// The most that is read of a reply's body; what is longer counts as lost.
pub const MAX_REPLY: usize = 64 * 1024;

/// The least and the most time that a whole exchange may take, connecting included.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Who is talked to: the two may have a CA and a proxy each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The authorization server.
    Issuer,
    /// The telemetry backend.
    Telemetry,
}

/// What the sender shall send. Redirects are never followed.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Whose settings apply.
    pub peer: Peer,
    /// Where to; `https`, or `http` to a loopback address.
    pub url: String,
    /// Header names in lower case, and values.
    pub headers: Vec<(Cow<'static, str>, Secret)>,
    /// `None`: GET. Otherwise POST with this body.
    pub body: Option<Body>,
    /// What the sender signs and puts in. Where it cannot, the request is not sent.
    pub unsigned: Vec<Unsigned>,
}

/// A request's body.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// `application/x-www-form-urlencoded`; it holds secrets.
    Form(Secret),
    /// Telemetry, compressed by the sender as configured.
    Protobuf(Vec<u8>),
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = if self.body.is_some() { "POST" } else { "GET" };
        write!(f, "{method} {} ({:?})", self.url, self.peer)
    }
}

/// How an exchange ended.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server's whole answer.
    Reply(Reply),
    /// Nothing reached the server: sending again is safe.
    NotSent(Cause),
    /// The request, or part of it, may have been acted upon, and the answer is not whole.
    Lost(Cause),
}

/// A whole answer. `Debug` shows the status only: bodies hold tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers that are acted upon, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, at most [`MAX_REPLY`] bytes.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of header `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.body);
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(reply) => reply.fmt(f),
            Self::NotSent(cause) => write!(f, "NotSent({cause:?})"),
            Self::Lost(cause) => write!(f, "Lost({cause:?})"),
        }
    }
}

/// Why there is no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The host's name has no address now.
    Dns,
    /// No connection: refused, unreachable, no route.
    Connect,
    /// Nothing, or not enough, within [`EXCHANGE_TIMEOUT`].
    Timeout,
    /// The server's certificate is not valid at the date that this clock shows.
    CertificateDates,
    /// The server's certificate is by nobody whom this device trusts, or for another name.
    CertificateUntrusted,
    /// TLS failed otherwise.
    Tls,
    /// The connection ended in mid-answer, or what came was no HTTP.
    Broken,
    /// The answer is longer than [`MAX_REPLY`].
    TooLarge,
    /// The key that the request was to be signed with does not sign.
    Unsigned,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString, vec};

    #[test]
    fn invariant_7_neither_request_nor_reply_prints_its_body_or_headers() {
        let request = Request {
            peer: Peer::Issuer,
            url: "https://idp.example/token".to_string(),
            headers: vec![("authorization".into(), Secret::new("Basic c2VjcmV0"))],
            body: Some(Body::Form(Secret::new("refresh_token=rt-secret"))),
            unsigned: vec![],
        };
        let reply = Reply { status: 200, headers: vec![], body: b"{\"access_token\":1}".to_vec() };
        let printed = format!("{request:?} {reply:?} {:?}", Outcome::Reply(reply.clone()));
        assert!(!printed.contains("secret") && !printed.contains("c2Vj"), "{printed}");
        assert!(!printed.contains("access_token"), "{printed}");
    }
}
