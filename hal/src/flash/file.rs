//! A file or block device as flash: the medium of boards with eMMC, SD or a disk.
//!
//! Program units are 4 KiB blocks, the size that file systems and their devices write at
//! once. A file is filled with zeros in steps ahead of the first program that reaches there,
//! so that a durable write changes data alone and no metadata; bytes beyond the filled part
//! read as zeros. An erase writes nothing. A program call is durable after the next sync.
//!
//! The medium is locked against a second opener for as long as it lives. A block device is also
//! held so that nobody mounts it meanwhile, and one that is mounted is refused.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::{Flash, FlashError, FlashErrorKind, Geometry};

/// Bytes that are programmed together.
pub const BLOCK: u32 = 4096;

/// A file grows by this many bytes of zeros at a time.
const STEP: u32 = 1 << 20;

static ZEROS: [u8; 16 * BLOCK as usize] = [0; 16 * BLOCK as usize];

/// A preallocated file or a block device.
#[derive(Debug)]
pub struct FileFlash {
    file: File,
    geometry: Geometry,
    /// Bytes from the start that exist in the file; whole blocks.
    filled: u32,
}

impl FileFlash {
    /// Opens the file at `path`, made with mode 0600 if it is missing, as a medium of `size`
    /// bytes (rounded down to blocks). A block device has its own size and `size` caps it; 0
    /// stands for all of it. Below `/dev` no file is made.
    ///
    /// # Errors
    /// [`FlashErrorKind::Locked`] if it is open elsewhere or mounted,
    /// [`FlashErrorKind::Unsuitable`] if it is a directory, a pipe or the like or below one
    /// block, or what the system says.
    pub fn open(path: &Path, size: u64) -> Result<Self, FlashError> {
        // No blocking on a pipe that somebody put there, no following it to a terminal.
        let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        if std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device()) {
            // open(2): with a block device and without O_CREAT, EBUSY if the system uses it.
            flags |= OFlags::EXCL;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(flags.bits() as i32);
        let (file, made) = match options.open(path) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_for_devices(path) => {
                (options.create_new(true).open(path).map_err(|e| from_io(&e))?, true)
            }
            Err(error) => return Err(from_io(&error)),
        };
        lock(&file)?;
        if made {
            sync_folder(path)?;
        }
        Self::over(file, size)
    }

    fn over(file: File, size: u64) -> Result<Self, FlashError> {
        let meta = file.metadata().map_err(|e| from_io(&e))?;
        let (size, len) = if meta.file_type().is_block_device() {
            let device =
                rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0)).map_err(from_errno)?;
            (if size == 0 { device } else { size.min(device) }, device)
        } else if meta.is_file() {
            (size, meta.len())
        } else {
            return Err(FlashErrorKind::Unsuitable.into());
        };
        let blocks = u32::try_from(size / u64::from(BLOCK)).unwrap_or(u32::MAX / BLOCK);
        let geometry = Geometry::new(BLOCK, BLOCK, blocks.min(u32::MAX / BLOCK))
            .map_err(|_| FlashError::from(FlashErrorKind::Unsuitable))?
            .overwriting();
        // A part of a block at the end of a shortened file counts as missing.
        let filled = u32::try_from(len / u64::from(BLOCK))
            .map_or(geometry.size(), |n| n.saturating_mul(BLOCK).min(geometry.size()));
        Ok(Self { file, geometry, filled })
    }

    /// Writes zeros from the filled part up to `end` or a step further.
    fn fill(&mut self, end: u32) -> Result<(), FlashError> {
        let step = self.filled.saturating_add(STEP).min(self.geometry.size());
        let target = end.max(step);
        while self.filled < target {
            let len = (target - self.filled).min(ZEROS.len() as u32);
            match self.write(self.filled, &ZEROS[..len as usize]) {
                Ok(()) => self.filled += len,
                // The step ahead is a comfort: what was asked for may still fit.
                Err(_) if self.filled >= end => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.file.write_all_at(bytes, u64::from(at)).map_err(|e| from_io(&e))
    }
}

impl Flash for FileFlash {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.geometry.check_read(at, into.len())?;
        let there = (self.filled.saturating_sub(at) as usize).min(into.len());
        let (data, beyond) = into.split_at_mut(there);
        beyond.fill(0);
        self.file.read_exact_at(data, u64::from(at)).map_err(|e| from_io(&e))
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.geometry.check_program(at, bytes.len())?;
        let end = at + bytes.len() as u32;
        if end > self.filled {
            self.fill(end)?;
        }
        self.write(at, bytes)
    }

    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        self.geometry.check_erase(unit)
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        rustix::fs::fdatasync(&self.file).map_err(from_errno)
    }
}

/// Whether files at `path` are none of ours to make: in place of a device that is gone there would
/// be one in memory, and what it was given to keep would go with the power.
fn is_for_devices(path: &Path) -> bool {
    path.starts_with("/dev") && !path.starts_with("/dev/shm")
}

