//! Who was promised what, and what came of it: numbers of records that were acknowledged to
//! programs, and those that a backend has which honours the `Idempotency-Key`.

use super::requests::numbers;
use super::sink::Arrived;
use std::{
    collections::{HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    io,
    ops::Range,
};

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    acknowledged: Numbers,
    delivered: Numbers,
    /// What came under each key: a digest, and in which life of the agent.
    keys: HashMap<(String, String), (u64, u64)>,
    life: u64,
    /// How often a batch came again under its key.
    pub repeated: u64,
    /// Records in the largest such batch.
    pub largest_repeat: usize,
    /// Which came again in this life, and had come in an earlier one.
    repeats: HashSet<(String, String)>,
    /// Records that came again under another key: what a key could not tell.
    pub duplicates: u64,
    /// Keys that came again with another body, and batches without one.
    pub broken_keys: u64,
}

impl Ledger {
    /// A program was told that these are safe.
    pub fn acknowledge(&mut self, numbers: Range<u64>) {
        for number in numbers {
            self.acknowledged.add(number);
        }
    }

    /// The backend takes a batch; the numbers of the records in it.
    ///
    /// # Errors
    /// The batch cannot be read.
    pub fn take(&mut self, arrived: &Arrived) -> io::Result<Vec<u64>> {
        let body = arrived.body()?;
        let numbers = numbers(&body);
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let digest = hasher.finish();
        let Some(key) = &arrived.key else {
            self.broken_keys += 1;
            return Ok(numbers);
        };
        let key = (arrived.path.clone(), key.clone());
        match self.keys.get(&key).copied() {
            Some((before, life)) => {
                if life < self.life {
                    self.repeats.insert(key);
                }
                self.repeated += 1;
                self.largest_repeat = self.largest_repeat.max(numbers.len());
                self.broken_keys += u64::from(before != digest);
            }
            None => {
                self.keys.insert(key, (digest, self.life));
                for number in &numbers {
                    self.duplicates += u64::from(!self.delivered.add(*number));
                }
            }
        }
        Ok(numbers)
    }

    /// A life of the agent has ended: how many batches of earlier ones had come again in it, of one
    /// stream.
    pub fn end_life(&mut self) -> usize {
        self.life += 1;
        let repeats = std::mem::take(&mut self.repeats);
        let of = |path: &String| repeats.iter().filter(|(of, _)| of == path).count();
        repeats.iter().map(|(path, _)| of(path)).max().unwrap_or(0)
    }

    /// Records that were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.count
    }

    /// Different records that the backend has.
    pub fn delivered(&self) -> u64 {
        self.delivered.count
    }

    /// Records that were acknowledged and are not at the backend.
    pub fn missing(&self) -> u64 {
        let pairs = self.acknowledged.words.iter().enumerate();
        pairs
            .map(|(at, word)| {
                let there = self.delivered.words.get(at).copied().unwrap_or(0);
                u64::from((word & !there).count_ones())
            })
            .sum()
    }
}

/// A set of numbers from 0 on, dense.
#[derive(Debug, Default)]
pub struct Numbers {
    words: Vec<u64>,
    count: u64,
}

impl Numbers {
    /// Whether it is new.
    pub fn add(&mut self, number: u64) -> bool {
        let Ok(at) = usize::try_from(number / 64) else { return false };
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let bit = 1 << (number % 64);
        let is_new = self.words[at] & bit == 0;
        self.words[at] |= bit;
        self.count += u64::from(is_new);
        is_new
    }

    /// Whether it is in.
    pub fn has(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|at| self.words.get(at));
        word.is_some_and(|word| word & 1 << (number % 64) != 0)
    }

    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::requests::request;
    use signpost_core::otlp::Signal;

    #[test]
    fn what_is_missing_comes_twice_or_changes_is_told() {
        let mut ledger = Ledger::default();
        let batch = |key: &str, numbers| Arrived::plain(key, request(Signal::Logs, numbers));
        ledger.acknowledge(0..200);
        ledger.take(&batch("a", 0..100)).expect("is read");
        assert_eq!((ledger.missing(), ledger.delivered()), (100, 100));
        ledger.take(&batch("a", 0..100)).expect("is read");
        assert_eq!((ledger.repeated, ledger.largest_repeat, ledger.duplicates), (1, 100, 0));
        assert_eq!(ledger.end_life(), 0, "its connection was cut in the same life");
        ledger.take(&batch("a", 0..100)).expect("is read");
        assert_eq!((ledger.end_life(), ledger.end_life()), (1, 0));
        ledger.take(&batch("b", 90..190)).expect("is read");
        assert_eq!((ledger.duplicates, ledger.missing(), ledger.broken_keys), (10, 10, 0));
        ledger.take(&batch("b", 190..200)).expect("is read");
        assert_eq!((ledger.broken_keys, ledger.missing()), (1, 10), "a key with another body");
    }
}
