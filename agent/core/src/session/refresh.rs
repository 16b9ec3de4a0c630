//! Silent renewal: one refresh in flight, whoever asks (design invariant 10), and durable before
//! it is handed out (invariant 1).

use super::{
    Activity, Candidate, Credential, Ending, Event, Grant, Session, SessionRecord, Suspension,
    TokenKey,
};
use crate::{
    backoff::Backoff,
    fault::Fault,
    http::Outcome,
    issuer::Endpoints,
    profile::UsedToken,
    time::Boot,
    wire::{OAuthError, RefreshAnswer, TokenReply, Trouble},
};
use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::time::Duration;

/// A suspended grant is tried again this often: an account may be enabled again.
const DAILY: Duration = Duration::from_secs(86_400);

/// After a restart a suspended grant is not tried at once: boards that restart all the time must
/// not use the daily tries up.
const AFTER_RESTART: Duration = Duration::from_secs(3_600);

/// How long an issuer is left alone that says that it is asked too often.
const UNWANTED: Duration = Duration::from_secs(3_600);

/// For so many days (design invariant 2).
pub(super) const MAX_TRIES: u8 = 30;

/// How long a kind of token that the issuer refused is not asked for again.
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// So many kinds of token may be asked for at once, and one more after each of these seconds.
const ALLOWANCE: u32 = 16;
const ALLOWED_EVERY: u64 = 10;

/// At most so many kinds of token wait for their refresh.
const MAX_WANTED: usize = 16;

#[derive(Debug)]
pub(super) struct Refresh {
    wanted: VecDeque<TokenKey>,
    current: Option<Step>,
    not_before: Boot,
    backoff: Backoff,
    refused: Vec<(TokenKey, Boot)>,
    /// How many refreshes programs may cause at once, as of that instant.
    allowance: (u32, Boot),
    /// An answer was lost since the last success: it may have held a new refresh token.
    lost: bool,
    /// The token before the current one is being tried.
    on_previous: bool,
    /// Whether the last attempt failed.
    failing: bool,
    /// When the last one succeeded.
    pub(super) succeeded: Option<Boot>,
}

/// The one refresh that is under way.
#[derive(Debug)]
struct Step {
    key: TokenKey,
    /// The intent is this version; the request leaves once it is settled.
    intent: Option<u64>,
    sent: bool,
    /// It asks for claims that a resource server wants.
    with_claims: bool,
}

impl Suspension {
    pub(super) const fn fault(self) -> Fault {
        if self.after_loss { Fault::SignInAgainAfterLoss } else { Fault::SignInAgain }
    }
}

impl Refresh {
    pub(super) fn new(record: &SessionRecord, start: Boot) -> Self {
        let grant = record.grant.as_ref();
        let suspended = grant.is_some_and(|grant| grant.suspension.is_some());
        let mut refresh = Self {
            wanted: VecDeque::new(),
            current: None,
            not_before: if suspended { start + AFTER_RESTART } else { start },
            backoff: Backoff::new(Duration::from_secs(5), Duration::from_secs(300)),
            refused: Vec::new(),
            allowance: (ALLOWANCE, start),
            lost: grant.is_some_and(|grant| grant.intent),
            on_previous: false,
            failing: false,
            succeeded: None,
        };
        if grant.is_some_and(|grant| matches!(grant.credential, Credential::Refresh(_))) {
            refresh.want(&TokenKey::default());
        }
        refresh
    }

    /// Somebody needs a fresh token for `key`.
    pub(super) fn want(&mut self, key: &TokenKey) {
        let known = self.current.as_ref().is_some_and(|step| step.key == *key);
        if !known && !self.wanted.contains(key) && self.wanted.len() < MAX_WANTED {
            self.wanted.push_back(key.clone());
        }
    }

    /// A program needs a token for `key`. Whoever asks for ever new kinds, or for more than are kept,
    /// waits: each costs issuer and flash.
    pub(super) fn want_for_program(&mut self, key: &TokenKey, now: Boot) {
        let known = self.current.as_ref().is_some_and(|step| step.key == *key);
        if known || self.wanted.contains(key) {
            return;
        }
        if *key == TokenKey::default() || self.is_allowed(now) {
            self.want(key);
        }
    }

