//! Both stores on a real medium, checked against what they must hold: a table, and one JSON object
//! as the last line.
//!
//! `medium TOKENS [--spool SPOOL]` opens files, block devices or MTD character devices, first checks
//! what an earlier run left there, then works on: updates of 1500 bytes among three keys; records
//! of 120 bytes, one at a time and in batches of 100, removed by hundreds. Everything is read back
//! before and after a second opening. `--until-stopped` mixes the two until the power goes or the
//! medium fails (exit code 3).
//!
//! With `--log` each acknowledged step is a line on standard output, out before the next step
//! begins. A later start with `--verify-only` takes the last ones (`--put N --append N --remove N`)
//! and finds each of them, or the one step that may have been in flight. What is written follows from
//! `--seed` and a number, so nothing else needs to be kept.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program to look at")]

use std::fs::{self, File};
use std::io::{Write as _, stdout};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
use signpost_hal::flash::medium::Medium;
use signpost_hal::flash::mtd::MtdFlash;
use signpost_hal::flash::{Flash as _, FlashError, FlashErrorKind, Geometry};
use signpost_store::{OpenError, OuterKeys, QueueKey, QueueName, Spool, StoreError, TokenStore};
use signpost_tests::flash::chance::Chance;

const USAGE: &str = "usage: medium TOKENS [--size BYTES] [--spool SPOOL] [--spool-size BYTES]
         [--updates N] [--records N] [--until-stopped] [--log]
         [--verify-only] [--put N] [--append N] [--remove N]
         [--clear] [--any-mtd] [--seed S]";

const KEYS: u64 = 3;
const TOKEN: usize = 1500;
const RECORD: usize = 120;
const HUNDRED: u64 = 100;
/// Records that are left in the queue, so that there is something to find.
const LEFT: u64 = 50;
const QUEUE: QueueName = QueueName([1; 20]);
/// What the counters of block devices count (`Documentation/block/stat.rst`).
const SECTOR: u64 = 512;
const BLOCK: u64 = 4096;

#[derive(Clone, Debug)]
struct Options {
    tokens: PathBuf,
    size: u64,
    spool: Option<PathBuf>,
    spool_size: u64,
    updates: u64,
    records: u64,
    until_stopped: bool,
    log: bool,
    verify_only: bool,
    acknowledged: Acknowledged,
    clear: bool,
    any_mtd: bool,
    seed: u64,
}

/// The last step of each kind that an earlier run was told is done.
#[derive(Clone, Copy, Debug, Default)]
struct Acknowledged {
    put: u64,
    append: u64,
    remove: u64,
}

enum Trouble {
    /// The medium failed; nothing is known to be lost.
    Stopped(FlashError),
    /// A promise is broken, or the medium does not suit.
    Broken(String),
}

impl From<FlashError> for Trouble {
    fn from(error: FlashError) -> Self {
        Self::Stopped(error)
    }
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Flash(error) => Self::Stopped(error),
            OpenError::TooSmall
            | OpenError::Foreign
            | OpenError::Garbage
            | OpenError::OtherVersion => Self::Broken(error.to_string()),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        if let StoreError::Flash(error) = error {
            return Self::Stopped(error);
        }
        Self::Broken(error.to_string())
    }
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(what) => {
            eprintln!("medium: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match work(&options) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(Trouble::Stopped(error)) => {
            let kind = format!("{:?}", error.kind());
            println!("stopped: {error}");
            println!("{}", json!({ "ok": false, "stopped": kind, "os_error": error.os_error() }));
            ExitCode::from(3)
        }
        Err(Trouble::Broken(what)) => {
            println!("BROKEN: {what}");
            println!("{}", json!({ "ok": false, "broken": what }));
            ExitCode::FAILURE
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        tokens: args.next().filter(|path| !path.starts_with('-')).ok_or("which medium?")?.into(),
        size: 64 << 10,
        spool: None,
        spool_size: 1 << 20,
        updates: 1000,
        records: 2000,
        until_stopped: false,
        log: false,
        verify_only: false,
        acknowledged: Acknowledged::default(),
        clear: false,
        any_mtd: false,
        seed: 1,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |value: String| -> Result<u64, String> {
            value.parse().map_err(|_| format!("{arg} {value}: not a whole number"))
        };
        match arg.as_str() {
            "--size" => options.size = number(value()?)?,
            "--spool" => options.spool = Some(value()?.into()),
            "--spool-size" => options.spool_size = number(value()?)?,
            "--updates" => options.updates = number(value()?)?,
            "--records" => options.records = number(value()?)?,
            "--put" => options.acknowledged.put = number(value()?)?,
            "--append" => options.acknowledged.append = number(value()?)?,
            "--remove" => options.acknowledged.remove = number(value()?)?,
            "--seed" => options.seed = number(value()?)?,
            "--until-stopped" => options.until_stopped = true,
            "--log" => options.log = true,
            "--verify-only" => options.verify_only = true,
            "--clear" => options.clear = true,
            "--any-mtd" => options.any_mtd = true,
            _ => return Err(format!("{arg}: no such option")),
        }
    }
    Ok(options)
}

