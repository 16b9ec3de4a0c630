//! What is believed of a server's bytes: tolerant in form, strict in meaning.
//!
//! A reply is JSON, or form-encoded where a server was not asked well enough; numbers may be
//! strings; names have known aliases. What a reply *means* is decided by its `error` member,
//! never by its status (RFC 6749 section 5.2; Google answers 428, GitHub 200). Whatever is
//! neither a grant nor an OAuth error is [`Trouble`], which ends nothing.

mod challenge;
mod claims;
mod device;
mod discovery;
mod error;
mod jws;
mod token;

pub use challenge::Challenge;
pub(crate) use claims::is_for;
pub use claims::{IdClaims, Unacceptable};
pub use device::{DeviceAuthorization, PollAnswer, Refusal};
pub use discovery::{Metadata, MetadataProblem, MtlsAliases, discovery_urls};
pub use jws::{Algorithm, Key, KeySet, PublicKey, Verdict, Verify};
pub use token::{Meaning, RefreshAnswer, TokenReply};

use crate::{
    http::{Cause, Outcome, Reply},
    time::Wall,
};
use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;
use serde_json::{Map, Value};

/// Longest lifetime or wait that is believed: ten years. More is taken as this much.
const MAX_SPAN: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Longest description or correlation id that is kept of an error.
const MAX_TEXT: usize = 200;

/// A failure that says nothing about code or grant: try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The request did not leave, or certainly did not arrive.
    NotSent(Cause),
    /// No whole answer came; the server may have acted.
    Lost(Cause),
    /// The server is unwell or busy: 5xx, 408, 429, or an error of that kind.
    Server {
        /// The status that came.
        status: u16,
        /// How long the server wants to be left alone (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// A web page where JSON is due: most likely a captive portal.
    Page,
    /// Neither an answer nor an error: empty, broken or without the members that count.
    Garbage {
        /// The status that came.
        status: u16,
    },
}

impl Trouble {
    /// How long the server asked to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Server { retry_after, .. } => *retry_after,
            Self::NotSent(_) | Self::Lost(_) | Self::Page | Self::Garbage { .. } => None,
        }
    }

    /// Whether any reply came at all (RFC 8628 section 3.5 backs off only where none did).
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::NotSent(_) | Self::Lost(_))
    }
}

/// An OAuth error (RFC 6749 section 5.2) in the server's own words, bounded and printable.
///
/// Its description is left out: it may name a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OAuthError {
    /// The code, aliases already replaced by the standard's name.
    pub error: String,
    /// `suberror` (Entra) or `error_subtype` (Google), where given.
    pub suberror: Option<String>,
    /// `error_codes` (Entra), where given.
    pub codes: Vec<u32>,
    /// What to quote to the issuer's support: `correlation_id` (Entra).
    pub correlation: Option<Box<str>>,
    /// The same for this very request: `trace_id` (Entra).
    pub trace: Option<Box<str>>,
    /// `error_uri`: a page that explains it.
    pub uri: Option<Box<str>>,
}

impl OAuthError {
    pub(crate) fn is(&self, code: &str) -> bool {
        self.error == code
    }

    /// The organisation, or the registration, does not allow devices to be signed in like this:
    /// RFC 6749 section 5.2 (also Entra and Keycloak), GitHub, Google.
    #[must_use]
    pub fn forbids_device_flow(&self) -> bool {
        [
            "unauthorized_client",
            "unsupported_grant_type",
            "device_flow_disabled",
            "admin_policy_enforced",
            "org_internal",
        ]
        .iter()
        .any(|code| self.is(code))
    }
}

/// The members of a reply, whatever form they came in.
pub(crate) struct Members(Map<String, Value>);

