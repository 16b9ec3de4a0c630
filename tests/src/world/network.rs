//! What lies between the device and its servers: latency, outages, lost replies, login pages and
//! answers that nobody meant.

use super::{
    backend::{BACKEND, busy},
    issuer::{self, ISSUER},
    wire::{self, Cut, Length},
};
use fastrand::Rng;
use signpost_core::http::{Cause, EXCHANGE_TIMEOUT, Outcome, Peer, Reply, Request};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The issuer's metadata.
    Discovery,
    /// The keys of the issuer's signatures.
    Keys,
    /// A device code.
    Code,
    /// Is it approved?
    Poll,
    /// A new access token.
    Refresh,
    /// An access token in the device's own name.
    OwnName,
    /// The issuer's newest nonce, with no token at stake.
    Nonce,
    /// The end of a token.
    Revocation,
    /// Records.
    Telemetry,
    /// Nothing that a device has to ask for.
    Strange,
}

impl Kind {
    /// Of what kind `request` is.
    pub(super) fn of(request: &Request) -> Self {
        let is_grant =
            |name: &str| issuer::field(request, "grant_type").is_some_and(|grant| grant == name);
        let is_refresh = || is_grant("refresh_token");
        let is_nobodys =
            || issuer::field(request, "refresh_token").is_some_and(|token| token == "none");
        let path = request.url.strip_prefix(ISSUER);
        match (request.peer, path) {
            (Peer::Telemetry, _) if request.url.starts_with(BACKEND) => Self::Telemetry,
            (Peer::Issuer, Some("/.well-known/openid-configuration")) => Self::Discovery,
            (Peer::Issuer, Some("/.well-known/oauth-authorization-server")) => Self::Discovery,
            (Peer::Issuer, Some("/keys")) => Self::Keys,
            (Peer::Issuer, Some("/device")) => Self::Code,
            (Peer::Issuer, Some("/token")) if is_refresh() && is_nobodys() => Self::Nonce,
            (Peer::Issuer, Some("/token")) if is_refresh() => Self::Refresh,
            (Peer::Issuer, Some("/token")) if is_grant("client_credentials") => Self::OwnName,
            (Peer::Issuer, Some("/token")) => Self::Poll,
            (Peer::Issuer, Some("/revoke")) => Self::Revocation,
            (Peer::Issuer | Peer::Telemetry, _) => Self::Strange,
        }
    }
}

/// What becomes of one exchange.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// The server gets it, the device gets the answer.
    Answered,
    /// Nothing reaches the server, and the device knows.
    NotSent(Cause),
    /// The server never gets it, and the device cannot know.
    LostBefore(Cause),
    /// The server acts; its answer does not arrive.
    LostAfter(Cause),
    /// Somebody else answers; the server never gets it.
    Instead(Reply),
    /// The server acts; something else than its answer arrives.
    Garbled(Reply),
    /// The connection ends somewhere; the server acts if it got the whole request.
    Cut(Cut),
}

/// One exchange as it will go.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) fate: Fate,
    /// From the device to the server.
    pub(super) up: Duration,
    /// From there to the device knowing.
    pub(super) down: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Network {
    /// Whether anything gets through.
    pub up: bool,
    /// Whether a login page answers for everybody.
    pub portal: bool,
    /// How many of 1,000 exchanges go wrong somehow.
    pub flaky: u32,
    /// How many of 1,000 requests to the issuer are answered with nonsense.
    pub issuer_unwell: u32,
    /// How many of 1,000 requests to the backend are answered with nonsense.
    pub backend_unwell: u32,
    /// What becomes of every exchange of a kind, until it is taken away.
    pub plague: Option<(Kind, Fate)>,
    /// How long the last exchange was that was [`Fate::Cut`].
    pub cut: Length,
    script: VecDeque<(Kind, Fate)>,
    asked: BTreeMap<Kind, u64>,
    rng: Rng,
}

impl Network {
    pub(super) const fn new(rng: Rng) -> Self {
        let script = VecDeque::new();
        Self {
            up: true,
            portal: false,
            flaky: 0,
            issuer_unwell: 0,
            backend_unwell: 0,
            plague: None,
            cut: Length { request: 0, answer: 0 },
            script,
            asked: BTreeMap::new(),
            rng,
        }
    }

    /// Decides the next exchange of this kind, whatever the weather.
    pub fn script(&mut self, kind: Kind, fate: Fate) {
        self.script.push_back((kind, fate));
    }

    /// Whether every scripted fate has come true.
    #[must_use]
    pub fn is_script_over(&self) -> bool {
        self.script.is_empty()
    }

    /// How many requests of this kind there were.
    #[must_use]
    pub fn asked(&self, kind: Kind) -> u64 {
        self.asked.get(&kind).copied().unwrap_or_default()
    }

    /// All is well from now on, scripts included.
    pub(super) fn heal(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        *self = Self { asked, ..Self::new(self.rng.clone()) };
    }

    /// How the exchange of `request` that begins at `at` will go.
    pub(super) fn passage(&mut self, kind: Kind, request: &Request, at: Duration) -> Passage {
        *self.asked.entry(kind).or_default() += 1;
        let scripted = self.script.iter().position(|(k, _)| *k == kind);
        let scripted = scripted.and_then(|index| self.script.remove(index)).map(|(_, fate)| fate);
        let plague = self.plague.as_ref().filter(|(k, _)| *k == kind).map(|(_, fate)| fate.clone());
        let fate = scripted.or(plague).unwrap_or_else(|| self.fate(kind, at));
        let fate = self.cut(fate, request);
        let quick = |rng: &mut Rng| Duration::from_millis(rng.u64(5..400));
        let (up, mut down) = (quick(&mut self.rng), quick(&mut self.rng));
        if let Fate::NotSent(Cause::Timeout)
        | Fate::LostBefore(Cause::Timeout)
        | Fate::LostAfter(Cause::Timeout)
        | Fate::Cut(Cut { cause: Cause::Timeout, .. }) = fate
        {
            down = EXCHANGE_TIMEOUT.saturating_sub(up);
        }
        Passage { fate, up, down }
    }

