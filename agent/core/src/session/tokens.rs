//! The access tokens of one grant, by resource and scopes. Never stored.

use crate::{
    backoff::spread,
    secret::Secret,
    time::Boot,
    wire::{self, TokenReply, scope_list},
};
use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;
use fastrand::Rng;

/// How many access tokens are kept at once; the longest unused one makes room.
const MAX_TOKENS: usize = 16;

/// A refresh is not oftener than this, unless the token itself lives less than twice as long.
const MIN_REFRESH: Duration = Duration::from_secs(60);

/// Whatever an access token lives, the refresh token is used once a day: Google forgets one that
/// was not used for six months, Entra for 90 days, and others say so in `refresh_expires_in`.
const KEEP_ALIVE: Duration = Duration::from_secs(86_400);

/// A token that ends before it has reached whom it is for is of no use to anybody: so long before,
/// or a tenth of its life, it is not handed out any more.
const ON_THE_WAY: Duration = Duration::from_secs(5);

/// What an access token is for. The default is the one that the sign-in itself gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenKey {
    /// RFC 8707 `resource`; absent: as configured for the issuer.
    pub resource: Option<String>,
    /// Narrower scopes, sorted; empty: all that were granted.
    pub scopes: Vec<String>,
    /// Whose right it carries, and how it is got.
    pub by: By,
}

/// Whose right an access token carries, and how it is got.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The user's, by the refresh token of the sign-in.
    #[default]
    SignIn,
    /// The user's with the API of this audience, by an exchange of the sign-in's own access token (RFC
    /// 8693; Entra's on-behalf-of).
    Exchange(String),
    /// The device's own, by its client credentials (RFC 6749 section 4.4).
    OwnName,
}

impl TokenKey {
    /// A key from words as they come: order and repeats of scopes do not matter.
    #[must_use]
    pub fn new(resource: Option<String>, scopes: &[String]) -> Self {
        Self { resource, scopes: scope_list(&scopes.join(" ")), by: By::SignIn }
    }

    /// The one in the device's own name.
    #[must_use]
    pub const fn own_name() -> Self {
        Self { resource: None, scopes: Vec::new(), by: By::OwnName }
    }

    /// One for the API of `audience`, exchanged for the sign-in's own.
    #[must_use]
    pub fn exchanged(self, audience: String) -> Self {
        Self { by: By::Exchange(audience), ..self }
    }

    /// Whether the refresh token brings it.
    #[must_use]
    pub const fn is_refreshed(&self) -> bool {
        matches!(self.by, By::SignIn)
    }

    /// Whether it is exchanged for another.
    #[must_use]
    pub const fn is_exchanged(&self) -> bool {
        matches!(self.by, By::Exchange(_))
    }

    /// It makes no room for others.
    fn is_kept(&self) -> bool {
        *self == Self::default() || self.is_own_name()
    }

    /// Whether it is in the device's own name.
    #[must_use]
    pub const fn is_own_name(&self) -> bool {
        matches!(self.by, By::OwnName)
    }
}

/// Tells one issue of a token from the next: a refusal counts only for the one that was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(u64);

#[cfg(test)]
impl Generation {
    pub(crate) const fn test(number: u64) -> Self {
        Self(number)
    }
}

/// An access token as it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// The token.
    pub token: Secret,
    /// `token_type` of RFC 6749.
    pub token_type: String,
    /// Until when it is good; absent: until it is refused.
    pub expires: Option<Boot>,
    /// The scopes granted with it, where the issuer said.
    pub scope: Option<Vec<String>>,
    /// Which issue of it this is.
    pub generation: Generation,
}

impl AccessToken {
    /// Whether the issuer, or the token, says that it allows more than `key` asks for. An issuer that
    /// says nothing has given what it was asked for (RFC 6749, section 5.1).
    #[must_use]
    pub fn exceeds(&self, key: &TokenKey) -> bool {
        // Nothing but the resource (RFC 8707) makes this one narrower, and issuers may ignore that.
        if let (Some(resource), [], By::SignIn) = (&key.resource, key.scopes.as_slice(), &key.by) {
            return wire::is_for(&self.token, resource) == Some(false);
        }
        // An exchanged one may name its scopes with the API before them.
        let audience = match &key.by {
            By::Exchange(audience) => Some(audience),
            By::SignIn | By::OwnName => None,
        };
        let asked = |granted: &String| {
            key.scopes.iter().any(|scope| {
                scope == granted
                    || audience.is_some_and(|audience| {
                        full_scope(audience, scope) == full_scope(audience, granted)
                    })
            })
        };
        let granted = self.scope.as_ref().filter(|_| !key.scopes.is_empty());
        granted.is_some_and(|granted| !granted.iter().all(asked))
    }

