//! An MTD character device (`/dev/mtdN`) as flash: SPI or parallel NOR without a file system.
//!
//! The erase unit and the program unit are what the driver says (`MEMGETINFO`); erases are
//! `MEMERASE`, programs and reads `pwrite(2)` and `pread(2)`. See `<mtd/mtd-user.h>`, and
//! `drivers/mtd/mtdchar.c` of Linux for what each call answers.
//!
//! **No raw NAND.** Its blocks are bad from the factory, go bad in use, and its pages lose bits
//! as neighbours are read: a log that trusts an address is lost there. UBI is made for that;
//! a volume of it can be reached through `gluebi`, which is not raw, or with a file system on
//! top and a plain file.
//!
//! The device node is locked against a second opener for as long as the medium lives. Another
//! node of the same flash (`/dev/mtdblockN`, a whole chip beside its partition) is not.

#![expect(unsafe_code, reason = "ioctl(2) of drivers has no safe door; two calls, both here")]

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::{align_of, offset_of, size_of};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, Setter, ioctl, opcode};

use super::file::{from_errno, from_io, lock};
use super::{Flash, FlashError, FlashErrorKind, Geometry};

/// Major number of MTD character devices (`Documentation/admin-guide/devices.txt`).
pub(super) const MAJOR: u32 = 90;

/// What is programmed together at least. Most NOR takes single bytes; no record gains by that.
const WORD: u32 = 4;

/// A partition of NOR flash, or a chip of it.
#[derive(Debug)]
pub struct MtdFlash {
    file: File,
    geometry: Geometry,
}

impl MtdFlash {
    /// Opens the MTD character device at `path`. `size` in bytes, rounded down to erase units,
    /// caps it; 0 stands for all of it.
    ///
    /// # Errors
    /// [`FlashErrorKind::Locked`] if it is open elsewhere; [`FlashErrorKind::ReadOnly`] if it is
    /// a read-only node (`/dev/mtdNro`), partition or chip; [`FlashErrorKind::Unsuitable`] if it
    /// is no MTD character device, raw NAND, below one erase unit, 4 GiB and more, or has
    /// pages that are no power of two (DataFlash); or what the system says.
    pub fn open(path: &Path, size: u64) -> Result<Self, FlashError> {
        Self::open_if(path, size, is_reliable)
    }

    /// The same on any type of MTD, raw NAND included: for tests with `nandsim`, which stands in
    /// for a part that enforces what flash demands. Nothing that is to last belongs there.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for the type.
    pub fn open_any_type(path: &Path, size: u64) -> Result<Self, FlashError> {
        Self::open_if(path, size, |_| true)
    }

    fn open_if(path: &Path, size: u64, accept: fn(u8) -> bool) -> Result<Self, FlashError> {
        let file = match open_node(path, true) {
            Ok(file) => file,
            // A node or chip that takes no writes answers EACCES, as one that this user may not
            // open does; only the former can be read.
            Err(error) => return Err(if is_readable(path) { read_only() } else { error }),
        };
        lock(&file)?;
        let info = info(&file)?;
        Ok(Self { geometry: geometry(&info, size, accept)?, file })
    }
}

impl Flash for MtdFlash {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.geometry.check_read(at, into.len())?;
        self.file.read_exact_at(into, u64::from(at)).map_err(|e| from_io(&e))
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.geometry.check_program(at, bytes.len())?;
        let unit = self.geometry.program_unit() as usize;
        write_units(unit, bytes, |bytes, done| self.file.write_at(bytes, u64::from(at) + done))
    }

    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        self.geometry.check_erase(unit)?;
        let length = self.geometry.erase_unit();
        erase(&self.file, EraseInfo { start: unit * length, length })
    }

    /// Does nothing: drivers answer a program or erase when the chip is through with it, and
    /// `fsync(2)` on these devices only ever answers `EINVAL`.
    fn sync(&mut self) -> Result<(), FlashError> {
        Ok(())
    }
}

/// Whether flash of this type keeps what is programmed at an address.
///
/// NOR, battery-backed RAM and DataFlash do; a UBI volume in MTD's clothes does because UBI
/// takes care of the NAND below.
fn is_reliable(kind: u8) -> bool {
    matches!(kind, RAM | NOR | DATA_FLASH | UBI_VOLUME)
}

