//! Single lines (GPIO).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use gpiocdev::Request;
use gpiocdev::line::Value;
use gpiocdev::request::Builder;

use super::{BusError, Through, probe};
use crate::panel::PanelError;

/// How the log of the kernel and `gpioinfo` name who holds a line.
const CONSUMER: &str = "signpost";

/// A line by its name in the configuration: chip and number as in `gpiochip0:25`, or the name that
/// the board gives it, as in `GPIO25` (`gpioinfo` lists both).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineName {
    /// Number of the chip and of the line on it.
    Number(u8, u32),
    /// As the device tree has it; on a Raspberry Pi `GPIO` and the number.
    Name(String),
}

impl LineName {
    /// Chip and line, looked up by the kernel's interface.
    fn place(&self) -> Result<(PathBuf, u32), PanelError> {
        match self {
            Self::Number(chip, line) => Ok((format!("/dev/gpiochip{chip}").into(), *line)),
            Self::Name(name) => {
                probe(Path::new("/dev/gpiochip0"))?;
                let found = gpiocdev::find_named_line(name).ok_or_else(|| {
                    PanelError::new(format!("finds no line called {name}: gpioinfo lists them"))
                })?;
                Ok((found.chip, found.info.offset))
            }
        }
    }

    /// Whether it is there and may be used. Takes it from nobody.
    ///
    /// # Errors
    /// There is no such line or chip, or this user may not use it.
    pub fn reach(&self) -> Result<(), PanelError> {
        let (chip, _) = self.place()?;
        probe(&chip)
    }

    /// A request for it to the kernel.
    pub(in crate::panel) fn request(&self) -> Result<Builder, PanelError> {
        let (chip, line) = self.place()?;
        probe(&chip)?;
        let mut request = Request::builder();
        request.on_chip(chip).with_consumer(CONSUMER).with_line(line);
        Ok(request)
    }

    /// That it could not be had.
    pub(in crate::panel) fn not_taken(&self, error: &dyn fmt::Display) -> PanelError {
        PanelError::new(format!("cannot take line {self}: {error}"))
    }

    /// The number that a Raspberry Pi knows it by.
    #[cfg(feature = "rppal")]
    fn on_pi(&self) -> Result<u8, PanelError> {
        let number = match self {
            Self::Number(0, line) => u8::try_from(*line).ok(),
            Self::Number(..) => None,
            Self::Name(name) => name.strip_prefix("GPIO").and_then(|number| number.parse().ok()),
        };
        number.ok_or_else(|| {
            PanelError::new(format!("finds no line {self} on a Raspberry Pi: write GPIO25"))
        })
    }
}

impl FromStr for LineName {
    type Err = PanelError;

    fn from_str(text: &str) -> Result<Self, PanelError> {
        let wrong = || PanelError::new("needs a line such as gpiochip0:25 or GPIO25");
        match text.split_once(':') {
            Some((chip, line)) => {
                let chip = chip.strip_prefix("gpiochip").and_then(|number| number.parse().ok());
                let (chip, line) = chip.zip(line.parse().ok()).ok_or_else(wrong)?;
                Ok(Self::Number(chip, line))
            }
            None if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) => {
                Ok(Self::Name(text.to_owned()))
            }
            None => Err(wrong()),
        }
    }
}

