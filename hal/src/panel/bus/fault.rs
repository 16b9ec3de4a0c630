//! Why a bus does not work, in one line with advice.

use std::fmt;
use std::io;

use embedded_hal::i2c::NoAcknowledgeSource;
use embedded_hal::{digital, i2c, spi};
use rustix::io::Errno;

use crate::panel::PanelError;

/// An error of a bus or line. `Debug` is the sentence that a person reads: drivers pass no more on.
#[derive(Clone, PartialEq, Eq)]
pub struct BusError {
    kind: i2c::ErrorKind,
    sentence: String,
}

impl BusError {
    /// What `error` means of a device at `address` on the I2C bus `bus`
    /// (Linux, Documentation/i2c/fault-codes.rst).
    pub(super) fn i2c(bus: impl fmt::Display, address: u8, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let (kind, sentence) = match errno {
            // Both are in use for a missing acknowledge: it depends on the controller.
            Some(Errno::NXIO | Errno::REMOTEIO | Errno::NODEV) => (
                i2c::ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown),
                format!(
                    "gets no answer at address {address:#04x} on {bus}: check power, wires and address"
                ),
            ),
            Some(Errno::BUSY) => (
                i2c::ErrorKind::Bus,
                format!(
                    "cannot use address {address:#04x} on {bus}: a driver of the kernel has it"
                ),
            ),
            Some(Errno::AGAIN) => (
                i2c::ErrorKind::ArbitrationLoss,
                format!("lost {bus} to another master: is there a second one?"),
            ),
            Some(Errno::TIMEDOUT) => (
                i2c::ErrorKind::Bus,
                format!("waits for {bus} in vain: a wire is shorted or a device holds the bus"),
            ),
            _ => (i2c::ErrorKind::Other, format!("cannot use {bus}: {error}")),
        };
        Self { kind, sentence }
    }

    pub(super) fn other(sentence: String) -> Self {
        Self { kind: i2c::ErrorKind::Other, sentence }
    }
}

impl fmt::Debug for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for BusError {}

impl i2c::Error for BusError {
    fn kind(&self) -> i2c::ErrorKind {
        self.kind
    }
}

impl spi::Error for BusError {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

impl digital::Error for BusError {
    fn kind(&self) -> digital::ErrorKind {
        digital::ErrorKind::Other
    }
}

impl PanelError {
    /// The error of a bus, or of a driver that passes one on.
    pub fn of_bus(error: impl fmt::Debug) -> Self {
        Self::new(format!("{error:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal::i2c::Error as _;

    fn errno(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn both_codes_of_a_missing_acknowledge_ask_for_wires_and_address() {
        for code in [Errno::NXIO, Errno::REMOTEIO] {
            let error = BusError::i2c("i2c-1", 0x27, &errno(code));
            assert!(matches!(error.kind(), i2c::ErrorKind::NoAcknowledge(_)));
            let sentence =
                "gets no answer at address 0x27 on i2c-1: check power, wires and address";
            assert_eq!(PanelError::of_bus(&error), PanelError::new(sentence));
        }
        let error = BusError::i2c("i2c-1", 0x27, &errno(Errno::TIMEDOUT));
        assert!(error.to_string().contains("holds the bus"));
    }
}
