//! Character LCDs: an HD44780 behind a PCF8574 on I2C.
//!
//! Wired as backpacks are: P0 RS, P1 R/W, P2 E, P3 light, P4 to P7 the upper four data lines.
//! The data sheet is that of the HD44780U (Hitachi, ADE-207-272(Z)).

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use super::{Cells, PanelError};

const RS: u8 = 0x01;
const E: u8 = 0x04;
const LIGHT: u8 = 0x08;

/// Row by row what ROM code A00 has no character for (table 4): reverse solidus and tilde.
const MISSING: [(u8, [u8; 8]); 2] = [
    (b'\\', [0x00, 0x10, 0x08, 0x04, 0x02, 0x01, 0x00, 0x00]),
    (b'~', [0x00, 0x00, 0x08, 0x15, 0x02, 0x00, 0x00, 0x00]),
];

/// The display. A driver of our own: the one at hand neither keeps to the waits of the data sheet
/// nor sends more than one edge at a time, which takes twice the bytes.
#[derive(Debug)]
pub struct Hd44780<I, D> {
    bus: I,
    delay: D,
    address: u8,
    size: (u8, u8),
    /// [`LIGHT`], or nothing.
    light: u8,
}

impl<I: I2c, D: DelayNs> Hd44780<I, D> {
    /// A display at `address` (0x20 to 0x27 or 0x38 to 0x3F, by three solder bridges) of so many
    /// characters in a row and rows: two, or four of up to 20.
    pub fn new(bus: I, delay: D, address: u8, columns: u8, rows: u8) -> Self {
        Self { bus, delay, address, size: (columns.min(40), rows.min(4)), light: LIGHT }
    }

    /// Sends bytes to the register that `select` names. Each takes six on the bus, so that even at
    /// 400 kHz the slowest controller is done with one before the next begins (table 6).
    fn send(&mut self, select: u8, bytes: &[u8]) -> Result<(), PanelError> {
        let mut out = Vec::with_capacity(1 + bytes.len() * 6);
        // Lines stand before E rises (figure 25).
        let fixed = select | self.light;
        out.push(fixed);
        for byte in bytes {
            let (high, low) = (byte & 0xF0 | fixed, byte << 4 | fixed);
            out.extend([high, high | E, high, low | E, low, low]);
        }
        self.bus.write(self.address, &out).map_err(PanelError::of_bus)
    }
}

impl<I: I2c + Send, D: DelayNs + Send> Cells for Hd44780<I, D> {
    fn size(&self) -> (u8, u8) {
        self.size
    }

    /// Initialising by instruction (figure 24), whatever half of an instruction it may wait for.
    fn start(&mut self) -> Result<(), PanelError> {
        self.light = LIGHT;
        self.delay.delay_ms(50);
        for (nibble, micros) in [(0x30, 5000), (0x30, 200), (0x30, 200), (0x20, 200)] {
            let port = nibble | LIGHT;
            let edge = [port, port | E, port];
            self.bus.write(self.address, &edge).map_err(PanelError::of_bus)?;
            self.delay.delay_us(micros);
        }
        // Four bits and two lines; display on, no cursor; to the right.
        self.send(0, &[0x28, 0x0C, 0x06])?;
        for (slot, (_, rows)) in (0..).zip(MISSING) {
            self.send(0, &[0x40 | slot << 3])?;
            self.send(RS, &rows)?;
        }
        Ok(())
    }

    fn write(&mut self, column: u8, row: u8, text: &[u8]) -> Result<(), PanelError> {
        // Rows three and four go on where one and two end.
        let start = (row % 2) * 0x40 + row / 2 * self.size.0;
        self.send(0, &[0x80 | (start + column)])?;
        let code = |byte: &u8| {
            let slot = (0..).zip(MISSING).find(|(_, (missing, _))| missing == byte);
            slot.map_or(*byte, |(slot, _)| slot)
        };
        let codes: Vec<u8> = text.iter().map(code).collect();
        self.send(RS, &codes)
    }
    fn light(&mut self, on: bool) -> Result<(), PanelError> {
        self.light = if on { LIGHT } else { 0 };
        self.bus.write(self.address, &[self.light]).map_err(PanelError::of_bus)
    }
}
