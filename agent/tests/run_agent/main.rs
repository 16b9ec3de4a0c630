//! The agent as it runs: real stores, real sockets, and an issuer and a backend on loopback.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bad_stores;
mod binary;
mod board;
mod canary;
mod clones;
mod device;
mod library;
mod reload;
mod servers;
