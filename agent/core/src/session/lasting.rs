//! A sign-in without a refresh token: its access token is all there is (GitHub OAuth Apps), and
//! nothing replaces it but another sign-in.

use super::{Credential, Generation, Session, Suspension, TokenKey, refresh::MAX_TRIES};
use crate::{fault::Fault, wire::TokenReply};

/// A server that refuses the token so many times in a row, and takes it in between never, will not
/// take it again.
const REFUSALS: u8 = 2;

/// What is known of the one token.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    /// It is among the tokens that are handed out.
    is_out: bool,
    /// How often it was refused in a row.
    refusals: u8,
}

impl Lasting {
    /// A sign-in has just brought it.
    pub(super) const fn new() -> Self {
        Self { is_out: true, refusals: 0 }
    }
}

impl Session {
    /// Whether the grant has this one token only.
    pub(super) fn is_lasting(&self) -> bool {
        let grant = self.record.grant.as_ref();
        grant.is_some_and(|grant| matches!(grant.credential, Credential::Lasting(_)))
    }

    /// Whether its end is not known yet, for want of a date.
    pub(super) fn waits_for_date(&self) -> bool {
        self.is_lasting() && !self.lasting.is_out
    }

    /// After a start it is handed out again, with its end by a date that can be believed.
    pub(super) fn restore_lasting_token(&mut self) {
        if self.lasting.is_out || self.is_elsewhere() {
            return;
        }
        let Some(grant) = &self.record.grant else { return };
        let Credential::Lasting(token) = &grant.credential else { return };
        let left = match (grant.expires_at, self.gate.usable(self.now)) {
            (None, _) => None,
            (Some(end), Some(now)) => Some(end.since_epoch().saturating_sub(now.since_epoch())),
            (Some(_), None) => return,
        };
        let reply = TokenReply {
            access_token: token.clone(),
            token_type: if grant.bound { "DPoP" } else { "Bearer" }.into(),
            expires_in: left,
            refresh_in: None,
            refresh_token: None,
            refresh_expires_in: None,
            scope: Some(grant.scopes.clone()),
            id_token: None,
        };
        self.lasting.is_out = true;
        self.tokens.put(TokenKey::default(), &reply, 0, self.now.boot, &mut self.rng);
    }

    /// It has run out: somebody has to sign in again.
    pub(super) fn end_lasting_token(&mut self) {
        let is_over = self.tokens.is_over(&TokenKey::default(), self.now.boot);
        let over = self.is_lasting() && is_over;
        let Some(grant) = self.record.grant.as_mut().filter(|_| over) else { return };
        if grant.suspension.is_none() {
            let since = self.gate.usable(self.now);
            grant.suspension = Some(Suspension { since, after_loss: false, tries: MAX_TRIES });
            self.saver.touch();
            self.raise_fault(Fault::SignInAgain);
        }
    }

    /// A resource server refused it. That is not the issuer's word, so the sign-in stays and each
    /// later try may go right; but nothing that the device could do makes it so.
    pub(super) fn lasting_rejected(&mut self, key: &TokenKey, generation: Generation) {
        if !self.tokens.is_current(key, generation) {
            return;
        }
        self.lasting.refusals = self.lasting.refusals.saturating_add(1);
        if self.lasting.refusals >= REFUSALS {
            self.raise_fault(Fault::OnlyTokenRefused);
        }
    }

    /// A resource server took it.
    pub(super) fn lasting_accepted(&mut self) {
        self.lasting.refusals = 0;
        self.clear_fault(Fault::OnlyTokenRefused);
    }
}
