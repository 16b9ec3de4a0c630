//! Small OLEDs on I2C: SSD1306 and SH1106.
//!
//! Checked, by the data sheets SSD1306 (Solomon Systech, rev. 1.1, 2008) and SH1106 (Sino Wealth,
//! V2.3):
//! - control bytes have zeros but for Co and D/C# (SSD1306, "I2C-bus write data"; SH1106, the
//!   same);
//! - only commands that exist, with all their arguments (SSD1306, table 9-1; SH1106, "Commands");
//! - on an SSD1306, column commands of the page mode are used in that mode (00h to 1Fh), the
//!   charge pump runs before the display is switched on (application note, command 8Dh), and COM
//!   pins and multiplex ratio are those of the glass (A8h, DAh), else it stays dark or
//!   shows rows in a wrong order.
//!
//! An SH1106 has 132 columns, of which a glass of 128 shows those from 2 on, and knows neither
//! windows nor another mode than pages: a driver for an SSD1306 is acknowledged and shows rubbish.
//! Not modelled: scrolling, fading, contrast.

use super::{Chip, I2cChip, Log};
use crate::screen::Bitmap;

const CONTROL: &str =
    "sends control bytes of zeros but for Co and D/C# (SSD1306, I2C-bus write data)";
const UNKNOWN: &str =
    "sends commands of the data sheet only (SSD1306, table 9-1; SH1106, commands)";
const CUT_SHORT: &str = "sends a command with all its arguments (SSD1306, table 9-1)";
const NOT_PAGES: &str = "sets columns by 00h to 1Fh in page mode only (SSD1306, 00h, 10h)";
const PUMP: &str = "starts the charge pump before the display (SSD1306, application note, 8Dh)";
const GLASS: &str = "sets multiplex ratio and COM pins of the glass (SSD1306, A8h, DAh)";

/// Which controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OledKind {
    /// 128 columns, windows, charge pump to be started.
    Ssd1306,
    /// 132 columns, pages only.
    Sh1106,
}

/// A glass of 128 columns as its controller drives it. See the module for what is checked.
#[derive(Debug)]
pub struct Oled {
    kind: OledKind,
    height: u16,
    memory: [[u8; 132]; 8],
    /// What is under way: a command and its arguments so far.
    pending: Vec<u8>,
    next: Next,
    registers: Registers,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug)]
enum Next {
    Control,
    /// One byte, then a control byte again (Co set).
    One {
        is_data: bool,
    },
    Rest {
        is_data: bool,
    },
}

#[derive(Debug)]
struct Registers {
    on: bool,
    pump: bool,
    inverted: bool,
    all_on: bool,
    /// Columns and rows run against the glass.
    flipped: (bool, bool),
    start_line: u8,
    offset: u8,
    multiplex: u8,
    com_pins: u8,
    /// 0 horizontal, 1 vertical, 2 pages.
    mode: u8,
    columns: (u8, u8),
    pages: (u8, u8),
    at: (u8, u8),
}

/// SSD1306, chapter 9, marked as values after reset.
const AFTER_RESET: Registers = Registers {
    on: false,
    pump: false,
    inverted: false,
    all_on: false,
    flipped: (false, false),
    start_line: 0,
    offset: 0,
    multiplex: 63,
    com_pins: 0x12,
    mode: 2,
    columns: (0, 127),
    pages: (0, 7),
    at: (0, 0),
};

impl Oled {
    /// A glass of 128 columns and 64 or 32 rows, mounted so that what its usual drivers draw (A1h,
    /// C8h) stands upright.
    pub fn new(kind: OledKind, height: u16) -> Self {
        Self {
            kind,
            height,
            memory: [[0; 132]; 8],
            pending: Vec::new(),
            next: Next::Control,
            registers: AFTER_RESET,
        }
    }

    /// What lights up.
    pub fn picture(&self) -> Bitmap {
        let mut picture = Bitmap::new(128, self.height);
        let registers = &self.registers;
        if !registers.on || (self.kind == OledKind::Ssd1306 && !registers.pump) {
            return picture;
        }
        for y in 0..self.height {
            for x in 0..128 {
                let bit = self.segment(x, y);
                picture.set(x, y, registers.all_on || bit != registers.inverted);
            }
        }
        picture
    }

    /// The bit that drives a dot of the glass.
    fn segment(&self, x: u16, y: u16) -> bool {
        let registers = &self.registers;
        let rows = u16::from(registers.multiplex) + 1;
        let y = if registers.flipped.1 { y } else { self.height - 1 - y };
        let y = if self.fits_glass() { y } else { y / 2 + y % 2 * rows.div_ceil(2) };
        if y >= rows {
            return false;
        }
        let line = (y + u16::from(registers.start_line) + u16::from(registers.offset)) % 64;
        let (columns, shown_from) = self.columns();
        let column = x + shown_from;
        let column = if registers.flipped.0 { column } else { columns - 1 - column };
        self.memory[usize::from(line / 8)][usize::from(column)] >> (line % 8) & 1 == 1
    }

    fn fits_glass(&self) -> bool {
        let (multiplex, com_pins) = if self.height == 32 { (31, 0x02) } else { (63, 0x12) };
        (self.registers.multiplex, self.registers.com_pins) == (multiplex, com_pins)
    }

    /// Columns of the memory, and the first that the glass shows.
    fn columns(&self) -> (u16, u16) {
        match self.kind {
            OledKind::Ssd1306 => (128, 0),
            OledKind::Sh1106 => (132, 2),
        }
    }

