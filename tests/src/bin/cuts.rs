//! Torn images and crash chains over simulated flash: a table, and one JSON object as the last line.
//!
//! `cuts --images N --seed S` lives lives of both stores until at least N images were checked; the
//! exit code is 1 if any promise was broken. `cuts --seed S --life L` repeats one life.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program to look at")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use signpost_hal::flash::Geometry;
use signpost_tests::flash::chance::Chance;
use signpost_tests::flash::cuts::{Plan, Tally};
use signpost_tests::flash::{Kind, kinds};

const USAGE: &str = "usage: cuts [--images N] [--seed S]
       cuts --seed S --life L";

const PLAN: Plan = Plan { turns: 60, forks: 5 };
/// Failures that are told; all are counted.
const TOLD: usize = 5;
/// Characters of a failure that are shown.
const SHOWN: usize = 1200;

struct Options {
    images: u64,
    seed: u64,
    life: Option<u64>,
}

#[derive(Default)]
struct Outcome {
    tallies: Vec<(u64, Tally)>,
    failures: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("cuts: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let kinds = kinds();
    if let Some(life) = options.life {
        return repeat(&kinds, options.seed, life);
    }
    let (outcome, cpu) = run(&kinds, &options);
    print(&kinds, &options, &outcome, cpu);
    ExitCode::from(u8::from(!outcome.failures.is_empty()))
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { images: 100_000, seed: 1, life: None };
    while let Some(arg) = args.next() {
        let mut number = || -> Result<u64, String> {
            let value = args.next().ok_or(format!("{arg} needs a number"))?;
            value.parse().map_err(|_| format!("{arg} {value}: not a whole number"))
        };
        match arg.as_str() {
            "--images" => options.images = number()?,
            "--seed" => options.seed = number()?,
            "--life" => options.life = Some(number()?),
            _ => return Err(format!("{arg}: no such option")),
        }
    }
    Ok(options)
}

/// Life number `life` of a run: it depends on nothing else.
fn one(kinds: &[Kind], seed: u64, life: u64) -> Result<Tally, String> {
    let kind = &kinds[(life % kinds.len() as u64) as usize];
    let mut chance = Chance::seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ life);
    (kind.live)(&mut chance, kind.shape, PLAN)
}

fn repeat(kinds: &[Kind], seed: u64, life: u64) -> ExitCode {
    match one(kinds, seed, life) {
        Ok(tally) => {
            println!("life {life} of seed {seed}: {} images, nothing broken", tally.images);
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("life {life} of seed {seed}: {broken}");
            ExitCode::FAILURE
        }
    }
}

/// Lives on all cores until there are enough images.
fn run(kinds: &[Kind], options: &Options) -> (Outcome, Duration) {
    let (next, images) = (AtomicU64::new(0), AtomicU64::new(0));
    let outcome = Mutex::new(Outcome::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while images.load(Ordering::Relaxed) < options.images {
            let life = next.fetch_add(1, Ordering::Relaxed);
            let lived = one(kinds, options.seed, life);
            let mut outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match lived {
                Ok(tally) => {
                    let before = images.fetch_add(tally.images, Ordering::Relaxed);
                    outcome.tallies.push((life, tally));
                    let tenth = options.images.div_ceil(10);
                    if before / tenth != (before + tally.images) / tenth {
                        eprintln!("{} of {} images", before + tally.images, options.images);
                    }
                }
                Err(broken) => {
                    // A life that ended early counts as one image, so that the run ends, too.
                    images.fetch_add(1, Ordering::Relaxed);
                    outcome.failures.push((life, broken));
                }
            }
        }
    };
    let before = clock_gettime(ClockId::ProcessCPUTime);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let after = clock_gettime(ClockId::ProcessCPUTime);
    let cpu = Duration::from_secs((after.tv_sec - before.tv_sec).unsigned_abs())
        + Duration::from_nanos(after.tv_nsec.unsigned_abs())
        - Duration::from_nanos(before.tv_nsec.unsigned_abs());
    let outcome = outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    (outcome, cpu)
}

fn print(kinds: &[Kind], options: &Options, outcome: &Outcome, cpu: Duration) {
    println!(
        "{:<8} {:<28} {:>8} {:>10} {:>12} {:>8} {:>9}",
        "store", "flash", "lives", "images", "recovering", "in a row", "failures"
    );
    let mut total = Tally::default();
    let mut rows = Vec::new();
    for (n, kind) in kinds.iter().enumerate() {
        let of_kind = |life: u64| life as usize % kinds.len() == n;
        let mut tally = Tally::default();
        let lives = outcome.tallies.iter().filter(|(life, _)| of_kind(*life));
        let lives = lives.inspect(|(_, one)| tally.add(*one)).count();
        let failures = outcome.failures.iter().filter(|(life, _)| of_kind(*life)).count();
        let flash = shape(kind.shape);
        println!(
            "{:<8} {flash:<28} {lives:>8} {:>10} {:>12} {:>8} {failures:>9}",
            kind.store, tally.images, tally.recoveries, tally.longest_chain
        );
        rows.push(json!({
            "store": kind.store, "flash": flash, "lives": lives, "images": tally.images,
            "failures": failures,
        }));
        total.add(tally);
    }
    for (life, broken) in outcome.failures.iter().take(TOLD) {
        let shown: String = broken.chars().take(SHOWN).collect();
        println!("\nlife {life} (cuts --seed {} --life {life}): {shown}", options.seed);
    }
    println!(
        "\n{} images, {} cut again while recovering, at most {} cuts in a row; {} failures",
        total.images,
        total.recoveries,
        total.longest_chain,
        outcome.failures.len()
    );
    let summary = json!({
        "images": total.images, "failures": outcome.failures.len(), "seed": options.seed,
        "recovering": total.recoveries, "longest_chain": total.longest_chain,
        "steps": total.steps, "cpu_seconds": cpu.as_secs_f64(), "stores": rows,
    });
    println!("{summary}");
}

fn shape(shape: Geometry) -> String {
    let (unit, program, units) = (shape.erase_unit(), shape.program_unit(), shape.units());
    match shape.overwrites() {
        true => format!("file, {units} x {unit} B"),
        false => format!("NOR, {units} x {unit} B, {program} B words"),
    }
}
