//! The agent's shell of I/O: it serves the ports of the [`Driver`](crate::driver::Driver) with
//! tokio, threads and sockets, and decides nothing itself.

mod broker;
pub mod calls;
mod control;
mod files;
pub mod http;
mod identity;
mod intake;
pub mod journal;
mod keys;
pub(crate) mod panels;
mod published;
pub mod run;
mod runtime;
pub mod sockets;
mod storage;
pub(crate) mod supervisor;
mod timer;
mod vitals;
