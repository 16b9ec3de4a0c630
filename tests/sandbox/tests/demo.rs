//! `cargo demo --approve` as a newcomer runs it: the agent, the sandbox, and nobody present.
#![expect(clippy::unwrap_used, reason = "what is not as expected here is a failed test")]

use std::process::{Command, Output};

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_signpost-demo")).args(arguments).output().unwrap()
}

#[test]
fn it_signs_in_delivers_and_ends() {
    let output = demo(&["--approve"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("Signed in as anna and delivered "), "{said}");
}

#[test]
fn what_went_wrong_is_one_line() {
    for (arguments, why) in [
        (["--approve", "--account", "nobody"], "demo: nobody: no such account"),
        (["--approve", "--timeout", "0"], "demo: the agent asked for no code within 0 s"),
    ] {
        let output = demo(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.starts_with(why), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
