//! SPI.

use std::fmt::Display;

use embedded_hal::spi::{ErrorType, Operation, SpiDevice};
use linux_embedded_hal::SpidevDevice;
use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};

use super::{BusError, BusName, Through, probe};
use crate::panel::PanelError;

/// A device on an SPI bus of the board, behind its chip select; mode 0, eight bits.
///
/// The kernel takes 4096 bytes in a transaction unless `spidev.bufsiz` says otherwise.
pub struct SpiBus {
    name: BusName,
    inner: Inner,
}

enum Inner {
    Linux(SpidevDevice),
    #[cfg(feature = "rppal")]
    RaspberryPi(rppal::spi::SimpleHalSpiDevice),
}

impl SpiBus {
    /// Opens the bus called `name`, for at most `hertz` bits a second.
    ///
    /// # Errors
    /// The name is that of another kind of bus, the bus does not exist, this user may not use it,
    /// or it does not take that speed.
    pub fn open(name: BusName, through: Through, hertz: u32) -> Result<Self, PanelError> {
        through.check()?;
        let (_bus, _select) = name.must_be_spi()?;
        probe(&name.node())?;
        let failed = |error: &dyn Display| {
            PanelError::new(format!("cannot open {}: {error}", name.node().display()))
        };
        let inner = match through {
            Through::Linux => {
                let mut device = SpidevDevice::open(name.node()).map_err(|e| failed(&e))?;
                let options = SpidevOptions::new()
                    .bits_per_word(8)
                    .max_speed_hz(hertz)
                    .mode(SpiModeFlags::SPI_MODE_0)
                    .build();
                device.0.configure(&options).map_err(|e| failed(&e))?;
                Inner::Linux(device)
            }
            #[cfg(feature = "rppal")]
            Through::RaspberryPi => {
                let unknown = || PanelError::new(format!("finds no {name} on a Raspberry Pi"));
                let bus = pi::bus(_bus).ok_or_else(unknown)?;
                let select = pi::select(_select).ok_or_else(unknown)?;
                let spi = rppal::spi::Spi::new(bus, select, hertz, rppal::spi::Mode::Mode0);
                Inner::RaspberryPi(rppal::spi::SimpleHalSpiDevice::new(
                    spi.map_err(|e| failed(&e))?,
                ))
            }
            #[cfg(not(feature = "rppal"))]
            Through::RaspberryPi => return Err(failed(&"rppal is not built in")),
        };
        Ok(Self { name, inner })
    }
}

impl ErrorType for SpiBus {
    type Error = BusError;
}

impl SpiDevice for SpiBus {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        let name = self.name;
        let failed = |error: &dyn Display| BusError::other(format!("cannot use {name}: {error}"));
        match &mut self.inner {
            Inner::Linux(device) => device.transaction(operations).map_err(|e| failed(&e)),
            #[cfg(feature = "rppal")]
            Inner::RaspberryPi(device) => device.transaction(operations).map_err(|e| failed(&e)),
        }
    }
}

#[cfg(feature = "rppal")]
mod pi {
    use rppal::spi::{Bus, SlaveSelect};

    pub(super) fn bus(number: u8) -> Option<Bus> {
        let all = [Bus::Spi0, Bus::Spi1, Bus::Spi2, Bus::Spi3, Bus::Spi4, Bus::Spi5, Bus::Spi6];
        all.get(usize::from(number)).copied()
    }

    pub(super) fn select(number: u8) -> Option<SlaveSelect> {
        let all = [SlaveSelect::Ss0, SlaveSelect::Ss1, SlaveSelect::Ss2, SlaveSelect::Ss3];
        all.get(usize::from(number)).copied()
    }
}
