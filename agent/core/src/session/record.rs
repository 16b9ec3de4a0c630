//! What the session keeps: on flash over power cuts, and in the runtime folder over restarts.

use crate::{
    issuer::IssuedBy,
    jws::DeviceKey,
    owner::{Account, OwnerId},
    secret::Secret,
    time::{Boot, Wall},
};
use alloc::{string::String, sync::Arc, vec::Vec};
use core::time::Duration;

/// The session's whole durable state: one record, replaced as one, so that no cut of power can
/// part a sign-out from its revocation or a new grant from the end of the old one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionRecord {
    /// Who signed in, and the credential.
    pub grant: Option<Grant>,
    /// Tokens that are to be revoked as soon as the issuer can be reached.
    pub revocations: Vec<Revocation>,
    /// Owners who signed out and whose keys are to be destroyed, with all that waits for them.
    pub forgetting: Vec<OwnerId>,
    /// A reset is under way: everything but `revocations` is to be wiped.
    pub wiping: bool,
    /// What tokens are bound to (RFC 9449); destroyed at sign-out.
    pub device_key: Option<DeviceKey>,
    /// The latest usable date that was seen: a floor for the clock at the next start.
    pub seen: Option<Wall>,
}

/// A sign-in that holds until the issuer's final word, sign-out or reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who signed in.
    pub account: Account,
    /// What access tokens are got with.
    pub credential: Credential,
    /// A [`Credential::Lasting`] that is good only with a proof (RFC 9449).
    pub bound: bool,
    /// The refresh token before the current one, for issuers that leave it valid.
    pub previous: Option<Secret>,
    /// The scopes that were granted.
    pub scopes: Vec<String>,
    /// When the person approved.
    pub signed_in_at: Option<Wall>,
    /// When the refresh token will end, where the issuer says.
    pub expires_at: Option<Wall>,
    /// How long it lives in all, counted from the sign-in or, where each use prolongs it, from the
    /// last use.
    pub lifetime: Option<Duration>,
    /// Whether the issuer was seen to replace the refresh token at each use.
    pub rotates: Option<bool>,
    /// A refresh was begun whose answer is not known: the credential may be spent.
    pub intent: bool,
    /// The issuer did not honour the credential when it was last tried.
    pub suspension: Option<Suspension>,
    /// Whose it is; absent in what an older build wrote.
    pub issued_by: Option<Arc<IssuedBy>>,
}

/// What access tokens are got with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A refresh token.
    Refresh(Secret),
    /// No refresh token was given: the access token is all there is (GitHub OAuth Apps).
    Lasting(Secret),
}

/// Why and since when a grant is not honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// When the issuer refused it first.
    pub since: Option<Wall>,
    /// An answer that may have held a new token was lost before.
    pub after_loss: bool,
    /// How many of the daily tries were made.
    pub tries: u8,
}

/// A token that is to be revoked (RFC 7009).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The token.
    pub token: Secret,
    /// Where; absent: wherever the issuer's metadata will say.
    pub endpoint: Option<String>,
    /// How often it was tried.
    pub tries: u8,
    /// Whose it is; absent in what an older build wrote.
    pub issued_by: Option<Arc<IssuedBy>>,
}

/// What is carried over a restart of the agent, not one of the board: for the runtime folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// The sign-in under way.
    pub pending: Option<PendingSignIn>,
    /// What the issuer asked for.
    pub quiet: Quiet,
}

/// Until when the issuer asked to be left alone (`Retry-After`), by what it was asked. Polls have
/// their own in [`PendingSignIn::next_poll`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quiet {
    /// For a code.
    pub code: Option<Boot>,
    /// To refresh.
    pub refresh: Option<Boot>,
    /// To revoke.
    pub revoke: Option<Boot>,
    /// For a token in the device's own name.
    pub own_name: Option<Boot>,
}

impl Quiet {
    /// What of it is still to come.
    pub(super) fn after(self, now: Boot) -> Self {
        let still = |at: Option<Boot>| at.filter(|at| *at > now);
        Self {
            code: still(self.code),
            refresh: still(self.refresh),
            revoke: still(self.revoke),
            own_name: still(self.own_name),
        }
    }
}

/// A sign-in under way. `Debug` shows neither code nor address.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingSignIn {
    /// RFC 8628 `device_code`.
    pub device_code: Secret,
    /// RFC 8628 `user_code`.
    pub user_code: String,
    /// RFC 8628 `verification_uri`.
    pub verification_uri: String,
    /// RFC 8628 `verification_uri_complete`.
    pub verification_uri_complete: Option<String>,
    /// When the code ends.
    pub expires: Boot,
    /// The interval as it stands, `slow_down`s included.
    pub interval: Duration,
    /// Before this instant no poll may leave.
    pub next_poll: Boot,
    /// How many times an expired code may still be renewed without anyone asking.
    pub renewals: u8,
    /// Whose the code is; absent in what an older build wrote.
    pub issued_by: Option<Arc<IssuedBy>>,
}

impl core::fmt::Debug for PendingSignIn {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PendingSignIn(until {:?}, every {:?})", self.expires, self.interval)
    }
}
