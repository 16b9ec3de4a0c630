//! A file or block device as flash: the medium of boards with eMMC, SD or a disk.
//!
//! Program units are 4 KiB blocks, the size that file systems and their devices write at
//! once. A file is filled with zeros in steps ahead of the first program that reaches there,
//! so that a durable write changes data alone and no metadata; bytes beyond the filled part
//! read as zeros. An erase writes nothing. A program call is durable after the next sync.
//!
//! The medium is locked against a second opener for as long as it lives.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
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
    /// bytes (rounded down to blocks). A block device has its own size and `size` caps it.
    ///
    /// # Errors
    /// [`FlashErrorKind::Locked`] if it is open elsewhere, [`FlashErrorKind::Unsuitable`] if
    /// it is a directory, a pipe or the like or below one block, or what the system says.
    pub fn open(path: &Path, size: u64) -> Result<Self, FlashError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        // No blocking on a pipe that somebody put there, no following it to a terminal.
        options.custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits() as i32);
        let (file, made) = match options.open(path) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (options.create_new(true).open(path).map_err(|e| from_io(&e))?, true)
            }
            Err(error) => return Err(from_io(&error)),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(FlashErrorKind::Locked.into()),
            Err(errno) => return Err(from_errno(errno)),
        }
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
            (size.min(device), device)
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

fn sync_folder(path: &Path) -> Result<(), FlashError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder).map_err(|e| from_io(&e))?;
    rustix::fs::fsync(&folder).map_err(from_errno)
}

fn from_io(error: &io::Error) -> FlashError {
    match error.raw_os_error() {
        Some(os) => from_errno(Errno::from_raw_os_error(os)),
        None => FlashErrorKind::Io.into(),
    }
}

fn from_errno(errno: Errno) -> FlashError {
    let kind = match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => FlashErrorKind::Full,
        Errno::ROFS => FlashErrorKind::ReadOnly,
        Errno::NODEV | Errno::NXIO => FlashErrorKind::Gone,
        Errno::NOENT | Errno::NOTDIR => FlashErrorKind::Missing,
        Errno::ACCESS | Errno::PERM => FlashErrorKind::Denied,
        Errno::ISDIR => FlashErrorKind::Unsuitable,
        _ => FlashErrorKind::Io,
    };
    FlashError::from_os(kind, errno.raw_os_error())
}