impl Members {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').trim();
        if text.starts_with('{') {
            return match serde_json::from_str(text) {
                Ok(Value::Object(map)) => Some(Self(map)),
                Ok(_) | Err(_) => None,
            };
        }
        let looks_like_form = text.contains('=')
            && text.bytes().all(|b| b.is_ascii_graphic() && !b"<>{}\"".contains(&b));
        looks_like_form.then(|| {
            let pairs = form_urlencoded::parse(text.as_bytes());
            Self(pairs.map(|(k, v)| (k.into_owned(), Value::String(v.into_owned()))).collect())
        })
    }

    /// The first of `names` that holds non-empty text.
    pub(crate) fn text(&self, names: &[&str]) -> Option<&str> {
        names
            .iter()
            .filter_map(|name| self.0.get(*name).and_then(Value::as_str))
            .find(|text| !text.is_empty())
    }

    /// Text of a member of the member `outer`.
    pub(crate) fn inner_text(&self, outer: &str, name: &str) -> Option<String> {
        let inner = self.0.get(outer)?.get(name)?.as_str()?;
        (!inner.is_empty()).then(|| inner.to_string())
    }

    /// Seconds, as a number or as digits in a string.
    pub(crate) fn seconds(&self, name: &str) -> Option<Duration> {
        let seconds = match self.0.get(name)? {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.trim().parse::<u32>().ok()?.into(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(MAX_SPAN.as_secs_f64())))
    }

    /// The error that these members state, if they do.
    fn error(&self) -> Option<OAuthError> {
        let error = self.text(&["error", "error_code"])?;
        let alias = ALIASES.iter().find(|(theirs, _)| *theirs == error);
        let error = alias.map_or(error, |(_, standard)| *standard);
        Some(OAuthError {
            error: clean(error),
            suberror: self.text(&["suberror", "error_subtype"]).map(clean),
            codes: error::codes(self),
            correlation: error::id(self, "correlation_id"),
            trace: error::id(self, "trace_id"),
            uri: error::page(self),
        })
    }
}

/// Vendors' names for what the standards name otherwise. Nothing else is meant by them anywhere,
/// so that every issuer is forgiven for all of them.
const ALIASES: [(&str, &str); 6] = [
    ("authorization_declined", "access_denied"),
    ("token_expired", "expired_token"),
    ("incorrect_device_code", "invalid_device_code"),
    ("bad_verification_code", "invalid_device_code"),
    ("incorrect_client_credentials", "invalid_client"),
    ("bad_refresh_token", "invalid_grant"),
];

/// A reply to a form POST, sorted: members without an error, an OAuth error with its members, or
/// trouble.
pub(crate) enum Sorted {
    Members(Members),
    Error(OAuthError, Members),
    Trouble(Trouble),
}

pub(crate) fn sort(outcome: &Outcome) -> Sorted {
    let reply = match outcome {
        Outcome::Reply(reply) => reply,
        Outcome::NotSent(cause) => return Sorted::Trouble(Trouble::NotSent(*cause)),
        Outcome::Lost(cause) => return Sorted::Trouble(Trouble::Lost(*cause)),
    };
    let busy = reply.status >= 500 || matches!(reply.status, 408 | 425 | 429);
    let unwell = || Trouble::Server { status: reply.status, retry_after: retry_after(reply) };
    match Members::parse(&reply.body) {
        Some(members) => match members.error() {
            Some(error) if is_passing(&error) => Sorted::Trouble(unwell()),
            // Okta and others say `slow_down` with 429; a 500 that quotes an error is still a 500.
            Some(error) if !busy || is_polling_state(&error) => Sorted::Error(error, members),
            Some(_) => Sorted::Trouble(unwell()),
            None if busy => Sorted::Trouble(unwell()),
            None => Sorted::Members(members),
        },
        None if busy => Sorted::Trouble(unwell()),
        None if is_page(reply) => Sorted::Trouble(Trouble::Page),
        None => Sorted::Trouble(Trouble::Garbage { status: reply.status }),
    }
}

/// The trouble that `outcome` is, where it is known to be no answer.
fn trouble_of(outcome: &Outcome) -> Trouble {
    match (sort(outcome), outcome) {
        (Sorted::Trouble(trouble), _) => trouble,
        (Sorted::Members(_) | Sorted::Error(..), Outcome::Reply(reply)) => {
            Trouble::Garbage { status: reply.status }
        }
        (
            Sorted::Members(_) | Sorted::Error(..),
            Outcome::NotSent(cause) | Outcome::Lost(cause),
        ) => Trouble::Lost(*cause),
    }
}

/// RFC 9449 section 8: the authorization server wants the nonce that it sends in this reply.
pub(crate) fn wants_nonce(outcome: &Outcome) -> bool {
    let Outcome::Reply(reply) = outcome else { return false };
    let error = Members::parse(&reply.body).and_then(|members| members.error());
    error.is_some_and(|error| error.is(USE_NONCE)) && reply.header("dpop-nonce").is_some()
}

/// RFC 9449 section 9: so does a resource server.
pub(crate) fn challenges_nonce(reply: &Reply) -> bool {
    let challenge = reply.header("www-authenticate").unwrap_or_default();
    challenge.contains(USE_NONCE) && reply.header("dpop-nonce").is_some()
}

const USE_NONCE: &str = "use_dpop_nonce";

