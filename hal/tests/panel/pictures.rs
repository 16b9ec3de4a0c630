//! Every screen as a text picture.

use std::fmt::Write as _;

use signpost_hal::panel::{Panel as _, Serial};
use signpost_hal::screen::{Language, Screen, Surface, layout};

use crate::emulated::Emulated;
use crate::golden::{compare, compare_text};
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
fn a_terminal_and_a_serial_line_speak_the_language_they_were_told() {
    let language = Language::of("de");
    let terminal = Emulated::new(80, 24);
    terminal.panel().in_language(language).show(&microsoft(), NOW).unwrap();
    let mut written = Vec::new();
    Serial::new(&mut written).in_language(language).show(&Screen::NoNetwork, NOW).unwrap();
    let text = terminal.text();
    assert!(text.contains("Gerät anmelden") && text.contains("Wartet auf Sie: noch 14:32"));
    assert!(String::from_utf8(written).unwrap().contains("KEIN NETZ"));
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
