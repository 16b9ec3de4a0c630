//! What tells this board from one with a copy of its card: the store is bound to it.
//!
//! All sources can be read without root and are there before any service starts:
//! - the **serial number** of the board as firmware says it (`/proc/device-tree/serial-number`,
//!   device tree specification 2.3, and `Documentation/ABI/testing/sysfs-firmware-ofw`);
//! - the **medium** that the store lies on: the CID register of an eMMC or SD card
//!   (`Documentation/driver-api/mmc/mmc-dev-attrs.rst`), 16 bytes with a serial number;
//! - the **machine** id (machine-id(5)), which each installation draws at its first boot.
//!
//! What SMBIOS has (`/sys/class/dmi/id`) is the same for all boards of a kind or open to root
//! alone: it would bind a store that root made to something the agent's user cannot read.
//!
//! One source binds a new store: the first there is, or the file that `store.bind` names. A store
//! opens with whichever of them it was bound to, and stays bound to that one, so that a source
//! that turns up or goes with a new kernel costs nobody their sign-in.
//!
//! machine-id(5) asks programs not to hand the id on. It enters the seal as associated data of an
//! AEAD, which is written nowhere and cannot be told from what is.

use crate::config::Bind;
use rustix::fs::statfs;
use signpost_hal::clock;
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// Bytes of an identity at most: a whole page of fuses.
const LONGEST: u64 = 4096;

/// Where an identity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The file that `store.bind` names.
    File,
    /// Firmware's serial number of the board.
    Serial,
    /// The card's or eMMC's own number.
    Medium,
    /// machine-id(5).
    Machine,
}

impl Source {
    /// For people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::File => "the file of store.bind",
            Self::Serial => "the board's serial number",
            Self::Medium => "the number of its SD card or eMMC",
            Self::Machine => "its machine id",
        }
    }
}

/// For so long after the board's start a driver may be late: until then the agent rather starts
/// anew than takes a store for that of another board.
const LATE: Duration = Duration::from_secs(300);

/// What identifies this board.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// A new store is bound to the first; each opens.
    pub(super) found: Vec<(Source, Vec<u8>)>,
    /// A source that counts more than all that were found could not be read, and may be next time.
    pub(super) unsure: Option<(Source, io::Error)>,
    /// A new store is bound to nothing, whatever was found.
    pub(super) none: bool,
}

impl Identities {
    /// The identities of this board for a store at `tokens`.
    ///
    /// # Errors
    /// The file that `store.bind` names cannot be read, or says nothing.
    pub(super) fn read(bind: &Bind, tokens: &Path) -> Result<Self, Unidentified> {
        let file = if let Bind::File(path) = bind { Some(path.as_path()) } else { None };
        let board = Board { root: Path::new("/"), up: clock::boot() };
        Ok(Self { none: *bind == Bind::None, ..board.identities(file, tokens)? })
    }
}

/// The file that `store.bind` names is none to bind a store to.
#[derive(Debug)]
pub(super) struct Unidentified {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

/// The system's files; elsewhere in tests.
struct Board<'a> {
    root: &'a Path,
    /// For how long it has been up.
    up: Duration,
}

