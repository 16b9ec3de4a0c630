//! The sandbox over real sockets: what it answers when nothing is wrong, and each fault.

mod device;
mod flows;
