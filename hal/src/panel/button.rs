//! A button: what a person does with it, as a pure state machine; where it is read, and the thread
//! that reads it.

mod contact;
mod thread;

use std::time::Duration;

#[cfg(feature = "bus")]
pub(super) use contact::EdgeLine;
pub use contact::{Contact, Key};
pub use thread::ButtonThread;

/// What a person asks for by a button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// Information, or a code while one is waited for.
    Short,
    /// Held for 5 s and let go: sign out.
    SignOut,
    /// Held on: so many seconds until a reset can be asked for.
    ResetIn(u8),
    /// Held for 15 s: to be let go and pressed once more.
    ResetConfirm,
    /// Pressed once more: reset.
    Reset,
    /// Not pressed once more within 10 s, or never let go.
    ResetOff,
}

const BOUNCE: Duration = Duration::from_millis(30);
const SHORT: Duration = Duration::from_secs(2);
const SIGN_OUT: Duration = Duration::from_secs(5);
const RESET: Duration = Duration::from_secs(15);
/// Something lies on the button.
const STUCK: Duration = Duration::from_secs(60);
/// How long the last press is waited for.
const CONFIRM: Duration = Duration::from_secs(10);

/// A button in time. First [`edge`](Self::edge) and [`tick`](Self::tick) as they come and as
/// [`wake`](Self::wake) says, then do what they answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Button(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    /// Since then, with the seconds told last.
    Down(Duration, Option<u8>),
    /// Held for long enough, since it went down.
    Ready(Duration),
    /// Let go after that.
    Armed(Duration),
    /// Nothing counts before it is let go.
    Spent,
}

impl Button {
    /// A button of which nothing is known. If something lies on it, it counts once it was up.
    pub fn new() -> Self {
        Self(State::Up)
    }

    /// It went down, or up.
    pub fn edge(&mut self, is_down: bool, now: Duration) -> Option<Press> {
        let (next, press) = match (self.0, is_down) {
            (State::Up, true) => (State::Down(now, None), None),
            (State::Armed(since), true) if now.saturating_sub(since) < BOUNCE => (self.0, None),
            (State::Armed(since), true) if now.saturating_sub(since) <= CONFIRM => {
                (State::Spent, Some(Press::Reset))
            }
            (State::Armed(_), true) => (State::Spent, Some(Press::ResetOff)),
            (State::Down(since, _), false) => {
                let held = now.saturating_sub(since);
                if held >= RESET {
                    (State::Armed(now), Some(Press::ResetConfirm))
                } else if held >= SIGN_OUT {
                    (State::Up, Some(Press::SignOut))
                } else {
                    (State::Up, (BOUNCE..SHORT).contains(&held).then_some(Press::Short))
                }
            }
            (State::Ready(_), false) => (State::Armed(now), None),
            (State::Spent, false) => (State::Up, None),
            (state, _) => (state, None),
        };
        self.0 = next;
        press
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) -> Option<Press> {
        let (next, press) = match self.0 {
            State::Down(since, told) => {
                let left = RESET.saturating_sub(now.saturating_sub(since));
                let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                let seconds = u8::try_from(seconds).unwrap_or(u8::MAX);
                if left.is_zero() {
                    (State::Ready(since), Some(Press::ResetConfirm))
                } else if left <= RESET - SIGN_OUT && told != Some(seconds) {
                    (State::Down(since, Some(seconds)), Some(Press::ResetIn(seconds)))
                } else {
                    (self.0, None)
                }
            }
            State::Ready(since) if now.saturating_sub(since) >= STUCK => {
                (State::Spent, Some(Press::ResetOff))
            }
            State::Armed(since) if now.saturating_sub(since) > CONFIRM => {
                (State::Up, Some(Press::ResetOff))
            }
            State::Up | State::Ready(_) | State::Armed(_) | State::Spent => (self.0, None),
        };
        self.0 = next;
        press
    }

    /// When to [`tick`](Self::tick) next, if nothing happens.
    pub fn wake(&self, now: Duration) -> Option<Duration> {
        match self.0 {
            State::Up | State::Spent => None,
            State::Down(since, _) => {
                let held = now.saturating_sub(since);
                Some(since + SIGN_OUT.max(Duration::from_secs(held.as_secs() + 1)))
            }
            State::Ready(since) => Some(since + STUCK),
            State::Armed(since) => Some(since + CONFIRM + Duration::from_millis(1)),
        }
    }
}

impl Default for Button {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays edges at these milliseconds, beginning with down, and ticks when it asks for it.
    fn play(edges: &[u64], end: u64) -> Vec<(u64, Press)> {
        let mut button = Button::new();
        let mut presses = Vec::new();
        let mut now = Duration::ZERO;
        let mut is_down = false;
        for &at in edges.iter().chain([&end]) {
            let at = Duration::from_millis(at);
            while let Some(wake) = button.wake(now).filter(|wake| *wake <= at) {
                now = wake;
                presses.extend(button.tick(now).map(|press| (now.as_millis() as u64, press)));
            }
            now = at;
            if at < Duration::from_millis(end) {
                is_down = !is_down;
                let press = button.edge(is_down, now);
                presses.extend(press.map(|press| (now.as_millis() as u64, press)));
            }
        }
        presses
    }

    fn countdown(from: u64) -> Vec<(u64, Press)> {
        (0..10)
            .map(|second| (from + 5000 + second * 1000, Press::ResetIn(10 - second as u8)))
            .collect()
    }

    #[test]
    fn a_short_press_is_one_and_a_bounce_or_a_long_one_is_none() {
        assert_eq!(play(&[0, 200], 60_000), [(200, Press::Short)]);
        assert_eq!(play(&[0, 5, 10, 200], 60_000), [(200, Press::Short)]);
        assert_eq!(play(&[0, 3000], 60_000), []);
    }

    #[test]
    fn five_seconds_sign_out_when_it_is_let_go() {
        let [sign_out] = play(&[0, 5000], 60_000)[1..] else { panic!("one") };
        assert_eq!(sign_out, (5000, Press::SignOut));
        assert_eq!(play(&[0, 14_999], 60_000).last(), Some(&(14_999, Press::SignOut)));
    }

    #[test]
    fn a_reset_takes_fifteen_seconds_and_a_last_press() {
        let mut held = countdown(0);
        held.push((15_000, Press::ResetConfirm));
        let with = |press| held.iter().copied().chain([press]).collect::<Vec<_>>();
        assert_eq!(play(&[0, 16_000, 18_000], 60_000), with((18_000, Press::Reset)));
        assert_eq!(play(&[0, 16_000], 60_000), with((26_001, Press::ResetOff)));
        // The contacts bounce while it is let go.
        assert_eq!(play(&[0, 16_000, 16_005], 20_000), held);
    }

    #[test]
    fn something_that_lies_on_the_button_asks_for_nothing() {
        let stuck = play(&[0, 61_000, 62_000, 62_100], 90_000);
        assert_eq!(
            stuck[10..],
            [(15_000, Press::ResetConfirm), (60_000, Press::ResetOff), (62_100, Press::Short)]
        );
        let mut button = Button::new();
        assert_eq!(button.edge(false, Duration::from_secs(100)), None);
        assert_eq!(button.edge(true, Duration::from_secs(101)), None);
        assert_eq!(button.edge(false, Duration::from_secs(102)), Some(Press::Short));
    }
}
