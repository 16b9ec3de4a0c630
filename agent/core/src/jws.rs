//! What has to be signed before a request can leave, as values (RFC 7515).
//!
//! What is claimed is decided here; the keys, and the header that fits them, are those of whoever
//! sends the request. So the heart needs no cryptography, and its requests can be judged as they
//! are.

use crate::{secret::Secret, time::Wall};
use alloc::{
    format,
    string::{String, ToString},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use core::{fmt, time::Duration};
use serde_json::json;
use sha2::{Digest, Sha256};

/// How long a client's assertion is good: enough for a slow network, little for a thief.
const ASSERTION: Duration = Duration::from_secs(120);

/// A private key that was made on this device: PKCS #8 in base64url. It does not print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey(pub Secret);

/// Whose key signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signatory {
    /// The key that the issuer knows this client by.
    Client,
    /// The device's own; the public part goes into the header (RFC 9449 section 4.2).
    Device(DeviceKey),
}

/// Where the signed object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A further field of the form.
    Field(&'static str),
    /// A header.
    Header(&'static str),
}

/// A JWS that is still to be signed. `Debug` shows no claim.
#[derive(Clone, PartialEq, Eq)]
pub struct Unsigned {
    /// Whose key signs.
    pub by: Signatory,
    /// Where it goes.
    pub place: Place,
    /// `typ` of its header.
    pub typ: &'static str,
    /// Its claims, as JSON.
    pub claims: Secret,
}

impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unsigned({:?})", self.place)
    }
}

impl Unsigned {
    /// A client's assertion (RFC 7523 section 2.2, OpenID Connect Core section 9) for `audience`;
    /// `jti` is never used twice.
    #[must_use]
    pub fn assertion(client_id: &str, audience: &str, jti: String, now: Wall) -> Self {
        let now = now.since_epoch();
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": audience, "jti": jti,
            "iat": now.as_secs(), "nbf": now.as_secs(), "exp": (now + ASSERTION).as_secs(),
        });
        Self {
            by: Signatory::Client,
            place: Place::Field("client_assertion"),
            typ: "JWT",
            claims: Secret::new(claims.to_string()),
        }
    }

    /// A proof that whoever sends `method` to `url` has `key` (RFC 9449 section 4.2); with
    /// `access`, for that token.
    #[must_use]
    pub fn proof(
        key: DeviceKey,
        (method, url): (&str, &str),
        access: Option<&Secret>,
        nonce: Option<&str>,
        jti: String,
        now: Wall,
    ) -> Self {
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let mut claims = json!({
            "jti": jti, "htm": method, "htu": url, "iat": now.since_epoch().as_secs(),
        });
        if let Some(access) = access {
            let digest = Sha256::digest(access.expose().as_bytes());
            claims["ath"] = URL_SAFE_NO_PAD.encode(digest).into();
        }
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        Self {
            by: Signatory::Device(key),
            place: Place::Header("dpop"),
            typ: "dpop+jwt",
            claims: Secret::new(claims.to_string()),
        }
    }
}

/// 128 random bits as a name that is not given twice.
pub(crate) fn jti(rng: &mut fastrand::Rng) -> String {
    format!("{:016x}{:016x}", rng.u64(..), rng.u64(..))
}

/// Scheme, host and port: whom a nonce is for (RFC 9449 section 8.2).
pub(crate) fn origin(url: &str) -> Option<String> {
    let origin = url::Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const NOW: Wall = Wall::new(Duration::from_secs(1_800_000_000));

    fn claims(unsigned: &Unsigned) -> Value {
        serde_json::from_str(unsigned.claims.expose()).expect("JSON")
    }

    #[test]
    fn an_assertion_names_client_audience_and_a_short_life() {
        let assertion = Unsigned::assertion("signpost", "https://idp.example", "j".into(), NOW);
        let claims = claims(&assertion);
        assert_eq!((&claims["iss"], &claims["sub"]), (&"signpost".into(), &"signpost".into()));
        assert_eq!(claims["aud"], "https://idp.example");
        assert_eq!(claims["exp"], 1_800_000_120);
    }

    #[test]
    fn a_proof_names_request_token_and_nonce() {
        let key = || DeviceKey(Secret::new("k"));
        let request = ("POST", "https://api.example/v1/logs?x=1#y");
        // RFC 9449 section 7.1 has this token and its hash.
        let access = Secret::new("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
        let proof = Unsigned::proof(key(), request, Some(&access), Some("n"), "j".into(), NOW);
        let claims = claims(&proof);
        assert_eq!(claims["htu"], "https://api.example/v1/logs", "neither query nor fragment");
        assert_eq!(claims["htm"], "POST");
        assert_eq!(claims["ath"], "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
        assert_eq!(claims["nonce"], "n");
    }

    #[test]
    fn invariant_7_neither_key_nor_claims_print() {
        let key = DeviceKey(Secret::new("canary-k"));
        let proof =
            Unsigned::proof(key, ("GET", "https://canary-u"), None, None, "canary-j".into(), NOW);
        assert!(!format!("{proof:?} {:?}", proof.by).contains("canary"), "{proof:?}");
    }

    #[test]
    fn origins_have_ports_and_no_paths() {
        assert_eq!(origin("https://A.example/x").as_deref(), Some("https://a.example"));
        assert_eq!(origin("http://127.0.0.1:80/x").as_deref(), Some("http://127.0.0.1"));
        assert_eq!(origin("https://a.example:8443").as_deref(), Some("https://a.example:8443"));
        assert_eq!(origin("nonsense"), None);
    }
}
