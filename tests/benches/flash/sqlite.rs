//! SQLite with a write-ahead log that is synced at every commit.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::workload::{Outcome, Peer, RecordLog, TokenLog};

pub(crate) const ON_FILE: Peer<PathBuf> = Peer {
    name: "SQLite",
    sealing: 0,
    tokens: |folder| {
        Ok(Box::new(Rows::open(
            &folder,
            "CREATE TABLE IF NOT EXISTS tokens (key INTEGER PRIMARY KEY, value BLOB)",
        )?))
    },
    records: Some(|folder| {
        Ok(Box::new(Rows::open(
            &folder,
            "CREATE TABLE IF NOT EXISTS records (number INTEGER PRIMARY KEY, record BLOB)",
        )?))
    }),
};

struct Rows(Connection);

impl Rows {
    fn open(folder: &Path, table: &str) -> Outcome<Self> {
        let connection = Connection::open(folder.join("rows"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute(table, ())?;
        Ok(Self(connection))
    }

    fn first(&self, sql: &str, key: u8) -> Outcome<Option<Vec<u8>>> {
        Ok(self.0.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?)
    }
}

impl TokenLog for Rows {
    fn put(&mut self, key: u8, value: &[u8]) -> Outcome {
        let mut put = self.0.prepare_cached("INSERT OR REPLACE INTO tokens VALUES (?, ?)")?;
        put.execute((key, value))?;
        Ok(())
    }

    fn get(&mut self, key: u8) -> Outcome<Option<Vec<u8>>> {
        self.first("SELECT value FROM tokens WHERE key = ?", key)
    }
}

impl RecordLog for Rows {
    fn append(&mut self, records: &[&[u8]]) -> Outcome {
        let transaction = self.0.transaction()?;
        {
            let mut add = transaction.prepare_cached("INSERT INTO records (record) VALUES (?)")?;
            records.iter().try_for_each(|record| add.execute([record]).map(drop))?;
        }
        Ok(transaction.commit()?)
    }

    fn remove(&mut self, count: u64) -> Outcome {
        let mut remove = self.0.prepare_cached(
            "DELETE FROM records WHERE number < (SELECT min(number) FROM records) + ?",
        )?;
        remove.execute([count])?;
        Ok(())
    }

    fn oldest(&mut self) -> Outcome<Option<Vec<u8>>> {
        self.first("SELECT record FROM records WHERE number > ? ORDER BY number LIMIT 1", 0)
    }
}
