//! Tokens that are bound to a key of this device (RFC 9449): the key, the issuer's and the resource
//! servers' nonces, and every proof that leaves.

use super::{Activity, Pairing, Session};
use crate::{
    http::{Outcome, Request},
    issuer::Endpoints,
    jws::{self, DeviceKey, Unsigned},
    secret::Secret,
    time::{Boot, Now},
    wire,
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

/// How many origins' nonces are kept; the oldest gives way.
const MAX_ORIGINS: usize = 8;

/// Longest nonce that is believed.
const MAX_NONCE: usize = 512;

/// A nonce may have run out after this time: before a refresh token is at stake it is looked.
const FRESH: Duration = Duration::from_secs(60);

/// No refresh token of anybody: what asks for a nonce, at no risk, where one would be asked for.
const NOBODYS: &str = "none";

#[derive(Debug, Default)]
pub(super) struct Dpop {
    /// A key was asked for.
    making: bool,
    asked: bool,
    /// Newest last.
    nonces: Vec<Nonce>,
    /// When the issuer was last asked whether it wants a nonce, in vain or not.
    looked: Option<Boot>,
    /// It was asked, and named none.
    issuer_wants_none: bool,
    /// The last answer was `use_dpop_nonce`, and acted upon.
    retried: bool,
}

struct Nonce {
    origin: String,
    text: String,
    received: Boot,
}

impl core::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Nonce({})", self.origin)
    }
}

impl Dpop {
    fn nonce(&self, url: &str) -> Option<&Nonce> {
        let origin = jws::origin(url)?;
        self.nonces.iter().rev().find(|nonce| nonce.origin == origin)
    }
}

impl Session {
    /// True once whenever a key is to be made; answer with [`Session::handle_key`].
    pub fn poll_key(&mut self) -> bool {
        core::mem::take(&mut self.dpop.asked)
    }

    /// A new key of this device. One that nobody waits for any more is dropped.
    pub fn handle_key(&mut self, key: DeviceKey, now: Now) {
        if core::mem::take(&mut self.dpop.making) && self.lacks_key() {
            self.record.device_key = Some(key);
            self.saver.touch();
        }
        self.advance(now);
    }

    /// A resource server has answered a request to `url`: it may want a nonce next time.
    pub fn handle_resource_reply(&mut self, url: &str, outcome: &Outcome) {
        self.hear_nonce(url, outcome);
    }

    /// Adds the proof to a request that carries a bound token.
    pub fn prove(&mut self, request: &mut Request) {
        let header = request.headers.iter().find(|(name, _)| name == "authorization");
        let token = header.and_then(|(_, value)| value.expose().strip_prefix("DPoP "));
        let Some(token) = token.map(Secret::new) else { return };
        let method = if request.body.is_some() { "POST" } else { "GET" };
        let proof = self.proof((method, &request.url), Some(&token), None);
        request.unsigned.extend(proof);
    }

    /// A proof for `method` and URL, for a local program's request as well; the newest nonce of
    /// that server unless `nonce` is given. `None` where tokens are not bound to a key, and
    /// without a usable clock.
    pub fn proof(
        &mut self,
        request: (&str, &str),
        access: Option<&Secret>,
        nonce: Option<&str>,
    ) -> Option<Unsigned> {
        let now = self.signing_date()?;
        let key = self.record.device_key.clone()?;
        let jti = jws::jti(&mut self.rng);
        let kept = self.dpop.nonce(request.1).map(|nonce| nonce.text.as_str());
        Some(Unsigned::proof(key, request, access, nonce.or(kept), jti, now))
    }

    /// Whether something waits for a key.
    pub(super) fn lacks_key(&self) -> bool {
        let needed = self.record.grant.is_some()
            || self.config.issuer.own_name.is_some()
            || !matches!(self.pairing, Pairing::Resting(_));
        self.config.issuer.dpop && needed && self.record.device_key.is_none()
    }

