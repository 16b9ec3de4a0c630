//! Waiting longer after each failure, never in step with the rest of the fleet.

use core::time::Duration;
use fastrand::Rng;

/// Doubling waits with jitter: the n-th lies in 50..100 % of `first * 2^n`, never above `most`.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits from `first` up to `most`.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0 }
    }

    /// Counts one more failure and says how long to wait after it.
    pub fn next(&mut self, rng: &mut Rng) -> Duration {
        let full = self.first.saturating_mul(1 << self.failures.min(20)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        let half = full / 2;
        half + Duration::from_millis(rng.u64(0..=to_millis(half)))
    }

    /// Starts again from the shortest wait.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many failures came in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// A span drawn evenly from zero up to `most`.
pub fn spread(most: Duration, rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.u64(0..=to_millis(most)))
}

fn to_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_cap_and_start_again() {
        let mut rng = Rng::with_seed(7);
        let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(60));
        for full in [2, 4, 8, 16, 32, 60, 60] {
            let wait = backoff.next(&mut rng);
            assert!(wait >= Duration::from_secs(full) / 2 && wait <= Duration::from_secs(full));
        }
        backoff.reset();
        assert!(backoff.next(&mut rng) <= Duration::from_secs(2));
    }

    #[test]
    fn invariant_10_two_devices_do_not_wait_alike() {
        let mut waits = [1, 2].map(|seed| {
            let mut rng = Rng::with_seed(seed);
            spread(Duration::from_secs(20), &mut rng)
        });
        waits.sort();
        assert!(waits[1] - waits[0] > Duration::from_millis(1));
    }
}
