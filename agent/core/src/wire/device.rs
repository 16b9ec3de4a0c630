//! RFC 8628: the device authorization response and the answers to a poll.

use super::{Members, OAuthError, Sorted, TokenReply, Trouble, sort};
use crate::{http::Outcome, secret::Secret};
use alloc::string::{String, ToString};
use core::time::Duration;

/// RFC 8628 section 3.2: what counts where the server names no interval.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// An interval above this is a mistake: nobody stands before a device for so long.
const MAX_INTERVAL: Duration = Duration::from_secs(300);

/// `expires_in` is REQUIRED; where a server omits it all the same, fifteen minutes are usual.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(900);

/// No code lives longer here than an hour, whatever the server says.
const MAX_LIFETIME: Duration = Duration::from_secs(3_600);

/// Longest address and code that any panel could show.
const MAX_URI: usize = 1_024;
const MAX_USER_CODE: usize = 64;

/// A device authorization response (RFC 8628 section 3.2). `Debug` shows neither code nor address.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceAuthorization {
    /// What is polled with.
    pub device_code: Secret,
    /// What the person types, verbatim: no case, length or alphabet is assumed.
    pub user_code: String,
    /// Where the person types it.
    pub verification_uri: String,
    /// The address with the code in it, made by the server alone.
    pub verification_uri_complete: Option<String>,
    /// How long both codes live from now on.
    pub expires_in: Duration,
    /// The least time from one reply to the next poll.
    pub interval: Duration,
}

impl core::fmt::Debug for DeviceAuthorization {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "DeviceAuthorization({:?}, every {:?})", self.expires_in, self.interval)
    }
}

impl DeviceAuthorization {
    /// Reads the answer of the device authorization endpoint.
    ///
    /// # Errors
    /// The server's OAuth error, or trouble that is worth another try.
    pub fn read(outcome: &Outcome) -> Result<Self, Refusal> {
        match sort(outcome) {
            Sorted::Members(members) => Self::from_members(&members)
                .ok_or(Refusal::Trouble(Trouble::Garbage { status: status(outcome) })),
            Sorted::Error(error, _) => Err(Refusal::Error(error)),
            Sorted::Trouble(trouble) => Err(Refusal::Trouble(trouble)),
        }
    }

    fn from_members(members: &Members) -> Option<Self> {
        let bounded = |text: &str, most: usize| (text.len() <= most).then(|| text.to_string());
        let interval = members.seconds("interval").unwrap_or(DEFAULT_INTERVAL);
        let complete = members.text(&["verification_uri_complete", "verification_url_complete"]);
        Some(Self {
            device_code: Secret::new(members.text(&["device_code"])?),
            user_code: bounded(members.text(&["user_code"])?, MAX_USER_CODE)?,
            verification_uri: bounded(
                members.text(&["verification_uri", "verification_url"])?,
                MAX_URI,
            )?,
            verification_uri_complete: complete.and_then(|uri| bounded(uri, MAX_URI)),
            expires_in: members
                .seconds("expires_in")
                .filter(|span| !span.is_zero())
                .unwrap_or(DEFAULT_LIFETIME)
                .min(MAX_LIFETIME),
            interval: interval.clamp(Duration::from_secs(1), MAX_INTERVAL),
        })
    }
}

/// Why there is no code to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The issuer says no.
    Error(OAuthError),
    /// Try again later.
    Trouble(Trouble),
}

/// What one poll of the token endpoint means (RFC 8628 section 3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollAnswer {
    /// The person approved.
    Granted(alloc::boxed::Box<TokenReply>),
    /// Go on.
    Pending,
    /// Go on more slowly: by five seconds, or at the interval that the server names (GitHub).
    SlowDown(Option<Duration>),
    /// The person, or the organisation, said no.
    Denied,
    /// The code is over; so says a server that has forgotten it, too.
    Expired,
    /// Any other error stops this flow.
    Refused(OAuthError),
    /// Nothing learned.
    Trouble(Trouble),
}

