//! The identity provider over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, State as Shared};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};

use super::{Asked, Refused, device, exchange};
use crate::fault::{Endpoint, Fault};
use crate::journal::{Caller, Violation};
use crate::play::{Call, answer, arrive, give};
use crate::reply::Reply;
use crate::sandbox::World;
use crate::wire::Wire;

/// A form of OAuth's is small.
const LARGEST_FORM: usize = 64 << 10;

pub(crate) fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/.well-known/oauth-authorization-server", get(discovery))
        .route("/jwks", get(jwks))
        .route("/device_authorization", post(device_authorization))
        .route("/token", post(token))
        .route("/revoke", post(revoke))
        .route("/userinfo", get(userinfo).post(userinfo))
        .route("/elsewhere", any(elsewhere))
        .fallback(at_vendors_path)
        .merge(crate::pages::sign_in::router())
        .merge(crate::control::router())
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .with_state(world)
}

/// The same endpoints where the vendor has them.
async fn at_vendors_path(
    world: Shared<Arc<World>>,
    wire: Extension<Wire>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let vendor = world.look(|state, _| state.issuer.vendor());
    if method == Method::GET && vendor.has_keys_at(uri.path()) {
        return jwks(world, wire).await;
    }
    let endpoint = vendor.endpoint(uri.path());
    match endpoint.filter(|_| method == Method::POST) {
        Some(Endpoint::DeviceAuthorization) => {
            device_authorization(world, wire, headers, body).await
        }
        Some(Endpoint::Revocation) => revoke(world, wire, headers, body).await,
        Some(Endpoint::TokenPoll) => token(world, wire, headers, body).await,
        Some(_) | None => Reply::empty(404).into_response(),
    }
}

async fn discovery(
    Shared(world): Shared<Arc<World>>,
    Extension(wire): Extension<Wire>,
) -> Response {
    let call = Call { endpoint: Endpoint::Discovery, caller: Caller::of(()), wire };
    answer(&world, call, |state, _| state.issuer.metadata()).await
}

async fn jwks(Shared(world): Shared<Arc<World>>, Extension(wire): Extension<Wire>) -> Response {
    let call = Call { endpoint: Endpoint::Jwks, caller: Caller::of(()), wire };
    answer(&world, call, |state, _| state.issuer.jwks()).await
}

async fn device_authorization(
    Shared(world): Shared<Arc<World>>,
    Extension(wire): Extension<Wire>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let endpoint = Endpoint::DeviceAuthorization;
    let asked = match read(&world, endpoint, &headers, &body) {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    let caller = Caller::of(asked.get("client_id"));
    answer(&world, Call { endpoint, caller, wire }, |state, now| {
        state.issuer.device_authorization(&asked, now)
    })
    .await
}

async fn token(
    Shared(world): Shared<Arc<World>>,
    Extension(wire): Extension<Wire>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = match read(&world, Endpoint::TokenPoll, &headers, &body) {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    match asked.get("grant_type") {
        Some(device::GRANT_TYPE) => poll(&world, wire, asked).await,
        Some("refresh_token") => {
            let caller = world.look(|state, _| state.issuer.refresh_caller(&asked));
            let call = Call { endpoint: Endpoint::TokenRefresh, caller, wire };
            answer(&world, call, |state, now| state.issuer.refresh(&asked, &mut state.journal, now))
                .await
        }
        Some(exchange::TOKEN_EXCHANGE | exchange::JWT_BEARER) => {
            let caller = Caller::of(asked.get("client_id"));
            let call = Call { endpoint: Endpoint::TokenExchange, caller, wire };
            answer(&world, call, |state, now| state.issuer.exchange(&asked, now)).await
        }
        Some("client_credentials") => {
            let caller = Caller::of(asked.get("client_id"));
            let call = Call { endpoint: Endpoint::TokenOwnName, caller, wire };
            answer(&world, call, |state, now| state.issuer.own_name(&asked, now)).await
        }
        _ => Reply::error(400, "unsupported_grant_type", "device_code or refresh_token")
            .into_response(),
    }
}

async fn poll(world: &Arc<World>, wire: Wire, asked: Asked) -> Response {
    let caller = Caller::of(asked.get("device_code"));
    let call = Call { endpoint: Endpoint::TokenPoll, caller, wire };
    let fault = arrive(world, &call);
    let early = world.with(|state, now| {
        let early = state.issuer.poll_arrived(&asked, &mut state.journal, now);
        // A fault's `slow_down` binds the client as a real one does.
        if let Some(Fault::OauthError { error, interval, .. }) = &fault
            && error == "slow_down"
        {
            state.issuer.slowed_down(&asked, *interval, now);
        }
        early
    });
    give(world, call, fault, |state, now| state.issuer.poll(&asked, early, now)).await
}

async fn revoke(
    Shared(world): Shared<Arc<World>>,
    Extension(wire): Extension<Wire>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let endpoint = Endpoint::Revocation;
    let asked = match read(&world, endpoint, &headers, &body) {
        Ok(asked) => asked,
        Err(refused) => return refused.into_response(),
    };
    let caller = Caller::of(asked.get("token"));
    answer(&world, Call { endpoint, caller, wire }, |state, _| state.issuer.revoke(&asked)).await
}

async fn userinfo(
    Shared(world): Shared<Arc<World>>,
    Extension(wire): Extension<Wire>,
    headers: HeaderMap,
) -> Response {
    let call = Call { endpoint: Endpoint::Userinfo, caller: Caller::of(()), wire };
    answer(&world, call, |state, now| {
        match state.issuer.check_access(bearer(&headers), None, Some("openid"), now) {
            Ok(subject) => state.issuer.userinfo(&subject),
            Err(refused) => refused.reply(),
        }
    })
    .await
}

/// Where a redirect leads. A client that brings credentials here has given them away.
async fn elsewhere(Shared(world): Shared<Arc<World>>) -> Response {
    world.with(|state, _| state.journal.violation(Violation::FollowedRedirect));
    Reply::error(400, "invalid_request", "this redirect was not to be followed").into_response()
}

/// The form of a request, or why it is none.
fn read(
    world: &World,
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Asked, Reply> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let form = header(header::CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .is_some_and(|mime| mime.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    if !form {
        return Err(Reply::error(400, "invalid_request", "a form is expected"));
    }
    let asked = Asked::read(body, header(header::AUTHORIZATION).map(str::to_owned))
        .accepting(header(header::ACCEPT).map(str::to_owned));
    if asked.repeated {
        world.with(|state, _| {
            state.journal.violation(Violation::RepeatedParameter { endpoint });
        });
        return Err(Reply::error(400, "invalid_request", "a parameter came twice"));
    }
    Ok(asked)
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl Refused {
    /// Status and challenge (RFC 6750 section 3).
    pub(crate) fn reply(&self) -> Reply {
        let (status, challenge) = match self {
            Self::Missing => (401, String::new()),
            Self::Invalid(why) => {
                (401, format!(", error=\"invalid_token\", error_description=\"{why}\""))
            }
            Self::WrongAudience => (
                401,
                ", error=\"invalid_token\", error_description=\"meant for another server\""
                    .to_owned(),
            ),
            Self::Scope(scope) => {
                (403, format!(", error=\"insufficient_scope\", scope=\"{scope}\""))
            }
        };
        Reply::empty(status)
            .header(header::WWW_AUTHENTICATE, format!("Bearer realm=\"sandbox\"{challenge}"))
    }
}
