//! How much is written to flash a day, and how long it bears that.

use signpost_core::time::Boot;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// A day is guessed from no less than this.
const SAMPLE: Duration = Duration::from_secs(3_600);

/// Bytes by day, from a counter that only grows. Days begin with the start of the agent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wear {
    began: Boot,
    written: u64,
    before_today: u64,
    day_before: Option<u64>,
}

impl Wear {
    pub(super) const fn new(now: Boot) -> Self {
        Self { began: now, written: 0, before_today: 0, day_before: None }
    }

    /// So many bytes were written since the start.
    pub(super) fn count(&mut self, written: u64, now: Boot) {
        let days = now.since(self.began).as_secs() / DAY.as_secs();
        if let Ok(days @ 1..) = u32::try_from(days) {
            self.day_before = Some((self.written - self.before_today) / u64::from(days));
            self.before_today = self.written;
            self.began = self.began + DAY * days;
        }
        self.written = written.max(self.written);
    }

    pub(super) const fn today(&self) -> u64 {
        self.written - self.before_today
    }

    /// What a day costs: the last whole one, or today so far as if it went on so.
    pub(super) fn per_day(&self, now: Boot) -> Option<u64> {
        let elapsed = now.since(self.began);
        let guess = || {
            let share = u128::from(self.today()) * DAY.as_millis() / elapsed.as_millis().max(1);
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        self.day_before.or_else(|| (elapsed >= SAMPLE).then(guess))
    }

    /// How many days `endurance`, the bytes that can be written in all, lasts.
    pub(super) fn life(&self, endurance: Option<u64>, now: Boot) -> Option<u64> {
        Some(endurance?.saturating_sub(self.written) / self.per_day(now)?.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> Boot {
        Boot::new(Duration::from_secs(hours * 3_600))
    }

    #[test]
    fn a_day_is_guessed_after_an_hour_and_known_after_a_day() {
        let mut wear = Wear::new(at(10));
        assert_eq!(wear.per_day(at(10)), None);
        wear.count(100, at(12));
        assert_eq!((wear.today(), wear.per_day(at(12))), (100, Some(1_200)));
        assert_eq!(wear.life(Some(120_100), at(12)), Some(100));
        wear.count(500, at(33));
        wear.count(600, at(35));
        assert_eq!((wear.today(), wear.per_day(at(35))), (100, Some(500)));
        wear.count(700, at(10 + 24 * 4 + 1));
        assert_eq!(wear.per_day(at(107)), Some(33), "spread over the days in which nothing came");
        assert_eq!(wear.life(None, at(107)), None);
    }
}
