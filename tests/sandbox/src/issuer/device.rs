//! Device authorization (RFC 8628): codes, their approval, and how often a client may ask.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::keys::{Digest, random_text, random_user_code};
use super::{Asked, Issuer};
use crate::clock::Now;
use crate::fault::Endpoint;
use crate::journal::{Journal, TOLERANCE, Violation};
use crate::reply::Reply;

pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The interval that holds when the server names none, and by which `slow_down` raises it.
const FIVE_SECONDS: Duration = Duration::from_secs(5);

/// At most so many sign-ins at a time.
const MOST_FLOWS: usize = 10_000;

/// Wrong codes that may be typed in one minute, by everyone together (RFC 8628 section 5.1).
const MOST_WRONG_CODES: usize = 20;

/// One sign-in, from its codes to its end.
pub(crate) struct Flow {
    pub(crate) client_id: String,
    pub(crate) scope: String,
    audience: String,
    answer: Option<Answer>,
    /// Whether the client has had its final reply, which is given once.
    told: bool,
    pub(crate) user_code: String,
    /// Ties an answer on the sign-in page to the page that was shown.
    pub(crate) ticket: String,
    expires: Duration,
    interval: Duration,
    not_before: Duration,
    /// The next poll is told to slow down, early or not.
    slows_down: bool,
    /// The next poll does not know of the approval yet.
    lags: bool,
}

/// What a person said about a code.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Approved { subject: String },
    Denied,
}

/// A sign-in that waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PendingCode {
    /// What the device shows.
    pub user_code: String,
    /// Who asks.
    pub client_id: String,
    /// What would be granted.
    pub scope: String,
    /// How long the code still works.
    pub expires_in: Duration,
}

/// Why an answer for a user code did not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeError {
    /// No device shows this code.
    Unknown,
    /// The code's time is over.
    Expired,
    /// Somebody has answered already.
    Answered,
    /// Too many wrong codes; again in a minute.
    TooMany,
    /// No such account, or a disabled one.
    Account,
}

impl std::fmt::Display for CodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "no device shows this code",
            Self::Expired => "this code has expired",
            Self::Answered => "this code was answered already",
            Self::TooMany => "too many wrong codes",
            Self::Account => "no such account, or it is disabled",
        })
    }
}

impl std::error::Error for CodeError {}

impl Issuer {
    /// The device authorization endpoint (RFC 8628 section 3.1).
    pub(crate) fn device_authorization(&mut self, asked: &Asked, now: Now) -> Reply {
        let reply = self.begin(asked, now).unwrap_or_else(|refused| refused);
        self.settings.vendor.code(reply, asked)
    }

    fn begin(&mut self, asked: &Asked, now: Now) -> Result<Reply, Reply> {
        let client_id = self.client(asked, Endpoint::DeviceAuthorization)?.id.clone();
        let audience = self.audience(asked.get("resource"))?;
        if asked.get("scope").is_some_and(|scope| self.settings.vendor.refuses_scope(scope)) {
            return Err(Reply::error(400, "invalid_scope", "a scope that is not known here"));
        }
        self.forget_old_flows(now);
        if self.flows.len() >= MOST_FLOWS {
            return Err(Reply::error(503, "temporarily_unavailable", "too many sign-ins"));
        }
        let broken = |_| Reply::error(500, "server_error", "no random numbers");
        let device_code = random_text(32).map_err(broken)?;
        let flow = Flow {
            client_id,
            scope: Self::granted_scope(asked.get("scope")),
            audience,
            answer: None,
            told: false,
            user_code: self.unused_user_code().map_err(broken)?,
            ticket: random_text(16).map_err(broken)?,
            expires: now.up + self.settings.code_lifetime,
            interval: self.settings.interval.unwrap_or(FIVE_SECONDS),
            not_before: Duration::ZERO,
            slows_down: false,
            lags: self.settings.vendor.lags(),
        };
        let page = format!("{}/device", self.settings.issuer);
        let mut body = json!({
            "device_code": device_code,
            "user_code": flow.user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={}", flow.user_code),
            "expires_in": self.settings.code_lifetime.as_secs(),
        });
        if let Some(interval) = self.settings.interval {
            body["interval"] = interval.as_secs().into();
        }
        self.flows.insert(Digest::of(&device_code), flow);
        Ok(Reply::json(200, &body))
    }

    fn unused_user_code(&self) -> std::io::Result<String> {
        loop {
            let code = random_user_code()?;
            if !self.flows.values().any(|flow| flow.user_code == code) {
                return Ok(code);
            }
        }
    }

    fn forget_old_flows(&mut self, now: Now) {
        let vendor = self.settings.vendor;
        self.flows.retain(|_, flow| now.up < flow.expires + vendor.remembers(flow.interval));
    }

    /// Notes a poll before anything is answered, and says whether it came too early.
    pub(crate) fn poll_arrived(&mut self, asked: &Asked, journal: &mut Journal, now: Now) -> bool {
        let Some(flow) = self.flow_of_device(asked) else { return false };
        let early_by = flow.not_before.saturating_sub(now.up);
        let early = early_by > TOLERANCE;
        if early {
            flow.interval += FIVE_SECONDS;
            journal.violation(Violation::EarlyPoll { early_by });
        }
        let slowed = std::mem::take(&mut flow.slows_down);
        if slowed {
            flow.interval += FIVE_SECONDS;
        }
        if flow.told {
            journal.violation(Violation::PollAfterEnd);
        }
        flow.not_before = now.up + flow.interval;
        early || slowed
    }

