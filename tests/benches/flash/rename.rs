//! What programs do without a store: write a new file, sync it, rename it, sync the folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use super::workload::{Outcome, Peer, TokenLog};

pub(crate) const ON_FILE: Peer<PathBuf> = Peer {
    name: "rename",
    sealing: 0,
    tokens: |folder| Ok(Box::new(Files(folder))),
    // A file a record is nobody's spool.
    records: None,
};

struct Files(PathBuf);

impl TokenLog for Files {
    fn put(&mut self, key: u8, value: &[u8]) -> Outcome {
        let new = self.0.join("new");
        let mut file = File::create(&new)?;
        file.write_all(value)?;
        file.sync_all()?;
        fs::rename(new, self.0.join(key.to_string()))?;
        Ok(File::open(&self.0)?.sync_all()?)
    }

    fn get(&mut self, key: u8) -> Outcome<Option<Vec<u8>>> {
        match fs::read(self.0.join(key.to_string())) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
