//! The two clocks, as two types: one for deadlines, one for dates.

use core::{fmt, ops::Add, time::Duration};

/// Time since the board was switched on, suspend included (`CLOCK_BOOTTIME`).
///
/// Every deadline is one of these (design invariant 6): it never jumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boot(Duration);

impl Boot {
    /// The instant `since_boot` after the board was switched on.
    #[must_use]
    pub const fn new(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// The span since the board was switched on.
    #[must_use]
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// The span from `earlier` to here, zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Boot {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// A date: time since 1970-01-01T00:00:00Z (`CLOCK_REALTIME`). Good for TLS and for what people
/// read, never for a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(Duration);

impl Wall {
    /// The date `since_epoch` after 1970.
    #[must_use]
    pub const fn new(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// The span since 1970.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Wall {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// How far a wall clock is ahead of the boot clock. It stays as it is until somebody sets the wall
/// clock: two of them tell by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset(i64);

impl ClockOffset {
    /// What lies between the two clocks when they show these.
    #[must_use]
    pub fn between(boot: Boot, wall: Wall) -> Self {
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(millis(wall.since_epoch()).saturating_sub(millis(boot.since_boot())))
    }

    /// From milliseconds, as they are kept.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// What has to be added to an instant of a clock with the offset `wrong`, in nanoseconds.
    #[must_use]
    pub const fn correction(self, wrong: Self) -> i64 {
        self.0.saturating_sub(wrong.0).saturating_mul(1_000_000)
    }

    /// The date that a clock with this offset shows at `boot`; 1970 if it is earlier.
    #[must_use]
    pub fn date(self, boot: Boot) -> Wall {
        let millis = i64::try_from(boot.since_boot().as_millis()).unwrap_or(i64::MAX);
        let date = u64::try_from(self.0.saturating_add(millis)).unwrap_or_default();
        Wall::new(Duration::from_millis(date))
    }
}

/// What both clocks say at one moment. `wall` is absent where a board has no such clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub boot: Boot,
    /// For dates; as read, not yet judged by a [`ClockGate`].
    pub wall: Option<Wall>,
}

/// How far past its floor a date is still believed. A board that wakes in 2099 is as lost as one
/// that wakes in 1970.
const BELIEVABLE: Duration = Duration::from_secs(40 * 365 * 86_400);

/// Judges the wall clock: usable when at or past the floor and not decades later.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClockGate {
    floor: Wall,
}

impl ClockGate {
    /// A gate that believes nothing before `floor`: the build date, or the last time seen.
    #[must_use]
    pub const fn new(floor: Wall) -> Self {
        Self { floor }
    }

    /// The wall clock of `now`, if it is usable.
    #[must_use]
    pub fn usable(&self, now: Now) -> Option<Wall> {
        now.wall.filter(|wall| self.believes(*wall))
    }

    /// Whether `wall` is a date that can be.
    #[must_use]
    pub fn believes(&self, wall: Wall) -> bool {
        wall >= self.floor && wall < self.floor + BELIEVABLE
    }
}

impl fmt::Debug for ClockGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClockGate(from {} s)", self.floor.0.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Wall = Wall::new(Duration::from_secs(1_800_000_000));

    fn at(wall: u64) -> Now {
        Now { boot: Boot::default(), wall: Some(Wall::new(Duration::from_secs(wall))) }
    }

    #[test]
    fn invariant_6_the_gate_believes_only_dates_near_and_after_the_floor() {
        let gate = ClockGate::new(FLOOR);
        assert_eq!(gate.usable(at(0)), None, "1970");
        assert_eq!(gate.usable(at(1_799_999_999)), None);
        assert!(gate.usable(at(1_800_000_000)).is_some());
        assert!(gate.usable(at(1_900_000_000)).is_some());
        assert_eq!(gate.usable(at(4_102_444_800)), None, "2100");
        assert_eq!(gate.usable(Now::default()), None, "no such clock");
    }
}
