//! What the sandbox noticed: how often and when each endpoint was asked, and what a well-behaved
//! client would not have done.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde::Serialize;

use crate::fault::Endpoint;

/// Something that a client must not do. It is answered as the protocol says, and recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Violation {
    /// A poll before the interval was over, every `slow_down` counted (RFC 8628 section 3.5).
    EarlyPoll {
        /// How much too early.
        early_by: Duration,
    },
    /// A poll after a final answer for the same device code.
    PollAfterEnd,
    /// A refresh token that had been replaced, while reuse detection is on (RFC 9700 section 4.14.2).
    ReusedRefreshToken {
        /// Whose grant it was.
        subject: String,
    },
    /// Two refreshes of one grant at the same time.
    ConcurrentRefresh,
    /// A request before the instant that `Retry-After` named, by the same caller.
    BeforeRetryAfter {
        /// Where.
        endpoint: Endpoint,
        /// How much too early.
        early_by: Duration,
    },
    /// A token at a server that it is not meant for.
    WrongAudience {
        /// Where.
        endpoint: Endpoint,
    },
    /// One idempotency key for two different bodies.
    ChangedUnderKey {
        /// Where.
        endpoint: Endpoint,
    },
    /// A redirect of a request with credentials was followed.
    FollowedRedirect,
    /// A parameter that was given more than once (RFC 6749 section 3.1).
    RepeatedParameter {
        /// Where.
        endpoint: Endpoint,
    },
}

/// Who asks, as far as one can tell: a digest of the device code, grant, subject or client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Caller(u64);

impl Caller {
    pub(crate) fn of(identity: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Clocks of client and server are read at different instants and in different units.
pub(crate) const TOLERANCE: Duration = Duration::from_millis(20);

/// Older entries than so many make room for newer ones.
const MOST_KEPT: usize = 10_000;

#[derive(Default)]
pub(crate) struct Journal {
    counts: HashMap<Endpoint, u64>,
    arrivals: HashMap<Endpoint, VecDeque<Duration>>,
    violations: VecDeque<Violation>,
    not_before: HashMap<(Endpoint, Caller), Duration>,
    refreshing: HashMap<Caller, u32>,
}

impl Journal {
    pub(crate) fn arrived(&mut self, endpoint: Endpoint, caller: Caller, up: Duration) {
        *self.counts.entry(endpoint).or_default() += 1;
        let arrivals = self.arrivals.entry(endpoint).or_default();
        push_bounded(arrivals, up);
        if let Some(not_before) = self.not_before.remove(&(endpoint, caller)) {
            let early_by = not_before.saturating_sub(up);
            if early_by > TOLERANCE {
                self.violation(Violation::BeforeRetryAfter { endpoint, early_by });
                self.not_before.insert((endpoint, caller), not_before);
            }
        }
    }

    pub(crate) fn told_to_wait(&mut self, endpoint: Endpoint, caller: Caller, until: Duration) {
        if self.not_before.len() < MOST_KEPT {
            self.not_before.insert((endpoint, caller), until);
        }
    }

    pub(crate) fn refresh_begins(&mut self, caller: Caller) {
        let running = self.refreshing.entry(caller).or_default();
        *running += 1;
        if *running > 1 {
            self.violation(Violation::ConcurrentRefresh);
        }
    }

    pub(crate) fn refresh_ends(&mut self, caller: Caller) {
        if let Some(running) = self.refreshing.get_mut(&caller) {
            *running -= 1;
            if *running == 0 {
                self.refreshing.remove(&caller);
            }
        }
    }

    pub(crate) fn violation(&mut self, violation: Violation) {
        push_bounded(&mut self.violations, violation);
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.violations.iter().cloned().collect()
    }

    pub(crate) fn count(&self, endpoint: Endpoint) -> u64 {
        self.counts.get(&endpoint).copied().unwrap_or(0)
    }

    pub(crate) fn arrivals(&self, endpoint: Endpoint) -> Vec<Duration> {
        self.arrivals.get(&endpoint).map(|at| at.iter().copied().collect()).unwrap_or_default()
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == MOST_KEPT {
        queue.pop_front();
    }
    queue.push_back(item);
}
