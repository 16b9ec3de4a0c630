//! The sandbox over real sockets: what it answers when nothing is wrong, and each fault.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what is not as expected here is a failed test"
)]

mod control;
mod device;
mod faults;
mod flows;
mod pages;
mod telemetry;
mod tls;
mod vendors;
