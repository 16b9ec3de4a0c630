//! A simulated I2C bus (UM10204, section 3.1).

use std::fmt;

use embedded_hal::i2c::{Error, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

use super::{Chip, Log, Meter, Part, Time};

/// A part with an I2C port.
pub trait I2cChip: Chip {
    /// A start with the part's address, to write.
    fn start(&mut self, log: &mut Log);

    /// A byte written to it: whether it acknowledges.
    fn write(&mut self, byte: u8, log: &mut Log) -> bool;

    /// A byte read from it.
    fn read(&mut self, _log: &mut Log) -> u8 {
        0xFF
    }
}

/// What is seen of a part from the bus.
trait Socket: Send {
    fn is_plugged(&self) -> bool;
    fn start(&self);
    fn write(&self, byte: u8) -> bool;
    fn read(&self) -> u8;
}

impl<T: I2cChip> Socket for Part<T> {
    fn is_plugged(&self) -> bool {
        Part::is_plugged(self)
    }

    fn start(&self) {
        self.with(|chip, log| chip.start(log));
    }

    fn write(&self, byte: u8) -> bool {
        self.with(|chip, log| chip.write(byte, log))
    }

    fn read(&self) -> u8 {
        self.with(|chip, log| chip.read(log))
    }
}

/// A bus with parts on it.
pub struct I2cWire {
    time: Time,
    hertz: u32,
    meter: Meter,
    parts: Vec<(u8, Box<dyn Socket>)>,
    /// Bytes until nobody answers any more.
    left: Option<u64>,
}

impl I2cWire {
    /// A bus without parts of `hertz` bits a second.
    pub fn new(time: &Time, hertz: u32) -> Self {
        Self { time: time.clone(), hertz, meter: Meter::default(), parts: Vec::new(), left: None }
    }

    /// The same with `part` at `address`.
    #[must_use]
    pub fn with<T: I2cChip + 'static>(mut self, address: u8, part: &Part<T>) -> Self {
        self.parts.push((address, Box::new(part.clone())));
        self
    }

    /// The same whose wires break after so many bytes.
    #[must_use]
    pub fn failing_after(mut self, bytes: u64) -> Self {
        self.left = Some(bytes);
        self
    }

    /// What counts its bytes.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Eight bits and their acknowledge.
    fn pass_byte(&mut self) -> Result<(), NoAnswer> {
        self.meter.byte();
        self.time.pass_bits(9, self.hertz);
        match &mut self.left {
            Some(0) => Err(NoAnswer),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn part(&self, address: u8) -> Result<&dyn Socket, NoAnswer> {
        let mut parts = self.parts.iter().filter(|(at, part)| *at == address && part.is_plugged());
        parts.next().map(|(_, part)| &**part).ok_or(NoAnswer)
    }
}

/// Nobody acknowledged. `Debug` is a sentence, as that of a real bus: drivers pass no more on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NoAnswer;

impl fmt::Debug for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gets no answer on the emulated bus")
    }
}

impl Error for NoAnswer {
    fn kind(&self) -> ErrorKind {
        ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown)
    }
}

impl ErrorType for I2cWire {
    type Error = NoAnswer;
}

impl I2c for I2cWire {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), NoAnswer> {
        self.meter.transaction();
        for operation in operations {
            self.pass_byte()?;
            match operation {
                Operation::Write(bytes) => {
                    self.part(address)?.start();
                    for &byte in *bytes {
                        self.pass_byte()?;
                        if !self.part(address)?.write(byte) {
                            return Err(NoAnswer);
                        }
                    }
                }
                Operation::Read(bytes) => {
                    for byte in bytes.iter_mut() {
                        self.pass_byte()?;
                        *byte = self.part(address)?.read();
                    }
                }
            }
        }
        // Start and stop are about a bit each.
        self.time.pass_bits(2, self.hertz);
        Ok(())
    }
}
