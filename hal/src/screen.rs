//! What a person is meant to see, and how it is laid out on a surface.
//!
//! The agent says what is meant, a [`Screen`]; [`layout()`] decides how it looks, as a pure function,
//! so that every look is compared with a text picture. Nothing here is a token. Text that an issuer
//! chose is made harmless before it reaches a frame.

mod cells;
#[cfg(feature = "pixels")]
mod compose;
#[cfg(feature = "pixels")]
mod faces;
#[cfg(feature = "pixels")]
mod fit;
mod language;
mod layout;
#[cfg(feature = "pixels")]
mod picture;
#[cfg(feature = "pixels")]
mod pixels;
#[cfg(feature = "pixels")]
mod print;
mod qr;
mod samples;
mod text;
mod words;

use std::fmt;
use std::time::Duration;

pub use language::Language;
pub(crate) use layout::layout_with;
pub use layout::{Frame, Line, Place, Placed, Style, Surface, layout, layout_in};
#[cfg(feature = "pixels")]
pub use picture::{Ink, Picture, Symbol};
#[cfg(feature = "pixels")]
pub use pixels::{Area, Bitmap};
pub use qr::Qr;
pub use samples::samples;
#[cfg(feature = "panel-json")]
pub(crate) use text::{address, code};

/// One thing to tell the person at the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Screen {
    /// The agent has started and knows nothing yet.
    Starting {
        /// The agent's version, e.g. `1.2.0`.
        version: String,
        /// The device's id, shown in its last characters where there is little room.
        device: String,
    },
    /// There is no way out to any network.
    NoNetwork,
    /// The network wants a login on a page of its own first (captive portal).
    Portal,
    /// The wall clock is unusable, so no certificate can be checked.
    ClockWrong,
    /// A code waits to be approved.
    SignIn(SignIn),
    /// The code ran out and another is being asked for.
    Renewing,
    /// Approved; the grant is being written to flash.
    Saving,
    /// A sign-in has just been completed.
    SignedIn {
        /// Who signed in, as far as it may be shown.
        account: Option<String>,
    },
    /// The same, by somebody else than the one to whom the device belonged.
    NewOwner {
        /// Who signed in, as far as it may be shown.
        account: Option<String>,
    },
    /// Signed in, and records flow.
    Online,
    /// Signed in, but records wait for the backend.
    Offline {
        /// How many records wait on flash.
        stored: u64,
    },
    /// Nobody is signed in and someone at the device has to ask for a code.
    Waiting {
        /// How to ask for one.
        start: Start,
        /// What belongs to nobody is sent in the device's own name meanwhile.
        own_name: bool,
    },
    /// The issuer has ended or suspended the grant.
    SignInAgain {
        /// Why, in a short English sentence; other languages have a sentence of their own.
        reason: String,
        /// How to ask for a code.
        start: Start,
    },
    /// The grant ends soon unless someone signs in again.
    Expiring {
        /// The last day.
        by: Day,
        /// How to ask for a code.
        start: Start,
    },
    /// The person refused the sign-in.
    Denied {
        /// How to ask for another code.
        start: Start,
    },
    /// Someone approved whom the device's owner rule does not allow.
    WrongAccount {
        /// A hint at the right account, e.g. `A…@acme`.
        hint: Option<String>,
    },
    /// The organisation's policy forbids this kind of sign-in.
    Blocked {
        /// What belongs to nobody is sent in the device's own name meanwhile.
        own_name: bool,
    },
    /// The reset button is held down.
    ResetIn {
        /// Seconds to hold on.
        seconds: u8,
    },
    /// The button was held long enough: a last press resets.
    ResetConfirm,
    /// Everything is wiped.
    ResetDone {
        /// The issuer has yet to hear of it.
        revocation_pending: bool,
    },
    /// Something is broken.
    Fault(Fault),
    /// A picture to test a panel with.
    Test,
}

/// A day of some year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// From 1 for January.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

/// A user code with where to enter it (RFC 8628, section 3.2). `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Shown verbatim, but for characters that would act on a display.
    pub user_code: String,
    /// Where to enter the code.
    pub verification_uri: String,
    /// The same with the code in it, for the QR code only.
    pub verification_uri_complete: Option<String>,
    /// When the code dies, on the clock of [`clock::boot`](crate::clock::boot).
    pub expires: Duration,
}

impl SignIn {
    /// What a QR code may say, the best first.
    fn qr_addresses(&self) -> impl Iterator<Item = &str> {
        self.verification_uri_complete.as_deref().into_iter().chain([&*self.verification_uri])
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// A fault as a person is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From the table of faults, e.g. `E12`. Other languages than English have texts by it.
    pub code: String,
    /// At most 16 columns, in English.
    pub title: String,
    /// What to do, in an English sentence.
    pub advice: String,
    /// Whom to ask.
    pub support: Support,
}

/// Whom the maker wants to be asked; empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Support {
    /// A person, shop or company.
    pub name: Option<String>,
    /// A telephone number.
    pub phone: Option<String>,
    /// A web address.
    pub url: Option<String>,
}

/// What this device has for starting a sign-in, so that texts name what exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// A button to press.
    Button,
    /// Nothing: cutting the power for a moment starts it.
    #[default]
    Replug,
    /// A shell in which `signpost sign-in` can be run.
    Command,
}

impl Screen {
    /// Whether it has to vanish from a display, scroll-back included, when the next one comes:
    /// codes, addresses and who signed in.
    pub fn is_private(&self) -> bool {
        matches!(
            self,
            Self::SignIn(_)
                | Self::SignedIn { account: Some(_) }
                | Self::NewOwner { account: Some(_) }
        )
    }

    /// Whether `other` says the same but for a number that counts.
    pub fn is_update_of(&self, other: &Self) -> bool {
        self == other
            || matches!(
                (self, other),
                (Self::Offline { .. }, Self::Offline { .. })
                    | (Self::ResetIn { .. }, Self::ResetIn { .. })
            )
    }
}