    /// Whether programs may cause one more exchange of any kind; it counts.
    pub(super) fn is_allowed(&mut self, now: Boot) -> bool {
        let (left, since) = self.allowance;
        let earned = now.since(since).as_secs() / ALLOWED_EVERY;
        let left = u32::try_from(earned).unwrap_or(u32::MAX).saturating_add(left).min(ALLOWANCE);
        let Some(rest) = left.checked_sub(1) else { return false };
        self.allowance = (rest, since + Duration::from_secs(earned * ALLOWED_EVERY));
        true
    }

    pub(super) fn is_refused(&self, key: &TokenKey, now: Boot) -> bool {
        self.refused.iter().any(|(refused, until)| refused == key && *until > now)
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.current.is_some()
    }

    pub(super) const fn is_failing(&self) -> bool {
        self.failing
    }

    /// Nothing is asked before `until`.
    pub(super) fn leave_alone(&mut self, until: Boot) {
        self.not_before = self.not_before.max(until);
    }

    /// The grant is gone or replaced: nothing is wanted of the old one.
    pub(super) fn forget(&mut self) {
        self.wanted.clear();
        self.current = None;
        self.refused.clear();
        self.not_before = Boot::default();
        self.backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(300));
        self.lost = false;
        self.on_previous = false;
        self.failing = false;
        self.succeeded = None;
    }
}

impl Session {
    pub(super) fn refresh_wake(&self) -> Option<Boot> {
        let grant = self.record.grant.as_ref()?;
        if matches!(grant.credential, Credential::Lasting(_)) {
            return self.tokens.end(&TokenKey::default()).filter(|_| self.suspension().is_none());
        }
        // An answer for a sign-in that is over may be on its way, too.
        let other = self.exchanges_token();
        if other || self.refresh.current.is_some() || self.candidate.is_some() {
            return None;
        }
        if let Some(suspension) = self.suspension() {
            return (suspension.tries < MAX_TRIES).then_some(self.refresh.not_before);
        }
        let wanted = self.refresh.wanted.iter().map(|key| self.tokens.refresh_allowed_at(key));
        let next =
            wanted.min().into_iter().chain(self.tokens.wake(TokenKey::is_refreshed)).min()?;
        Some(next.max(self.refresh.not_before))
    }

    pub(super) fn advance_refresh(&mut self, endpoints: &Endpoints) {
        self.end_lasting_token();
        if self.refresh_wake().is_some_and(|at| at <= self.now.boot) {
            self.begin_refresh();
        }
        self.send_refresh(endpoints);
    }

    fn begin_refresh(&mut self) {
        let now = self.now.boot;
        let tokens = &self.tokens;
        let ready =
            self.refresh.wanted.iter().position(|key| tokens.refresh_allowed_at(key) <= now);
        let key = match ready {
            Some(index) => self.refresh.wanted.remove(index),
            None => tokens.due(TokenKey::is_refreshed, now),
        };
        let Some(grant) = &mut self.record.grant else { return };
        // A suspended grant is tried for its own sake.
        let Some(key) = key.or_else(|| grant.suspension.map(|_| TokenKey::default())) else {
            return;
        };
        // Where the issuer replaces the token at each use, a cut between its answer and our write
        // must be told from a refusal: the intent says that the token may be spent.
        let may_be_spent = self.config.issuer.profile.used == UsedToken::MayEndAll;
        let needs_intent = may_be_spent && grant.rotates != Some(false) && !grant.intent;
        grant.intent |= needs_intent;
        let intent = needs_intent.then(|| self.saver.touch());
        self.refresh.current = Some(Step { key, intent, sent: false, with_claims: false });
    }

    fn send_refresh(&mut self, endpoints: &Endpoints) {
        let Some(step) = &mut self.refresh.current else { return };
        let settled = step.intent.is_none_or(|version| self.saver.is_settled(version));
        let Some(Grant { credential: Credential::Refresh(token), .. }) = &self.record.grant else {
            self.refresh.current = None;
            return;
        };
        let token = token.clone();
        if step.sent || !settled {
            return;
        }
        if self.must_look_for_nonce(endpoints) {
            return self.look_for_nonce(endpoints);
        }
        let Some(step) = &mut self.refresh.current else { return };
        step.sent = true;
        let key = step.key.clone();
        let claims = self.claims_for(&key);
        if let Some(step) = &mut self.refresh.current {
            step.with_claims = claims.is_some();
        }
        let scopes: String = key.scopes.join(" ");
        let resource = key.resource.or_else(|| self.config.issuer.resource.clone());
        let mut pairs =
            Vec::from([("grant_type", "refresh_token"), ("refresh_token", token.expose())]);
        if !scopes.is_empty() {
            pairs.push(("scope", &scopes));
        }
        if let Some(resource) = &resource {
            pairs.push(("resource", resource));
        }
        if let Some(claims) = &claims {
            pairs.push(("claims", claims));
        }
        self.post(Activity::Refresh, &endpoints.token, &pairs);
    }

