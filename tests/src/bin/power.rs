//! The agent on ext4, whose disk loses its power with writes that nobody had flushed.
//!
//! `power load` runs in a virtual machine: the agent as it runs on devices, four programs that send
//! numbered records to it, an issuer, and a backend that is now well, now gone, now unwell, now cut
//! off before its answer. What programs were told and what the backend has is written beside the
//! file system ([`signpost_tests::rig::journal`]), while QEMU records all writes and flushes.
//!
//! `power judge` makes of that record the disks that a cut at any instant may have left: all that a
//! flush had followed, and of the rest some, some torn, some not. Each is repaired by e2fsck and its
//! stores are opened by the agent's own code. Whatever was acknowledged before the cut is on the
//! disk or at the backend. Prints a line, then one JSON object.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program to look at")]

use serde_json::json;
use signpost::{
    ports::{Job, JobResult, Stock},
    records::Arrival,
    storage::{Settings, Storage},
};
use signpost_core::{
    delivery::{Queue, Read},
    otlp::Signal,
    time::Boot,
};
use signpost_hal::{clock, flash::medium::Medium};
use signpost_sandbox::Sandbox;
use signpost_store::{Entropy, OuterKeys};
use signpost_tests::{
    flash::chance::Chance,
    rig::{
        self,
        agent::{Home, Setup, program},
        blocks::{Disk, Record},
        journal::{Journal, Known, SECTOR, decode, ranges},
        ledger::Numbers,
        requests::numbers,
        rest,
        sender::Programs,
        sink::{Arrived, Mood, listen},
    },
};
use std::{
    error::Error,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

const USAGE: &str =
    "usage: power load --disk DEVICE --at BYTE --folder FOLDER [--seconds N] [--seed S]
       power judge --disk IMAGE --at BYTE --record FILE [--cuts N] [--seed S]";

/// How long the backend is in one mood.
const MOOD: Duration = Duration::from_secs(2);
/// Size of the spool; the token store has the usual one.
const SPOOL: u64 = 4 << 20;
const TOKENS: u64 = 64 << 10;

#[derive(Default)]
struct Args {
    disk: PathBuf,
    at: u64,
    folder: PathBuf,
    record: PathBuf,
    seconds: u64,
    cuts: u64,
    seed: u64,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let done = match (command.as_str(), options(args)) {
        ("load", Ok(args)) => load(&args).map(|()| true),
        ("judge", Ok(args)) => judge(&args),
        (_, found) => {
            eprintln!("power: {}\n{USAGE}", found.err().unwrap_or_else(|| "no command".to_owned()));
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(held) => ExitCode::from(u8::from(!held)),
        Err(error) => {
            println!("power: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut options = Args { seconds: 30, cuts: 200, seed: 1, ..Args::default() };
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        let number = value.parse().map_err(|_| format!("{arg} {value}: not a whole number"));
        match arg.as_str() {
            "--disk" => options.disk = value.into(),
            "--folder" => options.folder = value.into(),
            "--record" => options.record = value.into(),
            "--at" => options.at = number?,
            "--seconds" => options.seconds = number?,
            "--cuts" => options.cuts = number?,
            "--seed" => options.seed = number?,
            _ => return Err(format!("{arg}: no such option")),
        }
    }
    Ok(options)
}

// --- in the virtual machine --------------------------------------------------------------------

/// What programs and backend write down, and how the backend is.
struct Stage {
    journal: Mutex<Journal>,
    programs: Programs,
    mood: Mood,
}

impl Stage {
    fn note(&self, known: Known, numbers: &[std::ops::Range<u64>]) -> io::Result<()> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).write(known, numbers)
    }

    /// Written down before the agent hears of it and removes it.
    fn take(&self, arrived: &Arrived) -> io::Result<()> {
        self.note(Known::Delivered, &ranges(&numbers(&arrived.body()?)))
    }
}

fn load(args: &Args) -> Result<(), Box<dyn Error>> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let sandbox = runtime.block_on(Sandbox::start(rig::lenient_issuer()))?;
    let stage = Arc::new(Stage {
        journal: Mutex::new(Journal::open(&args.disk, args.at)?),
        programs: Programs::default(),
        mood: Mood::default(),
    });
    let backend = Arc::clone(&stage);
    let backend =
        listen(None, Arc::new(move |arrived| backend.mood.answer(|| backend.take(&arrived))))?;
    let setup = Setup {
        issuer: sandbox.issuer_url(),
        telemetry: &format!("http://{backend}"),
        ca: None,
        spool: &format!("{} KiB", SPOOL >> 10),
        more: "[telemetry.when_full]\nmetrics = \"refuse\"\nlogs = \"refuse\"\n",
    };
    let home = Home::new(&args.folder, program()?, &setup)?;
    let agent = home.sign_in(&runtime, &sandbox)?;
    let mut chance = Chance::seeded(args.seed);
    let senders: Vec<_> = [Signal::Logs, Signal::Logs, Signal::Logs, Signal::Metrics]
        .into_iter()
        .map(|signal| {
            let (stage, to) = (Arc::clone(&stage), home.intake());
            let chance = Chance::seeded(chance.number());
            thread::spawn(move || {
                let acknowledged = |numbers: std::ops::Range<u64>| {
                    // What is not written down was never promised.
                    let _ = stage.note(Known::Acknowledged, &[numbers]);
                };
                stage.programs.send(signal, to, chance, acknowledged);
            })
        })
        .collect();
    let until = clock::boot() + Duration::from_secs(args.seconds);
    while clock::boot() < until {
        rest(MOOD);
        stage.mood.change(&mut chance);
    }
    stage.programs.stop();
    for sender in senders {
        sender.join().map_err(|_| "a sender ended in a panic")?;
    }
    agent.kill().map_err(|error| format!("{error}:\n{}", home.told()))?;
    println!("{}", json!({ "ok": true, "seconds": args.seconds }));
    Ok(())
}

// --- afterwards --------------------------------------------------------------------------------

/// What was known before a cut.
#[derive(Default)]
struct Promised {
    acknowledged: Vec<u64>,
    delivered: Numbers,
}

impl Promised {
    /// What request `number` of the record adds.
    fn add(&mut self, record: &Record, number: usize, from: u64) -> io::Result<()> {
        let written = record.written_behind(number, from)?;
        for (known, ranges) in written.chunks(SECTOR).filter_map(decode) {
            for number in ranges.into_iter().flatten() {
                match known {
                    Known::Acknowledged => self.acknowledged.push(number),
                    Known::Delivered => drop(self.delivered.add(number)),
                }
            }
        }
        Ok(())
    }
}

/// What the stores on a disk hold.
#[derive(Default)]
struct Kept {
    numbers: Numbers,
    signed_in: bool,
    /// What was given up, or could not be read.
    lost: u64,
}

#[derive(Default)]
struct Sums {
    missing: u64,
    unsound: u64,
    waiting: u64,
    acknowledged: u64,
}

fn judge(args: &Args) -> Result<bool, Box<dyn Error>> {
    let record = Record::open(&args.record)?;
    let mut base = fs::read(&args.disk)?;
    base.truncate(usize::try_from(args.at)?);
    let mut chance = Chance::seeded(args.seed);
    let mut instants: Vec<usize> =
        (0..args.cuts).map(|_| chance.below(record.len() as u64) as usize).collect();
    instants.sort_unstable();
    let work = tempfile::tempdir()?;
    let mut disk = Disk::new(&record, base);
    let (mut promised, mut next, mut sums) = (Promised::default(), 0, Sums::default());
    for (cut, last) in instants.into_iter().enumerate() {
        while next <= last {
            promised.add(&record, next, args.at)?;
            next += 1;
        }
        let image = work.path().join("disk.img");
        fs::File::create(&image)?.write_all(&disk.cut(last, &mut chance)?)?;
        let kept = recover(&image, work.path())
            .map_err(|error| format!("cut {cut}, after request {last}: {error}"))?;
        let is_there =
            |number: &&u64| kept.numbers.has(**number) || promised.delivered.has(**number);
        let there = promised.acknowledged.iter().filter(is_there).count();
        let missing = (promised.acknowledged.len() - there) as u64;
        // Nothing was delivered before flash had the grant.
        let signed_out = promised.delivered.count() > 0 && !kept.signed_in;
        if missing > 0 || kept.lost > 0 || signed_out {
            println!(
                "cut {cut}, after request {last}: {missing} of {} missing, {} given up, signed in: {}",
                promised.acknowledged.len(),
                kept.lost,
                kept.signed_in
            );
        }
        sums.missing += missing;
        sums.unsound += u64::from(kept.lost > 0 || signed_out);
        sums.waiting += kept.numbers.count();
        sums.acknowledged = promised.acknowledged.len() as u64;
    }
    println!(
        "{} cuts in a record of {} requests, {} of them flushes: {} records acknowledged and {} \
         delivered by the last, {} waiting on an average disk; {} missing, {} disks unsound",
        args.cuts,
        record.len(),
        record.flushes(),
        sums.acknowledged,
        promised.delivered.count(),
        sums.waiting / args.cuts.max(1),
        sums.missing,
        sums.unsound,
    );
    println!(
        "{}",
        json!({
            "cuts": args.cuts, "seed": args.seed, "requests": record.len(),
            "flushes": record.flushes(), "acknowledged": sums.acknowledged,
            "delivered": promised.delivered.count(), "missing": sums.missing,
            "unsound": sums.unsound,
        })
    );
    Ok(sums.missing == 0 && sums.unsound == 0 && sums.acknowledged > 0 && sums.waiting > 0)
}

/// Repairs the file system and reads what the stores on it hold.
fn recover(image: &Path, work: &Path) -> Result<Kept, Box<dyn Error>> {
    let checked = Command::new("e2fsck").args(["-fy"]).arg(image).output()?;
    // 1: errors were corrected.
    if !matches!(checked.status.code(), Some(0 | 1)) {
        return Err(format!("e2fsck: {}", String::from_utf8_lossy(&checked.stdout)).into());
    }
    for name in ["signpost.key", "tokens.flash", "spool.flash"] {
        let copy = work.join(name);
        if copy.exists() {
            fs::remove_file(&copy)?;
        }
        let request = format!("dump /agent/{name} {}", copy.display());
        let dumped = Command::new("debugfs").arg("-R").arg(request).arg(image).output()?;
        if !dumped.status.success() {
            return Err(format!("debugfs: {}", String::from_utf8_lossy(&dumped.stderr)).into());
        }
    }
    let key = match fs::read(work.join("signpost.key")) {
        Ok(key) => key,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(error.into()),
    };
    let key = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| "the key is cut short")?;
    let (mut storage, opened) = Storage::open(
        Medium::open(&work.join("tokens.flash"), TOKENS)?,
        Medium::open(&work.join("spool.flash"), SPOOL)?,
        &OuterKeys::new(key),
        entropy,
        Settings::default(),
    )
    .map_err(|trouble| format!("{trouble:?}"))?;
    let grant = opened.record.and_then(|record| record.grant);
    let mut kept =
        Kept { signed_in: grant.is_some(), lost: u64::from(opened.damaged), ..Kept::default() };
    read_all(&mut storage, opened.stock, &mut kept)?;
    Ok(kept)
}

