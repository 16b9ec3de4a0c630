//! Simulated flash that is stricter than any part sold, with power cuts and failures on order.
//!
//! As NOR it refuses misaligned programs and any second program of a unit between two
//! erases, also of units that an interrupted program or erase merely may have touched. As a
//! file ([`Geometry::overwriting`]) it keeps what was programmed apart until the next sync;
//! a cut loses any part of that. Everything follows from the seed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Flash, FlashError, FlashErrorKind, Geometry};

/// What an interrupted program or erase leaves in its own words or unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// The bytes up to the cut are done, the others untouched.
    Prefix,
    /// Program: the bytes up to the cut are done, of the others any bits. Erase: any bits
    /// are set that were not.
    RandomBits,
    /// All but a few bits are done.
    Nearly,
    /// Only a few bits are done.
    Barely,
    /// All zeros, as parts that program to zero before they erase; a program leaves zeros
    /// from the cut on.
    ZerosFirst,
    /// Anything at all.
    Any,
    /// Everything is done, only the answer is missing. An erase reads as complete and is not.
    Complete,
}

impl Tear {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Prefix,
        Self::RandomBits,
        Self::Nearly,
        Self::Barely,
        Self::ZerosFirst,
        Self::Any,
        Self::Complete,
    ];
}

/// How much was done since the medium was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes handed to program calls.
    pub programmed: u64,
    /// Bytes read.
    pub read: u64,
    /// Units erased.
    pub erases: u64,
    /// Syncs.
    pub syncs: u64,
}

/// Which calls an ordered failure meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Reading.
    Read,
    /// Programming; nothing is written.
    Program,
    /// Erasing; nothing is erased.
    Erase,
    /// Syncing; nothing becomes durable by it.
    Sync,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    call: Call,
    kind: FlashErrorKind,
    /// Calls to let pass first.
    after: u64,
    /// Whether it fails from then on, or once.
    always: bool,
}

/// A medium in memory. A clone is a second device with the same content.
#[derive(Clone, Debug)]
pub struct SimFlash {
    geometry: Geometry,
    bytes: Vec<u8>,
    /// Program units that may not be programmed before an erase.
    used: Vec<bool>,
    /// On a medium that overwrites: what each unsynced block held when last durable.
    unsynced: BTreeMap<u32, Vec<u8>>,
    erases: Vec<u32>,
    counters: Counters,
    failure: Option<Failure>,
    /// Steps left until the power goes: one a byte programmed or erased, one a sync.
    fuel: Option<u64>,
    steps: u64,
    tear: Tear,
    off: bool,
    random: Random,
    double_programs: u64,
}

impl SimFlash {
    /// A new medium: erased, or full of zeros where it overwrites.
    pub fn new(geometry: Geometry, seed: u64) -> Self {
        let blank = if geometry.overwrites() { 0 } else { 0xFF };
        Self::from_image(geometry, vec![blank; geometry.size() as usize], seed)
    }

    /// A medium that holds `image`, cut or filled up to the geometry's size.
    pub fn from_image(geometry: Geometry, mut image: Vec<u8>, seed: u64) -> Self {
        image.resize(geometry.size() as usize, if geometry.overwrites() { 0 } else { 0xFF });
        let unit = geometry.program_unit() as usize;
        let used = image.chunks(unit).map(|unit| unit.iter().any(|&b| b != 0xFF)).collect();
        Self {
            geometry,
            bytes: image,
            used,
            unsynced: BTreeMap::new(),
            erases: vec![0; geometry.units() as usize],
            counters: Counters::default(),
            failure: None,
            fuel: None,
            steps: 0,
            tear: Tear::Prefix,
            off: false,
            random: Random(seed),
            double_programs: 0,
        }
    }

