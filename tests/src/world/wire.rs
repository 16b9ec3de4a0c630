//! Exchanges as the bytes that the HTTP port makes of them, for networks that end in the middle of
//! one. What becomes of an exchange follows from where that is.

use signpost_core::{
    http::{Body, Cause, Outcome, Reply, Request},
    jws::Place,
};

/// Where the connection of an exchange ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// After so many bytes, those of the request and then those of the answer.
    pub after: usize,
    /// How the device notices: at once, or because nothing more comes.
    pub cause: Cause,
    /// Whether the answer says how long it is. One that does not seems to be whole wherever its body
    /// ends (RFC 9112 section 6.3).
    pub framed: bool,
}

/// How many bytes an exchange has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// On the way to the server.
    pub request: usize,
    /// On the way back; zero where no answer left.
    pub answer: usize,
}

/// The bytes of `request`; what would be signed counts with its claims.
pub(super) fn request_length(request: &Request) -> usize {
    let method = if request.body.is_some() { "POST" } else { "GET" };
    let (host, path) =
        request.url.split_once("://").unwrap_or_default().1.split_once('/').unwrap_or_default();
    let mut head =
        format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: signpost/0\r\n");
    for (name, value) in &request.headers {
        head += &format!("{name}: {}\r\n", value.expose());
    }
    let body = match &request.body {
        Some(Body::Form(form)) => form.expose().len(),
        Some(Body::Protobuf(bytes)) => bytes.len(),
        None => 0,
    };
    let signed = request.unsigned.iter().map(|it| match it.place {
        Place::Header(name) => name.len() + 4 + it.claims.expose().len(),
        Place::Field(name) => name.len() + 2 + it.claims.expose().len(),
    });
    head += &format!("content-length: {body}\r\n\r\n");
    head.len() + body + signed.sum::<usize>()
}

/// The bytes of a reply before its body.
fn head_length(reply: &Reply, framed: bool) -> usize {
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if framed {
        head += &format!("content-length: {}\r\n", reply.body.len());
    }
    head.len() + "\r\n".len()
}

pub(super) fn answer_length(reply: &Reply, framed: bool) -> usize {
    head_length(reply, framed) + reply.body.len()
}

impl Cut {
    /// What the device learns where only `after` bytes of `reply` come.
    pub(super) fn outcome(self, mut reply: Reply) -> Outcome {
        let head = head_length(&reply, self.framed);
        if self.after >= answer_length(&reply, self.framed) {
            return Outcome::Reply(reply);
        }
        if self.framed || self.after < head {
            return Outcome::Lost(self.cause);
        }
        reply.body.truncate(self.after - head);
        Outcome::Reply(reply)
    }
}
