//! The emulators against drivers that are not ours: what those draw is seen, and what they get
//! wrong, or what is done to the panel under them, is found.

use std::time::Duration;

use embedded_hal::delay::DelayNs as _;
use embedded_hal::digital::{InputPin as _, OutputPin as _};
use embedded_hal::i2c::I2c as _;
use embedded_hal::spi::SpiDevice as _;
use i2c_character_display::{CharacterDisplayPCF8574T, LcdDisplayType};
use mipidsi::interface::SpiInterface;
use mipidsi::models::{ST7735s, ST7789};
use mipidsi::options::ColorInversion;
use signpost_hal::screen::Bitmap;
use signpost_hal::sim::{
    Breach, CharacterLcd, EpaperPanel, I2cWire, Oled, OledKind, Part, SpiWire, Tft, TftKind, Time,
};
use ssd1306::mode::DisplayConfig as _;
use ssd1306::prelude::{DisplayRotation, DisplaySize128x64};
use ssd1306::{I2CDisplayInterface, Ssd1306};

fn rules(breaches: &[Breach]) -> Vec<&'static str> {
    let mut rules: Vec<_> = breaches.iter().map(|breach| breach.rule).collect();
    rules.dedup();
    rules
}

/// Some dots that no mirror or shift leaves alike.
fn dots(width: u16, height: u16) -> Bitmap {
    let mut picture = Bitmap::new(width, height);
    for (x, y) in [(0, 0), (1, 0), (width - 1, 0), (0, height - 1), (5, 3), (width / 2, 9)] {
        picture.set(x, y, true);
    }
    picture
}

/// What the crate draws on a glass of that controller.
fn drawn_by_ssd1306(kind: OledKind) -> Part<Oled> {
    let time = Time::default();
    let part = Part::new(&time, Oled::new(kind, 64));
    let bus = I2cWire::new(&time, 400_000).with(0x3C, &part);
    let interface = I2CDisplayInterface::new(bus);
    let mut driver = Ssd1306::new(interface, DisplaySize128x64, DisplayRotation::Rotate0)
        .into_buffered_graphics_mode();
    driver.init().unwrap();
    let picture = dots(128, 64);
    for y in 0..64 {
        (0..128).for_each(|x| driver.set_pixel(x, y, picture.get(x as u16, y as u16)));
    }
    driver.flush().unwrap();
    part
}

#[test]
fn an_ssd1306_shows_what_its_driver_draws() {
    let part = drawn_by_ssd1306(OledKind::Ssd1306);
    assert_eq!(part.breaches(), []);
    assert!(part.look(Oled::picture) == dots(128, 64));
    part.glitch();
    assert!(part.look(Oled::picture) == Bitmap::new(128, 64), "dark until somebody notices");
}

#[test]
fn the_wrong_kind_of_oled_answers_and_shows_rubbish() {
    let part = drawn_by_ssd1306(OledKind::Sh1106);
    assert!(part.look(Oled::picture) != dots(128, 64));
    assert!(rules(&part.breaches()).iter().any(|rule| rule.contains("commands of the data sheet")));
}

#[test]
fn a_part_that_is_pulled_out_does_not_answer() {
    let time = Time::default();
    let part = Part::new(&time, Oled::new(OledKind::Ssd1306, 64));
    let mut bus = I2cWire::new(&time, 400_000).with(0x3C, &part);
    assert!(bus.write(0x3C, &[0, 0xAE]).is_ok());
    part.unplug();
    assert!(bus.write(0x3C, &[0, 0xAE]).is_err());
    part.plug();
    assert!(bus.write(0x3C, &[0, 0xAE]).is_ok());
    assert!(bus.write(0x3D, &[0, 0xAE]).is_err(), "another address");
}

