//! A code is taken off the terminal as soon as it is over, and whatever else was there stays.

use std::time::Duration;

use signpost_hal::panel::{Panel as _, Terminal};
use signpost_hal::screen::Screen;

use crate::emulated::Emulated;
use crate::samples::{NOW, every_screen, keycloak, microsoft};

const SECRETS: [&str; 4] = ["WDJB", "devicelogin", "█", "Anna"];

fn assert_nothing_private(terminal: &Emulated) {
    let history = terminal.history();
    assert_eq!(SECRETS.into_iter().find(|secret| history.contains(secret)), None, "{history}");
}

fn shown() -> (Emulated, Terminal<Emulated>) {
    let terminal = Emulated::new(80, 24);
    terminal.print("$ signpost run\r\nearlier\r\n");
    let mut panel = terminal.panel();
    panel.show(&microsoft(), NOW).unwrap();
    (terminal, panel)
}

#[test]
fn every_other_screen_takes_the_code_away() {
    for (name, screen) in every_screen().into_iter().filter(|(_, screen)| !screen.is_private()) {
        let (terminal, mut panel) = shown();
        assert!(terminal.text().contains("WDJB-MJHT"));
        panel.show(&screen, NOW).unwrap();
        assert_nothing_private(&terminal);
        assert!(terminal.history().starts_with("$ signpost run\nearlier\n"), "{name}");
        let title = terminal.text();
        assert!(!title.trim().is_empty(), "{name} is on the screen");
    }
}

#[test]
fn clearing_takes_code_and_account_away() {
    let (terminal, mut panel) = shown();
    panel.clear().unwrap();
    assert_nothing_private(&terminal);
    panel.show(&Screen::SignedIn { account: Some("Anna / ACME".to_owned()) }, NOW).unwrap();
    assert!(terminal.text().contains("Anna"));
    panel.clear().unwrap();
    assert_nothing_private(&terminal);
}

#[test]
fn what_others_print_scrolls_below_the_code_and_pushes_none_of_it_into_history() {
    let (terminal, mut panel) = shown();
    for line in 0..100 {
        terminal.print(&format!("log {line}\r\n"));
        panel.show(&microsoft(), NOW + Duration::from_secs(line)).unwrap();
        assert!(
            terminal.text().contains("WDJB-MJHT")
                && terminal.text().contains(&format!("log {line}\n"))
        );
    }
    panel.show(&Screen::Online, NOW).unwrap();
    assert_nothing_private(&terminal);
    assert!(terminal.text().contains("log 99\n  Online\n"), "{}", terminal.text());
}

#[test]
fn a_resized_terminal_gets_a_new_picture_and_keeps_nothing() {
    let (terminal, mut panel) = shown();
    for (columns, rows) in [(60, 10), (132, 50), (30, 24), (80, 24)] {
        terminal.resize(columns, rows);
        panel.show(&keycloak(), NOW).unwrap();
        assert!(terminal.text().contains("WDJB-MJHT"), "{columns} x {rows}\n{}", terminal.text());
        assert_eq!(terminal.history().matches("WDJB-MJHT").count(), 1);
    }
    terminal.resize(50, 12);
    panel.show(&Screen::Online, NOW).unwrap();
    assert_nothing_private(&terminal);
}

#[test]
fn a_second_of_countdown_writes_one_row() {
    let (terminal, mut panel) = shown();
    let before = terminal.text();
    terminal.parser().screen_mut().clear_scrollback();
    let after = panel.show(&microsoft(), NOW + Duration::from_millis(400)).unwrap();
    assert_eq!(after, Some(Duration::from_millis(600)), "the next whole second");
    assert_eq!(terminal.text(), before);
    panel.show(&microsoft(), NOW + Duration::from_secs(1)).unwrap();
    assert_eq!(terminal.text(), before.replace("14:32", "14:31"));
}

#[test]
fn a_screen_that_someone_cleared_comes_back() {
    let (terminal, mut panel) = shown();
    terminal.print("\x1b[H\x1b[2J");
    panel.show(&microsoft(), NOW + Duration::from_secs(30)).unwrap();
    assert!(terminal.text().contains("WDJB-MJHT"));
}

#[test]
fn a_code_that_ran_out_stops_counting() {
    let (terminal, mut panel) = shown();
    panel.show(&microsoft(), NOW + Duration::from_secs(10_000)).unwrap();
    assert!(terminal.text().contains("0:00 left"));
}
