//! What the stores cost on flash, beside others: bytes, erases, RAM and CPU over simulated NOR,
//! blocks over ext4, and mounts of small and large media. Prints tables, then one JSON object as
//! the last line. `--quick` measures less of each, for a look between edits.

use serde_json::json;

mod breakdown;
mod chip;
mod ekv_tree;
mod memory;
mod nor;
mod ours;
mod report;
mod sequential;
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
}

const FULL: Scale = Scale { updates: 10_000, records: 100_000, repeats: 3 };
const QUICK: Scale = Scale { updates: 1_000, records: 20_000, repeats: 1 };

const LEGEND: &str = "\
given to the log: for signpost the sealed values and commits (40 bytes each more), for the others, \
which do not seal, what the caller gives
erases over the floor: erases times the sector, over the bytes given to the log
RAM besides the record: the most bytes of heap asked for at a time, from before the store is opened \
to the end of the workload; the store's own struct and the buffers that it demands lie there, the \
caller's record and one copy of what it commits (signpost: the sealed commit, others: a record) do \
not count; stack is not counted
RAM during and after the mount: the same heap, nothing taken off
read at mount: until the store can answer; for sequential-storage, which reads nothing before, its \
first look for each key or record
CPU: of the thread, the simulator's part included; least of three runs
littlefs2 is missing: its bindings are made at build time and need libclang";

fn main() -> workload::Outcome {
    // Cargo passes arguments of its own.
    let quick = std::env::args().any(|argument| argument == "--quick");
    let scale = if quick { QUICK } else { FULL };
    let mut sections = nor::sections(&scale);
    sections.insert(1, breakdown::section(&scale)?);
    report::print(&sections, LEGEND, &[("quick", json!(quick))]);
    Ok(())
}
