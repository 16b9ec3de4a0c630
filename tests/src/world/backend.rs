//! A telemetry backend in memory: takes OTLP/HTTP, holds it against the token, keeps idempotency
//! keys, and counts records by the name that each carries.

use super::{
    clock::truth,
    issuer::{Access, Issuer, Person},
    proofs::{self, Proofs},
};
use signpost_core::{
    http::{Body, Reply, Request},
    otlp::{Signal, count_records},
};
use std::{collections::BTreeMap, time::Duration};

/// The backend's address.
pub const BACKEND: &str = "https://telemetry.example";

/// How a backend says that it wants claims (Entra).
pub const WANTS_CLAIMS: &str = r#"Bearer realm="", authorization_uri="https://idp.example/authorize", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7InZhbHVlIjoiMSJ9fX0=""#;
/// How one says that it wants a stronger and newer sign-in (RFC 9470).
pub const WANTS_MORE: &str =
    r#"Bearer error="insufficient_user_authentication", acr_values="urn:mfa", max_age="300""#;

/// What a device says in records of its own (`event_name`), besides what it gave up.
const EVENTS: [&str; 7] = [
    "signpost.sign-in-ends",
    "signpost.signed-in",
    "signpost.owner-changed",
    "signpost.sign-in-refused",
    "signpost.signed-out",
    "signpost.reset",
    "signpost.configured",
];

const NAME_MARK: &[u8] = b"record-";
const NAME_DIGITS: usize = 9;

/// What the backend thinks of a record for as long as it lives; part of the record's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// It is taken.
    Plain,
    /// A request that holds it is answered with 400.
    Malformed,
    /// A request that holds it is answered with 413.
    TooLarge,
    /// It alone is refused (OTLP partial success).
    Rejected,
}

/// How the backend feels about every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Well.
    Well,
    /// No token is good enough.
    Unauthorized,
    /// A token has to carry more, and this is how it says so (`WWW-Authenticate`).
    Wants(&'static str),
    /// Nobody may send.
    Forbidden,
    /// The device may not send in its own name: this status.
    NotInOwnName(u16),
    /// Nobody else than the device may: this status.
    OnlyInOwnName(u16),
    /// At most so many records in one request.
    TooLarge(u64),
    /// Busy: this status, and so many seconds in `Retry-After`; as a date where asked.
    Busy(u16, u32, bool),
}

/// Who sends, as far as a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// This person, by this sign-in.
    Person(Person, usize),
    /// The device in its own name.
    Device,
}

/// One request that arrived whole.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Who sends, as far as the token says.
    pub(super) sender: Option<Sender>,
    /// The names of the records in it.
    pub(super) records: Vec<u32>,
    /// The ones that were not taken, for good.
    pub(super) refused: Vec<u32>,
    /// Whether they were taken now (and not before, under the same key).
    pub(super) taken: bool,
    /// How many records the device itself reports as given up.
    pub(super) reported: u64,
    /// What must not be.
    pub(super) objection: Option<String>,
    pub(super) reply: Reply,
}

/// See the module.
#[derive(Debug)]
pub struct Backend {
    /// How it feels.
    pub mood: Mood,
    /// Whether it takes tokens for itself only.
    pub is_choosy: bool,
    /// How many requests were refused for their tokens.
    pub unauthorized: u64,
    said: BTreeMap<&'static str, usize>,
    pub(super) proofs: Proofs,
    keys: BTreeMap<String, Vec<u32>>,
}

impl Backend {
    pub(super) fn new() -> Self {
        Self {
            mood: Mood::Well,
            is_choosy: false,
            unauthorized: 0,
            said: BTreeMap::new(),
            proofs: Proofs::default(),
            keys: BTreeMap::new(),
        }
    }

    /// How often devices said this in records of their own.
    #[must_use]
    pub fn said(&self, event: &str) -> usize {
        self.said.get(event).copied().unwrap_or_default()
    }

