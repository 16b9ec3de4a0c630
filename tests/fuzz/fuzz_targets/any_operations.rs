//! Any operations, with the power going in between, leave what the model of the store says.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(broken) = signpost_tests::flash::any_operations(data) {
        panic!("{broken}");
    }
});
