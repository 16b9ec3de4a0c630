//! Threads of panels that hang, vanish, come back and glitch. Time is virtual but where the caller
//! itself is measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signpost_hal::clock;
use signpost_hal::panel::{Controller, Idle, Oled, Panel, PanelError, PanelThread, Pixels, Turn};
use signpost_hal::screen::{Bitmap, Language, Screen};
use signpost_hal::sim::{self, I2cWire, OledKind, Part, Time};

/// The longest that a test waits for what must happen.
const SOON: Duration = Duration::from_secs(10);

/// A panel that tells what it is asked, and hangs while it is told to.
struct Hanging {
    calls: Sender<&'static str>,
    gate: Arc<Mutex<Receiver<()>>>,
}

impl Panel for Hanging {
    fn show(&mut self, _screen: &Screen, _now: Duration) -> Result<Option<Duration>, PanelError> {
        let _ = self.calls.send("show");
        // The gate is shut until its other end is gone.
        let _ = self.gate.lock().unwrap().recv();
        Ok(None)
    }

    fn clear(&mut self) -> Result<(), PanelError> {
        let _ = self.calls.send("clear");
        Ok(())
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.calls.send("let go");
    }
}

struct Stage {
    thread: PanelThread,
    calls: Receiver<&'static str>,
    gate: Option<Sender<()>>,
    reports: Receiver<Option<String>>,
    second: Arc<AtomicU64>,
}

impl Stage {
    fn new(idle: Idle, hangs: bool) -> Self {
        let (calls, called) = channel();
        let (gate, opened) = channel();
        let (report, reports) = channel();
        let opened = Arc::new(Mutex::new(opened));
        let second = Arc::new(AtomicU64::new(0));
        let time = Arc::clone(&second);
        let open = move || {
            let _ = calls.send("open");
            let panel = Hanging { calls: calls.clone(), gate: Arc::clone(&opened) };
            Ok(Box::new(panel) as Box<dyn Panel>)
        };
        let clock = move || Duration::from_secs(time.load(Ordering::SeqCst));
        let report = move |fault: Option<&PanelError>| {
            let _ = report.send(fault.map(ToString::to_string));
        };
        let thread = PanelThread::spawn_with("test", idle, open, clock, report).unwrap();
        Self { thread, calls: called, gate: hangs.then_some(gate), reports, second }
    }

    fn show(&self, screen: Screen) {
        self.thread.show(screen);
    }

