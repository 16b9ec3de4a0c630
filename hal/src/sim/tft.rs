//! Colour panels on SPI: ST7789V and ST7735S.
//!
//! Checked, by the data sheets ST7789V (Sitronix, V1.3) and ST7735S (Sitronix, V1.4):
//! - nothing is sent for 5 ms after a software reset or the end of a hardware one, or for 5 ms
//!   after sleep in or out, and sleep is not left sooner than 120 ms after a reset
//!   (both: SWRESET 01h, SLPIN 10h, SLPOUT 11h, and "reset timing");
//! - pixels have the format that was set (COLMOD 3Ah), windows lie inside the memory (CASET 2Ah,
//!   RASET 2Bh);
//! - the display shows nothing while asleep or switched off (SLPOUT 11h, DISPON 29h).
//!
//! Commands from B0h on adjust voltages and the like; they are taken and do nothing. Not
//! modelled: scrolling, partial and idle modes, the tearing line, gamma.

use std::time::Duration;

use super::{Chip, Log, SpiChip};
use crate::screen::Bitmap;

const TOO_SOON: &str = "waits 5 ms after a reset, sleep in or sleep out (ST7789V, 01h, 10h, 11h)";
const WAKES_TOO_SOON: &str =
    "leaves sleep 120 ms after a reset at the soonest (ST7789V, reset timing)";
const WINDOW: &str = "keeps windows inside the memory (ST7789V, 2Ah, 2Bh)";
const FORMAT: &str = "sets 16 bits a pixel before it writes any (ST7789V, 3Ah)";
const UNKNOWN: &str = "sends commands of the data sheet only (ST7789V, command table 1)";

/// Which controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TftKind {
    /// Memory of 240 by 320.
    St7789,
    /// Memory of 132 by 162.
    St7735,
}

/// A panel as its controller drives it. See the module for what is checked.
#[derive(Debug)]
pub struct Tft {
    kind: TftKind,
    size: (u16, u16),
    /// Where the glass begins in the memory.
    offset: (u16, u16),
    /// The glass shows the complement of its memory unless told to invert (IPS).
    inverts: bool,
    memory: Vec<u16>,
    command: u8,
    arguments: Vec<u8>,
    awake: bool,
    on: bool,
    inverted: bool,
    sixteen_bits: bool,
    orientation: u8,
    columns: (u16, u16),
    rows: (u16, u16),
    at: (u16, u16),
    blanks: u32,
    quiet_until: Duration,
    asleep_until: Duration,
}

impl Tft {
    /// A panel of `size` pixels whose first stands at `offset` of the memory. `inverts` as the
    /// glasses called IPS do.
    pub fn new(kind: TftKind, size: (u16, u16), offset: (u16, u16), inverts: bool) -> Self {
        let (across, down) = memory_of(kind);
        Self {
            kind,
            size,
            offset,
            inverts,
            memory: vec![0; usize::from(across) * usize::from(down)],
            command: 0,
            arguments: Vec::new(),
            awake: false,
            on: false,
            inverted: false,
            sixteen_bits: false,
            orientation: 0,
            columns: (0, across - 1),
            rows: (0, down - 1),
            at: (0, 0),
            blanks: 0,
            quiet_until: Duration::ZERO,
            asleep_until: Duration::ZERO,
        }
    }

    /// The colour that a pixel shows (RGB 5-6-5); `None` while nothing is shown.
    pub fn colour(&self, x: u16, y: u16) -> Option<u16> {
        let (across, _) = memory_of(self.kind);
        let at =
            usize::from(y + self.offset.1) * usize::from(across) + usize::from(x + self.offset.0);
        let colour = self.memory.get(at).copied()?;
        let shown = if self.inverts == self.inverted { colour } else { !colour };
        (self.awake && self.on).then_some(shown)
    }

    /// What is dark there, as ink; without ink while nothing is shown.
    pub fn picture(&self) -> Bitmap {
        let mut picture = Bitmap::new(self.size.0, self.size.1);
        for y in 0..self.size.1 {
            for x in 0..self.size.0 {
                // Green tells enough of black and white.
                let is_dark = self.colour(x, y).is_some_and(|colour| colour >> 5 & 0x3F < 0x20);
                picture.set(x, y, is_dark);
            }
        }
        picture
    }

    /// Whether it shows anything at all.
    pub fn is_on(&self) -> bool {
        self.awake && self.on
    }

