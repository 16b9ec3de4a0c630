//! What programs and backend know, on the same disk as the agent's stores, behind its file system:
//! in a record of the disk's writes it stands where it happened. It is written past the page cache
//! and never flushed, so that it makes nothing durable that the agent has left to chance.

use rustix::fs::OFlags;
use std::{
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

/// One entry is one sector.
pub const SECTOR: usize = 512;
const MAGIC: &[u8; 8] = b"SIGNPOST";
/// Ranges that one entry holds: 12 bytes each behind the head.
const MOST: usize = 40;
const HEAD: usize = 10;

/// What is known of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A program was told that they are safe.
    Acknowledged,
    /// The backend has them.
    Delivered,
}

/// Writes it.
#[derive(Debug)]
pub struct Journal {
    device: File,
    at: u64,
}

impl Journal {
    /// Onto the disk `device`, from byte `at` on.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(device: &Path, at: u64) -> io::Result<Self> {
        let flags = OFlags::DIRECT.bits() as i32;
        let device = OpenOptions::new().write(true).custom_flags(flags).open(device)?;
        Ok(Self { device, at })
    }

    /// Returns once the disk has it.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub fn write(&mut self, known: Known, numbers: &[Range<u64>]) -> io::Result<()> {
        for some in numbers.chunks(MOST) {
            // The kernel takes it from memory that is aligned like the disk.
            let mut room = vec![0; 2 * SECTOR];
            let from = room.as_ptr().align_offset(SECTOR);
            let sector = room.get_mut(from..from + SECTOR).ok_or(io::ErrorKind::InvalidInput)?;
            encode(known, some, sector);
            self.device.write_all_at(sector, self.at)?;
            self.at += SECTOR as u64;
        }
        Ok(())
    }
}

fn encode(known: Known, numbers: &[Range<u64>], sector: &mut [u8]) {
    sector[..8].copy_from_slice(MAGIC);
    sector[8] = known as u8;
    sector[9] = numbers.len() as u8;
    for (range, place) in numbers.iter().zip(sector[HEAD..].chunks_exact_mut(12)) {
        let length = (range.end - range.start) as u32;
        place[..8].copy_from_slice(&range.start.to_le_bytes());
        place[8..].copy_from_slice(&length.to_le_bytes());
    }
}

/// The entry in a sector, if it is one.
pub fn decode(sector: &[u8]) -> Option<(Known, Vec<Range<u64>>)> {
    let rest = sector.strip_prefix(MAGIC)?;
    let (head, rest) = rest.split_first_chunk::<2>()?;
    let known = match head[0] {
        0 => Known::Acknowledged,
        1 => Known::Delivered,
        _ => return None,
    };
    let ranges = rest.chunks_exact(12).take(head[1].into()).map(|place| {
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        let (start, length) = (number(&place[..8]), number(&place[8..]));
        start..start + length
    });
    Some((known, ranges.collect()))
}

/// Numbers as ranges, in their order.
pub fn ranges(numbers: &[u64]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end == *number => last.end += 1,
            _ => ranges.push(*number..number + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back() {
        let numbers = ranges(&[5, 6, 7, 1 << 40, 9]);
        assert_eq!(numbers, [5..8, 1 << 40..(1 << 40) + 1, 9..10]);
        let mut sector = [0; SECTOR];
        for known in [Known::Acknowledged, Known::Delivered] {
            encode(known, &numbers, &mut sector);
            assert_eq!(decode(&sector), Some((known, numbers.clone())));
        }
        encode(Known::Delivered, &vec![7..8; MOST], &mut sector);
        assert_eq!(decode(&sector).map(|(_, all)| all.len()), Some(MOST));
        assert_eq!(decode(&[0; SECTOR]), None);
    }
}
