//! What a resource server wants before it takes a token: RFC 9470, and Entra's claims challenges.

use crate::http::Reply;
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

/// Longest `claims` that is passed on, as JSON.
const MAX_CLAIMS: usize = 2_048;

/// Longest `acr_values`.
const MAX_ACR: usize = 256;

/// At most so many parameters are read of a header.
const MAX_PARAMETERS: usize = 32;

/// What was asked for, bounded and fit to be sent to an issuer. `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// OpenID Connect's `claims`, as JSON.
    pub claims: Option<String>,
    /// How strongly the person has to have signed in.
    pub acr_values: Option<String>,
    /// How long ago at most, in seconds.
    pub max_age: Option<u32>,
}

impl core::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Challenge({})", self.names())
    }
}

impl Challenge {
    /// What a refusal asks for; nothing where it is about the token alone.
    #[must_use]
    pub fn read(reply: &Reply) -> Option<Self> {
        let parameters = parameters(reply.header("www-authenticate")?);
        let text = |name: &str| {
            let mut all = parameters.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
            all.next().map(|(_, value)| value.as_str())
        };
        let printable = |text: &&str| {
            !text.is_empty()
                && text.len() <= MAX_ACR
                && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        };
        let challenge = match text("error")? {
            "insufficient_claims" => {
                Self { claims: text("claims").and_then(claims), ..Self::default() }
            }
            "insufficient_user_authentication" => Self {
                claims: None,
                acr_values: text("acr_values").filter(printable).map(ToString::to_string),
                max_age: text("max_age").and_then(|age| age.parse().ok()),
            },
            _ => return None,
        };
        Some(challenge)
    }

    /// The parameters that are asked for, for a journal.
    #[must_use]
    pub const fn names(&self) -> &'static str {
        match (self.claims.is_some(), self.acr_values.is_some(), self.max_age.is_some()) {
            (true, _, _) => "claims",
            (false, true, true) => "acr_values and max_age",
            (false, true, false) => "acr_values",
            (false, false, true) => "max_age",
            (false, false, false) => "a new sign-in",
        }
    }

    /// As parameters of a request to the issuer.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let claims = self.claims.clone().map(|claims| ("claims", claims));
        let acr_values = self.acr_values.clone().map(|values| ("acr_values", values));
        let max_age = self.max_age.map(|age| ("max_age", age.to_string()));
        claims.into_iter().chain(acr_values).chain(max_age).collect()
    }
}

/// A JSON object, as it is or in base64 of any kind (Entra).
fn claims(text: &str) -> Option<String> {
    let any = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decode = |alphabet| GeneralPurpose::new(alphabet, any).decode(text).ok();
    let bytes = [&alphabet::STANDARD, &alphabet::URL_SAFE].into_iter().find_map(decode);
    let json = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let json = json.unwrap_or_else(|| text.to_string());
    let is_object = || serde_json::from_str::<Map<String, Value>>(&json).is_ok();
    (json.len() <= MAX_CLAIMS && is_object()).then_some(json)
}

/// The `name=value` pairs of a `WWW-Authenticate` header (RFC 9110 section 11.6.1), of whichever
/// scheme they are: schemes have no `=`. What cannot be read ends the reading.
fn parameters(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = header;
    while found.len() < MAX_PARAMETERS {
        let Some((before, after)) = rest.split_once('=') else { break };
        let name = before.rsplit([' ', ',', '\t']).next().unwrap_or_default();
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => match unquoted(quoted) {
                Some(read) => read,
                None => break,
            },
            None => {
                let end = after.find([',', ' ']).unwrap_or(after.len());
                (after[..end].to_string(), &after[end..])
            }
        };
        if !name.is_empty() {
            found.push((name.to_string(), value));
        }
        rest = tail;
    }
    found
}

/// A quoted string from behind its first mark, and what follows the last.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    fn read(header: &str) -> Option<Challenge> {
        let headers = vec![("www-authenticate".into(), header.into())];
        Challenge::read(&Reply { status: 401, headers, body: vec![] })
    }

    const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#;

    #[test]
    fn claims_come_in_base64_and_plain_and_among_others() {
        let asked = Some(Challenge { claims: Some(CLAIMS.into()), ..Challenge::default() });
        for encoded in
            [STANDARD.encode(CLAIMS), URL_SAFE_NO_PAD.encode(CLAIMS), CLAIMS.replace('"', "\\\"")]
        {
            for header in [
                format!(r#"Bearer error="insufficient_claims", claims="{encoded}""#),
                format!(
                    r#"Negotiate, Bearer realm="", authorization_uri="https://i.example/a?b=c", error="insufficient_claims",claims="{encoded}", error_description="a \"b\", c=d""#
                ),
            ] {
                assert_eq!(read(&header), asked, "{header}");
            }
        }
    }

    #[test]
    fn a_step_up_names_strength_and_age() {
        let header = r#"Bearer error="insufficient_user_authentication", error_description="more", acr_values="urn:mfa gold", max_age="300""#;
        let asked = read(header).expect("a challenge");
        assert_eq!(asked.acr_values.as_deref(), Some("urn:mfa gold"));
        assert_eq!((asked.max_age, asked.names()), (Some(300), "acr_values and max_age"));
        let bare = read("DPoP error=insufficient_user_authentication, max_age=5, algs=\"ES256\"");
        assert_eq!(bare.map(|asked| asked.max_age), Some(Some(5)));
    }

    #[test]
    fn other_refusals_ask_for_nothing_and_odd_ones_for_no_more_than_a_sign_in() {
        for header in [
            "",
            "Bearer",
            r#"Bearer error="invalid_token""#,
            r#"Bearer error="insufficient_scope", scope="x""#,
            r#"Bearer error="insufficient_claims"#,
            r#"Bearer realm="error=insufficient_claims""#,
        ] {
            assert_eq!(read(header), None, "{header}");
        }
        let long = "A".repeat(4_000);
        for header in [
            r#"Bearer error="insufficient_claims""#.to_string(),
            r#"Bearer error="insufficient_claims", claims="5""#.to_string(),
            format!(r#"Bearer error="insufficient_claims", claims="{}""#, STANDARD.encode("[]")),
            format!(r#"Bearer error="insufficient_claims", claims="{long}""#),
            format!(
                r#"Bearer error="insufficient_user_authentication", acr_values="{long}", max_age="-1""#
            ),
            "Bearer error=insufficient_user_authentication, acr_values=\"a\u{7}b\"".to_string(),
        ] {
            assert_eq!(read(&header), Some(Challenge::default()), "{header}");
        }
    }

    #[test]
    fn invariant_7_what_was_asked_for_does_not_print() {
        let header =
            format!(r#"Bearer error="insufficient_claims", claims="{}""#, STANDARD.encode(CLAIMS));
        let printed = format!("{:?}", read(&header));
        assert_eq!(printed, "Some(Challenge(claims))");
    }
}