    pub(super) fn refresh_heard(&mut self, outcome: &Outcome) {
        let answer = RefreshAnswer::read(outcome, self.config.issuer.profile);
        let Some(step) = self.refresh.current.take() else { return self.came_too_late(&answer) };
        if step.with_claims {
            match &answer {
                RefreshAnswer::Granted(_) => self.claims_were_asked_for(true),
                RefreshAnswer::Suspended(_)
                | RefreshAnswer::Final(_)
                | RefreshAnswer::Refused(_) => return self.claims_refused(step.key),
                RefreshAnswer::Later(_) | RefreshAnswer::Trouble(_) => {}
            }
        }
        match answer {
            RefreshAnswer::Granted(reply) => self.refreshed(step.key, &reply),
            // It may be about this kind of token alone (consent, another factor).
            RefreshAnswer::Suspended(error) | RefreshAnswer::Final(error)
                if step.key != TokenKey::default() =>
            {
                self.kind_refused(step.key, error);
            }
            RefreshAnswer::Suspended(_) | RefreshAnswer::Final(_) if self.turns_to_previous() => {
                self.refresh.want(&step.key);
            }
            RefreshAnswer::Suspended(error) => self.suspend(error, false),
            RefreshAnswer::Final(error) => self.suspend(error, true),
            RefreshAnswer::Later(error) => self.refresh_unwanted(step.key, error),
            RefreshAnswer::Refused(error) => self.refresh_refused(step.key, error),
            RefreshAnswer::Trouble(trouble) => self.refresh_troubled(step.key, &trouble),
        }
    }

    fn refreshed(&mut self, key: TokenKey, reply: &TokenReply) {
        self.issuer_answered();
        self.clear_fault(Fault::ClientRefused);
        self.refresh.backoff.reset();
        self.refresh.not_before = Boot::default();
        self.refresh.failing = false;
        self.refresh.lost = false;
        self.refresh.on_previous = false;
        self.refresh.succeeded = Some(self.now.boot);
        let wall = self.gate.usable(self.now);
        let profile = self.config.issuer.profile;
        let Some(grant) = &mut self.record.grant else { return };
        let before = grant.clone();
        let Credential::Refresh(current) = &mut grant.credential else { return };
        let new = reply.refresh_token.clone().filter(|new| new != current);
        let rotated = new.is_some();
        // Another's grant is about to take this one's place, and the token before is on the list.
        let is_leaving = self.candidate.as_ref().is_some_and(Candidate::replaces);
        let to_revoke = new.clone().filter(|_| is_leaving);
        if let Some(new) = new {
            let old = core::mem::replace(current, new);
            // Where using it again might end the whole grant there is no use in keeping it.
            grant.previous = (profile.used == UsedToken::WorksOn).then_some(old);
        }
        // Once seen to rotate, always treated so: a server may rotate at some uses only.
        grant.rotates = Some(rotated || grant.rotates == Some(true));
        grant.intent = false;
        let resumed = grant.suspension.take().is_some();
        if let (Some(left), Some(wall)) = (reply.refresh_expires_in, wall) {
            grant.prolong(left, wall);
        }
        let version = if *grant == before { 0 } else { self.saver.touch() };
        self.tokens.put(key, reply, version, self.now.boot, &mut self.rng);
        if let Some(token) = to_revoke {
            self.revoke_token(token);
        }
        if resumed {
            self.clear_fault(Fault::SignInAgain);
            self.clear_fault(Fault::SignInAgainAfterLoss);
            self.event(Event::Resumed);
            self.end_pairing(Ending::Resumed);
        }
        self.event(Event::Refreshed { rotated });
    }

    /// Where used tokens work on, the one before the current one may be honoured still, once.
    fn turns_to_previous(&mut self) -> bool {
        let Some(grant) = &mut self.record.grant else { return false };
        let Credential::Refresh(current) = &mut grant.credential else { return false };
        let works_on = self.config.issuer.profile.used == UsedToken::WorksOn;
        let Some(previous) = grant.previous.as_mut().filter(|_| works_on) else { return false };
        // Also on the way back: the newer one is what daily tries are made with.
        core::mem::swap(current, previous);
        self.refresh.on_previous = !self.refresh.on_previous;
        self.refresh.on_previous
    }

