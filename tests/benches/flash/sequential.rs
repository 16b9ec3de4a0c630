//! sequential-storage: its map for tokens, its queue for records. It seals nothing, and each
//! record is a commit of its own.

use sequential_storage::cache::key_pointers::ArrayKeyPointers;
use sequential_storage::cache::page_pointers::ArrayPagePointers;
use sequential_storage::cache::page_states::ArrayPageStates;
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::map::{MapConfig, MapStorage};
use sequential_storage::queue::{QueueConfig, QueueStorage};

use super::chip::{Chip, SECTOR, now};
use super::workload::{Outcome, Peer, RECORD, RecordLog, TOKEN, TokenLog};
use super::{SPOOL_SIZE, TOKENS_SIZE};

const TOKEN_PAGES: usize = (TOKENS_SIZE / SECTOR) as usize;
const SPOOL_PAGES: usize = (SPOOL_SIZE / SECTOR) as usize;

pub(crate) const ON_NOR: Peer<Chip> = Peer {
    name: "sequential-storage",
    sealing: 0,
    tokens: |chip| {
        let cache =
            Cache::new(ArrayPageStates::new(), ArrayPagePointers::new(), ArrayKeyPointers::new());
        let config = const { MapConfig::new(0..TOKENS_SIZE) };
        let mut map = Map { map: MapStorage::new(chip, config, cache), buffer: [0; BUFFER] };
        // It looks at the flash when it is first asked.
        (0..3).try_for_each(|key| map.get(key).map(drop))?;
        Ok(Box::new(map))
    },
    records: Some(|chip| {
        let cache = Cache::new(ArrayPageStates::new(), ArrayPagePointers::new(), Uncached);
        let config = const { QueueConfig::new(0..SPOOL_SIZE) };
        let mut queue =
            Queue { queue: QueueStorage::new(chip, config, cache), buffer: [0; RECORD + 8] };
        queue.oldest()?;
        Ok(Box::new(queue))
    }),
};

/// Room for a key and a value in whole words.
const BUFFER: usize = TOKEN + 8;

type MapCache = Cache<
    ArrayPageStates<TOKEN_PAGES>,
    ArrayPagePointers<TOKEN_PAGES>,
    ArrayKeyPointers<u8, 3>,
    u8,
>;

struct Map {
    map: MapStorage<u8, Chip, MapCache>,
    buffer: [u8; BUFFER],
}

impl TokenLog for Map {
    fn put(&mut self, key: u8, value: &[u8]) -> Outcome {
        let stored = now(self.map.store_item(&mut self.buffer, &key, &value));
        stored.map_err(|error| format!("{error:?}").into())
    }

    fn get(&mut self, key: u8) -> Outcome<Option<Vec<u8>>> {
        let found = now(self.map.fetch_item::<&[u8]>(&mut self.buffer, &key));
        match found {
            Ok(value) => Ok(value.map(<[u8]>::to_vec)),
            Err(error) => Err(format!("{error:?}").into()),
        }
    }
}

type QueueCache = Cache<ArrayPageStates<SPOOL_PAGES>, ArrayPagePointers<SPOOL_PAGES>, Uncached, ()>;

struct Queue {
    queue: QueueStorage<Chip, QueueCache>,
    buffer: [u8; RECORD + 8],
}

impl RecordLog for Queue {
    fn append(&mut self, records: &[&[u8]]) -> Outcome {
        for record in records {
            now(self.queue.push(record, false)).map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    }

    fn remove(&mut self, count: u64) -> Outcome {
        for _ in 0..count {
            now(self.queue.pop(&mut self.buffer)).map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    }

    fn oldest(&mut self) -> Outcome<Option<Vec<u8>>> {
        match now(self.queue.peek(&mut self.buffer)) {
            Ok(record) => Ok(record.map(|record| record.to_vec())),
            Err(error) => Err(format!("{error:?}").into()),
        }
    }
}
