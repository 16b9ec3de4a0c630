//! A grant with an end: announced in time, kept alive where use prolongs it, and never taken for
//! ended before the issuer says so.

use super::*;

const DAY: u64 = 86_400;

/// The same token for so many seconds more, where the issuer says.
fn again(left: Option<u64>) -> Outcome {
    let left = left.map_or(String::new(), |left| format!(r#","refresh_expires_in":{left}"#));
    json(200, &format!(r#"{{"access_token":"at-x","expires_in":3600{left}}}"#))
}

fn signed_in_for(seconds: u64) -> Rig {
    let mut rig = Rig::fresh();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&json(
        200,
        &format!(
            r#"{{"access_token":"at-1","expires_in":3600,"refresh_token":"rt-1",
                "refresh_token_expires_in":{seconds},"id_token":"{}"}}"#,
            id_token("anna")
        ),
    ));
    rig.pass(61);
    rig
}

impl Rig {
    /// Lets `seconds` pass; the issuer says each time how much `left` there is at that moment.
    fn live(&mut self, seconds: u64, left: impl Fn(u64) -> Option<u64>) {
        let end = self.now.boot + Duration::from_secs(seconds);
        while self.now.boot < end {
            let wake = self.session.poll_wake().map_or(end, |(at, _)| at.min(end));
            self.pass(wake.since(self.now.boot).as_secs().max(1));
            while !self.sent.is_empty() {
                let since_start = self.now.boot.since(at(5).boot).as_secs();
                self.answer(&again(left(since_start)));
            }
        }
    }

    fn announces(&self) -> bool {
        let up = self.session.faults().has(Fault::SignInEnds);
        assert_eq!(up, matches!(self.session.view(), View::Expiring(_)));
        assert_eq!(self.session.state(), State::Online, "it works until then");
        up
    }

    fn announcements(&self) -> usize {
        self.events.iter().filter(|e| **e == Event::FaultRaised(Fault::SignInEnds)).count()
    }
}

#[test]
fn the_end_is_announced_fourteen_days_before() {
    let mut rig = signed_in_for(90 * DAY);
    rig.live(75 * DAY, |since| Some(90 * DAY - since));
    assert!(!rig.announces());
    rig.live(2 * DAY, |since| Some(90 * DAY - since));
    assert!(rig.announces());
    assert_eq!(rig.announcements(), 1, "said once");
    let end = rig.session.grant().expires_at.expect("an end");
    let off = end.since_epoch().abs_diff(Duration::from_secs(DATE + 5 + 90 * DAY));
    assert!(off <= Duration::from_secs(5), "{off:?}");
    let mut rig =
        Rig::at(config(), Stored { record: Some(rig.kept()), ..Stored::default() }, rig.now);
    rig.answer(&again(None));
    assert!(rig.announces(), "over a restart");
}

#[test]
fn of_a_short_grant_the_last_fifth_is_announced() {
    let mut rig = signed_in_for(10 * DAY);
    rig.live(7 * DAY, |since| Some(10 * DAY - since));
    assert!(!rig.announces());
    rig.live(DAY + 3_600, |since| Some(10 * DAY - since));
    assert!(rig.announces());
}

#[test]
fn an_end_that_is_said_once_counts_too() {
    let mut rig = signed_in_for(30 * DAY);
    rig.live(23 * DAY, |_| None);
    assert!(!rig.announces(), "a fifth is six days");
    rig.live(2 * DAY, |_| None);
    assert!(rig.announces());
}

#[test]
fn what_each_use_prolongs_is_used_in_time_and_never_announced() {
    for idle in [1_800, 7 * DAY, 180 * DAY] {
        let mut rig = signed_in_for(idle);
        for _ in 0..200 {
            rig.live(DAY / 8, |_| Some(idle));
            assert!(!rig.announces(), "{idle} s idle");
        }
        assert_eq!(rig.announcements(), 0);
    }
}

#[test]
fn a_zero_is_neither_never_nor_now() {
    let mut rig = signed_in_for(0);
    assert_eq!(rig.session.grant().expires_at, None);
    rig.live(40 * DAY, |_| Some(0));
    assert!(!rig.announces());
    assert_eq!(rig.session.grant().expires_at, None);
}

#[test]
fn a_refresh_token_is_used_daily_whatever_its_access_token_lives() {
    // Google forgets one that was not used for six months, Entra for 90 days.
    for lifetime in ["", r#","expires_in":31536000"#, r#","expires_in":3600"#] {
        let reply = json(200, &format!(r#"{{"access_token":"at-x"{lifetime}}}"#));
        let mut rig = Rig::signed_in();
        let mut uses = 0;
        for _ in 0..60 {
            rig.pass(DAY);
            assert!(!rig.sent.is_empty(), "not used for a day: {lifetime}");
            rig.answer(&reply);
            uses += 1;
        }
        assert_eq!(uses, 60);
    }
}

#[test]
fn a_date_that_has_passed_ends_nothing_and_a_new_sign_in_ends_the_announcement() {
    let mut rig = signed_in_for(10 * DAY);
    rig.live(12 * DAY, |_| None);
    assert!(rig.announces(), "the issuer has the last word, and it still honours the grant");
    let stored = Stored { record: Some(rig.kept()), ..Stored::default() };
    let any = SessionConfig { owner: OwnerRule::Any, ..config() };
    let mut rig = Rig::at(any, stored, rig.now);
    rig.answer(&again(None));
    assert!(rig.announces());
    rig.session.sign_in(rig.now);
    rig.drain();
    rig.answer(&json(200, CODE));
    rig.pass(5);
    rig.answer(&renewed("rt-2"));
    rig.pass(61);
    assert!(!rig.announces(), "of the new grant no end is known");
    rig.session.sign_out(rig.now);
    rig.drain();
    assert!(!rig.session.faults().has(Fault::SignInEnds));
}

#[test]
fn invariant_6_no_end_is_announced_by_a_clock_that_cannot_be_right() {
    let mut rig = signed_in_for(90 * DAY);
    rig.now.wall = Some(Wall::new(Duration::from_secs(4_102_444_800)));
    rig.session.handle_timeout(rig.now);
    rig.drain();
    assert!(!rig.session.faults().has(Fault::SignInEnds));
    assert_eq!(rig.session.view(), View::ClockWrong);
}
