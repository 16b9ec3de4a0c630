//! `POST /v1/proof`: what a program says of the request that it is going to make.

use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::Incoming;
use serde::Deserialize;
use signpost_core::session::TokenKey;

use super::{MOST_SCOPES, is_resource, is_scope};
use crate::shell::sockets::Desk;

/// The longest body that is read.
const MOST_BODY: usize = 8 << 10;
/// The longest nonce.
const MOST_NONCE: usize = 512;

/// What a proof is for.
pub(super) struct Wanted {
    pub(super) key: TokenKey,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    htm: String,
    htu: String,
    nonce: Option<String>,
    resource: Option<String>,
    scope: Option<String>,
}

/// Reads the request, or says what is wrong with it.
pub(super) async fn wanted(request: Request<Incoming>, desk: &Desk) -> Result<Wanted, String> {
    let whole = Limited::new(request.into_body(), MOST_BODY).collect();
    let whole = match tokio::time::timeout(desk.limits.body, whole).await {
        Ok(Ok(whole)) => whole.to_bytes(),
        Ok(Err(_)) | Err(_) => {
            return Err(format!("The body is not whole, or longer than {MOST_BODY} bytes."));
        }
    };
    read(&whole)
}

fn read(body: &[u8]) -> Result<Wanted, String> {
    let body: Body = serde_json::from_slice(body).map_err(|_| {
        "The body is no JSON object with htm and htu, and at most nonce, resource and scope."
            .to_owned()
    })?;
    let refuse = |what: &str| Err(what.to_owned());
    // RFC 9110, section 9.1: a token.
    let is_method = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !(1..=32).contains(&body.htm.len()) || !body.htm.bytes().all(is_method) {
        return refuse("htm is no HTTP method.");
    }
    let url =
        url::Url::parse(&body.htu).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    if url.is_none_or(|url| url.host().is_none()) || body.htu.len() > 2048 {
        return refuse("htu is no absolute URL of HTTP.");
    }
    // RFC 9449, section 8.1.
    let is_nonce = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let nonce = body.nonce.filter(|nonce| !nonce.is_empty());
    if nonce.as_ref().is_some_and(|it| it.len() > MOST_NONCE || !it.bytes().all(is_nonce)) {
        return refuse("nonce is none that a server could have sent.");
    }
    if body.resource.as_ref().is_some_and(|resource| !is_resource(resource)) {
        return refuse("resource is no absolute URI without #.");
    }
    let scopes = body.scope.unwrap_or_default();
    let scopes: Vec<String> = scopes.split_ascii_whitespace().map(str::to_owned).collect();
    if scopes.len() > MOST_SCOPES || !scopes.iter().all(|scope| is_scope(scope)) {
        return refuse("scope is no list of scopes.");
    }
    let key = TokenKey::new(body.resource, &scopes);
    Ok(Wanted { key, method: body.htm, url: body.htu, nonce })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_request_could_be_gets_a_proof() {
        let good = r#"{"htm":"GET","htu":"https://api.example/x","nonce":"n","scope":"b a"}"#;
        let wanted = read(good.as_bytes()).map_err(|why| panic!("{why}")).unwrap();
        assert_eq!((wanted.method.as_str(), wanted.nonce.as_deref()), ("GET", Some("n")));
        assert_eq!(wanted.key.scopes, ["a", "b"]);
        let long = format!(r#"{{"htm":"GET","htu":"https://a/{}"}}"#, "x".repeat(2_048));
        for bad in [
            "",
            "[]",
            r#"{"htm":"GET"}"#,
            r#"{"htm":"GET","htu":"https://a","ath":"x"}"#,
            r#"{"htm":"G T","htu":"https://a"}"#,
            r#"{"htm":"","htu":"https://a"}"#,
            r#"{"htm":"GET","htu":"/x"}"#,
            r#"{"htm":"GET","htu":"file:///etc"}"#,
            r#"{"htm":"GET","htu":"https://a","nonce":"a\"b"}"#,
            r#"{"htm":"GET","htu":"https://a","resource":"x"}"#,
            r#"{"htm":"GET","htu":"https://a","scope":"\u0001"}"#,
            &long,
        ] {
            let why = read(bad.as_bytes()).err();
            assert!(why.is_some_and(|why| why.ends_with('.')), "{bad}");
        }
    }
}
