//! Every screen as a text picture, compared with `golden/*.txt`.
//!
//! `UPDATE_GOLDEN=1` writes the pictures anew; look at each change before it is committed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use signpost_hal::panel::{Panel as _, Serial};
use signpost_hal::screen::{Screen, Surface, layout};

use crate::emulated::Emulated;
use crate::samples::{NOW, every_screen, keycloak, microsoft, sign_in};

fn on_terminal(screen: &Screen, columns: u16, rows: u16) -> String {
    let terminal = Emulated::new(columns, rows);
    terminal.panel().show(screen, NOW).unwrap();
    terminal.text()
}

fn on_serial(screen: &Screen) -> String {
    let mut written = Vec::new();
    Serial::new(&mut written).show(screen, NOW).unwrap();
    String::from_utf8(written).unwrap().replace("\r\n", "\n")
}

/// All pages, one under the other, with how long each stays.
fn on_characters(screen: &Screen, columns: u16, rows: u16) -> String {
    let surface = Surface::Characters { columns, rows };
    let mut picture = String::new();
    for page in 0..layout(screen, surface, 0, NOW).pages {
        let frame = layout(screen, surface, page, NOW);
        for line in &frame.lines {
            let _ = writeln!(picture, "|{:width$}|", line.text, width = columns.into());
        }
        if frame.pages > 1 {
            let _ = writeln!(picture, "  {} s", frame.stay.as_secs());
        }
    }
    picture
}

#[test]
fn every_screen_on_a_terminal_of_80_columns() {
    compare("terminal.txt", every_screen(), |screen| on_terminal(screen, 80, 24));
}

#[test]
fn every_screen_on_a_serial_line() {
    compare("serial.txt", every_screen(), on_serial);
}

#[test]
fn every_screen_on_16x2_and_20x4_characters() {
    for (file, columns, rows) in [("16x2.txt", 16, 2), ("20x4.txt", 20, 4)] {
        compare(file, every_screen(), |screen| on_characters(screen, columns, rows));
    }
}

#[test]
fn a_sign_in_on_terminals_of_other_sizes() {
    let long_path = format!("https://sso.acme.example/{}", "realms/greenhouse/".repeat(6));
    let sizes = [
        ("40 x 40: text under the code", 40, 40, microsoft()),
        ("40 x 24: no room for the code", 40, 24, microsoft()),
        ("70 x 20: the plain address is the one that fits", 70, 20, keycloak()),
        ("20 x 8: bare necessities", 20, 8, microsoft()),
        ("80 x 3: hardly a terminal", 80, 3, microsoft()),
        ("132 x 50: a long address", 132, 50, sign_in("WDJB-MJHT", &long_path, None)),
    ];
    let mut all = String::new();
    for (name, columns, rows, screen) in sizes {
        let _ = writeln!(all, "== {name}\n{}", on_terminal(&screen, columns, rows));
    }
    compare_text("sizes.txt", &all);
}

fn compare(file: &str, screens: Vec<(&str, Screen)>, picture: impl Fn(&Screen) -> String) {
    let mut all = String::new();
    for (name, screen) in screens {
        let _ = writeln!(all, "== {name}\n{}", picture(&screen));
    }
    compare_text(file, &all);
}

fn compare_text(file: &str, picture: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/panel/golden").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        File::create(&path).unwrap().write_all(picture.as_bytes()).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if golden == picture {
        return;
    }
    let (mut old, mut new) = (golden.lines(), picture.lines());
    let mut report = String::new();
    for number in 1.. {
        match (old.next(), new.next()) {
            (None, None) => break,
            (old, new) if old == new => {}
            (old, new) => {
                let _ = writeln!(
                    report,
                    "{number:4} golden |{}\n     now    |{}",
                    old.unwrap_or("<end>"),
                    new.unwrap_or("<end>")
                );
            }
        }
    }
    panic!("{} differs (UPDATE_GOLDEN=1 accepts):\n{report}", path.display());
}
