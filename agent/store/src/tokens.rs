//! The token store: a few keyed records in a ring of segments.
//!
//! What is still needed lies in the *window*, a run of the ring from the oldest segment with
//! a live entry to the head. Each commit says where the window begins. A commit that would
//! leave too few segments outside of it, or whose window would hold more than
//! [`COMMITS_MAX`] commits, carries the live entries of the oldest segments along. It
//! becomes valid as a whole or not at all, so a cut never uses up a segment for nothing:
//! segments of a torn commit are outside of the window and free.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use signpost_hal::flash::Flash;
use zeroize::Zeroizing;

use crate::crc::Crc;
use crate::log::{Header, Kind, Log, Place, UNIT_MAX, VERSION, push_varint, varint_len};
use crate::seal::{Entropy, OuterKeys, SEALING, SealKey};
use crate::{OpenError, StoreError};

mod mount;

/// The window holds so many commits at most. The value before the last, two commits old at
/// least, is then out of it within sixteen more.
const COMMITS_MAX: u32 = 18;
/// The entry that holds the store key.
const STORE_KEY: u8 = 255;
/// A second copy of it, in another segment wherever the window has two: no single damaged
/// segment costs all records.
const SPARE_KEY: u8 = 254;
/// Stands for a value that could not be read when it was to be moved: it never opens.
const SPOILED: [u8; 1] = [0];
/// Room for the number at the front of a unit.
const MARK: usize = 5;
const SEGMENTS_MIN: u16 = 4;
const SEGMENTS_MAX: u16 = 4096;
/// A segment is one erase unit, or as many as make so many bytes.
const SEGMENT_MIN: u32 = 256;

/// What [`TokenStore::open`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The medium was blank: a new store was begun.
    pub fresh: bool,
    /// An outer key other than the first opened the store, or it was bound to nothing; it is now
    /// wrapped by the first, and bound.
    pub rewrapped: bool,
    /// What the store is bound to: 0 for the binding of a new one, 1 for the first
    /// [`or_bound_to`](OuterKeys::or_bound_to), and so on.
    pub binding: usize,
    /// Keys whose value is damaged. Reading them fails until they are put again.
    pub damaged: Vec<u8>,
    /// Commits or segments that could not be read, of which nobody knows what they held:
    /// any key may read as an older value.
    pub lost: u32,
}

/// A few records under keys from 0 to 253, each replaced as a whole.
///
/// Changes are durable when the call returns. A superseded value is erased after 16 further
/// commits, on media that overwrite once its segment is used again, or by [`scrub`](Self::scrub).
pub struct TokenStore<F> {
    log: Log<F>,
    outer: OuterKeys,
    key: SealKey,
    entropy: Entropy,
    /// Oldest first; the last one is the head.
    window: VecDeque<Segment>,
    live: Vec<Entry>,
    /// Where the next unit may begin in the head.
    head: Option<Place>,
    /// Nobody has looked yet whether all behind that place is blank.
    unseen: bool,
    /// Highest `seq` that was ever programmed, as far as is known.
    seq: u32,
    commits: u32,
    /// Segments outside of the window that were erased since the store was opened.
    erased: Vec<bool>,
    /// The last commit failed and may be on the medium all the same: nothing is left out
    /// because it would change nothing.
    unsure: bool,
    /// Values were superseded since the last scrub.
    stale: bool,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    index: u16,
    seq: u32,
    erases: u32,
    /// Commits that had begun before this segment was filled.
    commits: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u8,
    /// The unit that holds it.
    unit: Place,
    /// Where in the unit's payload it is sealed.
    at: u32,
    /// Sealed bytes; 0 marks a removal that older segments still need.
    len: u32,
    /// Checksum of the value, once it was seen: tells a new value from the old one.
    seen: Option<u32>,
}

enum Value<'a> {
    Put(&'a [u8]),
    /// Bytes that are sealed already.
    Sealed(&'a [u8]),
    Remove,
}

impl Value<'_> {
    fn sealed_len(&self) -> usize {
        match self {
            Self::Put(value) => value.len() + SEALING,
            Self::Sealed(bytes) => bytes.len(),
            Self::Remove => 0,
        }
    }
}

impl<F: Flash> TokenStore<F> {
    /// Opens the store on `flash`, or begins one if it is blank.
    ///
    /// # Errors
    /// [`OpenError::is_set_aside`] tells when to set the content aside and begin anew.
    pub fn open(
        flash: F,
        outer: &OuterKeys,
        entropy: Entropy,
    ) -> Result<(Self, Opened), OpenError> {
        mount::open(flash, outer, entropy)
    }

