//! ekv: a tree of sorted files. A record's key is its number; a commit is a transaction.

use ekv::{Config, Database};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;

use super::chip::{Chip, now};
use super::workload::{Outcome, Peer, RecordLog, TOKEN, TokenLog};

pub(crate) const ON_NOR: Peer<Chip> = Peer {
    name: "ekv",
    sealing: 0,
    tokens: |chip| Ok(Box::new(Tree::open(chip)?)),
    records: Some(|chip| Ok(Box::new(Numbered { tree: Tree::open(chip)?, bounds: None }))),
};

struct Tree(Database<Chip, NoopRawMutex>);

impl Tree {
    fn open(chip: Chip) -> Outcome<Self> {
        let blank = chip.counters().erases == 0;
        let database = Database::new(chip, Config::default());
        if blank {
            now(database.format()).map_err(|error| format!("{error:?}"))?;
        }
        now(database.mount()).map_err(|error| format!("{error:?}"))?;
        Ok(Self(database))
    }

    /// Writes or, without a value, deletes keys that come in order.
    fn commit<'a>(&self, changes: impl Iterator<Item = (u32, Option<&'a [u8]>)>) -> Outcome {
        now(async {
            let mut transaction = self.0.write_transaction().await;
            for (key, value) in changes {
                let key = key.to_be_bytes();
                match value {
                    Some(value) => transaction.write(&key, value).await,
                    None => transaction.delete(&key).await,
                }
                .map_err(|error| format!("{error:?}"))?;
            }
            transaction.commit().await.map_err(|error| format!("{error:?}").into())
        })
    }

    fn value(&self, key: u32) -> Outcome<Option<Vec<u8>>> {
        now(async {
            let mut value = vec![0; TOKEN];
            let transaction = self.0.read_transaction().await;
            match transaction.read(&key.to_be_bytes(), &mut value).await {
                Ok(len) => Ok(Some(value[..len].to_vec())),
                Err(ekv::ReadError::KeyNotFound) => Ok(None),
                Err(error) => Err(format!("{error:?}").into()),
            }
        })
    }

    /// The first number in use and the one behind the last.
    fn bounds(&self) -> Outcome<(u32, u32)> {
        now(async {
            let transaction = self.0.read_transaction().await;
            let mut cursor = transaction.read_all().await.map_err(|error| format!("{error:?}"))?;
            let mut bounds: Option<(u32, u32)> = None;
            let (mut key, mut value) = ([0_u8; 4], [0; TOKEN]);
            while cursor
                .next(&mut key, &mut value)
                .await
                .map_err(|error| format!("{error:?}"))?
                .is_some()
            {
                let number = u32::from_be_bytes(key);
                let (first, _) = bounds.unwrap_or((number, number));
                bounds = Some((first, number + 1));
            }
            Ok(bounds.unwrap_or((0, 0)))
        })
    }
}

impl TokenLog for Tree {
    fn put(&mut self, key: u8, value: &[u8]) -> Outcome {
        self.commit([(u32::from(key), Some(value))].into_iter())
    }

    fn get(&mut self, key: u8) -> Outcome<Option<Vec<u8>>> {
        self.value(u32::from(key))
    }
}

struct Numbered {
    tree: Tree,
    /// The first number in use and the one behind the last, once they were looked for.
    bounds: Option<(u32, u32)>,
}

impl Numbered {
    fn bounds(&mut self) -> Outcome<(u32, u32)> {
        match self.bounds {
            Some(bounds) => Ok(bounds),
            None => self.tree.bounds(),
        }
    }
}

impl RecordLog for Numbered {
    fn append(&mut self, records: &[&[u8]]) -> Outcome {
        let (first, next) = self.bounds()?;
        self.tree.commit((next..).zip(records.iter().map(|record| Some(*record))))?;
        self.bounds = Some((first, next + records.len() as u32));
        Ok(())
    }

    fn remove(&mut self, count: u64) -> Outcome {
        let (first, next) = self.bounds()?;
        let end = first + count as u32;
        self.tree.commit((first..end).map(|number| (number, None)))?;
        self.bounds = Some((end, next));
        Ok(())
    }

    fn oldest(&mut self) -> Outcome<Option<Vec<u8>>> {
        let (first, _) = self.bounds()?;
        self.tree.value(first)
    }
}
