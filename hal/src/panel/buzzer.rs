//! A buzzer on a line, as a panel: a chirp for a code, two when somebody has signed in, and silence
//! unless somebody is at the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use embedded_hal::digital::OutputPin;

use super::{Panel, PanelError};
use crate::screen::Screen;

/// A chirp, and the silence after it.
const CHIRP: (Duration, Duration) = (Duration::from_millis(80), Duration::from_millis(170));
/// How long after a press somebody is taken to be there.
const NEAR: Duration = Duration::from_secs(600);

/// How often the buzzer chirps when `screen` follows `before`; `pressed` says how long ago a
/// button was pressed, if ever.
pub fn chirps(before: Option<&Screen>, screen: &Screen, pressed: Option<Duration>) -> u8 {
    if pressed.is_none_or(|ago| ago > NEAR) {
        return 0;
    }
    match (before, screen) {
        // Another code in place of one that ran out is no news.
        (Some(Screen::SignIn(_) | Screen::Renewing), Screen::SignIn(_)) => 0,
        (Some(Screen::SignedIn { .. }), Screen::SignedIn { .. }) => 0,
        (Some(Screen::NewOwner { .. }), Screen::NewOwner { .. }) => 0,
        (_, Screen::SignIn(_)) => 1,
        (_, Screen::SignedIn { .. } | Screen::NewOwner { .. }) => 2,
        _ => 0,
    }
}

/// When a button was last pressed. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct LastPress(Arc<AtomicU64>);

impl LastPress {
    /// A button was pressed at `now`.
    pub fn set(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.0.store(millis.max(1), Ordering::Relaxed);
    }

    /// How long ago that was, if ever.
    pub fn ago(&self, now: Duration) -> Option<Duration> {
        let millis = self.0.load(Ordering::Relaxed);
        (millis > 0).then(|| now.saturating_sub(Duration::from_millis(millis)))
    }
}

/// A buzzer that sounds while its line is high.
#[derive(Debug)]
pub struct Buzzer<O> {
    line: O,
    pressed: LastPress,
    heard: Option<Screen>,
    /// Since when it chirps, and how often.
    chirps: (Duration, u8),
}

impl<O: OutputPin> Buzzer<O> {
    /// A buzzer on `line` that may sound after a button was pressed.
    pub fn new(line: O, pressed: LastPress) -> Self {
        Self { line, pressed, heard: None, chirps: (Duration::ZERO, 0) }
    }

    fn set(&mut self, is_loud: bool) -> Result<(), PanelError> {
        self.line.set_state(is_loud.into()).map_err(PanelError::of_bus)
    }
}

impl<O: OutputPin + Send> Panel for Buzzer<O> {
    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError> {
        if self.heard.as_ref() != Some(screen) {
            let count = chirps(self.heard.as_ref(), screen, self.pressed.ago(now));
            self.chirps = (now, count);
            self.heard = Some(screen.clone());
        }
        let (began, count) = self.chirps;
        let mut end = began;
        for _ in 0..count {
            end += CHIRP.0;
            if now < end {
                self.set(true)?;
                return Ok(Some(end - now));
            }
            end += CHIRP.1;
            if now < end {
                self.set(false)?;
                return Ok(Some(end - now));
            }
        }
        self.set(false)?;
        Ok(None)
    }

    fn clear(&mut self) -> Result<(), PanelError> {
        self.set(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::SignIn;
    use embedded_hal::digital::ErrorType;
    use std::convert::Infallible;

    #[derive(Default)]
    struct Line {
        is_high: bool,
        rises: u32,
    }

    impl ErrorType for Line {
        type Error = Infallible;
    }

    impl OutputPin for Line {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.is_high = false;
            Ok(())
        }

        fn set_high(&mut self) -> Result<(), Infallible> {
            self.rises += u32::from(!self.is_high);
            self.is_high = true;
            Ok(())
        }
    }

    fn code(code: &str) -> Screen {
        Screen::SignIn(SignIn {
            user_code: code.to_owned(),
            verification_uri: String::new(),
            verification_uri_complete: None,
            expires: Duration::ZERO,
        })
    }

    /// How often it chirps while these are shown, so long after a press.
    fn heard(screens: &[Screen], pressed: Option<u64>) -> u32 {
        let last = LastPress::default();
        let mut now = Duration::from_secs(1000);
        if let Some(ago) = pressed {
            last.set(now - Duration::from_secs(ago));
        }
        let mut buzzer = Buzzer::new(Line::default(), last);
        for screen in screens {
            while let Some(after) = buzzer.show(screen, now).unwrap() {
                now += after;
            }
            assert!(!buzzer.line.is_high);
        }
        buzzer.line.rises
    }

    #[test]
    fn a_code_is_one_chirp_and_a_sign_in_two_while_somebody_is_there() {
        let signed_in = Screen::SignedIn { account: None };
        let whole = [code("A"), code("A"), Screen::Renewing, code("B"), signed_in];
        assert_eq!(heard(&whole, Some(0)), 3);
        assert_eq!(heard(&whole, Some(599)), 3);
        assert_eq!(heard(&whole, Some(601)), 0);
        assert_eq!(heard(&whole, None), 0);
        assert_eq!(heard(&[Screen::NoNetwork, Screen::Online], Some(0)), 0);
    }
}
