//! What goes over each bus: the first frame, the dearest second of the countdown, the dearest turn
//! of a page, and another screen. `--nocapture` prints the table.

use std::time::Duration;

use signpost_hal::panel::{Characters, Controller, Hd44780, Panel, Turn};
use signpost_hal::screen::{Ink, Language, Screen, Surface, layout};
use signpost_hal::sim::{CharacterLcd, I2cWire, Meter, Part, Time};

use crate::pixels::{oled, paper, st7735, st7789};
use crate::stage::{NOW, sign_in, sign_in_at};

/// Bytes, and how long the panel was busy with them.
#[derive(Clone, Copy, Default)]
struct Cost {
    bytes: u64,
    took: Duration,
}

/// The dearest of each.
#[derive(Default)]
struct Costs {
    first: Cost,
    second: Cost,
    turn: Cost,
    other: Cost,
}

/// An emulated panel, and how often it is worth a look.
struct Bench<'a> {
    panel: &'a mut dyn Panel,
    time: &'a Time,
    meter: &'a Meter,
    surface: Surface,
    step: Duration,
}

impl Bench<'_> {
    fn show(&mut self, screen: &Screen) -> Cost {
        let began = self.time.now();
        self.panel.show(screen, began).unwrap();
        Cost { bytes: self.meter.take().bytes, took: self.time.now() - began }
    }

    /// Shows a code for 40 steps, in which nothing is set up anew, then that all is well.
    fn measure(&mut self, screen: &Screen) -> Costs {
        let mut costs = Costs { first: self.show(screen), ..Costs::default() };
        let (mut page, mut since) = (0, NOW);
        for step in 1..=40 {
            let now = NOW + self.step * step;
            self.time.pass(now.saturating_sub(self.time.now()));
            let frame = layout(screen, self.surface, page, now);
            let turns = frame.pages > 1 && now - since >= frame.stay;
            if turns {
                (page, since) = (page + 1, now);
            }
            let cost = self.show(screen);
            let dearest = if turns { &mut costs.turn } else { &mut costs.second };
            if cost.bytes > dearest.bytes {
                *dearest = cost;
            }
        }
        costs.other = self.show(&Screen::Online);
        costs
    }
}

fn pixels(width: u16, height: u16, ink: Ink) -> Surface {
    Surface::Pixels { width, height, ink, slow: false }
}

#[expect(clippy::print_stdout, reason = "the table of whoever asks for it")]
fn print(name: &str, costs: &Costs) {
    let cell = |cost: Cost| match cost.bytes {
        0 => "-".to_owned(),
        bytes => format!("{bytes} B {:.1} ms", cost.took.as_secs_f64() * 1e3),
    };
    let Costs { first, second, turn, other } = costs;
    let [first, second, turn, other] = [first, second, turn, other].map(|cost| cell(*cost));
    println!("{name:22} | {first:>20} | {second:>18} | {turn:>18} | {other:>20}");
}

/// Asserts that nothing is dearer than so many bytes: first frame, second, turn, other screen.
fn within(name: &str, costs: &Costs, most: [u64; 4]) {
    print(name, costs);
    let Costs { first, second, turn, other } = costs;
    let bytes = [first, second, turn, other].map(|cost| cost.bytes);
    let fits = bytes.iter().zip(most).all(|(bytes, most)| *bytes <= most);
    assert!(fits, "{name}: {bytes:?}, at most {most:?}");
}

/// An address that takes several pages where there is little room.
fn long() -> Screen {
    sign_in_at("https://sso.example.com/realms/greenhouses/protocol/openid-connect/device")
}

fn lcd(columns: u8, rows: u8) -> Costs {
    let time = Time::default();
    time.pass(NOW);
    let part = Part::new(&time, CharacterLcd::new(columns, rows));
    let bus = I2cWire::new(&time, 100_000).with(0x27, &part);
    let meter = bus.meter();
    let driver = Hd44780::new(bus, time.clone(), 0x27, columns, rows);
    let mut panel = Characters::new(driver, Language::ENGLISH);
    let surface = Surface::Characters { columns: columns.into(), rows: rows.into() };
    let step = Duration::from_secs(1);
    Bench { panel: &mut panel, time: &time, meter: &meter, surface, step }.measure(&long())
}

#[test]
fn character_lcds() {
    within("16x2, 100 kHz", &lcd(16, 2), [380, 30, 120, 240]);
    within("20x4, 100 kHz", &lcd(20, 4), [700, 50, 280, 480]);
}

#[test]
fn oleds() {
    for (name, controller, height, hertz, most) in [
        ("ssd1306 128x64, 400 kHz", Controller::Ssd1306, 64, 400_000, [1130, 100, 300, 1090]),
        ("ssd1306 128x64, 100 kHz", Controller::Ssd1306, 64, 100_000, [1130, 100, 300, 1090]),
        ("ssd1306 128x32, 400 kHz", Controller::Ssd1306, 32, 400_000, [580, 50, 250, 550]),
        ("sh1106 128x64, 400 kHz", Controller::Sh1106, 64, 400_000, [1130, 100, 300, 1090]),
    ] {
        for screen in [sign_in(), long()] {
            let mut stage = oled(controller, height, hertz);
            let costs = Bench {
                panel: &mut stage.panel,
                time: &stage.time,
                meter: &stage.meter,
                surface: pixels(128, height, Ink::Light),
                step: Duration::from_secs(1),
            }
            .measure(&screen);
            within(name, &costs, most);
            // A whole frame of the memory alone, without addresses and commands.
            let whole = 128 * u64::from(height) / 8;
            assert!(costs.second.bytes > 0 && costs.second.bytes * 7 <= whole, "{name}");
        }
    }
}

#[test]
fn colour_panels() {
    let mut stage = st7789(Turn::None);
    let costs = Bench {
        panel: &mut stage.panel,
        time: &stage.time,
        meter: &stage.meter,
        surface: pixels(240, 240, Ink::Dark),
        step: Duration::from_secs(1),
    }
    .measure(&sign_in());
    within("st7789 240x240, 16 MHz", &costs, [115_300, 2_000, 0, 80_000]);
    let mut stage = st7735();
    let costs = Bench {
        panel: &mut stage.panel,
        time: &stage.time,
        meter: &stage.meter,
        surface: pixels(128, 160, Ink::Dark),
        step: Duration::from_secs(1),
    }
    .measure(&long());
    within("st7735 128x160, 16 MHz", &costs, [41_200, 1_200, 12_000, 35_000]);
}

#[test]
fn e_paper() {
    let mut stage = paper((200, 200), Turn::None);
    let costs = Bench {
        panel: &mut stage.panel,
        time: &stage.time,
        meter: &stage.meter,
        surface: Surface::Pixels { width: 200, height: 200, ink: Ink::Dark, slow: true },
        step: Duration::from_secs(60),
    }
    .measure(&sign_in());
    // Both memories each time: see the driver. Here it is the dearest minute.
    within("e-paper 200x200, 4 MHz", &costs, [10_100, 10_100, 0, 10_100]);
}
