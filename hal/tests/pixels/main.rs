//! Every screen on panels of pixels: as pictures, and as a camera sees it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the stages of a test fail like the test")]

mod camera;
mod fitting;
mod pictures;
mod reading;
mod surfaces;

#[path = "../panel/golden.rs"]
mod golden;
#[path = "../panel/samples.rs"]
mod samples;
