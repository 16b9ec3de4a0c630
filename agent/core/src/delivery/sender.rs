//! In whose name what goes, and what stands in the way of each (design invariant 8): the owner's
//! records with the owner's token, the device's with one in its own name, and never the other's.

use super::{Delivery, Hold, Queue, Step, Unowned};
use crate::{
    backoff::Backoff,
    fault::Fault,
    owner::OwnerId,
    session::{Generation, TokenAnswer, TokenKey},
    time::{Boot, Now},
};
use core::time::Duration;

/// In whose name a batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// Whoever is signed in.
    Owner,
    /// The device itself.
    OwnName,
}

impl Sender {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Owner => Self::OwnName,
            Self::OwnName => Self::Owner,
        }
    }
}

/// How a sender stands with the backend, while the other one is at work: what is held against one
/// says nothing of the other.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) hold: Option<Hold>,
    pub(super) not_before: Boot,
    backoff: Backoff,
    refused: Option<Generation>,
    refusals: u32,
    /// Nothing but a token is missing.
    pub(super) awaits_token: bool,
}

impl Standing {
    pub(super) const fn new() -> Self {
        Self {
            hold: None,
            not_before: Boot::new(Duration::ZERO),
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(300)),
            refused: None,
            refusals: 0,
            awaits_token: false,
        }
    }
}

impl Delivery {
    /// Whether what belongs to nobody goes out in the device's own name, as far as the backend lets
    /// it.
    #[must_use]
    pub fn sends_in_own_name(&self) -> bool {
        let hold = if self.is_in_own_name() { self.hold } else { self.aside.hold };
        let is_refused = matches!(hold, Some(Hold::Unauthorized | Hold::Forbidden));
        self.config.unowned == Unowned::InOwnName && !is_refused
    }

    /// Whether what is under way, or was last, goes in the device's own name.
    #[must_use]
    pub const fn is_in_own_name(&self) -> bool {
        matches!(self.sender, Sender::OwnName)
    }

    /// In whose name the records of `queue` may go while `owner` is signed in (design invariant 8).
    pub(super) fn sender_of(&self, queue: Queue, owner: OwnerId) -> Option<Sender> {
        let is_owned = owner != OwnerId::DEVICE;
        match (queue.owner == OwnerId::DEVICE, self.config.unowned) {
            (true, Unowned::InOwnName) => Some(Sender::OwnName),
            (true, Unowned::WithFirst) => is_owned.then_some(Sender::Owner),
            (true, Unowned::Wait) => None,
            (false, _) => (is_owned && queue.owner == owner).then_some(Sender::Owner),
        }
    }

    pub(super) fn next_queue(&self, sender: Sender, owner: OwnerId) -> Option<Queue> {
        let mut stock = self.stock.iter().map(|(queue, _)| *queue);
        stock.find(|queue| self.sender_of(*queue, owner) == Some(sender))
    }

    /// The token to send with now.
    pub(super) fn key(&self) -> TokenKey {
        self.key_of(self.sender)
    }

    fn key_of(&self, sender: Sender) -> TokenKey {
        match sender {
            Sender::Owner => self.config.key.clone(),
            Sender::OwnName => TokenKey::own_name(),
        }
    }

    /// Whether the other sender may have its turn: nothing is under way, or what is waits for
    /// something that does not concern the other.
    pub(super) fn may_leave(&self) -> bool {
        let is_everybodys = matches!(self.hold, Some(Hold::Unreachable | Hold::Storage));
        match &self.step {
            Step::Idle => !is_everybodys && self.refreeze.is_none(),
            Step::Ready(_) => self.awaits_token || self.hold.is_some() && !is_everybodys,
            Step::Reading | Step::Sending(..) | Step::Settling(..) => false,
        }
    }

    /// Turns to the other sender where that one has something to send and can, and this one has
    /// not, cannot, or has something less urgent. A batch that is left is read again, as it was
    /// frozen.
    pub(super) fn choose_sender(
        &mut self,
        owner: OwnerId,
        token: &mut impl FnMut(&TokenKey) -> TokenAnswer,
        now: Now,
    ) {
        let other = self.sender.other();
        let Some(theirs) = self.next_queue(other, owner).filter(|_| self.may_leave()) else {
            return;
        };
        let stays = match &self.step {
            Step::Idle if self.hold.is_none() => {
                self.next_queue(self.sender, owner).is_some_and(|ours| ours < theirs)
            }
            Step::Ready(_) => match token(&self.key()) {
                TokenAnswer::Ready(access) => self.may_use(&access, now),
                TokenAnswer::Pending | TokenAnswer::SignInNeeded | TokenAnswer::Refused => false,
            },
            Step::Idle | Step::Reading | Step::Sending(..) | Step::Settling(..) => false,
        };
        if stays {
            return;
        }
        let answer = token(&self.key_of(other));
        self.aside.awaits_token = !matches!(answer, TokenAnswer::Ready(_));
        let TokenAnswer::Ready(access) = answer else {
            if answer == TokenAnswer::SignInNeeded {
                self.aside.hold = Some(Hold::SignIn);
            }
            return;
        };
        self.turn();
        if self.may_use(&access, now) {
            self.step = Step::Idle;
            if self.hold.is_some() {
                // Its time has come, or a token that was not refused.
                self.not_before = now.boot;
            }
        } else {
            self.turn();
        }
    }

    const fn turn(&mut self) {
        self.sender = self.sender.other();
        core::mem::swap(&mut self.hold, &mut self.aside.hold);
        core::mem::swap(&mut self.not_before, &mut self.aside.not_before);
        core::mem::swap(&mut self.backoff, &mut self.aside.backoff);
        core::mem::swap(&mut self.refused, &mut self.aside.refused);
        core::mem::swap(&mut self.refusals, &mut self.aside.refusals);
        core::mem::swap(&mut self.awaits_token, &mut self.aside.awaits_token);
    }

    /// What is held against the sender that is at work is over.
    pub(super) fn clear_refusals(&mut self) {
        let other = self.aside.hold;
        if other != Some(Hold::Unauthorized) || self.aside.refusals < 2 {
            self.clear(Fault::BackendUnauthorized);
        }
        if other != Some(Hold::Forbidden) {
            self.clear(Fault::BackendForbidden);
        }
    }

    /// What the backend held against one account says nothing of the next.
    pub(super) fn start_afresh(&mut self, now: Now) {
        if self.is_in_own_name() {
            self.turn();
            self.start_afresh(now);
            return self.turn();
        }
        self.clear_refusals();
        self.refused = None;
        self.refusals = 0;
        if matches!(self.hold, Some(Hold::SignIn | Hold::Unauthorized | Hold::Forbidden)) {
            self.hold = None;
            self.backoff.reset();
            self.not_before = now.boot;
        }
    }
}
