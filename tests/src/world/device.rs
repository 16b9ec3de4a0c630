//! The board: flash, runtime folder, clocks, and the product's own `Driver` and `Storage` on it.

use super::{
    chip::{Chip, Medium},
    clock::{BoardClock, Rtc},
};
use fastrand::Rng;
use signpost::{
    driver::{Driver, DriverConfig},
    ports::{Done, Job, Stock},
    storage::{OpenTrouble, Opened, Settings, Storage},
};
use signpost_core::{
    session::{Carried, SessionRecord},
    time::Now,
};
use signpost_hal::flash::sim::Tear;
use signpost_store::{Entropy, OuterKeys};
use std::{collections::VecDeque, time::Duration};

/// Erase units of the token store: few, so that rings turn round often.
const TOKEN_UNITS: u32 = 6;

/// See the module.
pub(super) struct Device {
    pub(super) config: DriverConfig,
    /// Names one run of the agent; what belongs to an older one is void.
    pub(super) run: u64,
    pub(super) driver: Option<Driver>,
    pub(super) is_powered: bool,
    pub(super) runtime: Carried,
    pub(super) clock: BoardClock,
    /// Writes fail.
    pub(super) flash_fails: bool,
    /// Writes take seconds.
    pub(super) flash_is_slow: bool,
    /// What storage said last that the spool holds.
    pub(super) stock: Stock,
    storage: Option<Storage<Chip>>,
    tokens: Chip,
    spool: Chip,
    urgent: VecDeque<Job>,
    others: VecDeque<Job>,
    running: Option<Job>,
    rng: Rng,
}

impl Device {
    pub(super) fn new(
        config: DriverConfig,
        medium: Medium,
        spool_units: u32,
        mut rng: Rng,
    ) -> Self {
        let (tokens, spool) = Chip::pair(medium, (TOKEN_UNITS, spool_units), rng.u64(..));
        Self {
            config,
            run: 0,
            driver: None,
            is_powered: false,
            runtime: Carried::default(),
            clock: BoardClock::power_on(Duration::ZERO, Rtc::Absent),
            flash_fails: false,
            flash_is_slow: false,
            stock: Stock::default(),
            storage: None,
            tokens,
            spool,
            urgent: VecDeque::new(),
            others: VecDeque::new(),
            running: None,
            rng,
        }
    }

    /// The power comes; the agent starts later.
    pub(super) fn power_on(&mut self, at: Duration, rtc: Rtc) {
        self.tokens.power_on();
        self.spool.power_on();
        self.clock = BoardClock::power_on(at, rtc);
        self.is_powered = true;
        self.runtime = Carried::default();
        self.config.boot_id = self.rng.u128(..).to_be_bytes();
    }

    /// Starts the agent: what flash held, or why it does not start.
    pub(super) fn start(&mut self, now: Now) -> Result<Opened, OpenTrouble> {
        self.run += 1;
        self.disturb_writes();
        let opened = open(&self.tokens, &self.spool, self.rng.u64(..));
        self.heal_writes();
        let (storage, opened) = opened?;
        self.storage = Some(storage);
        self.stock.clone_from(&opened.stock);
        let (config, carried) = (self.config.clone(), self.runtime.clone());
        let seed = self.rng.u64(..);
        self.driver = Some(Driver::new(config, opened.clone(), carried, seed, now));
        Ok(opened)
    }

    /// What the session's record would be after a cut of power now; `None` where no store opens.
    pub(super) fn record_after_a_cut(&self) -> Option<SessionRecord> {
        let (tokens, spool) = (self.tokens.after_a_cut(), self.spool.after_a_cut());
        let (_, opened) = open(&tokens, &spool, 1).ok()?;
        Some(opened.record.unwrap_or_default())
    }

    pub(super) fn submit(&mut self, job: Job) {
        if job.is_urgent() { self.urgent.push_back(job) } else { self.others.push_back(job) }
    }

    /// Takes up the next job, if none is being done: how long it will take.
    pub(super) fn begin_job(&mut self) -> Option<Duration> {
        if self.running.is_some() {
            return None;
        }
        self.running = Some(self.urgent.pop_front().or_else(|| self.others.pop_front())?);
        let most = if self.flash_is_slow { 5_000 } else { 40 };
        Some(Duration::from_millis(self.rng.u64(1..=most)))
    }

    /// The job that is being done.
    pub(super) const fn job(&self) -> Option<&Job> {
        self.running.as_ref()
    }

    /// Ends the job that is being done.
    pub(super) fn end_job(&mut self) -> Option<Done> {
        let job = self.running.take()?;
        self.disturb_writes();
        let done = self.storage.as_mut().map(|storage| storage.work(job));
        self.heal_writes();
        if let Some(done) = &done {
            self.stock.clone_from(&done.stock);
        }
        done
    }

    /// Ends it without a stroke of work.
    pub(super) fn skip_job(&mut self) -> Option<Job> {
        self.running.take()
    }

    /// The power goes, most often in the middle of a write.
    pub(super) fn cut_power(&mut self) {
        if let Some(job) = self.running.take()
            && self.rng.u8(0..4) > 0
        {
            let tear = Tear::ALL[self.rng.usize(..Tear::ALL.len())];
            let chips = [&self.tokens, &self.spool];
            // Mostly in the first few hundred bytes: that is how long a write is.
            let most = 1_u64 << self.rng.u32(0..14);
            for chip in chips {
                chip.cut_after(self.rng.u64(..most), tear);
            }
            self.storage.as_mut().map(|storage| storage.work(job));
        }
        self.tokens.power_off();
        self.spool.power_off();
        self.is_powered = false;
        self.runtime = Carried::default();
        self.agent_gone();
    }

    /// The agent is killed, perhaps between two writes of one job.
    pub(super) fn kill(&mut self) {
        if let Some(job) = self.running.take()
            && self.rng.u8(0..4) > 0
        {
            let after = self.rng.u64(..6);
            self.tokens.stop_writes(after);
            self.spool.stop_writes(after);
            self.storage.as_mut().map(|storage| storage.work(job));
            self.heal_writes();
        }
        self.agent_gone();
    }

    fn agent_gone(&mut self) {
        self.driver = None;
        self.storage = None;
        self.running = None;
        self.urgent.clear();
        self.others.clear();
        self.run += 1;
    }

    fn disturb_writes(&mut self) {
        if self.flash_fails && self.rng.u8(0..4) > 0 {
            let after = self.rng.u64(..4);
            self.tokens.stop_writes(after);
            self.spool.stop_writes(after);
        }
    }

    fn heal_writes(&self) {
        self.tokens.heal();
        self.spool.heal();
    }

    /// What is on the token chip now.
    pub(super) fn copy_tokens(&self) -> Chip {
        self.tokens.copy()
    }

    /// Turns the token chip's content back.
    pub(super) fn restore_tokens(&self, old: &Chip) {
        self.tokens.overwrite_with(old);
    }

    /// Programs of flash that was not erased.
    pub(super) fn double_programs(&self) -> u64 {
        self.tokens.double_programs() + self.spool.double_programs()
    }
}

fn open(tokens: &Chip, spool: &Chip, seed: u64) -> Result<(Storage<Chip>, Opened), OpenTrouble> {
    let mut rng = Rng::with_seed(seed);
    let entropy = || -> Entropy {
        let mut rng = rng.fork();
        Box::new(move |bytes| rng.fill(bytes))
    };
    Storage::open(
        tokens.clone(),
        spool.clone(),
        &OuterKeys::new([7; 32]),
        entropy,
        Settings::default(),
    )
}
