//! Which faults are up, and what the issuer said of those that it caused.

use super::{Event, Session};
use crate::{
    fault::{Fault, Faults},
    http::Cause,
    wire::{OAuthError, Trouble},
};

impl Session {
    /// The faults that are up.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What the issuer said when it caused `fault`, for whoever asks its support. Not known after a
    /// restart, until the issuer says it again.
    #[must_use]
    pub fn words(&self, fault: Fault) -> Option<&OAuthError> {
        self.words.get(&fault)
    }

    /// The issuer did not answer as it should: which fault is that?
    pub(super) fn issuer_trouble(&mut self, trouble: &Trouble) {
        self.troubles += 1;
        let fault = match trouble {
            Trouble::NotSent(cause) | Trouble::Lost(cause) => match cause {
                Cause::CertificateDates => Fault::CertificateDates,
                Cause::CertificateUntrusted | Cause::Tls => Fault::CertificateUntrusted,
                Cause::Dns | Cause::Connect | Cause::Timeout | Cause::Broken => {
                    Fault::IssuerUnreachable
                }
                Cause::TooLarge => Fault::IssuerUnwell,
                Cause::Unsigned => Fault::ClientRefused,
            },
            Trouble::Page => Fault::CaptivePortal,
            Trouble::Server { .. } | Trouble::Garbage { .. } => Fault::IssuerUnwell,
        };
        // One stumble is no fault; two in a row are.
        if self.troubles > 1 || !matches!(fault, Fault::IssuerUnreachable | Fault::IssuerUnwell) {
            self.raise_fault(fault);
        }
    }

    /// The issuer answered in OAuth's words: whatever kept it from that is over.
    pub(super) fn issuer_answered(&mut self) {
        self.troubles = 0;
        for fault in [
            Fault::IssuerUnreachable,
            Fault::IssuerUnwell,
            Fault::CaptivePortal,
            Fault::CertificateUntrusted,
            Fault::CertificateDates,
        ] {
            self.clear_fault(fault);
        }
    }

    pub(super) fn raise_fault(&mut self, fault: Fault) {
        if self.faults.raise(fault, self.now.boot) {
            self.event(Event::FaultRaised(fault));
        }
    }

    /// As [`Session::raise_fault`], by an error of the issuer: the latest one counts.
    pub(super) fn raise_fault_by(&mut self, fault: Fault, error: &OAuthError) {
        self.words.insert(fault, error.clone());
        self.raise_fault(fault);
    }

    pub(super) fn clear_fault(&mut self, fault: Fault) {
        self.words.remove(&fault);
        if self.faults.clear(fault) {
            self.event(Event::FaultCleared(fault));
        }
    }

    pub(super) fn restore_faults(&mut self) {
        let suspension = self.suspension();
        if let Some(suspension) = suspension {
            self.raise_fault(suspension.fault());
        }
        if self.next_revocation().is_some() {
            self.raise_fault(Fault::RevocationPending);
        }
    }
}
