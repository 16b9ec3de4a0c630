//! What the session looks like from outside: for panels, for people, for machines.

use super::{
    Ending, PendingSignIn, Session,
    pairing::{NoticeKind, Pairing},
};
use crate::{
    fault::{Class, Fault},
    owner::Account,
    time::{Boot, Wall},
};

/// The one word that tells a person how the device is doing (`state` in `status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Just started; nothing is known yet.
    Starting,
    /// The clock shows a date that cannot be.
    NoClock,
    /// The issuer cannot be reached, and nobody is signed in.
    NoNetwork,
    /// A person can sign in now.
    Pairing,
    /// Signed in.
    Online,
    /// Signed in, and the issuer cannot be reached now.
    Offline,
    /// Somebody must start a sign-in.
    Waiting,
    /// Nothing goes on until somebody mends something.
    Fault,
}

impl State {
    /// The name in `status --json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::NoClock => "no-clock",
            Self::NoNetwork => "no-network",
            Self::Pairing => "pairing",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Waiting => "waiting",
            Self::Fault => "fault",
        }
    }
}

/// What is meant to be shown on a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View<'a> {
    /// Nothing is known yet.
    Starting,
    /// Waiting for a usable clock.
    ClockWrong,
    /// Waiting for the network.
    NoNetwork,
    /// A code, and where to type it.
    SignIn(&'a PendingSignIn),
    /// The code ran out; a new one is on its way.
    Renewing,
    /// Approved; the grant is being made durable.
    Saving,
    /// Somebody has just signed in.
    SignedIn(Option<&'a Account>),
    /// Somebody else than the owner before has just signed in.
    NewOwner(Option<&'a Account>),
    /// The person said no.
    Denied,
    /// The person may not own this device.
    WrongAccount(Option<&'a Account>),
    /// All is well.
    Online,
    /// All is well, and the sign-in ends then unless somebody signs in again.
    Expiring(Wall),
    /// Signed in, and the issuer cannot be reached.
    Offline,
    /// The grant is suspended: somebody must sign in again.
    SignInAgain(Fault),
    /// Somebody must start a sign-in.
    Waiting,
    /// The issuer does not let devices sign in like this: somebody there must allow it.
    Blocked,
    /// Somebody must mend this.
    Fault(Fault),
}

/// How the grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantStatus {
    /// Nobody is signed in.
    None,
    /// Somebody is.
    Held,
    /// The issuer does not honour it now.
    Suspended,
}

/// The grant as `status` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantView<'a> {
    /// How it stands.
    pub status: GrantStatus,
    /// Who signed in.
    pub account: Option<&'a Account>,
    /// When.
    pub signed_in_at: Option<Wall>,
    /// When it will end, where the issuer says.
    pub expires_at: Option<Wall>,
    /// When an access token came last, in this run.
    pub last_refresh: Option<Boot>,
}

impl Session {
    /// The one word for people.
    #[must_use]
    pub fn state(&self) -> State {
        match self.view() {
            View::Starting => State::Starting,
            View::ClockWrong => State::NoClock,
            View::NoNetwork => State::NoNetwork,
            View::SignIn(_) | View::Renewing | View::Saving => State::Pairing,
            View::SignedIn(_) | View::NewOwner(_) | View::Online | View::Expiring(_) => {
                State::Online
            }
            View::Offline => State::Offline,
            View::SignInAgain(_) | View::Waiting => State::Waiting,
            View::Fault(_) | View::Blocked => State::Fault,
            View::Denied | View::WrongAccount(_) => self.underlying().1,
        }
    }

    /// What is meant to be shown now.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        if self.faults.has(Fault::ClockUnusable) {
            return View::ClockWrong;
        }
        if self.candidate.is_some() || self.held.is_some() {
            return View::Saving;
        }
        if let Some(pending) = self.pairing.pending() {
            return View::SignIn(pending);
        }
        match self.notice.as_ref().map(|notice| notice.kind) {
            Some(NoticeKind::SignedIn) => View::SignedIn(self.account()),
            Some(NoticeKind::NewOwner) => View::NewOwner(self.account()),
            Some(NoticeKind::Denied) => View::Denied,
            Some(NoticeKind::WrongAccount) => View::WrongAccount(self.account()),
            None => self.underlying().0,
        }
    }

    /// View and state without what is shown for a minute only.
    fn underlying(&self) -> (View<'_>, State) {
        let grant = self.record.grant.as_ref();
        let suspension = self.suspension();
        if grant.is_some() && suspension.is_none() {
            // The grant stays, and somebody has to come all the same.
            for fault in [Fault::SignInStronger, Fault::OnlyTokenRefused] {
                if self.faults.has(fault) {
                    return (View::SignInAgain(fault), State::Waiting);
                }
            }
            return if self.tokens.has_good(self.now.boot) {
                let view = self.ends_soon().map_or(View::Online, View::Expiring);
                (view, State::Online)
            } else if self.refresh.is_failing() {
                (View::Offline, State::Offline)
            } else {
                (View::Starting, State::Starting)
            };
        }
        match &self.pairing {
            Pairing::Resting(Some(Ending::Refused)) if self.is_blocked() => {
                (View::Blocked, State::Fault)
            }
            Pairing::Resting(Some(Ending::Refused)) => {
                (View::Fault(Fault::ClientRefused), State::Fault)
            }
            Pairing::Resting(Some(Ending::BadIdentity)) => {
                (View::Fault(Fault::IdTokenRefused), State::Fault)
            }
            Pairing::Resting(_) => {
                let view = suspension.map_or(View::Waiting, |s| View::SignInAgain(s.fault()));
                (view, State::Waiting)
            }
            Pairing::Asking(_) | Pairing::Showing(_) => self.before_a_code(),
        }
    }

    /// There is an endpoint, and it says no to all of this kind.
    fn is_blocked(&self) -> bool {
        let named = self.endpoints.as_ref().is_some_and(|it| it.device_authorization.is_some());
        named && self.faults.has(Fault::NoDeviceFlow)
    }

    /// No code yet: what is in its way?
    fn before_a_code(&self) -> (View<'_>, State) {
        let in_the_way = self.faults.iter().map(|(fault, _)| fault).find(|fault| {
            matches!(fault.row().class, Class::Admin | Class::Configuration | Class::Portal)
                || *fault == Fault::CertificateDates
        });
        if in_the_way == Some(Fault::NoDeviceFlow) && self.is_blocked() {
            return (View::Blocked, State::Fault);
        }
        if let Some(fault) = in_the_way.filter(|f| *f != Fault::ConfigUnknownKeys) {
            return (View::Fault(fault), State::Fault);
        }
        if self.faults.has(Fault::IssuerUnreachable) {
            return (View::NoNetwork, State::NoNetwork);
        }
        if self.faults.has(Fault::IssuerUnwell) {
            return (View::Fault(Fault::IssuerUnwell), State::Fault);
        }
        match &self.pairing {
            Pairing::Asking(asking) if asking.renewing => (View::Renewing, State::Pairing),
            Pairing::Resting(_) | Pairing::Asking(_) | Pairing::Showing(_) => {
                (View::Starting, State::Starting)
            }
        }
    }

    /// The sign-in under way, for whoever may see the code.
    #[must_use]
    pub const fn pending_sign_in(&self) -> Option<&PendingSignIn> {
        self.pairing.pending()
    }

    /// The grant, for `status`.
    #[must_use]
    pub fn grant(&self) -> GrantView<'_> {
        let grant = self.record.grant.as_ref();
        GrantView {
            status: match grant {
                None => GrantStatus::None,
                Some(_) if self.suspension().is_some() => GrantStatus::Suspended,
                Some(_) => GrantStatus::Held,
            },
            account: grant.map(|grant| &grant.account),
            signed_in_at: grant.and_then(|grant| grant.signed_in_at),
            expires_at: grant.and_then(|grant| grant.expires_at),
            last_refresh: self.refresh.succeeded,
        }
    }
}
