//! Who signed in: the id_token's claims, and the issuer's keys that its signature is held against.
//!
//! Keys are fetched while a code is shown, so that an approval seldom waits for them, and again
//! once where a token names none of them (rotation). A token that is not signed by the issuer's
//! keys is refused. Where no keys can be had, the sign-in is kept all the same: the token came from
//! the token endpoint itself, and OpenID Connect Core section 3.1.3.7, point 6, lets the TLS
//! connection to it stand in for the signature. The keys would have come over no better one. Keys
//! that are there and say no are not outweighed by it: where none come that say yes, the token is
//! refused.

use super::{Activity, Ending, Event, Session, pairing::Pairing};
use crate::{
    backoff::Backoff,
    fault::Fault,
    http::{Outcome, Peer, Request},
    issuer::Endpoints,
    owner::{Account, OwnerId},
    secret::Secret,
    time::{Boot, Wall},
    wire::{IdClaims, KeySet, TokenReply, Unacceptable, Verdict},
};
use alloc::vec::Vec;
use core::time::Duration;

/// Keys are not fetched oftener than this.
const LEAST: Duration = Duration::from_secs(60);

/// How old keys may grow before they are fetched again for the next sign-in.
const MAX_AGE: Duration = Duration::from_secs(86_400);

/// How long a sign-in waits for keys at most.
const PATIENCE: Duration = Duration::from_secs(90);

/// After so many fetches in a row that came to nothing, one of them its own, it waits no longer.
const TRIES: u32 = 2;

/// The issuer's keys, as far as they are known.
#[derive(Debug)]
pub(super) struct Keys {
    set: Option<KeySet>,
    fetched: Option<Boot>,
    not_before: Boot,
    /// The issuer asked for it.
    quiet_until: Boot,
    backoff: Backoff,
    pub(super) to_save: bool,
}

/// An approval that waits for keys. The code is used up: what came for it is all there is.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) reply: TokenReply,
    claims: IdClaims,
    received: Boot,
    /// Keys were asked for on its behalf, and did not come.
    has_tried: bool,
    /// The keys that are known say that it is not by whom it says.
    is_contradicted: bool,
}

impl Held {
    fn until(&self) -> Boot {
        self.received + PATIENCE
    }
}

impl Keys {
    pub(super) const fn new(kept: Option<KeySet>, start: Boot) -> Self {
        let backoff = Backoff::new(Duration::from_secs(5), LEAST);
        let quiet_until = Boot::new(Duration::ZERO);
        Self { set: kept, fetched: None, not_before: start, quiet_until, backoff, to_save: false }
    }

    pub(super) const fn set(&self) -> Option<&KeySet> {
        self.set.as_ref()
    }

    fn of(&self, uri: &str) -> Option<&KeySet> {
        self.set.as_ref().filter(|set| set.uri == uri)
    }

    /// Somebody waits. What came to nothing is tried again at once; keys that came are not fetched
    /// again so soon.
    fn hurry(&mut self, now: Boot) {
        if self.backoff.failures() > 0 {
            self.not_before = self.quiet_until.max(now);
        }
    }

    /// Those of an earlier run may have been replaced since.
    fn are_old(&self, uri: &str, now: Boot) -> bool {
        let fetched = self.fetched.filter(|_| self.of(uri).is_some());
        fetched.is_none_or(|fetched| now.since(fetched) >= MAX_AGE)
    }
}

impl Session {
    fn keys_uri(&self) -> Option<&str> {
        self.endpoints.as_ref()?.jwks.as_deref()
    }

    pub(super) fn keys_wake(&self) -> Option<Boot> {
        let uri = self.keys_uri()?;
        let asks_who = self.config.issuer.scopes.iter().any(|scope| scope == "openid");
        let soon = asks_who
            && matches!(self.pairing, Pairing::Showing(_))
            && self.keys.are_old(uri, self.now.boot);
        let wanted = (soon || self.held.is_some()) && !self.is_under_way(Activity::Keys);
        wanted.then_some(self.keys.not_before)
    }

    pub(super) fn held_wake(&self) -> Option<Boot> {
        self.held.as_ref().map(Held::until)
    }

    pub(super) fn advance_keys(&mut self, endpoints: &Endpoints) {
        let due = self.keys_wake().is_some_and(|at| at <= self.now.boot);
        let Some(url) = endpoints.jwks.clone().filter(|_| due) else { return };
        let headers = Vec::from([("accept".into(), Secret::new("application/json"))]);
        self.send(
            Activity::Keys,
            Request { peer: Peer::Issuer, url, headers, body: None, unsigned: Vec::new() },
        );
    }

