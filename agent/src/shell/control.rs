//! The control socket: everything that the device's owner may ask for.

mod check;
mod metrics;

use std::time::Duration;

pub(super) use metrics::exposition;

use hyper::{Method, Request, StatusCode};
use serde_json::json;

use super::sockets::{
    Desk, Reply, Unavailable as _, error, json, no_such_path, text, wrong_method,
};
use crate::ports::{Answer, Call};
use crate::status::Status;

/// How long to leave flash alone after it has failed.
const FLASH_FAILED: Duration = Duration::from_secs(30);

pub(super) async fn answer<B>(request: &Request<B>, desk: &Desk) -> Reply {
    match (request.uri().path(), request.method()) {
        ("/v1/status", &Method::GET) => status(desk, true).await,
        ("/v1/check", &Method::GET) => {
            with_status(desk, true, |status| {
                json(
                    StatusCode::OK,
                    &json!({ "probes": check::probes(status, desk.sealed.as_ref()) }),
                )
            })
            .await
        }
        ("/metrics", &Method::GET) => metrics(desk).await,
        ("/v1/sign-in", &Method::POST) => done(desk, Call::SignIn).await,
        ("/v1/sign-out", &Method::POST) => done(desk, Call::SignOut).await,
        ("/v1/reset", &Method::POST) => done(desk, Call::Reset).await,
        ("/v1/test-panels", &Method::POST) => done(desk, Call::TestPanels).await,
        ("/v1/reload", &Method::POST) => done(desk, Call::Reload).await,
        ("/v1/status" | "/v1/check" | "/metrics", _) => wrong_method("GET"),
        ("/v1/sign-in" | "/v1/sign-out" | "/v1/reset" | "/v1/test-panels" | "/v1/reload", _) => {
            wrong_method("POST")
        }
        _ => no_such_path(),
    }
}

/// `[metrics] listen`: the same text, and nothing else.
pub(super) async fn answer_metrics<B>(request: &Request<B>, desk: &Desk) -> Reply {
    match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET) => metrics(desk).await,
        ("/metrics", _) => wrong_method("GET"),
        _ => no_such_path(),
    }
}

/// How it stands; `private`: with code, address and account.
pub(super) async fn status(desk: &Desk, private: bool) -> Reply {
    with_status(desk, private, |status| json(StatusCode::OK, status)).await
}

async fn metrics(desk: &Desk) -> Reply {
    with_status(desk, false, |status| {
        text(StatusCode::OK, metrics::MEDIA_TYPE, metrics::exposition(status))
    })
    .await
}

async fn with_status(desk: &Desk, private: bool, reply: impl FnOnce(&Status) -> Reply) -> Reply {
    let answer = desk.ask(Call::Status { private }).await;
    if let Answer::Status(status) = &answer { reply(status) } else { not_now(&answer) }
}

async fn done(desk: &Desk, call: Call) -> Reply {
    let answer = desk.ask(call).await;
    if let Answer::Done = answer { json(StatusCode::OK, &json!({})) } else { not_now(&answer) }
}

/// What is said to everyone who cannot be served now.
pub(super) fn not_now(answer: &Answer) -> Reply {
    let unavailable = |description: &str, after: Duration| {
        error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", description)
            .retry_after(after)
    };
    match answer {
        Answer::TryLater(after) => unavailable("The agent cannot do this now; try again.", *after),
        Answer::NotSaved => {
            unavailable("Flash or disk fails; see `signpost status`.", FLASH_FAILED)
        }
        Answer::BadConfiguration(problem) => {
            error(StatusCode::BAD_REQUEST, "invalid_configuration", problem)
        }
        Answer::Token(..)
        | Answer::Proof(_)
        | Answer::Status(_)
        | Answer::Done
        | Answer::SignInNeeded
        | Answer::TooLarge
        | Answer::Refused => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "The agent failed.")
        }
    }
}
