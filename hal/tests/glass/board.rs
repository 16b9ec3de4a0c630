//! Panels as a configuration describes them, opened on an emulated board.

use signpost_hal::panel::bus::{Board as _, BusName, LineName};
use signpost_hal::panel::{Controller, Hardware, Lamp, Mount, Panel as _, SpiWires, TftGlass};
use signpost_hal::screen::{Bitmap, Screen};
use signpost_hal::sim::{
    CharacterLcd, EmulatedBoard, EpaperPanel, Oled, OledKind, Part, Tft, TftKind, Time,
};

use crate::stage::sign_in;

const I2C: BusName = BusName::I2c(1);
const SPI: BusName = BusName::Spi(0, 0);

fn line(number: u32) -> LineName {
    LineName::Number(0, number)
}

fn wires() -> SpiWires {
    SpiWires { bus: SPI, hertz: 16_000_000, data: line(25), reset: Some(line(24)) }
}

#[test]
fn every_kind_on_a_bus_is_opened_by_its_description_and_shows() {
    let time = Time::default();
    let board = EmulatedBoard::new(&time);
    let show = |hardware: &Hardware| {
        let mut panel = hardware.open(&board, Mount::default()).unwrap();
        panel.show(&sign_in(), time.now()).unwrap();
    };

    let lcd = Part::new(&time, CharacterLcd::new(16, 2));
    board.hang_i2c(I2C, 0x27, &lcd);
    show(&Hardware::Hd44780 { bus: I2C, address: 0x27, columns: 16, rows: 2 });
    assert_eq!(lcd.look(CharacterLcd::text)[0], "Code: WDJB-MJHT ");
    assert_eq!(lcd.breaches(), []);

    let oled = Part::new(&time, Oled::new(OledKind::Ssd1306, 64));
    board.hang_i2c(I2C, 0x3C, &oled);
    let controller = Controller::Ssd1306;
    show(&Hardware::Oled { bus: I2C, address: 0x3C, controller, height: 64 });
    assert!(oled.look(Oled::picture) != Bitmap::new(128, 64));
    assert_eq!(oled.breaches(), []);

    let tft = Part::new(&time, Tft::new(TftKind::St7789, (240, 240), (0, 0), true));
    board.hang_spi((SPI, 16_000_000), &tft, [Some(&line(25)), Some(&line(24)), None]);
    let glass = TftGlass { size: (240, 240), offset: (0, 0), inverts: true };
    show(&Hardware::St7789 { wires: wires(), glass });
    assert_eq!(tft.breaches(), []);

    let paper = Part::new(&time, EpaperPanel::new(200, 200));
    let names = [25, 24, 23].map(line);
    let lines = names.each_ref().map(Some);
    board.hang_spi((SPI, 4_000_000), &paper, lines);
    let paper_wires = SpiWires { hertz: 4_000_000, ..wires() };
    show(&Hardware::Epaper { wires: paper_wires, busy: line(23), size: (200, 200) });
    assert_eq!(paper.breaches(), []);
}

#[test]
fn lamps_hang_there_too_and_what_does_not_is_said() {
    let board = EmulatedBoard::new(&Time::default());
    let hung = board.hang_lamp(&line(17));
    let mut lamp = Lamp::new(board.output(&line(17), false).unwrap());
    lamp.show(&Screen::Saving, std::time::Duration::ZERO).unwrap();
    assert!(hung.is_high());
    let absent = board.output(&line(18), false).map(drop).unwrap_err();
    assert_eq!(absent.to_string(), "finds nothing at gpiochip0:18 of the emulated board");
    let hardware = Hardware::Hd44780 { bus: I2C, address: 0x27, columns: 16, rows: 2 };
    assert!(hardware.open(&board, Mount::default()).is_err());
}
