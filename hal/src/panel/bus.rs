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

use super::{PanelError, advice};

pub use fault::BusError;
pub use i2c::I2cBus;
pub use line::{Input, LineName, Output};
pub use spi::SpiBus;

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

/// Opens a device node and lets go of it: libraries tell less of why they could not.
fn probe(node: &Path) -> Result<(), PanelError> {
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
