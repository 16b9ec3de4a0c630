//! The seam between the store and whatever keeps its bytes.
//!
//! A [`Flash`] is a row of erase units. It is read anywhere, programmed in whole program
//! units and erased in whole erase units. [`mod@file`] is the medium of boards with eMMC, SD
//! or a disk, [`mtd`] that of boards with bare NOR flash, [`medium`] whichever is at a path,
//! [`sim`] the medium of tests.
//!
//! # What a power cut may leave
//! - An interrupted **program** may leave any content in the program units it was given
//!   (a part of the new bytes, random bits, all zeros first) and none outside of them.
//! - An interrupted **erase** may leave any content in its erase unit, also one that reads
//!   as erased and is not, or as if nothing had happened.
//! - On a medium that [overwrites](Geometry::overwrites), program calls that no
//!   [`sync`](Flash::sync) has followed may survive or be lost each on its own, in any order.
//! - What was programmed and synced before stays as it was.

use core::fmt;

#[cfg(feature = "linux")]
pub mod file;
#[cfg(feature = "linux")]
pub mod medium;
#[cfg(feature = "linux")]
pub mod mtd;
#[cfg(feature = "sim")]
pub mod sim;

/// A medium that keeps bytes without power. Calls block until the medium has answered.
pub trait Flash {
    /// The shape of the medium; the same at every call.
    fn geometry(&self) -> Geometry;

    /// Fills `into` with the bytes from address `at` on; any alignment.
    ///
    /// # Errors
    /// [`FlashErrorKind::OutOfBounds`], or what the medium says.
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError>;

    /// Programs `bytes` from address `at` on; both are multiples of the program unit.
    ///
    /// Unless the medium overwrites, no unit may be programmed twice between two erases.
    ///
    /// # Errors
    /// [`FlashErrorKind::OutOfBounds`], [`FlashErrorKind::Misaligned`], or what the medium
    /// says: then the range may hold anything, as after a power cut.
    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError>;

    /// Erases the erase unit with the number `unit`: it then reads as `0xFF`, or, where the
    /// medium overwrites, as whatever it held.
    ///
    /// # Errors
    /// [`FlashErrorKind::OutOfBounds`], or what the medium says: then the unit may hold
    /// anything.
    fn erase(&mut self, unit: u32) -> Result<(), FlashError>;

    /// Returns once everything programmed before is durable.
    ///
    /// # Errors
    /// What the medium says: then any program call since the last sync may be lost.
    fn sync(&mut self) -> Result<(), FlashError>;
}

impl<F: Flash + ?Sized> Flash for &mut F {
    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        (**self).read(at, into)
    }
    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        (**self).program(at, bytes)
    }
    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        (**self).erase(unit)
    }
    fn sync(&mut self) -> Result<(), FlashError> {
        (**self).sync()
    }
}

/// The shape of a medium, checked when it is made. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    erase_unit: u32,
    program_unit: u32,
    units: u32,
    overwrites: bool,
}

impl Geometry {
    /// `units` erase units of `erase_unit` bytes, programmed `program_unit` bytes at a time.
    ///
    /// # Errors
    /// [`GeometryError`] unless the program unit is a power of two of at most 4096, divides
    /// the erase unit, and the whole is at least one unit and below 4 GiB.
    pub const fn new(
        erase_unit: u32,
        program_unit: u32,
        units: u32,
    ) -> Result<Self, GeometryError> {
        if !program_unit.is_power_of_two() || program_unit > 4096 {
            return Err(GeometryError::ProgramUnit);
        }
        if erase_unit == 0 || !erase_unit.is_multiple_of(program_unit) {
            return Err(GeometryError::EraseUnit);
        }
        if units == 0 || erase_unit.checked_mul(units).is_none() {
            return Err(GeometryError::Size);
        }
        Ok(Self { erase_unit, program_unit, units, overwrites: false })
    }

    /// The same shape on a medium whose program units can be programmed again without an
    /// erase, and where an erase changes nothing: files and block devices.
    #[must_use]
    pub const fn overwriting(mut self) -> Self {
        self.overwrites = true;
        self
    }

    /// Bytes that are erased together.
    pub const fn erase_unit(&self) -> u32 {
        self.erase_unit
    }

    /// Bytes that are programmed together; a power of two.
    pub const fn program_unit(&self) -> u32 {
        self.program_unit
    }

    /// How many erase units there are.
    pub const fn units(&self) -> u32 {
        self.units
    }

    /// Bytes in all.
    pub const fn size(&self) -> u32 {
        self.erase_unit * self.units
    }

