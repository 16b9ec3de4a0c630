//! Simulated lives against the invariants: a table, and one JSON object as the last line.
//!
//! `world --seeds N --from S --days D [--climate calm|usual|stormy]` lives N lives; the exit code
//! is 1 if any invariant was broken. `world --seed S --days D --trace` tells one life in full.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program to look at")]

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use signpost_tests::world::{Climate, Lived, live};
use std::{process::ExitCode, time::Duration};

const USAGE: &str = "usage: world [--seeds N] [--from S] [--days D] [--climate calm|usual|stormy]
       world --seed S [--days D] [--climate …] [--trace]";

/// How many lines before a broken invariant are shown.
const SHORT_TRACE: usize = 40;

/// Progress is shown this often.
const REPORT_EVERY: u64 = 100;

struct Options {
    seeds: u64,
    from: u64,
    days: u32,
    climate: Climate,
    trace: bool,
}

fn main() -> ExitCode {
    match Options::read(std::env::args().skip(1)) {
        Some(options) if options.trace => tell(&options),
        Some(options) => live_all(&options),
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

impl Options {
    fn read(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let mut options =
            Self { seeds: 100, from: 1, days: 30, climate: Climate::Usual, trace: false };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--seeds" => options.seeds = args.next()?.parse().ok()?,
                "--from" => options.from = args.next()?.parse().ok()?,
                "--seed" => {
                    options.from = args.next()?.parse().ok()?;
                    options.seeds = 1;
                }
                "--days" => options.days = args.next()?.parse().ok()?,
                "--climate" => options.climate = Climate::named(&args.next()?)?,
                "--trace" => options.trace = true,
                _ => return None,
            }
        }
        Some(options)
    }
}

/// One life, in full.
fn tell(options: &Options) -> ExitCode {
    let lived = live(options.from, options.days, options.climate, None, true);
    lived.lines.iter().for_each(|line| println!("{line}"));
    show_broken(&lived);
    println!("{:?}", lived.balance);
    if lived.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn live_all(options: &Options) -> ExitCode {
    let started = cpu_time();
    let mut totals = Totals::default();
    println!(
        "{:>8} {:>10} {:>10} {:>10} {:>8}",
        "lives", "exchanges", "refreshes", "records", "broken"
    );
    for done in 0..options.seeds {
        let lived = live(options.from + done, options.days, options.climate, None, false);
        totals.add(&lived);
        if !lived.broken.is_empty() {
            show_life(options, lived.seed);
        }
        if (done + 1) % REPORT_EVERY == 0 || done + 1 == options.seeds {
            totals.show(done + 1);
        }
    }
    let seconds = (cpu_time() - started).as_secs_f64();
    let device_days = options.seeds * u64::from(options.days);
    let broken: Vec<_> = totals
        .broken
        .iter()
        .map(|(seed, invariant)| json!({ "seed": seed, "invariant": invariant }))
        .collect();
    let is_whole = broken.is_empty();
    println!(
        "{}",
        json!({
            "seeds": options.seeds,
            "from": options.from,
            "days": options.days,
            "device_days": device_days,
            "broken": broken,
            "records": totals.records,
            "refreshes": totals.refreshes,
            "cpu_seconds": (seconds * 100.0).round() / 100.0,
            "device_days_per_cpu_second": (device_days as f64 / seconds).round(),
        })
    );
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Totals {
    exchanges: u64,
    refreshes: u64,
    records: u64,
    broken: Vec<(u64, u8)>,
}

impl Totals {
    fn add(&mut self, lived: &Lived) {
        self.exchanges += lived.exchanges;
        self.refreshes += lived.refreshes;
        self.records += lived.balance.acknowledged;
        let mut invariants: Vec<u8> = lived.broken.iter().map(|broken| broken.invariant).collect();
        invariants.dedup();
        self.broken.extend(invariants.into_iter().map(|invariant| (lived.seed, invariant)));
    }

    fn show(&self, lives: u64) {
        let Self { exchanges, refreshes, records, broken } = self;
        println!("{lives:>8} {exchanges:>10} {refreshes:>10} {records:>10} {:>8}", broken.len());
    }
}

/// A broken life is lived again to see what led there: the same seed gives the same life.
fn show_life(options: &Options, seed: u64) {
    let lived = live(seed, options.days, options.climate, None, true);
    show_broken(&lived);
    let first = lived.lines.iter().position(|line| line.contains("BROKEN"));
    let end = first.map_or(lived.lines.len(), |first| first + 1);
    lived.lines[end.saturating_sub(SHORT_TRACE)..end]
        .iter()
        .for_each(|line| println!("    {line}"));
}

fn show_broken(lived: &Lived) {
    for broken in &lived.broken {
        let day = broken.at.as_secs_f64() / 86_400.0;
        println!(
            "seed {}: invariant {} on day {day:.3}: {}",
            lived.seed, broken.invariant, broken.what
        );
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
