//! The token socket: access tokens for local programs, in OAuth's words.

mod file;
mod proof;
mod rules;

use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use signpost_core::secret::Secret;
use signpost_core::session::{AccessToken, TokenKey};
use url::form_urlencoded;

use super::control;
use super::sockets::{
    Desk, Reply, Rights, Unavailable as _, error, json, no_such_path, wrong_method,
};
use crate::ports::{Answer, Call};
use crate::signing::Signer;
use proof::Wanted;

pub(super) use file::TokenFile;
use rules::Denied;
pub(super) use rules::Rules;

/// The longest query that is read.
const MOST_QUERY: usize = 8 << 10;
/// The most scopes in one request.
const MOST_SCOPES: usize = 32;
/// The longest life that may be asked for.
const MOST_TTL: u64 = 86_400;

/// A successful answer (RFC 6749, section 5.1).
#[derive(Serialize)]
struct Token<'a> {
    access_token: &'a str,
    token_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// The value of a `DPoP` header (RFC 9449, section 4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'a str>,
}

pub(super) async fn answer(request: Request<Incoming>, rights: &Rights, desk: &Desk) -> Reply {
    match (request.uri().path(), request.method()) {
        ("/v1/token", &Method::GET) => match wanted(request.uri().query().unwrap_or_default()) {
            Ok((key, min_ttl)) => match within(rights, key) {
                Ok(key) => hand_out(key, min_ttl, rights, desk).await,
                Err(denied) => not_allowed(denied),
            },
            Err(description) => error(StatusCode::BAD_REQUEST, "invalid_request", &description),
        },
        ("/v1/proof", &Method::POST) => match proof::wanted(request, desk).await {
            Ok(wanted) => match within(rights, wanted.key.clone()) {
                Ok(key) => prove(Wanted { key, ..wanted }, rights, desk).await,
                Err(denied) => not_allowed(denied),
            },
            Err(description) => error(StatusCode::BAD_REQUEST, "invalid_request", &description),
        },
        ("/v1/status", &Method::GET) => control::status(desk, false).await,
        ("/v1/token" | "/v1/status", _) => wrong_method("GET"),
        ("/v1/proof", _) => wrong_method("POST"),
        _ => no_such_path(),
    }
}

/// The token that goes to whoever has these rights and asks for `key`.
fn within(rights: &Rights, key: TokenKey) -> Result<TokenKey, Denied> {
    match rights {
        Rights::Full => Ok(key),
        Rights::Ruled(rules, peer) => rules.narrow(peer, &key),
    }
}

fn not_allowed(denied: Denied) -> Reply {
    let (name, description) = match denied {
        Denied::Scope => {
            ("invalid_scope", "No rule in [broker.allow] gives this program these scopes.")
        }
        Denied::Resource => (
            "invalid_target",
            "No rule in [broker.allow] gives this program tokens for this resource, or several \
             resources are allowed and none is named.",
        ),
    };
    error(StatusCode::FORBIDDEN, name, description)
}

async fn hand_out(key: TokenKey, min_ttl: Duration, rights: &Rights, desk: &Desk) -> Reply {
    let for_resource = key.resource.is_some() || key.is_exchanged();
    match take(key, min_ttl, rights, desk).await {
        Ok((access, left)) => token(&access, left, None),
        Err(answer) => no_token(&answer, for_resource),
    }
}

/// A token and a proof for one request with it.
async fn prove(wanted: Wanted, rights: &Rights, desk: &Desk) -> Reply {
    let for_resource = wanted.key.resource.is_some();
    let (access, left) = match take(wanted.key, Duration::ZERO, rights, desk).await {
        Ok(taken) => taken,
        Err(answer) => return no_token(&answer, for_resource),
    };
    let unbound = "The issuer binds no tokens to this device; send this one without a proof.";
    if !access.is_bound() {
        return error(StatusCode::BAD_REQUEST, "invalid_request", unbound);
    }
    let Wanted { method, url, nonce, .. } = wanted;
    let call = Call::Proof { method, url, nonce, access: access.token.clone() };
    let answer = desk.ask(call).await;
    if let Answer::Refused = answer {
        return error(StatusCode::BAD_REQUEST, "invalid_request", unbound);
    }
    let Answer::Proof(unsigned) = answer else { return control::not_now(&answer) };
    match Signer::default().sign(&unsigned) {
        Some(proof) => token(&access, left, Some(&proof)),
        None => control::not_now(&Answer::Proof(unsigned)),
    }
}

