//! What panels cost the agent's loop: three whose bus takes 3 s for each transaction, three that
//! are torn off, put back and lose their power all the time, beside an agent without any.
//!
//! The lateness of the loop is how long it takes to answer a question over its own door, asked
//! every two milliseconds while it signs in, sends and shows; the end is the time from the order to
//! stop until everything is over. Prints a table, then one JSON object as the last line.

mod inside;

use inside::Inside;
use serde_json::{Value, json};
use signpost::ports::Call;
use signpost_hal::{
    clock,
    panel::bus::BusName,
    sim::{Chip, EmulatedBoard, I2cChip, Log, Oled, OledKind, Part, Time},
};
use std::{
    error::Error,
    fmt::Write as _,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    runtime,
    time::{MissedTickBehavior, interval},
};

const KINDS: u8 = 3;
/// How long a slow bus takes for one transaction.
const SLOW: Duration = Duration::from_secs(3);
/// How long each agent is asked.
const ASKED_FOR: Duration = Duration::from_secs(20);
const ASKED_EVERY: Duration = Duration::from_millis(2);

/// A display at the end of a bus that takes its time.
struct Slow;

impl Chip for Slow {
    fn power_on(&mut self, _: &mut Log) {}
}

impl I2cChip for Slow {
    fn start(&mut self, _: &mut Log) {
        let (never, nobody) = (Mutex::new(()), Condvar::new());
        let guard = never.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = nobody.wait_timeout(guard, SLOW);
    }

    fn write(&mut self, _: u8, _: &mut Log) -> bool {
        true
    }
}

/// The buses, and the panels that somebody tears at.
fn board(panels: bool) -> (EmulatedBoard, Vec<Part<Oled>>, String) {
    let time = Time::default();
    let board = EmulatedBoard::new(&time);
    let (mut torn, mut toml) = (Vec::new(), String::new());
    for number in 0..if panels { KINDS } else { 0 } {
        board.hang_i2c(BusName::I2c(number), 0x27, &Part::new(&time, Slow));
        let oled = Part::new(&time, Oled::new(OledKind::Ssd1306, 64));
        board.hang_i2c(BusName::I2c(10 + number), 0x3C, &oled);
        torn.push(oled);
        let _ = write!(
            toml,
            "[panel.slow{number}]\nkind = \"hd44780\"\nbus = \"i2c-{number}\"\n\
             [panel.torn{number}]\nkind = \"ssd1306\"\nbus = \"i2c-{}\"\n",
            10 + number
        );
    }
    (board, torn, toml)
}

struct Measured {
    late: Vec<Duration>,
    stop: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut rows = Vec::new();
    for (name, panels) in [("without panels", false), ("six bad panels", true)] {
        let measured = runtime.block_on(measure(panels))?;
        rows.push(row(name, &measured));
    }
    print(&rows);
    Ok(())
}

async fn measure(panels: bool) -> Result<Measured, Box<dyn Error>> {
    let (board, torn, toml) = board(panels);
    let inside = Inside::start(board, &toml).await?;
    let over = AtomicBool::new(false);
    let late = thread::scope(|scope| {
        scope.spawn(|| tear(&torn, &over));
        let (here, inside) = (runtime::Handle::current(), &inside);
        let late = scope.spawn(move || here.block_on(ask(inside))).join();
        over.store(true, Ordering::SeqCst);
        late
    });
    let late = late.map_err(|_| "the questions ended in a panic")?;
    Ok(Measured { late, stop: inside.stop().await? })
}

/// Off, on again, and without power for a moment, over and over.
fn tear(panels: &[Part<Oled>], over: &AtomicBool) {
    let (never, nobody) = (Mutex::new(()), Condvar::new());
    let mut round = 0_u32;
    while !over.load(Ordering::SeqCst) {
        for panel in panels {
            match round % 3 {
                0 => panel.unplug(),
                1 => panel.plug(),
                _ => panel.glitch(),
            }
        }
        round += 1;
        let guard = never.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = nobody.wait_timeout(guard, Duration::from_millis(200));
    }
}

async fn ask(inside: &Inside) -> Vec<Duration> {
    let calls = &inside.calls;
    let mut ticks = interval(ASKED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let until = clock::boot() + ASKED_FOR;
    let mut late = Vec::new();
    while clock::boot() < until {
        ticks.tick().await;
        // Every second the picture may change on all of them, and whoever waits is approved.
        if late.len() % 500 == 0 {
            let _ = calls.ask(Call::TestPanels).await;
            inside.approve();
        }
        let began = clock::boot();
        let _ = calls.ask(Call::Status { private: false }).await;
        late.push(clock::boot() - began);
    }
    late.sort();
    late
}

fn row(name: &str, measured: &Measured) -> Value {
    let at = |share: usize| {
        let index = (measured.late.len() * share / 1000).min(measured.late.len().saturating_sub(1));
        measured.late.get(index).map_or(0.0, |late| late.as_secs_f64() * 1e3)
    };
    json!({
        "name": name,
        "questions": measured.late.len(),
        "late_p50_ms": at(500),
        "late_p99_ms": at(990),
        "late_max_ms": at(1000),
        "stop_ms": measured.stop.as_secs_f64() * 1e3,
    })
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn print(rows: &[Value]) {
    println!(
        "{:16} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "agent", "questions", "p50 ms", "p99 ms", "max ms", "stop ms"
    );
    for row in rows {
        let number = |key: &str| row[key].as_f64().unwrap_or_default();
        println!(
            "{:16} {:>9} {:>9.2} {:>9.2} {:>9.2} {:>9.1}",
            row["name"].as_str().unwrap_or_default(),
            number("questions"),
            number("late_p50_ms"),
            number("late_p99_ms"),
            number("late_max_ms"),
            number("stop_ms"),
        );
    }
    println!("goal: the loop late by less than 20 ms, the end within 100 ms");
    println!("{}", json!({ "agents": rows }));
}
