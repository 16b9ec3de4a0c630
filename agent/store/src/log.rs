//! Segments, parts and units: the one format under both faces (bytes in the crate's header).
//!
//! A segment is written front to back, once. Nothing here decides which segment comes next
//! or what a unit means; that is the business of the two faces.

use alloc::vec;
use alloc::vec::Vec;

use signpost_hal::flash::{Flash, FlashError, Geometry};

use crate::QueueName;
use crate::crc::Crc;

/// Version of the format; a change that older builds cannot read raises it.
pub(crate) const VERSION: u8 = 1;
const MAGIC: u8 = 0xA5;
const BASE: usize = 20;
const QUEUE: usize = 32;
const CRC: usize = 4;
/// Bytes of a part's own header.
pub(crate) const PART: u32 = 8;
const PART_MAX: u32 = 0xFFFF;
/// The longest unit that is read back; a longer one is damage.
pub(crate) const UNIT_MAX: usize = (4 << 20) + 1024;
/// A unit does not begin in less room than this unless all of it fits.
const ROOM_MIN: u32 = 16;
/// Bytes that are programmed at a time where that can be chosen.
const CHUNK: u32 = 256;

/// Who a segment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tokens,
    Ledger,
    Queue(QueueSegment),
}

/// What a queue's segment says of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueSegment {
    pub(crate) name: QueueName,
    /// Told apart by it: a queue, and a dropped one of the same name.
    pub(crate) birth: u32,
    /// Sequence number of the first record that begins in this segment.
    pub(crate) first: u64,
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) store: [u8; 8],
    pub(crate) seq: u32,
    /// In a token log the distance in `seq` to the segment before; 0 for none, `u8::MAX` for
    /// "the one before it in the ring".
    pub(crate) back: u8,
    /// In a token log the low bits of the number of the first commit that begins here.
    pub(crate) commit: u8,
    pub(crate) erases: u32,
}

impl Header {
    pub(crate) const fn len(&self) -> u32 {
        (match self.kind {
            Kind::Tokens | Kind::Ledger => BASE + CRC,
            Kind::Queue(_) => BASE + QUEUE + CRC,
        }) as u32
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let from = out.len();
        let kind = match self.kind {
            Kind::Tokens => 1,
            Kind::Ledger => 2,
            Kind::Queue(_) => 3,
        };
        out.extend([MAGIC, VERSION << 4 | kind]);
        out.extend([self.back, self.commit]);
        out.extend(self.store);
        out.extend(self.seq.to_le_bytes());
        out.extend(self.erases.to_le_bytes());
        if let Kind::Queue(queue) = &self.kind {
            out.extend(queue.name.0);
            out.extend(queue.birth.to_le_bytes());
            out.extend(queue.first.to_le_bytes());
        }
        let crc = Crc::new().with(&out[from..]).end();
        out.extend(crc.to_le_bytes());
    }

    fn decode(bytes: &[u8; BASE + QUEUE + CRC]) -> Option<Self> {
        if bytes[0] != MAGIC || bytes[1] >> 4 != VERSION {
            return None;
        }
        let kind = match bytes[1] & 0x0F {
            1 => Kind::Tokens,
            2 => Kind::Ledger,
            3 => {
                let mut name = [0; 20];
                name.copy_from_slice(&bytes[BASE..BASE + 20]);
                Kind::Queue(QueueSegment {
                    name: QueueName(name),
                    birth: u32_at(bytes, BASE + 20),
                    first: u64::from(u32_at(bytes, BASE + 24))
                        | u64::from(u32_at(bytes, BASE + 28)) << 32,
                })
            }
            _ => return None,
        };
        let mut store = [0; 8];
        store.copy_from_slice(&bytes[4..12]);
        let header = Self {
            kind,
            store,
            seq: u32_at(bytes, 12),
            back: bytes[2],
            commit: bytes[3],
            erases: u32_at(bytes, 16),
        };
        let body = header.len() as usize - CRC;
        let whole = Crc::new().with(&bytes[..body]).end() == u32_at(bytes, body);
        whole.then_some(header)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Where a part begins. `seq` ties it to one filling of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: u16,
    pub(crate) seq: u32,
    pub(crate) offset: u32,
}

/// A part's header, checked as far as it can be without its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) first: bool,
    pub(crate) last: bool,
    /// The unit holds several records.
    pub(crate) multi: bool,
    pub(crate) len: u32,
    crc: u32,
}

