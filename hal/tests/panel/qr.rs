//! What a phone would read off a terminal.

use signpost_hal::panel::Panel as _;

use crate::emulated::Emulated;
use crate::samples::{NOW, addresses, keycloak, sign_in};

/// Pixels along the edge of a module.
const SCALE: usize = 4;
/// A dark theme around the lit field.
const THEME: u8 = 30;

/// The terminal as grey pixels, and the decoded QR codes on it.
fn read(terminal: &Emulated) -> Vec<String> {
    let (columns, rows) = terminal.size();
    let parser = terminal.parser();
    let grey = |colour| match colour {
        vt100::Color::Idx(16) => 0,
        vt100::Color::Idx(231) => 255,
        vt100::Color::Default => THEME,
        vt100::Color::Idx(_) | vt100::Color::Rgb(..) => panic!("a colour that a theme may change"),
    };
    let module = |row: u16, column| {
        let cell = parser.screen().cell(row / 2, column).unwrap();
        match (cell.contents(), row % 2) {
            ("█", _) | ("▀", 0) | ("▄", 1) => grey(cell.fgcolor()),
            _ => grey(cell.bgcolor()),
        }
    };
    let modules: Vec<Vec<u8>> =
        (0..2 * rows).map(|row| (0..columns).map(|column| module(row, column)).collect()).collect();
    let (width, height) = (usize::from(columns) * SCALE, usize::from(rows) * 2 * SCALE);
    let pixel = |x: usize, y: usize| modules[y / SCALE][x / SCALE];
    let mut picture = rqrr::PreparedImage::prepare_from_greyscale(width, height, pixel);
    picture.detect_grids().iter().map(|grid| grid.decode().unwrap().1).collect()
}

/// Scheme and host compare without case, the rest with it.
fn same_address(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    format!("{}://{}{}", scheme.to_lowercase(), rest[..end].to_lowercase(), &rest[end..])
}

#[test]
fn every_address_of_the_field_is_read_as_it_was_given() {
    for uri in addresses() {
        let terminal = Emulated::new(132, 50);
        terminal.panel().show(&sign_in("WDJB-MJHT", &uri, None), NOW).unwrap();
        let read: Vec<_> = read(&terminal).iter().map(|uri| same_address(uri)).collect();
        assert_eq!(read, [same_address(&uri)]);
    }
}

#[test]
fn the_complete_address_is_preferred_and_the_plain_one_is_the_second_choice() {
    let shown = |columns, rows| {
        let terminal = Emulated::new(columns, rows);
        terminal.panel().show(&keycloak(), NOW).unwrap();
        assert!(terminal.text().contains("WDJB-MJHT"), "the code is always shown as text");
        read(&terminal).iter().map(|uri| same_address(uri)).collect::<Vec<_>>()
    };
    let plain = "https://sso.example.com/realms/acme/device";
    assert_eq!(shown(80, 24), [format!("{plain}?user_code=WDJB-MJHT")]);
    assert_eq!(shown(80, 20), [plain.to_owned()]);
    assert_eq!(shown(80, 16), [""; 0]);
}

#[test]
fn common_terminals_show_a_code_for_every_known_address() {
    for uri in addresses().iter().filter(|uri| uri.len() <= 90) {
        let terminal = Emulated::new(80, 24);
        terminal.panel().show(&sign_in("WDJB-MJHT", uri, None), NOW).unwrap();
        assert_eq!(read(&terminal).len(), 1, "{uri}");
    }
}
