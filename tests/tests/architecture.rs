//! The arrows, names and sizes that the design fixes, checked on the manifests and the sources themselves.
//!
//! Every rule is a function from what was found to a list of breaches, so that each is also shown a breach.
#![expect(clippy::unwrap_used, reason = "what is not as expected here is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// Which of our packages a package may import, beside dev-dependencies; `?` marks one that must be optional.
const ARROWS: &[(&str, &str, &[&str])] = &[
    ("signpost", "agent", &["signpost-core", "signpost-hal", "signpost-store"]),
    ("signpost-core", "agent/core", &[]),
    ("signpost-hal", "hal", &[]),
    ("signpost-store", "agent/store", &["signpost-hal"]),
    ("signpost-sandbox", "tests/sandbox", &["signpost?"]),
    (
        "signpost-tests",
        "tests",
        &["signpost", "signpost-core", "signpost-hal", "signpost-sandbox", "signpost-store"],
    ),
];

/// What stands at the top, beside dot-files.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "agent",
    "cross",
    "hal",
    "systemd",
    "tests",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "types", "util", "utils"];

/// Neither I/O nor a clock nor async: everything comes in and goes out through the doors.
const NOT_IN_THE_HEART: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "async fn",
    "async move",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "tokio",
];

/// Folders of one machine: a path below them is nobody else's.
const MACHINE_FOLDERS: &[&str] = &["/Users/", "/home/", "/root/", "/work/", "/workspace/"];

const LINES_TO_MENTION: usize = 600;
const LINES_AT_MOST: usize = 800;

#[test]
fn packages_import_what_the_design_allows() {
    assert_eq!(arrow_breaches(&metadata()), Vec::<String>::new());
}