impl fmt::Display for LineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(chip, line) => write!(f, "gpiochip{chip}:{line}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A line that this program drives. It goes back to what the board makes of it when dropped.
pub struct Output(Driven);

enum Driven {
    Linux(Request),
    #[cfg(feature = "rppal")]
    RaspberryPi(rppal::gpio::OutputPin),
}

/// A line that this program reads.
pub struct Input(Read);

enum Read {
    Linux(Request),
    #[cfg(feature = "rppal")]
    RaspberryPi(rppal::gpio::InputPin),
}

impl Output {
    /// Takes the line called `name` and sets it `high` or low.
    ///
    /// # Errors
    /// There is no such line, somebody else has it, or this user may not use it.
    pub fn open(name: &LineName, through: Through, high: bool) -> Result<Self, PanelError> {
        through.check()?;
        match through {
            Through::Linux => {
                let request = name.request()?.as_output(value(high)).request();
                Ok(Self(Driven::Linux(request.map_err(|error| name.not_taken(&error))?)))
            }
            #[cfg(feature = "rppal")]
            Through::RaspberryPi => {
                let pin = pi(name)?;
                let pin = if high { pin.into_output_high() } else { pin.into_output_low() };
                Ok(Self(Driven::RaspberryPi(pin)))
            }
            #[cfg(not(feature = "rppal"))]
            Through::RaspberryPi => Err(name.not_taken(&"rppal is not built in")),
        }
    }
}

impl Input {
    /// Takes the line called `name`.
    ///
    /// # Errors
    /// As for [`Output::open`].
    pub fn open(name: &LineName, through: Through) -> Result<Self, PanelError> {
        through.check()?;
        match through {
            Through::Linux => {
                let request = name.request()?.as_input().request();
                Ok(Self(Read::Linux(request.map_err(|error| name.not_taken(&error))?)))
            }
            #[cfg(feature = "rppal")]
            Through::RaspberryPi => Ok(Self(Read::RaspberryPi(pi(name)?.into_input()))),
            #[cfg(not(feature = "rppal"))]
            Through::RaspberryPi => Err(name.not_taken(&"rppal is not built in")),
        }
    }
}

#[cfg(feature = "rppal")]
fn pi(name: &LineName) -> Result<rppal::gpio::Pin, PanelError> {
    let number = name.on_pi()?;
    let taken = rppal::gpio::Gpio::new().and_then(|gpio| gpio.get(number));
    taken.map_err(|error| {
        if let rppal::gpio::Error::PermissionDenied(_) = error {
            // It tries /dev/mem last, which is root's, and names that.
            let denied = std::io::ErrorKind::PermissionDenied.into();
            return super::advice::cannot_open(Path::new("/dev/gpiomem"), &denied);
        }
        name.not_taken(&error)
    })
}

fn value(high: bool) -> Value {
    if high { Value::Active } else { Value::Inactive }
}

/// A line with a lamp or buzzer that is on while the line is low, or high.
#[derive(Debug)]
pub struct Switch<O> {
    /// The line.
    pub line: O,
    /// Whether it is on while the line is low.
    pub active_low: bool,
}

impl<O: ErrorType> ErrorType for Switch<O> {
    type Error = O::Error;
}

impl<O: OutputPin> OutputPin for Switch<O> {
    fn set_low(&mut self) -> Result<(), O::Error> {
        self.line.set_state(self.active_low.into())
    }

    fn set_high(&mut self) -> Result<(), O::Error> {
        self.line.set_state((!self.active_low).into())
    }
}

impl ErrorType for Output {
    type Error = BusError;
}

impl OutputPin for Output {
    fn set_low(&mut self) -> Result<(), BusError> {
        self.set(false)
    }

    fn set_high(&mut self) -> Result<(), BusError> {
        self.set(true)
    }
}

impl Output {
    fn set(&mut self, high: bool) -> Result<(), BusError> {
        match &mut self.0 {
            Driven::Linux(request) => request
                .set_lone_value(value(high))
                .map_err(|error| BusError::other(format!("cannot set its line: {error}"))),
            #[cfg(feature = "rppal")]
            Driven::RaspberryPi(pin) => {
                pin.write(high.into());
                Ok(())
            }
        }
    }
}

impl ErrorType for Input {
    type Error = BusError;
}

impl InputPin for Input {
    fn is_high(&mut self) -> Result<bool, BusError> {
        match &mut self.0 {
            Read::Linux(request) => request
                .lone_value()
                .map(|value| value == Value::Active)
                .map_err(|error| BusError::other(format!("cannot read its line: {error}"))),
            #[cfg(feature = "rppal")]
            Read::RaspberryPi(pin) => Ok(rppal::gpio::InputPin::is_high(pin)),
        }
    }

    fn is_low(&mut self) -> Result<bool, BusError> {
        self.is_high().map(|high| !high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_lines_are_chip_and_number_or_the_board_s_own() {
        assert_eq!("gpiochip0:25".parse::<LineName>().unwrap(), LineName::Number(0, 25));
        assert_eq!("GPIO25".parse::<LineName>().unwrap(), LineName::Name("GPIO25".to_owned()));
        for text in ["", "chip0:1", "gpiochip0:", "gpiochip:1", "two words"] {
            assert!(text.parse::<LineName>().is_err(), "{text}");
        }
    }
}
