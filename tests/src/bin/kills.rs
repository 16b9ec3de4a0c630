//! `kill -9` at random instants, with the agent as it runs on devices: its process, its sockets,
//! its files. Prints a line, then one JSON object; the exit code is 1 if a promise was broken.
//!
//! Four programs send numbered records (three logs, one metrics, 1 to 40 a request) and keep a list
//! of what was acknowledged. The backend outlives the agent and is now well, now gone, now unwell,
//! and now takes a batch and cuts the connection instead of answering. Whatever was acknowledged
//! must be there at the end, and under one `Idempotency-Key`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program to look at")]

use serde_json::json;
use signpost_core::otlp::Signal;
use signpost_hal::clock;
use signpost_sandbox::Sandbox;
use signpost_tests::{
    flash::chance::Chance,
    rig::{
        self,
        agent::{Home, PATIENCE, Setup, program},
        ledger::Ledger,
        rest,
        sender::Programs,
        sink::{Mood, listen},
    },
};
use std::{
    error::Error,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

const USAGE: &str = "usage: kills [--kills N] [--seed S]";

/// How long an agent lives at most, in milliseconds.
const LONGEST_LIFE: u64 = 400;

/// What programs, backend and the killer share.
#[derive(Default)]
struct Stage {
    ledger: Mutex<Ledger>,
    programs: Programs,
    mood: Mood,
}

impl Stage {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn main() -> ExitCode {
    let (kills, seed) = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("kills: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(kills, seed) {
        Ok(held) => ExitCode::from(u8::from(!held)),
        Err(error) => {
            eprintln!("kills: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<(u64, u64), String> {
    let (mut kills, mut seed) = (30, 1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(format!("{arg} needs a number"))?;
        let number = value.parse().map_err(|_| format!("{arg} {value}: not a whole number"))?;
        match arg.as_str() {
            "--kills" => kills = number,
            "--seed" => seed = number,
            _ => return Err(format!("{arg}: no such option")),
        }
    }
    Ok((kills, seed))
}

fn run(kills: u64, seed: u64) -> Result<bool, Box<dyn Error>> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let sandbox = runtime.block_on(Sandbox::start(rig::lenient_issuer()))?;
    let stage = Arc::new(Stage::default());
    let backend = Arc::clone(&stage);
    let backend = listen(
        None,
        Arc::new(move |arrived| backend.mood.answer(|| backend.ledger().take(&arrived).map(drop))),
    )?;
    let folder = tempfile::tempdir()?;
    let setup = Setup {
        issuer: sandbox.issuer_url(),
        telemetry: &format!("http://{backend}"),
        ca: None,
        spool: "8 MiB",
        // Nothing is to be given up: what does not fit is refused.
        more: "[telemetry.when_full]\nmetrics = \"refuse\"\nlogs = \"refuse\"\n",
    };
    let home = Home::new(folder.path(), program()?, &setup)?;
    let first = home.sign_in(&runtime, &sandbox)?;
    // Until flash has the grant.
    rest(Duration::from_secs(1));
    first.kill()?;

    let mut chance = Chance::seeded(seed);
    let senders: Vec<_> = [Signal::Logs, Signal::Logs, Signal::Logs, Signal::Metrics]
        .into_iter()
        .map(|signal| {
            let (stage, chance) = (Arc::clone(&stage), Chance::seeded(chance.below(u64::MAX)));
            let to = home.intake();
            thread::spawn(move || {
                let acknowledged = |numbers| stage.ledger().acknowledge(numbers);
                stage.programs.send(signal, to, chance, acknowledged);
            })
        })
        .collect();
    let began = clock::boot();
    let (mut starts, mut most_repeats) = (Vec::new(), 0);
    for kill in 0..kills {
        let agent = home.start()?;
        starts.push(home.wait_until_ready()?);
        stage.mood.change(&mut chance);
        rest(Duration::from_millis(chance.below(LONGEST_LIFE)));
        agent.kill().map_err(|error| format!("{error}:\n{}", home.told()))?;
        // Of each stream the batch that was in flight when a life ended, and no other.
        most_repeats = most_repeats.max(stage.ledger().end_life());
        if kill % 100 == 99 {
            eprintln!("{} kills, {} acknowledged", kill + 1, stage.ledger().acknowledged());
        }
    }
    let took = clock::boot() - began;
    stage.programs.stop();
    for sender in senders {
        sender.join().map_err(|_| "a sender ended in a panic")?;
    }
    stage.mood.mend();
    let last = home.start()?;
    let until = clock::boot() + PATIENCE;
    while stage.ledger().missing() > 0 && clock::boot() < until {
        rest(Duration::from_millis(50));
    }
    last.kill()?;
    starts.sort();
    Ok(print(&stage.ledger(), kills, seed, took, &starts, most_repeats))
}

/// Whether every promise held.
fn print(
    ledger: &Ledger,
    kills: u64,
    seed: u64,
    took: Duration,
    starts: &[Duration],
    most_repeats: usize,
) -> bool {
    let missing = ledger.missing();
    let millis = |share: usize| {
        let index = (starts.len() * share / 100).min(starts.len().saturating_sub(1));
        starts.get(index).map_or(0.0, |span| span.as_secs_f64() * 1e3)
    };
    let held =
        missing == 0 && ledger.duplicates == 0 && ledger.broken_keys == 0 && most_repeats <= 1;
    println!(
        "{kills} kills in {:.0} s: {} acknowledged, {missing} missing; batches came again {} times \
         (after a kill at most {most_repeats} of a stream, of {} records), {} duplicates by key; ready after {:.0} ms, 99 of \
         100 after {:.0} ms",
        took.as_secs_f64(),
        ledger.acknowledged(),
        ledger.repeated,
        ledger.largest_repeat,
        ledger.duplicates,
        millis(50),
        millis(99),
    );
    println!(
        "{}",
        json!({
            "kills": kills, "seed": seed, "acknowledged": ledger.acknowledged(),
            "delivered": ledger.delivered(), "missing": missing, "duplicates": ledger.duplicates,
            "repeated_batches": ledger.repeated, "most_repeats_after_a_kill": most_repeats,
            "largest_repeat": ledger.largest_repeat, "broken_keys": ledger.broken_keys,
            "ready_ms_p50": millis(50), "ready_ms_p99": millis(99), "ready_ms_max": millis(100),
        })
    );
    held
}