fn geometry(info: &MtdInfo, size: u64, accept: fn(u8) -> bool) -> Result<Geometry, FlashError> {
    if info.kind == ABSENT {
        return Err(FlashErrorKind::Gone.into());
    }
    if info.kind == ROM || info.flags & WRITEABLE == 0 {
        return Err(read_only());
    }
    let unsuitable = || FlashError::from(FlashErrorKind::Unsuitable);
    if !accept(info.kind) {
        return Err(unsuitable());
    }
    let size = if size == 0 { info.size } else { size.min(info.size.into()) as u32 };
    let units = size.checked_div(info.erase_size).ok_or_else(unsuitable)?;
    // A chip of 4 GiB reads as one of 0 bytes here, and is refused as such.
    Geometry::new(info.erase_size, info.write_size.max(WORD), units).map_err(|_| unsuitable())
}

/// Hands `bytes` to `write`, which is told how many are done, until all are.
///
/// A part of a program unit cannot be followed by its rest: that would program it twice.
fn write_units(
    unit: usize,
    mut bytes: &[u8],
    write: impl Fn(&[u8], u64) -> io::Result<usize>,
) -> Result<(), FlashError> {
    let mut done = 0;
    while !bytes.is_empty() {
        match write(bytes, done) {
            Ok(0) => return Err(FlashErrorKind::Io.into()),
            Ok(some) if some.is_multiple_of(unit) && some <= bytes.len() => {
                bytes = &bytes[some..];
                done += some as u64;
            }
            Ok(_) => return Err(FlashErrorKind::Io.into()),
            // A signal came before anything was written.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(from_io(&error)),
        }
    }
    Ok(())
}

fn open_node(path: &Path, write: bool) -> Result<File, FlashError> {
    // No blocking on a pipe that somebody put there, no following it to a terminal.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(write).custom_flags(flags).open(path);
    let file = file.map_err(|e| from_io(&e))?;
    let meta = file.metadata().map_err(|e| from_io(&e))?;
    // Other drivers may give another meaning to the numbers of our calls.
    if !meta.file_type().is_char_device() || rustix::fs::major(meta.rdev()) != MAJOR {
        return Err(FlashErrorKind::Unsuitable.into());
    }
    Ok(file)
}

/// Whether it is an MTD that can be read at least.
fn is_readable(path: &Path) -> bool {
    open_node(path, false).and_then(|file| info(&file)).is_ok()
}

fn read_only() -> FlashError {
    FlashErrorKind::ReadOnly.into()
}

fn info(file: &File) -> Result<MtdInfo, FlashError> {
    // SAFETY: `file` is an MTD character device (see `open_node`), where MEMGETINFO fills in one
    // `struct mtd_info_user`; `MtdInfo` has its layout, asserted below, and any bytes make one.
    let info = unsafe { ioctl(file, Getter::<MEMGETINFO, MtdInfo>::new()) };
    info.map_err(from_errno)
}

fn erase(file: &File, range: EraseInfo) -> Result<(), FlashError> {
    loop {
        // SAFETY: `file` is an MTD character device (see `open_node`), where MEMERASE reads one
        // `struct erase_info_user` and writes to no memory of this process; `EraseInfo` has its
        // layout, asserted below.
        match unsafe { ioctl(file, Setter::<MEMERASE, EraseInfo>::new(range)) } {
            Ok(()) => return Ok(()),
            // An erase can be begun again at any time.
            Err(Errno::INTR) => {}
            Err(errno) => return Err(from_errno(errno)),
        }
    }
}

/// `struct mtd_info_user` of `<mtd/mtd-abi.h>`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct MtdInfo {
    kind: u8,
    flags: u32,
    size: u32,
    erase_size: u32,
    write_size: u32,
    oob_size: u32,
    padding: u64,
}

/// `struct erase_info_user` of `<mtd/mtd-abi.h>`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct EraseInfo {
    start: u32,
    length: u32,
}

const MEMGETINFO: Opcode = opcode::read::<MtdInfo>(b'M', 1);
const MEMERASE: Opcode = opcode::write::<EraseInfo>(b'M', 2);

// Types and flags of `<mtd/mtd-abi.h>`.
const ABSENT: u8 = 0;
const RAM: u8 = 1;
const ROM: u8 = 2;
const NOR: u8 = 3;
const DATA_FLASH: u8 = 6;
const UBI_VOLUME: u8 = 7;
const WRITEABLE: u32 = 0x400;

const _: () = {
    assert!(size_of::<MtdInfo>() == 32);
    assert!(align_of::<MtdInfo>() <= 8);
    assert!(offset_of!(MtdInfo, kind) == 0);
    assert!(offset_of!(MtdInfo, flags) == 4);
    assert!(offset_of!(MtdInfo, size) == 8);
    assert!(offset_of!(MtdInfo, erase_size) == 12);
    assert!(offset_of!(MtdInfo, write_size) == 16);
    assert!(offset_of!(MtdInfo, oob_size) == 20);
    assert!(offset_of!(MtdInfo, padding) == 24);
    assert!(size_of::<EraseInfo>() == 8);
    assert!(offset_of!(EraseInfo, start) == 0);
    assert!(offset_of!(EraseInfo, length) == 4);
};

