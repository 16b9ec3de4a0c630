//! One device code from its receipt to its end: when to poll (RFC 8628 section 3.5).

use super::record::PendingSignIn;
use crate::{
    issuer::IssuedBy,
    time::Boot,
    wire::{DeviceAuthorization, PollAnswer},
};
use alloc::sync::Arc;
use core::time::Duration;

/// RFC 8628 section 3.5: by how much `slow_down` widens the interval for good.
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// How often it is asked at most whether a code was approved that is no longer on show.
const RETIRED: Duration = Duration::from_secs(15);

/// Doubling after silence stops here, unless the interval itself is longer.
const MAX_SILENCE: Duration = Duration::from_secs(60);

/// A code that is being shown, and the timing of its polls.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) pending: PendingSignIn,
    /// Until when the issuer says that the code is good, which may be after another is shown.
    good_until: Boot,
    polling: bool,
    silences: u32,
}

impl Flow {
    /// A new code, which is on show for `shown` at most.
    pub(super) fn begin(
        code: DeviceAuthorization,
        shown: Option<Duration>,
        renewals: u8,
        issued_by: Option<Arc<IssuedBy>>,
        now: Boot,
    ) -> Self {
        let shown = shown.unwrap_or(code.expires_in).min(code.expires_in);
        let pending = PendingSignIn {
            device_code: code.device_code,
            user_code: code.user_code,
            verification_uri: code.verification_uri,
            verification_uri_complete: code.verification_uri_complete,
            expires: now + shown,
            interval: code.interval,
            next_poll: now + code.interval,
            renewals,
            issued_by,
        };
        let good_until = now + code.expires_in;
        Self { pending, good_until, polling: false, silences: 0 }
    }

    /// Goes on with a flow that an earlier run of the agent began. A poll may have been under way
    /// when it ended, so the interval counts from now.
    pub(super) fn resume(mut pending: PendingSignIn, now: Boot) -> Self {
        pending.next_poll = pending.next_poll.max(now + pending.interval);
        let good_until = pending.expires;
        Self { pending, good_until, polling: false, silences: 0 }
    }

    /// Whether the issuer may honour an approval still.
    pub(super) fn is_good(&self, now: Boot) -> bool {
        now < self.good_until
    }

    /// It stays, on show or not, to the end that the issuer has named.
    pub(super) const fn prolong(&mut self) {
        self.pending.expires = self.good_until;
    }

    /// Another code is shown in its place. Whoever has typed this one may be approving it: it is asked
    /// about to its end, and less often.
    pub(super) fn retire(mut self) -> Self {
        self.prolong();
        self.pending.interval = self.pending.interval.max(RETIRED);
        self
    }

    /// Nothing is asked before `until`.
    pub(super) fn leave_alone(&mut self, until: Boot) {
        self.pending.next_poll = self.pending.next_poll.max(until);
    }

    pub(super) fn is_poll_due(&self, now: Boot) -> bool {
        !self.polling && now >= self.pending.next_poll && now < self.pending.expires
    }

    pub(super) fn poll_sent(&mut self) {
        self.polling = true;
    }

    /// The poll was refused before anything was looked at, and is made again.
    pub(super) fn repeat(&mut self, now: Boot) {
        self.polling = false;
        self.pending.next_poll = now;
    }

    /// Whether the code is over. A poll that is under way is heard first: it may bring the grant.
    pub(super) fn is_over(&self, now: Boot) -> bool {
        !self.polling && now >= self.pending.expires
    }

    /// When something is next due: a poll or the end. Nothing, while a poll is under way.
    pub(super) fn wake(&self) -> Option<Boot> {
        (!self.polling).then(|| self.pending.next_poll.min(self.pending.expires))
    }

