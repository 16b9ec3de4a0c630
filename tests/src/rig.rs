//! The agent as a program, with real sockets and files, and whom it has to do with: local programs
//! that send numbered records, and a backend that outlives it. Kill and power-cut tests and the
//! telemetry bench are made of it.

pub mod agent;
pub mod blocks;
pub mod journal;
pub mod ledger;
pub mod requests;
pub mod sender;
pub mod sink;

use std::time::Duration;

/// Lets time pass: what is measured or tested is what happens meanwhile.
#[expect(clippy::disallowed_methods, reason = "what is tested is what happens meanwhile")]
pub fn rest(span: Duration) {
    std::thread::sleep(span);
}
