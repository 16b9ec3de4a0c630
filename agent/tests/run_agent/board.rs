//! The agent on an emulated board: panels, a lamp and a button at the ends of its buses.

use super::{device::Device, library::Running, servers::Servers};
use signpost::ports::{Answer, Call};
use signpost_hal::panel::bus::{BusName, LineName};
use signpost_hal::screen::Bitmap;
use signpost_hal::sim::{
    CharacterLcd, Chip, EmulatedBoard, EmulatedButton, EmulatedLamp, I2cChip, Log, Oled, OledKind,
    Part, Time,
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
    mpsc::{Receiver, Sender, channel},
};
use std::time::Duration;

const LCD_BUS: BusName = BusName::I2c(1);
const OLED_BUS: BusName = BusName::I2c(2);

const BOARD: &str = "\
[panel.lcd]
kind = \"hd44780\"
bus = \"i2c-1\"
[panel.oled]
kind = \"ssd1306\"
bus = \"i2c-2\"
[lamp.status]
line = \"gpiochip0:17\"
active_low = true
[button.main]
line = \"gpiochip0:27\"
";

struct Bench {
    board: EmulatedBoard,
    lcd: Part<CharacterLcd>,
    oled: Part<Oled>,
    lamp: EmulatedLamp,
    button: EmulatedButton,
}

fn bench() -> Bench {
    let time = Time::default();
    let board = EmulatedBoard::new(&time);
    let lcd = Part::new(&time, CharacterLcd::new(16, 2));
    board.hang_i2c(LCD_BUS, 0x27, &lcd);
    let oled = Part::new(&time, Oled::new(OledKind::Ssd1306, 64));
    board.hang_i2c(OLED_BUS, 0x3C, &oled);
    let lamp = board.hang_lamp(&LineName::Number(0, 17));
    let button = board.hang_button(&LineName::Number(0, 27));
    Bench { board, lcd, oled, lamp, button }
}

fn device(servers: &Servers) -> Device {
    let device = Device::new(servers);
    device.edit("[telemetry]", &format!("{BOARD}[telemetry]"));
    device
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let patience = async {
        while !is_so() {
            looks.tick().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), patience).await.is_ok(), "{what}");
}

fn shows(lcd: &Part<CharacterLcd>, text: &str) -> bool {
    lcd.look(CharacterLcd::text).concat().contains(text)
}

#[tokio::test]
async fn the_code_is_on_the_panel_and_a_press_asks_for_another() {
    let servers = Servers::start().await;
    let device = device(&servers);
    let Bench { board, lcd, lamp, button, .. } = bench();
    let agent = Running::start_on(board, &device);
    until("the code", || shows(&lcd, "CODE-1")).await;
    until("the lamp", || !lamp.is_high()).await;
    servers.world().approved = true;
    until("signed in", || shows(&lcd, "Signed in")).await;
    agent.becomes(|status| status.grant.status == "held").await;

    // Who is there wants to know who is signed in; nothing is started.
    servers.world().approved = false;
    let answer = agent.calls.ask(Call::SignOut).await.unwrap();
    assert!(matches!(answer, Answer::Done), "{answer:?}");
    until("nobody", || shows(&lcd, "Press button")).await;
    // Long enough to be no bounce.
    let mut held = tokio::time::interval(Duration::from_millis(50));
    held.tick().await;
    button.press(true);
    held.tick().await;
    button.press(false);
    until("another code", || shows(&lcd, "CODE-2")).await;
    assert_eq!(lcd.breaches(), []);
    agent.stop().await;
    assert_eq!(lcd.look(CharacterLcd::text).concat().trim(), "", "no code is left behind");
    assert!(lamp.is_high(), "and the lamp is off");
}

#[tokio::test]
async fn a_panel_that_is_not_there_is_a_fault_with_its_cause_and_no_obstacle() {
    let servers = Servers::start().await;
    let device = device(&servers);
    let Bench { board, lcd, oled, .. } = bench();
    lcd.unplug();
    let agent = Running::start_on(board, &device);
    let has_fault =
        |status: &signpost::status::Status| status.faults.iter().any(|fault| fault.code == "E22");
    let status = agent.becomes(has_fault).await;
    let fault = status.faults.iter().find(|fault| fault.code == "E22").unwrap();
    assert_eq!(fault.detail.as_deref(), Some("panel.lcd gets no answer on the emulated bus"));
    until("the other one", || oled.look(Oled::picture) != Bitmap::new(128, 64)).await;
    agent.becomes(|status| status.pairing.is_some()).await;
    lcd.plug();
    until("found again", || shows(&lcd, "CODE-1")).await;
    agent.becomes(|status| !has_fault(status)).await;
    agent.stop().await;
}

