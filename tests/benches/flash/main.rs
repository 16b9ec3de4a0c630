//! What the stores cost on flash, beside others: bytes, erases, RAM and CPU over simulated NOR,
//! blocks over ext4, and mounts of small and large media. Prints tables, then one JSON object as
//! the last line. `--quick` measures less of each, for a look between edits.

use serde_json::json;

mod breakdown;
mod chip;
mod disk;
mod ekv_tree;
mod memory;
mod mount;
mod nor;
mod ours;
mod redb_table;
mod rename;
mod report;
mod sequential;
mod sqlite;
mod workload;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Bytes of a medium for tokens.
const TOKENS_SIZE: u32 = 64 << 10;
/// Bytes of a medium for the spool.
const SPOOL_SIZE: u32 = 1 << 20;

/// How much of each workload is run.
struct Scale {
    updates: u64,
    records: u64,
    /// How often CPU time is taken.
    repeats: u32,
    /// Updates that wait for a disk.
    durable: u64,
    /// Whether the largest media are mounted.
    large: bool,
}

const FULL: Scale =
    Scale { updates: 10_000, records: 100_000, repeats: 3, durable: 1_000, large: true };
const QUICK: Scale =
    Scale { updates: 1_000, records: 20_000, repeats: 1, durable: 400, large: false };

const LEGEND: &str = "\
given to the log: for signpost the sealed values and commits (40 bytes each more); the others do
  not seal, and are given what the caller gives
erases over the floor: erases times the sector, over the bytes given to the log
RAM besides the record: the most bytes of heap asked for at a time, from before the store is opened
  to the end of the workload. The store's own struct and the buffers that it demands lie there. Not
  counted: the caller's record, one copy of what is committed (signpost: the sealed commit, others:
  a record), stack. The usual commit is the one in the middle, by this figure
RAM during and after the mount: the same heap, nothing taken off
read at mount: until the store can answer; for sequential-storage, which reads nothing before, its
  first look for each key or for the oldest record. The most of 32 mounts, 13 commits apart
CPU: of the thread, the simulator's part included; the least of three runs (--quick: of one)
blocks: the device's own count of sectors, synced before each reading, once the files are as large
  as they get; removals by hundreds are in the figures of the spool. SQLite, as its crate builds it,
  syncs with fsync: on a slow disk each commit writes the inode's new time as well
mount of a spool: filled with large commits, its newest segment and the one before with single ones;
  files come from the page cache
littlefs2 is missing: its bindings are made at build time, which needs libclang";

fn main() -> workload::Outcome {
    // Cargo passes arguments of its own.
    let quick = std::env::args().any(|argument| argument == "--quick");
    let scale = if quick { QUICK } else { FULL };
    let mut sections = nor::sections(&scale)?;
    sections.insert(1, breakdown::section(&scale)?);
    sections.push(disk::section(&scale)?);
    sections.extend(mount::sections(&scale)?);
    report::print(&sections, LEGEND, &[("quick", json!(quick))]);
    Ok(())
}