impl Board<'_> {
    fn identities(&self, file: Option<&Path>, tokens: &Path) -> Result<Identities, Unidentified> {
        let mut all = Identities::default();
        if let Some(path) = file {
            let read = bytes(path).and_then(|read| read.ok_or(io::ErrorKind::NotFound.into()));
            let value = match read {
                Ok(bytes) if !bytes.is_empty() => bytes,
                Ok(_) => return Err(unidentified(path, io::ErrorKind::InvalidData.into())),
                Err(error) => return Err(unidentified(path, error)),
            };
            all.found.push((Source::File, labelled(Source::File, &value)));
        }
        let read: [(Source, io::Result<Option<Vec<u8>>>); 3] = [
            (Source::Serial, self.serial()),
            (Source::Medium, self.medium(tokens)),
            (Source::Machine, self.machine()),
        ];
        for (source, value) in read {
            match value {
                Ok(Some(value)) => all.found.push((source, labelled(source, &value))),
                Ok(None) => {}
                Err(error) if all.found.is_empty() && self.up < LATE => {
                    all.unsure = Some((source, error));
                }
                Err(_) => {}
            }
        }
        Ok(all)
    }

    fn serial(&self) -> io::Result<Option<Vec<u8>>> {
        let value = bytes(&self.root.join("proc/device-tree/serial-number"))?;
        Ok(value.filter(|value| is_unique(value)))
    }

    /// The card's number, of the block device that `tokens` is or lies on.
    fn medium(&self, tokens: &Path) -> io::Result<Option<Vec<u8>>> {
        let Some(meta) = tokens.ancestors().find_map(|path| fs::metadata(path).ok()) else {
            return Ok(None);
        };
        let block = meta.file_type().is_block_device();
        let device = if block { meta.rdev() } else { meta.dev() };
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let node = self.root.join(format!("sys/dev/block/{major}:{minor}"));
        let node = match fs::canonicalize(node) {
            Ok(node) => node,
            // Not on one block device: a network, memory, several disks.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // The device itself, or the one that it is a partition of.
        for device in node.ancestors().take(2) {
            if let Some(cid) = bytes(&device.join("device/cid"))? {
                return Ok(Some(cid).filter(|cid| is_unique(cid)));
            }
        }
        Ok(None)
    }

    fn machine(&self) -> io::Result<Option<Vec<u8>>> {
        let path = self.root.join("etc/machine-id");
        let Some(id) = bytes(&path)? else { return Ok(None) };
        // Empty or "uninitialized" in images; where /etc cannot be written each boot draws one.
        let is_id = id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit) && is_unique(&id);
        Ok(Some(id).filter(|_| is_id && lasts(&path)))
    }
}

fn unidentified(path: &Path, error: io::Error) -> Unidentified {
    Unidentified { path: path.to_owned(), error }
}

/// What the file at `path` says, without white space and zeros around it; `None` if there is no
/// such file, or none for this user: that does not change from one start to the next.
fn bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use io::{ErrorKind, Read as _};
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    match read.map_err(|error| (error.kind(), error)) {
        Ok(_) => {}
        Err((ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied, _)) => {
            return Ok(None);
        }
        Err((_, error)) => return Err(error),
    }
    let is_blank = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(0, |last| last + 1);
    bytes.truncate(end);
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(0);
    bytes.drain(..start);
    Ok(Some(bytes))
}

/// Whether boards of one kind are likely to differ in it: some makers leave serial numbers blank.
fn is_unique(value: &[u8]) -> bool {
    const BLANKS: [&str; 8] = [
        "0123456789",
        "0123456789abcdef",
        "1234567890",
        "123456789",
        "default string",
        "not specified",
        "to be filled by o.e.m.",
        "unknown",
    ];
    let text = value.to_ascii_lowercase();
    let varies = value.iter().any(|byte| *byte != value[0]);
    value.len() >= 6 && varies && !BLANKS.iter().any(|blank| blank.as_bytes() == text)
}

/// Whether the file at `path` outlives the boot: it is on no file system in memory, nor on an
/// overlay, whose upper half may be in memory.
fn lasts(path: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58F6;
    const OVERLAY: u64 = 0x794C_7630;
    // The field is signed, and 32 bits wide on some boards.
    let kind = |fs: rustix::fs::StatFs| fs.f_type as u64 & 0xFFFF_FFFF;
    statfs(path).is_ok_and(|fs| ![TMPFS, RAMFS, OVERLAY].contains(&kind(fs)))
}

