//! What Signpost programs beside the values in workload A, read off the program calls by the
//! format in the store's header.

use std::cell::Cell;
use std::rc::Rc;

use signpost_hal::flash::{Flash, FlashError, Geometry};

use super::chip::{Chip, SECTOR};
use super::ours::open_tokens;
use super::report::{Row, Section};
use super::workload::{Load, Outcome, Tokens};
use super::{Scale, TOKENS_SIZE};

const HEADER: usize = 24;
const PART: usize = 8;
/// Keys from here on hold the store key.
const STORE_KEYS: u8 = 254;

/// Bytes programmed, by what for.
#[derive(Clone, Copy, Default)]
struct Bytes {
    headers: u64,
    parts: u64,
    padding: u64,
    marks: u64,
    values: u64,
    heads: u64,
    store_keys: u64,
    carried: u64,
}

impl Bytes {
    fn sum(&self) -> u64 {
        let Self { headers, parts, padding, marks, values, heads, store_keys, carried } = self;
        headers + parts + padding + marks + values + heads + store_keys + carried
    }
}

/// A chip that reads what is programmed.
struct Reader {
    chip: Chip,
    bytes: Bytes,
    /// The part that is being programmed, in one call or several: where it begins, its bytes.
    part: (u32, Vec<u8>),
    /// Payload of the unit that is being written.
    unit: Vec<u8>,
    /// Where others see the bytes; none from when something did not look like the format.
    shown: Rc<Cell<Option<Bytes>>>,
}

impl Reader {
    fn follow(&mut self, at: u32, more: &[u8]) -> Option<()> {
        let (start, mut held) = std::mem::take(&mut self.part);
        let start = if held.is_empty() { at } else { start };
        if start as usize + held.len() != at as usize {
            return None;
        }
        held.extend(more);
        let header = if start.is_multiple_of(SECTOR) { HEADER } else { 0 };
        let bytes = held.get(header..)?;
        let word = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
        let (len, first, last) = (word as usize & 0xFFFF, word >> 16 & 1 == 1, word >> 17 & 1 == 1);
        let Some(payload) = bytes.get(PART..PART + len) else {
            self.part = (start, held);
            return Some(());
        };
        self.bytes.headers += header as u64;
        self.bytes.parts += PART as u64;
        self.bytes.padding += (bytes.len() - PART - len) as u64;
        if first {
            self.unit.clear();
        }
        self.unit.extend(payload);
        if last { self.count_unit() } else { Some(()) }
    }

    fn count_unit(&mut self) -> Option<()> {
        let (_, mut rest) = varint(&self.unit)?;
        self.bytes.marks += (self.unit.len() - rest.len()) as u64;
        while let Some((&key, behind)) = rest.split_first() {
            let (len, behind) = varint(behind)?;
            let (value, behind) = behind.split_at_checked(len)?;
            let head = (rest.len() - behind.len() - value.len()) as u64;
            let whole = head + value.len() as u64;
            // What is put comes last, behind what is carried along.
            match (key >= STORE_KEYS, behind.is_empty()) {
                (true, _) => self.bytes.store_keys += whole,
                (false, false) => self.bytes.carried += whole,
                (false, true) => {
                    self.bytes.heads += head;
                    self.bytes.values += value.len() as u64;
                }
            }
            rest = behind;
        }
        Some(())
    }
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().position(|byte| *byte < 0x80)? + 1;
    let (number, rest) = bytes.split_at(end);
    let value = number.iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7F));
    Some((value, rest))
}

impl Flash for Reader {
    fn geometry(&self) -> Geometry {
        self.chip.geometry()
    }
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        Flash::read(&mut self.chip, at, into)
    }
    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let known = self.shown.get().is_some() && self.follow(at, bytes).is_some();
        self.shown.set(known.then_some(self.bytes));
        self.chip.program(at, bytes)
    }
    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        Flash::erase(&mut self.chip, unit)
    }
    fn sync(&mut self) -> Result<(), FlashError> {
        self.chip.sync()
    }
}

pub(crate) fn section(scale: &Scale) -> Outcome<Section> {
    let chip = Chip::new(TOKENS_SIZE)?;
    let shown = Rc::new(Cell::new(Some(Bytes::default())));
    let reader = Reader {
        chip: chip.clone(),
        bytes: Bytes::default(),
        part: (0, Vec::new()),
        unit: Vec::new(),
        shown: shown.clone(),
    };
    let mut store = open_tokens(reader)?;
    Tokens::new().run(&mut store, scale.updates)?;
    drop(store);
    let counters = chip.counters();
    let programmed = counters.programmed;
    let bytes = shown.get().filter(|bytes| bytes.sum() == programmed);
    let bytes = bytes.ok_or("programs that are not of the format that the breakdown knows")?;
    let updates = scale.updates as f64;
    let row = |key, label, count: u64| Row {
        key,
        label,
        goal: None,
        values: vec![
            Some(count as f64),
            Some(count as f64 / updates),
            Some(100.0 * count as f64 / bytes.values as f64),
        ],
        decimals: 3,
    };
    let unused =
        counters.erases * u64::from(SECTOR) - programmed.min(counters.erases * u64::from(SECTOR));
    Ok(Section {
        key: "tokens_nor_breakdown",
        title: "A, where Signpost's programmed bytes go".to_owned(),
        columns: ["bytes", "an update", "% of values"].map(str::to_owned).to_vec(),
        rows: vec![
            row("values", "values, sealed", bytes.values),
            row("segment_headers", "segment headers", bytes.headers),
            row("part_headers", "part headers", bytes.parts),
            row("unit_marks", "numbers at the front of units", bytes.marks),
            row("entry_heads", "entry heads", bytes.heads),
            row("store_keys", "copies of the store key, with heads", bytes.store_keys),
            row("carried", "values carried along, with heads", bytes.carried),
            row("padding", "padding to whole words", bytes.padding),
            row("programmed", "programmed in all", programmed),
            row("erased_unprogrammed", "erased and not programmed", unused),
        ],
        notes: Vec::new(),
    })
}
