//! Black-and-white e-paper with an SSD1680 or SSD1681, as WeAct and Waveshare sell it.
//!
//! Checked, by the data sheets SSD1680 (Solomon Systech, rev. 0.14) and SSD1681 (rev. 0.13):
//! - nothing is sent while the busy line is high (pin description of BUSY): after a reset (12h and
//!   the line, 10 ms here) and during an update (20h: 2 s for a whole one, 0.3 s for a quick one);
//! - only a hardware reset ends deep sleep (10h);
//! - windows and counters lie inside the memory (44h, 45h, 4Eh, 4Fh), and the driver output
//!   control has the lines of the glass (01h);
//! - only commands that exist (command table).
//!
//! A whole update (22h with bit 3 clear, display mode 1) shows the black-and-white memory. A quick
//! one (bit 3 set, mode 2) moves only pixels that differ from what the other memory says was there.

use std::time::Duration;

use super::{Chip, Log, SpiChip};
use crate::screen::Bitmap;

const BUSY: &str = "sends nothing while BUSY is high (SSD1680, pin description)";
const ASLEEP: &str = "ends deep sleep by a hardware reset (SSD1680, 10h)";
const WINDOW: &str = "keeps window and counters inside the memory (SSD1680, 44h, 45h, 4Eh, 4Fh)";
const LINES: &str = "sets the lines of the glass (SSD1680, 01h)";
const UNKNOWN: &str = "sends commands of the data sheet only (SSD1680, command table)";

/// A panel as its controller drives it. See the module for what is checked.
#[derive(Debug)]
pub struct EpaperPanel {
    width: u16,
    height: u16,
    /// Black-and-white, and what a quick update takes for old. White is 1.
    memories: [Vec<u8>; 2],
    /// What a person sees, which no power is needed for.
    shown: Bitmap,
    updates: (u32, u32),
    command: u8,
    arguments: Vec<u8>,
    lines: u16,
    how: u8,
    entry: u8,
    window: [(u16, u16); 2],
    at: (u16, u16),
    asleep: bool,
    busy_until: Duration,
}

impl EpaperPanel {
    /// A panel of `width` columns, which the controller holds eight to a byte, and `height` rows.
    pub fn new(width: u16, height: u16) -> Self {
        let bytes = usize::from(width.div_ceil(8)) * usize::from(height);
        Self {
            width,
            height,
            memories: [vec![0xFF; bytes], vec![0xFF; bytes]],
            shown: Bitmap::new(width, height),
            updates: (0, 0),
            command: 0,
            arguments: Vec::new(),
            lines: 296,
            how: 0xFF,
            entry: 3,
            window: [(0, width.div_ceil(8) - 1), (0, height - 1)],
            at: (0, 0),
            asleep: false,
            busy_until: Duration::ZERO,
        }
    }

    /// What is black on it.
    pub fn picture(&self) -> Bitmap {
        self.shown.clone()
    }

    /// How often it was updated as a whole, and quickly.
    pub fn updates(&self) -> (u32, u32) {
        self.updates
    }

    /// Whether it sleeps.
    pub fn is_asleep(&self) -> bool {
        self.asleep
    }

    fn restart(&mut self, log: &Log) {
        let Self { width, height, updates, .. } = *self;
        let memories = std::mem::take(&mut self.memories);
        let shown = self.shown.clone();
        *self = Self { memories, shown, updates, ..Self::new(width, height) };
        self.busy_until = log.now() + Duration::from_millis(10);
    }

    fn update(&mut self, log: &mut Log) {
        if self.lines != self.height {
            log.breach(LINES);
        }
        let is_quick = self.how & 0x08 != 0;
        let took = if is_quick { 300 } else { 2000 };
        self.busy_until = log.now() + Duration::from_millis(took);
        *(if is_quick { &mut self.updates.1 } else { &mut self.updates.0 }) += 1;
        let stride = usize::from(self.width.div_ceil(8));
        for y in 0..self.height {
            for x in 0..self.width {
                let at = usize::from(y) * stride + usize::from(x / 8);
                let is_black = |memory: &[u8]| memory[at] & 0x80 >> (x % 8) == 0;
                let (new, old) = (is_black(&self.memories[0]), is_black(&self.memories[1]));
                if !is_quick || new != old {
                    self.shown.set(x, y, new);
                }
            }
        }
    }

