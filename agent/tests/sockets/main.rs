//! The agent's sockets and its command line, over real sockets and with the real binary. Behind
//! them stands the door to the driver, at which each test answers as it needs.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what is not as expected here is a failed test"
)]

mod cli;
mod control;
mod doors;
mod intake;
mod json;
mod limits;
mod listening;
mod stage;
mod tokens;