/// The trouble that `outcome` is, unless it is an answer in OAuth's words.
pub(crate) fn trouble_of_any(outcome: &Outcome) -> Option<Trouble> {
    match sort(outcome) {
        Sorted::Trouble(trouble) => Some(trouble),
        Sorted::Members(_) | Sorted::Error(..) => None,
    }
}

fn is_passing(error: &OAuthError) -> bool {
    [USE_NONCE, "server_error", "temporarily_unavailable", "rate_limit_exceeded"]
        .iter()
        .any(|code| error.is(code))
}

fn is_polling_state(error: &OAuthError) -> bool {
    ["authorization_pending", "slow_down"].iter().any(|code| error.is(code))
}

pub(crate) fn is_page(reply: &Reply) -> bool {
    let declared = reply.header("content-type").is_some_and(|t| t.starts_with("text/html"));
    let redirected = (300..400).contains(&reply.status);
    declared || redirected || reply.body.trim_ascii_start().starts_with(b"<")
}

/// The longest `Retry-After` that is honoured: a day. A year is a mistake or malice.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// `Retry-After` (RFC 9110 section 10.2.3) in either form, at most [`MAX_RETRY_AFTER`]. A date is
/// measured against the same reply's own `Date`, so that no local clock is needed.
#[must_use]
pub fn retry_after(reply: &Reply) -> Option<Duration> {
    let value = reply.header("retry-after")?.trim();
    let wait = match value.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => http_date(value)?.saturating_sub(http_date(reply.header("date")?)?),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// How long the server asks to be left alone, whatever else it says: 429 comes with OAuth errors,
/// too. A success asks for nothing.
pub(crate) fn asked_wait(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Reply(reply) if reply.status >= 400 => retry_after(reply),
        Outcome::Reply(_) | Outcome::NotSent(_) | Outcome::Lost(_) => None,
    }
}

/// What the server's clock says (`Date`).
#[must_use]
pub fn server_date(outcome: &Outcome) -> Option<Wall> {
    match outcome {
        Outcome::Reply(reply) => http_date(reply.header("date")?).map(Wall::new),
        Outcome::NotSent(_) | Outcome::Lost(_) => None,
    }
}

/// An IMF-fixdate (`Sun, 06 Nov 1994 08:49:37 GMT`) as time since 1970.
fn http_date(text: &str) -> Option<Duration> {
    let (_, rest) = text.trim().split_once(", ")?;
    let mut parts = rest.split(' ');
    let day: i64 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let year: i64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.split(':').map(|n| n.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = i64::try_from(MONTHS.find(month).filter(|_| month.len() == 3)? / 3 + 1).ok()?;
    let in_range = (1..=31).contains(&day)
        && (1970..10_000).contains(&year)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    if !in_range {
        return None;
    }
    let days = days_from_civil(year, month, day);
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// A date with time and offset (RFC 3339; the `T` may be a space) as nanoseconds since 1970.
pub(crate) fn rfc3339_nanos(text: &str) -> Option<u64> {
    let number = |range: core::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let mark = |at: usize, marks: &[u8]| marks.contains(text.as_bytes().get(at)?).then_some(());
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    mark(4, b"-").and(mark(7, b"-")).and(mark(10, b"Tt ")).and(mark(13, b":"))?;
    mark(16, b":")?;
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && year >= 1970
        && hour < 24
        && minute < 60
        && second <= 60;
    let mut rest = text.get(19..)?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let nine = fraction.bytes().take(digits).chain(core::iter::repeat(b'0')).take(9);
        nanos = nine.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        rest = fraction.get(digits..).filter(|_| digits > 0)?;
    }
    let offset = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), zone @ ..] => {
            let zone = core::str::from_utf8(zone).ok()?;
            let (hours, minutes) = zone.split_once(':').or_else(|| zone.split_at_checked(2))?;
            let two = |text: &str| text.parse::<u8>().ok().filter(|_| text.len() == 2);
            let minutes = i64::from(two(hours)?) * 60 + i64::from(two(minutes)?);
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    if !in_range {
        return None;
    }
    let days = days_from_civil(year, month, day);
    let seconds = days * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
    u64::try_from(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?).ok()
}

/// Days from 1970-01-01 in the Gregorian calendar: years begin in March, so that the leap day
/// comes last.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// Text from a server, fit for one line of a journal: printable ASCII, at most 200 characters.
pub(crate) fn clean(text: &str) -> String {
    text.chars().filter(|c| (' '..='~').contains(c)).take(MAX_TEXT).collect()
}