    /// A cut in the request is a request that does not arrive; any other is one in the answer.
    fn cut(&mut self, fate: Fate, request: &Request) -> Fate {
        let Fate::Cut(cut) = fate else { return fate };
        self.cut = Length { request: wire::request_length(request), answer: 0 };
        match cut.after.checked_sub(self.cut.request) {
            None => Fate::LostBefore(cut.cause),
            Some(after) => Fate::Cut(Cut { after, ..cut }),
        }
    }

    /// An answer leaves its server.
    pub(super) fn answered(&mut self, fate: &Fate, reply: &Reply) {
        if let Fate::Cut(cut) = fate {
            self.cut.answer = wire::answer_length(reply, cut.framed);
        }
    }

    fn fate(&mut self, kind: Kind, at: Duration) -> Fate {
        let rng = &mut self.rng;
        if !self.up {
            let causes = [Cause::Dns, Cause::Connect, Cause::Connect, Cause::Timeout];
            return Fate::NotSent(causes[rng.usize(..causes.len())]);
        }
        if self.portal {
            return Fate::Instead(page(200));
        }
        if rng.u32(0..1_000) < self.flaky {
            return self.mishap(kind, at);
        }
        let unwell = match kind {
            Kind::Telemetry => self.backend_unwell,
            Kind::Discovery
            | Kind::Keys
            | Kind::Code
            | Kind::Poll
            | Kind::Refresh
            | Kind::OwnName
            | Kind::Nonce
            | Kind::Revocation => self.issuer_unwell,
            Kind::Strange => 0,
        };
        if self.rng.u32(0..1_000) < unwell {
            return self.nonsense(kind, at);
        }
        Fate::Answered
    }

    fn mishap(&mut self, kind: Kind, at: Duration) -> Fate {
        let causes = [Cause::Timeout, Cause::Broken, Cause::TooLarge];
        let cause = causes[self.rng.usize(..causes.len())];
        match self.rng.u8(0..8) {
            0 => Fate::NotSent(Cause::Connect),
            1 => Fate::NotSent(Cause::Tls),
            2 => Fate::NotSent(Cause::CertificateDates),
            3 => Fate::LostBefore(cause),
            4 | 5 => Fate::LostAfter(cause),
            6 => Fate::Cut(Cut {
                after: self.rng.usize(0..1_000),
                cause: if self.rng.bool() { Cause::Broken } else { Cause::Timeout },
                // What these say by an answer without a body is not to be had by cutting one short.
                framed: matches!(kind, Kind::Telemetry | Kind::Revocation) || self.rng.bool(),
            }),
            _ => self.nonsense(kind, at),
        }
    }

    fn nonsense(&mut self, kind: Kind, at: Duration) -> Fate {
        let reply = self.nonsense_reply(kind, at);
        if self.rng.bool() { Fate::Instead(reply) } else { Fate::Garbled(reply) }
    }

    fn nonsense_reply(&mut self, kind: Kind, at: Duration) -> Reply {
        let rng = &mut self.rng;
        let seconds = rng.u32(0..900);
        match rng.u8(0..14) {
            0 => issuer::reply(500, ""),
            1 => issuer::reply(502, "Bad Gateway"),
            2 => busy(503, seconds, false, at),
            3 => busy(503, seconds, true, at),
            4 => busy(429, seconds, false, at),
            5 => busy(429, seconds, true, at),
            6 => issuer::reply(408, "{}"),
            7 => page(200),
            8 => page(500),
            9 => issuer::error(500, "invalid_grant"),
            // These would be whole answers: only the server itself may give them.
            _ if matches!(kind, Kind::Telemetry | Kind::Revocation) => issuer::reply(504, ""),
            10 => issuer::reply(200, r#"{"access_token":"#),
            11 => issuer::reply(200, ""),
            12 => issuer::reply(400, ""),
            _ => issuer::reply(200, "{}"),
        }
    }
}

impl Fate {
    /// What the device learns where the server's own answer is `reply`.
    pub(super) fn outcome(self, reply: Option<Reply>) -> Outcome {
        match (self, reply) {
            (Self::NotSent(cause), _) => Outcome::NotSent(cause),
            (Self::LostBefore(cause) | Self::LostAfter(cause), _) => Outcome::Lost(cause),
            (Self::Instead(reply) | Self::Garbled(reply), _) => Outcome::Reply(reply),
            (Self::Answered, Some(reply)) => Outcome::Reply(reply),
            (Self::Cut(cut), Some(reply)) => cut.outcome(reply),
            (Self::Answered | Self::Cut(_), None) => Outcome::Lost(Cause::Broken),
        }
    }

    /// Whether the server gets the request.
    pub(super) const fn arrives(&self) -> bool {
        match self {
            Self::Answered | Self::LostAfter(_) | Self::Garbled(_) | Self::Cut(_) => true,
            Self::NotSent(_) | Self::LostBefore(_) | Self::Instead(_) => false,
        }
    }
}

/// A web page where something else is due.
pub(super) fn page(status: u16) -> Reply {
    let html = ("content-type".to_owned(), "text/html; charset=utf-8".to_owned());
    let body = b"<!doctype html><title>Welcome</title><form>".to_vec();
    Reply { status, headers: vec![html], body }
}