    /// Tells the next poll of every sign-in to slow down.
    pub(crate) fn slow_down_next(&mut self) {
        self.flows.values_mut().for_each(|flow| flow.slows_down = true);
    }

    /// Holds a client to a `slow_down` that a fault has told it.
    pub(crate) fn slowed_down(&mut self, asked: &Asked, interval: Option<u32>, now: Now) {
        let Some(flow) = self.flow_of_device(asked) else { return };
        flow.interval = match interval {
            Some(seconds) => Duration::from_secs(seconds.into()),
            None => flow.interval + FIVE_SECONDS,
        };
        flow.not_before = now.up + flow.interval;
    }

    fn flow_of_device(&mut self, asked: &Asked) -> Option<&mut Flow> {
        self.flows.get_mut(&Digest::of(asked.get("device_code")?))
    }

    /// The token endpoint, asked with a device code (RFC 8628 section 3.4).
    pub(crate) fn poll(&mut self, asked: &Asked, early: bool, now: Now) -> Reply {
        let reply = self.try_poll(asked, early, now).unwrap_or_else(|refused| refused);
        let interval = self.flow_of_device(asked).map(|flow| flow.interval);
        self.settings.vendor.token(reply, asked, interval)
    }

    fn try_poll(&mut self, asked: &Asked, early: bool, now: Now) -> Result<Reply, Reply> {
        let client_id = self.client(asked, Endpoint::TokenPoll)?.id.clone();
        self.forget_old_flows(now);
        let vendor = self.settings.vendor;
        let no = |error, why| Err(Reply::error(400, error, why));
        let Some(device_code) = asked.get("device_code") else {
            return no("invalid_request", "device_code is missing");
        };
        let Some(flow) = self.flows.get_mut(&Digest::of(device_code)) else {
            return no("invalid_grant", "unknown device code");
        };
        if flow.client_id != client_id {
            return no("invalid_grant", "a device code of another client");
        }
        if flow.told {
            return no("invalid_grant", "this device code was used already");
        }
        if now.up >= flow.expires {
            flow.told |= vendor.says_expired_once();
            return no("expired_token", "nobody approved in time");
        }
        if early {
            return no("slow_down", "asked before the interval was over");
        }
        let Some(answer) = flow.answer.clone() else {
            return no("authorization_pending", "nobody has answered yet");
        };
        if std::mem::take(&mut flow.lags) {
            return no("authorization_pending", "the answer is on its way");
        }
        flow.told = true;
        match answer {
            Answer::Denied => no("access_denied", "the person said no"),
            Answer::Approved { subject } => {
                let (scope, audience) = (flow.scope.clone(), flow.audience.clone());
                self.new_grant(client_id, subject, scope, audience, now)
            }
        }
    }

    /// The flow behind a code that a person typed: case and punctuation do not matter
    /// (RFC 8628 section 6.1).
    pub(crate) fn find_code(&mut self, typed: &str, now: Now) -> Result<&mut Flow, CodeError> {
        let minute_ago = now.up.saturating_sub(Duration::from_secs(60));
        self.wrong_codes.retain(|at| *at > minute_ago);
        if self.wrong_codes.len() >= MOST_WRONG_CODES {
            return Err(CodeError::TooMany);
        }
        let wanted = letters(typed);
        let Some(flow) = self.flows.values_mut().find(|flow| letters(&flow.user_code) == wanted)
        else {
            self.wrong_codes.push(now.up);
            return Err(CodeError::Unknown);
        };
        if flow.answer.is_some() {
            return Err(CodeError::Answered);
        }
        if now.up >= flow.expires { Err(CodeError::Expired) } else { Ok(flow) }
    }

    /// The flow whose page was shown with this ticket, and what was answered there.
    pub(crate) fn find_ticket(&self, ticket: &str) -> Option<(&Flow, Option<&Answer>)> {
        let wanted = Digest::of(ticket);
        let flow = self.flows.values().find(|flow| Digest::of(&flow.ticket) == wanted)?;
        Some((flow, flow.answer.as_ref()))
    }

    pub(crate) fn approve(
        &mut self,
        typed: &str,
        subject: &str,
        now: Now,
    ) -> Result<(), CodeError> {
        if self.account(subject).is_none() || self.disabled.contains(subject) {
            return Err(CodeError::Account);
        }
        let subject = subject.to_owned();
        self.find_code(typed, now)?.answer = Some(Answer::Approved { subject });
        Ok(())
    }

    pub(crate) fn deny(&mut self, typed: &str, now: Now) -> Result<(), CodeError> {
        self.find_code(typed, now)?.answer = Some(Answer::Denied);
        Ok(())
    }

    pub(crate) fn pending_codes(&self, now: Now) -> Vec<PendingCode> {
        let pending =
            self.flows.values().filter(|flow| flow.answer.is_none() && now.up < flow.expires);
        pending
            .map(|flow| PendingCode {
                user_code: flow.user_code.clone(),
                client_id: flow.client_id.clone(),
                scope: flow.scope.clone(),
                expires_in: flow.expires - now.up,
            })
            .collect()
    }

    /// What the sign-in page calls whoever asked for this flow.
    pub(crate) fn client_name(&self, client_id: &str) -> String {
        let client = self.settings.clients.iter().find(|client| client.id == client_id);
        client.map_or_else(|| client_id.to_owned(), |client| client.name.clone())
    }
}

fn letters(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}
