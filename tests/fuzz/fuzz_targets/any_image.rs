//! Any image opens or gives a typed error, in bounded time, and what opens can be used.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(broken) = signpost_tests::flash::any_image(data) {
        panic!("{broken}");
    }
});