    pub(super) fn advance_key(&mut self) {
        if self.lacks_key() && !self.dpop.making {
            self.dpop.making = true;
            self.dpop.asked = true;
        }
    }

    /// Keeps the newest nonce of each origin.
    pub(super) fn hear_nonce(&mut self, url: &str, outcome: &Outcome) {
        let Outcome::Reply(reply) = outcome else { return };
        let Some((origin, text)) = jws::origin(url).zip(reply.header("dpop-nonce")) else { return };
        // RFC 9449 section 8.1: NQCHAR.
        let is_nonce = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if !(1..=MAX_NONCE).contains(&text.len()) || !text.bytes().all(is_nonce) {
            return;
        }
        self.dpop.issuer_wants_none = false;
        let nonces = &mut self.dpop.nonces;
        nonces.retain(|nonce| nonce.origin != origin);
        if nonces.len() == MAX_ORIGINS {
            nonces.remove(0);
        }
        nonces.push(Nonce { origin, text: text.to_string(), received: self.now.boot });
    }

    /// The issuer refuses a proof for its nonce alone: the same again, with the new one, once.
    pub(super) fn retries_with_nonce(&mut self, activity: Activity, outcome: &Outcome) -> bool {
        if !matches!(
            activity,
            Activity::Poll | Activity::Refresh | Activity::Exchange | Activity::OwnName
        ) {
            return false;
        }
        let wanted = wire::wants_nonce(outcome) && !self.dpop.retried;
        self.dpop.retried = wanted;
        match activity {
            Activity::Poll if wanted => self.poll_again(),
            Activity::Refresh if wanted => self.refresh_again(),
            Activity::Exchange if wanted => self.exchange_again(),
            // It is wanted still.
            Activity::OwnName if wanted => self.own_name.want(),
            Activity::Discovery
            | Activity::Keys
            | Activity::Code
            | Activity::Poll
            | Activity::LatePoll
            | Activity::Refresh
            | Activity::Exchange
            | Activity::OwnName
            | Activity::Revoke
            | Activity::Nonce => return false,
        }
        true
    }

    /// Whether a nonce has to be fetched before a refresh token is sent: some servers have
    /// consumed the token before they asked for a nonce.
    pub(super) fn must_look_for_nonce(&self, endpoints: &Endpoints) -> bool {
        let fresh = |at: Boot| self.now.boot.since(at) < FRESH;
        let known = self.dpop.nonce(&endpoints.token).is_some_and(|nonce| fresh(nonce.received));
        let looked = self.dpop.looked.is_some_and(fresh);
        self.record.device_key.is_some() && !known && !looked && !self.dpop.issuer_wants_none
    }

    pub(super) fn look_for_nonce(&mut self, endpoints: &Endpoints) {
        if !self.is_under_way(Activity::Nonce) {
            let pairs = [("grant_type", "refresh_token"), ("refresh_token", NOBODYS)];
            self.post(Activity::Nonce, &endpoints.token, &pairs);
        }
    }

    pub(super) fn nonce_heard(&mut self, outcome: &Outcome) {
        match wire::trouble_of_any(outcome) {
            Some(trouble) if !wire::wants_nonce(outcome) => {
                // A server that has no answer for nobody's token may have one for the right one.
                let is_busy = matches!(trouble, wire::Trouble::Server { status: 429 | 503, .. });
                let is_answer =
                    matches!(trouble, wire::Trouble::Server { .. } | wire::Trouble::Garbage { .. });
                if is_answer && !is_busy {
                    self.dpop.looked = Some(self.now.boot);
                }
                self.refresh_delayed(&trouble);
            }
            Some(_) | None => {
                self.dpop.looked = Some(self.now.boot);
                // One whose nonce is good still has no reason to send another.
                let endpoints = self.endpoints.as_ref();
                let token = endpoints.map(|endpoints| endpoints.token.as_str());
                self.dpop.issuer_wants_none =
                    token.is_some_and(|token| self.dpop.nonce(token).is_none());
            }
        }
    }
}
