//! Opening a token store: finding the newest whole commit and the window it names.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use signpost_hal::flash::{Flash, FlashError};

use super::{
    Entry, Opened, SEGMENT_MIN, SEGMENTS_MAX, SEGMENTS_MIN, SPARE_KEY, STORE_KEY, Segment,
    TokenStore, Value, first_part, following, wrap_data,
};
use crate::crc::Crc;
use crate::log::{Kind, Log, Part, Place, Unit};
use crate::seal::{Entropy, OuterKeys, SealKey};
use crate::{OpenError, StoreError};

/// Stands for a number that a damaged header no longer tells.
const UNKNOWN: u32 = u32::MAX;

/// A store is not begun behind a number above this: none that a store has written is near.
const SEQ_MAX: u32 = u32::MAX / 2;

/// A segment that claims to belong to a token log.
#[derive(Clone, Copy)]
struct Found {
    index: u16,
    seq: u32,
    back: u8,
    /// Low bits of the number of the first commit that begins here, if known.
    commit: Option<u8>,
    erases: u32,
}

pub(super) fn open<F: Flash>(
    flash: F,
    outer: &OuterKeys,
    entropy: Entropy,
) -> Result<(TokenStore<F>, Opened), OpenError> {
    let unit = flash.geometry().erase_unit();
    let mut log = Log::new(flash, unit * SEGMENT_MIN.div_ceil(unit), SEGMENTS_MAX);
    if log.count() < SEGMENTS_MIN {
        return Err(OpenError::TooSmall);
    }
    // What a process before this one wrote and never synced must not be taken for durable.
    log.sync()?;
    let found = survey(&mut log)?;
    let mut store = TokenStore {
        erased: vec![false; usize::from(log.count())],
        log,
        outer: outer.clone(),
        key: SealKey::from_bytes([0; 32]),
        entropy,
        window: VecDeque::new(),
        live: Vec::new(),
        head: None,
        unseen: false,
        unsure: false,
        seq: found.first().map_or(0, |f| f.seq),
        commits: 0,
        stale: true,
    };
    if found.is_empty() {
        begin(&mut store)?;
        return Ok((store, Opened { fresh: true, ..Opened::default() }));
    }
    let mut opened = Opened::default();
    let Some(newest) = newest_unit(&mut store, &found)? else {
        // Not even a first commit was whole: nothing was ever acknowledged, unless by a
        // store that more than one segment of is left.
        if found.len() > 1 {
            return Err(OpenError::Garbage);
        }
        begin(&mut store)?;
        return Ok((store, Opened { fresh: true, ..Opened::default() }));
    };
    collect(&mut store, &newest, &mut opened)?;
    let headless =
        store.window.iter().any(|s| found.iter().any(|f| f.seq == s.seq && f.commit.is_none()));
    store.head = Some(newest.end);
    store.unseen = true;
    unlock(&mut store, &mut opened)?;
    if headless {
        // Nothing should lean on a damaged header for longer than it must.
        let _ = store.scrub();
    }
    Ok((store, opened))
}

/// Headers of the newest store on the medium, newest first; empty if the medium is blank.
fn survey<F: Flash>(log: &mut Log<F>) -> Result<Vec<Found>, OpenError> {
    let mut found = Vec::new();
    let mut newest: Option<(u32, [u8; 8])> = None;
    let mut headless = Vec::new();
    let mut other = None;
    for index in 0..log.count() {
        match log.header(index)? {
            Some(header) if header.kind == Kind::Tokens => {
                if newest.is_none_or(|(seq, _)| header.seq > seq) {
                    newest = Some((header.seq, header.store));
                }
                let entry = Found {
                    index,
                    seq: header.seq,
                    back: header.back,
                    commit: Some(header.commit),
                    erases: header.erases,
                };
                found.push((header.store, entry));
            }
            Some(_) => other = Some(OpenError::Garbage),
            None if log.is_other_version(index)? => other = Some(OpenError::OtherVersion),
            None if log.looks_blank(index)? => {}
            None => headless.push(index),
        }
    }
    let Some((_, id)) = newest else {
        // One segment may hold what is left of a first commit that a cut interrupted.
        return match other {
            Some(error) => Err(error),
            None if headless.len() > 1 => Err(OpenError::Garbage),
            None => Ok(Vec::new()),
        };
    };
    log.set_store(id);
    let newest = newest.map_or(0, |(seq, _)| seq);
    for index in headless {
        if let Some(seq) = seq_of(log, index, newest, &found)? {
            found.push((id, Found { index, seq, back: u8::MAX, commit: None, erases: 0 }));
        }
    }
    let mut found: Vec<Found> =
        found.into_iter().filter(|(store, _)| *store == id).map(|(_, found)| found).collect();
    found.sort_unstable_by_key(|f| core::cmp::Reverse(f.seq));
    Ok(found)
}

