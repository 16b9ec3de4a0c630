//! Panels on emulated glass: what goes over the bus, and what a person sees.

#![expect(clippy::unwrap_used, reason = "the stages of a test fail like the test")]

mod board;
mod lcd;
mod new_panel;
mod pcd8544;
mod pixels;
mod stage;
mod threads;
mod traffic;
mod witnesses;
