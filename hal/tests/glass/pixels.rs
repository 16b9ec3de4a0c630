//! Panels of pixels: OLED, colour and e-paper.

use std::time::Duration;

use embedded_hal::digital::OutputPin as _;
use signpost_hal::panel::{
    Controller, Epaper, Glass, Oled, Panel as _, Pixels, St7735, St7789, Tft, TftGlass, Turn,
};
use signpost_hal::screen::{Bitmap, Ink, Language, Screen, Surface, layout};
use signpost_hal::sim::{
    Chip, EpaperPanel, I2cWire, Meter, OledKind, Part, SpiLine, SpiWire, TftKind, Time,
    {self as sim},
};

use crate::stage::{NOW, sign_in};

/// A panel, what hangs behind it, and what a person sees there.
pub(crate) struct Stage<G, T> {
    pub(crate) time: Time,
    pub(crate) part: Part<T>,
    pub(crate) meter: Meter,
    pub(crate) panel: Pixels<G>,
    surface: Surface,
    see: fn(&T) -> Bitmap,
}

impl<G: Glass, T: Chip> Stage<G, T> {
    fn new(
        time: &Time,
        part: Part<T>,
        meter: Meter,
        glass: G,
        turn: Turn,
        see: fn(&T) -> Bitmap,
    ) -> Self {
        let (width, height) = match turn {
            Turn::None | Turn::Half => glass.size(),
            Turn::Quarter | Turn::ThreeQuarters => (glass.size().1, glass.size().0),
        };
        let surface = Surface::Pixels { width, height, ink: glass.ink(), slow: glass.is_slow() };
        let panel = Pixels::new(glass, turn, Language::ENGLISH);
        Self { time: time.clone(), part, meter, panel, surface, see }
    }

    pub(crate) fn show(&mut self, screen: &Screen) -> Option<Duration> {
        self.panel.show(screen, self.time.now()).unwrap()
    }

    fn seen(&self) -> Bitmap {
        self.part.look(self.see)
    }

    fn laid_out(&self, screen: &Screen, now: Duration) -> Bitmap {
        layout(screen, self.surface, 0, now).bitmap().unwrap()
    }

    /// Shows a few screens, and looks at each and at the rules.
    fn shows_what_is_laid_out(&mut self) {
        for screen in [sign_in(), Screen::NoNetwork, Screen::Online] {
            let now = self.time.now();
            self.show(&screen);
            assert!(
                self.seen() == self.laid_out(&screen, now),
                "{screen:?}\n{}",
                text(&self.seen())
            );
        }
        assert_eq!(self.part.breaches(), []);
    }

    fn comes_back_after_a_glitch(&mut self) {
        self.show(&Screen::Online);
        let blank = self.seen();
        for _ in 0..5 {
            self.part.glitch();
            let after = self.show(&Screen::Online).unwrap();
            assert!(after <= Duration::from_secs(45));
            assert!(self.seen() != blank, "nobody can know yet");
            self.time.pass(after);
            self.show(&Screen::Online);
            assert!(self.seen() == blank);
        }
    }
}

/// A picture as text, for whoever looks at a failure.
fn text(picture: &Bitmap) -> String {
    let row =
        |y: u16| (0..picture.width()).map(|x| if picture.get(x, y) { '#' } else { '.' }).collect();
    let rows: Vec<String> = (0..picture.height()).map(row).collect();
    rows.join("\n")
}

pub(crate) fn oled(
    controller: Controller,
    height: u16,
    hertz: u32,
) -> Stage<Oled<I2cWire>, sim::Oled> {
    let time = Time::default();
    time.pass(NOW);
    let kind = match controller {
        Controller::Ssd1306 => OledKind::Ssd1306,
        Controller::Sh1106 => OledKind::Sh1106,
    };
    let part = Part::new(&time, sim::Oled::new(kind, height));
    let bus = I2cWire::new(&time, hertz).with(0x3C, &part);
    let meter = bus.meter();
    let glass = Oled::new(bus, 0x3C, controller, height);
    Stage::new(&time, part, meter, glass, Turn::None, sim::Oled::picture)
}

type Wired<M> = Tft<SpiWire<sim::Tft>, SpiLine<sim::Tft>, Time, M>;

pub(crate) fn st7789(turn: Turn) -> Stage<Wired<St7789>, sim::Tft> {
    let glass = TftGlass { size: (240, 240), offset: (0, 0), inverts: true };
    let time = Time::default();
    time.pass(NOW);
    let part = Part::new(&time, sim::Tft::new(TftKind::St7789, glass.size, glass.offset, true));
    let wire = SpiWire::new(&time, 16_000_000, &part);
    let (meter, data, reset) = (wire.meter(), wire.data_line(), wire.reset_line());
    let tft = Tft::new(wire, data, Some(reset), time.clone(), St7789, glass);
    Stage::new(&time, part, meter, tft, turn, sim::Tft::picture)
}

