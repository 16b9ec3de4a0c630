//! Buses and lines of a board, as the configuration names them.
//!
//! Each is opened once for a panel and belongs to its thread; the kernel takes turns between
//! several panels on one bus. What they are is [`embedded_hal`], so that a driver neither knows
//! which library reaches the board nor whether there is a board.

mod fault;
mod i2c;
mod line;
mod spi;

use std::fmt;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;

use super::button::{Contact, EdgeLine};
use super::{PanelError, advice};

pub use fault::BusError;
pub use i2c::I2cBus;
pub use line::{Input, LineName, Output, Switch};
pub use spi::SpiBus;

/// Where the wires of panels, lamps and buttons lead: a real board by [`Through`], or an emulated
/// one. Each bus and line is opened for whoever asks and is theirs.
pub trait Board {
    /// An I2C bus.
    type I2c: I2c + Send + 'static;
    /// A device on an SPI bus.
    type Spi: SpiDevice + Send + 'static;
    /// A line that is driven.
    type Output: OutputPin + Send + 'static;
    /// A line that is read.
    type Input: InputPin + Send + 'static;
    /// How a driver waits.
    type Delay: DelayNs + Send + 'static;

    /// Opens an I2C bus. Touches no device on it.
    ///
    /// # Errors
    /// There is no such bus, or this user may not use it; with advice. So for the others.
    fn i2c(&self, name: BusName) -> Result<Self::I2c, PanelError>;

    /// Opens an SPI bus for a device that takes at most `hertz` bits a second.
    ///
    /// # Errors
    /// As for [`i2c`](Self::i2c).
    fn spi(&self, name: BusName, hertz: u32) -> Result<Self::Spi, PanelError>;

    /// Takes a line and sets it `high` or low.
    ///
    /// # Errors
    /// As for [`i2c`](Self::i2c).
    fn output(&self, name: &LineName, high: bool) -> Result<Self::Output, PanelError>;

    /// Takes a line to read.
    ///
    /// # Errors
    /// As for [`i2c`](Self::i2c).
    fn input(&self, name: &LineName) -> Result<Self::Input, PanelError>;

    /// Takes a line that a button hangs at; `active_low`: pressing pulls it low.
    ///
    /// # Errors
    /// As for [`i2c`](Self::i2c).
    fn contact(&self, name: &LineName, active_low: bool) -> Result<Box<dyn Contact>, PanelError>;

    /// What a driver waits by.
    fn delay(&self) -> Self::Delay;
}

impl Board for Through {
    type I2c = I2cBus;
    type Spi = SpiBus;
    type Output = Output;
    type Input = Input;
    type Delay = Pause;

    fn i2c(&self, name: BusName) -> Result<I2cBus, PanelError> {
        I2cBus::open(name, *self)
    }

    fn spi(&self, name: BusName, hertz: u32) -> Result<SpiBus, PanelError> {
        SpiBus::open(name, *self, hertz)
    }

    fn output(&self, name: &LineName, high: bool) -> Result<Output, PanelError> {
        Output::open(name, *self, high)
    }

    fn input(&self, name: &LineName) -> Result<Input, PanelError> {
        Input::open(name, *self)
    }

    /// By the kernel either way: only it tells of edges, and stamps and steadies them.
    fn contact(&self, name: &LineName, active_low: bool) -> Result<Box<dyn Contact>, PanelError> {
        Ok(Box::new(EdgeLine::open(name, active_low)?))
    }

    fn delay(&self) -> Pause {
        Pause
    }
}

/// Which library reaches the pins of the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Through {
    /// The kernel's own interfaces: any board.
    #[default]
    Linux,
    /// rppal: a Raspberry Pi only, with faster lines.
    RaspberryPi,
}

impl Through {
    /// Whether this board can be reached so.
    ///
    /// # Errors
    /// This is no Raspberry Pi that rppal knows, or it is not built in.
    pub fn check(self) -> Result<(), PanelError> {
        match self {
            Self::Linux => Ok(()),
            #[cfg(feature = "rppal")]
            Self::RaspberryPi => rppal::system::DeviceInfo::new()
                .map(drop)
                .map_err(|_| PanelError::new("is no Raspberry Pi that rppal knows: use linux")),
            #[cfg(not(feature = "rppal"))]
            Self::RaspberryPi => {
                Err(PanelError::new("reaches no board through rppal in this build: use linux"))
            }
        }
    }
}

/// A bus by its name in the configuration: `i2c-1`, or bus and chip select as in `spi-0.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusName {
    /// Number of the bus.
    I2c(u8),
    /// Number of the bus and of its chip select.
    Spi(u8, u8),
}

impl BusName {
    /// Its device node.
    pub fn node(self) -> PathBuf {
        match self {
            Self::I2c(bus) => format!("/dev/i2c-{bus}").into(),
            Self::Spi(bus, select) => format!("/dev/spidev{bus}.{select}").into(),
        }
    }

