//! `[lamp.*]`, `[button.*]`, `[buzzer]`, `[quiet]`, `[support]`: what the board has beside panels, and
//! how it behaves towards people.

use std::borrow::Cow;

use signpost_hal::panel::bus::LineName;

use super::reading::{Scalar, decimal, section, whole};
use super::resolve::Resolve;
use super::value::{AbsPath, HttpUrl, Name, Text};

impl Scalar for LineName {
    fn allowed() -> Cow<'static, str> {
        "a GPIO line such as \"gpiochip0:17\" or \"GPIO17\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        // No board has longer names; gpioinfo shows them.
        let parsed = text.parse::<Self>().ok().filter(|_| text.len() <= 64);
        parsed
            .filter(|line| !matches!(line, Self::Name(name) if decimal::<u32>(name).is_some()))
            .ok_or("")
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

section! {
    /// `[lamp.NAME]` or `[buzzer]` as written.
    pub(super) struct OutputKeys {
        enabled: bool = true,
        line: Option<LineName>,
        active_low: bool,
    }
}

/// A lamp or the buzzer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Where it hangs.
    pub line: LineName,
    /// Whether a low level switches it on.
    pub active_low: bool,
}

impl OutputKeys {
    pub(super) fn resolve(self, key: &str, at: &mut Resolve<'_>) -> Option<Output> {
        let advice = format!("name {}", LineName::allowed());
        let line = self.line.or_else(|| at.missing(&format!("{key}.line"), &advice))?;
        Some(Output { line, active_low: self.active_low })
    }
}

section! {
    /// `[button.NAME]` as written.
    pub(super) struct ButtonKeys {
        enabled: bool = true,
        line: Option<LineName>,
        active_low: Option<bool>,
        input: Option<AbsPath>,
        code: Option<KeyCode>,
    }
}

whole! {
    /// A key of an input device (linux/input-event-codes.h).
    pub struct KeyCode(u16), 1..=767
}

/// A button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Button {
    /// At a GPIO line.
    Line {
        /// Where it hangs.
        line: LineName,
        /// Whether pressing pulls the line low.
        active_low: bool,
    },
    /// A key of an input device; any key where none is named.
    Input {
        /// /dev/input/eventN or a link to it.
        device: AbsPath,
        /// Which key.
        code: Option<KeyCode>,
    },
}

impl ButtonKeys {
    pub(super) fn resolve(self, name: &Name, at: &mut Resolve<'_>) -> Option<Button> {
        let unused = match (&self.line, &self.input) {
            (Some(_), None) if self.code.is_some() => Some(("code", "a GPIO line has no keys")),
            (None, Some(_)) if self.active_low.is_some() => {
                Some(("active_low", "an input device knows how its keys are wired"))
            }
            _ => None,
        };
        if let Some((key, why)) = unused {
            at.ignored(&format!("button.{name}.{key}"), format!("{why}; remove it"));
        }
        match (self.line, self.input) {
            (Some(line), None) => {
                Some(Button::Line { line, active_low: self.active_low.unwrap_or(true) })
            }
            (None, Some(device)) => Some(Button::Input { device, code: self.code }),
            (None, None) => at.missing(
                &format!("button.{name}.line"),
                "name a GPIO line (line = \"gpiochip0:17\") or an input device (input = \"/dev/input/event0\")",
            ),
            (Some(_), Some(_)) => {
                at.wrong(&format!("button.{name}.line"), "found line and input; keep one of them")
            }
        }
    }
}

/// A time of day, local.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

impl Scalar for TimeOfDay {
    fn allowed() -> Cow<'static, str> {
        "a time of day such as \"22:00\"".into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let two = |digits: &str, below: u8| {
            let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|value| plain && *value < below).ok_or("")
        };
        let (hour, minute) = text.split_once(':').ok_or("")?;
        Ok(Self { hour: two(hour, 24)?, minute: two(minute, 60)? })
    }

    fn text(&self) -> String {
        format!("{:02}:{:02}", self.hour, self.minute)
    }
}

section! {
    /// `[quiet]` as written.
    pub(super) struct QuietKeys {
        from: Option<TimeOfDay>,
        to: Option<TimeOfDay>,
    }
}

/// The hours in which lamps and panels are dark; they may go past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Dark from here on.
    pub from: TimeOfDay,
    /// Light again.
    pub to: TimeOfDay,
}

impl QuietKeys {
    pub(super) fn resolve(self, at: &mut Resolve<'_>) -> Option<Quiet> {
        match (self.from, self.to) {
            (None, None) => None,
            (Some(from), Some(to)) if from != to => Some(Quiet { from, to }),
            (Some(_), Some(_)) => at.wrong(
                "quiet.to",
                "found the same time as quiet.from; lamps would never light or never be dark",
            ),
            (None, Some(_)) => at.missing("quiet.from", "quiet.to alone says nothing"),
            (Some(_), None) => at.missing("quiet.to", "quiet.from alone says nothing"),
        }
    }
}

section! {
    /// `[support]`: whom to ask; shown with faults.
    pub struct Support {
        /// Who helps.
        name: Option<Text>,
        /// A page.
        url: Option<HttpUrl>,
        /// A number to call.
        phone: Option<Text>,
    }
}
