//! `tests/run` itself, with parts made up for the purpose: what it says must be so.
#![expect(clippy::unwrap_used, reason = "what is not as expected here is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a copy of the script need not be durable")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

#[test]
fn what_succeeds_is_counted() {
    let output = run("part_probe() { note 'three of them'; }");
    assert!(output.status.success());
    assert!(text(&output).contains("three of them"));
    assert_eq!(closing_line(&output), "1 passed, 0 failed");
}

#[test]
fn a_part_fails_with_its_first_command_that_fails() {
    let output = run("part_probe() { echo told; if true; then false | cat; fi; true; }");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("    told\n"), "the end of the log is shown");
    assert_eq!(closing_line(&output), "0 passed, 1 failed");
}

#[test]
fn what_cannot_be_installed_is_named_with_the_command_that_would() {
    let output = run("part_probe() { true; }\nid() { echo 1000; }\n\
         need_nothing() { debian no-such-command:its-package; }");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("its-package"), "{}", text(&output));
    assert!(text(&output).contains("FAILED needs nothing"));
    assert_eq!(closing_line(&output), "0 passed, 1 failed");
}

#[test]
fn an_unknown_part_is_a_wrong_use() {
    let output = run_part("misspelt", "");
    assert_eq!(output.status.code(), Some(2));
}

fn run(functions: &str) -> Output {
    run_part("probe", functions)
}

/// A copy of the script, and of what it reads, with the part `probe`, which needs `nothing`, and with these functions in place of its own.
fn run_part(part: &str, functions: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tests")).unwrap();
    fs::write(folder.path().join("Cargo.toml"), "rust-version = \"1.0\"\n").unwrap();

    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::create_dir(folder.path().join("cross")).unwrap();
    fs::copy(tests.join("../cross/toolchain"), folder.path().join("cross/toolchain")).unwrap();
    let script = fs::read_to_string(tests.join("run")).unwrap();
    let entry = "\nif [[ ${1:-} == --inside ]]";
    assert!(script.contains("\nTABLE\n") && script.contains(entry), "the script was changed");
    let script = script
        .replacen("\nTABLE\n", "\nprobe always nothing a test of this script\nTABLE\n", 1)
        .replacen(entry, &format!("\nneed_nothing() {{ true; }}\n{functions}\n{entry}"), 1);
    let copy = folder.path().join("tests/run");
    fs::write(&copy, script).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();

    let cache = folder.path().join("cache");
    Command::new("bash").arg(copy).arg(part).env("XDG_CACHE_HOME", cache).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn closing_line(output: &Output) -> String {
    text(output).lines().last().unwrap_or_default().to_owned()
}