    /// `is_final`: no later try can bring it back.
    fn suspend(&mut self, error: OAuthError, is_final: bool) {
        self.issuer_answered();
        self.refresh.wanted.clear();
        self.refresh.failing = true;
        self.refresh.not_before = self.now.boot + DAILY;
        self.tokens.end_sign_in();
        let wall = self.gate.usable(self.now);
        let Some(grant) = &mut self.record.grant else { return };
        let first = grant.suspension.is_none();
        let fresh = Suspension { since: wall, after_loss: self.refresh.lost, tries: 0 };
        let mut suspension = grant.suspension.unwrap_or(fresh);
        suspension.tries = match is_final {
            true => MAX_TRIES,
            false => suspension.tries.saturating_add(u8::from(!first)),
        };
        grant.suspension = Some(suspension);
        grant.intent = false;
        self.saver.touch();
        self.raise_fault_by(suspension.fault(), &error);
        if first {
            self.event(Event::Suspended { error });
        }
    }

    fn refresh_refused(&mut self, key: TokenKey, error: OAuthError) {
        self.issuer_answered();
        if key == TokenKey::default() {
            self.raise_fault_by(Fault::ClientRefused, &error);
            self.event(Event::Refused { error });
            self.refresh_later(key, Duration::from_secs(60));
        } else {
            self.event(Event::TokenRefused { error });
            // The client is known; only this kind of token is not to be had.
            self.tokens.leave(&key);
            let until = self.now.boot + REFUSED_FOR;
            self.refresh.refused.retain(|(refused, at)| *refused != key && *at > self.now.boot);
            self.refresh.refused.push((key, until));
        }
    }

    /// The sign-in ended while this was under way: what it brought must not live on.
    fn came_too_late(&mut self, answer: &RefreshAnswer) {
        if let RefreshAnswer::Granted(reply) = answer
            && let Some(token) = reply.refresh_token.clone()
        {
            self.revoke_token(token);
        }
    }

    /// Whether the grant itself is over is asked next, with the sign-in's own kind of token.
    fn kind_refused(&mut self, key: TokenKey, error: OAuthError) {
        self.refresh_refused(key, error);
        if let Some(grant) = &mut self.record.grant {
            grant.intent = false;
        }
        self.saver.touch();
        self.refresh.want(&TokenKey::default());
    }

    /// What the issuer says is about the claims: without them the grant is as good as it was.
    fn claims_refused(&mut self, key: TokenKey) {
        self.issuer_answered();
        self.claims_were_asked_for(false);
        if let Some(grant) = &mut self.record.grant {
            grant.intent = false;
        }
        self.saver.touch();
        self.refresh_later(key, Duration::from_secs(60));
        self.refresh.failing = false;
    }

    /// The issuer has had enough of this device for a while; its grant is good.
    fn refresh_unwanted(&mut self, key: TokenKey, error: OAuthError) {
        self.issuer_answered();
        self.event(Event::Refused { error });
        self.raise_fault(Fault::IssuerUnwell);
        self.refresh_later(key, UNWANTED);
    }

    fn refresh_troubled(&mut self, key: TokenKey, trouble: &Trouble) {
        self.issuer_trouble(trouble);
        // A success that makes no sense may be one that was cut short: not every answer says how
        // long it is.
        self.refresh.lost |=
            matches!(trouble, Trouble::Lost(_) | Trouble::Garbage { status: 200..=299 });
        self.refresh_later(key, trouble.retry_after().unwrap_or_default());
    }

    /// The request was refused before anything was looked at, and is made again.
    pub(super) fn refresh_again(&mut self) {
        if let Some(step) = &mut self.refresh.current {
            step.sent = false;
        }
    }

    /// Something in preparation of the refresh went wrong; no token was sent.
    pub(super) fn refresh_delayed(&mut self, trouble: &Trouble) {
        self.issuer_trouble(trouble);
        if let Some(step) = self.refresh.current.take() {
            self.refresh_later(step.key, trouble.retry_after().unwrap_or_default());
        }
    }

    fn refresh_later(&mut self, key: TokenKey, at_least: Duration) {
        let wait = self.refresh.backoff.next(&mut self.rng).max(at_least);
        self.refresh.not_before = self.now.boot + wait;
        self.refresh.failing = true;
        self.refresh.want(&key);
    }
}
