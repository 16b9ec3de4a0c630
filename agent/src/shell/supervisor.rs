//! What systemd is told: ready, alive, stopping, and one line of status (sd_notify(3)).

use crate::status::Status;
use sd_notify::{NotifyState, notify, watchdog_enabled};
use signpost_core::time::Boot;
use std::time::Duration;

/// Has `systemctl status` say why the agent did not start, also while it waits for the next try.
pub(crate) fn not_started(why: &str) {
    let _ = notify(&[NotifyState::Status(why)]);
}

/// Talks to systemd; does nothing where it did not start us.
#[derive(Debug)]
pub(super) struct Supervisor {
    listens: bool,
    said: String,
    watchdog: Option<Duration>,
    feed_at: Option<Boot>,
}

impl Supervisor {
    pub(super) fn new() -> Self {
        Self {
            listens: std::env::var_os("NOTIFY_SOCKET").is_some(),
            said: String::new(),
            // Twice in its span, so that one late turn does no harm.
            watchdog: watchdog_enabled().map(|span| span / 2),
            feed_at: None,
        }
    }

    /// Whether anybody reads a status line.
    pub(super) const fn listens(&self) -> bool {
        self.listens
    }

    pub(super) fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    pub(super) fn reloading(&self) {
        self.tell(&[NotifyState::Reloading]);
    }

    pub(super) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// State and faults, nothing private.
    pub(super) fn status(&mut self, status: &Status) {
        let mut line = status.state.to_owned();
        for fault in &status.faults {
            line.push_str("; ");
            line.push_str(fault.code);
            line.push(' ');
            line.push_str(fault.title);
        }
        if line != self.said {
            self.tell(&[NotifyState::Status(&line)]);
            self.said = line;
        }
    }

    /// Feeds the watchdog when it is due, and says when it will be again. Called by the run loop
    /// alone: a loop that hangs is not fed.
    pub(super) fn feed(&mut self, now: Boot) -> Option<Boot> {
        let every = self.watchdog?;
        if self.feed_at.is_none_or(|at| at <= now) {
            self.tell(&[NotifyState::Watchdog]);
            self.feed_at = Some(now + every);
        }
        self.feed_at
    }

    fn tell(&self, state: &[NotifyState<'_>]) {
        if self.listens {
            // A manager that does not take it will act by itself.
            let _ = notify(state);
        }
    }
}
