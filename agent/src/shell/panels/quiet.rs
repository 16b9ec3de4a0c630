//! Quiet hours: when lamps and panels are dark.

use crate::config::{Quiet, TimeOfDay};
use jiff::{Timestamp, tz::TimeZone};
use signpost_core::time::Now;
use std::time::Duration;

/// So long after a press, or after the board has got its power, somebody is taken to be there.
const NEAR: Duration = Duration::from_secs(600);

/// The clock may be set, or summer begin: it is looked at again at least this often.
const LOOK: Duration = Duration::from_secs(600);

const DAY: u32 = 24 * 3600;

/// The hours in local time; [`TimeZone::system`] says which that is.
#[derive(Debug)]
pub(super) struct QuietHours {
    quiet: Quiet,
    zone: TimeZone,
}

impl QuietHours {
    pub(super) fn new(quiet: Quiet) -> Self {
        Self { quiet, zone: TimeZone::system() }
    }

    /// Whether it is to be dark, and after how long to look again. `pressed`: how long ago a
    /// button was. Without a date nothing is dark.
    pub(super) fn look(&self, now: Now, pressed: Option<Duration>) -> (bool, Duration) {
        let Some(second) = now.wall.and_then(|wall| self.second_of_day(wall.since_epoch())) else {
            return (false, LOOK);
        };
        let (is_quiet, left) = phase(self.quiet, second);
        let ago = pressed.map_or(now.boot.since_boot(), |ago| ago.min(now.boot.since_boot()));
        if is_quiet && ago < NEAR {
            return (false, (NEAR - ago).min(LOOK));
        }
        (is_quiet, left.min(LOOK))
    }

    fn second_of_day(&self, since_epoch: Duration) -> Option<u32> {
        let seconds = i64::try_from(since_epoch.as_secs()).ok()?;
        let time = Timestamp::from_second(seconds).ok()?.to_zoned(self.zone.clone()).time();
        let [hour, minute, second] =
            [time.hour(), time.minute(), time.second()].map(|part| u32::from(part.unsigned_abs()));
        Some((hour * 60 + minute) * 60 + second)
    }
}

/// Whether it is quiet at this second of the day, and for how long still.
fn phase(quiet: Quiet, second: u32) -> (bool, Duration) {
    let of = |time: TimeOfDay| (u32::from(time.hour) * 60 + u32::from(time.minute)) * 60;
    let until = |end: u32| (end + DAY - second - 1) % DAY + 1;
    let (to_from, to_end) = (until(of(quiet.from)), until(of(quiet.to)));
    // Whichever comes next ends what is now.
    let is_quiet = to_end < to_from;
    (is_quiet, Duration::from_secs(to_end.min(to_from).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use signpost_core::time::{Boot, Wall};

    fn quiet(from: (u8, u8), to: (u8, u8)) -> Quiet {
        let time = |(hour, minute)| TimeOfDay { hour, minute };
        Quiet { from: time(from), to: time(to) }
    }

    fn at(hour: u32, minute: u32) -> u32 {
        (hour * 60 + minute) * 60
    }

    #[test]
    fn hours_may_go_past_midnight() {
        let night = quiet((22, 0), (6, 30));
        let hours = |count: u64| Duration::from_secs(count * 1800);
        assert_eq!(phase(night, at(22, 0)), (true, hours(17)));
        assert_eq!(phase(night, at(0, 0)), (true, hours(13)));
        assert_eq!(phase(night, at(6, 29)), (true, Duration::from_secs(60)));
        assert_eq!(phase(night, at(6, 30)), (false, hours(31)));
        assert_eq!(phase(night, at(21, 59)), (false, Duration::from_secs(60)));
        let noon = quiet((12, 0), (13, 0));
        assert_eq!(phase(noon, at(12, 30)), (true, hours(1)));
        assert_eq!(phase(noon, at(11, 30)), (false, hours(1)));
        assert_eq!(phase(noon, at(13, 0)), (false, hours(46)));
    }

    /// 2026-11-26 at this time in Berlin, an hour before that in UTC; so long after the power came.
    fn look(hour: u64, boot: u64, pressed: Option<u64>) -> (bool, Duration) {
        let zone =
            TimeZone::get("Europe/Berlin").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(1)));
        let hours = QuietHours { quiet: quiet((22, 0), (6, 0)), zone };
        let midnight = Wall::new(Duration::from_secs(1_795_647_600));
        let wall = midnight + Duration::from_secs(hour * 3600);
        let now = Now { boot: Boot::new(Duration::from_secs(boot)), wall: Some(wall) };
        hours.look(now, pressed.map(Duration::from_secs))
    }

    #[test]
    fn local_time_counts_and_whoever_is_there_has_light() {
        assert_eq!(look(22, 9000, None), (true, LOOK));
        assert_eq!(look(21, 9000, None), (false, LOOK));
        assert!(look(5, 9000, Some(601)).0);
        assert_eq!(look(5, 9000, Some(590)), (false, Duration::from_secs(10)));
        assert_eq!(look(5, 30, None), (false, Duration::from_secs(570)), "just switched on");
    }

    #[test]
    fn without_a_date_nothing_is_dark() {
        let hours = QuietHours::new(quiet((0, 0), (23, 59)));
        let now = Now { boot: Boot::new(Duration::from_secs(9000)), wall: None };
        assert!(!hours.look(now, None).0);
    }
}
