//! Panels and their wires as makers describe them.

use signpost::config::Driver;
use signpost_hal::panel::bus::{BusName, LineName};
use signpost_hal::panel::{Controller, Hardware, SpiWires, TftGlass, Turn};

use super::{LEAST, Root, error_after_least};

/// The one panel that these keys describe.
fn driver(keys: &str) -> Driver {
    let root = Root::with(format!("{LEAST}[panel.x]\n{keys}"));
    assert_eq!(root.warnings(), "");
    root.load().unwrap().config.panels.remove(0).driver
}

fn hardware(keys: &str) -> Hardware {
    let described = driver(keys);
    let Driver::Board { hardware, .. } = described else { panic!("{keys}: {described:?}") };
    hardware
}

#[test]
fn a_few_keys_describe_the_usual_panel_of_each_kind() {
    let i2c = BusName::I2c(1);
    assert_eq!(
        hardware("kind = \"hd44780\"\nbus = \"i2c-1\""),
        Hardware::Hd44780 { bus: i2c, address: 0x27, columns: 16, rows: 2 }
    );
    let oled = |controller, height| Hardware::Oled { bus: i2c, address: 0x3C, controller, height };
    assert_eq!(hardware("kind = \"ssd1306\"\nbus = \"i2c-1\""), oled(Controller::Ssd1306, 64));
    assert_eq!(hardware("kind = \"sh1106\"\nbus = \"i2c-1\""), oled(Controller::Sh1106, 64));
    let wires = SpiWires {
        bus: BusName::Spi(0, 0),
        hertz: 16_000_000,
        data: LineName::Name("GPIO25".to_owned()),
        reset: None,
    };
    let glass = TftGlass { size: (240, 240), offset: (0, 0), inverts: true };
    let tft = "bus = \"spi-0.0\"\ndata = \"GPIO25\"\n";
    assert_eq!(
        hardware(&format!("kind = \"st7789\"\n{tft}")),
        Hardware::St7789 { wires: wires.clone(), glass }
    );
    let glass = TftGlass { size: (128, 160), offset: (2, 1), inverts: false };
    assert_eq!(
        hardware(&format!("kind = \"st7735\"\n{tft}offset_x = 2\noffset_y = 1\n")),
        Hardware::St7735 { wires: wires.clone(), glass }
    );
    let paper = "kind = \"epaper\"\nreset = \"gpiochip0:17\"\nbusy = \"gpiochip0:24\"\n";
    assert_eq!(
        hardware(&format!("{paper}{tft}width = 122\nheight = 250")),
        Hardware::Epaper {
            wires: SpiWires { hertz: 4_000_000, reset: Some(LineName::Number(0, 17)), ..wires },
            busy: LineName::Number(0, 24),
            size: (122, 250)
        }
    );
    assert_eq!(hardware("kind = \"framebuffer\""), Hardware::Framebuffer("/dev/fb0".into()));
    assert_eq!(
        hardware("kind = \"json\"\npath = \"/run/kiosk/screens\""),
        Hardware::Json("/run/kiosk/screens".into())
    );
    let turned = driver("kind = \"ssd1306\"\nbus = \"i2c-0\"\nrotate = 180\nheight = 32");
    assert!(matches!(turned, Driver::Board { turn: Turn::Half, .. }), "{turned:?}");
}

#[test]
fn what_is_missing_or_never_built_is_said_with_what_there_is() {
    for (keys, said) in [
        ("kind = \"hd44780\"", "panel.x.bus: missing; an hd44780 needs its bus, such as \"i2c-1\""),
        ("kind = \"st7789\"\nbus = \"spi-0.0\"", "panel.x.data: missing; an st7789 needs the line"),
        ("kind = \"json\"", "panel.x.path: missing; name the pipe"),
        (
            "kind = \"hd44780\"\nbus = \"spi-0.0\"",
            "there is no such panel: an hd44780 needs an I2C bus such as i2c-1, not spi-0.0",
        ),
        (
            "kind = \"st7735\"\nbus = \"i2c-1\"\ndata = \"GPIO25\"",
            "an st7735 needs an SPI bus such as spi-0.0, not i2c-1",
        ),
        (
            "kind = \"ssd1306\"\nbus = \"i2c-1\"\naddress = 0x27",
            "an ssd1306 has address 0x3C or 0x3D",
        ),
        (
            "kind = \"ssd1306\"\nbus = \"i2c-1\"\nwidth = 64",
            "panel.x.width: found 64, allowed: 128",
        ),
        ("kind = \"sh1106\"\nbus = \"i2c-1\"\nheight = 48", "an sh1106 is 128 by 64 or 128 by 32"),
        (
            "kind = \"hd44780\"\nbus = \"i2c-1\"\ncolumns = 40",
            "an hd44780 has 16 or 20 columns and 2 rows, or 20 columns and 4 rows",
        ),
        (
            "kind = \"st7789\"\nbus = \"spi-0.0\"\ndata = \"GPIO25\"\nwidth = 320",
            "an st7789 is at most 240 by 320 with its offset: turn it by rotate",
        ),
        ("kind = \"hd44780\"\nbus = \"i2c-one\"", "found \"i2c-one\", allowed: a bus such as"),
        (
            "kind = \"st7789\"\nbus = \"spi-0.0\"\ndata = \"25\"",
            "found \"25\", allowed: a GPIO line such as",
        ),
    ] {
        let error = error_after_least(&format!("[panel.x]\n{keys}"));
        assert!(error.contains(said) && error.lines().count() == 1, "{keys} gave: {error}");
    }
    // An e-paper without any of its lines hears of all of them at once.
    let error = error_after_least("[panel.x]\nkind = \"epaper\"");
    assert_eq!(error.lines().count(), 4, "{error}");
}

#[test]
fn keys_that_a_button_has_no_use_for_are_said() {
    for (keys, said) in [
        ("line = \"GPIO27\"\ncode = 408", "button.x.code: a GPIO line has no keys; remove it"),
        (
            "input = \"/dev/input/event0\"\nactive_low = false",
            "button.x.active_low: an input device knows how its keys are wired; remove it",
        ),
    ] {
        let warnings = Root::with(format!("{LEAST}[button.x]\n{keys}\n")).warnings();
        assert!(warnings.ends_with(said) && warnings.lines().count() == 1, "{warnings}");
    }
}

#[test]
fn keys_of_other_kinds_are_left_out_and_said() {
    let warnings =
        Root::with(format!("{LEAST}[panel.x]\nkind = \"hd44780\"\nbus = \"i2c-1\"\nrotate = 90\n"))
            .warnings();
    assert_eq!(
        warnings,
        "/etc/signpost/signpost.toml:7: panel.x.rotate: panels of kind hd44780 do not use it; \
         remove it"
    );
}