pub(crate) fn st7735() -> Stage<Wired<St7735>, sim::Tft> {
    let glass = TftGlass { size: (128, 160), offset: (2, 1), inverts: false };
    let time = Time::default();
    time.pass(NOW);
    let part = Part::new(&time, sim::Tft::new(TftKind::St7735, glass.size, glass.offset, false));
    let wire = SpiWire::new(&time, 16_000_000, &part);
    let (meter, data) = (wire.meter(), wire.data_line());
    let tft = Tft::new(wire, data, None, time.clone(), St7735, glass);
    Stage::new(&time, part, meter, tft, Turn::None, sim::Tft::picture)
}

type Paper = Epaper<SpiWire<EpaperPanel>, SpiLine<EpaperPanel>, SpiLine<EpaperPanel>, Time>;

pub(crate) fn paper(size: (u16, u16), turn: Turn) -> Stage<Paper, EpaperPanel> {
    let time = Time::default();
    time.pass(NOW);
    let part = Part::new(&time, EpaperPanel::new(size.0, size.1));
    let wire = SpiWire::new(&time, 4_000_000, &part);
    let (meter, data) = (wire.meter(), wire.data_line());
    let (reset, busy) = (wire.reset_line(), wire.busy_line());
    let glass = Epaper::new(wire, data, reset, busy, time.clone(), size);
    Stage::new(&time, part, meter, glass, turn, EpaperPanel::picture)
}

#[test]
fn every_oled_shows_what_is_laid_out_and_keeps_to_the_data_sheet() {
    for (controller, height) in
        [Controller::Ssd1306, Controller::Sh1106].into_iter().flat_map(|it| [(it, 64), (it, 32)])
    {
        let mut stage = oled(controller, height, 400_000);
        stage.shows_what_is_laid_out();
        stage.comes_back_after_a_glitch();
        stage.panel.clear().unwrap();
        assert!(stage.seen() == Bitmap::new(128, height));
        assert_eq!(stage.part.breaches(), []);
    }
}

#[test]
fn the_wrong_controller_is_not_noticed_and_shows_rubbish() {
    let mut stage = oled(Controller::Ssd1306, 64, 400_000);
    let part = Part::new(&stage.time, sim::Oled::new(OledKind::Sh1106, 64));
    let bus = I2cWire::new(&stage.time, 400_000).with(0x3C, &part);
    let glass = Oled::new(bus, 0x3C, Controller::Ssd1306, 64);
    stage.panel = Pixels::new(glass, Turn::None, Language::ENGLISH);
    stage.show(&Screen::Online);
    assert!(part.look(sim::Oled::picture) != stage.laid_out(&Screen::Online, NOW));
}

#[test]
fn an_oled_lights_up_no_random_memory() {
    let mut stage = oled(Controller::Ssd1306, 64, 400_000);
    let lit_by = |bytes: u64| {
        let time = Time::default();
        let part = Part::new(&time, sim::Oled::new(OledKind::Ssd1306, 64));
        let bus = I2cWire::new(&time, 400_000).with(0x3C, &part).failing_after(bytes);
        let glass = Oled::new(bus, 0x3C, Controller::Ssd1306, 64);
        let mut panel = Pixels::new(glass, Turn::None, Language::ENGLISH);
        let _ = panel.show(&Screen::Online, NOW);
        part.look(sim::Oled::picture)
    };
    stage.show(&Screen::Online);
    let (whole, blank) = (stage.seen(), Bitmap::new(128, 64));
    let all = stage.meter.take().bytes;
    for bytes in 0..=all {
        let lit = lit_by(bytes);
        assert!(lit == blank || lit == whole, "after {bytes} of {all} bytes");
    }
}

#[test]
fn colour_panels_show_what_is_laid_out_however_they_are_mounted() {
    for turn in [Turn::None, Turn::Quarter, Turn::Half, Turn::ThreeQuarters] {
        let mut stage = st7789(turn);
        stage.show(&sign_in());
        let (upright, seen) = (stage.laid_out(&sign_in(), NOW), stage.seen());
        // A look from where a corner of the glass is after turning it back.
        let at = |x: u16, y: u16| match turn {
            Turn::None => (x, y),
            Turn::Quarter => (239 - y, x),
            Turn::Half => (239 - x, 239 - y),
            Turn::ThreeQuarters => (y, 239 - x),
        };
        for y in 0..240 {
            for x in 0..240 {
                let (across, down) = at(x, y);
                assert_eq!(upright.get(x, y), seen.get(across, down), "{turn:?} {x} {y}");
            }
        }
    }
    st7789(Turn::None).shows_what_is_laid_out();
    st7735().shows_what_is_laid_out();
}