#[test]
fn oleds_notice_what_they_would_not_show() {
    let breaches = |commands: &[u8]| {
        let time = Time::default();
        let part = Part::new(&time, Oled::new(OledKind::Ssd1306, 32));
        let mut bus = I2cWire::new(&time, 400_000).with(0x3C, &part);
        bus.write(0x3C, commands).unwrap();
        rules(&part.breaches()).concat()
    };
    assert!(breaches(&[0, 0xA8, 31, 0xDA, 2, 0xAF]).contains("charge pump"));
    assert!(breaches(&[0, 0x8D, 0x14, 0xAF]).contains("COM pins"), "those of a glass of 64 rows");
    assert!(breaches(&[1, 0xAE]).contains("control bytes"));
    assert!(breaches(&[0, 0x20, 0, 0x10]).contains("page mode"));
    assert!(breaches(&[0x80, 0x81, 0x40, 0xFF]).contains("all its arguments"));
    assert_eq!(breaches(&[0, 0xA8, 31, 0xDA, 2, 0x8D, 0x14, 0xAF]), "");
}

#[test]
fn the_crate_for_character_lcds_breaks_two_rules_and_shows_its_text_by_luck() {
    let time = Time::default();
    let part = Part::new(&time, CharacterLcd::new(16, 2));
    let bus = I2cWire::new(&time, 100_000).with(0x27, &part);
    time.clone().delay_ms(50);
    let kind = LcdDisplayType::Lcd16x2;
    let mut driver = CharacterDisplayPCF8574T::new(bus, kind, time.clone());
    driver.init().unwrap();
    driver.print("Code: WDJB-MJHT").unwrap();
    let found = rules(&part.breaches()).join("\n");
    // Nibbles and RS go out with the rise of E, and HOME follows CLEAR at once.
    assert!(found.contains("before E rises"), "{found}");
    assert!(found.contains("until an instruction is done"), "{found}");
}

#[test]
fn an_lcd_notices_haste_and_forgets_in_a_glitch() {
    let time = Time::default();
    let part = Part::new(&time, CharacterLcd::new(16, 2));
    let mut bus = I2cWire::new(&time, 100_000).with(0x27, &part);
    let mut pulse = |nibble: u8| bus.write(0x27, &[nibble, nibble | 4, nibble]).unwrap();
    pulse(0x38);
    let found = rules(&part.breaches());
    assert!(found[0].contains("40 ms after power-on"), "{found:?}");
    time.pass(Duration::from_millis(50));
    pulse(0x38);
    time.pass(Duration::from_millis(3));
    pulse(0x38);
    assert!(rules(&part.breaches())[1].contains("4.1 ms"));
    let known = part.breaches().len();
    time.pass(Duration::from_millis(5));
    for (nibble, wait) in [(0x38, 1), (0x38, 1), (0x28, 1)] {
        pulse(nibble);
        time.pass(Duration::from_millis(wait));
    }
    assert_eq!(part.breaches().len(), known);
    part.glitch();
    assert!(part.look(CharacterLcd::text).concat().trim().is_empty());
}

/// A colour panel as the crate draws on it.
fn drawn_by_mipidsi(kind: TftKind) -> Part<Tft> {
    let time = Time::default();
    let (size, offset) = match kind {
        TftKind::St7789 => ((240, 240), (0, 0)),
        TftKind::St7735 => ((128, 160), (2, 1)),
    };
    let part = Part::new(&time, Tft::new(kind, size, offset, true));
    let wire = SpiWire::new(&time, 16_000_000, &part);
    let (data, reset) = (wire.data_line(), wire.reset_line());
    let mut buffer = [0; 512];
    let interface = SpiInterface::new(wire, data, &mut buffer);
    let picture = dots(size.0, size.1);
    let colours = (0..size.1).flat_map(|y| (0..size.0).map(move |x| (x, y)));
    let colours = colours.map(|(x, y)| if picture.get(x, y) { BLACK } else { WHITE });
    // Two types without a common trait for what is wanted here.
    macro_rules! draw {
        ($model:expr) => {{
            let mut driver = mipidsi::Builder::new($model, interface)
                .display_size(size.0, size.1)
                .display_offset(offset.0, offset.1)
                .invert_colors(ColorInversion::Inverted)
                .reset_pin(reset)
                .init(&mut time.clone())
                .unwrap();
            driver.set_pixels(0, 0, size.0 - 1, size.1 - 1, colours).unwrap();
        }};
    }
    match kind {
        TftKind::St7789 => draw!(ST7789),
        TftKind::St7735 => draw!(ST7735s),
    }
    part
}