    /// How often it was reset, put to sleep or switched off.
    pub fn blanks(&self) -> u32 {
        self.blanks
    }

    fn restart(&mut self, log: &Log) {
        let memory = std::mem::take(&mut self.memory);
        let blanks = self.blanks + 1;
        *self =
            Self { memory, blanks, ..Self::new(self.kind, self.size, self.offset, self.inverts) };
        self.quiet_until = log.now() + Duration::from_millis(5);
        self.asleep_until = log.now() + Duration::from_millis(120);
    }

    /// Takes the arguments of a window once all are there.
    fn window(&mut self, is_columns: bool, log: &mut Log) {
        let &[first_high, first_low, last_high, last_low] = &self.arguments[..] else { return };
        let first = u16::from_be_bytes([first_high, first_low]);
        let last = u16::from_be_bytes([last_high, last_low]);
        let (across, down) = self.turned();
        let most = if is_columns { across } else { down };
        if first > last || last >= most {
            log.breach(WINDOW);
            return;
        }
        *(if is_columns { &mut self.columns } else { &mut self.rows }) = (first, last);
    }

    /// Columns and rows of the memory as addressed: bit 5 of 36h exchanges them.
    fn turned(&self) -> (u16, u16) {
        let (across, down) = memory_of(self.kind);
        if self.orientation & 0x20 != 0 { (down, across) } else { (across, down) }
    }

    fn pixel(&mut self, log: &mut Log) {
        let &[high, low] = &self.arguments[..] else { return };
        self.arguments.clear();
        if !self.sixteen_bits {
            log.breach(FORMAT);
        }
        let (across, down) = memory_of(self.kind);
        let (mut x, mut y) = self.at;
        if self.orientation & 0x20 != 0 {
            (x, y) = (y, x);
        }
        if self.orientation & 0x40 != 0 {
            x = across - 1 - x;
        }
        if self.orientation & 0x80 != 0 {
            y = down - 1 - y;
        }
        let at = usize::from(y) * usize::from(across) + usize::from(x);
        if let Some(cell) = self.memory.get_mut(at) {
            *cell = u16::from_be_bytes([high, low]);
        }
        let (x, y) = self.at;
        self.at = match (x == self.columns.1, y == self.rows.1) {
            (false, _) => (x + 1, y),
            (true, false) => (self.columns.0, y + 1),
            (true, true) => (self.columns.0, self.rows.0),
        };
    }
}

fn memory_of(kind: TftKind) -> (u16, u16) {
    match kind {
        TftKind::St7789 => (240, 320),
        TftKind::St7735 => (132, 162),
    }
}

impl Chip for Tft {
    fn power_on(&mut self, log: &mut Log) {
        self.restart(log);
        for cell in &mut self.memory {
            *cell = u16::from_be_bytes([log.random(), log.random()]);
        }
    }
}

impl SpiChip for Tft {
    fn command(&mut self, byte: u8, log: &mut Log) {
        self.command = byte;
        self.arguments.clear();
        if log.now() < self.quiet_until {
            log.breach(TOO_SOON);
            return;
        }
        match byte {
            0x01 => self.restart(log),
            0x10 | 0x11 => {
                if byte == 0x11 && log.now() < self.asleep_until {
                    log.breach(WAKES_TOO_SOON);
                }
                self.awake = byte == 0x11;
                self.blanks += u32::from(!self.awake);
                self.quiet_until = log.now() + Duration::from_millis(5);
            }
            0x20 | 0x21 => self.inverted = byte == 0x21,
            0x28 | 0x29 => {
                self.on = byte == 0x29;
                self.blanks += u32::from(!self.on);
            }
            0x2C => self.at = (self.columns.0, self.rows.0),
            0x00 | 0x13 | 0x26 | 0x2A | 0x2B | 0x33..=0x3A | 0x3C | 0xB0.. => {}
            _ => log.breach(UNKNOWN),
        }
    }

    fn data(&mut self, byte: u8, log: &mut Log) {
        self.arguments.push(byte);
        match self.command {
            0x2A | 0x2B => self.window(self.command == 0x2A, log),
            0x2C | 0x3C => self.pixel(log),
            0x36 => self.orientation = byte,
            0x3A => self.sixteen_bits = byte & 7 == 5,
            _ => {}
        }
    }

    fn reset(&mut self, log: &mut Log) {
        self.restart(log);
    }
}