    /// Answers one request that arrived at `at`.
    pub(super) fn answer(&mut self, request: &Request, issuer: &Issuer, at: Duration) -> Arrived {
        let mut arrived = Arrived {
            sender: None,
            records: Vec::new(),
            refused: Vec::new(),
            taken: false,
            reported: 0,
            objection: None,
            reply: reply(200),
        };
        let access = bearer(request).and_then(|token| issuer.access_token(token));
        let own = bearer(request).and_then(|token| issuer.own_token(token));
        let sender =
            |access: Access| Sender::Person(issuer.families[access.family].person, access.family);
        arrived.sender = access.map(sender).or(own.map(|_| Sender::Device));
        if let Mood::Busy(status, seconds, as_date) = self.mood {
            arrived.reply = busy(status, seconds, as_date, at);
            return arrived;
        }
        let mut proved = None;
        if let (true, Some(token)) = (issuer.policy.dpop, bearer(request)) {
            match self.proofs.check(BACKEND, request, Some(token), at) {
                Ok(key) => proved = Some(key),
                Err(why) => {
                    arrived.reply = proofs::challenge(&why, BACKEND, at);
                    return arrived;
                }
            }
        }
        let is_meant = |access: Access| access.for_telemetry || !self.is_choosy;
        let honoured = access.is_some_and(|access| issuer.honours(access, at) && is_meant(access))
            || own.is_some_and(|(end, key)| at < end && key == proved.as_deref());
        if let (Mood::NotInOwnName(status), Some(_), _)
        | (Mood::OnlyInOwnName(status), _, Some(_)) = (self.mood, own, access)
        {
            self.unauthorized += u64::from(status == 401);
            arrived.reply = reply(status);
            return arrived;
        }
        if !honoured || self.mood == Mood::Unauthorized {
            self.unauthorized += 1;
            arrived.reply = reply(401);
            return arrived;
        }
        if let Mood::Wants(header) = self.mood
            && access.is_some_and(|access| !access.strong)
        {
            self.unauthorized += 1;
            arrived.reply = reply(401);
            arrived.reply.headers.push(("www-authenticate".to_owned(), header.to_owned()));
            return arrived;
        }
        if self.mood == Mood::Forbidden {
            arrived.reply = reply(403);
            return arrived;
        }
        let Some(Body::Protobuf(body)) = &request.body else {
            arrived.reply = reply(415);
            return arrived;
        };
        self.take(request, body, &mut arrived);
        arrived
    }

    fn take(&mut self, request: &Request, body: &[u8], arrived: &mut Arrived) {
        let Ok(count) = count_records(body) else {
            arrived.objection = Some("a request that is no OTLP".into());
            arrived.reply = reply(400);
            return;
        };
        arrived.records = names(body).collect();
        let tempers = || arrived.records.iter().map(|name| temper(*name));
        if tempers().any(|temper| temper == Temper::Malformed) {
            arrived.reply = reply(400);
        } else if tempers().any(|temper| temper == Temper::TooLarge)
            || matches!(self.mood, Mood::TooLarge(most) if count > most)
        {
            arrived.reply = reply(413);
        }
        if arrived.reply.status != 200 {
            if count == 1 {
                arrived.refused.clone_from(&arrived.records);
            }
            return;
        }
        arrived.refused =
            arrived.records.iter().copied().filter(|n| temper(*n) == Temper::Rejected).collect();
        if let Ok(rejected @ 1..) = u8::try_from(arrived.refused.len()) {
            arrived.reply.body = vec![0x0a, 2, 0x08, rejected];
        }
        let Some(key) = header(request, "idempotency-key") else {
            arrived.objection = Some("a request without an idempotency key".into());
            return;
        };
        match self.keys.get(key) {
            Some(before) if *before != arrived.records => {
                arrived.objection = Some("one idempotency key for two batches".into());
            }
            Some(_) => {}
            None => {
                self.keys.insert(key.to_owned(), arrived.records.clone());
                arrived.taken = true;
                arrived.reported = reported(body);
                for event in EVENTS {
                    let count = positions(body, event.as_bytes()).count();
                    *self.said.entry(event).or_default() += count;
                }
            }
        }
    }
}

