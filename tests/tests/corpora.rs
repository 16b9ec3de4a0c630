//! What the fuzzers have found worth keeping, tried on every machine.

use std::fs;
use std::path::Path;

use signpost_tests::flash::{any_image, any_operations};

#[test]
fn each_input_of_the_corpora_passes() {
    try_all("any_image", any_image);
    try_all("any_operations", any_operations);
}

fn try_all(target: &str, fuzz: fn(&[u8]) -> Result<(), String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&folder).expect("a corpus").collect();
    assert!(files.len() > 20, "{} inputs for {target}", files.len());
    for file in files {
        let path = file.expect("a file").path();
        let input = fs::read(&path).expect("an input");
        assert_eq!(fuzz(&input), Ok(()), "{}", path.display());
    }
}
