//! A record of a disk's writes, and the disks that a power cut may leave.
//!
//! The record is that of the kernel's dm-log-writes (`Documentation/admin-guide/device-mapper/
//! log-writes.rst`), which QEMU's `blklogwrites` writes, too: a super block, then for each request
//! a sector of what it is and the sectors that it wrote.

use super::journal::SECTOR;
use crate::flash::chance::Chance;
use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// One request.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// First byte on the disk.
    at: u64,
    len: usize,
    flags: u64,
    /// Where its bytes are in the record.
    data: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Record {
    file: File,
    requests: Vec<Request>,
}

impl Record {
    /// Reads the record at `path`.
    ///
    /// # Errors
    /// It is none, or ends too early.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut sector = [0; SECTOR];
        file.read_exact_at(&mut sector, 0)?;
        let size = u32::from_le_bytes([sector[24], sector[25], sector[26], sector[27]]);
        if word(&sector, 0) != MAGIC || word(&sector, 8) != 1 || size as usize != SECTOR {
            return Err(io::Error::other("no record of writes in sectors of 512 bytes"));
        }
        let (count, mut at) = (word(&sector, 16), SECTOR as u64);
        let mut requests = Vec::new();
        for _ in 0..count {
            file.read_exact_at(&mut sector, at)?;
            at += SECTOR as u64;
            let (flags, sectors) = (word(&sector, 16), word(&sector, 8));
            let len = if flags & DISCARD == 0 { sectors as usize * SECTOR } else { 0 };
            let start = word(&sector, 0) * SECTOR as u64;
            requests.push(Request { at: start, len, flags, data: at });
            at += len as u64;
        }
        Ok(Self { file, requests })
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// How many of them are flushes.
    pub fn flushes(&self) -> usize {
        self.requests.iter().filter(|request| request.flags & FLUSH != 0).count()
    }

    /// What request `number` wrote, where it wrote from byte `from` of the disk on.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn written_behind(&self, number: usize, from: u64) -> io::Result<Vec<u8>> {
        let Some(request) = self.requests.get(number).filter(|request| request.at >= from) else {
            return Ok(Vec::new());
        };
        self.data(request)
    }

    fn data(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; request.len];
        self.file.read_exact_at(&mut bytes, request.data)?;
        Ok(bytes)
    }
}

/// A disk whose power is cut again and again, each time a little later.
#[derive(Debug)]
pub struct Disk<'a> {
    record: &'a Record,
    /// What no cut can take any more: all that a flush has followed.
    durable: Vec<u8>,
    /// The first request that none has followed.
    next: usize,
}

impl<'a> Disk<'a> {
    /// A disk that held `base` when the record began; writes beyond it do not count.
    pub fn new(record: &'a Record, base: Vec<u8>) -> Self {
        Self { record, durable: base, next: 0 }
    }

    /// What a cut leaves once request `last` was made: all before the newest flush, and of what came
    /// behind it some, some not, and some torn between sectors. No cut may be earlier than the one
    /// before.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn cut(&mut self, last: usize, chance: &mut Chance) -> io::Result<Vec<u8>> {
        let made = self.record.requests.get(..=last).unwrap_or_default();
        let flush = made.iter().rposition(|request| request.flags & FLUSH != 0);
        while flush.is_some_and(|flush| self.next <= flush) {
            let request = &self.record.requests[self.next];
            put(&mut self.durable, request.at, &self.record.data(request)?);
            self.next += 1;
        }
        let mut left = self.durable.clone();
        // At times nothing was left to chance, or nothing lost.
        let kind = chance.below(8);
        for request in made.get(self.next..).unwrap_or_default() {
            let data = self.record.data(request)?;
            let fate = if request.flags & FUA != 0 { 1 } else { chance.below(4) };
            match (kind, fate) {
                (0, _) => {}
                (1, _) | (_, 1) => put(&mut left, request.at, &data),
                (_, 2) => {
                    for (number, sector) in data.chunks(SECTOR).enumerate() {
                        if chance.below(2) == 1 {
                            put(&mut left, request.at + (number * SECTOR) as u64, sector);
                        }
                    }
                }
                (_, 3) => {
                    let kept = chance.below(data.len() as u64 + 1) as usize / SECTOR * SECTOR;
                    put(&mut left, request.at, &data[..kept]);
                }
                (_, _) => {}
            }
        }
        Ok(left)
    }
}

fn put(disk: &mut [u8], at: u64, bytes: &[u8]) {
    let place = usize::try_from(at).ok().and_then(|at| disk.get_mut(at..at + bytes.len()));
    if let Some(place) = place {
        place.copy_from_slice(bytes);
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
