//! JSON and text become protobuf, in memory that is counted and off the one thread that everything
//! else runs on.

use std::sync::Arc;

use bytes::Bytes;
use signpost_core::otlp::{Lines, Signal, Untranslated, from_events, from_json};
use tokio::sync::OwnedSemaphorePermit;

use super::{CROWDED, Refusal};
use crate::shell::sockets::Desk;

/// Bodies above this are translated on another thread, for a small board takes its time.
const TRANSLATE_HERE: usize = 16 << 10;

/// What the result takes is hardly ever more than the body. Only lists of short numbers, and lines
/// of a letter, grow; by no more than this.
const FACTORS: [usize; 2] = [1, 10];

/// What a body is to become.
#[derive(Clone)]
pub(super) enum Into {
    /// It is an export request in JSON.
    Request(Signal),
    /// It is something that [`from_events`] reads.
    Events { lines: Lines, service: Option<String>, observed: u64 },
}

impl Into {
    fn translate(&self, body: &[u8], most: usize) -> Result<Vec<u8>, Untranslated> {
        match self {
            Self::Request(signal) => from_json(*signal, body, most),
            Self::Events { lines, service, observed } => {
                from_events(body, *lines, service.as_deref(), *observed, most)
            }
        }
    }
}

/// `body` in protobuf, with the memory that it takes.
pub(super) async fn translate(
    body: Vec<u8>,
    memory: OwnedSemaphorePermit,
    into: Into,
    desk: &Arc<Desk>,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), Refusal> {
    let body = Bytes::from(body);
    let limit = desk.limits.inflated;
    let mut result = Err(Untranslated::TooLarge);
    for factor in FACTORS {
        let most = body.len().saturating_mul(factor).saturating_add(1 << 10).min(limit);
        let crowded = || Refusal::Later(CROWDED);
        let permits = u32::try_from(most).map_err(|_| crowded())?;
        let room = Arc::clone(&desk.memory).try_acquire_many_owned(permits);
        let mut room = room.map_err(|_| crowded())?;
        result = if body.len() <= TRANSLATE_HERE {
            into.translate(&body, most)
        } else {
            let (body, into) = (body.clone(), into.clone());
            let there = tokio::task::spawn_blocking(move || into.translate(&body, most));
            there.await.map_err(|_| crowded())?
        };
        match result {
            Ok(mut bytes) => {
                bytes.shrink_to_fit();
                drop(room.split(most.saturating_sub(bytes.len())));
                drop(memory);
                return Ok((bytes, room));
            }
            Err(Untranslated::TooLarge) if most < limit => {}
            Err(_) => break,
        }
    }
    match result {
        Err(Untranslated::TooLarge) => Err(Refusal::TooLarge),
        Err(why) => Err(Refusal::NotJson(why)),
        Ok(_) => Err(Refusal::Later(CROWDED)),
    }
}
