//! The device in its own name: access tokens by its client credentials (RFC 6749 section 4.4), for
//! what belongs to nobody. No person is needed, and nothing of it touches a person's grant.
//!
//! Nothing of it is kept: the credentials themselves are all that it takes to get another.

use super::{Activity, Event, Session, TokenAnswer, TokenKey};
use crate::{
    backoff::{Backoff, spread},
    fault::Fault,
    http::Outcome,
    issuer::IssuerConfig,
    time::{Boot, Now},
    wire::{OAuthError, RefreshAnswer, TokenReply},
};
use alloc::vec::Vec;
use core::time::Duration;
use fastrand::Rng;

/// How long an issuer is left alone that says that it is asked too often.
const UNWANTED: Duration = Duration::from_secs(3_600);

/// How the device stands in its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnNameStatus {
    /// It is not to speak in its own name.
    Off,
    /// It has no token yet, or none was needed.
    Waiting,
    /// The issuer gave it one when it was last asked.
    Held,
    /// The issuer gives it none.
    Refused,
}

#[derive(Debug)]
pub(super) struct OwnName {
    wanted: bool,
    not_before: Boot,
    /// After trouble, and after a refusal: that one takes an administrator.
    unwell: Backoff,
    refused: Backoff,
    /// When the issuer gave a token last, in this run.
    succeeded: Option<Boot>,
}

impl OwnName {
    /// `start`: not before; `power_back`: the fleet has just got its power back.
    pub(super) fn new(
        issuer: &IssuerConfig,
        start: Boot,
        power_back: Option<Duration>,
        rng: &mut Rng,
    ) -> Self {
        let span = power_back.filter(|_| issuer.own_name.is_some());
        Self {
            wanted: false,
            not_before: span.map_or(start, |span| start + spread(span, rng)),
            unwell: Backoff::new(Duration::from_secs(5), Duration::from_secs(300)),
            refused: Backoff::new(Duration::from_secs(60), Duration::from_secs(3_600)),
            succeeded: None,
        }
    }

    /// Nothing is asked before `until`.
    pub(super) fn leave_alone(&mut self, until: Boot) {
        self.not_before = self.not_before.max(until);
    }

    pub(super) const fn want(&mut self) {
        self.wanted = true;
    }
}

impl Session {
    /// How the device stands in its own name, and when it got a token last.
    #[must_use]
    pub fn own_name(&self) -> (OwnNameStatus, Option<Boot>) {
        let status = match &self.config.issuer.own_name {
            None => OwnNameStatus::Off,
            Some(_) if self.faults.has(Fault::OwnNameRefused) => OwnNameStatus::Refused,
            Some(_) if self.own_name.succeeded.is_some() => OwnNameStatus::Held,
            Some(_) => OwnNameStatus::Waiting,
        };
        (status, self.own_name.succeeded)
    }

    pub(super) fn token_in_own_name(&mut self, min_ttl: Duration, now: Now) -> TokenAnswer {
        if self.config.issuer.own_name.is_none() {
            return TokenAnswer::Refused;
        }
        let ready = self.tokens.get(&TokenKey::own_name(), min_ttl, now.boot, |_| true);
        if let Some(access) = ready {
            return TokenAnswer::Ready(access);
        }
        self.own_name.want();
        self.advance(now);
        match self.faults.has(Fault::OwnNameRefused) {
            true => TokenAnswer::Refused,
            false => TokenAnswer::Pending,
        }
    }

    /// One exchange at a time, whoever's (design invariant 10).
    pub(super) fn own_name_wake(&self) -> Option<Boot> {
        self.config.issuer.own_name.as_ref()?;
        if self.refresh.is_under_way() || self.exchanges_token() {
            return None;
        }
        let wanted = self.own_name.wanted;
        let wanted = wanted.then(|| self.tokens.refresh_allowed_at(&TokenKey::own_name()));
        let next = wanted.into_iter().chain(self.tokens.wake(TokenKey::is_own_name)).min()?;
        Some(next.max(self.own_name.not_before))
    }

    pub(super) fn advance_own_name(&mut self, token_endpoint: &str) {
        if self.own_name_wake().is_none_or(|at| at > self.now.boot) {
            return;
        }
        let Some(own) = self.config.issuer.own_name.clone() else { return };
        let scopes = own.scopes.join(" ");
        let optional = [
            ("scope", Some(&scopes).filter(|scopes| !scopes.is_empty())),
            ("resource", own.resource.as_ref()),
            ("audience", own.audience.as_ref()),
        ];
        let optional = optional.iter();
        let optional = optional.filter_map(|(name, value)| Some((*name, value.as_ref()?.as_str())));
        let mut pairs = Vec::from([("grant_type", "client_credentials")]);
        pairs.extend(optional);
        self.post(Activity::OwnName, token_endpoint, &pairs);
    }

    pub(super) fn own_name_heard(&mut self, outcome: &Outcome) {
        match RefreshAnswer::read(outcome, self.config.issuer.profile) {
            RefreshAnswer::Granted(reply) => self.own_name_granted(&reply),
            RefreshAnswer::Suspended(error)
            | RefreshAnswer::Final(error)
            | RefreshAnswer::Refused(error) => {
                let wait = self.own_name.refused.next(&mut self.rng);
                self.own_name_refused(error, wait);
            }
            RefreshAnswer::Later(error) => self.own_name_refused(error, UNWANTED),
            RefreshAnswer::Trouble(trouble) => {
                self.issuer_trouble(&trouble);
                let wait = self.own_name.unwell.next(&mut self.rng);
                let wait = wait.max(trouble.retry_after().unwrap_or_default());
                self.own_name.not_before = self.now.boot + wait;
            }
        }
    }

    fn own_name_granted(&mut self, reply: &TokenReply) {
        self.issuer_answered();
        self.clear_fault(Fault::OwnNameRefused);
        self.own_name.wanted = false;
        self.own_name.not_before = Boot::default();
        self.own_name.unwell.reset();
        self.own_name.refused.reset();
        self.own_name.succeeded = Some(self.now.boot);
        self.tokens.put(TokenKey::own_name(), reply, 0, self.now.boot, &mut self.rng);
        self.event(Event::OwnNameGranted);
    }

    fn own_name_refused(&mut self, error: OAuthError, wait: Duration) {
        self.issuer_answered();
        self.raise_fault_by(Fault::OwnNameRefused, &error);
        self.event(Event::OwnNameRefused { error });
        // It is asked again by itself: somebody may have allowed it.
        self.own_name.wanted = true;
        self.own_name.not_before = self.now.boot + wait;
    }

    /// The key is gone that its token is bound to.
    pub(super) fn own_name_unbound(&mut self) {
        if self.config.issuer.dpop {
            self.abandon(Activity::OwnName);
            self.tokens.clear();
        }
    }
}