/// Reads queue by queue, as delivery does, and removes what is behind it.
fn read_all(
    storage: &mut Storage<Medium>,
    mut stock: Stock,
    kept: &mut Kept,
) -> Result<(), Box<dyn Error>> {
    let at = Arrival { boot_id: [1; 16], boot: Boot::default(), wall: None, unset: None };
    let mut settled = None;
    while let Some(queue) = stock.queues.first().map(|held| held.queue) {
        let before = settled.filter(|(of, _)| *of == queue).map(|(_, end)| end);
        let done = storage.work(Job::Read(read(queue, before), at, None));
        let JobResult::Batch(Ok(batch)) = done.result else {
            return Err(format!("cannot be read: {:?}", done.result).into());
        };
        kept.lost += done.dropped.iter().map(|dropped| dropped.records).sum::<u64>();
        stock = done.stock;
        settled = batch.map(|batch| {
            for number in numbers(&batch.body) {
                kept.numbers.add(number);
            }
            (queue, batch.end)
        });
    }
    Ok(())
}

fn read(queue: Queue, settled: Option<signpost_core::delivery::Place>) -> Read {
    let (max_records, max_bytes) = (1_000, 512 << 10);
    Read { queue, settled, max_records, max_bytes, splits: false, refreeze: false }
}

fn entropy() -> Entropy {
    let mut chance = Chance::seeded(7);
    Box::new(move |bytes| bytes.copy_from_slice(&chance.bytes(bytes.len())))
}
