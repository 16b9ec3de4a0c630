//! Records through `embedded_io`: a writer that keeps nothing without its commit, and a reader.

use alloc::vec::Vec;
use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use signpost_hal::flash::Flash;
use zeroize::Zeroizing;

use crate::{QueueKey, QueueName, Spool, StoreError, TokenStore};

/// Collects one value for a token store; dropped without [`commit`](Self::commit), it is gone.
pub struct RecordWriter<'a, F> {
    store: &'a mut TokenStore<F>,
    key: u8,
    bytes: Zeroizing<Vec<u8>>,
}

impl<F: Flash> RecordWriter<'_, F> {
    /// As [`TokenStore::put`].
    ///
    /// # Errors
    /// As there.
    pub fn commit(self) -> Result<(), StoreError> {
        self.store.put(self.key, &self.bytes)
    }
}

impl<F> ErrorType for RecordWriter<'_, F> {
    type Error = Infallible;
}

impl<F> Write for RecordWriter<'_, F> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        push(&mut self.bytes, buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Collects one record for a queue; dropped without [`commit`](Self::commit), it is gone.
pub struct QueueWriter<'a, F> {
    spool: &'a mut Spool<F>,
    queue: QueueName,
    key: &'a QueueKey,
    bytes: Zeroizing<Vec<u8>>,
}

impl<F: Flash> QueueWriter<'_, F> {
    /// As [`Spool::append`] of this record; its sequence number.
    ///
    /// # Errors
    /// As there.
    pub fn commit(self) -> Result<u64, StoreError> {
        self.spool.append(self.queue, self.key, &[&self.bytes]).map(|range| range.start)
    }
}

impl<F> ErrorType for QueueWriter<'_, F> {
    type Error = Infallible;
}

impl<F> Write for QueueWriter<'_, F> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        push(&mut self.bytes, buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Appends without leaving plain bytes behind in a buffer that was outgrown.
fn push(bytes: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    if bytes.capacity() - bytes.len() < more.len() {
        let mut grown = Zeroizing::new(Vec::with_capacity(2 * (bytes.len() + more.len())));
        grown.extend_from_slice(bytes);
        *bytes = grown;
    }
    bytes.extend_from_slice(more);
}

/// Reads one value; it was checked as a whole before.
pub struct RecordReader {
    bytes: Zeroizing<Vec<u8>>,
    at: usize,
}

impl ErrorType for RecordReader {
    type Error = Infallible;
}

impl Read for RecordReader {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let rest = &self.bytes[self.at..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}

impl<F: Flash> TokenStore<F> {
    /// A writer of the value under `key`.
    pub fn writer(&mut self, key: u8) -> RecordWriter<'_, F> {
        RecordWriter { store: self, key, bytes: Zeroizing::default() }
    }

    /// A reader of the value under `key`, if there is one.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn reader(&mut self, key: u8) -> Result<Option<RecordReader>, StoreError> {
        Ok(self.get(key)?.map(|bytes| RecordReader { bytes, at: 0 }))
    }
}

impl<F: Flash> Spool<F> {
    /// A writer of one record of `queue`.
    pub fn writer<'a>(&'a mut self, queue: QueueName, key: &'a QueueKey) -> QueueWriter<'a, F> {
        QueueWriter { spool: self, queue, key, bytes: Zeroizing::default() }
    }
}
