//! What can go wrong on purpose: where, how, and how often.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A place where requests are counted and faults can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Both well-known documents.
    Discovery,
    /// Keys that verify what the issuer signs.
    Jwks,
    /// Device authorization (RFC 8628 section 3.1).
    DeviceAuthorization,
    /// The token endpoint, asked with a device code.
    TokenPoll,
    /// The token endpoint, asked with a refresh token.
    TokenRefresh,
    /// The token endpoint, asked to exchange one token for another.
    TokenExchange,
    /// The token endpoint, asked by a client in its own name.
    TokenOwnName,
    /// Revocation (RFC 7009).
    Revocation,
    /// OpenID Connect's userinfo.
    Userinfo,
    /// `POST /v1/logs`.
    Logs,
    /// `POST /v1/metrics`.
    Metrics,
    /// `POST /v1/traces`.
    Traces,
}

impl Endpoint {
    /// Every endpoint, in the order in which a device meets them.
    pub const ALL: [Self; 12] = [
        Self::Discovery,
        Self::Jwks,
        Self::DeviceAuthorization,
        Self::TokenPoll,
        Self::TokenRefresh,
        Self::TokenExchange,
        Self::TokenOwnName,
        Self::Revocation,
        Self::Userinfo,
        Self::Logs,
        Self::Metrics,
        Self::Traces,
    ];
}

/// Value of a `Retry-After` header (RFC 9110 section 10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// As a number of seconds.
    Seconds(u32),
    /// As a date that many seconds from now.
    Date(u32),
}

/// How an endpoint misbehaves.
///
/// "Processed" means that the server does what it was asked before the answer goes wrong: a
/// refresh token is rotated, a record is stored. All other faults leave its state alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// A status with a body of plain text, as a proxy in between would send it.
    Status {
        /// 100 to 999.
        status: u16,
        /// Until then a further request of the same caller is a violation.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// An OAuth error as JSON. `slow_down` raises the interval that polls must keep.
    OauthError {
        /// Usually 400; GitHub 200, Google 403 and 428.
        #[serde(default = "bad_request")]
        status: u16,
        /// `access_denied`, `expired_token`, `invalid_grant` …
        error: String,
        /// Absent from the reply if none.
        #[serde(default)]
        description: Option<String>,
        /// New interval in seconds, as GitHub sends it with `slow_down`.
        #[serde(default)]
        interval: Option<u32>,
    },
    /// Bytes that are no JSON and no UTF-8, declared as JSON.
    Garbage {
        /// Status beside it.
        status: u16,
    },
    /// A page where data is due: a captive portal (200) or a broken proxy (500).
    Html {
        /// Status beside it.
        status: u16,
    },
    /// No body at all.
    Empty {
        /// Status beside it.
        status: u16,
    },
    /// 200 with a JSON object of that many bytes.
    Oversized {
        /// At most 64 MiB.
        bytes: usize,
    },
    /// Processed; the right answer, one byte at a time.
    Slow {
        /// Milliseconds between two bytes.
        pause_ms: u64,
    },
    /// Waits, then processes and answers.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Silence, for ten minutes at most.
    Hang {
        /// Whether the request is processed first.
        #[serde(default)]
        processed: bool,
    },
    /// The connection is reset (TCP RST) instead of an answer: with `processed`, a lost reply.
    Reset {
        /// Whether the request is processed first.
        #[serde(default)]
        processed: bool,
    },
    /// Processed; the body breaks off after so many bytes.
    Cut {
        /// Bytes of the body that still arrive.
        bytes: usize,
    },
    /// Elsewhere. Who follows is recorded as a violation.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// A path of the same server if absent.
        #[serde(default)]
        location: Option<String>,
    },
    /// Processed; the answer is form-encoded instead of JSON.
    FormEncoded,
    /// Processed; fields of the JSON answer are changed.
    Edit {
        /// Fields to put in or to replace.
        #[serde(default)]
        set: Map<String, Value>,
        /// Fields to leave out.
        #[serde(default)]
        remove: Vec<String>,
    },
    /// Telemetry: processed, but the answer says that so many records were rejected.
    PartialSuccess {
        /// Number of records.
        rejected: u32,
    },
}

fn bad_request() -> u16 {
    400
}

impl Fault {
    /// A status without `Retry-After`.
    pub fn status(status: u16) -> Self {
        Self::Status { status, retry_after: None }
    }

    /// An OAuth error with status 400 and neither description nor interval.
    pub fn oauth(error: &str) -> Self {
        Self::OauthError { status: 400, error: error.to_owned(), description: None, interval: None }
    }

    /// A right answer in which one field is missing, e.g. `refresh_token`.
    pub fn without(field: &str) -> Self {
        Self::Edit { set: Map::new(), remove: vec![field.to_owned()] }
    }

    /// A right answer in which one field is different.
    pub fn with(field: &str, value: impl Into<Value>) -> Self {
        let set = Map::from_iter([(field.to_owned(), value.into())]);
        Self::Edit { set, remove: Vec::new() }
    }

    /// Metadata of somebody else: discovery must refuse it (RFC 8414 section 3.3).
    pub fn wrong_issuer() -> Self {
        Self::with("issuer", "https://issuer.invalid")
    }
}

/// How often a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// For the next so many requests.
    Next(u32),
    /// Until it is cleared.
    Always,
}

impl From<u32> for Times {
    fn from(times: u32) -> Self {
        Self::Next(times)
    }
}

/// Faults that wait for their requests, in the order in which they were set.
#[derive(Default)]
pub(crate) struct FaultTable {
    waiting: HashMap<Endpoint, VecDeque<(Fault, Times)>>,
}

/// More faults than that at one endpoint replace the oldest.
const MOST_WAITING: usize = 1024;

impl FaultTable {
    pub(crate) fn set(&mut self, endpoint: Endpoint, fault: Fault, times: Times) {
        let waiting = self.waiting.entry(endpoint).or_default();
        if waiting.len() == MOST_WAITING {
            waiting.pop_front();
        }
        waiting.push_back((fault, times));
    }

    pub(crate) fn clear(&mut self, endpoint: Option<Endpoint>) {
        match endpoint {
            Some(endpoint) => drop(self.waiting.remove(&endpoint)),
            None => self.waiting.clear(),
        }
    }

    /// The fault for one request that has just arrived.
    pub(crate) fn take(&mut self, endpoint: Endpoint) -> Option<Fault> {
        let waiting = self.waiting.get_mut(&endpoint)?;
        loop {
            match waiting.front_mut()? {
                (fault, Times::Always) => return Some(fault.clone()),
                (_, Times::Next(0)) => drop(waiting.pop_front()),
                (fault, Times::Next(left)) => {
                    *left -= 1;
                    return Some(fault.clone());
                }
            }
        }
    }
}