// The numbers that a C compiler makes of the header on the machines that Signpost is built for.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm"))]
const _: () = {
    assert!(MEMGETINFO == 0x8020_4D01);
    assert!(MEMERASE == 0x4008_4D02);
};

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A serial NOR chip of 64 sectors.
    const CHIP: MtdInfo = MtdInfo {
        kind: NOR,
        flags: 0xC00,
        size: 64 * 4096,
        erase_size: 4096,
        write_size: 1,
        oob_size: 0,
        padding: 0,
    };
    const NAND: u8 = 4;
    const MLC_NAND: u8 = 8;

    fn shape(info: MtdInfo, size: u64) -> Result<(u32, u32, u32), FlashErrorKind> {
        let shape = geometry(&info, size, is_reliable).map_err(|e| e.kind())?;
        assert!(!shape.overwrites());
        Ok((shape.erase_unit(), shape.program_unit(), shape.units()))
    }

    #[test]
    fn the_shape_is_what_the_driver_says_up_to_the_size_asked_for() {
        for whole in [0, u64::MAX, 64 * 4096, 1 << 32] {
            assert_eq!(shape(CHIP, whole), Ok((4096, 4, 64)));
        }
        assert_eq!(shape(CHIP, 3 * 4096 + 4095), Ok((4096, 4, 3)));
        assert_eq!(shape(CHIP, 4095), Err(FlashErrorKind::Unsuitable));
        assert_eq!(shape(MtdInfo { write_size: 16, ..CHIP }, 0), Ok((4096, 16, 64)));
    }

    #[test]
    fn what_cannot_keep_a_log_is_refused() {
        let unsuitable = [
            MtdInfo { kind: NAND, ..CHIP },
            MtdInfo { kind: MLC_NAND, ..CHIP },
            MtdInfo { kind: 77, ..CHIP },
            MtdInfo { size: 0, ..CHIP },
            MtdInfo { erase_size: 0, ..CHIP },
            MtdInfo { write_size: 264, erase_size: 2112, ..CHIP },
            MtdInfo { write_size: 8192, erase_size: 1 << 20, size: 1 << 30, ..CHIP },
        ];
        for info in unsuitable {
            assert_eq!(shape(info, 0), Err(FlashErrorKind::Unsuitable), "{info:?}");
        }
        for info in [MtdInfo { kind: ROM, ..CHIP }, MtdInfo { flags: 0x800, ..CHIP }] {
            assert_eq!(shape(info, 0), Err(FlashErrorKind::ReadOnly), "{info:?}");
        }
        assert_eq!(shape(MtdInfo { kind: ABSENT, ..CHIP }, 0), Err(FlashErrorKind::Gone));
        assert!(geometry(&MtdInfo { kind: NAND, ..CHIP }, 0, |_| true).is_ok());
    }

    #[test]
    fn a_short_write_goes_on_and_a_torn_unit_ends_it() {
        let calls = RefCell::new(Vec::new());
        let answers = RefCell::new(vec![Ok(8), Err(Errno::INTR), Ok(4)].into_iter());
        let write = |bytes: &[u8], done| {
            calls.borrow_mut().push((bytes.len(), done));
            answers.borrow_mut().next().unwrap().map_err(io::Error::from)
        };
        assert_eq!(write_units(4, &[0; 12], write), Ok(()));
        assert_eq!(calls.take(), [(12, 0), (4, 8), (4, 8)]);
        for torn in [0, 3, 16] {
            let failed = write_units(4, &[0; 12], |_, _| Ok(torn));
            assert_eq!(failed, Err(FlashErrorKind::Io.into()), "{torn}");
        }
        let failed = write_units(4, &[0; 4], |_, _| Err(Errno::ROFS.into()));
        assert_eq!(failed.map_err(|e| e.kind()), Err(FlashErrorKind::ReadOnly));
    }

    #[test]
    fn other_devices_and_files_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        File::create(&file).unwrap();
        let kind = |path: &Path| MtdFlash::open(path, 0).map(|_| ()).map_err(|e| e.kind());
        assert_eq!(kind(&file), Err(FlashErrorKind::Unsuitable));
        assert_eq!(kind(Path::new("/dev/null")), Err(FlashErrorKind::Unsuitable));
        assert_eq!(kind(folder.path()), Err(FlashErrorKind::Unsuitable));
        assert_eq!(kind(&folder.path().join("none")), Err(FlashErrorKind::Missing));
    }
}