    /// The group that may use it on Debian and Raspberry Pi OS.
    pub fn group(self) -> &'static str {
        match self {
            Self::I2c(_) => "i2c",
            Self::Spi(..) => "spi",
        }
    }
}

impl BusName {
    /// Refuses a bus of the other kind.
    pub(crate) fn must_be_i2c(self) -> Result<u8, PanelError> {
        match self {
            Self::I2c(bus) => Ok(bus),
            Self::Spi(..) => {
                Err(PanelError::new(format!("needs an I2C bus such as i2c-1, not {self}")))
            }
        }
    }

    /// As [`must_be_i2c`](Self::must_be_i2c); bus and chip select.
    pub(crate) fn must_be_spi(self) -> Result<(u8, u8), PanelError> {
        match self {
            Self::Spi(bus, select) => Ok((bus, select)),
            Self::I2c(_) => {
                Err(PanelError::new(format!("needs an SPI bus such as spi-0.0, not {self}")))
            }
        }
    }
}

impl FromStr for BusName {
    type Err = PanelError;

    fn from_str(text: &str) -> Result<Self, PanelError> {
        let number = |digits: &str| {
            let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        let name = match text.split_once('-') {
            Some(("i2c", bus)) => number(bus).map(Self::I2c),
            Some(("spi", numbers)) => numbers
                .split_once('.')
                .and_then(|(bus, select)| Some(Self::Spi(number(bus)?, number(select)?))),
            _ => None,
        };
        name.ok_or_else(|| PanelError::new("needs a bus such as i2c-1 or spi-0.0"))
    }
}

impl fmt::Display for BusName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I2c(bus) => write!(f, "i2c-{bus}"),
            Self::Spi(bus, select) => write!(f, "spi-{bus}.{select}"),
        }
    }
}

/// Waits on the panel's own thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pause;

impl DelayNs for Pause {
    #[expect(clippy::disallowed_methods, reason = "a panel's thread waits for its panel only")]
    fn delay_ns(&mut self, ns: u32) {
        std::thread::sleep(Duration::from_nanos(ns.into()));
    }
}

/// Whether there is something at `path`. A pipe is not opened: somebody may read from it.
pub(super) fn find(path: &Path) -> Result<(), PanelError> {
    let found = std::fs::metadata(path);
    found.map(drop).map_err(|error| advice::cannot_open(path, &error))
}

/// Opens a device node and lets go of it: libraries tell less of why they could not.
pub(super) fn probe(node: &Path) -> Result<(), PanelError> {
    let opened = OpenOptions::new().read(true).write(true).open(node);
    opened.map(drop).map_err(|error| advice::cannot_open(node, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_buses_are_those_of_the_configuration() {
        for (text, node) in [("i2c-1", "/dev/i2c-1"), ("spi-0.10", "/dev/spidev0.10")] {
            let name: BusName = text.parse().unwrap();
            assert_eq!((name.to_string().as_str(), name.node().as_path()), (text, Path::new(node)));
        }
        for text in ["", "i2c", "i2c-", "i2c-+1", "i2c-256", "spi-0", "spi-0.", "uart-1", "i2c-1 "]
        {
            assert!(text.parse::<BusName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bus_that_is_not_there_is_named_with_what_loads_it() {
        let missing = |error: PanelError| {
            let error = error.to_string();
            assert!(!error.contains('\n'), "{error}");
            error
        };
        let error = missing(I2cBus::open(BusName::I2c(250), Through::Linux).map(drop).unwrap_err());
        assert!(error.contains("/dev/i2c-250 does not exist"), "{error}");
        assert!(error.contains("i2c-dev"), "{error}");
        let open = SpiBus::open(BusName::Spi(250, 0), Through::Linux, 1_000_000);
        let error = missing(open.map(drop).unwrap_err());
        assert!(error.contains("/dev/spidev250.0 does not exist"), "{error}");
        let line = LineName::from_str("gpiochip250:3").unwrap();
        let error = missing(Output::open(&line, Through::Linux, false).map(drop).unwrap_err());
        assert!(error.contains("/dev/gpiochip250 does not exist"), "{error}");
    }

    #[test]
    fn a_bus_of_the_other_kind_is_refused() {
        let error = I2cBus::open(BusName::Spi(0, 0), Through::Linux).map(drop).unwrap_err();
        assert_eq!(error.to_string(), "needs an I2C bus such as i2c-1, not spi-0.0");
        let error = SpiBus::open(BusName::I2c(1), Through::Linux, 1).map(drop).unwrap_err();
        assert_eq!(error.to_string(), "needs an SPI bus such as spi-0.0, not i2c-1");
    }

    /// On a Raspberry Pi this has nothing to show.
    #[test]
    fn elsewhere_than_on_a_raspberry_pi_rppal_is_refused_with_advice() {
        let model = std::fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
        if !model.starts_with("Raspberry Pi") {
            let error = I2cBus::open(BusName::I2c(1), Through::RaspberryPi).map(drop).unwrap_err();
            assert!(error.to_string().ends_with("use linux"), "{error}");
        }
    }
}
