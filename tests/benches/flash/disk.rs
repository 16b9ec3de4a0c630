//! Both workloads over files on ext4: blocks that reach the device, as the device counts them.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::report::{Row, Section};
use super::workload::{Load, Outcome, Peer, Records, Tokens};
use super::{Scale, ours, redb_table, rename, sqlite};

const PEERS: [&Peer<PathBuf>; 4] =
    [&ours::ON_FILE, &sqlite::ON_FILE, &redb_table::ON_FILE, &rename::ON_FILE];

/// Bytes of the file system; the file behind it stays sparse.
const SIZE: u64 = 256 << 20;
const BLOCK: u64 = 4096;
/// What the kernel counts in.
const COUNTED: u64 = 512;

/// An ext4 file system of 4 KiB blocks on a loop device of its own, as long as this lives.
struct Ext4 {
    folder: tempfile::TempDir,
}

impl Ext4 {
    fn mount() -> Outcome<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err("a loop device needs root".into());
        }
        let folder = tempfile::tempdir()?;
        let (image, point) = (folder.path().join("image"), folder.path().join("mounted"));
        File::create(&image)?.set_len(SIZE)?;
        fs::create_dir(&point)?;
        // Nothing is left to be written in the background.
        let format = ["-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        run(Command::new("mkfs.ext4").args(format).arg(&image))?;
        // A device that `mount` sets up goes when it is unmounted.
        run(Command::new("mount")
            .args(["-t", "ext4", "-o", "loop,noatime"])
            .arg(&image)
            .arg(&point))?;
        Ok(Self { folder })
    }

    fn point(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Blocks written so far, with all that was waiting.
    fn written(&self) -> Outcome<f64> {
        let point = File::open(self.point())?;
        rustix::fs::syncfs(&point)?;
        let device = point.metadata()?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let stat = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"))?;
        // Documentation/block/stat.rst: the seventh number is sectors written.
        let sectors: u64 =
            stat.split_whitespace().nth(6).ok_or("no sectors written in stat")?.parse()?;
        Ok((sectors * COUNTED) as f64 / BLOCK as f64)
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        // The folder goes behind this; a mount that stays would keep it.
        let _ = run(Command::new("umount").arg(self.point()));
    }
}

fn run(command: &mut Command) -> Outcome {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", said.trim()).into())
}

/// The table; the errors are ours, those of peers are notes, and so is why there is no disk.
pub(crate) fn section(scale: &Scale) -> Outcome<Section> {
    let mut section = Section {
        key: "ext4",
        title: "4 KiB blocks written a durable update, ext4 on a loop device".to_owned(),
        columns: PEERS.iter().map(|peer| peer.name.to_owned()).collect(),
        rows: Vec::new(),
        notes: Vec::new(),
    };
    let disk = match Ext4::mount() {
        Ok(disk) => disk,
        Err(why) => {
            section.notes.push(format!("not measured: {why}"));
            return Ok(section);
        }
    };
    let mut row = |key, label, goal, decimals, measured: Vec<Outcome<Option<f64>>>| -> Outcome {
        let mut values = Vec::new();
        for (measured, peer) in measured.into_iter().zip(PEERS) {
            match measured {
                Ok(value) => values.push(value),
                Err(error) if values.is_empty() => return Err(error),
                Err(error) => {
                    section.notes.push(format!("{}: {error}", peer.name));
                    values.push(None);
                }
            }
        }
        section.rows.push(Row { key, label, goal: Some(goal), values, decimals });
        Ok(())
    };
    let updates = scale.durable;
    row("tokens", "A, tokens, an update", 1.0, 2, each(&disk, "a", updates, Tokens::new))?;
    row(
        "single",
        "B, spool, a record, single commits",
        1.1,
        2,
        each(&disk, "b1", updates, || Records::new(1)),
    )?;
    row(
        "hundreds",
        "B, spool, a record, commits of 100",
        0.06,
        3,
        each(&disk, "b100", 20 * updates, || Records::new(100)),
    )?;
    Ok(section)
}

fn each<L: Load>(
    disk: &Ext4,
    name: &str,
    records: u64,
    begin: impl Fn() -> L,
) -> Vec<Outcome<Option<f64>>> {
    let folder = |peer: &Peer<PathBuf>| disk.point().join(format!("{}-{name}", peer.name));
    PEERS.iter().map(|peer| blocks(disk, peer, &folder(peer), begin(), records)).collect()
}

/// Blocks a record, once the store's files are as large as they get.
fn blocks<L: Load>(
    disk: &Ext4,
    peer: &Peer<PathBuf>,
    folder: &Path,
    mut load: L,
    records: u64,
) -> Outcome<Option<f64>> {
    let Some(open) = L::opener(peer) else { return Ok(None) };
    fs::create_dir(folder)?;
    let mut log = open(folder.to_owned())?;
    load.run(&mut *log, records)?;
    let before = disk.written()?;
    load.run(&mut *log, records)?;
    let after = disk.written()?;
    load.leave(&mut *log)?;
    drop(log);
    load.check(&mut *open(folder.to_owned())?)?;
    Ok(Some((after - before) / records as f64))
}
