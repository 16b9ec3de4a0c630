//! Tokens for another API, got for the sign-in's own access token: token exchange (RFC 8693), or
//! Entra's on-behalf-of. What the issuer says of one of them says nothing of the grant.

use super::{Activity, By, GrantStatus, Session, TokenAnswer, TokenKey, tokens::full_scope};
use crate::{
    backoff::Backoff,
    http::Outcome,
    profile::Exchange,
    time::{Boot, Now},
    wire::RefreshAnswer,
};
use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::time::Duration;

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// At most so many wait.
const MAX_WANTED: usize = 16;

/// How long one that the issuer refused is not asked for again.
const REFUSED_FOR: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Exchanges {
    wanted: VecDeque<TokenKey>,
    current: Option<TokenKey>,
    not_before: Boot,
    backoff: Backoff,
    refused: Vec<(TokenKey, Boot)>,
}

impl Exchanges {
    pub(super) const fn new() -> Self {
        Self {
            wanted: VecDeque::new(),
            current: None,
            not_before: Boot::new(Duration::ZERO),
            backoff: Backoff::new(Duration::from_secs(5), Duration::from_secs(300)),
            refused: Vec::new(),
        }
    }

    pub(super) fn want(&mut self, key: &TokenKey) {
        if !self.knows(key) && self.wanted.len() < MAX_WANTED {
            self.wanted.push_back(key.clone());
        }
    }

    fn knows(&self, key: &TokenKey) -> bool {
        self.current.as_ref() == Some(key) || self.wanted.contains(key)
    }

    /// Nothing is asked before `until`.
    pub(super) fn leave_alone(&mut self, until: Boot) {
        self.not_before = self.not_before.max(until);
    }

    /// The sign-in is over: what its token was to be exchanged for is not wanted.
    pub(super) fn forget(&mut self) {
        self.wanted.clear();
        self.current = None;
        self.refused.clear();
    }
}

impl Session {
    /// Whether an exchange for a token is under way, whoever's: there is one at a time (design
    /// invariant 10).
    pub(super) fn exchanges_token(&self) -> bool {
        [Activity::Refresh, Activity::Exchange, Activity::OwnName]
            .into_iter()
            .any(|activity| self.is_under_way(activity))
    }

    /// For a program: together they cause only so many exchanges and refreshes.
    pub(super) fn exchanged_token(
        &mut self,
        key: &TokenKey,
        min_ttl: Duration,
        now: Now,
    ) -> TokenAnswer {
        if self.config.issuer.profile.exchange == Exchange::Never {
            return TokenAnswer::Refused;
        }
        if let Some(access) = self.tokens.get(key, min_ttl, now.boot, |_| true) {
            return TokenAnswer::Ready(access);
        }
        if self.grant().status != GrantStatus::Held {
            return TokenAnswer::SignInNeeded;
        }
        let is_refused = |(refused, until): &(TokenKey, Boot)| refused == key && *until > now.boot;
        if self.exchanges.refused.iter().any(is_refused) {
            return TokenAnswer::Refused;
        }
        if !self.exchanges.knows(key) && self.refresh.is_allowed(now.boot) {
            self.exchanges.want(key);
            self.advance(now);
        }
        TokenAnswer::Pending
    }

    /// Whether the sign-in's own token can be exchanged now.
    fn has_subject(&self) -> bool {
        let saver = &self.saver;
        self.tokens.has(&TokenKey::default(), self.now.boot, |version| saver.is_settled(version))
    }

    pub(super) fn exchange_wake(&self) -> Option<Boot> {
        if self.refresh.is_under_way() || self.exchanges_token() || self.candidate.is_some() {
            return None;
        }
        // Where it is missing, the refresh that brings it comes first.
        if self.grant().status != GrantStatus::Held || !self.has_subject() {
            return None;
        }
        let wanted = self.exchanges.wanted.iter().map(|key| self.tokens.refresh_allowed_at(key));
        let next =
            wanted.min().into_iter().chain(self.tokens.wake(TokenKey::is_exchanged)).min()?;
        Some(next.max(self.exchanges.not_before))
    }

