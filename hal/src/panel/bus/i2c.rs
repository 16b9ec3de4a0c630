//! I2C.

use std::io;

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use linux_embedded_hal::I2cdev;
use linux_embedded_hal::i2cdev::linux::LinuxI2CError;

use super::{BusError, BusName, Through, probe};
use crate::panel::PanelError;

/// An I2C bus of the board.
pub struct I2cBus {
    name: BusName,
    inner: Inner,
}

enum Inner {
    Linux(I2cdev),
    #[cfg(feature = "rppal")]
    RaspberryPi(rppal::i2c::I2c),
}

impl I2cBus {
    /// Opens the bus called `name`. Touches no device on it.
    ///
    /// # Errors
    /// The name is that of another kind of bus, the bus does not exist, or this user may not use it.
    pub fn open(name: BusName, through: Through) -> Result<Self, PanelError> {
        through.check()?;
        let _number = name.must_be_i2c()?;
        probe(&name.node())?;
        let failed = |error: &dyn std::fmt::Display| {
            PanelError::new(format!("cannot open {}: {error}", name.node().display()))
        };
        let inner = match through {
            Through::Linux => Inner::Linux(I2cdev::new(name.node()).map_err(|e| failed(&e))?),
            #[cfg(feature = "rppal")]
            Through::RaspberryPi => {
                Inner::RaspberryPi(rppal::i2c::I2c::with_bus(_number).map_err(|e| failed(&e))?)
            }
            #[cfg(not(feature = "rppal"))]
            Through::RaspberryPi => return Err(failed(&"rppal is not built in")),
        };
        Ok(Self { name, inner })
    }
}

impl ErrorType for I2cBus {
    type Error = BusError;
}

impl I2c for I2cBus {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), BusError> {
        let done = match &mut self.inner {
            Inner::Linux(bus) => {
                I2c::<u8>::transaction(bus, address, operations).map_err(|error| {
                    match error.inner() {
                        LinuxI2CError::Errno(code) => io::Error::from_raw_os_error(*code),
                        LinuxI2CError::Io(error) => again(error),
                    }
                })
            }
            #[cfg(feature = "rppal")]
            Inner::RaspberryPi(bus) => bus.transaction(address, operations).map_err(|error| {
                if let rppal::i2c::Error::Io(error) = error {
                    error
                } else {
                    io::Error::other(error)
                }
            }),
        };
        done.map_err(|error| BusError::i2c(self.name, address, &error))
    }
}

/// The same error once more: `io::Error` has no `Clone`.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::other(error.to_string()),
    }
}
