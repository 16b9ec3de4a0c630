//! A reader of both faces of the store, written from the module header of `signpost-store`
//! and from nothing else: what it cannot read, the header does not tell.
//!
//! Frozen at version 1: it stands for the older build that comes back after an upgrade. It
//! shares no code with the store and looks at images only.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

mod parts;
mod spool;
mod tokens;

pub use spool::{Queue, spool};
pub use tokens::tokens;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

/// What a reader has to know of the medium.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub erase_unit: usize,
    pub program_unit: usize,
}

pub type Complaint = String;

const MAGIC: u8 = 0xA5;
const VERSION: u8 = 1;

/// CRC-32 as in Ethernet, over several slices as if they were one.
pub fn crc(slices: &[&[u8]]) -> u32 {
    let mut crc = !0_u32;
    for byte in slices.iter().flat_map(|slice| slice.iter()) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// Takes `count` bytes off the front.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// Takes a LEB128 number off the front.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = take(bytes, 1)?[0];
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// What was sealed, or `None` if key, associated data or bytes are others.
fn unseal(key: &[u8; 32], associated: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(24)?;
    let aad = associated.concat();
    XChaCha20Poly1305::new(key.into())
        .decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: &aad })
        .ok()
}
