//! Segments, their headers, and the units that their parts make up.

use super::{Complaint, MAGIC, VERSION, crc, word};

/// What a segment is for: the low half of its header's second byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tokens,
    Ledger,
    Queue,
}

/// A segment with a whole header.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    pub kind: Kind,
    /// Which segment of the medium it is.
    pub place: usize,
    pub back: u8,
    pub store: [u8; 8],
    pub seq: u32,
    /// Bytes 20 to 51 of a queue's header.
    pub queue: &'a [u8],
    header: usize,
    bytes: &'a [u8],
}

/// What becomes visible as a whole.
#[derive(Clone, Debug)]
pub struct Unit {
    /// `seq` and offset of its first part.
    pub seq: u32,
    pub offset: u32,
    /// Whether its first part says that it holds several records.
    pub several: bool,
    pub payload: Vec<u8>,
}

struct Part<'a> {
    offset: usize,
    /// Its first word, without the crc.
    low: u32,
    /// What its place gives to both crcs.
    place: [u8; 20],
    crc: u32,
    payload: &'a [u8],
}

impl Part<'_> {
    fn has(&self, bit: u32) -> bool {
        self.low >> bit & 1 == 1
    }
}

/// All segments of an image that have a whole header; `Err` for those of another version.
pub fn segments(image: &[u8], size: usize) -> Result<Vec<Segment<'_>>, Complaint> {
    let mut found = Vec::new();
    for (place, bytes) in image.chunks_exact(size).enumerate() {
        found.extend(header(place, bytes)?);
    }
    Ok(found)
}

fn header(place: usize, bytes: &[u8]) -> Result<Option<Segment<'_>>, Complaint> {
    let &[MAGIC, what, back, ..] = bytes else { return Ok(None) };
    let (kind, len) = match what & 0x0F {
        1 => (Kind::Tokens, 20),
        2 => (Kind::Ledger, 20),
        3 => (Kind::Queue, 52),
        _ => return Ok(None),
    };
    let (Some(sum), Some(seq)) = (word(bytes, len), word(bytes, 12)) else { return Ok(None) };
    if sum != crc(&[&bytes[..len]]) {
        return Ok(None);
    }
    if what >> 4 != VERSION {
        return Err(format!("segment {place} is of version {}", what >> 4));
    }
    let store = bytes[4..12].try_into().map_err(|_| "too short")?;
    let queue = &bytes[20..len];
    Ok(Some(Segment { kind, place, back, store, seq, queue, header: len + 4, bytes }))
}

impl<'a> Segment<'a> {
    /// The parts up to the first place where none begins.
    fn parts(&self, program_unit: usize) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let mut at = self.header;
        while let Some(part) = self.part(at) {
            at = (at + 8 + part.payload.len()).next_multiple_of(program_unit);
            parts.push(part);
        }
        parts
    }

    fn part(&self, at: usize) -> Option<Part<'a>> {
        let first = word(self.bytes, at)?;
        let low = first & 0xF_FFFF;
        let mut place = [0; 20];
        place[..8].copy_from_slice(&self.store);
        place[8..12].copy_from_slice(&self.seq.to_le_bytes());
        place[12..16].copy_from_slice(&u32::try_from(at).ok()?.to_le_bytes());
        place[16..].copy_from_slice(&low.to_le_bytes());
        if first >> 20 != crc(&[&place]) & 0xFFF || low >> 19 == 1 {
            return None;
        }
        let payload = self.bytes.get(at + 8..at + 8 + (first & 0xFFFF) as usize)?;
        Some(Part { offset: at, low, place, crc: word(self.bytes, at + 4)?, payload })
    }
}

/// The whole units that begin in `segments`, each with the number of its first one among
/// them. The segments come in the order in which they were filled.
pub fn units(segments: &[Segment<'_>], program_unit: usize) -> Vec<(usize, Unit)> {
    let mut whole = Vec::new();
    let mut open: Option<(usize, Unit, u32)> = None;
    for (n, segment) in segments.iter().enumerate() {
        for part in segment.parts(program_unit) {
            if part.has(16) {
                let offset = u32::try_from(part.offset).unwrap_or(u32::MAX);
                let several = part.has(18);
                open =
                    Some((n, Unit { seq: segment.seq, offset, several, payload: Vec::new() }, 0));
            }
            let Some((begun, mut unit, before)) = open.take() else { continue };
            let sum = crc(&[&part.place, &before.to_le_bytes(), part.payload]);
            if sum != part.crc {
                continue;
            }
            unit.payload.extend_from_slice(part.payload);
            if part.has(17) {
                whole.push((begun, unit));
            } else {
                open = Some((begun, unit, sum));
            }
        }
    }
    whole
}
