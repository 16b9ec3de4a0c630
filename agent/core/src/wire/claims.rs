//! The id_token: who signed in (OpenID Connect Core section 3.1.3.7).
//!
//! It is used only to say who signed in and to bind data to the account, and it is taken only
//! from the token endpoint, over a connection that TLS has tied to the issuer. Its claims are
//! checked here, its signature by [`KeySet::verdict`](super::KeySet::verdict).

use crate::{secret::Secret, time::Wall};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use core::time::Duration;
use serde_json::{Map, Value};

/// How far issuer's and device's clocks may differ.
const SKEW: Duration = Duration::from_secs(300);

/// The claims of an id_token that passed the checks.
#[derive(Clone, PartialEq)]
pub struct IdClaims(Map<String, Value>);

impl core::fmt::Debug for IdClaims {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "IdClaims({} claims)", self.0.len())
    }
}

/// Why an id_token was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unacceptable {
    /// Not three parts of base64url around a JSON object.
    Malformed,
    /// By another issuer.
    Issuer,
    /// For another client.
    Audience,
    /// No longer, or never, valid.
    Expired,
    /// Without a subject.
    Subject,
    /// Signed by nobody, with a shared secret, or in a way that is not known here.
    Algorithm,
    /// Signed by none of the issuer's keys.
    Signature,
    /// Not signed by the key that it names, as far as that is known: newer keys could not be had.
    Contradicted,
}

impl Unacceptable {
    /// For the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Issuer => "another issuer",
            Self::Audience => "another client",
            Self::Expired => "expired",
            Self::Subject => "no subject",
            Self::Algorithm => "unsigned, or signed in a way that is not accepted",
            Self::Signature => "signed by none of the issuer's keys",
            Self::Contradicted => {
                "not signed by the issuer's key that it names, and newer keys cannot be had"
            }
        }
    }
}

impl IdClaims {
    /// Reads `token` and checks `iss`, `aud`, `exp` and `sub`. Without a configured issuer address
    /// (explicit endpoints) `iss` is not compared.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn read(
        token: &Secret,
        issuer: Option<&str>,
        client_id: &str,
        now: Wall,
    ) -> Result<Self, Unacceptable> {
        let claims = Self::of(token).ok_or(Unacceptable::Malformed)?;
        if issuer.is_some_and(|issuer| !claims.text("iss").is_some_and(|iss| same(iss, issuer))) {
            return Err(Unacceptable::Issuer);
        }
        if !claims.texts("aud").contains(&client_id) {
            return Err(Unacceptable::Audience);
        }
        let expires = claims.0.get("exp").and_then(Value::as_u64).ok_or(Unacceptable::Expired)?;
        if Wall::new(Duration::from_secs(expires)) + SKEW < now {
            return Err(Unacceptable::Expired);
        }
        if claims.text("sub").is_none_or(|sub| sub.len() > 255) {
            return Err(Unacceptable::Subject);
        }
        Ok(claims)
    }

    /// What `token` says of itself, believed or not.
    fn of(token: &Secret) -> Option<Self> {
        let payload = URL_SAFE_NO_PAD.decode(token.expose().split('.').nth(1)?).ok()?;
        serde_json::from_slice(&payload).ok().map(Self)
    }

    /// `sub`: the account at this issuer.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.text("sub").unwrap_or_default()
    }

    /// What to call the person on a panel.
    #[must_use]
    pub fn display_name(&self) -> Option<String> {
        ["preferred_username", "email", "name"]
            .iter()
            .find_map(|claim| self.text(claim))
            .map(|name| name.chars().filter(|c| !c.is_control()).take(100).collect())
    }

    /// One claim as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Whether claim `name` is `value`, or a list that holds it.
    #[must_use]
    pub fn holds(&self, name: &str, value: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(flag)) => flag.to_string() == value,
            Some(Value::Number(number)) => number.to_string() == value,
            Some(_) | None => self.texts(name).contains(&value),
        }
    }

    fn texts(&self, name: &str) -> Vec<&str> {
        match self.0.get(name) {
            Some(Value::String(text)) => [text.as_str()].into(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                Vec::new()
            }
        }
    }
}

/// Whether an access token says of itself that it is for `resource` (RFC 9068 section 3: its `aud`);
/// `None`: it is opaque.
pub(crate) fn is_for(token: &Secret, resource: &str) -> Option<bool> {
    let claims = IdClaims::of(token)?;
    Some(claims.texts("aud").into_iter().any(|audience| same(audience, resource)))
}

/// A slash at the end is no other place.
fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const NOW: Wall = Wall::new(Duration::from_secs(1_800_000_000));

    fn read(claims: &str) -> Result<IdClaims, Unacceptable> {
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        IdClaims::read(&Secret::new(token), Some("https://idp.example"), "signpost", NOW)
    }

    #[test]
    fn an_id_token_is_checked_before_it_names_anyone() {
        let good = r#"{"iss":"https://idp.example","aud":["x","signpost"],"sub":"anna",
                       "exp":1800000600,"email":"anna@acme.example","groups":["ops"]}"#;
        let claims = read(good).expect("good");
        assert_eq!(claims.subject(), "anna");
        assert_eq!(claims.display_name().as_deref(), Some("anna@acme.example"));
        assert!(claims.holds("groups", "ops") && !claims.holds("groups", "op"));
        for (from, to, problem) in [
            ("idp.example", "evil.example", Unacceptable::Issuer),
            ("\"signpost\"", "\"other\"", Unacceptable::Audience),
            ("1800000600", "1700000000", Unacceptable::Expired),
            ("\"anna\"", "\"\"", Unacceptable::Subject),
        ] {
            assert_eq!(read(&good.replace(from, to)), Err(problem));
        }
    }

    #[test]
    fn malformed_tokens_are_refused() {
        for token in ["", "a", "a.b", "a.!.c", "e30.e30", "..", "e30.W10.s"] {
            let read = IdClaims::read(&Secret::new(token), None, "signpost", NOW);
            assert!(read.is_err(), "{token}");
        }
    }
}