    fn expect(&self, calls: &[&'static str]) {
        for call in calls {
            assert_eq!(self.calls.recv_timeout(SOON), Ok(*call));
        }
    }

    fn expect_report(&self, cause: Option<&str>) {
        assert_eq!(self.reports.recv_timeout(SOON), Ok(cause.map(str::to_owned)));
    }
}

#[test]
fn a_panel_that_hangs_is_reported_once_and_not_waited_for() {
    let stage = Stage::new(Idle::Status, true);
    stage.show(Screen::NoNetwork);
    stage.expect(&["open", "show"]);
    stage.second.store(14, Ordering::SeqCst);
    stage.show(Screen::Portal);
    let early = stage.reports.recv_timeout(Duration::from_millis(50));
    assert!(early.is_err(), "e-paper may take 10 s: {early:?}");
    stage.second.store(15, Ordering::SeqCst);
    stage.show(Screen::Portal);
    stage.expect_report(Some("does not come back: its bus hangs"));
    for second in 16..100 {
        stage.second.store(second, Ordering::SeqCst);
        stage.show(Screen::ResetIn { seconds: 1 });
    }
    assert!(stage.calls.try_recv().is_err(), "no second thread tries");
    let began = clock::boot();
    assert!(!stage.thread.stop(SOON), "it has not ended");
    assert!(clock::boot() - began < SOON / 2, "and is not waited for");
    assert!(stage.reports.try_recv().is_err(), "told once");
}

#[test]
fn a_panel_that_comes_back_after_all_works_again() {
    let stage = Stage::new(Idle::Status, true);
    stage.show(Screen::NoNetwork);
    stage.expect(&["open", "show"]);
    stage.second.store(15, Ordering::SeqCst);
    stage.show(Screen::Portal);
    stage.expect_report(Some("does not come back: its bus hangs"));
    drop(stage.gate);
    assert_eq!(stage.reports.recv_timeout(SOON), Ok(None));
    assert_eq!(stage.calls.recv_timeout(SOON), Ok("show"), "the newest screen");
    assert!(stage.thread.stop(SOON));
}

#[test]
fn a_panel_that_is_released_is_let_go_of_while_all_is_well() {
    let stage = Stage::new(Idle::Release, false);
    stage.show(Screen::Online);
    stage.show(Screen::Online);
    assert!(stage.calls.recv_timeout(Duration::from_millis(50)).is_err(), "never touched");
    stage.show(Screen::NoNetwork);
    stage.expect(&["open", "show"]);
    stage.show(Screen::Online);
    stage.expect(&["clear", "let go"]);
    stage.second.store(3600, Ordering::SeqCst);
    stage.show(Screen::Online);
    stage.show(Screen::NoNetwork);
    stage.expect(&["open", "show"]);
}

#[test]
fn a_panel_is_blank_while_all_is_well_if_that_is_wanted() {
    let stage = Stage::new(Idle::Blank, false);
    stage.show(Screen::Online);
    stage.expect(&["open", "clear"]);
    stage.show(Screen::NoNetwork);
    stage.expect(&["show"]);
    stage.show(Screen::Online);
    stage.expect(&["clear"]);
}

#[test]
fn a_panel_is_dark_when_it_has_to_be_and_shows_the_newest_afterwards() {
    let stage = Stage::new(Idle::Status, false);
    stage.thread.darken(true);
    stage.show(Screen::NoNetwork);
    assert!(stage.calls.recv_timeout(Duration::from_millis(50)).is_err(), "not even opened");
    stage.thread.darken(false);
    stage.expect(&["open", "show"]);
    stage.thread.darken(true);
    stage.expect(&["clear"]);
    stage.show(Screen::Portal);
    stage.expect(&["clear"]);
    stage.thread.darken(false);
    stage.expect(&["show"]);
    assert!(stage.thread.stop(SOON));
}

#[test]
fn a_panel_that_is_released_is_let_go_of_in_the_dark_too() {
    let stage = Stage::new(Idle::Release, false);
    stage.show(Screen::NoNetwork);
    stage.expect(&["open", "show"]);
    stage.thread.darken(true);
    stage.expect(&["clear"]);
    stage.show(Screen::Online);
    stage.expect(&["clear", "let go"]);
    stage.thread.darken(false);
    assert!(stage.calls.recv_timeout(Duration::from_millis(50)).is_err(), "it is the maker's now");
}

#[test]
fn an_oled_that_was_blank_or_never_seen_is_dark() {
    let time = Time::default();
    let part = Part::new(&time, sim::Oled::new(OledKind::Ssd1306, 64));
    let bus = I2cWire::new(&time, 400_000).with(0x3C, &part);
    let glass = Oled::new(bus, 0x3C, Controller::Ssd1306, 64);
    let mut panel = Pixels::new(glass, Turn::None, Language::ENGLISH);
    panel.clear().unwrap();
    assert!(part.look(sim::Oled::picture) == Bitmap::new(128, 64));
    panel.show(&Screen::Online, time.now()).unwrap();
    assert!(part.look(sim::Oled::picture) != Bitmap::new(128, 64));
    panel.clear().unwrap();
    assert!(part.look(sim::Oled::picture) == Bitmap::new(128, 64));
}

/// An OLED on a thread, in virtual time, that somebody tears at.
fn torn_at(changes: Arc<AtomicU64>) -> (PanelThread, Part<sim::Oled>, Time) {
    let time = Time::default();
    let part = Part::new(&time, sim::Oled::new(OledKind::Ssd1306, 64));
    let (shared, at) = (part.clone(), time.clone());
    let open = move || {
        let bus = I2cWire::new(&at, 400_000).with(0x3C, &shared);
        let glass = Oled::new(bus, 0x3C, Controller::Ssd1306, 64);
        Ok(Box::new(Pixels::new(glass, Turn::None, Language::ENGLISH)) as Box<dyn Panel>)
    };
    let clock = time.clone();
    let report = move |_: Option<&PanelError>| {
        changes.fetch_add(1, Ordering::SeqCst);
    };
    let thread = PanelThread::spawn("torn", open, move || clock.now(), report).unwrap();
    (thread, part, time)
}

/// How late the caller of three hanging and three torn panels was at worst, and how long they took
/// to stop.
fn lateness() -> (Duration, Duration) {
    let hanging: Vec<Stage> = (0..3).map(|_| Stage::new(Idle::Status, true)).collect();
    let changes = Arc::new(AtomicU64::new(0));
    let torn: Vec<_> = (0..3).map(|_| torn_at(Arc::clone(&changes))).collect();
    for stage in &hanging {
        stage.show(Screen::NoNetwork);
        stage.expect(&["open", "show"]);
    }
    let mut worst = Duration::ZERO;
    for round in 0..100_u64 {
        for (_, part, time) in &torn {
            match round % 10 {
                3 => part.unplug(),
                6 => part.plug(),
                9 => part.glitch(),
                _ => {}
            }
            time.pass(Duration::from_secs(10));
        }
        let screen = Screen::Offline { stored: round };
        let began = clock::boot();
        hanging.iter().for_each(|stage| stage.show(screen.clone()));
        torn.iter().for_each(|(thread, ..)| thread.show(screen.clone()));
        worst = worst.max(clock::boot() - began);
        // The others get their turn. Nothing is ever reported here.
        let _ = hanging[0].reports.recv_timeout(Duration::from_millis(1));
    }
    assert!(changes.load(Ordering::SeqCst) > 3, "panels were missed and found again");
    let began = clock::boot();
    let all = hanging.into_iter().map(|stage| (stage.thread, stage.gate));
    let (threads, gates): (Vec<_>, Vec<_>) = all.unzip();
    let threads = threads.into_iter().chain(torn.into_iter().map(|(thread, ..)| thread));
    assert!(!PanelThread::stop_all(threads, Duration::from_millis(50)), "three hang");
    let stopped = clock::boot() - began;
    drop(gates);
    (worst, stopped)
}

#[test]
fn panels_that_hang_vanish_and_glitch_hold_nobody_up() {
    // A busy machine may lose some time by itself, but not in every run.
    let runs: Vec<_> = (0..3).map(|_| lateness()).collect();
    let worst = runs.iter().map(|(worst, _)| *worst).min().unwrap();
    let stopped = runs.iter().map(|(_, stopped)| *stopped).min().unwrap();
    println!("caller late by {worst:?} at most, stopped in {stopped:?}");
    assert!(worst < Duration::from_millis(20), "{runs:?}");
    assert!(stopped < Duration::from_millis(100), "{runs:?}");
}
