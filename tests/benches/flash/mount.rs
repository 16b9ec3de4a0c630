//! What opening a store costs, from 64 KiB to 1 GiB: bytes read, time, heap.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use signpost_hal::flash::file::FileFlash;
use signpost_hal::flash::{Flash, FlashError, Geometry};

use super::chip::Chip;
use super::memory::{Since, cpu, wall};
use super::ours::{Queue, open_spool, open_tokens};
use super::report::{Row, Section};
use super::workload::{Load, Outcome, RECORD, RecordLog, TOKEN, Tokens};
use super::{SPOOL_SIZE, Scale, TOKENS_SIZE};

/// A medium that counts what is read of it.
struct Metered<F> {
    flash: F,
    read: Rc<Cell<u64>>,
    /// Whether a sync reaches the medium: filling it need not wait for that.
    syncs: bool,
}

impl<F: Flash> Flash for Metered<F> {
    fn geometry(&self) -> Geometry {
        self.flash.geometry()
    }
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.read.set(self.read.get() + into.len() as u64);
        self.flash.read(at, into)
    }
    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.flash.program(at, bytes)
    }
    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        self.flash.erase(unit)
    }
    fn sync(&mut self) -> Result<(), FlashError> {
        if self.syncs { self.flash.sync() } else { Ok(()) }
    }
}

/// What one mount took.
struct Cost {
    records: u64,
    read: u64,
    wall: Duration,
    cpu: Duration,
    peak: usize,
    idle: usize,
}

/// Fills a medium through a first handle and opens it through a second.
fn cost<F: Flash, S>(
    handle: impl Fn() -> Outcome<F>,
    fill: impl FnOnce(Metered<F>) -> Outcome<u64>,
    open: impl FnOnce(Metered<F>) -> Outcome<S>,
) -> Outcome<Cost> {
    let read = Rc::new(Cell::new(0));
    let records = fill(Metered { flash: handle()?, read: read.clone(), syncs: false })?;
    handle()?.sync()?;
    let metered = Metered { flash: handle()?, read: read.clone(), syncs: true };
    read.set(0);
    let (since, started, ran) = (Since::now(), wall(), cpu());
    let store = open(metered)?;
    let cost = Cost {
        records,
        read: read.get(),
        wall: wall() - started,
        cpu: cpu() - ran,
        peak: since.peak(),
        idle: since.live(),
    };
    drop(store);
    Ok(cost)
}

/// Fills half of a spool with large commits, and its newest segment and the one before with
/// commits of one record: what mounting has most work with.
fn fill_spool<F: Flash>(flash: F) -> Outcome<u64> {
    let mut spool = open_spool(flash)?;
    let record = [0x5A; RECORD];
    // As many as are sealed together, but not so many that the smallest spool is full of them.
    let large = 500.min(spool.capacity() as usize / 8 / RECORD);
    let large = vec![&record[..]; large];
    while spool.used() < spool.capacity() / 2 {
        spool.append(&large)?;
    }
    let fill_segment = |spool: &mut Queue<F>| -> Outcome<u64> {
        let used = spool.used();
        let mut added = 0;
        while spool.used() == used {
            spool.append(&[&record])?;
            added += 1;
        }
        Ok(added)
    };
    fill_segment(&mut spool)?;
    let fitting = fill_segment(&mut spool)?;
    // One record is in the newest segment by now; the last one may not fit.
    for _ in 2..fitting {
        spool.append(&[&record])?;
    }
    Ok(spool.waiting())
}

/// Goes round a token log twice.
fn fill_tokens<F: Flash + 'static>(flash: F) -> Outcome<u64> {
    let updates = 2 * u64::from(flash.geometry().size()) / TOKEN as u64;
    let mut store = open_tokens(flash)?;
    Tokens::new().run(&mut store, updates)?;
    Ok(updates)
}

const fn file_sizes(scale: &Scale) -> &[u32] {
    const SIZES: [u32; 4] = [64 << 10, 1 << 20, 64 << 20, 1 << 30];
    if scale.large { &SIZES } else { SIZES.split_at(3).0 }
}

const fn nor_sizes(scale: &Scale) -> &[u32] {
    const SIZES: [u32; 3] = [64 << 10, 1 << 20, 64 << 20];
    if scale.large { &SIZES } else { SIZES.split_at(2).0 }
}

pub(crate) fn sections(scale: &Scale) -> Outcome<Vec<Section>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("medium");
    let file = |size| Ok(FileFlash::open(&path, u64::from(size))?);
    let mut costs = Vec::new();
    for &size in file_sizes(scale) {
        costs.push((size_name(size), cost(|| file(size), fill_spool, open_spool)?));
        std::fs::remove_file(&path)?;
    }
    let files = section("mount_spool_file", "Mount of a spool, half full, in a file", costs);
    let mut costs = Vec::new();
    for &size in nor_sizes(scale) {
        let chip = Chip::new(size)?;
        costs.push((size_name(size), cost(|| Ok(chip.clone()), fill_spool, open_spool)?));
    }
    let nor = section("mount_spool_nor", "Mount of a spool, half full, on NOR", costs);
    let mut costs = Vec::new();
    for size in [TOKENS_SIZE, SPOOL_SIZE] {
        let chip = Chip::new(size)?;
        let name = format!("{} NOR", size_name(size));
        costs.push((name, cost(|| Ok(chip.clone()), fill_tokens, open_tokens)?));
        let name = format!("{} file", size_name(size));
        costs.push((name, cost(|| file(size), fill_tokens, open_tokens)?));
        std::fs::remove_file(&path)?;
    }
    let tokens = section("mount_tokens", "Mount of tokens, gone round twice", costs);
    Ok(vec![files, nor, tokens])
}

fn size_name(size: u32) -> String {
    match size {
        size if size < 1 << 20 => format!("{} KiB", size >> 10),
        size if size < 1 << 30 => format!("{} MiB", size >> 20),
        size => format!("{} GiB", size >> 30),
    }
}

fn section(key: &'static str, title: &str, costs: Vec<(String, Cost)>) -> Section {
    let (columns, costs): (Vec<_>, Vec<_>) = costs.into_iter().unzip();
    let row = |key, label, decimals, value: fn(&Cost) -> f64| {
        let values = costs.iter().map(|cost| Some(value(cost))).collect();
        Row { key, label, goal: None, values, decimals }
    };
    let rows = vec![
        row("records", "records before", 0, |cost| cost.records as f64),
        row("read_bytes", "read, bytes", 0, |cost| cost.read as f64),
        row("wall_ms", "wall time, ms", 2, |cost| cost.wall.as_secs_f64() * 1e3),
        row("cpu_ms", "CPU, ms", 2, |cost| cost.cpu.as_secs_f64() * 1e3),
        row("peak_bytes", "most heap, bytes", 0, |cost| cost.peak as f64),
        row("idle_bytes", "heap after, bytes", 0, |cost| cost.idle as f64),
    ];
    Section { key, title: title.to_owned(), columns, rows, notes: Vec::new() }
}