    /// Times the next poll by the answer to the last one.
    pub(super) fn heard(&mut self, answer: &PollAnswer, now: Boot) {
        self.polling = false;
        let mut wait = Duration::ZERO;
        match answer {
            PollAnswer::SlowDown(named) => {
                let widened = self.pending.interval + SLOW_DOWN;
                self.pending.interval =
                    named.map_or(widened, |named| named.max(self.pending.interval));
            }
            PollAnswer::Trouble(trouble) if trouble.is_silence() => {
                self.silences = (self.silences + 1).min(10);
                wait = (self.pending.interval * (1 << self.silences)).min(MAX_SILENCE);
            }
            PollAnswer::Trouble(trouble) => wait = trouble.retry_after().unwrap_or_default(),
            PollAnswer::Granted(_)
            | PollAnswer::Pending
            | PollAnswer::Denied
            | PollAnswer::Expired
            | PollAnswer::Refused(_) => {}
        }
        if !matches!(answer, PollAnswer::Trouble(trouble) if trouble.is_silence()) {
            self.silences = 0;
        }
        self.pending.next_poll = now + wait.max(self.pending.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::Cause, secret::Secret, wire::Trouble};

    fn at(seconds: u64) -> Boot {
        Boot::new(Duration::from_secs(seconds))
    }

    fn flow(interval: u64) -> Flow {
        let code = DeviceAuthorization {
            device_code: Secret::new("d"),
            user_code: "u".into(),
            verification_uri: "https://i.example/d".into(),
            verification_uri_complete: None,
            expires_in: Duration::from_secs(600),
            interval: Duration::from_secs(interval),
        };
        Flow::begin(code, None, 3, None, at(100))
    }

    fn next_after(flow: &mut Flow, answer: &PollAnswer, now: u64) -> u64 {
        flow.poll_sent();
        flow.heard(answer, at(now));
        flow.pending.next_poll.since(at(now)).as_secs()
    }

    #[test]
    fn invariant_5_the_interval_counts_from_each_reply() {
        let mut flow = flow(5);
        assert!(!flow.is_poll_due(at(104)) && flow.is_poll_due(at(105)));
        flow.poll_sent();
        assert!(!flow.is_poll_due(at(200)), "one poll at a time");
        flow.heard(&PollAnswer::Pending, at(120));
        assert!(!flow.is_poll_due(at(124)) && flow.is_poll_due(at(125)));
    }

    #[test]
    fn invariant_5_slow_down_adds_up_without_a_cap() {
        let mut flow = flow(5);
        for (n, expected) in (0..40).map(|n| (n, 10 + 5 * n)) {
            let next = next_after(&mut flow, &PollAnswer::SlowDown(None), 110);
            assert_eq!(next, expected, "slow_down number {n}");
        }
        assert_eq!(next_after(&mut flow, &PollAnswer::Pending, 120), 205, "for good");
    }

    #[test]
    fn invariant_5_a_named_interval_sets_it_and_never_quickens() {
        let named = |s| PollAnswer::SlowDown(Some(Duration::from_secs(s)));
        let mut flow = flow(5);
        assert_eq!(next_after(&mut flow, &named(17), 110), 17);
        assert_eq!(next_after(&mut flow, &named(1), 130), 17);
    }

    #[test]
    fn silence_doubles_apart_from_the_interval_and_a_reply_ends_it() {
        let silence = PollAnswer::Trouble(Trouble::Lost(Cause::Timeout));
        let mut flow = flow(5);
        for expected in [10, 20, 40, 60, 60] {
            assert_eq!(next_after(&mut flow, &silence, 110), expected);
        }
        let unwell = Trouble::Server { status: 500, retry_after: None };
        assert_eq!(next_after(&mut flow, &PollAnswer::Trouble(unwell), 120), 5, "a reply");
        let busy = Trouble::Server { status: 503, retry_after: Some(Duration::from_secs(30)) };
        assert_eq!(next_after(&mut flow, &PollAnswer::Trouble(busy), 130), 30);
    }

    #[test]
    fn the_end_waits_for_a_poll_under_way() {
        let mut flow = flow(5);
        flow.poll_sent();
        assert!(!flow.is_over(at(700)));
        flow.heard(&PollAnswer::Pending, at(700));
        assert!(flow.is_over(at(700)) && !flow.is_poll_due(at(706)));
    }

    #[test]
    fn invariant_5_a_restart_does_not_bring_a_poll_forward() {
        let mut before = flow(5);
        next_after(&mut before, &PollAnswer::SlowDown(None), 110);
        let resumed = Flow::resume(before.pending.clone(), at(112));
        assert!(!resumed.is_poll_due(at(121)) && resumed.is_poll_due(at(122)));
        assert_eq!(resumed.pending.expires, before.pending.expires);
    }
}
