//! What somebody at the device asks for: by its button, or by its plug where it has none.

use super::Driver;
use crate::ports::{Job, Starts, Submit};
use signpost_core::{
    session::{GrantStatus, View},
    time::Boot,
};
use signpost_hal::panel::Press;
use std::time::Duration;

/// How long a panel answers a press, says that a reset is done, or is tested.
const ANSWER: Duration = Duration::from_secs(60);
const TEST: Duration = Duration::from_secs(20);

/// A start counts unless the device stays on for so long after it.
const SHORT_RUN: Duration = Duration::from_secs(12);

/// So many starts in a row sign out: about a minute.
const STARTS: u8 = 5;

/// What is shown before anything else, because somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answering {
    /// Who is signed in.
    Account,
    /// Seconds until a reset can be asked for.
    ResetIn(u8),
    /// Let go, and press once more.
    ResetConfirm,
    /// Everything is wiped.
    ResetDone,
    /// A picture to test panels with.
    Test,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Person {
    answer: Option<(Answering, Option<Boot>)>,
    /// When this start is no longer one of a row.
    stays_on: Option<Boot>,
}

impl Person {
    pub(super) fn answer(&self) -> Option<Answering> {
        self.answer.map(|(answer, _)| answer)
    }

    pub(super) fn wake(&self) -> Option<Boot> {
        let until = self.answer.and_then(|(_, until)| until);
        [until, self.stays_on].into_iter().flatten().min()
    }
}

impl Driver {
    pub(super) fn pressed(&mut self, press: Press) {
        self.person.answer = match press {
            Press::Short => return self.pressed_shortly(),
            Press::ResetIn(seconds) => Some((Answering::ResetIn(seconds), None)),
            Press::ResetConfirm => Some((Answering::ResetConfirm, None)),
            Press::SignOut | Press::Reset | Press::ResetOff => None,
        };
        match press {
            Press::SignOut => self.session.sign_out(self.now),
            Press::Reset => self.session.reset(self.now),
            Press::Short | Press::ResetIn(_) | Press::ResetConfirm | Press::ResetOff => {}
        }
    }

    /// A code where the panel asks for a sign-in or nobody is signed in, else information.
    fn pressed_shortly(&mut self) {
        let view = self.session.view();
        let is_asked_for = matches!(view, View::Expiring(_) | View::SignInAgain(_));
        let held = self.session.grant().status == GrantStatus::Held;
        if view == View::Online {
            self.show_for(Answering::Account, ANSWER);
        } else if (is_asked_for || !held) && !self.session.is_wiping() {
            self.session.sign_in(self.now);
        }
    }

    pub(super) fn show_test(&mut self) {
        self.show_for(Answering::Test, TEST);
    }

    pub(super) fn show_reset_done(&mut self) {
        self.show_for(Answering::ResetDone, ANSWER);
    }

    fn show_for(&mut self, answer: Answering, span: Duration) {
        self.person.answer = Some((answer, Some(self.now.boot + span)));
    }

    /// A new run of the board that has no button: was it one of several short ones?
    pub(super) fn count_start(&mut self, kept: Starts) {
        let boot_id = self.config.boot_id;
        let counts = self.config.power_cycles && self.session.grant().status != GrantStatus::None;
        // Another start of the agent in the same run is none of the board.
        let is_new = kept.boot_id != boot_id;
        if !counts || !is_new && kept.count == 0 {
            return;
        }
        let count = if is_new { kept.count.saturating_add(1) } else { kept.count };
        if count >= STARTS {
            self.session.sign_out(self.now);
            self.keep_starts(0);
        } else {
            self.keep_starts(count);
            self.person.stays_on = Some(self.now.boot + SHORT_RUN);
        }
    }

    fn keep_starts(&mut self, count: u8) {
        let starts = Starts { count, boot_id: self.config.boot_id };
        self.out.push_back(Submit::Storage(Job::SaveStarts(starts)));
    }

    /// What was only for a while is over.
    pub(super) fn person_left(&mut self) {
        let now = self.now.boot;
        self.person.answer.take_if(|(_, until)| until.is_some_and(|until| until <= now));
        if self.person.stays_on.take_if(|at| *at <= now).is_some() {
            self.keep_starts(0);
        }
    }
}
