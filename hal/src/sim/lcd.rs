//! A character LCD: an HD44780U behind a PCF8574, as backpacks wire it.
//!
//! Checked, by the data sheet HD44780U (Hitachi, ADE-207-272(Z), '99.9):
//! - the waits after power-on and between the first three function sets (figure 24, initializing by
//!   instruction with a 4-bit interface);
//! - no instruction before the last one is done (table 6), by the slowest oscillator that may
//!   be sold (190 kHz, clock characteristics), as nothing reads the busy flag;
//! - RS and R/W stand before E rises, data before it falls (timing characteristics, figure 25):
//!   what one byte changes on the expander changes in no order.
//!
//! An expander is made for 100 kbit/s (PCF8574, NXP, dynamic characteristics). Faster bytes are
//! passed on, as all that are sold do, and the busy times hold all the same.
//!
//! Not modelled: reading, and shifts of the display.

use std::time::Duration;

use super::{Chip, I2cChip, Log};

const RS: u8 = 0x01;
const READ: u8 = 0x02;
const E: u8 = 0x04;
const BACKLIGHT: u8 = 0x08;

const BUSY: &str = "waits until an instruction is done (HD44780U, table 6)";
const POWER_ON: &str = "waits 40 ms after power-on (HD44780U, figure 24)";
const FIRST_SETS: &str =
    "waits 4.1 ms, then 100 us between the first function sets (HD44780U, figure 24)";
const SELECT_SET_UP: &str = "sets RS and R/W before E rises (HD44780U, figure 25)";
const DATA_SET_UP: &str = "sets data before E falls (HD44780U, figure 25)";

/// Times of table 6 are for 270 kHz.
fn slowest(micros: u64) -> Duration {
    Duration::from_micros(micros * 270).div_f64(190.0)
}

/// The LCD. See the module for what it checks.
#[derive(Debug)]
pub struct CharacterLcd {
    columns: u8,
    rows: u8,
    /// The expander's outputs.
    port: u8,
    memory: [u8; 128],
    /// The first half of an instruction, with RS.
    half: Option<u8>,
    four_bits: bool,
    two_lines: bool,
    on: bool,
    backwards: bool,
    /// Eight characters of eight rows that the driver makes.
    generator: [u8; 64],
    /// Where data go.
    at: At,
    busy_until: Duration,
    /// E rose before that.
    is_deaf: bool,
    why_busy: &'static str,
    /// Falls of E since power-on.
    pulses: u8,
}

impl CharacterLcd {
    /// An LCD of so many characters in a row and rows: two, or four of 20.
    pub fn new(columns: u8, rows: u8) -> Self {
        Self {
            columns,
            rows,
            port: 0xFF,
            memory: [0x20; 128],
            half: None,
            four_bits: false,
            two_lines: false,
            on: false,
            backwards: false,
            generator: [0; 64],
            at: At::Display(0),
            busy_until: Duration::ZERO,
            is_deaf: false,
            why_busy: BUSY,
            pulses: 0,
        }
    }

    /// What stands there, row by row, as ROM code A00 draws it; spaces while the display is off.
    pub fn text(&self) -> Vec<String> {
        let lit = |row: u8| self.on && (self.two_lines || row.is_multiple_of(2));
        let glyph = |row: u8, column: u8| {
            let at = start_of(row, self.columns) + column;
            if lit(row) { glyph(self.memory[usize::from(at)]) } else { ' ' }
        };
        (0..self.rows).map(|row| (0..self.columns).map(|at| glyph(row, at)).collect()).collect()
    }

    /// A character that the driver made, row by row; the lowest of five bits is at the right. In
    /// [`text`](Self::text) they are U+E000 to U+E007.
    pub fn made(&self, slot: u8) -> &[u8] {
        &self.generator[usize::from(slot & 7) * 8..][..8]
    }

    /// Whether the light behind the characters is on.
    pub fn is_backlit(&self) -> bool {
        self.port & BACKLIGHT != 0
    }

    /// E has fallen with these outputs.
    fn latch(&mut self, port: u8, log: &mut Log) {
        self.pulses = self.pulses.saturating_add(1);
        let first = match self.pulses {
            1 => Duration::from_micros(4100),
            2 => Duration::from_micros(100),
            _ => Duration::ZERO,
        };
        let nibble = port & 0xF0;
        let byte = match (self.four_bits, self.half.take()) {
            // The lower four inputs are not connected.
            (false, _) => Some(nibble),
            (true, None) => {
                self.half = Some(nibble);
                None
            }
            (true, Some(high)) => Some(high | nibble >> 4),
        };
        let busy = byte.map_or(Duration::ZERO, |byte| {
            if port & RS == 0 { self.instruct(byte) } else { self.write_data(byte) }
        });
        self.busy_until = log.now() + busy.max(first);
        self.why_busy = if first > busy { FIRST_SETS } else { BUSY };
    }

