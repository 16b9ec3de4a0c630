//! A simulated SPI bus of one device, and the single lines that go with it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use embedded_hal::digital::{self, InputPin, OutputPin};
use embedded_hal::spi::{self, Operation, SpiDevice};

use super::{Chip, Log, Meter, Part, Time};

const SHORTEST_RESET: Duration = Duration::from_micros(10);

/// A part with a four-wire SPI port: chip select, clock, data in, and whether that is a command.
pub trait SpiChip: Chip {
    /// A byte with its data/command line low.
    fn command(&mut self, byte: u8, log: &mut Log);

    /// A byte with its data/command line high.
    fn data(&mut self, byte: u8, log: &mut Log);

    /// Its reset line goes high again, having been low.
    fn reset(&mut self, log: &mut Log);

    /// Its busy line.
    fn is_busy(&self, _log: &Log) -> bool {
        false
    }
}

/// A bus to one part. A part that is unplugged takes bytes as ever: nothing tells.
pub struct SpiWire<T> {
    time: Time,
    hertz: u32,
    meter: Meter,
    part: Part<T>,
    is_data: Arc<AtomicBool>,
}

impl<T: SpiChip> SpiWire<T> {
    /// A bus of `hertz` bits a second to `part`.
    pub fn new(time: &Time, hertz: u32, part: &Part<T>) -> Self {
        Self::sharing(time, hertz, part, &Arc::default())
    }

    /// The same whose line for data or command others hold as well.
    pub(super) fn sharing(
        time: &Time,
        hertz: u32,
        part: &Part<T>,
        is_data: &Arc<AtomicBool>,
    ) -> Self {
        let (part, is_data) = (part.clone(), Arc::clone(is_data));
        Self { time: time.clone(), hertz, meter: Meter::default(), part, is_data }
    }

    /// What counts its bytes.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// The line that tells data from commands.
    pub fn data_line(&self) -> SpiLine<T> {
        SpiLine::Data(Arc::clone(&self.is_data))
    }

    /// The line that resets the part while low.
    pub fn reset_line(&self) -> SpiLine<T> {
        SpiLine::Reset { part: self.part.clone(), low_since: None }
    }

    /// The line by which the part says that it is busy, high.
    pub fn busy_line(&self) -> SpiLine<T> {
        SpiLine::Busy(self.part.clone())
    }
}

impl<T> spi::ErrorType for SpiWire<T> {
    type Error = Infallible;
}

impl<T: SpiChip> SpiDevice for SpiWire<T> {
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), Infallible> {
        self.meter.transaction();
        for operation in operations {
            match operation {
                Operation::Write(bytes) => {
                    for &byte in *bytes {
                        self.meter.byte();
                        self.time.pass_bits(8, self.hertz);
                        if !self.part.is_plugged() {
                            continue;
                        }
                        let is_data = self.is_data.load(Ordering::SeqCst);
                        self.part.with(|chip, log| {
                            if is_data { chip.data(byte, log) } else { chip.command(byte, log) }
                        });
                    }
                }
                Operation::DelayNs(nanos) => {
                    self.time.pass(Duration::from_nanos((*nanos).into()));
                }
                // Panels of this kind are not read.
                Operation::Read(bytes) | Operation::TransferInPlace(bytes) => bytes.fill(0),
                Operation::Transfer(bytes, _) => bytes.fill(0),
            }
        }
        Ok(())
    }
}

/// A line beside the bus.
pub enum SpiLine<T> {
    /// High for data.
    Data(Arc<AtomicBool>),
    /// Low for 10 us resets; shorter pulses may be taken for noise (ST7789V, reset timing).
    Reset {
        /// Whose it is.
        part: Part<T>,
        /// Since when it is low.
        low_since: Option<Duration>,
    },
    /// High while busy.
    Busy(Part<T>),
}

impl<T> digital::ErrorType for SpiLine<T> {
    type Error = Infallible;
}

impl<T: SpiChip> OutputPin for SpiLine<T> {
    fn set_low(&mut self) -> Result<(), Infallible> {
        match self {
            Self::Data(is_data) => is_data.store(false, Ordering::SeqCst),
            Self::Reset { part, low_since } => *low_since = Some(part.with(|_, log| log.now())),
            Self::Busy(_) => {}
        }
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        match self {
            Self::Data(is_data) => is_data.store(true, Ordering::SeqCst),
            Self::Reset { part, low_since } => {
                let low_since = low_since.take();
                part.with(|chip, log| {
                    if low_since.is_some_and(|since| log.now() - since >= SHORTEST_RESET) {
                        chip.reset(log);
                    }
                });
            }
            Self::Busy(_) => {}
        }
        Ok(())
    }
}

impl<T: SpiChip> InputPin for SpiLine<T> {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(match self {
            Self::Data(is_data) => is_data.load(Ordering::SeqCst),
            Self::Reset { low_since, .. } => low_since.is_none(),
            // An open line is pulled low.
            Self::Busy(part) => part.is_plugged() && part.with(|chip, log| chip.is_busy(log)),
        })
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|high| !high)
    }
}
