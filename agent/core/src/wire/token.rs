//! RFC 6749: the token response, and the answers to a refresh.

use super::{Members, OAuthError, Sorted, Trouble, scope_list, sort};
use crate::{http::Outcome, profile::Profile, secret::Secret};
use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

/// Longest token that is kept; larger ones fit neither headers nor the store.
const MAX_TOKEN: usize = 16 * 1024;

/// A successful token response (RFC 6749 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenReply {
    /// The access token.
    pub access_token: Secret,
    /// `token_type` as given, `Bearer` where absent; its case varies.
    pub token_type: String,
    /// How long the access token lives; absent: until it is refused (GitHub OAuth Apps).
    pub expires_in: Option<Duration>,
    /// When the server wants the next refresh (Entra).
    pub refresh_in: Option<Duration>,
    /// The refresh token; absent, null or empty: the old one stays (RFC 6749 section 6).
    pub refresh_token: Option<Secret>,
    /// How long the refresh token lives, where the server says; zero is not "never".
    pub refresh_expires_in: Option<Duration>,
    /// The scopes granted, where they are stated.
    pub scope: Option<Vec<String>>,
    /// The OpenID Connect id_token.
    pub id_token: Option<Secret>,
}

impl TokenReply {
    /// Whether the access token is good only with a proof (RFC 9449 section 5).
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.token_type.eq_ignore_ascii_case("dpop")
    }

    pub(super) fn from_members(members: &Members) -> Option<Self> {
        let token = |name: &str| {
            members.text(&[name]).filter(|t| t.len() <= MAX_TOKEN && !t.contains(char::is_control))
        };
        Some(Self {
            access_token: Secret::new(token("access_token")?),
            token_type: members.text(&["token_type"]).unwrap_or("Bearer").to_string(),
            expires_in: members.seconds("expires_in").filter(|span| !span.is_zero()),
            refresh_in: members.seconds("refresh_in").filter(|span| !span.is_zero()),
            refresh_token: token("refresh_token").map(Secret::new),
            refresh_expires_in: ["refresh_token_expires_in", "refresh_expires_in"]
                .iter()
                .find_map(|name| members.seconds(name))
                .filter(|span| !span.is_zero()),
            scope: members.text(&["scope"]).map(scope_list),
            id_token: token("id_token").map(Secret::new),
        })
    }
}

/// What a vendor's error means for a grant, where it is not what the standards say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// This token is over for good.
    Final,
    /// The person must come back, or an administrator change something.
    Suspended,
    /// Nothing is wrong with the grant: try again much later.
    Later,
}

/// What the answer to a refresh means for the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshAnswer {
    /// A new access token, and perhaps a new refresh token.
    Granted(Box<TokenReply>),
    /// The issuer does not honour the grant now: it is suspended, not forgotten.
    Suspended(OAuthError),
    /// As `Suspended`, and the issuer will never honour this token again.
    Final(OAuthError),
    /// The grant is good, and the issuer wants to be left alone for a while.
    Later(OAuthError),
    /// The issuer refuses this client or request; the grant is untouched.
    Refused(OAuthError),
    /// Nothing learned.
    Trouble(Trouble),
}

impl RefreshAnswer {
    /// Reads the answer to a refresh from an issuer of this profile.
    #[must_use]
    pub fn read(outcome: &Outcome, profile: &Profile) -> Self {
        match sort(outcome) {
            Sorted::Members(members) => TokenReply::from_members(&members).map_or_else(
                || Self::Trouble(Trouble::Garbage { status: 200 }),
                |reply| Self::Granted(Box::new(reply)),
            ),
            Sorted::Error(error, members) => {
                let description = members.text(&["error_description"]).unwrap_or_default();
                match profile.meaning(&error, description) {
                    Some(Meaning::Final) => Self::Final(error),
                    Some(Meaning::Later) => Self::Later(error),
                    Some(Meaning::Suspended) => Self::Suspended(error),
                    None if is_suspension(&error) => Self::Suspended(error),
                    None => Self::Refused(error),
                }
            }
            Sorted::Trouble(trouble) => Self::Trouble(trouble),
        }
    }
}