    /// Whether a program unit may be programmed again without an erase.
    pub const fn overwrites(&self) -> bool {
        self.overwrites
    }

    /// Whether `len` bytes at `at` lie inside the medium.
    ///
    /// # Errors
    /// [`FlashErrorKind::OutOfBounds`] if not.
    pub fn check_read(&self, at: u32, len: usize) -> Result<(), FlashError> {
        match u32::try_from(len).ok().and_then(|len| at.checked_add(len)) {
            Some(end) if end <= self.size() => Ok(()),
            Some(_) | None => Err(FlashErrorKind::OutOfBounds.into()),
        }
    }

    /// Whether `len` bytes at `at` are whole program units inside the medium.
    ///
    /// # Errors
    /// [`FlashErrorKind::OutOfBounds`] or [`FlashErrorKind::Misaligned`] if not.
    pub fn check_program(&self, at: u32, len: usize) -> Result<(), FlashError> {
        self.check_read(at, len)?;
        let unit = self.program_unit;
        if !at.is_multiple_of(unit) || !len.is_multiple_of(unit as usize) {
            return Err(FlashErrorKind::Misaligned.into());
        }
        Ok(())
    }

    /// Whether there is an erase unit `unit`.
    ///
    /// # Errors
    /// [`FlashErrorKind::OutOfBounds`] if not.
    pub fn check_erase(&self, unit: u32) -> Result<(), FlashError> {
        if unit < self.units { Ok(()) } else { Err(FlashErrorKind::OutOfBounds.into()) }
    }
}

/// Why a shape is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// The program unit is no power of two, or above 4096.
    ProgramUnit,
    /// The erase unit is zero or no multiple of the program unit.
    EraseUnit,
    /// No unit at all, or 4 GiB and more.
    Size,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProgramUnit => "program unit is not a power of two up to 4096",
            Self::EraseUnit => "erase unit is not a multiple of the program unit",
            Self::Size => "medium is empty or not below 4 GiB",
        })
    }
}

impl core::error::Error for GeometryError {}

/// What went wrong with a medium, in the terms on which its user decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashErrorKind {
    /// The medium failed (`EIO` and whatever has no kind of its own).
    Io,
    /// There is no room below the medium (`ENOSPC`, `EDQUOT`).
    Full,
    /// The medium does not take writes (`EROFS`).
    ReadOnly,
    /// The medium is no longer there (`ENODEV`, `ENXIO`).
    Gone,
    /// It is not there to begin with (`ENOENT`).
    Missing,
    /// This process may not use it (`EACCES`, `EPERM`).
    Denied,
    /// Another process holds it.
    Locked,
    /// It is something else than a medium of this kind, or too small for one unit.
    Unsuitable,
    /// The caller addressed bytes beyond the end.
    OutOfBounds,
    /// The caller addressed a part of a program unit.
    Misaligned,
    /// The caller programmed a unit that was not erased.
    NotErased,
}

/// An error of a medium; `os` is the system's number where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashError {
    kind: FlashErrorKind,
    os: Option<i32>,
}

impl FlashError {
    /// An error of the system with its number.
    pub const fn from_os(kind: FlashErrorKind, os: i32) -> Self {
        Self { kind, os: Some(os) }
    }

    /// What went wrong.
    pub const fn kind(&self) -> FlashErrorKind {
        self.kind
    }

    /// The system's error number, if the system said so.
    pub const fn os_error(&self) -> Option<i32> {
        self.os
    }
}

impl From<FlashErrorKind> for FlashError {
    fn from(kind: FlashErrorKind) -> Self {
        Self { kind, os: None }
    }
}

impl fmt::Display for FlashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            FlashErrorKind::Io => "storage failed",
            FlashErrorKind::Full => "no space left below the storage",
            FlashErrorKind::ReadOnly => "storage is read-only",
            FlashErrorKind::Gone => "storage is gone",
            FlashErrorKind::Missing => "storage does not exist",
            FlashErrorKind::Denied => "storage may not be used by this user",
            FlashErrorKind::Locked => "storage is in use by another process",
            FlashErrorKind::Unsuitable => "storage is too small, or no file, disk or NOR flash",
            FlashErrorKind::OutOfBounds => "address beyond the end of the storage",
            FlashErrorKind::Misaligned => "address is not a multiple of the program unit",
            FlashErrorKind::NotErased => "programmed without an erase",
        })?;
        match self.os {
            Some(os) => write!(f, " (error {os})"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for FlashError {}
