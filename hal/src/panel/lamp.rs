//! A lamp on a line, as a panel: what it says is a pattern of light in time.
//!
//! No state is told by colour, and nothing blinks faster than twice a second.

use std::time::Duration;

use embedded_hal::digital::OutputPin;

use super::{Panel, PanelError};
use crate::screen::Screen;

/// How bright a lamp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Light {
    /// Dark.
    Off,
    /// As little as the lamp can; one that cannot is on.
    Dim,
    /// Bright.
    On,
}

const BLIP: u32 = 250;
/// How long somebody who has just signed in is told so.
const FRESH: Duration = Duration::from_secs(60);

/// How a lamp looks `since` the screen began, and after how long it changes, if ever.
pub fn light(screen: &Screen, since: Duration) -> (Light, Option<Duration>) {
    // Milliseconds on, off, on, off and so on, over and over.
    let blinks = match screen {
        // As slow a breath as a lamp has that is on or off.
        Screen::Starting { .. } => vec![2000, 2000],
        Screen::NoNetwork | Screen::Portal => blips(2, 3000),
        Screen::ClockWrong => blips(3, 3000),
        Screen::SignIn(_) | Screen::Test => vec![1000, 1000],
        Screen::Renewing => vec![200, 3000],
        Screen::Offline { .. } => vec![2750, BLIP],
        Screen::Waiting { .. }
        | Screen::SignInAgain { .. }
        | Screen::Expiring { .. }
        | Screen::Denied { .. }
        | Screen::WrongAccount { .. } => vec![1000, 500, BLIP, 1250],
        Screen::ResetIn { .. } | Screen::ResetConfirm => vec![BLIP, BLIP],
        Screen::Blocked { .. } => faults(1),
        Screen::Fault(fault) => {
            let number = fault.code.trim_start_matches(|c: char| !c.is_ascii_digit());
            faults(number.parse().unwrap_or(1))
        }
        Screen::ResetDone { .. } => return (Light::Off, None),
        Screen::Saving => return (Light::On, None),
        Screen::SignedIn { .. } | Screen::NewOwner { .. } if since < FRESH => {
            return (Light::On, Some(FRESH - since));
        }
        Screen::SignedIn { .. } | Screen::NewOwner { .. } | Screen::Online => {
            return (Light::Dim, None);
        }
    };
    let round: u32 = blinks.iter().sum();
    let at = since.as_nanos() % Duration::from_millis(round.into()).as_nanos();
    let at = Duration::from_nanos(u64::try_from(at).unwrap_or_default());
    let mut end = Duration::ZERO;
    for (light, millis) in [Light::On, Light::Off].into_iter().cycle().zip(blinks) {
        end += Duration::from_millis(millis.into());
        if at < end {
            return (light, Some(end - at));
        }
    }
    (Light::Off, None)
}

/// So many blips at the beginning of each `round`.
fn blips(count: u32, round: u32) -> Vec<u32> {
    let mut blinks = vec![BLIP; count as usize * 2];
    if let Some(last) = blinks.last_mut() {
        *last = round - BLIP * (count * 2 - 1);
    }
    blinks
}

/// So many blinks that they can be counted, and a pause.
fn faults(count: u32) -> Vec<u32> {
    let count = count.clamp(1, 20);
    blips(count, count * 2 * BLIP + 2000 - BLIP)
}

/// A lamp that is on while its line is high.
#[derive(Debug)]
pub struct Lamp<O> {
    line: O,
    shown: Option<(Screen, Duration)>,
}

impl<O: OutputPin> Lamp<O> {
    /// A lamp on `line`.
    pub fn new(line: O) -> Self {
        Self { line, shown: None }
    }
}

impl<O: OutputPin + Send> Panel for Lamp<O> {
    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError> {
        let began = match &self.shown {
            Some((shown, began)) if screen.is_update_of(shown) => *began,
            _ => now,
        };
        self.shown = Some((screen.clone(), began));
        let (light, after) = light(screen, now.saturating_sub(began));
        let set = if light == Light::Off { self.line.set_low() } else { self.line.set_high() };
        set.map_err(PanelError::of_bus)?;
        Ok(after)
    }

    fn clear(&mut self) -> Result<(), PanelError> {
        self.line.set_low().map_err(PanelError::of_bus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::{Fault, SignIn, Start, Support};

    fn fault(code: &str) -> Screen {
        let text = String::new;
        let support = Support::default();
        Screen::Fault(Fault { code: code.to_owned(), title: text(), advice: text(), support })
    }

    /// A character for each quarter of a second.
    fn drawn(screen: &Screen, seconds: u64) -> String {
        let quarters = (0..seconds * 4).map(|quarter| Duration::from_millis(quarter * 250));
        quarters
            .map(|since| match light(screen, since).0 {
                Light::Off => '.',
                Light::Dim => '-',
                Light::On => '#',
            })
            .collect()
    }

    #[test]
    fn patterns_are_those_that_people_were_told() {
        let sign_in = Screen::SignIn(SignIn {
            user_code: String::new(),
            verification_uri: String::new(),
            verification_uri_complete: None,
            expires: Duration::ZERO,
        });
        let version = String::new;
        for (screen, pattern) in [
            (
                Screen::Starting { version: version(), device: version() },
                "########........########",
            ),
            (Screen::NoNetwork, "#.#.........#.#........."),
            (Screen::ClockWrong, "#.#.#.......#.#.#......."),
            (sign_in, "####....####....####...."),
            (Screen::Online, "------------------------"),
            (Screen::Offline { stored: 1 }, "###########.###########."),
            (Screen::Waiting { start: Start::Button, own_name: false }, "####..#.....####..#....."),
            (fault("E2"), "#.#........#.#........#."),
            (fault("?"), "#........#........#....."),
        ] {
            assert_eq!(drawn(&screen, 6), pattern, "{screen:?}");
        }
        assert_eq!(drawn(&fault("E12"), 8)[..24], "#.".repeat(12));
        let signed_in = Screen::SignedIn { account: None };
        assert_eq!(light(&signed_in, Duration::ZERO), (Light::On, Some(FRESH)));
        assert_eq!(light(&signed_in, FRESH), (Light::Dim, None));
        assert_eq!(light(&Screen::Renewing, Duration::from_millis(199)).0, Light::On);
        assert_eq!(light(&Screen::Renewing, Duration::from_millis(200)).0, Light::Off);
    }

    #[test]
    fn nothing_changes_faster_than_twice_a_second_and_each_change_is_told() {
        for screen in [Screen::ResetConfirm, Screen::ClockWrong, fault("E255")] {
            let (mut at, mut last) = (Duration::ZERO, light(&screen, Duration::ZERO).0);
            while at < Duration::from_secs(60) {
                let after = light(&screen, at).1.unwrap();
                assert!(after >= Duration::from_millis(250));
                assert_eq!(light(&screen, at + after - Duration::from_nanos(1)).0, last);
                at += after;
                assert_ne!(light(&screen, at).0, last);
                last = light(&screen, at).0;
            }
        }
    }
}
