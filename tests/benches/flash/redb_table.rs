//! redb, durable at every commit as it is by default.

use std::path::{Path, PathBuf};

use redb::{Database, ReadableTable, TableDefinition};

use super::workload::{Outcome, Peer, RecordLog, TokenLog};

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

pub(crate) const ON_FILE: Peer<PathBuf> = Peer {
    name: "redb",
    sealing: 0,
    tokens: |folder| Ok(Box::new(Table::open(&folder)?)),
    records: Some(|folder| Ok(Box::new(Table::open(&folder)?))),
};

struct Table(Database);

impl Table {
    fn open(folder: &Path) -> Outcome<Self> {
        Ok(Self(Database::create(folder.join("table"))?))
    }

    fn change(&self, change: impl FnOnce(&mut redb::Table<'_, u64, &[u8]>) -> Outcome) -> Outcome {
        let transaction = self.0.begin_write()?;
        change(&mut transaction.open_table(TABLE)?)?;
        Ok(transaction.commit()?)
    }
}

impl TokenLog for Table {
    fn put(&mut self, key: u8, value: &[u8]) -> Outcome {
        self.change(|table| Ok(table.insert(u64::from(key), value).map(drop)?))
    }

    fn get(&mut self, key: u8) -> Outcome<Option<Vec<u8>>> {
        let value = self.0.begin_read()?.open_table(TABLE)?.get(u64::from(key))?;
        Ok(value.map(|value| value.value().to_vec()))
    }
}

impl RecordLog for Table {
    fn append(&mut self, records: &[&[u8]]) -> Outcome {
        self.change(|table| {
            let next = table.last()?.map_or(0, |(number, _)| number.value() + 1);
            for (number, record) in (next..).zip(records) {
                table.insert(number, record)?;
            }
            Ok(())
        })
    }

    fn remove(&mut self, count: u64) -> Outcome {
        self.change(|table| {
            for _ in 0..count {
                table.pop_first()?;
            }
            Ok(())
        })
    }

    fn oldest(&mut self) -> Outcome<Option<Vec<u8>>> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let first = table.first()?;
        Ok(first.map(|(_, record)| record.value().to_vec()))
    }
}
