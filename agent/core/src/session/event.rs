//! What the session has to tell: to the journal, and to whoever waits for a sign-in.

use crate::{
    fault::Fault,
    wire::{OAuthError, Unacceptable},
};

/// Something that the journal and the audit trail shall know. No event carries a code, an
/// address, a token or an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A code is being shown.
    CodeShown,
    /// The pairing ended without a sign-in.
    PairingEnded(Ending),
    /// A person signed in and the grant is settled.
    SignedIn {
        /// Another owner's grant was replaced.
        replaced: bool,
    },
    /// Somebody was turned away by the owner rule.
    OwnerRefused,
    /// An id_token does not stand up to its checks.
    IdentityRefused {
        /// To which.
        problem: Unacceptable,
    },
    /// The issuer's keys cannot be had: the id_token is taken as it came, over TLS.
    KeysUnavailable,
    /// The issuer names an address for its keys that is not `https`, and is not asked.
    KeysInsecure,
    /// A new access token came; `rotated`: with a new refresh token.
    Refreshed {
        /// The refresh token was replaced.
        rotated: bool,
    },
    /// The issuer does not honour the grant now.
    Suspended {
        /// In its words.
        error: OAuthError,
    },
    /// The sign-in is another issuer's than the one that is configured now.
    OtherIssuer,
    /// A suspended grant works again.
    Resumed,
    /// The issuer refuses client or request.
    Refused {
        /// In its words.
        error: OAuthError,
    },
    /// The issuer gives no token of the kind that a program asked for.
    TokenRefused {
        /// In its words.
        error: OAuthError,
    },
    /// A token in the device's own name came.
    OwnNameGranted,
    /// The issuer gives no token in the device's own name.
    OwnNameRefused {
        /// In its words.
        error: OAuthError,
    },
    /// A resource server asks for more than the sign-in gives.
    Challenged {
        /// The parameters that it names.
        names: &'static str,
    },
    /// The user was signed out here.
    SignedOut,
    /// The issuer knows of a sign-out.
    Revoked,
    /// A revocation was given up: the token must be ended at the issuer.
    RevocationGivenUp,
    /// A fault came up.
    FaultRaised(Fault),
    /// A fault is gone.
    FaultCleared(Fault),
}

/// Why a pairing ended without a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nobody approved, and the renewals are used up.
    Expired,
    /// The person, or the organisation, said no.
    Denied,
    /// The person is not one whom the owner rule allows.
    WrongAccount,
    /// The issuer refuses this client or request.
    Refused,
    /// The id_token does not stand up to its checks.
    BadIdentity,
    /// Sign-out or reset came in between.
    SignedOut,
    /// The suspended grant works again: nobody has to sign in.
    Resumed,
}
