//! Breaking one invariant on purpose, between driver and ports, to see that the judge notices.

use super::{chip::Chip, issuer::field, network::Kind};
use signpost::ports::{Answer, Complete, Entry, HttpId, Job, JobResult, Submit};
use signpost_core::{
    http::{Body, Outcome, Request},
    owner::OwnerId,
    secret::Secret,
    session::Event,
    wire::OAuthError,
};
use signpost_hal::screen::Screen;

/// A way in which an agent could go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Storage says that the session's record is durable and has not written it.
    AckUnwritten,
    /// A grant that the issuer refuses is dropped instead of suspended.
    DropSuspended,
    /// After a cut flash is as it was some time before.
    OldFlash,
    /// A refresh uses an older token than the newest durable one.
    ReplayOldToken,
    /// An acknowledged record is not written.
    ForgetRecord,
    /// A batch is removed that the backend never got.
    RemoveUnsent,
    /// A poll follows its answer at once.
    PollEarly,
    /// The network is used whatever date it is.
    TrustAnyClock,
    /// The user code goes to the journal.
    JournalCode,
    /// A token goes to a panel.
    ShowToken,
    /// A record of nobody goes with somebody's token.
    LendToken,
    /// A batch goes with the token of the one before it, whoever that was for.
    SwapNames,
    /// Programs that ask for a token get no answer.
    Deaf,
    /// A panel that hangs stops everything.
    HangingPanel,
    /// Two refreshes are under way.
    TwoRefreshes,
    /// Every batch is sent hundreds of times.
    Storm,
    /// Whoever approves owns the device.
    AdmitAnyone,
    /// The grant of somebody who was turned away is not revoked.
    KeepForeignGrant,
}

impl Sabotage {
    /// Every way.
    pub const ALL: [Self; 18] = [
        Self::AckUnwritten,
        Self::DropSuspended,
        Self::OldFlash,
        Self::ReplayOldToken,
        Self::ForgetRecord,
        Self::RemoveUnsent,
        Self::PollEarly,
        Self::TrustAnyClock,
        Self::JournalCode,
        Self::ShowToken,
        Self::LendToken,
        Self::SwapNames,
        Self::Deaf,
        Self::HangingPanel,
        Self::TwoRefreshes,
        Self::Storm,
        Self::AdmitAnyone,
        Self::KeepForeignGrant,
    ];

    /// Which invariant it breaks.
    #[must_use]
    pub const fn invariant(self) -> u8 {
        match self {
            Self::AckUnwritten => 1,
            Self::DropSuspended => 2,
            Self::OldFlash | Self::ReplayOldToken => 3,
            Self::ForgetRecord | Self::RemoveUnsent => 4,
            Self::PollEarly => 5,
            Self::TrustAnyClock => 6,
            Self::JournalCode | Self::ShowToken => 7,
            Self::LendToken | Self::SwapNames => 8,
            Self::Deaf | Self::HangingPanel => 9,
            Self::TwoRefreshes | Self::Storm => 10,
            Self::AdmitAnyone | Self::KeepForeignGrant => 11,
        }
    }
}

/// Carries a [`Sabotage`] out.
#[derive(Default)]
pub(super) struct Saboteur {
    pub(super) way: Option<Sabotage>,
    copies: u64,
    screens: u64,
    last_poll: Option<Request>,
    old_token: Option<String>,
    stolen: Vec<u8>,
    last_token: Option<Secret>,
    old_flash: Option<Chip>,
}

/// What becomes of something that the driver wants done.
pub(super) enum Fake {
    /// It is done; so is what else is here.
    Pass(Submit, Vec<Submit>),
    /// It is not done; the driver hears that it was.
    Answer(Complete),
    /// Nothing at all.
    Nothing,
}

impl Saboteur {
    pub(super) fn new(way: Option<Sabotage>) -> Self {
        Self { way, ..Self::default() }
    }

    /// On the way from the driver to a port.
    pub(super) fn outgoing(&mut self, submit: Submit) -> Fake {
        let Some(way) = self.way else { return Fake::Pass(submit, Vec::new()) };
        match submit {
            Submit::Http(id, request) => self.request(way, id, request),
            Submit::Storage(Job::SaveRecord(version, mut record)) => {
                let suspended = record.grant.as_ref().is_some_and(|g| g.suspension.is_some());
                if way == Sabotage::DropSuspended && suspended {
                    record.grant = None;
                }
                Fake::Pass(Submit::Storage(Job::SaveRecord(version, record)), Vec::new())
            }
            Submit::Storage(Job::Append(queue, envelopes)) => {
                if queue.owner == OwnerId::DEVICE && self.stolen.is_empty() {
                    self.stolen = envelopes.first().map(|e| e.body.clone()).unwrap_or_default();
                }
                Fake::Pass(Submit::Storage(Job::Append(queue, envelopes)), Vec::new())
            }
            Submit::Screen(screen) => self.screen(way, screen),
            Submit::Answer(_, Answer::Token(..)) if way == Sabotage::Deaf => Fake::Nothing,
            Submit::Storage(_)
            | Submit::MakeKey
            | Submit::Runtime(_)
            | Submit::Journal(_)
            | Submit::Answer(..) => Fake::Pass(submit, Vec::new()),
        }
    }