    /// What a reader sees now.
    pub fn image(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, to damage it on purpose. Program units keep their state.
    pub fn image_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Erases of each unit so far.
    pub fn erases(&self) -> &[u32] {
        &self.erases
    }

    /// Programs that were refused because their units were not erased: a bug of the caller,
    /// also where the caller got over the error.
    pub fn double_programs(&self) -> u64 {
        self.double_programs
    }

    /// Lets the power go after `steps` more steps (a byte programmed or erased and a sync are
    /// one each) and leaves the interrupted call as `tear` says.
    pub fn cut_after(&mut self, steps: u64, tear: Tear) {
        self.fuel = Some(steps);
        self.tear = tear;
    }

    /// Steps done so far, as [`cut_after`](Self::cut_after) counts them.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether the power is off; every call then fails as [`FlashErrorKind::Gone`].
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Takes the power away now, between two calls.
    pub fn power_off(&mut self) {
        self.off = true;
        self.lose_unsynced();
    }

    /// Brings the power back, with no cut ahead.
    pub fn power_on(&mut self) {
        self.off = false;
        self.fuel = None;
    }

    /// From the `after`th such call on, fails once or always with `kind`.
    pub fn fail(&mut self, call: Call, kind: FlashErrorKind, after: u64, always: bool) {
        self.failure = Some(Failure { call, kind, after, always });
    }

    /// Ends ordered failures.
    pub fn heal(&mut self) {
        self.failure = None;
    }

    fn admit(&mut self, call: Call) -> Result<(), FlashError> {
        if self.off {
            return Err(FlashErrorKind::Gone.into());
        }
        let Some(failure) = self.failure.as_mut().filter(|f| f.call == call) else {
            return Ok(());
        };
        if failure.after > 0 {
            failure.after -= 1;
            return Ok(());
        }
        let kind = failure.kind;
        if !failure.always {
            self.failure = None;
        }
        Err(kind.into())
    }

    /// How many of `steps` happen; fewer means that the power goes now.
    fn burn(&mut self, steps: u64) -> u64 {
        let done = self.fuel.map_or(steps, |left| steps.min(left));
        self.fuel = self.fuel.map(|left| left - done);
        self.steps += done;
        done
    }

    fn lose_unsynced(&mut self) {
        for (at, durable) in std::mem::take(&mut self.unsynced) {
            let block = &mut self.bytes[at as usize..at as usize + durable.len()];
            match self.random.below(4) {
                0 => {}
                1 => {
                    let kept = self.random.below(durable.len() as u64 + 1) as usize;
                    block[kept..].copy_from_slice(&durable[kept..]);
                }
                _ => block.copy_from_slice(&durable),
            }
        }
    }

    fn tear_program(&mut self, at: usize, new: &[u8], done: usize) {
        let old = self.bytes[at..at + new.len()].to_vec();
        let mut torn = new.to_vec();
        match self.tear {
            Tear::Prefix => torn[done..].copy_from_slice(&old[done..]),
            Tear::RandomBits => {
                for i in done..new.len() {
                    torn[i] = self.random.mix(old[i], new[i]);
                }
            }
            Tear::Nearly => self.flip_towards(&mut torn, &old),
            Tear::Barely => {
                torn.copy_from_slice(&old);
                self.flip_towards(&mut torn, new);
            }
            Tear::ZerosFirst => torn[done..].fill(0),
            Tear::Any => self.random.fill(&mut torn),
            Tear::Complete => {}
        }
        self.bytes[at..at + new.len()].copy_from_slice(&torn);
        // Units that the cut cannot have reached stay free; all others count as touched.
        let unit = self.geometry.program_unit() as usize;
        let touched = match self.tear {
            Tear::Prefix => done.next_multiple_of(unit).min(new.len()),
            Tear::RandomBits
            | Tear::Nearly
            | Tear::Barely
            | Tear::ZerosFirst
            | Tear::Any
            | Tear::Complete => new.len(),
        };
        for index in at / unit..(at + touched) / unit {
            let content = &self.bytes[index * unit..(index + 1) * unit];
            // What still reads as erased cannot be told from what was never reached.
            self.used[index] |= content.iter().any(|&b| b != 0xFF);
        }
    }

    fn tear_erase(&mut self, unit: u32, done: usize) {
        let len = self.geometry.erase_unit() as usize;
        let at = unit as usize * len;
        let mut torn = self.bytes[at..at + len].to_vec();
        let old = torn.clone();
        match self.tear {
            Tear::Prefix => torn[..done].fill(0xFF),
            Tear::RandomBits => {
                for byte in &mut torn {
                    *byte |= self.random.next() as u8;
                }
            }
            Tear::Nearly => {
                torn.fill(0xFF);
                self.flip_towards(&mut torn, &old);
            }
            Tear::Barely => self.flip_towards(&mut torn, &vec![0xFF; len]),
            Tear::ZerosFirst => torn.fill(0),
            Tear::Any => match self.random.below(3) {
                0 => self.random.fill(&mut torn),
                // Done from the far end: the header of old stands over erased words.
                1 => torn[done..].fill(0xFF),
                _ => {
                    let from = self.random.below(len as u64) as usize;
                    torn[from..].fill(0);
                }
            },
            Tear::Complete => torn.fill(0xFF),
        }
        self.bytes[at..at + len].copy_from_slice(&torn);
        let units = self.geometry.program_unit() as usize;
        self.used[at / units..(at + len) / units].fill(true);
    }

    /// Takes up to eight bits of `bytes` over from `other`.
    fn flip_towards(&mut self, bytes: &mut [u8], other: &[u8]) {
        for _ in 0..=self.random.below(8) {
            let i = self.random.below(bytes.len() as u64) as usize;
            let bit = 1 << self.random.below(8);
            bytes[i] = (bytes[i] & !bit) | (other[i] & bit);
        }
    }

    fn remember(&mut self, at: u32, len: usize) {
        let block = self.geometry.program_unit();
        for at in (at..at + len as u32).step_by(block as usize) {
            let range = at as usize..(at + block) as usize;
            self.unsynced.entry(at).or_insert_with(|| self.bytes[range].to_vec());
        }
    }

    fn cut(&mut self) -> FlashError {
        self.off = true;
        self.lose_unsynced();
        FlashErrorKind::Gone.into()
    }
}

/// A medium that outlives the store on it, and can be looked at meanwhile.
impl<F: Flash> Flash for Rc<RefCell<F>> {
    fn geometry(&self) -> Geometry {
        self.borrow().geometry()
    }
    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.borrow_mut().read(at, into)
    }
    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.borrow_mut().program(at, bytes)
    }
    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        self.borrow_mut().erase(unit)
    }
    fn sync(&mut self) -> Result<(), FlashError> {
        self.borrow_mut().sync()
    }
}