    pub(super) fn advance_exchange(&mut self, token_endpoint: &str) {
        let now = self.now.boot;
        let subject = TokenKey::default();
        // One that has just come and only waits for the store is not missing.
        let comes = self.tokens.is_unsettled(&subject, |version| self.saver.is_settled(version));
        let lacks = !self.has_subject() && !comes && !self.is_lasting();
        if !self.exchanges.wanted.is_empty() && lacks {
            self.refresh.want(&subject);
        }
        if self.exchange_wake().is_none_or(|at| at > now) {
            return;
        }
        let tokens = &self.tokens;
        let ready =
            self.exchanges.wanted.iter().position(|key| tokens.refresh_allowed_at(key) <= now);
        let key = match ready {
            Some(index) => self.exchanges.wanted.remove(index),
            None => tokens.due(TokenKey::is_exchanged, now),
        };
        let saver = &self.saver;
        let access = self.tokens.get(&subject, Duration::ZERO, now, |it| saver.is_settled(it));
        let Some((key, access)) = key.clone().zip(access) else {
            return key.into_iter().for_each(|key| self.exchanges.want(&key));
        };
        let By::Exchange(audience) = &key.by else { return };
        let scopes = key.scopes.join(" ");
        // On behalf of somebody, the API stands in the scopes and nowhere else: a bare scope would
        // be one of another API, which no rule has allowed.
        let of_audience: Vec<String> =
            key.scopes.iter().map(|scope| full_scope(audience, scope)).collect();
        let of_audience = match of_audience.as_slice() {
            [] => full_scope(audience, ".default"),
            named => named.join(" "),
        };
        let mut pairs: Vec<(&str, &str)> = match self.config.issuer.profile.exchange {
            Exchange::OnBehalfOf => Vec::from([
                ("grant_type", JWT_BEARER),
                ("requested_token_use", "on_behalf_of"),
                ("assertion", access.token.expose()),
                ("scope", &of_audience),
            ]),
            Exchange::Standard | Exchange::Never => Vec::from([
                ("grant_type", TOKEN_EXCHANGE),
                ("subject_token", access.token.expose()),
                ("subject_token_type", ACCESS_TOKEN),
                ("requested_token_type", ACCESS_TOKEN),
                ("audience", audience),
            ]),
        };
        if self.config.issuer.profile.exchange == Exchange::Standard {
            pairs.extend(Some(("scope", scopes.as_str())).filter(|_| !scopes.is_empty()));
            pairs.extend(key.resource.as_deref().map(|resource| ("resource", resource)));
        }
        self.exchanges.current = Some(key.clone());
        self.post(Activity::Exchange, token_endpoint, &pairs);
    }

    pub(super) fn exchange_heard(&mut self, outcome: &Outcome) {
        let Some(key) = self.exchanges.current.take() else { return };
        let now = self.now.boot;
        match RefreshAnswer::read(outcome, self.config.issuer.profile) {
            // RFC 8693 section 2.2.1: what is no access token is no use as one.
            RefreshAnswer::Granted(reply) if !reply.token_type.eq_ignore_ascii_case("N_A") => {
                self.issuer_answered();
                self.exchanges.backoff.reset();
                self.exchanges.not_before = Boot::default();
                self.tokens.put(key, &reply, 0, now, &mut self.rng);
                self.event(super::Event::Refreshed { rotated: false });
            }
            RefreshAnswer::Granted(_) => self.exchange_refused(key),
            RefreshAnswer::Suspended(error)
            | RefreshAnswer::Final(error)
            | RefreshAnswer::Later(error)
            | RefreshAnswer::Refused(error) => {
                self.issuer_answered();
                self.event(super::Event::TokenRefused { error });
                self.exchange_refused(key);
            }
            RefreshAnswer::Trouble(trouble) => {
                self.issuer_trouble(&trouble);
                let wait = self.exchanges.backoff.next(&mut self.rng);
                let wait = wait.max(trouble.retry_after().unwrap_or_default());
                self.exchanges.not_before = now + wait;
                self.exchanges.want(&key);
            }
        }
    }

    /// It is about this one; the grant is as good as it was.
    fn exchange_refused(&mut self, key: TokenKey) {
        let now = self.now.boot;
        self.tokens.leave(&key);
        self.exchanges.refused.retain(|(refused, until)| *refused != key && *until > now);
        self.exchanges.refused.push((key, now + REFUSED_FOR));
    }

    pub(super) fn exchange_again(&mut self) {
        let current = self.exchanges.current.take();
        current.into_iter().for_each(|key| self.exchanges.want(&key));
    }
}