/// A display whose driver panics: in place of a driver of ours that is broken.
struct Panicking;

impl Chip for Panicking {
    fn power_on(&mut self, _: &mut Log) {}
}

impl I2cChip for Panicking {
    fn start(&mut self, _: &mut Log) {
        panic!("as a driver may")
    }

    fn write(&mut self, _: u8, _: &mut Log) -> bool {
        true
    }
}

/// What the next test runs in a process of its own, on the folder that it is told.
#[tokio::test]
#[ignore = "ends its process"]
async fn child_with_a_driver_that_panics() {
    let Some(root) = std::env::var_os("SIGNPOST_TEST_ROOT") else { return };
    let Bench { board, .. } = bench();
    board.hang_i2c(LCD_BUS, 0x27, &Part::new(&Time::default(), Panicking));
    let file = std::path::Path::new(&root).join("signpost.toml");
    let loaded = signpost::config::load(&signpost::config::Sources::file(&file)).unwrap();
    signpost::cli::exit_at_panic();
    let agent = signpost::shell::run::Agent::open_on(board, &loaded).unwrap();
    agent.run(std::future::pending()).await.unwrap();
}

#[tokio::test]
async fn invariant_9_a_driver_that_panics_costs_one_restart_and_is_left_alone() {
    let servers = Servers::start().await;
    let device = device(&servers);
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "board::child_with_a_driver_that_panics", "--ignored"]);
    child.env("SIGNPOST_TEST_ROOT", device.root());
    let ended = child.output().await.unwrap();
    assert_eq!(ended.status.code(), Some(70), "{ended:?}");

    let Bench { board, lcd, oled, .. } = bench();
    let agent = Running::start_on(board, &device);
    let status = agent.becomes(|status| status.pairing.is_some()).await;
    let fault = status.faults.iter().find(|fault| fault.code == "E22").unwrap();
    assert_eq!(
        fault.detail.as_deref(),
        Some("panel.lcd is left alone until the board starts anew: its driver panicked")
    );
    until("the other one", || oled.look(Oled::picture) != Bitmap::new(128, 64)).await;
    assert_eq!(lcd.look(CharacterLcd::text).concat().trim(), "", "it is not touched");
    agent.stop().await;
}

/// An LCD whose bus hangs while its gate is shut.
struct Hanging {
    gate: Mutex<Receiver<()>>,
    calls: Arc<AtomicU32>,
}

impl Chip for Hanging {
    fn power_on(&mut self, _: &mut Log) {}
}

impl I2cChip for Hanging {
    fn start(&mut self, _: &mut Log) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        // Shut until the other end is gone.
        let _ = self.gate.lock().unwrap().recv();
    }

    fn write(&mut self, _: u8, _: &mut Log) -> bool {
        true
    }
}

fn hanging() -> (Part<Hanging>, Sender<()>, Arc<AtomicU32>) {
    let (open, gate) = channel();
    let calls = Arc::new(AtomicU32::new(0));
    let chip = Hanging { gate: Mutex::new(gate), calls: Arc::clone(&calls) };
    (Part::new(&Time::default(), chip), open, calls)
}

/// The gate is shut from the start to after the end: whatever happens in between waited for nobody.
#[tokio::test]
async fn invariant_9_a_panel_whose_bus_hangs_stops_neither_sign_in_nor_refresh_nor_the_end() {
    let servers = Servers::start().await;
    let device = device(&servers);
    servers.world().lifetime = 2;
    let Bench { board, oled, .. } = bench();
    let (lcd, gate, calls) = hanging();
    board.hang_i2c(LCD_BUS, 0x27, &lcd);
    let agent = Running::start_on(board, &device);
    until("it hangs", || calls.load(Ordering::SeqCst) == 1).await;
    agent.becomes(|status| status.pairing.is_some()).await;
    servers.world().approved = true;
    agent.becomes(|status| status.grant.status == "held").await;
    let before = servers.world().refreshes;
    servers.saw(|world| world.refreshes > before && !world.telemetry.is_empty()).await;
    assert_eq!(oled.breaches(), [], "the other panel goes on");
    agent.stop().await;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "it hangs still");
    drop(gate);
}