impl Flash for SimFlash {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.geometry.check_read(at, into.len())?;
        self.admit(Call::Read)?;
        self.counters.read += into.len() as u64;
        into.copy_from_slice(&self.bytes[at as usize..at as usize + into.len()]);
        Ok(())
    }

    fn program(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.geometry.check_program(at, bytes.len())?;
        self.admit(Call::Program)?;
        let range = at as usize..at as usize + bytes.len();
        if self.geometry.overwrites() {
            self.remember(at, bytes.len());
        } else {
            let unit = self.geometry.program_unit() as usize;
            let used = &self.used[range.start / unit..range.end / unit];
            if used.contains(&true) {
                self.double_programs += 1;
                return Err(FlashErrorKind::NotErased.into());
            }
        }
        let done = self.burn(bytes.len() as u64) as usize;
        self.counters.programmed += done as u64;
        if done < bytes.len() {
            self.tear_program(range.start, bytes, done);
            return Err(self.cut());
        }
        self.bytes[range.clone()].copy_from_slice(bytes);
        let unit = self.geometry.program_unit() as usize;
        self.used[range.start / unit..range.end / unit].fill(true);
        Ok(())
    }

    fn erase(&mut self, unit: u32) -> Result<(), FlashError> {
        self.geometry.check_erase(unit)?;
        self.admit(Call::Erase)?;
        if self.geometry.overwrites() {
            return Ok(());
        }
        let len = self.geometry.erase_unit() as usize;
        let done = self.burn(len as u64) as usize;
        self.counters.erases += 1;
        self.erases[unit as usize] += 1;
        if done < len {
            self.tear_erase(unit, done);
            return Err(self.cut());
        }
        let range = unit as usize * len..(unit as usize + 1) * len;
        self.bytes[range.clone()].fill(0xFF);
        let units = self.geometry.program_unit() as usize;
        self.used[range.start / units..range.end / units].fill(false);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), FlashError> {
        self.admit(Call::Sync)?;
        self.counters.syncs += 1;
        if self.burn(1) == 0 {
            return Err(self.cut());
        }
        self.unsynced.clear();
        Ok(())
    }
}

/// SplitMix64: small, and the same everywhere.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next() as u8;
        }
    }

    /// Each bit from one or the other.
    fn mix(&mut self, one: u8, other: u8) -> u8 {
        let mask = self.next() as u8;
        (one & mask) | (other & !mask)
    }
}