    /// Whether it is good only with a proof (RFC 9449 section 5).
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.token_type.eq_ignore_ascii_case("dpop")
    }
}

/// A scope with the API that it is of before it, as Entra names them.
pub(super) fn full_scope(audience: &str, scope: &str) -> String {
    let within = scope.strip_prefix(audience).is_some_and(|rest| rest.starts_with('/'));
    if within { scope.to_string() } else { format!("{audience}/{scope}") }
}

#[derive(Debug)]
struct Entry {
    access: AccessToken,
    /// Handed out only once this version of the record is settled (design invariant 1).
    after: u64,
    received: Boot,
    refresh_at: Option<Boot>,
    refused: bool,
    /// It replaced one that was refused.
    after_refusal: bool,
    used: bool,
}

impl Entry {
    fn is_good(&self, min_ttl: Duration, now: Boot) -> bool {
        let is_long_enough = self.access.expires.is_none_or(|end| {
            let on_the_way = (end.since(self.received) / 10).min(ON_THE_WAY);
            end > now + min_ttl.max(on_the_way)
        });
        !self.refused && is_long_enough
    }
}

#[derive(Debug, Default)]
pub(super) struct Tokens {
    entries: BTreeMap<TokenKey, Entry>,
    issued: u64,
}

impl Tokens {
    /// Takes in what the issuer gave for `key`; to be handed out once version `after` is settled.
    pub(super) fn put(
        &mut self,
        key: TokenKey,
        reply: &TokenReply,
        after: u64,
        now: Boot,
        rng: &mut Rng,
    ) {
        self.issued += 1;
        let refresh_in = reply.refresh_in.or_else(|| {
            let lifetime = reply.expires_in?;
            Some(lifetime / 2 + spread(lifetime * 3 / 10, rng))
        });
        // A refresh token that is not used dies by limits of its own, said or not.
        let idle = reply.refresh_expires_in.filter(|lifetime| *lifetime >= 2 * MIN_REFRESH);
        let idle = idle.unwrap_or(KEEP_ALIVE).min(KEEP_ALIVE);
        let idle = idle / 2 + spread(idle / 5, rng);
        let refresh_in = Some(refresh_in.map_or(idle, |span| span.min(idle)));
        let least = match reply.expires_in {
            Some(lifetime) if lifetime < 2 * MIN_REFRESH => Duration::ZERO,
            Some(_) | None => MIN_REFRESH,
        };
        let access = AccessToken {
            token: reply.access_token.clone(),
            token_type: reply.token_type.to_string(),
            expires: reply.expires_in.map(|span| now + span),
            scope: reply.scope.clone(),
            generation: Generation(self.issued),
        };
        let refresh_at = refresh_in.map(|span| now + span.max(least));
        let after_refusal = self.entries.get(&key).is_some_and(|old| old.refused);
        let entry = Entry {
            access,
            after,
            received: now,
            refresh_at,
            refused: false,
            after_refusal,
            used: false,
        };
        self.entries.insert(key.clone(), entry);
        if self.entries.len() > MAX_TOKENS {
            // Never the one that somebody waits for.
            let others = self.entries.iter().filter(|(other, _)| **other != key);
            let oldest = others.filter(|(key, _)| !key.is_kept());
            let oldest = oldest.min_by_key(|(_, entry)| (entry.used, entry.received));
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| self.entries.remove(&key));
        }
    }

    /// A token for `key` that is good for at least `min_ttl` more.
    pub(super) fn get(
        &mut self,
        key: &TokenKey,
        min_ttl: Duration,
        now: Boot,
        is_settled: impl Fn(u64) -> bool,
    ) -> Option<AccessToken> {
        let entry = self.entries.get_mut(key)?;
        if !entry.is_good(min_ttl, now) || !is_settled(entry.after) {
            return None;
        }
        entry.used = true;
        Some(entry.access.clone())
    }

    /// Whether the wait for `key` is only for the store.
    pub(super) fn is_unsettled(&self, key: &TokenKey, is_settled: impl Fn(u64) -> bool) -> bool {
        self.entries.get(key).is_some_and(|entry| !is_settled(entry.after))
    }

    /// Whether this is the newest issue of the token for `key`.
    pub(super) fn is_current(&self, key: &TokenKey, generation: Generation) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.access.generation == generation)
    }

    /// A server refused this issue of the token. True if it was the current one.
    pub(super) fn refuse(&mut self, key: &TokenKey, generation: Generation) -> bool {
        let entry = self.entries.get_mut(key);
        let current = entry.filter(|entry| entry.access.generation == generation && !entry.refused);
        current.map(|entry| entry.refused = true).is_some()
    }

    /// Before when no refresh for `key` may start that somebody asks for. The first refusal is
    /// acted upon at once; a server that refuses every fresh token too, or a program that wants
    /// more than the issuer gives, must not become a storm.
    pub(super) fn refresh_allowed_at(&self, key: &TokenKey) -> Boot {
        let entry = self.entries.get(key).filter(|entry| !entry.refused || entry.after_refusal);
        entry.map_or(Boot::default(), |entry| {
            let lifetime = entry.access.expires.map(|end| end.since(entry.received));
            let least = match lifetime {
                Some(lifetime) if lifetime < 2 * MIN_REFRESH => lifetime / 2,
                Some(_) | None => MIN_REFRESH,
            };
            entry.received + least
        })
    }

    /// Keys whose refresh is due: the sign-in's own token always, others while they are used. Those
    /// of one kind.
    pub(super) fn due(&self, of_kind: fn(&TokenKey) -> bool, now: Boot) -> Option<TokenKey> {
        let due = |entry: &Entry| entry.refresh_at.is_some_and(|at| at <= now);
        let kept = self.kept(of_kind).find(|(_, entry)| due(entry));
        kept.map(|(key, _)| key.clone())
    }

    /// The token for `key` is good to its end, and no other comes by itself.
    pub(super) fn leave(&mut self, key: &TokenKey) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.refresh_at = None;
        }
    }

    /// When the next refresh is due.
    pub(super) fn wake(&self, of_kind: fn(&TokenKey) -> bool) -> Option<Boot> {
        self.kept(of_kind).filter_map(|(_, entry)| entry.refresh_at).min()
    }

    fn kept(&self, of_kind: fn(&TokenKey) -> bool) -> impl Iterator<Item = (&TokenKey, &Entry)> {
        let of_kind = self.entries.iter().filter(move |(key, _)| of_kind(key));
        of_kind.filter(|(key, entry)| **key == TokenKey::default() || entry.used)
    }

    /// Whether there is a token for `key` to be handed out now.
    pub(super) fn has(&self, key: &TokenKey, now: Boot, is_settled: impl Fn(u64) -> bool) -> bool {
        let entry = self.entries.get(key);
        entry.is_some_and(|entry| entry.is_good(Duration::ZERO, now) && is_settled(entry.after))
    }

    /// Whether the sign-in's own token is good now.
    pub(super) fn has_good(&self, now: Boot) -> bool {
        self.entries
            .get(&TokenKey::default())
            .is_some_and(|entry| !entry.refused && entry.access.expires.is_none_or(|end| end > now))
    }

    /// When the token for `key` ends, where it does.
    pub(super) fn end(&self, key: &TokenKey) -> Option<Boot> {
        self.entries.get(key)?.access.expires
    }

    /// Whether the token for `key` has run out.
    pub(super) fn is_over(&self, key: &TokenKey, now: Boot) -> bool {
        self.end(key).is_some_and(|end| end <= now)
    }

    /// The sign-in is over: what came of it is of no use. What is the device's own stays.
    pub(super) fn end_sign_in(&mut self) {
        self.entries.retain(|key, _| key.is_own_name());
    }

    /// The key is gone that tokens are bound to.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Boot {
        Boot::new(Duration::from_secs(seconds))
    }

    fn reply(lifetime: u64) -> TokenReply {
        TokenReply {
            access_token: Secret::new("a"),
            token_type: "Bearer".into(),
            expires_in: Some(Duration::from_secs(lifetime)),
            refresh_in: None,
            refresh_token: None,
            refresh_expires_in: None,
            scope: None,
            id_token: None,
        }
    }

    fn holding(lifetime: u64, seed: u64) -> Tokens {
        let mut tokens = Tokens::default();
        let mut rng = Rng::with_seed(seed);
        tokens.put(TokenKey::default(), &reply(lifetime), 0, at(0), &mut rng);
        tokens
    }

    #[test]
    fn a_token_exceeds_what_was_asked_for_only_where_the_issuer_says_so() {
        let key = |scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
            TokenKey::new(None, &scopes)
        };
        let given = |scope: Option<&[&str]>| {
            let mut tokens = Tokens::default();
            let scope = scope.map(|words| words.iter().map(ToString::to_string).collect());
            let reply = TokenReply { scope, ..reply(3_600) };
            tokens.put(key(&["read"]), &reply, 0, at(0), &mut Rng::with_seed(1));
            tokens.get(&key(&["read"]), Duration::ZERO, at(1), |_| true).expect("there")
        };
        assert!(given(Some(&["read", "admin"])).exceeds(&key(&["read"])));
        assert!(!given(Some(&["read", "admin"])).exceeds(&key(&["read", "admin", "more"])));
        assert!(!given(Some(&["read", "admin"])).exceeds(&key(&[])), "all that was granted");
        assert!(!given(None).exceeds(&key(&["read"])));
    }

    #[test]
    fn a_token_for_one_resource_exceeds_it_where_it_is_for_another() {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let resource = "https://api.example";
        let exceeds = |token: &str, scopes: &[String]| {
            let key = TokenKey::new(Some(resource.into()), scopes);
            let reply = TokenReply { access_token: Secret::new(token), ..reply(3_600) };
            let mut tokens = Tokens::default();
            tokens.put(key.clone(), &reply, 0, at(0), &mut Rng::with_seed(1));
            let access = tokens.get(&key, Duration::ZERO, at(1), |_| true).expect("there");
            access.exceeds(&key)
        };
        let jwt = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        for narrow in
            [r#"{"aud":"https://api.example/"}"#, r#"{"aud":["a","https://api.example"]}"#]
        {
            assert!(!exceeds(&jwt(narrow), &[]), "{narrow}");
        }
        for broad in [r#"{"aud":"account"}"#, r#"{"sub":"anna"}"#, r#"{"aud":[]}"#] {
            assert!(exceeds(&jwt(broad), &[]), "{broad}");
            assert!(!exceeds(&jwt(broad), &["read".into()]), "its scopes bound it");
        }
        assert!(!exceeds("opaque", &[]) && !exceeds("a.b.c", &[]));
    }

    #[test]
    fn a_full_table_keeps_the_token_that_has_just_come() {
        let key = |number: usize| TokenKey::new(Some(format!("https://{number}.example")), &[]);
        let mut tokens = Tokens::default();
        let mut rng = Rng::with_seed(1);
        for number in 0..=MAX_TOKENS {
            tokens.put(key(number), &reply(3_600), 0, at(number as u64), &mut rng);
            assert!(tokens.get(&key(number), Duration::ZERO, at(20), |_| true).is_some());
        }
        assert!(tokens.get(&key(0), Duration::ZERO, at(20), |_| true).is_none(), "the oldest");
    }

    #[test]
    fn refresh_falls_into_half_to_four_fifths_of_the_lifetime() {
        let wakes: Vec<u64> = (0..50)
            .map(|seed| {
                holding(3_600, seed)
                    .wake(TokenKey::is_refreshed)
                    .expect("due")
                    .since(at(0))
                    .as_secs()
            })
            .collect();
        assert!(wakes.iter().all(|wake| (1_800..=2_880).contains(wake)), "{wakes:?}");
        assert!(wakes.iter().max() > wakes.iter().min(), "invariant 10: jittered");
        let short =
            holding(40, 1).wake(TokenKey::is_refreshed).expect("due").since(at(0)).as_secs();
        assert!((20..=32).contains(&short));
        let brief =
            holding(121, 1).wake(TokenKey::is_refreshed).expect("due").since(at(0)).as_secs();
        assert!(brief >= 60, "not oftener than once a minute");
    }

    #[test]
    fn a_token_is_not_handed_out_in_its_last_moments() {
        for (lifetime, last) in [(3_600, 3_594), (20, 17)] {
            let mut tokens = holding(lifetime, 1);
            let mut is_ready =
                |now| tokens.get(&TokenKey::default(), Duration::ZERO, at(now), |_| true).is_some();
            assert!(is_ready(last) && !is_ready(last + 1), "{lifetime} s");
        }
    }

    #[test]
    fn a_refusal_counts_for_its_own_generation_only() {
        let mut tokens = holding(3_600, 1);
        let key = TokenKey::default();
        let first = tokens.get(&key, Duration::ZERO, at(1), |_| true).expect("good");
        assert!(tokens.refuse(&key, first.generation));
        assert!(!tokens.refuse(&key, first.generation), "a second 401 is no second refresh");
        assert_eq!(tokens.get(&key, Duration::ZERO, at(1), |_| true), None);
        tokens.put(key.clone(), &reply(3_600), 0, at(2), &mut Rng::with_seed(2));
        assert!(!tokens.refuse(&key, first.generation), "late 401 for the old one");
        assert!(tokens.get(&key, Duration::ZERO, at(3), |_| true).is_some());
    }

    #[test]
    fn invariant_1_a_token_waits_for_its_version() {
        let mut tokens = Tokens::default();
        tokens.put(TokenKey::default(), &reply(60), 7, at(0), &mut Rng::with_seed(1));
        let mut get = |settled: u64| {
            tokens.get(&TokenKey::default(), Duration::ZERO, at(1), |v| v <= settled)
        };
        assert!(get(6).is_none() && get(7).is_some());
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_sign_ins_own_token() {
        let mut tokens = holding(3_600, 1);
        for n in 0..100_u64 {
            let key = TokenKey::new(Some(n.to_string()), &[]);
            tokens.put(key, &reply(60), 0, at(n), &mut Rng::with_seed(n));
        }
        assert_eq!(tokens.entries.len(), MAX_TOKENS);
        assert!(tokens.has_good(at(50)));
    }
}