impl PollAnswer {
    /// Reads the answer to one poll.
    #[must_use]
    pub fn read(outcome: &Outcome) -> Self {
        match sort(outcome) {
            Sorted::Members(members) => TokenReply::from_members(&members).map_or_else(
                || Self::Trouble(Trouble::Garbage { status: status(outcome) }),
                |reply| Self::Granted(alloc::boxed::Box::new(reply)),
            ),
            Sorted::Trouble(trouble) => Self::Trouble(trouble),
            Sorted::Error(error, members) => match error.error.as_str() {
                "authorization_pending" => Self::Pending,
                "slow_down" => {
                    Self::SlowDown(members.seconds("interval").map(|i| i.min(MAX_INTERVAL)))
                }
                "access_denied" => Self::Denied,
                // A final answer may be given once only: if it was lost, the next poll hears
                // `invalid_grant` (oidc-provider), and so it does long after the end (Auth0,
                // Keycloak). A new code mends all of these.
                "expired_token" | "invalid_grant" | "invalid_device_code" => Self::Expired,
                _ => Self::Refused(error),
            },
        }
    }
}

fn status(outcome: &Outcome) -> u16 {
    match outcome {
        Outcome::Reply(reply) => reply.status,
        Outcome::NotSent(_) | Outcome::Lost(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::reply, *};
    use alloc::format;

    fn json(body: &str) -> Outcome {
        reply(200, "application/json", body)
    }

    #[test]
    fn google_and_standard_spellings_are_one() {
        let google = json(
            r#"{"device_code":"d","user_code":"GQVQ-JKEC","verification_url":"https://www.google.com/device",
                "expires_in":"1800","interval":"7"}"#,
        );
        let read = DeviceAuthorization::read(&google).expect("a code");
        assert_eq!(read.user_code, "GQVQ-JKEC");
        assert_eq!(read.verification_uri, "https://www.google.com/device");
        assert_eq!(read.expires_in, Duration::from_secs(1_800));
        assert_eq!(read.interval, Duration::from_secs(7));
        assert!(!format!("{read:?}").contains("GQVQ"));
    }

    #[test]
    fn an_absent_interval_is_five_seconds_and_absurd_numbers_are_bounded() {
        let body = |rest: &str| {
            json(&format!(
                r#"{{"device_code":"d","user_code":"u","verification_uri":"https://i.example/d"{rest}}}"#
            ))
        };
        let read = |rest: &str| DeviceAuthorization::read(&body(rest)).expect("a code");
        assert_eq!(read("").interval, DEFAULT_INTERVAL);
        assert_eq!(read("").expires_in, DEFAULT_LIFETIME);
        assert_eq!(read(r#","interval":0"#).interval, Duration::from_secs(1));
        assert_eq!(read(r#","interval":1e9,"expires_in":1e18"#).interval, MAX_INTERVAL);
        assert_eq!(read(r#","expires_in":1e18"#).expires_in, MAX_LIFETIME);
        let long = format!(r#","verification_uri":"https://{}""#, "x".repeat(2_000));
        assert!(DeviceAuthorization::read(&body(&long)).is_err());
    }

    #[test]
    fn every_polling_answer_has_one_meaning() {
        let error =
            |code: &str| PollAnswer::read(&reply(400, "", &format!(r#"{{"error":"{code}"}}"#)));
        assert_eq!(error("authorization_pending"), PollAnswer::Pending);
        assert_eq!(error("slow_down"), PollAnswer::SlowDown(None));
        assert_eq!(error("access_denied"), PollAnswer::Denied);
        assert_eq!(error("authorization_declined"), PollAnswer::Denied);
        for gone in ["expired_token", "token_expired", "invalid_grant", "bad_verification_code"] {
            assert_eq!(error(gone), PollAnswer::Expired, "{gone}");
        }
        assert!(
            matches!(error("invalid_client"), PollAnswer::Refused(e) if e.is("invalid_client"))
        );
        assert!(matches!(error("brand_new_error"), PollAnswer::Refused(_)));
        let slow = json(r#"{"error":"slow_down","interval":15}"#);
        assert_eq!(PollAnswer::read(&slow), PollAnswer::SlowDown(Some(Duration::from_secs(15))));
        let granted = json(r#"{"access_token":"a","token_type":"bearer"}"#);
        assert!(matches!(PollAnswer::read(&granted), PollAnswer::Granted(_)));
        assert!(matches!(PollAnswer::read(&json("{}")), PollAnswer::Trouble(_)));
    }
}
