//! A resource server that wants more than the sign-in gives: claims that are to be fetched anew, a
//! stronger or a newer sign-in.
//!
//! Claims are asked for once by a refresh, for which nobody has to come; whatever that cannot bring
//! is asked for at the next sign-in. The grant stays as it is until then.

use super::{Credential, Event, Generation, Session, TokenKey};
use crate::{fault::Fault, time::Now, wire::Challenge};
use alloc::{string::String, vec::Vec};

/// What is asked for, and what was done about it.
#[derive(Debug)]
pub(super) struct StepUp {
    challenge: Challenge,
    /// For this kind of token the claims are asked for at its next refresh.
    by_refresh: Option<TokenKey>,
}

impl Session {
    /// A resource server refused this issue of the token for `key` and says what it wants. Claims
    /// cause one refresh; until the server has taken a token, every further wish a sign-in.
    pub fn handle_challenged(
        &mut self,
        key: &TokenKey,
        generation: Generation,
        challenge: Challenge,
        now: Now,
    ) {
        if !key.is_refreshed() {
            // No sign-in makes that one any stronger.
            return self.handle_rejected(key, generation, now);
        }
        self.now = now;
        let grant = self.record.grant.as_ref().filter(|_| self.suspension().is_none());
        let refreshable =
            grant.is_some_and(|grant| matches!(grant.credential, Credential::Refresh(_)));
        if grant.is_none() || !self.tokens.is_current(key, generation) {
            return self.advance(now);
        }
        if self.step_up.is_none() && refreshable && challenge.claims.is_some() {
            self.tokens.refuse(key, generation);
            self.refresh.want(key);
            self.step_up = Some(StepUp { challenge, by_refresh: Some(key.clone()) });
        } else if self.step_up.as_ref().is_none_or(|known| known.by_refresh.is_none()) {
            self.step_up = Some(StepUp { challenge, by_refresh: None });
            self.demand_sign_in();
        }
        self.advance(now);
    }

    /// A resource server that asked for more takes what it gets.
    pub fn handle_accepted(&mut self, now: Now) {
        self.now = now;
        self.lasting_accepted();
        if self.step_up.as_ref().is_some_and(|step_up| step_up.by_refresh.is_none()) {
            self.step_up_done();
        }
        self.advance(now);
    }

    /// The claims to send with a refresh for `key`.
    pub(super) fn claims_for(&self, key: &TokenKey) -> Option<String> {
        let step_up = self.step_up.as_ref()?;
        step_up.challenge.claims.clone().filter(|_| step_up.by_refresh.as_ref() == Some(key))
    }

    /// A refresh that asked for claims is over. Where the issuer gave no token, a person has to
    /// come: what it said is about the claims, not about the grant.
    pub(super) fn claims_were_asked_for(&mut self, granted: bool) {
        if let Some(step_up) = &mut self.step_up {
            step_up.by_refresh = None;
        }
        if !granted {
            self.demand_sign_in();
        }
    }

    fn demand_sign_in(&mut self) {
        let Some(step_up) = &self.step_up else { return };
        if !self.faults.has(Fault::SignInStronger) {
            self.event(Event::Challenged { names: step_up.challenge.names() });
        }
        self.raise_fault(Fault::SignInStronger);
    }

    /// Parameters of the next device authorization request.
    pub(super) fn demanded(&self) -> Vec<(&'static str, String)> {
        let demands = self.step_up.as_ref().filter(|_| self.faults.has(Fault::SignInStronger));
        demands.map(|step_up| step_up.challenge.pairs()).unwrap_or_default()
    }

    pub(super) fn step_up_done(&mut self) {
        self.step_up = None;
        self.clear_fault(Fault::SignInStronger);
    }
}