    fn request(&mut self, way: Sabotage, id: HttpId, mut request: Request) -> Fake {
        let ok = |body: &str| Outcome::Reply(super::issuer::reply(200, body));
        let mut also = Vec::new();
        match (way, Kind::of(&request)) {
            (Sabotage::TwoRefreshes, Kind::Refresh) => also.push(self.copy(&request)),
            (Sabotage::Storm, Kind::Telemetry) => {
                also.extend((0..600).map(|_| self.copy(&request)));
            }
            (Sabotage::KeepForeignGrant, Kind::Revocation) => {
                return Fake::Answer(Complete::Http(id, ok("")));
            }
            (Sabotage::RemoveUnsent, Kind::Telemetry) => {
                return Fake::Answer(Complete::Http(id, ok("")));
            }
            (Sabotage::ReplayOldToken, Kind::Refresh) => self.replay(&mut request),
            (Sabotage::LendToken, Kind::Telemetry) => {
                if let Some(Body::Protobuf(body)) = &mut request.body {
                    body.extend(&self.stolen);
                }
            }
            (Sabotage::SwapNames, Kind::Telemetry) => {
                let header = request.headers.iter_mut().find(|(name, _)| name == "authorization");
                if let Some((_, value)) = header {
                    let before = self.last_token.replace(value.clone());
                    *value = before.unwrap_or_else(|| value.clone());
                }
            }
            (Sabotage::PollEarly, Kind::Poll) => self.last_poll = Some(request.clone()),
            (Sabotage::ShowToken, Kind::Telemetry) => {
                let token = super::backend::bearer(&request).map(str::to_owned);
                also.push(Submit::Screen(Screen::SignedIn { account: token }));
            }
            _ => {}
        }
        Fake::Pass(Submit::Http(id, request), also)
    }

    fn replay(&mut self, request: &mut Request) {
        let Some(token) = field(request, "refresh_token") else { return };
        let old = self.old_token.get_or_insert_with(|| token.to_string());
        if let Some(Body::Form(body)) = &request.body {
            let replayed = body.expose().replace(&*token, old);
            request.body = Some(Body::Form(Secret::new(replayed)));
        }
    }

    /// The same request once more, with an answer that nobody waits for.
    fn copy(&mut self, request: &Request) -> Submit {
        self.copies += 1;
        Submit::Http(HttpId::Delivery(u64::MAX - self.copies), request.clone())
    }

    fn screen(&mut self, way: Sabotage, screen: Screen) -> Fake {
        self.screens += 1;
        let mut also = Vec::new();
        if let (Sabotage::JournalCode, Screen::SignIn(sign_in)) = (way, &screen) {
            let error = sign_in.user_code.clone();
            let error = OAuthError { error, ..OAuthError::default() };
            also.push(Submit::Journal(Entry::Session(Event::Refused { error })));
        }
        Fake::Pass(Submit::Screen(screen), also)
    }

    /// Whether what happens at the ports no longer reaches the driver.
    pub(super) fn is_hung(&self) -> bool {
        self.way == Some(Sabotage::HangingPanel) && self.screens > 5
    }

    /// What else is sent when this answer comes.
    pub(super) fn on_answer(&mut self, kind: Kind) -> Option<Submit> {
        let poll = self.last_poll.take().filter(|_| kind == Kind::Poll)?;
        Some(self.copy(&poll))
    }

    /// What storage says of a job that it did not do.
    pub(super) fn pretend(&self, job: Option<&Job>) -> Option<JobResult> {
        match (self.way?, job?) {
            (Sabotage::AckUnwritten, Job::SaveRecord(version, _)) => {
                Some(JobResult::Record(*version, Ok(())))
            }
            (Sabotage::ForgetRecord, Job::Append(..)) => Some(JobResult::Appended(Ok(()))),
            _ => None,
        }
    }

    /// What the token chip holds after a cut.
    pub(super) fn after_a_cut(&mut self, now: Chip) -> Option<Chip> {
        if self.way != Some(Sabotage::OldFlash) {
            return None;
        }
        self.old_flash.replace(now)
    }
}