/// A token for `key` and how long it is good, or the driver's other word. Nobody who is ruled gets
/// a token that allows more than its rule, though the issuer gave no other.
async fn take(
    key: TokenKey,
    min_ttl: Duration,
    rights: &Rights,
    desk: &Desk,
) -> Result<(AccessToken, Option<Duration>), Answer> {
    let answer = desk.ask(Call::Token { key: key.clone(), min_ttl }).await;
    let Answer::Token(access, left) = answer else { return Err(answer) };
    let is_ruled = matches!(rights, Rights::Ruled(..));
    if is_ruled && access.exceeds(&key) { Err(Answer::Refused) } else { Ok((access, left)) }
}

/// Why there is no token.
fn no_token(answer: &Answer, for_resource: bool) -> Reply {
    match answer {
        Answer::SignInNeeded => error(
            StatusCode::SERVICE_UNAVAILABLE,
            "login_required",
            "Nobody is signed in; sign in at the device or with `signpost sign-in`.",
        )
        .retry_after(Duration::from_secs(5)),
        Answer::Refused if for_resource => error(
            StatusCode::BAD_REQUEST,
            "invalid_target",
            "The issuer gives no token for this resource with these scopes.",
        ),
        Answer::Refused => error(
            StatusCode::BAD_REQUEST,
            "invalid_scope",
            "The issuer gives no token with these scopes.",
        ),
        Answer::Token(..)
        | Answer::Proof(_)
        | Answer::Status(_)
        | Answer::Done
        | Answer::TryLater(_)
        | Answer::TooLarge
        | Answer::BadConfiguration(_)
        | Answer::NotSaved => control::not_now(answer),
    }
}

fn token(access: &AccessToken, left: Option<Duration>, proof: Option<&Secret>) -> Reply {
    let body = Token {
        access_token: access.token.expose(),
        token_type: &access.token_type,
        expires_in: left.map(|left| left.as_secs()),
        scope: access.scope.as_ref().map(|scopes| scopes.join(" ")),
        proof: proof.map(Secret::expose),
    };
    json(StatusCode::OK, &body)
}

/// What a query asks for, or what is wrong with it.
fn wanted(query: &str) -> Result<(TokenKey, Duration), String> {
    if query.len() > MOST_QUERY {
        return Err(format!("The query is longer than {MOST_QUERY} bytes."));
    }
    let mut resource = None;
    let mut audience = None;
    let mut scopes: Vec<String> = Vec::new();
    let mut min_ttl = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let taken = match &*name {
            "resource" if is_resource(&value) => resource.replace(value.into_owned()).is_some(),
            "resource" => return Err("resource is no absolute URI without #.".to_owned()),
            "audience" if is_audience(&value) => audience.replace(value.into_owned()).is_some(),
            "audience" => return Err("audience is no name of an API.".to_owned()),
            "scope" => {
                scopes.extend(value.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
                false
            }
            "min_ttl" => {
                let seconds = value.parse().ok().filter(|seconds| *seconds <= MOST_TTL);
                let seconds = seconds
                    .ok_or_else(|| format!("min_ttl is no number of seconds up to {MOST_TTL}."))?;
                min_ttl.replace(seconds).is_some()
            }
            _ => {
                return Err(
                    "There are resource, audience, scope and min_ttl, and no others.".to_owned()
                );
            }
        };
        if taken {
            return Err(format!("{name} is given twice."));
        }
    }
    if scopes.len() > MOST_SCOPES || !scopes.iter().all(|scope| is_scope(scope)) {
        return Err(format!(
            "scope is not made of up to {MOST_SCOPES} words of printable ASCII without \" and \\."
        ));
    }
    let key = TokenKey::new(resource, &scopes);
    let key = match audience {
        Some(audience) => key.exchanged(audience),
        None => key,
    };
    Ok((key, Duration::from_secs(min_ttl.unwrap_or(0))))
}

/// RFC 8693, section 2.1: the logical name of a target service.
fn is_audience(text: &str) -> bool {
    (1..=2048).contains(&text.len()) && text.bytes().all(|b| (0x21..0x7f).contains(&b))
}

/// RFC 6749, section 3.3.
fn is_scope(word: &str) -> bool {
    (1..=255).contains(&word.len())
        && word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// RFC 8707, section 2.
fn is_resource(text: &str) -> bool {
    text.len() <= 2048
        && !text.contains(|c: char| c == '#' || c.is_whitespace() || c.is_control())
        && url::Url::parse(text).is_ok()
}
