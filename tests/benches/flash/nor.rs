//! Both workloads over the simulated NOR chip: bytes, erases, RAM and CPU, peer by peer.

use std::time::Duration;

use super::chip::{Chip, SECTOR};
use super::memory::{Since, cpu};
use super::report::{Row, Section};
use super::workload::{Load, Outcome, Peer, Records, Tokens};
use super::{SPOOL_SIZE, Scale, TOKENS_SIZE, ekv_tree, ours, sequential};

const PEERS: [&Peer<Chip>; 3] = [&ours::ON_NOR, &sequential::ON_NOR, &ekv_tree::ON_NOR];

/// How often a medium is mounted.
const MOUNTS: u32 = 32;
/// Commits between two mounts: a number that has little in common with how many a sector holds.
const BETWEEN: u64 = 13;

/// Figures to reach, for Signpost's own column.
struct Goals {
    programmed_per_logged: f64,
    programmed_per_given: f64,
    erases: f64,
    unevenness: f64,
    ram: f64,
    read_at_mount: f64,
}

/// What one store did with one workload.
struct Figures {
    /// Bytes that the caller gave.
    given: f64,
    /// The same, sealed where the store seals.
    logged: f64,
    programmed: f64,
    again: u64,
    erases: f64,
    unevenness: f64,
    /// Heap in use at the most, less one copy of what is committed, as it is sealed.
    working: f64,
    /// The same in the usual commit.
    usual: f64,
    read_at_mount: u64,
    mounting: usize,
    idle: usize,
    operation: Duration,
}

/// Tables of both workloads; the errors are ours, those of peers are notes.
pub(crate) fn sections(scale: &Scale) -> Outcome<Vec<Section>> {
    let tokens = Goals {
        programmed_per_logged: 1.02,
        programmed_per_given: 1.06,
        erases: 1.02,
        unevenness: 1.02,
        ram: 512.0,
        read_at_mount: 16384.0,
    };
    let spool = |programmed_per_given| Goals {
        programmed_per_logged: 1.08,
        programmed_per_given,
        erases: 1.08,
        unevenness: 1.05,
        ram: 1024.0,
        read_at_mount: 32768.0,
    };
    Ok(vec![
        section("tokens_nor", "A, tokens, 64 KiB of NOR", TOKENS_SIZE, tokens, scale, |scale| {
            (Tokens::new(), scale.updates)
        })?,
        section(
            "spool_nor_single",
            "B, spool, 1 MiB of NOR, single commits",
            SPOOL_SIZE,
            spool(1.45),
            scale,
            |scale| (Records::new(1), scale.records),
        )?,
        section(
            "spool_nor_hundreds",
            "B, spool, 1 MiB of NOR, commits of 100",
            SPOOL_SIZE,
            spool(1.03),
            scale,
            |scale| (Records::new(100), scale.records),
        )?,
    ])
}

fn section<L: Load>(
    key: &'static str,
    title: &str,
    size: u32,
    goals: Goals,
    scale: &Scale,
    begin: impl Fn(&Scale) -> (L, u64),
) -> Outcome<Section> {
    let mut notes = Vec::new();
    let mut columns = Vec::new();
    for peer in PEERS {
        let measured = (0..scale.repeats).map(|_| {
            let (load, records) = begin(scale);
            measure(peer, load, records, size)
        });
        // The CPU's figure is the one that others disturb: the least of them counts.
        let figures = measured.reduce(|one, other| {
            let (one, other) = (one?, other?);
            Ok(if one.operation < other.operation { one } else { other })
        });
        columns.push(match figures {
            Some(Ok(figures)) => {
                if figures.again > 0 {
                    let share = 100.0 * figures.again as f64 / figures.programmed;
                    notes.push(format!(
                        "{}: programs words twice, {share:.1} % of its bytes",
                        peer.name
                    ));
                }
                Some(figures)
            }
            Some(Err(error)) if columns.is_empty() => return Err(error),
            Some(Err(error)) => {
                notes.push(format!("{}: {error}", peer.name));
                None
            }
            None => None,
        });
    }
    let names = PEERS.iter().map(|peer| peer.name.to_owned()).collect();
    Ok(Section {
        key,
        title: title.to_owned(),
        columns: names,
        rows: rows(&columns, &goals),
        notes,
    })
}