    /// Takes a byte of a command.
    fn command(&mut self, byte: u8, log: &mut Log) {
        self.pending.push(byte);
        let arguments = self.pending.len() - 1;
        match self.arguments(self.pending[0]) {
            Some(needed) if arguments < needed => {}
            known => {
                let command = std::mem::take(&mut self.pending);
                if known.is_none() {
                    log.breach(UNKNOWN);
                } else {
                    self.execute(&command, log);
                }
            }
        }
    }

    /// How many arguments a command has, if it exists.
    fn arguments(&self, command: u8) -> Option<usize> {
        Some(match (self.kind, command) {
            (_, 0x00..=0x1F | 0x40..=0x7F | 0xA0 | 0xA1 | 0xA4..=0xA7 | 0xAE..=0xB7) => 0,
            (_, 0xC0..=0xCF | 0xE3) => 0,
            (_, 0x81 | 0xA8 | 0xD3 | 0xD5 | 0xD9 | 0xDA | 0xDB) => 1,
            (OledKind::Ssd1306, 0x20 | 0x8D) => 1,
            (OledKind::Ssd1306, 0x21 | 0x22 | 0xA3) => 2,
            (OledKind::Ssd1306, 0x26 | 0x27) => 6,
            (OledKind::Ssd1306, 0x29 | 0x2A) => 5,
            (OledKind::Ssd1306, 0x2E | 0x2F) => 0,
            (OledKind::Sh1106, 0x30..=0x33 | 0xE0 | 0xEE) => 0,
            (OledKind::Sh1106, 0xAD) => 1,
            _ => return None,
        })
    }

    fn execute(&mut self, command: &[u8], log: &mut Log) {
        let registers = &mut self.registers;
        let argument = |at: usize| command.get(at).copied().unwrap_or_default();
        let byte = argument(0);
        match byte {
            0x00..=0x1F => {
                let column = registers.at.0;
                registers.at.0 = match byte {
                    0x00..=0x0F => column & 0xF0 | byte,
                    _ => column & 0x0F | (byte & 0x0F) << 4,
                };
                if registers.mode != 2 {
                    log.breach(NOT_PAGES);
                }
            }
            0x20 => registers.mode = argument(1) & 3,
            0x21 => {
                registers.columns = (argument(1) & 0x7F, argument(2) & 0x7F);
                registers.at.0 = registers.columns.0;
            }
            0x22 => {
                registers.pages = (argument(1) & 7, argument(2) & 7);
                registers.at.1 = registers.pages.0;
            }
            0x40..=0x7F => registers.start_line = byte & 0x3F,
            0x8D => registers.pump = argument(1) & 0x04 != 0,
            0xA0 | 0xA1 => registers.flipped.0 = byte == 0xA1,
            0xA4 | 0xA5 => registers.all_on = byte == 0xA5,
            0xA6 | 0xA7 => registers.inverted = byte == 0xA7,
            0xA8 => registers.multiplex = argument(1) & 0x3F,
            0xAE => registers.on = false,
            0xAF => {
                registers.on = true;
                if self.kind == OledKind::Ssd1306 && !registers.pump {
                    log.breach(PUMP);
                }
                if !self.fits_glass() {
                    log.breach(GLASS);
                }
            }
            0xB0..=0xB7 => registers.at.1 = byte & 7,
            0xC0..=0xCF => registers.flipped.1 = byte & 8 != 0,
            0xD3 => registers.offset = argument(1) & 0x3F,
            0xDA => registers.com_pins = argument(1),
            // Contrast, clocks, voltages, scrolling.
            _ => {}
        }
    }

    fn data(&mut self, byte: u8) {
        let (columns, _) = self.columns();
        let registers = &mut self.registers;
        let (column, page) = registers.at;
        if let Some(cell) = self.memory[usize::from(page & 7)].get_mut(usize::from(column)) {
            *cell = byte;
        }
        let step = |at: u8, (first, last): (u8, u8)| if at == last { first } else { at + 1 };
        registers.at = match (self.kind, registers.mode) {
            (OledKind::Sh1106, _) => ((column + 1).min(columns as u8), page),
            (OledKind::Ssd1306, 0) => {
                let wraps = column == registers.columns.1;
                let page = if wraps { step(page, registers.pages) } else { page };
                (step(column, registers.columns) & 0x7F, page & 7)
            }
            (OledKind::Ssd1306, 1) => {
                let wraps = page == registers.pages.1;
                let column = if wraps { step(column, registers.columns) } else { column };
                (column & 0x7F, step(page, registers.pages) & 7)
            }
            (OledKind::Ssd1306, _) => (step(column, (0, 127)) & 0x7F, page),
        };
    }
}

impl Chip for Oled {
    fn power_on(&mut self, log: &mut Log) {
        *self = Self::new(self.kind, self.height);
        self.memory.as_flattened_mut().fill_with(|| log.random());
    }
}

impl I2cChip for Oled {
    /// Arguments of a command may come in a further transaction.
    fn start(&mut self, _log: &mut Log) {
        self.next = Next::Control;
    }

    fn write(&mut self, byte: u8, log: &mut Log) -> bool {
        let is_data = match self.next {
            Next::Control => {
                if byte & 0x3F != 0 {
                    log.breach(CONTROL);
                }
                let is_data = byte & 0x40 != 0;
                self.next =
                    if byte & 0x80 != 0 { Next::One { is_data } } else { Next::Rest { is_data } };
                return true;
            }
            Next::One { is_data } => {
                self.next = Next::Control;
                is_data
            }
            Next::Rest { is_data } => is_data,
        };
        if is_data {
            if !self.pending.is_empty() {
                self.pending.clear();
                log.breach(CUT_SHORT);
            }
            self.data(byte);
        } else {
            self.command(byte, log);
        }
        true
    }
}