/// A whole export request with one record in it that carries `name`.
pub(super) fn record(signal: Signal, name: u32) -> Vec<u8> {
    let name = [NAME_MARK, format!("{name:0NAME_DIGITS$}").as_bytes()].concat();
    let nest = |field: u8, inner: &[u8]| {
        let length = u8::try_from(inner.len()).expect("short messages");
        [&[field << 3 | 2, length], inner].concat()
    };
    let inner = match signal {
        Signal::Logs => nest(5, &nest(1, &name)),
        Signal::Metrics => nest(1, &name),
        Signal::Traces => nest(5, &name),
    };
    nest(1, &nest(2, &nest(2, &inner)))
}

/// What the backend will think of the record `name`: its last three digits decide.
pub(super) const fn temper(name: u32) -> Temper {
    match name % 1_000 {
        997 => Temper::Malformed,
        998 => Temper::TooLarge,
        999 => Temper::Rejected,
        _ => Temper::Plain,
    }
}

/// The names of the records in an export request.
pub(super) fn names(body: &[u8]) -> impl Iterator<Item = u32> {
    positions(body, NAME_MARK).filter_map(|at| {
        let digits = body.get(at + NAME_MARK.len()..at + NAME_MARK.len() + NAME_DIGITS)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

/// How many records the agent's own reports in `body` give up: the integer attribute.
fn reported(body: &[u8]) -> u64 {
    const KEY: &[u8] = b"signpost.dropped.records";
    let counts = positions(body, KEY).filter_map(|at| {
        let value = body.get(at + KEY.len()..)?;
        // Field 2, its length, field 3 as a varint.
        let [0x12, _, 0x18, rest @ ..] = value else { return None };
        let mut count = 0_u64;
        for (index, byte) in rest.iter().enumerate().take(9) {
            count |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some(count)
    });
    counts.sum()
}

fn positions(body: &[u8], mark: &'static [u8]) -> impl Iterator<Item = usize> {
    body.windows(mark.len()).enumerate().filter(move |(_, w)| *w == mark).map(|(at, _)| at)
}

pub(super) fn bearer(request: &Request) -> Option<&str> {
    let value = header(request, "authorization")?;
    value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("DPoP "))
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let found = request.headers.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.expose())
}

fn reply(status: u16) -> Reply {
    let protobuf = ("content-type".to_owned(), "application/x-protobuf".to_owned());
    Reply { status, headers: vec![protobuf], body: Vec::new() }
}

/// A busy server's answer, with `Retry-After` in either form.
pub(super) fn busy(status: u16, seconds: u32, as_date: bool, at: Duration) -> Reply {
    let now = truth(at).as_secs();
    let after = now + u64::from(seconds);
    let headers = if as_date {
        vec![("date".into(), http_date(now)), ("retry-after".into(), http_date(after))]
    } else {
        vec![("retry-after".into(), seconds.to_string())]
    };
    Reply { status, headers, body: Vec::new() }
}

/// IMF-fixdate of a time since 1970.
fn http_date(seconds: u64) -> String {
    let days = seconds / 86_400;
    let (mut year, mut day) = (1970, days);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    let month = &"JanFebMarAprMayJunJulAugSepOctNovDec"[month * 3..month * 3 + 3];
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_standard() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(1_709_251_199), "Thu, 29 Feb 2024 23:59:59 GMT");
    }

    #[test]
    fn records_are_valid_requests_with_their_names_in_them() {
        for signal in Signal::ALL {
            let body = [record(signal, 7), record(signal, 123_456_789)].concat();
            assert_eq!(count_records(&body), Ok(2), "{signal:?}");
            assert_eq!(names(&body).collect::<Vec<_>>(), [7, 123_456_789]);
        }
    }
}