fn rows(columns: &[Option<Figures>], goals: &Goals) -> Vec<Row> {
    let ours = columns.first().and_then(Option::as_ref).map(|f| f.operation.as_secs_f64());
    let row = |key, label, goal, decimals, value: &dyn Fn(&Figures) -> Option<f64>| {
        let values = columns.iter().map(|f| f.as_ref().and_then(value)).collect();
        Row { key, label, goal, values, decimals }
    };
    let floor = |f: &Figures| f.logged / f64::from(SECTOR);
    vec![
        row(
            "programmed_per_logged",
            "programmed per byte given to the log",
            Some(goals.programmed_per_logged),
            4,
            &|f| Some(f.programmed / f.logged),
        ),
        row(
            "programmed_per_given",
            "programmed per byte given by the caller",
            Some(goals.programmed_per_given),
            4,
            &|f| Some(f.programmed / f.given),
        ),
        row("erases_over_floor", "erases over the floor", Some(goals.erases), 4, &|f| {
            Some(f.erases / floor(f))
        }),
        row(
            "most_over_mean_erases",
            "most over mean erases per sector",
            Some(goals.unevenness),
            4,
            &|f| Some(f.unevenness),
        ),
        row("ram_bytes", "RAM besides the record, bytes", Some(goals.ram), 0, &|f| Some(f.working)),
        row("ram_usual_bytes", "RAM, the same, in the usual commit, bytes", None, 0, &|f| {
            Some(f.usual)
        }),
        row("ram_mounting_bytes", "RAM, most during the mount, bytes", None, 0, &|f| {
            Some(f.mounting as f64)
        }),
        row("ram_idle_bytes", "RAM, idle after the mount, bytes", None, 0, &|f| {
            Some(f.idle as f64)
        }),
        row("read_at_mount_bytes", "read at mount, bytes", Some(goals.read_at_mount), 0, &|f| {
            Some(f.read_at_mount as f64)
        }),
        row("cpu_microseconds", "CPU a record, microseconds", None, 2, &|f| {
            Some(f.operation.as_secs_f64() * 1e6)
        }),
        row("cpu_ratio", "CPU over ours", None, 2, &|f| Some(f.operation.as_secs_f64() / ours?)),
    ]
}

fn measure<L: Load>(peer: &Peer<Chip>, mut load: L, records: u64, size: u32) -> Outcome<Figures> {
    let open = L::opener(peer).ok_or("has no such store")?;
    let chip = Chip::new(size)?;
    let mut peaks = Vec::with_capacity(usize::try_from(records / load.batch())?);
    let since = Since::now();
    let mut log = open(chip.clone())?;
    let mut most = since.peak();
    let started = cpu();
    for _ in 0..peaks.capacity() {
        since.forget_peak();
        load.run(&mut *log, load.batch())?;
        peaks.push(since.peak());
    }
    let operation = (cpu() - started) / u32::try_from(records)?;
    peaks.sort_unstable();
    most = most.max(peaks.last().copied().unwrap_or(0));
    let usual = peaks.get(peaks.len() / 2).copied().unwrap_or(0);
    // A store that seals needs the whole commit in its hand, the others a record at a time.
    let copied = if peer.sealing > 0 { load.batch() } else { 1 };
    let besides = |heap: usize| heap as f64 - (copied * L::RECORD + peer.sealing) as f64;
    let done = chip.counters();
    let (again, unevenness) = (chip.programmed_again(), chip.unevenness());
    drop(log);

    // How far the newest sector is filled makes a difference: the most of several mounts counts.
    let (mut read_at_mount, mut mounting, mut idle) = (0, 0, 0);
    for _ in 0..MOUNTS {
        let before = chip.counters().read;
        let since = Since::now();
        let mut log = open(chip.clone())?;
        mounting = mounting.max(since.peak());
        idle = idle.max(since.live());
        read_at_mount = read_at_mount.max(chip.counters().read - before);
        load.run(&mut *log, BETWEEN * load.batch())?;
    }
    load.leave(&mut *open(chip.clone())?)?;
    load.check(&mut *open(chip.clone())?)?;
    let given = records * L::RECORD;
    Ok(Figures {
        given: given as f64,
        logged: (given + records / load.batch() * peer.sealing) as f64,
        programmed: done.programmed as f64,
        again,
        erases: done.erases as f64,
        unevenness,
        working: besides(most),
        usual: besides(usual),
        read_at_mount,
        mounting,
        idle,
        operation,
    })
}