fn work(options: &Options) -> Result<Value, Trouble> {
    if options.clear {
        clear(options)?;
    }
    let mut tokens = Tokens::open(options)?;
    let mut records = Records::open(options)?;
    let found = json!({
        "put": tokens.last,
        "append": records.as_ref().map(|records| records.next),
        "remove": records.as_ref().map(|records| records.first),
    });
    tokens.check_found(options.acknowledged)?;
    if let Some(records) = &mut records {
        records.check_found(options.acknowledged)?;
    }
    if options.verify_only {
        println!("found: {found}");
        return Ok(json!({ "ok": true, "found": found }));
    }
    if options.until_stopped {
        return mix(&mut tokens, records.as_mut(), options);
    }
    println!("{:<28} {:>8} {:>14} {:>14}", "what", "done", "4 KiB blocks", "each");
    let updates = Phase::run("token updates", options.updates, 1, &options.tokens, |log| {
        tokens.put().map(|n| log.say(options, "put", n))
    })?;
    let mut spooled = Value::Null;
    if let Some((records, path)) = records.as_mut().zip(options.spool.as_ref()) {
        let single = Phase::run("records, one by one", options.records, 1, path, |log| {
            records.append(1, options, log)
        })?;
        let batches = options.records / HUNDRED;
        let batched = Phase::run("records, batches of 100", batches, HUNDRED, path, |log| {
            records.append(HUNDRED, options, log)
        })?;
        spooled = json!({
            "geometry": shape(&records.geometry),
            "single": single.told(),
            "batched": batched.told(),
        });
    }
    let geometry = tokens.geometry;
    let told = json!({ "geometry": shape(&geometry), "updates": updates.told() });
    // Again, from the medium alone.
    let last = tokens.last;
    drop(tokens);
    if Tokens::open(options)?.last != last {
        return Err(Trouble::Broken(format!("update {last} is not there after opening again")));
    }
    if let Some(records) = records.take() {
        let ends = (records.first, records.next);
        drop(records);
        let again = Records::open(options)?.map(|records| (records.first, records.next));
        if again != Some(ends) {
            return Err(Trouble::Broken(format!("records {ends:?}, opened again {again:?}")));
        }
    }
    Ok(json!({ "ok": true, "found": found, "tokens": told, "spool": spooled }))
}

/// Steps of both kinds, as the seed has it, until something ends them.
fn mix(
    tokens: &mut Tokens,
    mut records: Option<&mut Records>,
    options: &Options,
) -> Result<Value, Trouble> {
    let mut chance = Chance::seeded(options.seed ^ tokens.last);
    let mut log = Log;
    loop {
        match (&mut records, chance.below(4)) {
            (None, _) | (Some(_), 0 | 1) => tokens.put().map(|n| log.say(options, "put", n))?,
            (Some(records), 2) => records.append(HUNDRED, options, &mut log)?,
            (Some(records), _) => records.append(1, options, &mut log)?,
        }
    }
}

fn clear(options: &Options) -> Result<(), Trouble> {
    signpost_store::clear(medium(&options.tokens, options.size, options.any_mtd)?)?;
    if let Some(spool) = &options.spool {
        signpost_store::clear(medium(spool, options.spool_size, options.any_mtd)?)?;
    }
    Ok(())
}

fn medium(path: &Path, size: u64, any_mtd: bool) -> Result<Medium, FlashError> {
    let is_character = fs::metadata(path).is_ok_and(|meta| meta.file_type().is_char_device());
    if any_mtd && is_character {
        MtdFlash::open_any_type(path, size).map(Medium::Mtd)
    } else {
        Medium::open(path, size)
    }
}