    /// Trouble with the keys is no fault: polls and refreshes say how the issuer is.
    pub(super) fn keys_heard(&mut self, outcome: &Outcome) {
        let Some(uri) = self.keys_uri() else { return };
        let now = self.now.boot;
        match KeySet::read(outcome, uri) {
            Ok(set) => {
                self.keys.to_save |= self.keys.set.as_ref() != Some(&set);
                self.keys.set = Some(set);
                self.keys.fetched = Some(now);
                self.keys.not_before = now + LEAST;
                self.keys.backoff.reset();
                self.decide_held();
            }
            Err(trouble) => {
                let wait = self.keys.backoff.next(&mut self.rng);
                self.keys.quiet_until = now + trouble.retry_after().unwrap_or_default();
                self.keys.not_before = self.keys.quiet_until.max(now + wait);
                if let Some(held) = &mut self.held {
                    held.has_tried = true;
                }
            }
        }
    }

    /// With the newest keys there are.
    fn decide_held(&mut self) {
        let Some(Held { reply, claims, received, .. }) = self.held.take() else { return };
        match self.verdict(&reply) {
            Verdict::Signed => self.identified(reply, Some(&claims), received),
            Verdict::NotByThese | Verdict::Contradicted => {
                self.unidentified(&reply, Unacceptable::Signature);
            }
            Verdict::Refused(problem) => self.unidentified(&reply, problem),
        }
    }

    /// No keys can be had, and a person stands before the device.
    pub(super) fn stop_waiting_for_keys(&mut self) {
        let (now, has_source) = (self.now.boot, self.keys_uri().is_some());
        let (keys, gone) = (&self.keys, self.keys.backoff.failures() >= TRIES);
        let over = |held: &mut Held| {
            held.until() <= now
                || keys.quiet_until > held.until()
                || held.has_tried && gone
                || !has_source
        };
        if let Some(held) = self.held.take_if(over) {
            let Held { reply, claims, received, is_contradicted, .. } = held;
            // No keys are one thing, keys that say no another: TLS does not outweigh them.
            if is_contradicted {
                return self.unidentified(&reply, Unacceptable::Contradicted);
            }
            self.event(Event::KeysUnavailable);
            self.identified(reply, Some(&claims), received);
        }
    }

    /// The person approved. Who is it?
    pub(super) fn approved(&mut self, reply: TokenReply, issued: Option<Wall>) {
        self.abandon(Activity::Code);
        self.end_polls();
        self.pairing = Pairing::Resting(None);
        let received = self.now.boot;
        let claims = reply.id_token.as_ref().map(|token| self.id_claims(token, issued));
        let claims = match claims.transpose() {
            Ok(Some(claims)) => claims,
            Ok(None) => return self.identified(reply, None, received),
            Err(problem) => return self.unidentified(&reply, problem),
        };
        match self.verdict(&reply) {
            Verdict::Signed => self.identified(reply, Some(&claims), received),
            Verdict::Refused(problem) => self.unidentified(&reply, problem),
            Verdict::NotByThese if self.keys_uri().is_none() => {
                self.identified(reply, Some(&claims), received);
            }
            verdict @ (Verdict::NotByThese | Verdict::Contradicted) => {
                let is_contradicted = verdict == Verdict::Contradicted;
                let has_tried = false;
                self.held = Some(Held { reply, claims, received, has_tried, is_contradicted });
                self.keys.hurry(received);
            }
        }
    }

    fn verdict(&self, reply: &TokenReply) -> Verdict {
        let keys = self.keys_uri().and_then(|uri| self.keys.of(uri));
        reply
            .id_token
            .as_ref()
            .map_or(Verdict::NotByThese, |token| KeySet::verdict(keys, token, self.config.verify))
    }

    fn unidentified(&mut self, reply: &TokenReply, problem: Unacceptable) {
        self.event(Event::IdentityRefused { problem });
        self.turned_away(reply, Fault::IdTokenRefused, Ending::BadIdentity);
    }

    /// An id_token lives for minutes, and a usable clock may be off by hours: the clock of the
    /// issuer, who has just sent it, counts before ours.
    fn id_claims(&self, token: &Secret, issued: Option<Wall>) -> Result<IdClaims, Unacceptable> {
        let issuer = &self.config.issuer;
        let now = issued.or(self.gate.usable(self.now)).unwrap_or(self.config.clock_floor);
        IdClaims::read(token, issuer.url.as_deref(), &issuer.client_id, now)
    }

    pub(super) fn account_of(&mut self, claims: Option<&IdClaims>) -> Account {
        let issuer = &self.config.issuer;
        // Without discovery the token endpoint stands for the issuer.
        let issuer = issuer.url.as_ref().or(issuer.explicit.token.as_ref());
        let issuer = issuer.map_or("", |url| url.trim_end_matches('/'));
        Account {
            id: claims.map_or_else(
                || OwnerId::of_grant(&mut self.rng),
                |claims| OwnerId::of_subject(issuer, claims.subject()),
            ),
            subject: claims.map(|claims| claims.subject().into()),
            name: claims.and_then(IdClaims::display_name),
        }
    }
}
