//! Telling the issuer that a token is over (RFC 7009): kept and tried again until it knows.

use super::{Activity, Credential, Event, Grant, Revocation, Session};
use crate::{
    backoff::Backoff,
    fault::Fault,
    http::Outcome,
    issuer::{Endpoints, IssuedBy},
    profile::Reach,
    secret::Secret,
    time::Boot,
    wire::{self, TokenReply},
};
use alloc::sync::Arc;
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
            Some(_) if self.is_elsewhere() => Reach::Nothing,
            Some(_) | None => self.config.issuer.profile.revocation,
        }
    }

    /// Queues the revocation of all that `grant` holds.
    pub(super) fn revoke_grant(&mut self, grant: &Grant) {
        let (Credential::Refresh(token) | Credential::Lasting(token)) = &grant.credential;
        self.revoke(token.clone(), grant.issued_by.clone().or_else(|| self.here.clone()));
    }

    /// The same of what the issuer has just given.
    pub(super) fn revoke_reply(&mut self, reply: &TokenReply) {
        self.revoke_token(reply.refresh_token.as_ref().unwrap_or(&reply.access_token).clone());
    }

    pub(super) fn revoke_token(&mut self, token: Secret) {
        self.revoke(token, self.here.clone());
    }

    fn revoke(&mut self, token: Secret, issued_by: Option<Arc<IssuedBy>>) {
        let is_here = self.is_here(issued_by.as_ref());
        let endpoint = self.endpoints.as_ref().filter(|_| is_here);
        let endpoint = endpoint.and_then(|endpoints| endpoints.revocation.clone());
        if self.record.revocations.len() == MAX_WAITING {
            // Not the one whose answer is on its way.
            let under_way = self.next_revocation().filter(|_| self.is_under_way(Activity::Revoke));
            self.record.revocations.remove(usize::from(under_way == Some(0)));
            self.event(Event::RevocationGivenUp);
        }
        self.record.revocations.push(Revocation { token, endpoint, tries: 0, issued_by });
        self.saver.touch();
        if !is_here {
            // Kept, for it may be configured again; but nobody should wait for that.
            return self.event(Event::RevocationGivenUp);
        }
        let now = self.now.boot;
        self.revoke.not_before = self.quiet.revoke.map_or(now, |asked| asked.max(now));
        self.revoke.backoff.reset();
        self.raise_fault(Fault::RevocationPending);
    }

    /// The first that this issuer is to be told of.
    pub(super) fn next_revocation(&self) -> Option<usize> {
        let mut waiting = self.record.revocations.iter();
        waiting.position(|revocation| self.is_here(revocation.issued_by.as_ref()))
    }

    pub(super) fn revoke_wake(&self) -> Option<Boot> {
        // While a new grant is being settled, the old one still works and is not revoked.
        let waits = self.next_revocation().is_some()
            && !self.is_under_way(Activity::Revoke)
            && self.candidate.is_none();
        waits.then_some(self.revoke.not_before)
    }

    pub(super) fn advance_revocations(&mut self, endpoints: &Endpoints) {
        if self.revoke_wake().is_none_or(|at| at > self.now.boot) {
            return;
        }
        let next = self.next_revocation().and_then(|next| self.record.revocations.get(next));
        let Some(next) = next.cloned() else { return };
        match next.endpoint.as_deref().or(endpoints.revocation.as_deref()) {
            Some(url) => {
                self.post(Activity::Revoke, url, &[("token", next.token.expose())]);
            }
            // An issuer without such an endpoint cannot be told; its page for lost devices can.
            None => self.revocation_done(Event::RevocationGivenUp),
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
            self.revocation_done(event);
            return;
        }
        self.revoke.not_before = self.now.boot + self.revoke.backoff.next(&mut self.rng);
        let next = self.next_revocation();
        let next = next.and_then(|next| self.record.revocations.get_mut(next));
        let Some(next) = next else { return };
        next.tries = next.tries.saturating_add(1);
        if next.tries >= MAX_TRIES {
            self.revocation_done(Event::RevocationGivenUp);
        }
    }

    fn revocation_done(&mut self, event: Event) {
        if let Some(next) = self.next_revocation() {
            self.record.revocations.remove(next);
        }
        self.revoke.backoff.reset();
        self.saver.touch();
        self.event(event);
        if self.next_revocation().is_none() {
            self.clear_fault(Fault::RevocationPending);
        }
    }
}
