//! The identity provider alone, as values: without sockets, faults or a clock, for tests in which
//! months pass in no time.

use std::io;
use std::time::Duration;

use crate::clock::Now;
use crate::fault::Endpoint;
use crate::issuer::device::{self, CodeError};
use crate::issuer::exchange;
use crate::issuer::{Asked, Issuer, Settings};
use crate::journal::{Journal, Violation};
use crate::reply::Reply;
use crate::sandbox::Options;

/// A request as it reaches the provider.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Where to. Only its path counts.
    pub url: &'a str,
    /// `Authorization`.
    pub authorization: Option<&'a str>,
    /// `Accept`.
    pub accept: Option<&'a str>,
    /// The form; none for GET.
    pub form: Option<&'a str>,
}

/// What the provider says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// See the module.
pub struct Provider {
    issuer: Issuer,
    journal: Journal,
    started: u64,
}

impl Provider {
    /// A provider at the address `issuer` (no slash at its end), which begins at `started`,
    /// seconds since 1970. Of `options` those about sockets are not used. Fails where the system
    /// gives no random numbers.
    pub fn new(options: Options, issuer: &str, started: u64) -> io::Result<Self> {
        let telemetry = format!("{issuer}/telemetry");
        let settings = Settings::new(options, issuer.to_owned(), telemetry);
        Ok(Self { issuer: Issuer::new(settings)?, journal: Journal::default(), started })
    }

    /// The answer to a request that arrives `at`, counted from the beginning.
    pub fn answer(&mut self, ask: Ask<'_>, at: Duration) -> Told {
        let now = self.now(at);
        let path =
            ask.url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|i| &rest[i..]));
        let path = path.unwrap_or_default().split('?').next().unwrap_or_default();
        let reply = match ask.form {
            None if path.contains("/.well-known/") => self.issuer.metadata(),
            None if self.issuer.vendor().has_keys_at(path) => self.issuer.jwks(),
            None => Reply::empty(404),
            Some(form) => self.form(path, &asked(form, ask), now),
        };
        let headers = reply.headers.iter().map(|(name, value)| (name.to_string(), value.clone()));
        Told { status: reply.status, headers: headers.collect(), body: reply.body.clone() }
    }

    fn form(&mut self, path: &str, asked: &Asked, now: Now) -> Reply {
        match self.issuer.vendor().endpoint(path) {
            Some(Endpoint::DeviceAuthorization) => self.issuer.device_authorization(asked, now),
            Some(Endpoint::Revocation) => self.issuer.revoke(asked),
            Some(Endpoint::TokenPoll) => match asked.get("grant_type") {
                Some(device::GRANT_TYPE) => {
                    let early = self.issuer.poll_arrived(asked, &mut self.journal, now);
                    self.issuer.poll(asked, early, now)
                }
                Some("refresh_token") => self.issuer.refresh(asked, &mut self.journal, now),
                Some(exchange::TOKEN_EXCHANGE | exchange::JWT_BEARER) => {
                    self.issuer.exchange(asked, now)
                }
                Some("client_credentials") => self.issuer.own_name(asked, now),
                Some(_) | None => Reply::error(400, "unsupported_grant_type", "another one"),
            },
            Some(_) | None => Reply::empty(404),
        }
    }

    /// Approves as the account with this subject (`anna`, `ben`).
    pub fn approve(&mut self, code: &str, subject: &str, at: Duration) -> Result<(), CodeError> {
        self.issuer.approve(code, subject, self.now(at))
    }

    /// Says no.
    pub fn deny(&mut self, code: &str, at: Duration) -> Result<(), CodeError> {
        self.issuer.deny(code, self.now(at))
    }

    /// The next poll of every sign-in under way is told to slow down.
    pub fn slow_down_next(&mut self) {
        self.issuer.slow_down_next();
    }

    /// Disables an account or enables it again.
    pub fn set_account_enabled(&mut self, subject: &str, enabled: bool) {
        self.issuer.set_enabled(subject, enabled);
    }

    /// Clients get tokens in their own name, or get none.
    pub const fn allow_own_name(&mut self, allowed: bool) {
        self.issuer.allow_own_name(allowed);
    }

    /// Who sends with this access token, as far as a telemetry backend takes it: a subject, or a
    /// client in its own name.
    pub fn sender(&self, token: &str, at: Duration) -> Option<String> {
        let audience = Some(self.issuer.telemetry());
        self.issuer.check_access(Some(token), audience, None, self.now(at)).ok()
    }

    /// Whose this access token is at the API `audience`, as far as that takes it.
    pub fn holder(&self, token: &str, audience: &str, at: Duration) -> Option<String> {
        self.issuer.check_access(Some(token), Some(audience), None, self.now(at)).ok()
    }

    /// How many grants of a person are alive.
    pub fn grant_count(&self, subject: &str) -> usize {
        self.issuer.grant_count(subject)
    }

    /// What a well-behaved client would not have done.
    pub fn violations(&self) -> Vec<Violation> {
        self.journal.violations()
    }

    const fn now(&self, at: Duration) -> Now {
        Now { up: at, unix: self.started + at.as_secs() }
    }
}

fn asked(form: &str, ask: Ask<'_>) -> Asked {
    Asked::read(form.as_bytes(), ask.authorization.map(str::to_owned))
        .accepting(ask.accept.map(str::to_owned))
}
