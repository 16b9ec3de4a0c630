//! The agent: what joins the state machines of `signpost-core` to a device.
//!
//! [`driver::Driver`] is the way of the data; [`ports`] is what it asks of the world; [`shell`]
//! is the world as the binary finds it.

pub mod cli;
pub mod config;
pub mod driver;
pub mod ports;
pub mod records;
mod reports;
pub mod shell;
pub mod signatures;
pub mod signing;
pub mod status;
pub mod storage;
