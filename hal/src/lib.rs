//! What the agent touches of a board, and simulators of it.
//!
//! [`flash`] is all that the store needs and all there is without features.
//! Feature `linux` brings the media, panels and clock of a Linux board, feature `sim`
//! the simulators that stand in for hardware in tests, with `bus` those of panels as well.
//! Nothing here ever sees a token.

#![cfg_attr(not(any(feature = "linux", feature = "sim")), no_std)]

pub mod flash;

#[cfg(feature = "linux")]
pub mod clock;
#[cfg(feature = "linux")]
pub mod panel;
#[cfg(feature = "linux")]
pub mod screen;
#[cfg(all(feature = "sim", feature = "bus"))]
pub mod sim;

/// Its examples are compiled and run.
#[cfg(all(doctest, feature = "panel-hd44780", feature = "sim"))]
#[doc = include_str!("../README.md")]
struct Page;
