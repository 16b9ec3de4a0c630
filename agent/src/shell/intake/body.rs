//! Receives a body, and decompresses it on the way, within limits.

use std::io::{self, Write};
use std::sync::Arc;

use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shell::sockets::Limits;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// Why a body was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is longer than a body may be, as it comes or decompressed.
    TooLarge,
    /// Other bodies have all the memory now.
    Crowded,
    /// The connection failed in its midst.
    Broken,
    /// It is no gzip, or not all of it.
    NotGzip,
}

/// Compressed bytes that are decompressed at one go: at most a thousandfold comes out, and the
/// other tasks of this thread wait for it.
const STEP: usize = 512;

/// The whole body, decompressed, with the memory that it takes of `memory`.
pub(super) async fn receive(
    mut body: Incoming,
    encoding: Encoding,
    limits: &Limits,
    memory: &Arc<Semaphore>,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), Trouble> {
    let room = Room::new(limits.inflated, memory)?;
    let mut sink = match encoding {
        Encoding::Identity => Sink::Plain(room),
        Encoding::Gzip => Sink::Gzip(Box::new(MultiGzDecoder::new(room))),
    };
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Trouble::Broken)?.into_data() else { continue };
        received += data.len();
        if received > limits.received {
            return Err(Trouble::TooLarge);
        }
        for step in data.chunks(STEP) {
            if sink.write(step)? >= PAUSE {
                tokio::task::yield_now().await;
            }
        }
    }
    let room = sink.finish()?;
    Ok((room.bytes, room.held))
}

/// Bytes after which the other tasks have their turn.
const PAUSE: usize = 64 << 10;

enum Sink {
    Plain(Room),
    Gzip(Box<MultiGzDecoder<Room>>),
}

impl Sink {
    /// How many bytes came of it.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Trouble> {
        let before = self.room().bytes.len();
        let written = match self {
            Self::Plain(room) => room.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        };
        written.map_err(|error| trouble(&error))?;
        Ok(self.room().bytes.len() - before)
    }

    fn finish(self) -> Result<Room, Trouble> {
        match self {
            Self::Plain(room) => Ok(room),
            Self::Gzip(decoder) => decoder.finish().map_err(|error| trouble(&error)),
        }
    }

    fn room(&self) -> &Room {
        match self {
            Self::Plain(room) => room,
            Self::Gzip(decoder) => decoder.get_ref(),
        }
    }
}

fn trouble(error: &io::Error) -> Trouble {
    let kind = error.kind();
    if kind == TOO_LARGE {
        Trouble::TooLarge
    } else if kind == CROWDED {
        Trouble::Crowded
    } else {
        Trouble::NotGzip
    }
}

/// How a [`Room`] speaks through the decoder.
const TOO_LARGE: io::ErrorKind = io::ErrorKind::FileTooLarge;
const CROWDED: io::ErrorKind = io::ErrorKind::OutOfMemory;

/// A buffer whose capacity is taken out of the memory that all bodies share.
struct Room {
    bytes: Vec<u8>,
    most: usize,
    memory: Arc<Semaphore>,
    held: OwnedSemaphorePermit,
}

impl Room {
    fn new(most: usize, memory: &Arc<Semaphore>) -> Result<Self, Trouble> {
        let held = Arc::clone(memory).try_acquire_many_owned(0).map_err(|_| Trouble::Crowded)?;
        Ok(Self { bytes: Vec::new(), most, memory: Arc::clone(memory), held })
    }

    /// Makes sure that `more` bytes fit.
    fn reserve(&mut self, more: usize) -> io::Result<()> {
        let needed = self.bytes.len() + more;
        if needed > self.most {
            return Err(TOO_LARGE.into());
        }
        let capacity = self.bytes.capacity();
        if needed <= capacity {
            return Ok(());
        }
        let wanted = needed.max(2 * capacity).max(1 << 10).min(self.most);
        let full = || io::Error::from(CROWDED);
        let growth = u32::try_from(wanted - capacity).map_err(|_| full())?;
        let memory = Arc::clone(&self.memory);
        self.held.merge(memory.try_acquire_many_owned(growth).map_err(|_| full())?);
        self.bytes.reserve_exact(wanted - self.bytes.len());
        Ok(())
    }
}

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reserve(bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
