//! The two workloads, and what a store has to offer to run them.

use std::error::Error;

use fastrand::Rng;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Bytes of a token record.
pub(crate) const TOKEN: usize = 1500;
/// How many keys token records go to.
pub(crate) const KEYS: u8 = 3;
/// Bytes of a spooled record.
pub(crate) const RECORD: usize = 120;
/// Records are removed by so many, and a commit has so many at most.
const HUNDRED: usize = 100;

/// A few records under keys, each replaced as a whole and durable when the call returns.
pub(crate) trait TokenLog {
    fn put(&mut self, key: u8, value: &[u8]) -> Outcome;
    fn get(&mut self, key: u8) -> Outcome<Option<Vec<u8>>>;
}

/// A first-in first-out queue of records, durable when a call returns.
pub(crate) trait RecordLog {
    /// Adds records, as one commit where the store knows of such.
    fn append(&mut self, records: &[&[u8]]) -> Outcome;
    /// Removes the oldest records.
    fn remove(&mut self, count: u64) -> Outcome;
    fn oldest(&mut self) -> Outcome<Option<Vec<u8>>>;
}

/// A store over media of type `M`: how to open it, and to begin it if it is not there.
pub(crate) struct Peer<M> {
    pub(crate) name: &'static str,
    /// Bytes that it seals a value or a commit with, and so adds to what its log is given.
    pub(crate) sealing: u64,
    pub(crate) tokens: Opener<M, dyn TokenLog>,
    pub(crate) records: Option<Opener<M, dyn RecordLog>>,
}

/// Opens a store for one of the workloads.
pub(crate) type Opener<M, L> = fn(M) -> Outcome<Box<L>>;

/// A workload, and where it has got to.
pub(crate) trait Load {
    /// The kind of store that it is for.
    type Log: ?Sized;

    fn opener<M>(peer: &Peer<M>) -> Option<Opener<M, Self::Log>>;

    /// Bytes of one record.
    const RECORD: u64;

    /// Records in a commit.
    fn batch(&self) -> u64;

    /// Gives `log` so many records more. Allocates nothing: that would count as the store's.
    fn run(&mut self, log: &mut Self::Log, records: u64) -> Outcome;

    /// Sees to it that [`check`](Self::check) has something to look for.
    fn leave(&mut self, log: &mut Self::Log) -> Outcome;

    /// Whether `log` has what was left.
    fn check(&self, log: &mut Self::Log) -> Outcome;
}

/// Workload A: updates among three keys.
pub(crate) struct Tokens {
    chance: Rng,
    value: [u8; TOKEN],
    newest: u8,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self { chance: Rng::with_seed(1), value: [0; TOKEN], newest: 0 }
    }
}

impl Load for Tokens {
    type Log = dyn TokenLog;

    const RECORD: u64 = TOKEN as u64;

    fn opener<M>(peer: &Peer<M>) -> Option<Opener<M, dyn TokenLog>> {
        Some(peer.tokens)
    }

    fn batch(&self) -> u64 {
        1
    }

    fn run(&mut self, log: &mut Self::Log, records: u64) -> Outcome {
        for _ in 0..records {
            self.chance.fill(&mut self.value);
            self.newest = self.chance.u8(0..KEYS);
            log.put(self.newest, &self.value)?;
        }
        Ok(())
    }

    fn leave(&mut self, _: &mut Self::Log) -> Outcome {
        Ok(())
    }

    fn check(&self, log: &mut Self::Log) -> Outcome {
        match log.get(self.newest)? {
            Some(value) if value == self.value => Ok(()),
            Some(_) | None => Err("the newest value is not the one that was put".into()),
        }
    }
}

/// Workload B: records in commits of `batch`, removed by hundreds.
pub(crate) struct Records {
    chance: Rng,
    batch: Vec<[u8; RECORD]>,
    waiting: u64,
}

impl Records {
    /// Commits of `batch` records, a hundred at most.
    pub(crate) fn new(batch: usize) -> Self {
        Self { chance: Rng::with_seed(1), batch: vec![[0; RECORD]; batch], waiting: 0 }
    }

    fn append(&mut self, log: &mut dyn RecordLog) -> Outcome {
        self.batch.iter_mut().for_each(|record| self.chance.fill(record));
        let mut records = [&[][..]; HUNDRED];
        records.iter_mut().zip(&self.batch).for_each(|(slot, record)| *slot = record);
        log.append(&records[..self.batch.len()])?;
        self.waiting += self.batch.len() as u64;
        Ok(())
    }

    fn remove(&mut self, log: &mut dyn RecordLog) -> Outcome {
        log.remove(self.waiting)?;
        self.waiting = 0;
        Ok(())
    }
}

impl Load for Records {
    type Log = dyn RecordLog;

    const RECORD: u64 = RECORD as u64;

    fn opener<M>(peer: &Peer<M>) -> Option<Opener<M, dyn RecordLog>> {
        peer.records
    }

    fn batch(&self) -> u64 {
        self.batch.len() as u64
    }

    fn run(&mut self, log: &mut Self::Log, records: u64) -> Outcome {
        for _ in 0..records / self.batch() {
            self.append(log)?;
            if self.waiting >= HUNDRED as u64 {
                self.remove(log)?;
            }
        }
        Ok(())
    }

    fn leave(&mut self, log: &mut Self::Log) -> Outcome {
        if self.waiting > 0 {
            self.remove(log)?;
        }
        self.append(log)
    }

    fn check(&self, log: &mut Self::Log) -> Outcome {
        match log.oldest()? {
            Some(record) if self.batch.first().is_some_and(|first| *first == record[..]) => Ok(()),
            Some(_) | None => Err("the oldest record is not the one that was added".into()),
        }
    }
}