/// Which filling of segment `index`, whose header is damaged, its first part is from: parts
/// are checked against it. A torn header over a whole commit is that commit in flight.
fn seq_of<F: Flash>(
    log: &mut Log<F>,
    index: u16,
    newest: u32,
    found: &[([u8; 8], Found)],
) -> Result<Option<u32>, FlashError> {
    let around = u32::from(log.count());
    for seq in newest.saturating_sub(around)..=newest.saturating_add(around) {
        let segment = Segment { index, seq, erases: 0, commits: 0 };
        let taken = found.iter().any(|(_, found)| found.seq == seq);
        if !taken && log.part(first_part(&segment))?.is_some() {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

/// Begins a new store: its first commit is its key.
fn begin<F: Flash>(store: &mut TokenStore<F>) -> Result<(), OpenError> {
    let mut id = [0; 8];
    (store.entropy)(&mut id);
    store.log.set_store(id);
    store.window.clear();
    if store.seq > SEQ_MAX {
        return Err(OpenError::Garbage);
    }
    store.key = SealKey::random(&mut store.entropy);
    let wrapped = store.outer.wrap(&store.key, &wrap_data(&id), &mut store.entropy);
    store.commit(&[(STORE_KEY, Value::Sealed(&wrapped))], true).map_err(from_store)?;
    store.stale = false;
    Ok(())
}

fn from_store(error: StoreError) -> OpenError {
    match error {
        StoreError::Flash(error) => OpenError::Flash(error),
        StoreError::Full | StoreError::TooLong { .. } => OpenError::TooSmall,
        StoreError::Invalid
        | StoreError::TooManyQueues
        | StoreError::NoQueue
        | StoreError::Damaged
        | StoreError::DamagedRecords { .. }
        | StoreError::Unreadable { .. } => OpenError::Garbage,
    }
}

/// The last commit that is whole.
struct Newest {
    start: Place,
    end: Place,
    skimmed: Skimmed,
}

/// Finds it, and leaves the chain of segments that leads to it in the store's window.
fn newest_unit<F: Flash>(
    store: &mut TokenStore<F>,
    found: &[Found],
) -> Result<Option<Newest>, FlashError> {
    for (n, candidate) in found.iter().enumerate() {
        store.window = chain(&found[n..], *candidate, store.log.count());
        let parts = parts(&mut store.log, candidate.index, candidate.seq)?;
        for (_, start) in unit_ends(&parts).into_iter().rev() {
            let start = match start {
                Some(start) => Some(start),
                None => start_below(store)?,
            };
            let Some(start) = start else { continue };
            if let Some((unit, skimmed)) = skim_whole(store, start)?
                && unit.end.index == candidate.index
            {
                return Ok(Some(Newest { start, end: unit.end, skimmed }));
            }
        }
    }
    Ok(None)
}

/// The segments that lead up to `head`, oldest first; `found` begins with it.
fn chain(found: &[Found], head: Found, count: u16) -> VecDeque<Segment> {
    let mut window = VecDeque::new();
    let mut next = Some(head);
    while let Some(segment) = next {
        window.push_front(Segment {
            index: segment.index,
            seq: segment.seq,
            erases: segment.erases,
            commits: segment.commit.map_or(UNKNOWN, u32::from),
        });
        let mut older = found.iter().filter(|f| f.seq < segment.seq);
        next = match segment.back {
            0 => None,
            u8::MAX => older.find(|f| f.index == (segment.index + count - 1) % count),
            // If the very one is missing, the next older one is as far as one sees.
            back => older.find(|f| f.seq <= segment.seq.saturating_sub(u32::from(back))),
        }
        .copied();
    }
    window
}

/// All parts of a segment, as far as their headers lead.
fn parts<F: Flash>(
    log: &mut Log<F>,
    index: u16,
    seq: u32,
) -> Result<Vec<(Place, Part)>, FlashError> {
    let mut at = Place { index, seq, ..first_part(&Segment { index, seq, erases: 0, commits: 0 }) };
    let mut parts = Vec::new();
    loop {
        match log.part(at)? {
            Some(part) => {
                parts.push((at, part));
                at = log.after(at, &part);
            }
            // Whole commits behind something else: that one was damaged later, not torn.
            None if log.seems_blank(at)? => return Ok(parts),
            None => match log.resume(at)? {
                Some(place) => at = place,
                None => return Ok(parts),
            },
        }
    }
}

/// The last parts in a segment, each with the place where its unit begins, if that is in
/// the same segment.
fn unit_ends(parts: &[(Place, Part)]) -> Vec<(Place, Option<Place>)> {
    let mut ends = Vec::new();
    let mut start = None;
    for (at, part) in parts {
        if part.first {
            start = Some(*at);
        }
        if part.last {
            ends.push((*at, start));
            start = None;
        }
    }
    ends
}

/// Where the unit begins that runs on into the head from the segments before it.
fn start_below<F: Flash>(store: &mut TokenStore<F>) -> Result<Option<Place>, FlashError> {
    let window = &store.window;
    for segment in window.iter().rev().skip(1) {
        let parts = parts(&mut store.log, segment.index, segment.seq)?;
        match parts.last() {
            Some((_, part)) if part.last => return Ok(None),
            Some((at, part)) if part.first => return Ok(Some(*at)),
            Some(_) if parts.iter().any(|(_, part)| part.first) => {
                // Begun here, and long enough for several parts in one segment.
                let start = parts.iter().rev().find(|(_, part)| part.first);
                return Ok(start.map(|(at, _)| *at));
            }
            Some(_) => {}
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// Cuts the window to what the newest commit needs and reads its entries.
fn collect<F: Flash>(
    store: &mut TokenStore<F>,
    newest: &Newest,
    opened: &mut Opened,
) -> Result<(), OpenError> {
    let back = u32::try_from(newest.skimmed.mark >> 3).ok();
    let tail = back.and_then(|back| newest.start.seq.checked_sub(back));
    let Some(tail) = tail else { return Err(OpenError::Garbage) };
    while store.window.front().is_some_and(|s| s.seq < tail) {
        store.window.pop_front();
    }
    if store.window.front().is_none_or(|s| s.seq != tail) {
        opened.lost += 1;
    }
    let mut count = Count::default();
    let mut pending: Pending = None;
    let mut ended = false;
    for n in 0..store.window.len() {
        let segment = store.window[n];
        if ended {
            store.window[n].commits = count.expected;
            continue;
        }
        if segment.commits != UNKNOWN {
            void_if_again(&mut pending, &mut count, segment.commits & 7);
            opened.lost += count.meet(segment.commits, 256);
        }
        store.window[n].commits = count.expected;
        let parts = parts(&mut store.log, segment.index, segment.seq)?;
        for (start, _) in parts.iter().filter(|(_, part)| part.first) {
            let skimmed = match *start == newest.start {
                true => Some(newest.skimmed.clone()),
                false => skim(store, *start, &count)?,
            };
            let Some(Skimmed { mark, entries }) = skimmed else { continue };
            let number = mark as u32 & 7;
            void_if_again(&mut pending, &mut count, number);
            take_over(&mut store.live, pending.take());
            opened.lost += count.meet(number, 8);
            count.expected = count.expected.wrapping_add(1);
            pending = Some((number, entries));
            // The newest may go on in further segments; whatever begins behind it is void.
            ended = *start == newest.start;
            if ended {
                break;
            }
        }
    }
    take_over(&mut store.live, pending);
    store.commits = count.expected;
    let oldest = store.window.front().map_or(0, |s| s.seq);
    store.live.retain(|e| e.len > 0 || e.unit.seq > oldest);
    Ok(())
}

/// A unit that counts unless the next one has its number, too.
type Pending = Option<(u32, Vec<Entry>)>;

/// Of two commits with one number the first failed, or a cut tore it.
fn void_if_again(pending: &mut Pending, count: &mut Count, number: u32) {
    if pending.take_if(|(of, _)| *of == number).is_some() {
        count.expected = count.expected.wrapping_sub(1);
    }
}

fn take_over(live: &mut Vec<Entry>, unit: Pending) {
    for entry in unit.into_iter().flat_map(|(_, entries)| entries) {
        live.retain(|e| e.key != entry.key);
        live.push(entry);
    }
}

/// What a unit says but for what is sealed in it.
#[derive(Clone)]
struct Skimmed {
    /// The number at the front.
    mark: u64,
    entries: Vec<Entry>,
}

/// Reads a unit's payload piece by piece and keeps no more than [`Skimmed`].
struct Skim {
    unit: Place,
    mark: Option<u64>,
    entries: Vec<Entry>,
    /// Of the number that is being read: its lower bits, and how many.
    number: (u64, u32),
    key: Option<u8>,
    /// Sealed bytes to pass over.
    left: u32,
    at: u32,
    malformed: bool,
}

impl Skim {
    fn of(unit: Place) -> Self {
        let (entries, number) = (Vec::new(), (0, 0));
        Self { unit, mark: None, entries, number, key: None, left: 0, at: 0, malformed: false }
    }

    fn piece(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.malformed {
            let some = bytes.len().min(self.left as usize);
            self.left -= some as u32;
            self.at += some as u32;
            bytes = &bytes[some..];
            if let Some((&byte, rest)) = bytes.split_first().filter(|_| self.left == 0) {
                self.at += 1;
                self.byte(byte);
                bytes = rest;
            }
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.mark.is_some() && self.key.is_none() {
            self.key = Some(byte);
            return;
        }
        let (value, bits) = self.number;
        let value = value | u64::from(byte & 0x7F) << bits;
        self.malformed |= bits > 28;
        self.number = (value, bits + 7);
        if byte >= 0x80 {
            return;
        }
        self.number = (0, 0);
        match self.key.take() {
            None => self.mark = Some(value),
            Some(key) => {
                let len = u32::try_from(value).unwrap_or(u32::MAX);
                let (unit, at) = (self.unit, self.at);
                self.entries.push(Entry { key, unit, at, len, seen: None });
                self.malformed |= self.entries.len() > 256;
                self.left = len;
            }
        }
    }

    /// What the unit said, if it ended where an entry does.
    fn end(self) -> Option<Skimmed> {
        let whole =
            !self.malformed && self.left == 0 && self.key.is_none() && self.number == (0, 0);
        let mark = self.mark.filter(|_| whole)?;
        Some(Skimmed { mark, entries: self.entries })
    }
}

/// Reads the unit at `start` and checks it; `None` if it is not whole.
fn skim_whole<F: Flash>(
    store: &mut TokenStore<F>,
    start: Place,
) -> Result<Option<(Unit, Skimmed)>, FlashError> {
    let mut skim = Skim::of(start);
    let window = &store.window;
    let unit =
        store.log.unit(start, |index| following(window, index), |piece| skim.piece(piece))?;
    Ok(unit.zip(skim.end()))
}

/// The same for a unit before the newest one. The payload of one that has a single entry and
/// the number that is its turn is not read: a live value is checked when it is opened, and
/// whether a cut tore it, the number of the next one tells.
fn skim<F: Flash>(
    store: &mut TokenStore<F>,
    start: Place,
    count: &Count,
) -> Result<Option<Skimmed>, FlashError> {
    let window = &store.window;
    let following = |index| following(window, index);
    let Some(total) = store.log.unit_len(start, following)? else { return Ok(None) };
    let mut front = [0; 12];
    let len = front.len().min(total);
    let mut skim = Skim::of(start);
    if store.log.read_in_unit(start, 0, &mut front[..len], following)? {
        skim.piece(&front[..len]);
        // All the rest must be the one value's.
        skim.malformed |= skim.left as usize != total - len;
        skim.left = 0;
        let single = skim.end().filter(|skimmed| skimmed.entries.len() == 1);
        if let Some(skimmed) = single.filter(|skimmed| count.is_turn_of(skimmed.mark as u32)) {
            return Ok(Some(skimmed));
        }
    }
    Ok(skim_whole(store, start)?.map(|(_, skimmed)| skimmed))
}

/// The number that the next commit should have, of which segments and commits tell the low
/// bits.
#[derive(Default)]
struct Count {
    expected: u32,
    /// How many values the known low bits of `expected` can have.
    known: u32,
}

impl Count {
    /// Whether `number` has the low bits of the one that should come next.
    fn is_turn_of(&self, number: u32) -> bool {
        self.known > 0 && (number ^ self.expected) & 7 == 0
    }

    /// Takes over a number of which the bits below `modulus` are known. Returns how many
    /// commits are missing before it.
    fn meet(&mut self, number: u32, modulus: u32) -> u32 {
        let common = modulus.min(self.known);
        let ahead = match common {
            0 => 0,
            _ => number.wrapping_sub(self.expected) % common,
        };
        // One behind is the number of a commit that had failed and was there all the same.
        let skipped = if ahead + 1 == common { 0 } else { ahead };
        self.expected = self.expected.wrapping_add(skipped);
        if modulus > self.known {
            self.expected = number;
            self.known = modulus;
        }
        skipped
    }
}

/// Opens the store key, and wraps it anew if not the first outer key did it.
fn unlock<F: Flash>(store: &mut TokenStore<F>, opened: &mut Opened) -> Result<(), OpenError> {
    let ad = wrap_data(&store.log.store());
    let mut unlocked = None;
    let mut whole = 0;
    for key in [STORE_KEY, SPARE_KEY] {
        let Some(entry) = store.entry(key).filter(|_| unlocked.is_none()) else { continue };
        match store.sealed(entry) {
            Ok(wrapped) => {
                whole += 1;
                unlocked = store.outer.unwrap(&wrapped, &ad);
            }
            Err(StoreError::Flash(error)) => return Err(error.into()),
            Err(_) => {}
        }
    }
    let unwrapped = match unlocked {
        Some(unwrapped) => unwrapped,
        None if whole > 0 => return Err(OpenError::Foreign),
        None => return Err(OpenError::Garbage),
    };
    store.key = unwrapped.key;
    opened.binding = unwrapped.binding;
    for n in 0..store.live.len() {
        let entry = store.live[n];
        if entry.key < SPARE_KEY && entry.len > 0 {
            match store.value(entry) {
                Ok(value) => store.live[n].seen = Some(Crc::new().with(&value).end()),
                Err(StoreError::Flash(error)) => return Err(error.into()),
                Err(_) => opened.damaged.push(entry.key),
            }
        }
    }
    // Moving everything wraps the key anew. A full or read-only medium still opens; the next
    // start tries again.
    if unwrapped.is_stale {
        opened.rewrapped = store.scrub().is_ok();
    } else if store.entry(STORE_KEY).is_none() {
        let unit = store.window.back().map(first_part);
        let entry = |unit| Entry { key: STORE_KEY, unit, at: 0, len: 72, seen: None };
        store.live.extend(unit.map(entry));
        let _ = store.scrub();
    }
    Ok(())
}