    /// How long it is busy with an instruction.
    fn instruct(&mut self, byte: u8) -> Duration {
        let mut busy = slowest(37);
        match byte {
            0x80.. => self.at = At::Display(byte & 0x7F),
            0x40.. => self.at = At::Generator(byte & 0x3F),
            0x20.. => {
                self.four_bits = byte & 0x10 == 0;
                self.two_lines = byte & 0x08 != 0;
            }
            // Shifts.
            0x10.. => {}
            0x08.. => self.on = byte & 0x04 != 0,
            0x04.. => self.backwards = byte & 0x02 == 0,
            0x02.. => {
                self.at = At::Display(0);
                busy = slowest(1520);
            }
            _ => {
                self.memory = [0x20; 128];
                self.at = At::Display(0);
                self.backwards = false;
                busy = slowest(1520);
            }
        }
        busy
    }

    fn write_data(&mut self, byte: u8) -> Duration {
        match self.at {
            At::Generator(at) => {
                self.generator[usize::from(at & 0x3F)] = byte;
                self.at = At::Generator(at.wrapping_add(1) & 0x3F);
            }
            At::Display(at) => {
                self.memory[usize::from(at & 0x7F)] = byte;
                self.at = At::Display(match (at, self.backwards) {
                    (0x27, false) => 0x40,
                    (0x67, false) => 0,
                    (_, false) => at.wrapping_add(1) & 0x7F,
                    (0x40, true) => 0x27,
                    (0, true) => 0x67,
                    (_, true) => at - 1,
                });
            }
        }
        // And 4 us until the address has moved on (table 6, t_ADD).
        slowest(37 + 4)
    }
}

/// Where data go.
#[derive(Clone, Copy, Debug)]
enum At {
    Display(u8),
    Generator(u8),
}

/// Address of the first character of a row.
fn start_of(row: u8, columns: u8) -> u8 {
    (row % 2) * 0x40 + row / 2 * columns
}

/// ROM code A00 (HD44780U, table 4).
fn glyph(code: u8) -> char {
    match code {
        0x00..=0x0F => char::from_u32(0xE000 + u32::from(code & 7)).unwrap_or('?'),
        0x5C => '¥',
        0x7E => '→',
        0x7F => '←',
        0x20..=0x7D => char::from(code),
        // Katakana stand as in JIS X 0201.
        0xA1..=0xDF => char::from_u32(0xFF61 + u32::from(code) - 0xA1).unwrap_or('?'),
        0xE1 => 'ä',
        0xE2 => 'ß',
        0xEF => 'ö',
        0xF5 => 'ü',
        0xFF => '█',
        _ => '?',
    }
}

impl Chip for CharacterLcd {
    fn power_on(&mut self, log: &mut Log) {
        *self = Self::new(self.columns, self.rows);
        // The reset by itself needs a clean rise of power (table "power supply
        // conditions using internal reset circuit"), which nobody promises.
        self.memory.fill_with(|| log.random());
        self.generator.fill_with(|| log.random());
        self.four_bits = log.random().is_multiple_of(2);
        self.half = (log.random().is_multiple_of(2)).then_some(0x30).filter(|_| self.four_bits);
        self.busy_until = log.now() + Duration::from_millis(40);
        self.why_busy = POWER_ON;
    }
}

impl I2cChip for CharacterLcd {
    fn start(&mut self, _log: &mut Log) {}

    fn write(&mut self, port: u8, log: &mut Log) -> bool {
        let (old, changed) = (self.port, self.port ^ port);
        self.port = port;
        if changed & port & E != 0 && port & READ == 0 {
            if changed & (RS | READ) != 0 {
                log.breach(SELECT_SET_UP);
            }
            self.is_deaf = log.now() < self.busy_until;
            if self.is_deaf {
                log.breach(self.why_busy);
            }
        }
        // An expander begins with all lines high: that is no more than a read.
        if changed & old & E != 0 && old & READ == 0 {
            if changed & (0xF0 | RS | READ) != 0 {
                log.breach(DATA_SET_UP);
            }
            if !self.is_deaf {
                self.latch(old, log);
            }
        }
        true
    }
}