#[test]
fn a_colour_panel_comes_back_and_is_not_seen_to_be_set_up_anew() {
    let mut stage = st7789(Turn::None);
    stage.comes_back_after_a_glitch();
    let mut stage = st7789(Turn::None);
    stage.show(&Screen::Online);
    let known = stage.part.look(sim::Tft::blanks);
    for _ in 0..3 {
        stage.time.pass(Duration::from_secs(45));
        stage.show(&Screen::Online);
    }
    assert_eq!(stage.part.look(sim::Tft::blanks), known, "never off, asleep or reset");
    assert_eq!(stage.part.breaches(), []);
}

#[test]
fn e_paper_shows_what_is_laid_out_and_sleeps() {
    for size in [(200, 200), (122, 250), (128, 296)] {
        let mut stage = paper(size, Turn::None);
        stage.shows_what_is_laid_out();
        assert!(stage.part.look(EpaperPanel::is_asleep));
        assert_eq!(stage.part.look(EpaperPanel::updates), (3, 0), "whole with every new screen");
    }
}

#[test]
fn e_paper_is_updated_by_the_minute_and_as_a_whole_now_and_then() {
    let mut stage = paper((200, 200), Turn::None);
    let screen = sign_in();
    while stage.time.now() < NOW + Duration::from_secs(14 * 60) {
        let now = stage.time.now();
        let after = stage.show(&screen).unwrap();
        assert!(stage.seen() == stage.laid_out(&screen, now));
        assert!(after >= Duration::from_secs(2), "not by the second: {after:?}");
        stage.time.pass(after.saturating_sub(stage.time.now() - now));
    }
    let (whole, quick) = stage.part.look(EpaperPanel::updates);
    assert!((2..=3).contains(&whole) && (10..=15).contains(&quick), "{whole} {quick}");
    assert_eq!(stage.part.breaches(), []);
}

#[test]
fn e_paper_is_never_set_up_anew_and_survives_a_glitch_between_updates() {
    let mut stage = paper((200, 200), Turn::None);
    assert_eq!(stage.show(&Screen::Online), None, "nothing to come back for");
    stage.meter.take();
    stage.time.pass(Duration::from_secs(3600));
    stage.show(&Screen::Online);
    assert_eq!(stage.meter.take().bytes, 0);
    let screen = Screen::Offline { stored: 1 };
    stage.show(&screen);
    stage.part.glitch();
    let update = Screen::Offline { stored: 2 };
    let now = stage.time.now();
    stage.show(&update);
    assert!(stage.seen() == stage.laid_out(&update, now), "{}", text(&stage.seen()));
}

#[test]
fn e_paper_that_is_not_there_or_hangs_is_an_error_in_time() {
    let mut stage = paper((200, 200), Turn::None);
    stage.part.unplug();
    let now = stage.time.now();
    let error = stage.panel.show(&Screen::Online, now).unwrap_err().to_string();
    assert!(error.contains("wires"), "{error}");
    let time = Time::default();
    let part = Part::new(&time, EpaperPanel::new(200, 200));
    let wire = SpiWire::new(&time, 4_000_000, &part);
    let (data, reset) = (wire.data_line(), wire.reset_line());
    let mut stuck = wire.data_line();
    stuck.set_high().unwrap();
    let glass = Epaper::new(wire, data, reset, Stuck, time.clone(), (200, 200));
    let mut panel = Pixels::new(glass, Turn::None, Language::ENGLISH);
    let error = panel.show(&Screen::Online, time.now()).unwrap_err().to_string();
    assert!(error.contains("stays busy"), "{error}");
    assert!(time.now() < Duration::from_secs(11));
}

/// A busy line that never goes low.
struct Stuck;

impl embedded_hal::digital::ErrorType for Stuck {
    type Error = std::convert::Infallible;
}

impl embedded_hal::digital::InputPin for Stuck {
    fn is_high(&mut self) -> Result<bool, Self::Error> {
        Ok(true)
    }

    fn is_low(&mut self) -> Result<bool, Self::Error> {
        Ok(false)
    }
}

#[test]
fn colours_are_those_that_the_layout_wants() {
    assert_eq!(
        Oled::new(I2cWire::new(&Time::default(), 1), 0, Controller::Sh1106, 64).ink(),
        Ink::Light
    );
    let mut stage = st7735();
    stage.show(&Screen::Online);
    let corner = stage.part.look(|tft| tft.colour(2, 2));
    assert_eq!(corner, Some(0xFFFF), "ink is dark on a light ground");
}

#[test]
fn a_colour_panel_that_shows_nothing_is_black_and_paper_is_white() {
    let mut tft = st7789(Turn::None);
    tft.show(&Screen::NoNetwork);
    tft.panel.clear().unwrap();
    let mut black = Bitmap::new(240, 240);
    black.fill(black.area(), true);
    assert!(tft.seen() == black);
    let mut paper = paper((200, 200), Turn::None);
    paper.show(&Screen::NoNetwork);
    paper.panel.clear().unwrap();
    assert!(paper.seen() == Bitmap::new(200, 200));
}
