//! The agent's shell of I/O: it serves the ports of the [`Driver`](crate::driver::Driver) with
//! tokio, threads and sockets, and decides nothing itself.

pub mod calls;
mod broker;
mod control;
mod intake;
pub mod sockets;