    /// The random number that tells this store from any other.
    pub fn id(&self) -> [u8; 8] {
        self.log.store()
    }

    /// Keys that have a value, in no order.
    pub fn keys(&self) -> impl Iterator<Item = u8> {
        self.live.iter().filter(|e| e.key < SPARE_KEY && e.len > 0).map(|e| e.key)
    }

    /// Erases of the segment that was erased most; 0 on media that have none.
    pub fn worn(&self) -> u32 {
        self.window.iter().map(|s| s.erases).max().unwrap_or(0)
    }

    /// The value under `key`, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it cannot be read; never an older value instead.
    pub fn get(&mut self, key: u8) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        if key >= SPARE_KEY {
            return Err(StoreError::Invalid);
        }
        match self.entry(key) {
            Some(entry) if entry.len > 0 => self.value(entry).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// Keeps `value` under `key`; a value that is there already is not written again.
    ///
    /// # Errors
    /// [`StoreError::Full`] if all values together would not fit.
    pub fn put(&mut self, key: u8, value: &[u8]) -> Result<(), StoreError> {
        if key >= SPARE_KEY {
            return Err(StoreError::Invalid);
        }
        if !self.unsure && self.entry(key).is_some_and(|entry| entry.may_be(value)) {
            match self.get(key) {
                Ok(Some(old)) if old.as_slice() == value => return Ok(()),
                Ok(_) | Err(StoreError::Damaged) => {}
                Err(error) => return Err(error),
            }
        }
        self.commit(&[(key, Value::Put(value))], false)
    }

    /// Forgets `key`; one that has no value is not written.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn remove(&mut self, key: u8) -> Result<(), StoreError> {
        if key >= SPARE_KEY {
            return Err(StoreError::Invalid);
        }
        match self.entry(key) {
            Some(entry) if entry.len > 0 => self.commit(&[(key, Value::Remove)], false),
            Some(_) | None if self.unsure => self.commit(&[(key, Value::Remove)], false),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether superseded values may still be on the medium.
    pub fn needs_scrub(&self) -> bool {
        self.stale
    }

    /// Makes every superseded value unreadable now, at the cost of writing all live ones
    /// and erasing or overwriting everything else.
    ///
    /// # Errors
    /// As [`put`](Self::put); then superseded values may remain.
    pub fn scrub(&mut self) -> Result<(), StoreError> {
        self.commit(&[], true)?;
        self.clear_outside()
    }

    /// Forgets every value, takes a new store key and scrubs.
    ///
    /// # Errors
    /// As [`put`](Self::put). From the first successful write on, no value is found again.
    pub fn wipe(&mut self) -> Result<(), StoreError> {
        let key = SealKey::random(&mut self.entropy);
        let wrapped = self.outer.wrap(&key, &wrap_data(&self.log.store()), &mut self.entropy);
        let kept = core::mem::take(&mut self.live);
        if let Err(error) = self.commit(&[(STORE_KEY, Value::Sealed(&wrapped))], true) {
            self.live = kept;
            return Err(error);
        }
        self.key = key;
        self.stale = true;
        self.clear_outside()
    }

    fn entry(&self, key: u8) -> Option<Entry> {
        self.live.iter().find(|e| e.key == key).copied()
    }

    /// Erases or overwrites all segments outside of the window.
    fn clear_outside(&mut self) -> Result<(), StoreError> {
        let segment = self.log.segment();
        for index in 0..self.log.count() {
            if !self.in_window(index) && !self.erased[usize::from(index)] {
                self.log.destroy(index, segment)?;
                self.erased[usize::from(index)] = !self.log.overwrites();
            }
        }
        self.log.sync()?;
        self.stale = false;
        Ok(())
    }

    fn in_window(&self, index: u16) -> bool {
        self.window.iter().any(|s| s.index == index)
    }

    fn value(&mut self, entry: Entry) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let sealed = self.sealed(entry)?;
        let ad = entry_data(&self.log.store(), entry.key, entry.unit);
        self.key.open(sealed, &ad).ok_or(StoreError::Damaged)
    }

    fn sealed(&mut self, entry: Entry) -> Result<Vec<u8>, StoreError> {
        let window = &self.window;
        let following = |index| following(window, index);
        // The length was read from the medium: it must not ask for more than there is.
        let unit = self.log.unit_len(entry.unit, following)?.unwrap_or(0);
        if (entry.at as usize).saturating_add(entry.len as usize) > unit {
            return Err(StoreError::Damaged);
        }
        let mut sealed = vec![0; entry.len as usize];
        match self.log.read_in_unit(entry.unit, entry.at, &mut sealed, following)? {
            true => Ok(sealed),
            false => Err(StoreError::Damaged),
        }
    }

    /// Makes `changes` durable together; with `all`, every live entry moves along, so that
    /// the window is this commit alone.
    fn commit(&mut self, changes: &[(u8, Value<'_>)], all: bool) -> Result<(), StoreError> {
        if let Some(head) = self.head.filter(|_| self.unseen) {
            self.log.clear_block(head)?;
            self.head = self.log.is_open(head)?.then_some(head);
        }
        self.unseen = false;
        let mut plan = match self.plan(changes, all)? {
            Some(plan) => plan,
            // A value much larger than any before: make room for it first.
            None if !all => {
                self.commit(&[], true)?;
                self.plan(changes, false)?.ok_or(StoreError::Full)?
            }
            None => return Err(StoreError::Full),
        };
        let payload = self.payload(changes, &mut plan)?;
        let head = self.head.filter(|_| plan.in_head);
        // Until this has succeeded, what follows the head's last unit is unknown.
        self.head = None;
        self.unsure = true;
        self.seq = plan.fresh.last().map_or(self.seq, |(_, header)| header.seq);
        for (index, header) in &plan.fresh {
            if !core::mem::take(&mut self.erased[usize::from(*index)]) {
                self.log.erase(*index)?;
                self.log.clear_stale(*index, header.seq)?;
            }
        }
        let end = self.log.write(head, &plan.fresh, false, &payload)?;
        self.log.sync()?;
        self.head = Some(end);
        self.unsure = false;
        self.settle(&plan);
        Ok(())
    }

    /// Takes over in memory what a commit has made true on the medium.
    fn settle(&mut self, plan: &Plan) {
        for (number, (index, header)) in plan.fresh.iter().enumerate() {
            let begun = self.commits + u32::from(plan.in_head || number > 0);
            self.window.push_back(Segment {
                index: *index,
                seq: header.seq,
                erases: header.erases,
                commits: begun,
            });
        }
        self.commits = self.commits.wrapping_add(1);
        for moved in &plan.moved {
            self.live.retain(|e| e.key != moved.key);
            self.live.push(Entry { unit: plan.start, ..*moved });
        }
        for put in &plan.put {
            self.stale |= self.live.iter().any(|e| e.key == put.key);
            self.live.retain(|e| e.key != put.key);
            self.live.push(*put);
        }
        while self.window.front().is_some_and(|s| s.seq < plan.tail) {
            if let Some(segment) = self.window.pop_front() {
                // The commit is durable: a failure here costs an erase later and no more.
                let erased = self.log.erase(segment.index).is_ok() && !self.log.overwrites();
                self.erased[usize::from(segment.index)] = erased;
            }
        }
        let tail = self.window.front().map_or(0, |s| s.seq);
        // What was not moved out of the way of the tail is the spare key alone.
        self.live.retain(|e| e.unit.seq > tail || e.len > 0 && e.unit.seq == tail);
    }

    /// Decides what a commit carries along, where it begins, and which segments it fills.
    /// `None` if there are too few free segments for it.
    fn plan(&self, changes: &[(u8, Value<'_>)], all: bool) -> Result<Option<Plan>, StoreError> {
        let header = Header { store: self.log.store(), ..blank_header() };
        let size = |value_len: usize| 1 + varint_len(value_len as u64) + value_len;
        let changed: usize = changes.iter().map(|(_, v)| size(v.sealed_len())).sum();
        // Room for the spare key, whether it comes along or not.
        let changed = changed + size(32 + SEALING);
        let mut rest: Vec<Entry> = self.live.clone();
        rest.retain(|e| changes.iter().all(|(key, _)| *key != e.key));
        let carry = |entry: &Entry| match entry {
            Entry { key: SPARE_KEY, .. } | Entry { len: 0, .. } => 0,
            Entry { len, .. } => size(*len as usize),
        };
        let values: usize = rest.iter().map(carry).sum();
        // The room that a commit of everything takes must always be left.
        let reserve = self.log.lay(None, header.len(), MARK + changed + values).fresh;
        let longest = MARK + changed + values;
        if longest > UNIT_MAX || 2 * u32::from(reserve) + 1 > u32::from(self.log.count()) {
            return Err(StoreError::Full);
        }
        // Many small commits in one segment are superseded values in it, too.
        let worn_in = self
            .window
            .back()
            .is_some_and(|s| self.commits.saturating_sub(s.commits) >= COMMITS_MAX);
        let head = self.head.filter(|_| !all && !worn_in);
        let mut moved: Vec<Entry> = Vec::new();
        let mut gone = 0;
        loop {
            let carried: usize = moved.iter().map(carry).sum();
            let lay = self.log.lay(head, header.len(), MARK + changed + carried);
            let tail = self
                .window
                .iter()
                .skip(gone)
                .position(|s| rest.iter().any(|e| e.unit.seq == s.seq));
            let first = tail.map_or(self.window.len(), |n| gone + n);
            // With everything moved, the window begins at the head if that is where the unit does.
            let first = if first == self.window.len() && lay.in_head { first - 1 } else { first };
            let kept = (self.window.len() - first) as u16 + lay.fresh;
            let age = self.window.get(first).map_or(0, |s| self.commits.saturating_sub(s.commits));
            let fits = kept + reserve <= self.log.count() && age < COMMITS_MAX && !all;
            if fits || rest.is_empty() {
                let Some(fresh) = self.fresh(lay.fresh, lay.in_head, header)? else {
                    return Ok(None);
                };
                let start = match head.filter(|_| lay.in_head) {
                    Some(head) => head,
                    None => Place { index: fresh[0].0, seq: fresh[0].1.seq, offset: header.len() },
                };
                let tail = self.window.get(first).map_or(start.seq, |s| s.seq);
                let put = Vec::new();
                let mut plan = Plan { in_head: lay.in_head, fresh, start, tail, moved, put };
                self.place_spare_key(changes, &mut plan);
                return Ok(Some(plan));
            }
            let seq = self.window.get(first).map_or(u32::MAX, |s| s.seq);
            let (old, newer): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|e| all || e.unit.seq <= seq);
            // A removal needs no record once nothing older is left.
            moved.extend(old.into_iter().filter(|e| e.len > 0));
            rest = newer;
            gone = (first + 1).min(self.window.len());
        }
    }

    /// Lets the spare key come along if it is not in another segment than the first one.
    fn place_spare_key(&self, changes: &[(u8, Value<'_>)], plan: &mut Plan) {
        let after = |key: u8| {
            let moved = plan.moved.iter().any(|e| e.key == key);
            let put = moved || changes.iter().any(|(changed, _)| *changed == key);
            if put { Some(plan.start.seq) } else { self.entry(key).map(|e| e.unit.seq) }
        };
        let (first, spare) = (after(STORE_KEY), after(SPARE_KEY));
        let moves = plan.moved.iter().any(|e| e.key == SPARE_KEY);
        plan.moved.retain(|e| e.key != SPARE_KEY);
        if first != Some(plan.start.seq)
            && (moves || spare == first || spare.is_none_or(|s| s < plan.tail))
        {
            let entry = Entry { key: SPARE_KEY, unit: plan.start, at: 0, len: 0, seen: None };
            plan.moved.push(entry);
        }
    }

    /// The next `count` segments of the ring, with their headers.
    fn fresh(
        &self,
        count: u16,
        in_head: bool,
        header: Header,
    ) -> Result<Option<Vec<(u16, Header)>>, StoreError> {
        let last = self.window.back();
        let mut index = last.map_or(0, |s| s.index + 1);
        let mut seq = self.seq;
        let mut before = last.map_or(0, |s| s.seq);
        let erases = if self.log.overwrites() { 0 } else { last.map_or(1, |s| s.erases) };
        let mut fresh = Vec::with_capacity(usize::from(count));
        for _ in 0..self.log.count() {
            if fresh.len() == usize::from(count) {
                break;
            }
            index %= self.log.count();
            if !self.in_window(index) {
                seq = seq.checked_add(1).ok_or(StoreError::Full)?;
                let back = match before {
                    0 => 0,
                    _ => u8::try_from(seq - before).unwrap_or(u8::MAX),
                };
                // Round the ring once, erased once more.
                let round = u32::from(index == 0 && erases > 0 && last.is_some());
                let erases = erases.saturating_add(round);
                // The commit itself begins here only if it does not begin before.
                let begun = self.commits + u32::from(in_head || !fresh.is_empty());
                fresh.push((index, Header { seq, back, commit: begun as u8, erases, ..header }));
                before = seq;
            }
            index += 1;
        }
        Ok((fresh.len() == usize::from(count)).then_some(fresh))
    }

    /// The unit's bytes. Cuts `plan` down to the segments that they really take.
    fn payload(
        &mut self,
        changes: &[(u8, Value<'_>)],
        plan: &mut Plan,
    ) -> Result<Vec<u8>, StoreError> {
        let size = |len: usize| 1 + varint_len(len as u64) + len;
        let moved = plan.moved.iter().map(|e| size((e.len as usize).max(32 + SEALING)));
        let put = changes.iter().map(|(_, value)| size(value.sealed_len()));
        let mut payload = Vec::with_capacity(MARK + moved.chain(put).sum::<usize>());
        let back = u64::from(plan.start.seq - plan.tail.min(plan.start.seq));
        push_varint(&mut payload, back << 3 | u64::from(self.commits & 7));
        for entry in &mut plan.moved {
            if entry.key >= SPARE_KEY {
                let ad = wrap_data(&self.log.store());
                let wrapped = self.outer.wrap(&self.key, &ad, &mut self.entropy);
                *entry = self.push(&mut payload, entry.key, &Value::Sealed(&wrapped), plan.start);
                continue;
            }
            *entry = match self.value(*entry) {
                Ok(value) => self.push(&mut payload, entry.key, &Value::Put(&value), plan.start),
                Err(StoreError::Flash(error)) => return Err(error.into()),
                Err(_) => self.push(&mut payload, entry.key, &Value::Sealed(&SPOILED), plan.start),
            };
        }
        for (key, value) in changes {
            plan.put.push(self.push(&mut payload, *key, value, plan.start));
        }
        let head = self.head.filter(|_| plan.in_head);
        let lay = self.log.lay(head, header_len(), payload.len());
        plan.fresh.truncate(usize::from(lay.fresh));
        Ok(payload)
    }

    /// Appends one entry to a unit's payload.
    fn push(&mut self, out: &mut Vec<u8>, key: u8, value: &Value<'_>, unit: Place) -> Entry {
        let len = value.sealed_len();
        out.push(key);
        push_varint(out, len as u64);
        let at = out.len() as u32;
        let mut seen = None;
        match value {
            Value::Put(value) => {
                let ad = entry_data(&self.log.store(), key, unit);
                self.key.seal(value, &ad, &mut self.entropy, out);
                seen = Some(Crc::new().with(value).end());
            }
            Value::Sealed(bytes) => out.extend(*bytes),
            Value::Remove => {}
        }
        Entry { key, unit, at, len: len as u32, seen }
    }
}

impl Entry {
    /// Whether this may be `value` already.
    fn may_be(&self, value: &[u8]) -> bool {
        self.len as usize == value.len() + SEALING
            && self.seen.is_none_or(|seen| seen == Crc::new().with(value).end())
    }
}

impl<F> fmt::Debug for TokenStore<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStore").field("commits", &self.commits).finish_non_exhaustive()
    }
}

/// What one commit does.
struct Plan {
    in_head: bool,
    fresh: Vec<(u16, Header)>,
    start: Place,
    /// `seq` of the oldest segment that is needed after it.
    tail: u32,
    moved: Vec<Entry>,
    /// What is new; known once the unit is put together.
    put: Vec<Entry>,
}

/// Bytes of a segment's header.
fn header_len() -> u32 {
    blank_header().len()
}

fn blank_header() -> Header {
    Header { kind: Kind::Tokens, store: [0; 8], seq: 0, back: 0, commit: 0, erases: 0 }
}

/// The first part of the window's segment after `index`.
fn following(window: &VecDeque<Segment>, index: u16) -> Option<Place> {
    let at = window.iter().position(|s| s.index == index)?;
    window.get(at + 1).map(first_part)
}

fn first_part(segment: &Segment) -> Place {
    Place { index: segment.index, seq: segment.seq, offset: header_len() }
}

fn entry_data(store: &[u8; 8], key: u8, unit: Place) -> Vec<u8> {
    let mut data = vec![];
    data.extend(b"signpost");
    data.extend([VERSION, 1]);
    data.extend(store);
    data.push(key);
    data.extend(unit.seq.to_le_bytes());
    data.extend(unit.offset.to_le_bytes());
    data
}

fn wrap_data(store: &[u8; 8]) -> Vec<u8> {
    let mut data = vec![];
    data.extend(b"signpost");
    data.extend([VERSION, 0]);
    data.extend(store);
    data
}