/// A unit that was read whole and is not damaged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    pub(crate) multi: bool,
    /// Where the next unit would begin.
    pub(crate) end: Place,
}

/// A medium cut into segments.
pub(crate) struct Log<F> {
    flash: F,
    geometry: Geometry,
    segment: u32,
    count: u16,
    store: [u8; 8],
    /// From here on a segment is known to read as erased.
    blank: Option<Place>,
}

impl<F: Flash> Log<F> {
    /// Segments of `segment` bytes, a multiple of the erase unit, `most` at most.
    pub(crate) fn new(flash: F, segment: u32, most: u16) -> Self {
        let geometry = flash.geometry();
        let count = (geometry.size() / segment).min(u32::from(most)) as u16;
        Self { flash, geometry, segment, count, store: [0; 8], blank: None }
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    pub(crate) fn segment(&self) -> u32 {
        self.segment
    }

    pub(crate) fn overwrites(&self) -> bool {
        self.geometry.overwrites()
    }

    pub(crate) fn store(&self) -> [u8; 8] {
        self.store
    }

    pub(crate) fn set_store(&mut self, store: [u8; 8]) {
        self.store = store;
    }

    pub(crate) fn sync(&mut self) -> Result<(), FlashError> {
        self.flash.sync()
    }

    fn base(&self, index: u16) -> u32 {
        u32::from(index) * self.segment
    }

    fn align(&self, offset: u32) -> u32 {
        offset.next_multiple_of(self.geometry.program_unit())
    }

    /// The header of segment `index`, of whatever store.
    pub(crate) fn header(&mut self, index: u16) -> Result<Option<Header>, FlashError> {
        let mut bytes = [0; BASE + QUEUE + CRC];
        self.flash.read(self.base(index), &mut bytes)?;
        Ok(Header::decode(&bytes))
    }

    /// Whether segment `index` begins like a store of another version.
    pub(crate) fn is_other_version(&mut self, index: u16) -> Result<bool, FlashError> {
        let mut bytes = [0; BASE + QUEUE + CRC];
        self.flash.read(self.base(index), &mut bytes)?;
        let version = bytes[1] >> 4;
        if version == VERSION || version == 0 || bytes[0] != MAGIC {
            return Ok(false);
        }
        // Any version ends its header with a checksum behind 20 or 52 bytes.
        Ok([BASE, BASE + QUEUE]
            .iter()
            .any(|&n| Crc::new().with(&bytes[..n]).end() == u32_at(&bytes, n)))
    }

    /// Whether the start of segment `index` looks as if nothing had ever been written.
    pub(crate) fn looks_blank(&mut self, index: u16) -> Result<bool, FlashError> {
        let mut bytes = [0; 64];
        self.flash.read(self.base(index), &mut bytes)?;
        Ok(bytes.iter().all(|&b| b == 0xFF) || bytes.iter().all(|&b| b == 0))
    }

    /// Whether the rest of the segment from `place` on can still be programmed.
    pub(crate) fn is_open(&mut self, place: Place) -> Result<bool, FlashError> {
        Ok(self.overwrites() || self.is_blank(place)?)
    }

    /// Whether the rest of the segment reads as erased; never so on media that overwrite.
    pub(crate) fn is_blank(&mut self, place: Place) -> Result<bool, FlashError> {
        if self.overwrites() || self.blank == Some(place) {
            return Ok(!self.overwrites());
        }
        let mut chunk = [0; 256];
        let mut offset = place.offset;
        while offset < self.segment {
            let len = (self.segment - offset).min(chunk.len() as u32);
            self.flash.read(self.base(place.index) + offset, &mut chunk[..len as usize])?;
            if chunk[..len as usize].iter().any(|&b| b != 0xFF) {
                return Ok(false);
            }
            offset += len;
        }
        self.blank = Some(place);
        Ok(true)
    }

    /// Whether nothing seems to have been begun at `place`: no more than a look, which tells
    /// where to stop reading and not where to write.
    pub(crate) fn seems_blank(&mut self, place: Place) -> Result<bool, FlashError> {
        if self.is_end(place) {
            return Ok(true);
        }
        let mut bytes = [0; PART as usize];
        self.flash.read(self.base(place.index) + place.offset, &mut bytes)?;
        Ok(bytes == [0xFF; PART as usize] || self.overwrites() && bytes == [0; PART as usize])
    }

    /// Makes segment `index` programmable from its start.
    pub(crate) fn erase(&mut self, index: u16) -> Result<(), FlashError> {
        self.blank = None;
        let per = self.segment / self.geometry.erase_unit();
        let first = u32::from(index) * per;
        (first..first + per).try_for_each(|unit| self.flash.erase(unit))
    }

    /// Takes away what earlier fillings of segment `index` have left that could count under
    /// `seq`, where an erase takes nothing away. A number comes back when a cut tore the one
    /// header that bore it, and a second torn write can make whole what a first one left.
    pub(crate) fn clear_stale(&mut self, index: u16, seq: u32) -> Result<(), FlashError> {
        if !self.overwrites() {
            return Ok(());
        }
        let store = self.store;
        let is_older = |header: Header| header.seq < seq && header.store == store;
        if !self.header(index)?.is_some_and(is_older) {
            self.clear_block(Place { index, seq, offset: 0 })?;
        }
        let unit = self.geometry.program_unit();
        for offset in (unit..self.segment).step_by(unit as usize) {
            let place = Place { index, seq, offset };
            if self.part(place)?.is_some() {
                self.clear_block(place)?;
            }
        }
        Ok(())
    }

    /// Fills the program unit at `place` with zeros, durably, if there is anything else in it;
    /// only where it can be programmed again.
    pub(crate) fn clear_block(&mut self, place: Place) -> Result<(), FlashError> {
        if !self.overwrites() || self.is_end(place) {
            return Ok(());
        }
        let mut block = vec![0; self.geometry.program_unit() as usize];
        let address = self.base(place.index) + place.offset;
        self.flash.read(address, &mut block)?;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        block.fill(0);
        self.flash.program(address, &block)?;
        self.flash.sync()
    }

    /// Makes segment `index` unreadable, on media that overwrite by zeros over its first
    /// `bytes`; durable after the next sync.
    pub(crate) fn destroy(&mut self, index: u16, bytes: u32) -> Result<(), FlashError> {
        if !self.geometry.overwrites() {
            return self.erase(index);
        }
        let unit = self.geometry.program_unit();
        let step = unit.max(4096).min(self.segment);
        let zeros = vec![0; step as usize];
        let end = self.align(bytes).min(self.segment);
        let mut offset = 0;
        while offset < end {
            let len = step.min(end - offset) as usize;
            self.flash.program(self.base(index) + offset, &zeros[..len])?;
            offset += len as u32;
        }
        Ok(())
    }

    /// How a unit of `len` bytes lies: whether it begins at `head`, and how many further
    /// segments with headers of `header` bytes it takes. `end` is the offset behind it.
    pub(crate) fn lay(&self, head: Option<Place>, header: u32, len: usize) -> Lay {
        let mut left = len as u32;
        let in_head = head.is_some_and(|head| {
            let room = self.segment.saturating_sub(head.offset);
            room >= PART + left.min(ROOM_MIN)
        });
        let mut offset = head.filter(|_| in_head).map_or(header, |head| head.offset);
        let mut fresh = u16::from(!in_head);
        loop {
            let take = left.min(self.part_room(offset));
            left -= take;
            offset = self.align(offset + PART + take);
            if left == 0 {
                return Lay { in_head, fresh, end: offset };
            }
            if self.part_room(offset) == 0 {
                fresh = fresh.saturating_add(1);
                offset = header;
            }
        }
    }

    /// Payload bytes that one part at `offset` may hold at most, so that it ends on a whole
    /// program unit.
    fn part_room(&self, offset: u32) -> u32 {
        let end = (offset + PART + PART_MAX).min(self.segment);
        let end = end - end % self.geometry.program_unit();
        end.saturating_sub(offset + PART)
    }

    /// Writes one unit from `head` on and through the `fresh` segments, as [`lay`](Self::lay)
    /// laid it. Not durable before the next sync. Returns where the next unit begins.
    pub(crate) fn write(
        &mut self,
        head: Option<Place>,
        fresh: &[(u16, Header)],
        multi: bool,
        payload: &[u8],
    ) -> Result<Place, FlashError> {
        self.blank = None;
        let chunk = self.chunk();
        let mut bytes = Vec::with_capacity(chunk.min(payload.len() + chunk / 8));
        let mut fresh = fresh.iter();
        let mut place = head;
        let mut left = payload;
        let mut before = 0;
        loop {
            let at = match place.filter(|p| self.part_room(p.offset) > 0) {
                Some(place) => place,
                None => {
                    // `lay` counted the segments: running out is a bug, shown as damage.
                    let Some((index, header)) = fresh.next() else {
                        return Err(signpost_hal::flash::FlashErrorKind::OutOfBounds.into());
                    };
                    header.encode(&mut bytes);
                    Place { index: *index, seq: header.seq, offset: header.len() }
                }
            };
            let mut address = self.base(at.index) + at.offset - bytes.len() as u32;
            let (now, later) = left.split_at((self.part_room(at.offset) as usize).min(left.len()));
            let part =
                self.seed(at, left.len() == payload.len(), later.is_empty(), multi, now.len());
            before = part.0.with(&u32::to_le_bytes(before)).with(now).end();
            bytes.extend(part.1.to_le_bytes());
            bytes.extend(before.to_le_bytes());
            let mut rest = now;
            loop {
                let (some, more) = rest.split_at((chunk - bytes.len()).min(rest.len()));
                bytes.extend(some);
                rest = more;
                let end = self.align(bytes.len() as u32) as usize;
                bytes.resize(end, 0xFF);
                self.flash.program(address, &bytes)?;
                address += end as u32;
                bytes.clear();
                if rest.is_empty() {
                    break;
                }
            }
            let end = Place { offset: self.align(at.offset + PART + now.len() as u32), ..at };
            place = Some(end);
            left = later;
            if left.is_empty() {
                return Ok(end);
            }
        }
    }

    /// Bytes that are read and programmed at a time: few where memory is scarce, many where each call
    /// goes through a kernel.
    fn chunk(&self) -> usize {
        let unit = self.geometry.program_unit();
        if self.overwrites() { (16 * unit) as usize } else { unit.max(CHUNK) as usize }
    }

    /// The checksum of a part up to its word, and the word.
    fn seed(&self, at: Place, first: bool, last: bool, multi: bool, len: usize) -> (Crc, u32) {
        let flags = u32::from(first) | u32::from(last) << 1 | u32::from(multi) << 2;
        let low = (len as u32 & 0xFFFF) | flags << 16;
        let crc = Crc::new()
            .with(&self.store)
            .with(&at.seq.to_le_bytes())
            .with(&at.offset.to_le_bytes())
            .with(&low.to_le_bytes());
        (crc, low | (crc.end() & 0xFFF) << 20)
    }

    /// The header of the part at `at`, if there is one: its length is plausible and its
    /// twelve check bits are right. Only its checksum tells that the payload is, too.
    pub(crate) fn part(&mut self, at: Place) -> Result<Option<Part>, FlashError> {
        if at.offset + PART >= self.segment {
            return Ok(None);
        }
        let mut bytes = [0; PART as usize];
        self.flash.read(self.base(at.index) + at.offset, &mut bytes)?;
        let word = u32_at(&bytes, 0);
        let part = Part {
            first: word >> 16 & 1 == 1,
            last: word >> 17 & 1 == 1,
            multi: word >> 18 & 1 == 1,
            len: word & 0xFFFF,
            crc: u32_at(&bytes, 4),
        };
        let expected = self.seed(at, part.first, part.last, part.multi, part.len as usize).1;
        let plausible = part.len > 0 && part.len <= self.part_room(at.offset);
        Ok((plausible && word == expected).then_some(part))
    }

    /// Where, behind `at` in the same segment, the whole first part of a unit begins.
    pub(crate) fn resume(&mut self, at: Place) -> Result<Option<Place>, FlashError> {
        let step = self.geometry.program_unit();
        let mut place = Place { offset: self.align(at.offset + 1), ..at };
        while place.offset + PART < self.segment {
            if let Some(part) = self.part(place)?.filter(|part| part.first)
                && self.part_payload(place, &part, 0, &mut |_| ())?
            {
                return Ok(Some(place));
            }
            place.offset += step;
        }
        Ok(None)
    }

    /// Where the part after `part` at `at` would begin.
    pub(crate) fn after(&self, at: Place, part: &Part) -> Place {
        Place { offset: self.align(at.offset + PART + part.len), ..at }
    }

    /// Whether no part can begin at `at`, so that the unit goes on in the next segment.
    pub(crate) fn is_end(&self, at: Place) -> bool {
        at.offset + PART >= self.segment || self.part_room(at.offset) == 0
    }

    /// Up to `into.len()` bytes of the payload of `part` at `at`.
    pub(crate) fn peek(
        &mut self,
        at: Place,
        part: &Part,
        into: &mut [u8],
    ) -> Result<usize, FlashError> {
        let len = into.len().min(part.len as usize);
        self.flash.read(self.base(at.index) + at.offset + PART, &mut into[..len])?;
        Ok(len)
    }

    /// Reads the unit that begins at `start`, handing its bytes to `sink` piece by piece.
    /// `next` names the place where a segment's successor has its first part.
    ///
    /// `None` if any part of it is missing or damaged; `sink` may have seen bytes by then.
    pub(crate) fn unit(
        &mut self,
        start: Place,
        mut next: impl FnMut(u16) -> Option<Place>,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<Option<Unit>, FlashError> {
        let mut at = start;
        let mut before = 0;
        let mut total = 0;
        let mut multi = false;
        loop {
            if self.is_end(at) {
                let Some(place) = next(at.index) else { return Ok(None) };
                at = place;
            }
            let Some(part) = self.part(at)? else { return Ok(None) };
            total += part.len as usize;
            if part.first != (at == start) || total > UNIT_MAX {
                return Ok(None);
            }
            multi |= part.multi;
            if !self.part_payload(at, &part, before, &mut sink)? {
                return Ok(None);
            }
            before = part.crc;
            at = self.after(at, &part);
            if part.last {
                return Ok(Some(Unit { multi, end: at }));
            }
        }
    }

    /// Bytes of the payload of the unit that begins at `start`, as the headers of its parts say;
    /// `None` if they do not lead to its end. `next` as for [`unit`](Self::unit).
    pub(crate) fn unit_len(
        &mut self,
        start: Place,
        mut next: impl FnMut(u16) -> Option<Place>,
    ) -> Result<Option<usize>, FlashError> {
        let (mut at, mut total) = (start, 0);
        loop {
            if self.is_end(at) {
                let Some(place) = next(at.index) else { return Ok(None) };
                at = place;
            }
            let Some(part) = self.part(at)?.filter(|part| part.first == (at == start)) else {
                return Ok(None);
            };
            total += part.len as usize;
            at = self.after(at, &part);
            if part.last || total > UNIT_MAX {
                return Ok(part.last.then_some(total));
            }
        }
    }

    /// Fills `into` with the payload of the unit that begins at `start`, from byte `skip` of it
    /// on; whether its parts lead so far. What was read is not checked.
    pub(crate) fn read_in_unit(
        &mut self,
        start: Place,
        skip: u32,
        mut into: &mut [u8],
        mut next: impl FnMut(u16) -> Option<Place>,
    ) -> Result<bool, FlashError> {
        let (mut at, mut skip) = (start, skip);
        while !into.is_empty() {
            if self.is_end(at) {
                let Some(place) = next(at.index) else { return Ok(false) };
                at = place;
            }
            let Some(part) = self.part(at)? else { return Ok(false) };
            let some = (part.len.saturating_sub(skip) as usize).min(into.len());
            let (now, later) = into.split_at_mut(some);
            self.flash.read(self.base(at.index) + at.offset + PART + skip.min(part.len), now)?;
            skip = skip.saturating_sub(part.len);
            into = later;
            if part.last && !into.is_empty() {
                return Ok(false);
            }
            at = self.after(at, &part);
        }
        Ok(true)
    }

    /// Hands the payload of `part` to `sink`; whether its checksum is right.
    fn part_payload(
        &mut self,
        at: Place,
        part: &Part,
        before: u32,
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<bool, FlashError> {
        let most = self.chunk().min(part.len as usize);
        let mut chunk = vec![0; most];
        let mut crc = self.seed(at, part.first, part.last, part.multi, part.len as usize).0;
        crc = crc.with(&u32::to_le_bytes(before));
        let mut offset = 0;
        while offset < part.len {
            let len = (part.len - offset).min(chunk.len() as u32) as usize;
            let from = self.base(at.index) + at.offset + PART + offset;
            self.flash.read(from, &mut chunk[..len])?;
            crc = crc.with(&chunk[..len]);
            sink(&chunk[..len]);
            offset += len as u32;
        }
        Ok(crc.end() == part.crc)
    }
}

/// How a unit lies; see [`Log::lay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lay {
    pub(crate) in_head: bool,
    pub(crate) fresh: u16,
    pub(crate) end: u32,
}

/// Appends `value` in the little-endian base-128 form of postcard.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`push_varint`] takes.
pub(crate) const fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Takes one number off the front of `bytes`; `None` if it is cut short or too long.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7F);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
