//! Panels on emulated terminals and real ptys, and the threads that drive them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the stages of a test fail like the test")]

mod emulated;
mod golden;
mod hostile;
mod pictures;
mod privacy;
mod ptys;
mod qr;
mod samples;
mod threads;