/// The same bytes of another source bind to something else.
fn labelled(source: Source, value: &[u8]) -> Vec<u8> {
    let label: &[u8] = match source {
        Source::File => b"file:",
        Source::Serial => b"serial:",
        Source::Medium => b"cid:",
        Source::Machine => b"machine:",
    };
    [label, value].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::files;

    const ID: &str = "4c1f3f5c0e1d4f0f9a5e7d3b2a190807\n";

    /// A folder that stands for `/`.
    struct Root(tempfile::TempDir);

    impl Root {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn write(&self, path: &str, content: &str) {
            let path = self.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            files::replace(&path, content.as_bytes(), false).unwrap();
        }

        /// A card whose second partition holds this folder.
        fn write_cid(&self, cid: &str) {
            let meta = fs::metadata(self.0.path()).unwrap();
            let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
            let card = "sys/devices/mmc0:aaaa/block/mmcblk0";
            self.write("sys/devices/mmc0:aaaa/cid", cid);
            fs::create_dir_all(self.path(card).join("mmcblk0p2")).unwrap();
            std::os::unix::fs::symlink("../..", self.path(card).join("device")).unwrap();
            fs::create_dir_all(self.path("sys/dev/block")).unwrap();
            std::os::unix::fs::symlink(
                self.path(card).join("mmcblk0p2"),
                self.path(&format!("sys/dev/block/{major}:{minor}")),
            )
            .unwrap();
        }

        fn identities(&self, file: Option<&Path>, up: u64) -> Identities {
            let board = Board { root: self.0.path(), up: Duration::from_secs(up) };
            board.identities(file, &self.path("var/lib/signpost/tokens.flash")).unwrap()
        }

        fn sources(&self) -> Vec<Source> {
            self.identities(None, 9).found.into_iter().map(|(source, _)| source).collect()
        }
    }

    #[test]
    fn the_board_counts_more_than_its_card_and_the_card_more_than_the_installation() {
        let root = Root::new();
        assert_eq!(root.sources(), []);
        // On a file system in memory it would last as long as the boot.
        root.write("etc/machine-id", ID);
        let lasting = lasts(&root.path("etc/machine-id"));
        let machine = if lasting { vec![Source::Machine] } else { vec![] };
        assert_eq!(root.sources(), machine);
        root.write_cid("035344534331364780a1b2c3d4e5f601\n");
        assert_eq!(root.sources(), [vec![Source::Medium], machine.clone()].concat());
        root.write("proc/device-tree/serial-number", "10000000a1b2c3d4\0");
        let found = root.identities(None, 9).found;
        assert_eq!(found[0], (Source::Serial, b"serial:10000000a1b2c3d4".to_vec()));
        assert_eq!(found[1], (Source::Medium, b"cid:035344534331364780a1b2c3d4e5f601".to_vec()));
        assert_eq!(found.len(), 2 + machine.len());
    }

    #[test]
    fn what_all_boards_of_a_kind_have_identifies_none() {
        let root = Root::new();
        for serial in ["", "\0", "0000000000000000\0", "0123456789ABCDEF", "Unknown", "none"] {
            root.write("proc/device-tree/serial-number", serial);
            assert_eq!(root.sources(), [], "{serial:?}");
        }
        for id in ["", "uninitialized\n", "00000000000000000000000000000000\n", "4c1f\n"] {
            root.write("etc/machine-id", id);
            assert_eq!(root.sources(), [], "{id:?}");
        }
    }

    #[test]
    fn a_machine_id_that_each_boot_draws_anew_identifies_nothing() {
        assert!(!lasts(Path::new("/dev/shm")) || !Path::new("/dev/shm").exists());
        assert!(lasts(Path::new("/proc/self/status")), "any that is neither");
        assert!(!lasts(Path::new("/nowhere/at/all")));
    }

    #[test]
    fn a_source_that_fails_may_come_right_for_five_minutes() {
        let root = Root::new();
        // A folder reads as EISDIR, as a driver's EIO would.
        fs::create_dir_all(root.path("proc/device-tree/serial-number")).unwrap();
        root.write_cid("035344534331364780a1b2c3d4e5f601");
        let unsure = |up| root.identities(None, up).unsure.map(|(source, _)| source);
        assert_eq!((unsure(299), unsure(300)), (Some(Source::Serial), None));
        // It would not have bound the store: another counts more.
        root.write("fuses", "board 12");
        assert!(root.identities(Some(&root.path("fuses")), 9).unsure.is_none());
    }

    #[test]
    fn a_file_counts_most_and_must_say_something() {
        let root = Root::new();
        root.write("fuses", "\0\0board 12\0\0");
        root.write("proc/device-tree/serial-number", "10000000a1b2c3d4\0");
        let found = root.identities(Some(&root.path("fuses")), 9).found;
        assert_eq!(found[0], (Source::File, b"file:board 12".to_vec()));
        assert_eq!(found[1].0, Source::Serial, "what older stores may be bound to");
        root.write("blank", "\0\0\n");
        let board = Board { root: root.0.path(), up: Duration::ZERO };
        let kind = |name| {
            let read = board.identities(Some(&root.path(name)), Path::new("/x"));
            read.unwrap_err().error.kind()
        };
        assert_eq!(kind("blank"), io::ErrorKind::InvalidData);
        assert_eq!(kind("missing"), io::ErrorKind::NotFound);
    }
}
