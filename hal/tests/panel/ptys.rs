//! Panels on real ptys: the kernel's line discipline, sizes, speeds and hang-ups are the real ones.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use signpost_hal::clock;
use signpost_hal::panel::{Panel, PanelError, PanelThread, Port, Serial, Terminal};
use signpost_hal::screen::Screen;

use crate::emulated::Emulated;
use crate::samples::{microsoft, sign_in};

const SOON: Duration = Duration::from_secs(10);

/// The side of a pty on which the person sits.
struct Person {
    side: File,
    seen: Emulated,
}

impl Person {
    fn new(columns: u16, rows: u16) -> (Self, PathBuf) {
        let side: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&side).unwrap();
        let path = PathBuf::from(ptsname(&side, Vec::new()).unwrap().into_string().unwrap());
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&side, size).unwrap();
        (Self { side: side.into(), seen: Emulated::new(columns, rows) }, path)
    }

    /// Reads until the screen is as it should be.
    fn look_until(&mut self, is_right: impl Fn(&str) -> bool) {
        let end = clock::boot() + SOON;
        while !is_right(&self.seen.text()) {
            let now = clock::boot();
            assert!(now < end, "{}", self.seen.text());
            let timeout = Timespec::try_from(end - now).unwrap();
            poll(&mut [PollFd::new(&self.side, PollFlags::IN)], Some(&timeout)).unwrap();
            let mut bytes = [0; 4096];
            let count = self.side.read(&mut bytes).unwrap();
            self.seen.parser().process(&bytes[..count]);
        }
    }
}

fn run<O>(open: O) -> (PanelThread, Receiver<Option<PanelError>>)
where
    O: FnMut() -> Result<Box<dyn Panel>, PanelError> + Send + 'static,
{
    let (report, reports) = channel();
    let thread = PanelThread::spawn("pty", open, clock::boot, move |fault| {
        let _ = report.send(fault.cloned());
    });
    (thread.unwrap(), reports)
}

/// A code that lives for 100 s from now on.
fn fresh() -> Screen {
    let Screen::SignIn(mut sign_in) = microsoft() else { unreachable!() };
    sign_in.expires = clock::boot() + Duration::from_secs(100);
    Screen::SignIn(sign_in)
}

#[test]
fn a_terminal_shows_counts_down_and_clears() {
    let (mut person, path) = Person::new(80, 24);
    let (panel, _reports) = run(move || Ok(Box::new(Terminal::open(&path)?)));
    panel.show(fresh());
    person.look_until(|text| {
        text.contains("WDJB-MJHT") && text.contains("█") && text.contains("1:40 left")
    });
    person.look_until(|text| text.contains("1:39 left"));
    panel.show(Screen::Online);
    person.look_until(|text| {
        text.contains("Online") && !text.contains("WDJB-MJHT") && !text.contains("█")
    });
    panel.show(fresh());
    person.look_until(|text| text.contains("WDJB-MJHT"));
    assert!(panel.stop(SOON));
    person.look_until(|text| !text.contains("WDJB-MJHT"));
    assert!(!person.seen.history().contains("WDJB-MJHT"));
}

#[test]
fn a_serial_line_says_it_again_on_enter() {
    let (mut person, path) = Person::new(80, 24);
    let (panel, _reports) = run(move || Ok(Box::new(Serial::open(&path, 115_200)?)));
    panel.show(sign_in("WDJB-MJHT", "https://a.example", None));
    person.look_until(|text| text.contains("code WDJB-MJHT"));
    person.side.write_all(b"abc\r").unwrap();
    person.look_until(|text| text.matches("code WDJB-MJHT").count() == 2);
    assert!(!person.seen.text().contains("abc"), "nothing is echoed");
    assert!(panel.stop(SOON));
}

#[test]
fn a_serial_line_says_it_again_every_minute_and_nothing_in_between() {
    let mut written = Vec::new();
    let mut panel = Serial::new(&mut written);
    let at = Duration::from_secs;
    assert_eq!(panel.show(&microsoft(), at(10)), Ok(Some(at(60))));
    assert_eq!(panel.show(&microsoft(), at(50)), Ok(Some(at(20))));
    assert_eq!(panel.show(&microsoft(), at(70)), Ok(Some(at(60))));
    for stored in 0..100 {
        panel.show(&Screen::Offline { stored }, at(71 + stored)).unwrap();
    }
    let text = String::from_utf8(written).unwrap();
    assert_eq!(text.matches("SIGN IN REQUIRED").count(), 2);
    assert_eq!(text.matches("OFFLINE").count(), 1, "a number that counts is no news");
}

#[test]
fn a_line_that_is_cut_is_reported() {
    let (mut person, path) = Person::new(80, 24);
    let (panel, reports) = run(move || Ok(Box::new(Serial::open(&path, 9600)?)));
    panel.show(Screen::Online);
    person.look_until(|text| text.contains("ONLINE"));
    drop(person);
    assert_eq!(reports.recv_timeout(SOON), Ok(Some(PanelError::new("was disconnected"))));
}

#[test]
fn the_speed_is_set() {
    let (person, path) = Person::new(80, 24);
    let _port = Port::serial(&path, 57_600).unwrap();
    let mode = tcgetattr(&person.side).unwrap();
    assert_eq!((mode.output_speed(), mode.input_speed()), (57_600, 57_600));
}

#[test]
fn what_is_no_terminal_is_refused_by_name() {
    for (path, part) in [
        ("/dev/null", "/dev/null is not a terminal or serial port"),
        ("/dev/no-such-tty", "finds that /dev/no-such-tty does not exist: check its name"),
    ] {
        let error = Terminal::open(path.as_ref()).unwrap_err().to_string();
        assert!(error.starts_with(part), "{error}");
        let error = Serial::open(path.as_ref(), 9600).unwrap_err().to_string();
        assert!(error.starts_with(part), "{error}");
    }
}
