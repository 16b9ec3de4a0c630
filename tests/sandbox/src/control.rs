//! The same switches as [`crate::Sandbox`], over HTTP for scripts. Only this machine may use them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, Request, State as Shared};
use axum::http::header;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::certificates::Certificate;
use crate::fault::{Endpoint, Fault, Times};
use crate::reply::Reply;
use crate::sandbox::{Service, World};
use crate::wire::Wire;

pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/control/codes", get(codes))
        .route("/control/approve", post(approve))
        .route("/control/deny", post(deny))
        .route("/control/faults", post(set_fault).delete(clear_faults))
        .route("/control/grants/revoke", post(revoke_grants))
        .route("/control/access-tokens/revoke", post(revoke_access_tokens))
        .route("/control/account", post(account))
        .route("/control/keys/rotate", post(rotate_keys))
        .route("/control/advance", post(advance))
        .route("/control/open", post(open))
        .route("/control/certificate", post(certificate))
        .route("/control/received", get(received))
        .route("/control/journal", get(journal))
        .route_layer(from_fn(local_only))
}

/// Refuses other machines, and pages of other origins in a browser on this one.
async fn local_only(Extension(wire): Extension<Wire>, request: Request, next: Next) -> Response {
    if !wire.peer.ip().is_loopback() || request.headers().contains_key(header::ORIGIN) {
        return refused(403, "only programs on this machine").into_response();
    }
    next.run(request).await
}

async fn codes(Shared(world): Shared<Arc<World>>) -> Reply {
    let codes = world.look(|state, now| state.issuer.pending_codes(now));
    Reply::json(200, &json!({ "codes": codes }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approve {
    user_code: String,
    account: String,
}

async fn approve(Shared(world): Shared<Arc<World>>, body: Bytes) -> Reply {
    with_json(&body, |wanted: Approve| {
        world
            .with(|state, now| state.issuer.approve(&wanted.user_code, &wanted.account, now))
            .map_err(|error| error.to_string())
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deny {
    user_code: String,
}

async fn deny(Shared(world): Shared<Arc<World>>, body: Bytes) -> Reply {
    with_json(&body, |wanted: Deny| {
        world
            .with(|state, now| state.issuer.deny(&wanted.user_code, now))
            .map_err(|error| error.to_string())
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetFault {
    endpoint: Endpoint,
    fault: Fault,
    /// Until cleared if absent.
    #[serde(default)]
    times: Option<u32>,
}

async fn set_fault(Shared(world): Shared<Arc<World>>, body: Bytes) -> Reply {
    with_json(&body, |wanted: SetFault| {
        let times = wanted.times.map_or(Times::Always, Times::Next);
        world.with(|state, _| state.faults.set(wanted.endpoint, wanted.fault, times));
        Ok(())
    })
}

async fn clear_faults(Shared(world): Shared<Arc<World>>, RawQuery(query): RawQuery) -> Reply {
    let query = query.unwrap_or_default();
    let endpoint = match query.strip_prefix("endpoint=") {
        None => None,
        Some(name) => match serde_json::from_value(Value::from(name)) {
            Ok(endpoint) => Some(endpoint),
            Err(error) => return refused(400, &error.to_string()),
        },
    };
    world.with(|state, _| state.faults.clear(endpoint));
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    subject: String,
}

async fn revoke_grants(Shared(world): Shared<Arc<World>>, body: Bytes) -> Reply {
    with_json(&body, |person: Person| {
        world.with(|state, _| state.issuer.revoke_grants(&person.subject));
        Ok(())
    })
}

async fn revoke_access_tokens(Shared(world): Shared<Arc<World>>, body: Bytes) -> Reply {
    with_json(&body, |person: Person| {
        world.with(|state, _| state.issuer.revoke_access_tokens(&person.subject));
        Ok(())
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enable {
    subject: String,
    enabled: bool,
}

async fn account(Shared(world): Shared<Arc<World>>, body: Bytes) -> Reply {
    with_json(&body, |wanted: Enable| {
        let known =
            world.with(|state, _| state.issuer.set_enabled(&wanted.subject, wanted.enabled));
        if known { Ok(()) } else { Err("no such account".to_owned()) }
    })
}

async fn rotate_keys(Shared(world): Shared<Arc<World>>) -> Reply {
    match world.with(|state, _| state.issuer.rotate_keys()) {
        Ok(()) => done(),
        Err(error) => refused(500, &error.to_string()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u32,
}

async fn advance(Shared(world): Shared<Arc<World>>, body: Bytes) -> Reply {
    with_json(&body, |wanted: Advance| {
        world.advance(Duration::from_secs(wanted.seconds.into()));
        Ok(())
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    service: Service,
    open: bool,
}

async fn open(Shared(world): Shared<Arc<World>>, body: Bytes) -> Reply {
    let wanted: Open = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return refused(400, &error.to_string()),
    };
    if wanted.service == Service::Issuer {
        return refused(400, "these switches are served by the issuer itself");
    }
    match world.set_open(wanted.service, wanted.open).await {
        Ok(()) => done(),
        Err(error) => refused(500, &error.to_string()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Show {
    certificate: Certificate,
}

async fn certificate(Shared(world): Shared<Arc<World>>, body: Bytes) -> Reply {
    with_json(&body, |wanted: Show| {
        world.set_certificate(wanted.certificate).map_err(|error| error.to_string())
    })
}

async fn received(Shared(world): Shared<Arc<World>>, RawQuery(query): RawQuery) -> Reply {
    let query = query.unwrap_or_default();
    let after = query.strip_prefix("after=").and_then(|text| text.parse().ok()).unwrap_or(0);
    let (received, totals) =
        world.look(|state, _| (state.backend.received(), state.backend.totals()));
    let newer: Vec<_> =
        received.iter().filter(|one| one.sequence > after).map(|one| &**one).collect();
    Reply::json(200, &json!({ "received": newer, "totals": totals }))
}

async fn journal(Shared(world): Shared<Arc<World>>) -> Reply {
    let (counts, violations) = world.look(|state, _| {
        let count = |endpoint| (name(endpoint), state.journal.count(endpoint));
        let counts: BTreeMap<_, _> = Endpoint::ALL.into_iter().map(count).collect();
        (counts, state.journal.violations())
    });
    Reply::json(200, &json!({ "counts": counts, "violations": violations }))
}

fn name(endpoint: Endpoint) -> String {
    let name = serde_json::to_value(endpoint).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

fn with_json<T: DeserializeOwned>(body: &[u8], act: impl FnOnce(T) -> Result<(), String>) -> Reply {
    match serde_json::from_slice(body).map_err(|error| error.to_string()).and_then(act) {
        Ok(()) => done(),
        Err(why) => refused(400, &why),
    }
}

fn done() -> Reply {
    Reply::json(200, &json!({ "ok": true }))
}

fn refused(status: u16, why: &str) -> Reply {
    Reply::json(status, &json!({ "ok": false, "why": why }))
}