/// Opens a medium and shows what it is; a second opening must be refused.
fn shown(path: &Path, size: u64, any_mtd: bool) -> Result<Medium, Trouble> {
    let flash = medium(path, size, any_mtd)?;
    match medium(path, size, any_mtd).map_err(|error| error.kind()) {
        Err(FlashErrorKind::Locked) => {}
        other => return Err(Trouble::Broken(format!("opened twice: {other:?}"))),
    }
    let shape = flash.geometry();
    println!(
        "{}: {} erase units of {} bytes, program unit {}{}",
        path.display(),
        shape.units(),
        shape.erase_unit(),
        shape.program_unit(),
        if shape.overwrites() { ", overwrites" } else { "" }
    );
    Ok(flash)
}

fn shape(geometry: &Geometry) -> Value {
    json!({
        "units": geometry.units(),
        "erase_unit": geometry.erase_unit(),
        "program_unit": geometry.program_unit(),
        "overwrites": geometry.overwrites(),
    })
}

/// The token store: update `n` puts what follows from `n` under the key `n % 3`.
struct Tokens {
    store: TokenStore<Medium>,
    geometry: Geometry,
    seed: u64,
    last: u64,
}

impl Tokens {
    fn open(options: &Options) -> Result<Self, Trouble> {
        let flash = shown(&options.tokens, options.size, options.any_mtd)?;
        let geometry = flash.geometry();
        let entropy = Chance::seeded(options.seed).entropy();
        let (store, opened) = TokenStore::open(flash, &OuterKeys::new([7; 32]), entropy)?;
        if opened.lost > 0 || !opened.damaged.is_empty() {
            return Err(Trouble::Broken(format!("tokens damaged: {opened:?}")));
        }
        let mut tokens = Self { store, geometry, seed: options.seed, last: 0 };
        tokens.last = tokens.read_back()?;
        Ok(tokens)
    }

    fn value(&self, n: u64) -> Vec<u8> {
        let mut value = n.to_le_bytes().to_vec();
        value.extend(Chance::seeded(self.seed ^ n << 8).bytes(TOKEN - value.len()));
        value
    }

    /// The number of the newest update, if every key holds its newest value up to that.
    fn read_back(&mut self) -> Result<u64, Trouble> {
        let mut held = [0; KEYS as usize];
        for (key, held) in held.iter_mut().enumerate() {
            let Some(value) = self.store.get(key as u8)? else { continue };
            *held = number_of(&value);
            if *held % KEYS != key as u64 || value[..] != self.value(*held) {
                return Err(Trouble::Broken(format!("key {key} holds something else")));
            }
        }
        let last = held.iter().copied().max().unwrap_or(0);
        for (key, held) in held.iter().enumerate() {
            // The newest update up to `last` that put this key; 0 stands for none.
            let newest = last.saturating_sub((last + KEYS - key as u64) % KEYS);
            if *held != newest {
                return Err(Trouble::Broken(format!(
                    "update {last} is there, and key {key} holds {held} instead of {newest}"
                )));
            }
        }
        Ok(last)
    }

    fn check_found(&self, acknowledged: Acknowledged) -> Result<(), Trouble> {
        within("update", self.last, acknowledged.put, 1)
    }

    fn put(&mut self) -> Result<u64, Trouble> {
        let next = self.last + 1;
        self.store.put((next % KEYS) as u8, &self.value(next))?;
        self.last = next;
        Ok(next)
    }
}

fn number_of(value: &[u8]) -> u64 {
    value.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
}

/// The spool: the record with the sequence number `n` is what follows from `n`.
struct Records {
    spool: Spool<Medium>,
    geometry: Geometry,
    key: QueueKey,
    seed: u64,
    first: u64,
    next: u64,
}

impl Records {
    fn open(options: &Options) -> Result<Option<Self>, Trouble> {
        let Some(path) = &options.spool else { return Ok(None) };
        let flash = shown(path, options.spool_size, options.any_mtd)?;
        let geometry = flash.geometry();
        let (spool, opened) = Spool::open(flash, Chance::seeded(options.seed).entropy())?;
        if opened.ledger_lost {
            return Err(Trouble::Broken("the ledger is lost".into()));
        }
        let stats = spool.stats(QUEUE);
        let (first, next) = stats.map_or((0, 0), |stats| (stats.first_seq, stats.next_seq));
        let key = QueueKey::from_bytes([9; 32]);
        let mut records = Self { spool, geometry, key, seed: options.seed, first, next };
        records.read_back()?;
        Ok(Some(records))
    }

    fn record(&self, n: u64) -> Vec<u8> {
        Chance::seeded(self.seed ^ n << 8).bytes(RECORD)
    }