fn sync_folder(path: &Path) -> Result<(), FlashError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder).map_err(|e| from_io(&e))?;
    rustix::fs::fsync(&folder).map_err(from_errno)
}

/// Locks `file` against every other opener of the same node that asks, until it is closed.
pub(super) fn lock(file: &File) -> Result<(), FlashError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(FlashErrorKind::Locked.into()),
        Err(errno) => Err(from_errno(errno)),
    }
}

pub(super) fn from_io(error: &io::Error) -> FlashError {
    match error.raw_os_error() {
        Some(os) => from_errno(Errno::from_raw_os_error(os)),
        None => FlashErrorKind::Io.into(),
    }
}

pub(super) fn from_errno(errno: Errno) -> FlashError {
    let kind = match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => FlashErrorKind::Full,
        Errno::ROFS => FlashErrorKind::ReadOnly,
        Errno::NODEV | Errno::NXIO | Errno::NOMEDIUM | Errno::STALE => FlashErrorKind::Gone,
        // EEXIST: there was nothing to open and nothing can be made, so it is a link to nowhere.
        Errno::NOENT | Errno::NOTDIR | Errno::EXIST => FlashErrorKind::Missing,
        Errno::ACCESS | Errno::PERM => FlashErrorKind::Denied,
        Errno::ISDIR => FlashErrorKind::Unsuitable,
        Errno::BUSY => FlashErrorKind::Locked,
        _ => FlashErrorKind::Io,
    };
    FlashError::from_os(kind, errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn kind(path: &Path, size: u64) -> FlashErrorKind {
        FileFlash::open(path, size).expect_err("not a medium").kind()
    }

    #[test]
    fn what_is_no_medium_is_told_from_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(kind(folder.path(), 65_536), FlashErrorKind::Unsuitable);
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert_eq!(kind(&at("pipe"), 65_536), FlashErrorKind::Unsuitable);
        assert_eq!(kind(Path::new("/dev/null"), 65_536), FlashErrorKind::Unsuitable);
        symlink(at("nowhere"), at("link")).unwrap();
        assert_eq!(kind(&at("link"), 65_536), FlashErrorKind::Missing);
        assert_eq!(kind(&at("none").join("file"), 65_536), FlashErrorKind::Missing);
        assert_eq!(kind(Path::new("/dev/no-such-disk"), 65_536), FlashErrorKind::Missing);
        assert_eq!(kind(&at("tiny"), 4095), FlashErrorKind::Unsuitable);
        assert_eq!(kind(&at("tiny"), 0), FlashErrorKind::Unsuitable);
    }

    #[test]
    fn a_file_cut_short_while_open_says_so_and_takes_writes_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut flash = FileFlash::open(&path, 65_536).unwrap();
        flash.program(0, &[1; 8192]).unwrap();
        let other = OpenOptions::new().write(true).open(&path).unwrap();
        other.set_len(5000).unwrap();
        let mut block = [9; 4096];
        assert_eq!(flash.read(0, &mut block), Ok(()));
        assert_eq!(flash.read(4096, &mut block).map_err(|e| e.kind()), Err(FlashErrorKind::Io));
        flash.program(8192, &[2; 4096]).unwrap();
        flash.sync().unwrap();
        assert_eq!(flash.read(8192, &mut block), Ok(()));
        assert_eq!(block, [2; 4096]);
        // The next opener goes by what is there.
        drop(flash);
        other.set_len(5000).unwrap();
        let mut flash = FileFlash::open(&path, 65_536).unwrap();
        assert_eq!(flash.read(4096, &mut block), Ok(()));
        assert_eq!(block, [0; 4096]);
        flash.program(4096, &[3; 4096]).unwrap();
        assert_eq!(flash.read(0, &mut block), Ok(()));
        assert_eq!(block, [1; 4096]);
        assert_eq!(flash.read(12_288, &mut block), Ok(()));
        assert_eq!(block, [0; 4096]);
    }

    #[test]
    fn each_error_of_the_system_has_its_kind() {
        let kinds = [
            (Errno::IO, FlashErrorKind::Io),
            (Errno::INVAL, FlashErrorKind::Io),
            (Errno::NOSPC, FlashErrorKind::Full),
            (Errno::DQUOT, FlashErrorKind::Full),
            (Errno::ROFS, FlashErrorKind::ReadOnly),
            (Errno::NODEV, FlashErrorKind::Gone),
            (Errno::NOMEDIUM, FlashErrorKind::Gone),
            (Errno::BUSY, FlashErrorKind::Locked),
            (Errno::ACCESS, FlashErrorKind::Denied),
        ];
        for (errno, kind) in kinds {
            let error = from_io(&errno.into());
            assert_eq!((error.kind(), error.os_error()), (kind, Some(errno.raw_os_error())));
        }
        assert_eq!(from_io(&io::ErrorKind::WriteZero.into()).kind(), FlashErrorKind::Io);
    }
}