    fn write(&mut self, memory: usize, byte: u8) {
        let stride = usize::from(self.width.div_ceil(8));
        let at = usize::from(self.at.1) * stride + usize::from(self.at.0);
        if let Some(cell) = self.memories[memory].get_mut(at) {
            *cell = byte;
        }
        let [columns, rows] = self.window;
        let (x, y) = self.at;
        self.at = match (x == columns.1, y == rows.1) {
            (false, _) => (x + 1, y),
            (true, false) => (columns.0, y + 1),
            (true, true) => (columns.0, rows.0),
        };
    }

    /// Takes what a command sets, once all of it is there.
    fn set(&mut self, log: &mut Log) {
        let bytes = self.width.div_ceil(8);
        match (self.command, &self.arguments[..]) {
            (0x01, &[low, high, _]) => self.lines = u16::from_le_bytes([low, high]) + 1,
            (0x10, &[mode]) => self.asleep = mode != 0,
            (0x11, &[entry]) => self.entry = entry,
            (0x22, &[how]) => self.how = how,
            (0x44, &[first, last]) => self.window[0] = (first.into(), last.into()),
            (0x45, &[first, first_high, last, last_high]) => {
                let first = u16::from_le_bytes([first, first_high]);
                self.window[1] = (first, u16::from_le_bytes([last, last_high]));
            }
            (0x4E, &[x]) => self.at.0 = x.into(),
            (0x4F, &[low, high]) => self.at.1 = u16::from_le_bytes([low, high]),
            _ => return,
        }
        let [columns, rows] = self.window;
        let inside = columns.0 <= columns.1
            && columns.1 < bytes
            && rows.0 <= rows.1
            && rows.1 < self.height
            && self.at.0 < bytes
            && self.at.1 < self.height;
        if !inside {
            log.breach(WINDOW);
        }
    }
}

impl Chip for EpaperPanel {
    fn power_on(&mut self, log: &mut Log) {
        self.restart(log);
        for memory in &mut self.memories {
            memory.fill_with(|| log.random());
        }
    }
}

impl SpiChip for EpaperPanel {
    fn command(&mut self, byte: u8, log: &mut Log) {
        self.command = byte;
        self.arguments.clear();
        if self.asleep {
            log.breach(ASLEEP);
            return;
        }
        if self.is_busy(log) {
            log.breach(BUSY);
            return;
        }
        match byte {
            0x12 => self.restart(log),
            0x20 => self.update(log),
            0x01
            | 0x03
            | 0x04
            | 0x08..=0x0A
            | 0x0C
            | 0x10
            | 0x11
            | 0x14
            | 0x15
            | 0x18
            | 0x1A
            | 0x1B
            | 0x1C
            | 0x21
            | 0x22
            | 0x24..=0x2D
            | 0x2F..=0x39
            | 0x3C
            | 0x3F
            | 0x41
            | 0x44..=0x47
            | 0x4E
            | 0x4F
            | 0x7F => {}
            _ => log.breach(UNKNOWN),
        }
    }

    fn data(&mut self, byte: u8, log: &mut Log) {
        if self.asleep || self.is_busy(log) {
            return;
        }
        match self.command {
            0x24 => self.write(0, byte),
            0x26 => self.write(1, byte),
            _ => {
                self.arguments.push(byte);
                self.set(log);
            }
        }
    }

    fn reset(&mut self, log: &mut Log) {
        self.restart(log);
    }

    fn is_busy(&self, log: &Log) -> bool {
        log.now() < self.busy_until
    }
}
