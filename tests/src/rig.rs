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

use signpost_sandbox::{Options, Rotation};
use std::time::Duration;

/// A quick issuer. A refresh that a kill or a cut interrupts must not end the grant: that would be
/// the issuer's policy, and is not what is tested.
pub fn lenient_issuer() -> Options {
    Options {
        interval: Some(Duration::from_secs(1)),
        rotation: Rotation::Lenient,
        ..Options::default()
    }
}

/// Lets time pass: what is measured or tested is what happens meanwhile.
#[expect(clippy::disallowed_methods, reason = "what is tested is what happens meanwhile")]
pub fn rest(span: Duration) {
    std::thread::sleep(span);
}
