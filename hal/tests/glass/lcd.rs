//! Character LCDs.

use std::time::Duration;

use signpost_hal::panel::{Characters, Hd44780, Panel as _};
use signpost_hal::screen::{Language, Screen, Surface, layout};
use signpost_hal::sim::{CharacterLcd, I2cWire, Meter, Part, Time};

use crate::stage::{NOW, sign_in, sign_in_with};

struct Stage {
    time: Time,
    part: Part<CharacterLcd>,
    meter: Meter,
    panel: Characters<Hd44780<I2cWire, Time>>,
}

fn stage(hertz: u32, columns: u8, rows: u8) -> Stage {
    let time = Time::default();
    time.pass(NOW);
    let part = Part::new(&time, CharacterLcd::new(columns, rows));
    let bus = I2cWire::new(&time, hertz).with(0x27, &part);
    let meter = bus.meter();
    let driver = Hd44780::new(bus, time.clone(), 0x27, columns, rows);
    Stage { time, part, meter, panel: Characters::new(driver, Language::ENGLISH) }
}

impl Stage {
    fn show(&mut self, screen: &Screen) -> Duration {
        self.panel.show(screen, self.time.now()).unwrap().unwrap()
    }

    fn text(&self) -> Vec<String> {
        self.part.look(CharacterLcd::text)
    }
}

/// The rows as they are laid out.
fn laid_out(screen: &Screen, columns: u8, rows: u8, page: usize, now: Duration) -> Vec<String> {
    let surface = Surface::Characters { columns: columns.into(), rows: rows.into() };
    let frame = layout(screen, surface, page, now);
    let mut lines: Vec<String> = frame.lines.into_iter().map(|line| line.text).collect();
    lines.resize(rows.into(), String::new());
    lines.into_iter().map(|line| format!("{line:columns$}", columns = columns.into())).collect()
}

#[test]
fn every_size_and_speed_shows_what_is_laid_out_and_keeps_to_the_data_sheet() {
    for (columns, rows) in [(16, 2), (20, 4)] {
        for hertz in [10_000, 100_000, 400_000] {
            let mut stage = stage(hertz, columns, rows);
            for screen in [sign_in(), Screen::NoNetwork, Screen::Online] {
                let now = stage.time.now();
                stage.show(&screen);
                assert_eq!(stage.text(), laid_out(&screen, columns, rows, 0, now), "{hertz}");
            }
            assert_eq!(stage.part.breaches(), [], "{hertz}");
            assert!(stage.part.look(CharacterLcd::is_backlit));
            stage.panel.clear().unwrap();
            assert!(stage.text().concat().trim().is_empty());
        }
    }
}

#[test]
fn pages_turn_when_they_are_due_and_the_code_stays() {
    let mut stage = stage(100_000, 16, 2);
    let screen = sign_in();
    for (page, seconds) in [(0, 4), (1, 4), (2, 2), (0, 4)] {
        let began = stage.time.now();
        let mut after = stage.show(&screen);
        assert_eq!(stage.text(), laid_out(&screen, 16, 2, page, began));
        // On the page with the time it is the seconds that come first.
        while stage.time.now() + after < began + Duration::from_secs(seconds) {
            stage.time.pass(after);
            after = stage.show(&screen);
            assert!(stage.text()[0].contains("WDJB-MJHT"));
        }
        stage.time.pass(began + Duration::from_secs(seconds) - stage.time.now());
    }
}

#[test]
fn what_the_character_set_lacks_is_made() {
    let mut stage = stage(100_000, 16, 2);
    let screen = sign_in_with("A~B\\C");
    stage.show(&screen);
    let row = &stage.text()[0];
    assert!(row.contains("A\u{E001}B\u{E000}C"), "neither an arrow nor a yen sign: {row:?}");
    let picture = |slot| {
        let rows = stage.part.look(|lcd| lcd.made(slot).to_vec());
        rows.iter().map(|row| format!("{row:05b}").replace('0', ".")).collect::<Vec<_>>()
    };
    assert_eq!(picture(0)[1..6], ["1....", ".1...", "..1..", "...1.", "....1"]);
    assert_eq!(picture(1)[2..5], [".1...", "1.1.1", "...1."]);
}

#[test]
fn a_cleared_display_is_dark_and_the_next_screen_lights_it() {
    let mut stage = stage(100_000, 16, 2);
    stage.show(&Screen::NoNetwork);
    assert!(stage.part.look(CharacterLcd::is_backlit));
    stage.panel.clear().unwrap();
    assert!(!stage.part.look(CharacterLcd::is_backlit));
    assert_eq!(stage.text().concat().trim(), "");
    stage.time.pass(Duration::from_secs(1));
    stage.show(&Screen::Portal);
    assert!(stage.part.look(CharacterLcd::is_backlit));
    assert_eq!(stage.part.breaches(), []);
}

#[test]
fn a_panel_that_lost_its_power_shows_again_within_45_seconds() {
    let mut stage = stage(100_000, 20, 4);
    stage.show(&Screen::Online);
    for _ in 0..20 {
        stage.part.glitch();
        let known = stage.part.breaches().len();
        assert!(stage.text().concat().trim().is_empty());
        let after = stage.show(&Screen::Online);
        assert!(after <= Duration::from_secs(45));
        assert!(stage.text().concat().trim().is_empty(), "answers as if nothing had happened");
        stage.time.pass(after);
        stage.show(&Screen::Online);
        assert_eq!(stage.text(), laid_out(&Screen::Online, 20, 4, 0, NOW));
        assert_eq!(stage.part.breaches().len(), known);
    }
}

#[test]
fn a_panel_that_is_gone_says_where_to_look() {
    let mut stage = stage(100_000, 16, 2);
    stage.show(&sign_in());
    stage.part.unplug();
    stage.time.pass(Duration::from_secs(10));
    let now = stage.time.now();
    assert!(stage.panel.show(&Screen::Online, now).is_err());
    stage.part.plug();
    stage.show(&Screen::Online);
    assert_eq!(stage.text(), laid_out(&Screen::Online, 16, 2, 0, now), "set up anew at once");
}

#[test]
fn only_what_changed_goes_over_the_bus() {
    let mut stage = stage(100_000, 20, 4);
    let screen = sign_in();
    stage.show(&screen);
    let first = stage.meter.take();
    stage.time.pass(Duration::from_secs(1));
    stage.show(&screen);
    let second = stage.meter.take();
    stage.show(&screen);
    assert_eq!(stage.meter.take().bytes, 0, "nothing changed");
    assert!(first.bytes <= 800, "{first:?}");
    // Of 14:32 one or two digits: eight bytes to go there and eight for each.
    assert!((16..=30).contains(&second.bytes), "{second:?}");
}
