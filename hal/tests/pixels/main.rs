//! Every screen on panels of pixels: as pictures, and as a camera sees it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the stages of a test fail like the test")]
#![expect(clippy::print_stdout, reason = "the figures of a test with real decoders")]

mod camera;
mod fitting;
mod pictures;
mod reading;
mod surfaces;

#[path = "../panel/golden.rs"]
mod golden;
#[path = "../panel/samples.rs"]
mod samples;

#[test]
#[ignore = "needs zbarimg and OpenCV: tests/run installs them"]
fn with_real_decoders() {
    reading::is_read_by_two_decoders_of_three();
}
