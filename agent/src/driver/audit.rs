//! What an auditor wants to find: who signed in and out, who was refused, what was changed. Each is
//! a durable record of its own (telemetry.md, "Design to build", 8), beside its journal entry.

use super::Driver;
use crate::reports::{self, Audit};
use signpost_core::{
    owner::OwnerId,
    session::{Ending, Event},
};

impl Driver {
    /// Records what `event` says, in the name of whom it is about.
    pub(super) fn audit_event(&mut self, event: &Event) {
        let owner = self.session.owner();
        let (owner, audit) = match event {
            Event::SignedIn { replaced } => {
                let account = self.session.grant().account;
                let subject = account.and_then(|account| account.subject.clone());
                (owner, Audit::SignedIn { subject, replaced: *replaced })
            }
            Event::OwnerRefused => (owner, Audit::Refused("owner-rule")),
            Event::IdentityRefused { .. } => (owner, Audit::Refused("identity")),
            Event::PairingEnded(Ending::Denied) => (owner, Audit::Refused("denied")),
            // The owner's own queues are gone with their key.
            Event::SignedOut => (OwnerId::DEVICE, Audit::SignedOut),
            Event::CodeShown
            | Event::PairingEnded(_)
            | Event::KeysUnavailable
            | Event::KeysInsecure
            | Event::Refreshed { .. }
            | Event::Suspended { .. }
            | Event::OtherIssuer
            | Event::Resumed
            | Event::Refused { .. }
            | Event::TokenRefused { .. }
            | Event::OwnNameGranted
            | Event::OwnNameRefused { .. }
            | Event::Challenged { .. }
            | Event::Revoked
            | Event::RevocationGivenUp
            | Event::FaultRaised(_)
            | Event::FaultCleared(_) => return,
        };
        self.audit(owner, &audit);
    }

    pub(super) fn audit(&mut self, owner: OwnerId, audit: &Audit) {
        // Where nothing is ever sent, flash is spared.
        if self.delivery.is_some() {
            self.intake.report(owner, reports::audit(audit, self.arrival()));
        }
    }
}
