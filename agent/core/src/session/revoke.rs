//! Telling the issuer that a token is over (RFC 7009): kept and tried again until it knows.

use super::{Activity, Credential, Event, Grant, Revocation, Session};
use crate::{
    backoff::Backoff, fault::Fault, http::Outcome, issuer::Endpoints, profile::Reach,
    secret::Secret, time::Boot, wire,
};
use core::time::Duration;

/// How many revocations wait at most; the oldest gives way.
const MAX_WAITING: usize = 8;

/// How often one is tried: over a month at the longest back-off.
const MAX_TRIES: u8 = 250;

#[derive(Debug)]
pub(super) struct Revoke {
    not_before: Boot,
    backoff: Backoff,
}

impl Revoke {
    pub(super) const fn new(start: Boot) -> Self {
        let backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(4 * 3_600));
        Self { not_before: start, backoff }
    }

    /// Nothing is asked before `until`.
    pub(super) fn leave_alone(&mut self, until: Boot) {
        self.not_before = self.not_before.max(until);
    }
}

impl Session {
    /// What a sign-out ends at the issuer, as far as that is known of it.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match &self.endpoints {
            Some(endpoints) if endpoints.revocation.is_none() => Reach::Nothing,
            Some(_) | None => self.config.issuer.profile.revocation,
        }
    }

    /// Queues the revocation of all that `grant` holds.
    pub(super) fn revoke_grant(&mut self, grant: &Grant) {
        let (Credential::Refresh(token) | Credential::Lasting(token)) = &grant.credential;
        self.revoke_token(token.clone());
    }

    pub(super) fn revoke_token(&mut self, token: Secret) {
        let endpoint = self.endpoints.as_ref().and_then(|endpoints| endpoints.revocation.clone());
        // The answer that is under way is about the first.
        let oldest = usize::from(self.is_under_way(Activity::Revoke));
        let waiting = &mut self.record.revocations;
        if waiting.len() == MAX_WAITING {
            waiting.remove(oldest);
            self.event(Event::RevocationGivenUp);
        }
        self.record.revocations.push(Revocation { token, endpoint, tries: 0 });
        let now = self.now.boot;
        self.revoke.not_before = self.quiet.revoke.map_or(now, |asked| asked.max(now));
        self.revoke.backoff.reset();
        self.raise_fault(Fault::RevocationPending);
        self.saver.touch();
    }

    pub(super) fn revoke_wake(&self) -> Option<Boot> {
        // While a new grant is being settled, the old one still works and is not revoked.
        let waits = !self.record.revocations.is_empty()
            && !self.is_under_way(Activity::Revoke)
            && self.candidate.is_none();
        waits.then_some(self.revoke.not_before)
    }

    pub(super) fn advance_revocations(&mut self, endpoints: &Endpoints) {
        if self.revoke_wake().is_none_or(|at| at > self.now.boot) {
            return;
        }
        let Some(first) = self.record.revocations.first().cloned() else { return };
        match first.endpoint.as_deref().or(endpoints.revocation.as_deref()) {
            Some(url) => {
                self.post(Activity::Revoke, url, &[("token", first.token.expose())]);
            }
            // An issuer without such an endpoint cannot be told; its page for lost devices can.
            None => self.first_revocation_done(Event::RevocationGivenUp),
        }
    }

    pub(super) fn revoke_heard(&mut self, outcome: &Outcome) {
        // 200 also for a token that was already over. What an issuer says in OAuth's words will not
        // change, nor will an endpoint appear that is not there; all else may.
        let is_said = matches!(wire::sort(outcome), wire::Sorted::Error(..));
        let done = match outcome {
            // A login page has not heard of any token.
            Outcome::Reply(reply) if wire::is_page(reply) => None,
            Outcome::Reply(reply) if reply.status == 200 || reply.status == 204 => {
                Some(Event::Revoked)
            }
            Outcome::Reply(reply) if is_said || matches!(reply.status, 404 | 405 | 410) => {
                Some(Event::RevocationGivenUp)
            }
            Outcome::Reply(_) | Outcome::NotSent(_) | Outcome::Lost(_) => None,
        };
        if let Some(event) = done {
            self.first_revocation_done(event);
            return;
        }
        self.revoke.not_before = self.now.boot + self.revoke.backoff.next(&mut self.rng);
        let Some(first) = self.record.revocations.first_mut() else { return };
        first.tries = first.tries.saturating_add(1);
        if first.tries >= MAX_TRIES {
            self.first_revocation_done(Event::RevocationGivenUp);
        }
    }

    fn first_revocation_done(&mut self, event: Event) {
        if !self.record.revocations.is_empty() {
            self.record.revocations.remove(0);
        }
        self.revoke.backoff.reset();
        self.saver.touch();
        self.event(event);
        if self.record.revocations.is_empty() {
            self.clear_fault(Fault::RevocationPending);
        }
    }
}
