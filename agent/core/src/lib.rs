//! The logic of Signpost without I/O, async or a clock: replies, time and a seed come in,
//! actions go out.
//!
//! Two machines share one grammar, `handle_*(.., now)` in and `poll_*()` out:
//! [`session::Session`] signs the device in (RFC 8628) and keeps it signed in (RFC 6749
//! section 6); [`delivery::Delivery`] sends telemetry batches with the access token. They meet
//! only at "here is a token" and "that token was refused".
//!
//! Start with [`session`]; [`wire`] is everything that is believed of a server's bytes.
#![no_std]

extern crate alloc;

pub mod backoff;
pub mod delivery;
pub mod fault;
pub mod http;
pub mod issuer;
pub mod jws;
pub mod otlp;
pub mod owner;
pub mod profile;
pub mod secret;
pub mod session;
pub mod time;
pub mod wire;
