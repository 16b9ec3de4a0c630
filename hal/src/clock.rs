//! The board's two clocks: the only place of the product that reads one.
//!
//! Everything else is handed the time, so that it can be driven through months in a test.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Time since the board started, with the time spent in suspend (CLOCK_BOOTTIME); it never jumps.
pub fn boot() -> Duration {
    since_zero(clock_gettime(ClockId::Boottime))
}

/// What the wall clock claims, since the Unix epoch (CLOCK_REALTIME); zero if it claims less.
pub fn wall() -> Duration {
    since_zero(clock_gettime(ClockId::Realtime))
}

fn since_zero(time: Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_moves_on_and_wall_time_is_past_this_source() {
        let first = boot();
        assert!(first > Duration::ZERO && boot() >= first);
        assert!(wall() > Duration::from_secs(1_700_000_000));
    }
}