#[test]
fn the_top_level_is_the_design_s() {
    let breaches: Vec<_> = top_level(&files()).into_iter().filter(|it| !is_top_level(it)).collect();
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn the_heart_has_no_io_no_clock_and_no_async() {
    let breaches: Vec<String> = files()
        .iter()
        .filter(|path| path.starts_with("agent/core/src") || path.starts_with("agent/store/src"))
        .filter(|path| has_extension(path, &["rs"]) && !is_test_file(path))
        .flat_map(|path| heart_breaches(path, &read(path)))
        .collect();
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn every_name_says_something() {
    let breaches: Vec<String> = files().iter().flat_map(|path| empty_names(path)).collect();
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let breaches: Vec<String> = files()
        .iter()
        .filter(|path| !path.ends_with("architecture.rs"))
        .flat_map(|path| machine_paths(path, &read(path)))
        .collect();
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn sources_stay_short() {
    let mut breaches = Vec::new();
    for path in files().iter().filter(|path| has_extension(path, &["rs", "py", "mjs", "sh"])) {
        let lines = read(path).lines().count();
        if lines > LINES_TO_MENTION {
            println!("{}: {lines} lines, two ideas?", path.display());
        }
        if lines > LINES_AT_MOST {
            breaches.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn locked_packages_of_npm_name_no_place_to_fetch_them_from() {
    let breaches: Vec<_> = files()
        .into_iter()
        .filter(|path| path.ends_with("package-lock.json") && read(path).contains("\"resolved\""))
        .collect();
    assert_eq!(breaches, Vec::<PathBuf>::new());
}

mod rules_notice_a_breach {
    use super::*;

    fn packages(dependencies: Value) -> Value {
        let name = "signpost-store";
        let manifest_path = root().join("agent/store/Cargo.toml");
        serde_json::json!({ "packages": [{ "name": name, "manifest_path": manifest_path, "dependencies": dependencies }] })
    }

    fn hal(default_features: bool, features: &[&str]) -> Value {
        serde_json::json!([{
            "name": "signpost-hal", "kind": null, "optional": false,
            "uses_default_features": default_features, "features": features,
        }])
    }

    #[test]
    fn in_an_arrow() {
        let core = serde_json::json!([{
            "name": "signpost-core", "kind": null, "optional": false,
            "uses_default_features": true, "features": [],
        }]);
        assert_eq!(arrow_breaches(&packages(hal(false, &[]))), Vec::<String>::new());
        assert_eq!(arrow_breaches(&packages(hal(true, &[]))).len(), 1);
        assert_eq!(arrow_breaches(&packages(hal(false, &["linux"]))).len(), 1);
        assert_eq!(arrow_breaches(&packages(core)).len(), 1);
    }

    #[test]
    fn in_a_package_that_is_new_or_elsewhere() {
        let package = |name: &str, folder: &str| {
            let manifest_path = root().join(folder).join("Cargo.toml");
            serde_json::json!({ "packages": [{ "name": name, "manifest_path": manifest_path, "dependencies": [] }] })
        };
        assert_eq!(arrow_breaches(&package("signpost-hal", "hal")), Vec::<String>::new());
        assert_eq!(arrow_breaches(&package("signpost-hal", "agent/hal")).len(), 1);
        assert_eq!(arrow_breaches(&package("signpost-extra", "extra")).len(), 1);
    }

    #[test]
    fn at_the_top() {
        let found = top_level(&[PathBuf::from("hal/src/lib.rs"), PathBuf::from("scripts/x.sh")]);
        assert_eq!(
            found.into_iter().filter(|it| !is_top_level(it)).collect::<Vec<_>>(),
            ["scripts"]
        );
        assert!(is_top_level(".clippy.toml"));
    }

    #[test]
    fn in_the_heart() {
        let path = Path::new("agent/core/src/session.rs");
        let breaches = |text: &str| heart_breaches(path, text).len();
        assert_eq!(breaches("fn f() { tokio::spawn(g()) }\n"), 1);
        assert_eq!(
            breaches("let a = 1; // no tokio here\n/// nor SystemTime\nlet tokios = 1;\n"),
            0
        );
        assert_eq!(breaches("fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"), 0);
        assert_eq!(breaches("#[cfg(test)]\nmod tests;\nuse std::fs;\n"), 1);
    }

    #[test]
    fn in_a_name() {
        assert_eq!(empty_names(Path::new("hal/src/utils.rs")).len(), 1);
        assert_eq!(empty_names(Path::new("tests/tests/common/mod.rs")).len(), 1);
        assert_eq!(empty_names(Path::new("agent/src/prototypes.rs")).len(), 0);
    }

    #[test]
    fn in_a_path() {
        let paths = |text: &str| machine_paths(Path::new("x"), text).len();
        assert_eq!(paths("cd /root/project"), 1);
        assert_eq!(paths("https://example.com/home/page, net/work/x"), 0);
    }
}

/// The workspace's packages as cargo sees them, ours only.
fn metadata() -> Value {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn arrow_breaches(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().flat_map(package_breaches).collect()
}

fn package_breaches(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap();
    let Some((_, folder, allowed)) = ARROWS.iter().find(|(known, _, _)| *known == name) else {
        return vec![format!("{name}: a package that the design does not have")];
    };
    let mut breaches = Vec::new();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    if manifest != root().join(folder).join("Cargo.toml") {
        breaches.push(format!("{name}: lives at {}, not in {folder}", manifest.display()));
    }
    for dependency in package["dependencies"].as_array().unwrap() {
        let import = dependency["name"].as_str().unwrap();
        if !import.starts_with("signpost") || dependency["kind"] == "dev" {
            continue;
        }
        let mark = if dependency["optional"] == true { "?" } else { "" };
        let marked = format!("{import}{mark}");
        if !allowed.contains(&import) && !allowed.contains(&&*marked) {
            breaches.push(format!("{name} imports {import}"));
        }
        let plain = dependency["uses_default_features"] == false
            && dependency["features"].as_array().is_some_and(Vec::is_empty);
        if (name, import) == ("signpost-store", "signpost-hal") && !plain {
            breaches.push(format!("{name} imports more of {import} than its traits"));
        }
    }
    breaches
}

fn top_level(files: &[PathBuf]) -> BTreeSet<String> {
    let first = |path: &PathBuf| path.iter().next().map(|it| it.to_string_lossy().into_owned());
    files.iter().filter_map(first).collect()
}

fn is_top_level(name: &str) -> bool {
    name.starts_with('.') || TOP_LEVEL.contains(&name)
}

fn heart_breaches(path: &Path, text: &str) -> Vec<String> {
    let mut lines = text.lines().enumerate().peekable();
    let mut breaches = Vec::new();
    while let Some((index, line)) = lines.next() {
        // By custom the tests are the last item of a file; a `mod tests;` is a file of its own.
        let opens_tests = line.starts_with("#[cfg(test)]")
            && lines
                .peek()
                .is_some_and(|(_, next)| next.starts_with("mod ") && next.ends_with('{'));
        if opens_tests {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        for word in NOT_IN_THE_HEART.iter().filter(|word| has_word(code, word)) {
            breaches.push(format!("{}:{}: {word}", path.display(), index + 1));
        }
    }
    breaches
}

fn empty_names(path: &Path) -> Vec<String> {
    let says_nothing =
        |part: &Path| part.file_stem().is_some_and(|stem| EMPTY_NAMES.iter().any(|it| stem == *it));
    path.iter()
        .filter(|part| says_nothing(Path::new(part)))
        .map(|part| format!("{}: {}", path.display(), part.to_string_lossy()))
        .collect()
}

fn machine_paths(path: &Path, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for folder in MACHINE_FOLDERS {
            // In an address or a relative path something stands before the slash.
            let begins = |at: usize| {
                !line[..at].ends_with(|it: char| it.is_alphanumeric() || "./-_}".contains(it))
            };
            if line.match_indices(folder).any(|(at, _)| begins(at)) {
                breaches.push(format!("{}:{}: {folder}", path.display(), index + 1));
            }
        }
    }
    breaches
}

fn has_word(text: &str, word: &str) -> bool {
    let part_of_name = |it: char| it.is_alphanumeric() || it == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(part_of_name) && !text[at + word.len()..].starts_with(part_of_name)
    })
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|it| extensions.iter().any(|extension| it == *extension))
}

fn is_test_file(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}

/// Every file of the repository, tracked or new, below its root.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let listed = names.split_terminator('\0').map(PathBuf::from);
    // A file that was just deleted is still listed.
    listed.filter(|path| root().join(path).is_file()).collect()
}

/// The text of a file; pictures and the like have none worth a look.
fn read(path: &Path) -> String {
    String::from_utf8(fs::read(root().join(path)).unwrap()).unwrap_or_default()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
