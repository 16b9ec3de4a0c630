//! The HTTP port over real sockets: what servers do, and what the state machines are told of it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod plain;
mod proxy;
mod servers;
mod tls;

use servers::Server;
use signpost::config::{self, Sources};
use signpost::shell::http::{Http, HttpError, Limits};
use signpost_core::http::{Body, Outcome, Peer, Reply, Request};
use signpost_core::secret::Secret;
use std::{io::Write, time::Duration};

/// Short, so that tests of what never ends do.
const LIMITS: Limits =
    Limits { connect: Duration::from_millis(300), exchange: Duration::from_millis(600) };

/// The port as `more` configures it. No system authority is trusted.
fn try_http(more: &str) -> Result<Http, HttpError> {
    let mut file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    let text = format!("[issuer]\nurl = \"https://idp.example.com\"\nclient_id = \"c\"\n{more}");
    file.write_all(text.as_bytes()).unwrap();
    Http::new(&config::load(&Sources::file(file.path())).unwrap(), LIMITS)
}

fn http() -> Http {
    try_http("").unwrap()
}

fn get(url: &str) -> Request {
    Request { peer: Peer::Issuer, url: url.into(), headers: vec![], body: None, unsigned: vec![] }
}

fn form(url: &str) -> Request {
    let form = Secret::new("grant_type=refresh_token&refresh_token=rt-secret");
    Request { body: Some(Body::Form(form)), ..get(url) }
}

fn telemetry(url: &str, body: &[u8]) -> Request {
    Request { peer: Peer::Telemetry, body: Some(Body::Protobuf(body.to_vec())), ..get(url) }
}

#[track_caller]
fn reply(outcome: Outcome) -> Reply {
    match outcome {
        Outcome::Reply(reply) => reply,
        Outcome::NotSent(_) | Outcome::Lost(_) => panic!("{outcome:?}"),
    }
}

/// What becomes of a form that is sent to a server that answers with `bytes` and ends.
async fn answered_with(bytes: impl Into<Vec<u8>>) -> Outcome {
    let server = Server::answering(bytes).await;
    http().exchange(form(&server.url())).await
}