use embedded_graphics::pixelcolor::{Rgb565, RgbColor as _};
const BLACK: Rgb565 = Rgb565::BLACK;
const WHITE: Rgb565 = Rgb565::WHITE;

#[test]
fn colour_panels_show_what_their_driver_draws() {
    for kind in [TftKind::St7789, TftKind::St7735] {
        let part = drawn_by_mipidsi(kind);
        assert_eq!(part.breaches(), [], "{kind:?}");
        let picture = part.look(Tft::picture);
        assert!(picture == dots(picture.width(), picture.height()), "{kind:?}");
        part.glitch();
        assert!(!part.look(Tft::is_on), "{kind:?}");
    }
}

#[test]
fn a_colour_panel_notices_haste_and_windows_beyond_its_memory() {
    let time = Time::default();
    let part = Part::new(&time, Tft::new(TftKind::St7735, (128, 160), (2, 1), false));
    let mut wire = SpiWire::new(&time, 16_000_000, &part);
    let mut data = wire.data_line();
    wire.write(&[0x11]).unwrap();
    time.pass(Duration::from_millis(10));
    wire.write(&[0x11]).unwrap();
    time.pass(Duration::from_millis(10));
    wire.write(&[0x2A]).unwrap();
    data.set_high().unwrap();
    wire.write(&[0, 0, 0, 132]).unwrap();
    data.set_low().unwrap();
    wire.write(&[0x2C]).unwrap();
    data.set_high().unwrap();
    wire.write(&[0, 0]).unwrap();
    let found = rules(&part.breaches());
    assert!(found[0].contains("5 ms after a reset"), "{found:?}");
    assert!(found[1].contains("120 ms"), "{found:?}");
    assert!(found[2].contains("windows inside"), "{found:?}");
    assert!(found[3].contains("16 bits"), "{found:?}");
}

#[test]
fn an_e_paper_panel_notices_who_does_not_wait_for_it() {
    let time = Time::default();
    let part = Part::new(&time, EpaperPanel::new(200, 200));
    let mut wire = SpiWire::new(&time, 4_000_000, &part);
    let mut busy = wire.busy_line();
    assert!(busy.is_high().unwrap());
    wire.write(&[0x12]).unwrap();
    let found = rules(&part.breaches());
    assert!(found[0].contains("BUSY"), "{found:?}");
    time.pass(Duration::from_millis(20));
    assert!(busy.is_low().unwrap());
    let mut send = |command: u8, arguments: &[u8]| {
        let mut data = wire.data_line();
        data.set_low().unwrap();
        wire.write(&[command]).unwrap();
        data.set_high().unwrap();
        wire.write(arguments).unwrap();
    };
    send(0x44, &[0, 25]);
    send(0x44, &[0, 24]);
    send(0x20, &[]);
    time.pass(Duration::from_secs(3));
    send(0x10, &[1]);
    send(0x24, &[0]);
    let found = rules(&part.breaches());
    assert!(found[1].contains("window"), "{found:?}");
    assert!(found[2].contains("lines of the glass"), "{found:?}");
    assert!(found[3].contains("deep sleep"), "{found:?}");
    let mut reset = wire.reset_line();
    reset.set_low().unwrap();
    time.pass(Duration::from_micros(5));
    reset.set_high().unwrap();
    assert!(part.look(EpaperPanel::is_asleep), "too short a pulse");
    reset.set_low().unwrap();
    time.pass(Duration::from_millis(10));
    reset.set_high().unwrap();
    assert!(!part.look(EpaperPanel::is_asleep));
}
