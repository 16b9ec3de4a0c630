//! Panels on emulated terminals and real ptys, and the threads that drive them.

mod emulated;
mod hostile;
mod pictures;
mod privacy;
mod ptys;
mod qr;
mod samples;
mod threads;
