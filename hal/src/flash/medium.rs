//! Whatever flash is at a path: a file, a block device or an MTD character device.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::file::FileFlash;
use super::mtd::{self, MtdFlash};
use super::{Flash, FlashError, Geometry};

/// A medium of a Linux board.
#[derive(Debug)]
pub enum Medium {
    /// A file or a block device.
    File(FileFlash),
    /// An MTD character device.
    Mtd(MtdFlash),
}

impl Medium {
    /// Opens what is at `path`: an MTD character device (`/dev/mtdN`) or a block device, of
    /// which `size` in bytes is the most that is used and 0 stands for all, or a file of `size`
    /// bytes, which is made if nothing is there.
    ///
    /// # Errors
    /// As [`MtdFlash::open`] or [`FileFlash::open`].
    pub fn open(path: &Path, size: u64) -> Result<Self, FlashError> {
        // What cannot be looked at is for the opening to complain of.
        let is_mtd = std::fs::metadata(path).is_ok_and(|meta| {
            meta.file_type().is_char_device() && rustix::fs::major(meta.rdev()) == mtd::MAJOR
        });
        if is_mtd {
            MtdFlash::open(path, size).map(Self::Mtd)
        } else {
            FileFlash::open(path, size).map(Self::File)
        }
    }

    fn flash(&mut self) -> &mut dyn Flash {
        match self {
            Self::File(flash) => flash,
            Self::Mtd(flash) => flash,
        }
    }
}

impl Flash for Medium {
    fn geometry(&self) -> Geometry {
        match self {
            Self::File(flash) => flash.geometry(),
            Self::Mtd(flash) => flash.geometry(),
        }
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.flash().read(at, into)
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.flash().program(at, bytes)
    }

    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        self.flash().erase(unit)
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        self.flash().sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::FlashErrorKind;

    #[test]
    fn a_path_of_nothing_becomes_a_file_that_keeps_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.flash");
        let mut medium = Medium::open(&path, 65_536).unwrap();
        assert!(matches!(medium, Medium::File(_)));
        assert_eq!((medium.geometry().units(), medium.geometry().overwrites()), (16, true));
        medium.erase(3).unwrap();
        medium.program(3 * 4096, &[7; 4096]).unwrap();
        medium.sync().unwrap();
        drop(medium);
        let mut found = [0; 2];
        Medium::open(&path, 65_536).unwrap().read(4 * 4096 - 1, &mut found).unwrap();
        assert_eq!(found, [7, 0]);
    }

    #[test]
    fn other_character_devices_are_no_media() {
        let kind = Medium::open(Path::new("/dev/null"), 65_536).map(|_| ()).map_err(|e| e.kind());
        assert_eq!(kind, Err(FlashErrorKind::Unsuitable));
    }
}