/// `invalid_grant`, and the names by which servers say "the person must come back".
fn is_suspension(error: &OAuthError) -> bool {
    ["invalid_grant", "interaction_required", "login_required", "consent_required", "expired_token"]
        .iter()
        .any(|code| error.is(code))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::reply, *};
    use crate::profile::{AUTH0, ENTRA, GENERIC};
    use alloc::format;

    fn granted(body: &str) -> TokenReply {
        let answer = RefreshAnswer::read(&reply(200, "application/json", body), &GENERIC);
        let RefreshAnswer::Granted(reply) = answer else { panic!("{answer:?}") };
        *reply
    }

    #[test]
    fn an_absent_null_or_empty_refresh_token_is_none() {
        for rest in ["", r#","refresh_token":null"#, r#","refresh_token":"""#] {
            assert_eq!(granted(&format!(r#"{{"access_token":"a"{rest}}}"#)).refresh_token, None);
        }
        let kept = granted(r#"{"access_token":"a","refresh_token":"r","refresh_expires_in":0}"#);
        assert_eq!(kept.refresh_token, Some(Secret::new("r")));
        assert_eq!(kept.refresh_expires_in, None, "0 is not never");
    }

    #[test]
    fn only_the_issuers_word_about_the_grant_suspends_it() {
        let read = |status, body: &str| RefreshAnswer::read(&reply(status, "", body), &GENERIC);
        let error = |code: &str| format!(r#"{{"error":"{code}","correlation_id":"c-1"}}"#);
        assert!(matches!(read(400, &error("invalid_grant")), RefreshAnswer::Suspended(e)
            if e.correlation.as_deref() == Some("c-1")));
        assert!(matches!(read(401, &error("invalid_client")), RefreshAnswer::Refused(_)));
        assert!(matches!(read(500, &error("invalid_grant")), RefreshAnswer::Trouble(_)));
        for (status, body) in [(200, "<html>"), (400, ""), (429, "{}"), (200, "{}")] {
            assert!(matches!(read(status, body), RefreshAnswer::Trouble(_)), "{status} {body}");
        }
    }

    #[test]
    fn a_vendors_own_words_weigh_more_than_the_standards_and_only_that_vendors() {
        let read = |profile, body: &str| RefreshAnswer::read(&reply(400, "", body), profile);
        let entra = |code: u32| format!(r#"{{"error":"invalid_grant","error_codes":[{code}]}}"#);
        assert!(matches!(read(&ENTRA, &entra(700_082)), RefreshAnswer::Final(_)));
        assert!(matches!(read(&ENTRA, &entra(50_196)), RefreshAnswer::Later(_)));
        assert!(matches!(read(&ENTRA, &entra(53_003)), RefreshAnswer::Suspended(e)
            if e.codes == [53_003]));
        assert!(matches!(read(&GENERIC, &entra(50_196)), RefreshAnswer::Suspended(_)));
        let bare = r#"{"error":"invalid_client","error_description":"AADSTS50196: a loop"}"#;
        assert!(matches!(read(&ENTRA, bare), RefreshAnswer::Later(_)));
        let reused = r#"{"error":"invalid_grant",
            "error_description":"Unknown or invalid refresh token."}"#;
        assert!(matches!(read(&AUTH0, reused), RefreshAnswer::Final(_)));
        assert!(matches!(read(&GENERIC, reused), RefreshAnswer::Suspended(_)));
    }

    #[test]
    fn tokens_that_cannot_be_sent_are_not_taken() {
        let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(MAX_TOKEN + 1));
        for body in [long.as_str(), r#"{"access_token":"a\r\nx: y"}"#] {
            let answer = RefreshAnswer::read(&reply(200, "", body), &GENERIC);
            assert!(matches!(answer, RefreshAnswer::Trouble(_)));
        }
    }
}
