//! What of the session's state is durable: versions, one write at a time, retried until it holds.

use crate::{backoff::Backoff, time::Boot};
use core::time::Duration;
use fastrand::Rng;

/// Counts versions of the record. A version is *settled* once it is durable, or once writing it
/// failed and the agent has to go on from memory (design invariant 1).
#[derive(Debug)]
pub(super) struct Saver {
    wanted: u64,
    durable: u64,
    settled: u64,
    writing: Option<u64>,
    not_before: Boot,
    backoff: Backoff,
}

impl Saver {
    pub(super) const fn new() -> Self {
        Self {
            wanted: 0,
            durable: 0,
            settled: 0,
            writing: None,
            not_before: Boot::new(Duration::ZERO),
            backoff: Backoff::new(Duration::from_secs(2), Duration::from_secs(60)),
        }
    }

    /// The record changed: the version that holds the change.
    pub(super) const fn touch(&mut self) -> u64 {
        self.wanted += 1;
        self.wanted
    }

    /// The version that is to be written now, if any. It counts as being written from here on.
    pub(super) fn start(&mut self, now: Boot) -> Option<u64> {
        let due = self.writing.is_none() && self.wanted > self.durable && now >= self.not_before;
        if due {
            self.writing = Some(self.wanted);
        }
        self.writing.filter(|_| due)
    }

    /// The write of `version` ended.
    pub(super) fn finish(&mut self, version: u64, saved: bool, now: Boot, rng: &mut Rng) {
        if self.writing != Some(version) {
            return;
        }
        self.writing = None;
        self.settled = self.settled.max(version);
        if saved {
            self.durable = self.durable.max(version);
            self.backoff.reset();
        } else {
            self.not_before = now + self.backoff.next(rng);
        }
    }

    pub(super) const fn is_settled(&self, version: u64) -> bool {
        self.settled >= version
    }

    /// Whether everything that is to be kept is kept.
    pub(super) const fn is_clean(&self) -> bool {
        self.durable >= self.wanted
    }

    pub(super) fn wake(&self) -> Option<Boot> {
        (self.writing.is_none() && !self.is_clean()).then_some(self.not_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Boot = Boot::new(Duration::from_secs(10));

    #[test]
    fn writes_go_one_at_a_time_and_the_newest_state_wins() {
        let (mut saver, mut rng) = (Saver::new(), Rng::with_seed(1));
        let first = saver.touch();
        assert_eq!(saver.start(NOW), Some(first));
        let (_, third) = (saver.touch(), saver.touch());
        assert_eq!(saver.start(NOW), None, "one at a time");
        assert!(!saver.is_settled(first));
        saver.finish(first, true, NOW, &mut rng);
        assert!(saver.is_settled(first) && !saver.is_settled(third));
        assert_eq!(saver.start(NOW), Some(third), "the second is skipped");
        saver.finish(third, true, NOW, &mut rng);
        assert!(saver.is_clean() && saver.wake().is_none());
    }

    #[test]
    fn invariant_1_a_failed_write_settles_and_is_tried_again() {
        let (mut saver, mut rng) = (Saver::new(), Rng::with_seed(1));
        let version = saver.touch();
        saver.start(NOW);
        saver.finish(version, false, NOW, &mut rng);
        assert!(saver.is_settled(version) && !saver.is_clean());
        assert_eq!(saver.start(NOW), None, "not at once");
        let wake = saver.wake().expect("tried again");
        assert_eq!(saver.start(wake), Some(version));
    }
}