/// A form body from pairs.
pub(crate) fn form(pairs: &[(&str, &str)]) -> crate::secret::Secret {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        form.append_pair(name, value);
    }
    crate::secret::Secret::new(form.finish())
}

/// The scopes of a space-separated list, sorted and without repeats.
#[must_use]
pub fn scope_list(text: &str) -> Vec<String> {
    let mut scopes: Vec<String> = text.split_ascii_whitespace().map(ToString::to_string).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};

    pub(crate) fn reply(status: u16, content_type: &str, body: &str) -> Outcome {
        Outcome::Reply(Reply {
            status,
            headers: vec![("content-type".into(), content_type.into())],
            body: body.as_bytes().to_vec(),
        })
    }

    fn trouble(outcome: &Outcome) -> Option<Trouble> {
        match sort(outcome) {
            Sorted::Trouble(trouble) => Some(trouble),
            Sorted::Members(_) | Sorted::Error(..) => None,
        }
    }

    #[test]
    fn bodies_decide_not_statuses() {
        for status in [200, 400, 401, 403, 428] {
            let pending = reply(status, "application/json", r#"{"error":"authorization_pending"}"#);
            assert!(matches!(sort(&pending), Sorted::Error(e, _) if e.is("authorization_pending")));
        }
        let forms = reply(200, "application/x-www-form-urlencoded", "error=slow_down&interval=10");
        assert!(matches!(sort(&forms), Sorted::Error(e, m)
            if e.is("slow_down") && m.seconds("interval") == Some(Duration::from_secs(10))));
        let limit = reply(429, "application/json", r#"{"error":"slow_down"}"#);
        assert!(matches!(sort(&limit), Sorted::Error(e, _) if e.is("slow_down")));
    }

    #[test]
    fn what_is_neither_answer_nor_error_is_trouble() {
        let page = "<!DOCTYPE html><title>Log in to HotelNet</title>";
        assert_eq!(trouble(&reply(200, "text/html", page)), Some(Trouble::Page));
        assert_eq!(trouble(&reply(200, "application/json", page)), Some(Trouble::Page));
        assert_eq!(trouble(&reply(302, "", "")), Some(Trouble::Page));
        for body in ["", "{", "[]", "null", "{\"error\":", "\u{0}\u{1}", "3", "nonsense"] {
            let got = trouble(&reply(400, "application/json", body));
            assert_eq!(got, Some(Trouble::Garbage { status: 400 }), "{body:?}");
        }
        for status in [500, 502, 503, 408, 429] {
            for body in ["", page, r#"{"error":"invalid_grant"}"#] {
                let got = trouble(&reply(status, "text/html", body));
                assert_eq!(got, Some(Trouble::Server { status, retry_after: None }));
            }
        }
        let quota = reply(403, "application/json", r#"{"error_code":"rate_limit_exceeded"}"#);
        assert!(matches!(trouble(&quota), Some(Trouble::Server { status: 403, .. })));
    }

    #[test]
    fn deep_and_odd_json_is_bounded() {
        let deep = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
        let nested = format!("{{\"error\":{deep}}}");
        assert!(trouble(&reply(400, "application/json", &nested)).is_some());
        let members = Members::parse(br#"{"a":"5","b":5,"c":"x","d":-1,"e":1e300,"f":null}"#);
        let members = members.expect("an object");
        assert_eq!(members.seconds("a"), Some(Duration::from_secs(5)));
        assert_eq!(members.seconds("b"), Some(Duration::from_secs(5)));
        assert_eq!(members.seconds("e"), Some(MAX_SPAN));
        for name in ["c", "d", "f", "g"] {
            assert_eq!(members.seconds(name), None, "{name}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let with = |after: &str, date: &str| Reply {
            status: 503,
            headers: vec![("retry-after".into(), after.into()), ("date".into(), date.into())],
            body: vec![],
        };
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(http_date(date), Some(Duration::from_secs(784_111_777)));
        assert_eq!(retry_after(&with("120", date)), Some(Duration::from_secs(120)));
        let later = "Sun, 06 Nov 1994 08:50:07 GMT";
        assert_eq!(retry_after(&with(later, date)), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(&with(date, later)), Some(Duration::ZERO), "already past");
        assert_eq!(retry_after(&with("31536000", date)), Some(MAX_RETRY_AFTER));
        for odd in ["", "-1", "soon", "Sun, 99 Foo 1994 08:49:37 GMT", "Sun, "] {
            assert_eq!(retry_after(&with(odd, date)), None, "{odd}");
        }
    }
}
