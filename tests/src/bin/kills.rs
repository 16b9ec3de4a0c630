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
use signpost_sandbox::{Options, Rotation, Sandbox};
use signpost_tests::flash::chance::Chance;
use signpost_tests::rig::{
    agent::{Home, Setup, program},
    ledger::Ledger,
    requests::request,
    rest,
    sender::Sender,
    sink::{Arrived, Reply, listen},
};
use std::{
    error::Error,
    io,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

const USAGE: &str = "usage: kills [--kills N] [--seed S]";

/// How long anything but a kill is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long an agent lives at most.
const LONGEST_LIFE: u64 = 400;

/// What sender threads, backend and the killer share.
#[derive(Default)]
struct Stage {
    ledger: Mutex<Ledger>,
    next_number: AtomicU64,
    /// How the backend is: see [`Stage::take`].
    mood: AtomicU64,
    stop: AtomicBool,
}

impl Stage {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the backend does with a batch.
    fn take(&self, arrived: &Arrived) -> Reply {
        match self.mood.load(Ordering::Relaxed) {
            // Away, and unwell.
            1 => return Reply::Cut,
            2 => return Reply::Status(503),
            _ => {}
        }
        let taken = self.ledger().take(arrived);
        match (taken, self.mood.load(Ordering::Relaxed)) {
            (Err(_), _) => Reply::Status(400),
            // Gone before it has answered.
            (Ok(_), 3) => Reply::Cut,
            (Ok(_), _) => Reply::Status(200),
        }
    }

    /// A program that sends until the end.
    fn send(&self, signal: Signal, to: std::net::SocketAddr, mut chance: Chance) {
        let mut sender = Sender::new(to);
        while !self.stop.load(Ordering::Relaxed) {
            let count = 1 + chance.below(40);
            let first = self.next_number.fetch_add(count, Ordering::Relaxed);
            let numbers = first..first + count;
            let framed = Sender::frame(signal, &request(signal, numbers.clone()));
            match sender.send(&framed) {
                Ok(200) => self.ledger().acknowledge(numbers),
                // It is told to come later, or there is nobody to tell.
                Ok(_) | Err(_) => rest(Duration::from_millis(2)),
            }
        }
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
    // A refresh that a kill interrupts must not end the grant: that is the issuer's policy, and
    // not what is tested here.
    let options = Options {
        interval: Some(Duration::from_secs(1)),
        rotation: Rotation::Lenient,
        ..Options::default()
    };
    let sandbox = runtime.block_on(Sandbox::start(options))?;
    let stage = Arc::new(Stage::default());
    let backend = Arc::clone(&stage);
    let backend = listen(None, Arc::new(move |arrived| backend.take(&arrived)))?;
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
    sign_in(&runtime, &sandbox, &home)?;

    let mut chance = Chance::seeded(seed);
    let senders: Vec<_> = [Signal::Logs, Signal::Logs, Signal::Logs, Signal::Metrics]
        .into_iter()
        .map(|signal| {
            let (stage, chance) = (Arc::clone(&stage), Chance::seeded(chance.below(u64::MAX)));
            let to = home.intake();
            thread::spawn(move || stage.send(signal, to, chance))
        })
        .collect();
    let began = clock::boot();
    let (mut starts, mut most_repeats) = (Vec::new(), 0);
    for kill in 0..kills {
        let agent = home.start()?;
        starts.push(ready(&home)?);
        // Well twice as often as anything else.
        stage.mood.store(chance.below(5).saturating_sub(1), Ordering::Relaxed);
        rest(Duration::from_millis(chance.below(LONGEST_LIFE)));
        agent.kill().map_err(|error| format!("{error}:\n{}", home.told()))?;
        // The batch that was in flight when the last life ended, and no other. One whose answer is
        // lost stays it until there is one.
        most_repeats = most_repeats.max(stage.ledger().repeats());
        if kill % 100 == 99 {
            eprintln!("{} kills, {} acknowledged", kill + 1, stage.ledger().acknowledged());
        }
    }
    let took = clock::boot() - began;
    stage.stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().map_err(|_| "a sender ended in a panic")?;
    }
    stage.mood.store(0, Ordering::Relaxed);
    let last = home.start()?;
    let until = clock::boot() + PATIENCE;
    while stage.ledger().missing() > 0 && clock::boot() < until {
        rest(Duration::from_millis(50));
    }
    last.kill()?;
    starts.sort();
    Ok(print(&stage.ledger(), kills, seed, took, &starts, most_repeats))
}

fn sign_in(
    runtime: &tokio::runtime::Runtime,
    sandbox: &Sandbox,
    home: &Home,
) -> Result<(), Box<dyn Error>> {
    let agent = home.start()?;
    runtime.block_on(sandbox.wait_until(PATIENCE, |s| !s.pending_codes().is_empty()));
    for pending in sandbox.pending_codes() {
        sandbox.approve(&pending.user_code, "anna").map_err(|error| format!("{error:?}"))?;
    }
    let signed_in = runtime.block_on(sandbox.wait_until(PATIENCE, |s| s.grant_count("anna") > 0));
    if !signed_in {
        return Err(format!("nobody is signed in:\n{}", home.told()).into());
    }
    // Until flash has it.
    rest(Duration::from_secs(1));
    agent.kill()?;
    Ok(())
}

/// Waits until the agent takes something in: how long that took.
fn ready(home: &Home) -> Result<Duration, Box<dyn Error>> {
    let began = clock::boot();
    while clock::boot() < began + PATIENCE {
        // An empty request needs no flash: that the agent answers shows that its store is open.
        match Sender::new(home.intake()).send(&Sender::frame(Signal::Logs, b"")) {
            Ok(200) => return Ok(clock::boot() - began),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => {}
        }
        rest(Duration::from_millis(1));
    }
    Err(format!("the agent takes nothing in:\n{}", home.told()).into())
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
         (at most {most_repeats} a life, of {} records), {} duplicates by key; ready after {:.0} ms, 99 of \
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
            "repeated_batches": ledger.repeated, "most_repeats_a_life": most_repeats,
            "largest_repeat": ledger.largest_repeat, "broken_keys": ledger.broken_keys,
            "ready_ms_p50": millis(50), "ready_ms_p99": millis(99), "ready_ms_max": millis(100),
        })
    );
    held
}
