//! The panel that `README.md` adds, against an emulator that is as short.

use std::time::Duration;

use signpost_hal::panel::{Panel as _, Pixels, Turn};
use signpost_hal::screen::{Bitmap, Ink, Language, Screen, Surface, layout};
use signpost_hal::sim::{Chip, Log, Part, SpiChip, SpiWire, Time};

use crate::pcd8544::Pcd8544;
use crate::stage::sign_in;

/// The controller, as far as the driver goes.
struct Emulated {
    memory: [[u8; 84]; 6],
    at: (usize, usize),
    extended: bool,
    on: bool,
}

impl Chip for Emulated {
    fn power_on(&mut self, log: &mut Log) {
        self.memory.as_flattened_mut().fill_with(|| log.random());
        self.on = false;
    }
}

impl SpiChip for Emulated {
    fn command(&mut self, byte: u8, log: &mut Log) {
        match byte {
            0x20 | 0x21 => self.extended = byte == 0x21,
            _ if self.extended => {}
            0x08..=0x0F => self.on = byte == 0x0C,
            0x40..=0x45 => self.at.1 = usize::from(byte & 7),
            0x80..=0xD3 => self.at.0 = usize::from(byte & 0x7F),
            _ => log.breach("sends instructions that exist (PCD8544, table 1)"),
        }
    }

    fn data(&mut self, byte: u8, _log: &mut Log) {
        self.memory[self.at.1][self.at.0] = byte;
        let next = self.at.0 + 1;
        self.at = if next < 84 { (next, self.at.1) } else { (0, (self.at.1 + 1) % 6) };
    }

    fn reset(&mut self, _log: &mut Log) {
        self.on = false;
    }
}

impl Emulated {
    fn picture(&self) -> Bitmap {
        let mut picture = Bitmap::new(84, 48);
        for y in 0..48 {
            for x in 0..84 {
                let bit = self.memory[usize::from(y / 8)][usize::from(x)] >> (y % 8) & 1;
                picture.set(x, y, self.on && bit == 1);
            }
        }
        picture
    }
}

#[test]
fn the_panel_of_the_page_shows_screens_and_comes_back() {
    let time = Time::default();
    let chip = Emulated { memory: [[0; 84]; 6], at: (0, 0), extended: false, on: false };
    let part = Part::new(&time, chip);
    let bus = SpiWire::new(&time, 4_000_000, &part);
    let (data, reset) = (bus.data_line(), bus.reset_line());
    let glass = Pcd8544 { bus, data, reset, delay: time.clone() };
    let mut panel = Pixels::new(glass, Turn::None, Language::ENGLISH);
    let surface = Surface::Pixels { width: 84, height: 48, ink: Ink::Dark, slow: false };
    for screen in [sign_in(), Screen::NoNetwork, Screen::Online] {
        let now = time.now();
        panel.show(&screen, now).unwrap();
        let expected = layout(&screen, surface, 0, now).bitmap().unwrap();
        assert!(part.look(Emulated::picture) == expected);
    }
    part.glitch();
    let seen = part.look(Emulated::picture);
    time.pass(Duration::from_secs(45));
    panel.show(&Screen::Online, time.now()).unwrap();
    let expected = layout(&Screen::Online, surface, 0, time.now()).bitmap().unwrap();
    assert!(seen != expected && part.look(Emulated::picture) == expected);
    assert_eq!(part.breaches(), []);
}

#[test]
fn the_page_says_what_is_compiled_here() {
    let page = include_str!("../../README.md");
    let driver = include_str!("pcd8544.rs");
    assert!(page.contains(&format!("```rust\n{driver}```\n")), "copy pcd8544.rs into README.md");
    assert!(driver.lines().count() <= 50, "a new panel in 50 lines");
}