    fn read_back(&mut self) -> Result<(), Trouble> {
        let mut at = self.first;
        while at < self.next {
            let some = self.spool.read(QUEUE, &self.key, at, HUNDRED as usize, usize::MAX)?;
            for (seq, record) in &some {
                if *seq != at || *record != self.record(at) {
                    return Err(Trouble::Broken(format!("record {at} is something else ({seq})")));
                }
                at += 1;
            }
            if some.is_empty() {
                return Err(Trouble::Broken(format!("record {at} is missing")));
            }
        }
        Ok(())
    }

    fn check_found(&self, acknowledged: Acknowledged) -> Result<(), Trouble> {
        within("record", self.next, acknowledged.append, HUNDRED)?;
        within("removal", self.first, acknowledged.remove, HUNDRED)
    }

    /// Adds so many records together and removes a hundred once there are enough.
    fn append(&mut self, count: u64, options: &Options, log: &mut Log) -> Result<(), Trouble> {
        let records: Vec<_> = (self.next..self.next + count).map(|n| self.record(n)).collect();
        let slices: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        let given = self.spool.append(QUEUE, &self.key, &slices)?;
        if given != (self.next..self.next + count) {
            return Err(Trouble::Broken(format!("records {} got numbers {given:?}", self.next)));
        }
        self.next += count;
        log.say(options, "append", self.next);
        if self.next - self.first >= HUNDRED + LEFT {
            self.spool.remove(QUEUE, self.first + HUNDRED - 1)?;
            self.first += HUNDRED;
            log.say(options, "remove", self.first);
        }
        Ok(())
    }
}

/// Whether `found` is what was acknowledged, or that and the step that was in flight.
fn within(what: &str, found: u64, acknowledged: u64, step: u64) -> Result<(), Trouble> {
    // Without anything acknowledged there is nothing to compare with.
    if found < acknowledged || (acknowledged > 0 && found > acknowledged + step) {
        let what = format!("{what} {acknowledged} was acknowledged, {found} was found");
        return Err(Trouble::Broken(what));
    }
    Ok(())
}

/// Where acknowledged steps are told.
struct Log;

impl Log {
    /// Returns once the line is out: on a serial line, on the wire.
    fn say(&mut self, options: &Options, what: &str, n: u64) {
        if !options.log {
            return;
        }
        println!("{what} {n}");
        // Who does not listen misses it; that is no reason to stop.
        let _ = stdout().flush();
        let _ = rustix::termios::tcdrain(stdout());
    }
}

/// What was done in one kind of steps, and what the block device below counted meanwhile.
struct Phase {
    done: u64,
    /// `None` where there is no block device.
    sectors: Option<u64>,
}

impl Phase {
    /// Takes so many steps, each of which does `of` things.
    fn run(
        name: &str,
        steps: u64,
        of: u64,
        path: &Path,
        mut step: impl FnMut(&mut Log) -> Result<(), Trouble>,
    ) -> Result<Self, Trouble> {
        let mut log = Log;
        // The first one may fill the file with zeros, which is done once in its life.
        step(&mut log)?;
        let from = sectors_written(path);
        for _ in 0..steps {
            step(&mut log)?;
        }
        let sectors = sectors_written(path).zip(from).map(|(to, from)| to - from);
        let phase = Self { done: steps * of, sectors };
        let blocks = phase.blocks().map_or("-".into(), |blocks| format!("{blocks:.0}"));
        let each = phase.each().map_or("-".into(), |each| format!("{each:.3}"));
        println!("{name:<28} {:>8} {blocks:>14} {each:>14}", phase.done);
        Ok(phase)
    }

    fn blocks(&self) -> Option<f64> {
        self.sectors.map(|sectors| (sectors * SECTOR) as f64 / BLOCK as f64)
    }

    fn each(&self) -> Option<f64> {
        self.blocks().map(|blocks| blocks / self.done.max(1) as f64)
    }

    fn told(&self) -> Value {
        let each = self.each().map(|each| (each * 10_000.0).round() / 10_000.0);
        json!({ "done": self.done, "sectors": self.sectors, "blocks_each": each })
    }
}

/// What the block device that is or holds `path` has written so far, all that was handed to it
/// included.
fn sectors_written(path: &Path) -> Option<u64> {
    let meta = fs::metadata(path).ok()?;
    if meta.file_type().is_char_device() {
        return None;
    }
    File::open(path).ok()?.sync_all().ok()?;
    let device = if meta.file_type().is_block_device() { meta.rdev() } else { meta.dev() };
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    stat.split_whitespace().nth(6)?.parse().ok()
}
