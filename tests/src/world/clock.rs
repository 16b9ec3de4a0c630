//! What a board's two clocks say, beside the world's own time.

use signpost_core::time::{Boot, Now, Wall};
use std::time::Duration;

/// The true date at the start of every world: 2030-01-01.
pub const EPOCH: Duration = Duration::from_secs(1_893_456_000);

/// The build date of the simulated agent: before it no date is believed.
pub const BUILD: Wall = Wall::new(Duration::from_secs(1_893_456_000 - 40 * 86_400));

/// How long after its build a date is believed (design.md, invariant 6: not decades later).
const DECADES: Duration = Duration::from_secs(50 * 365 * 86_400);

/// What a board's real-time clock says when the power comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rtc {
    /// The truth.
    Right,
    /// 1970: there is no battery.
    Epoch,
    /// 2099: the battery is dying.
    Far,
    /// Less than the truth by this much.
    Behind(Duration),
    /// Nothing: there is no such clock.
    Absent,
}

/// The two clocks of one run of a board.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoardClock {
    started: Duration,
    /// What the wall clock said at an instant of the world.
    wall: Option<(Duration, Duration)>,
}

/// The true date at an instant of the world.
pub(super) fn truth(at: Duration) -> Duration {
    EPOCH + at
}

impl BoardClock {
    /// The power comes at `at`.
    pub(super) fn power_on(at: Duration, rtc: Rtc) -> Self {
        let mut clock = Self { started: at, wall: None };
        clock.set(at, rtc);
        clock
    }

    /// Somebody sets the wall clock: an NTP client, a person, a dying battery.
    pub(super) fn set(&mut self, at: Duration, rtc: Rtc) {
        let wall = match rtc {
            Rtc::Right => Some(truth(at)),
            Rtc::Epoch => Some(Duration::ZERO),
            Rtc::Far => Some(Duration::from_secs(4_070_908_800)),
            Rtc::Behind(span) => Some(truth(at).saturating_sub(span)),
            Rtc::Absent => None,
        };
        self.wall = wall.map(|wall| (wall, at));
    }

    pub(super) fn now(&self, at: Duration) -> Now {
        let wall = self.wall.map(|(wall, set)| Wall::new(wall + at.saturating_sub(set)));
        Now { boot: Boot::new(at.saturating_sub(self.started)), wall }
    }

    /// The instant of the world at which the board's own clock says `boot`.
    pub(super) fn world_time(&self, boot: Boot) -> Duration {
        self.started + boot.since_boot()
    }
}

/// Whether a device may believe this date, judged apart from the device's own gate.
pub(super) fn is_believable(now: Now) -> bool {
    now.wall.is_some_and(|wall| wall >= BUILD && wall < BUILD + DECADES)
}
