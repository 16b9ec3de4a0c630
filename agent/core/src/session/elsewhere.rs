//! Secrets of another issuer than the one that is configured now: kept, and shown to nobody.
//!
//! An address that was changed by mistake costs no sign-in: once it is put back, all goes on.

use super::{Event, Session, Suspension, pairing::Pairing, refresh::MAX_TRIES};
use crate::{fault::Fault, issuer::IssuedBy};
use alloc::sync::Arc;

impl Session {
    /// Whether what was `issued_by` may be shown to the issuer. What an older build kept says
    /// nothing; and where no endpoint is known, nothing is sent.
    pub(super) fn is_here(&self, issued_by: Option<&Arc<IssuedBy>>) -> bool {
        issued_by.zip(self.here.as_ref()).is_none_or(|(theirs, ours)| theirs.is_same(ours))
    }

    /// Whether the sign-in is another issuer's.
    pub(super) fn is_elsewhere(&self) -> bool {
        let grant = self.record.grant.as_ref();
        grant.is_some_and(|grant| !self.is_here(grant.issued_by.as_ref()))
    }

    /// Why the sign-in is no use now. One of another issuer is never tried.
    pub(super) fn suspension(&self) -> Option<Suspension> {
        let grant = self.record.grant.as_ref()?;
        let elsewhere = Suspension { since: None, after_loss: false, tries: MAX_TRIES };
        if self.is_elsewhere() { Some(elsewhere) } else { grant.suspension }
    }

    /// It is known now who the issuer is.
    pub(super) fn hold_to_issuer(&mut self) {
        if self.is_elsewhere() {
            self.tokens.end_sign_in();
            self.event(Event::OtherIssuer);
            self.raise_fault(Fault::SignInAgain);
            self.start_pairing(self.now);
        } else if let Some(grant) = &mut self.record.grant
            && self.here.is_some()
            && grant.issued_by != self.here
        {
            grant.issued_by.clone_from(&self.here);
            self.saver.touch();
        }
        let pending = self.pairing.pending();
        if pending.is_some_and(|pending| !self.is_here(pending.issued_by.as_ref())) {
            self.end_polls();
            self.pairing = Pairing::Resting(None);
            self.start_pairing(self.now);
        }
    }
}
