//! Signpost's own stores, over any medium.

use std::path::PathBuf;

use fastrand::Rng;
use signpost_hal::flash::Flash;
use signpost_hal::flash::file::FileFlash;
use signpost_store::{Entropy, OuterKeys, QueueKey, QueueName, Spool, TokenStore};

use super::chip::Chip;
use super::workload::{Outcome, Peer, RecordLog, TokenLog};
use super::{SPOOL_SIZE, TOKENS_SIZE};

/// Bytes that sealing adds to a value or a commit.
const SEALING: u64 = 40;
const QUEUE: QueueName = QueueName([1; 20]);

pub(crate) const ON_NOR: Peer<Chip> = Peer {
    name: "signpost",
    sealing: SEALING,
    tokens: |chip| Ok(Box::new(open_tokens(chip)?)),
    records: Some(|chip| Ok(Box::new(open_spool(chip)?))),
};

pub(crate) const ON_FILE: Peer<PathBuf> = Peer {
    name: "signpost",
    sealing: SEALING,
    tokens: |folder| {
        let file = FileFlash::open(&folder.join("tokens"), u64::from(TOKENS_SIZE))?;
        Ok(Box::new(open_tokens(file)?))
    },
    records: Some(|folder| {
        let file = FileFlash::open(&folder.join("spool"), u64::from(SPOOL_SIZE))?;
        Ok(Box::new(open_spool(file)?))
    }),
};

/// Randomness as cheap as can be: the system's is not what is measured.
pub(crate) fn entropy() -> Entropy {
    let mut chance = Rng::with_seed(2);
    Box::new(move |into| chance.fill(into))
}

/// The key of [`Queue`]'s records.
fn key() -> QueueKey {
    QueueKey::from_bytes([2; 32])
}

pub(crate) fn open_tokens<F: Flash>(flash: F) -> Outcome<TokenStore<F>> {
    Ok(TokenStore::open(flash, &OuterKeys::new([1; 32]), entropy())?.0)
}

pub(crate) fn open_spool<F: Flash>(flash: F) -> Outcome<Queue<F>> {
    Ok(Queue { spool: Spool::open(flash, entropy())?.0, key: key() })
}

impl<F: Flash> TokenLog for TokenStore<F> {
    fn put(&mut self, key: u8, value: &[u8]) -> Outcome {
        Ok(self.put(key, value)?)
    }

    fn get(&mut self, key: u8) -> Outcome<Option<Vec<u8>>> {
        Ok(self.get(key)?.map(|value| value.to_vec()))
    }
}

/// A spool with one queue.
pub(crate) struct Queue<F> {
    spool: Spool<F>,
    key: QueueKey,
}

impl<F: Flash> Queue<F> {
    /// Bytes of the medium that records can take.
    pub(crate) fn capacity(&self) -> u64 {
        self.spool.capacity()
    }

    /// Bytes of the medium that records take, in whole segments.
    pub(crate) fn used(&self) -> u64 {
        self.spool.stats(QUEUE).map_or(0, |stats| stats.bytes)
    }

    /// Records that wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.spool.stats(QUEUE).map_or(0, |stats| stats.records)
    }
}

impl<F: Flash> RecordLog for Queue<F> {
    fn append(&mut self, records: &[&[u8]]) -> Outcome {
        self.spool.append(QUEUE, &self.key, records)?;
        Ok(())
    }

    fn remove(&mut self, count: u64) -> Outcome {
        let first = self.spool.stats(QUEUE).map_or(0, |stats| stats.first_seq);
        Ok(self.spool.remove(QUEUE, first + count - 1)?)
    }

    fn oldest(&mut self) -> Outcome<Option<Vec<u8>>> {
        let records = self.spool.read(QUEUE, &self.key, 0, 1, usize::MAX)?;
        Ok(records.into_iter().next().map(|(_, record)| record))
    }
}
