//! Whoever stands before the device, and the programs that run on it.

use super::issuer::{FORBIDDEN_RESOURCE, Person};
use fastrand::Rng;
use signpost::ports::{Call, CallerId};
use signpost_core::{otlp::Signal, session::TokenKey};
use signpost_hal::screen::Screen;
use std::{ops::Range, time::Duration};

/// How people behave.
#[derive(Clone, Debug)]
pub struct Manners {
    /// How long it takes to approve a code, in seconds.
    pub approves_after: Range<u64>,
    /// How many of 1,000 codes nobody looks at.
    pub ignores: u32,
    /// How many of 1,000 codes are refused.
    pub denies: u32,
    /// How long it takes until somebody starts a sign-in that the device asks for, in seconds.
    pub returns_after: Range<u64>,
}

impl Manners {
    /// Whoever is there does at once what the screen says.
    #[must_use]
    pub const fn attentive() -> Self {
        Self { approves_after: 5..60, ignores: 0, denies: 0, returns_after: 5..60 }
    }

    /// Nobody ever does anything by themselves.
    #[must_use]
    pub const fn absent() -> Self {
        Self { approves_after: 0..1, ignores: 1_000, denies: 0, returns_after: 1 << 40..1 << 41 }
    }
}

/// Something that somebody will do.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Types the code and says yes as this person, or no.
    Decide(String, Option<Person>),
    /// Presses the button, if the device still asks for that.
    Press,
    /// A program sends a record, and will again.
    Record,
    /// A program tries once more to send one; the number of tries that failed.
    Send(Signal, u8),
    /// A program asks for a token.
    AskToken,
    /// Somebody asks for the status.
    AskStatus,
}

/// What a caller waits for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Record { name: u32, signal: Signal, tries: u8 },
    Token,
    Status { private: bool },
    SignIn,
    SignOut,
}

/// See the module.
#[derive(Debug)]
pub(super) struct People {
    pub(super) manners: Manners,
    /// Who will approve the next code, if not the owner.
    pub(super) visitor: Option<Person>,
    screen: Option<Screen>,
    seen_code: Option<String>,
    will_press: bool,
    rng: Rng,
}

impl People {
    pub(super) const fn new(manners: Manners, rng: Rng) -> Self {
        Self { manners, visitor: None, screen: None, seen_code: None, will_press: false, rng }
    }

    /// The panel shows something new: who will do what, and after how long.
    pub(super) fn look(
        &mut self,
        screen: Screen,
        owner: Option<Person>,
    ) -> Option<(Duration, Act)> {
        let act = if let Screen::SignIn(sign_in) = &screen
            && self.seen_code.as_ref() != Some(&sign_in.user_code)
        {
            self.seen_code = Some(sign_in.user_code.clone());
            let who = self.visitor.take().or(owner).unwrap_or(Person::Anna);
            self.decide(sign_in.user_code.clone(), who)
        } else if asks_for_somebody(&screen) {
            self.will_come()
        } else {
            None
        };
        self.screen = Some(screen);
        act
    }

    fn decide(&mut self, code: String, who: Person) -> Option<(Duration, Act)> {
        let draw = self.rng.u32(0..1_000);
        let after = Duration::from_secs(self.rng.u64(self.manners.approves_after.clone()));
        let ignored = draw < self.manners.ignores;
        let denied = draw >= 1_000 - self.manners.denies.min(1_000);
        (!ignored).then(|| (after, Act::Decide(code, Some(who).filter(|_| !denied))))
    }

    fn will_come(&mut self) -> Option<(Duration, Act)> {
        if std::mem::replace(&mut self.will_press, true) {
            return None;
        }
        let after = Duration::from_secs(self.rng.u64(self.manners.returns_after.clone()));
        Some((after, Act::Press))
    }

    /// Somebody has come: whether there is anything to press the button for, and when somebody
    /// comes again where the device is dark.
    pub(super) fn press(&mut self) -> Result<(), Option<(Duration, Act)>> {
        self.will_press = false;
        match &self.screen {
            Some(screen) if asks_for_somebody(screen) => Ok(()),
            Some(_) => Err(None),
            None => Err(self.will_come()),
        }
    }

    /// From now on somebody is there who wants it to work.
    pub(super) fn become_attentive(&mut self) -> Option<(Duration, Act)> {
        self.manners = Manners::attentive();
        self.visitor = None;
        self.will_press = false;
        self.seen_code = None;
        let screen = self.screen.clone()?;
        self.look(screen, None)
    }

    /// The panel goes dark.
    pub(super) fn lose_sight(&mut self) {
        self.screen = None;
    }

    /// What a panel shows.
    pub(super) const fn screen(&self) -> Option<&Screen> {
        self.screen.as_ref()
    }

    /// What a program asks for when it wants a token.
    pub(super) fn token_call(&mut self) -> Call {
        let key = match self.rng.u8(0..8) {
            0 => TokenKey::new(Some("https://other.example".into()), &[]),
            1 => TokenKey::new(Some(FORBIDDEN_RESOURCE.into()), &[]),
            2 => TokenKey::new(None, &["telemetry.write".into()]),
            _ => TokenKey::default(),
        };
        Call::Token { key, min_ttl: Duration::from_secs(self.rng.u64(0..600)) }
    }

    /// Which kind of record a program sends next.
    pub(super) fn signal(&mut self) -> Signal {
        match self.rng.u8(0..8) {
            0 => Signal::Metrics,
            1 => Signal::Traces,
            _ => Signal::Logs,
        }
    }
}

/// Whether nothing goes on until somebody starts a sign-in.
fn asks_for_somebody(screen: &Screen) -> bool {
    match screen {
        Screen::Waiting { .. }
        | Screen::SignInAgain { .. }
        | Screen::Denied { .. }
        | Screen::WrongAccount { .. }
        | Screen::Fault(_) => true,
        Screen::Starting { .. }
        | Screen::NoNetwork
        | Screen::Portal
        | Screen::ClockWrong
        | Screen::SignIn(_)
        | Screen::Renewing
        | Screen::Saving
        | Screen::SignedIn { .. }
        | Screen::NewOwner { .. }
        | Screen::Online
        | Screen::Offline { .. }
        | Screen::Expiring { .. }
        | Screen::Blocked { .. }
        | Screen::ResetIn { .. }
        | Screen::ResetConfirm
        | Screen::ResetDone { .. }
        | Screen::Test => false,
    }
}

/// Names a caller; never used twice in a world.
#[derive(Debug, Default)]
pub(super) struct Callers {
    waiting: std::collections::BTreeMap<CallerId, Asked>,
    named: u64,
}

impl Callers {
    pub(super) fn enter(&mut self, asked: Asked) -> CallerId {
        self.named += 1;
        self.waiting.insert(CallerId(self.named), asked);
        CallerId(self.named)
    }

    pub(super) fn leave(&mut self, caller: CallerId) -> Option<Asked> {
        self.waiting.remove(&caller)
    }

    /// The agent is gone: everybody who waited.
    pub(super) fn disconnect(&mut self) -> impl Iterator<Item = Asked> + use<> {
        std::mem::take(&mut self.waiting).into_values()
    }
}
