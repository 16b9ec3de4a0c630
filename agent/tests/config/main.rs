//! The configuration as operators meet it: files, drop-ins and variables in, one line a problem out.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod files;
mod layers;
mod own_name;
mod panels;
mod slips;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use signpost::config::{self, ConfigError, Loaded, Sources};

/// The least that starts.
const LEAST: &str = "[issuer]\nurl = \"https://idp.example.com\"\nclient_id = \"signpost\"\n";

/// A device's file tree.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With `text` as the operator's file.
    fn with(text: impl AsRef<[u8]>) -> Self {
        let root = Self::new();
        root.write("etc/signpost/signpost.toml", text);
        root
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), text.as_ref()).unwrap();
        path
    }

    fn sources(&self) -> Sources {
        Sources::installed(self.0.path())
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        config::load(&self.sources())
    }

    /// What is said, as if the tree were the root.
    fn strip(&self, text: impl ToString) -> String {
        text.to_string().replace(&format!("{}/", self.0.path().display()), "/")
    }

    fn error(&self) -> String {
        self.strip(self.load().unwrap_err())
    }

    fn warnings(&self) -> String {
        let warnings = self.load().unwrap().warnings;
        self.strip(warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}

/// Loads `LEAST` with `text` after it and gives the errors, each relative to the first added line.
fn error_after_least(text: &str) -> String {
    let root = Root::with(format!("{LEAST}{text}"));
    match root.load() {
        Ok(loaded) => panic!("{text} was accepted: {:?}", loaded.config),
        Err(error) => root.strip(error).replace("/etc/signpost/signpost.toml:", "L"),
    }
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn shown(loaded: &Loaded, key: &str) -> String {
    let text = config::show(loaded);
    let line = text.lines().find(|line| line.starts_with(&format!("{key} = ")));
    line.unwrap_or_else(|| panic!("{key} is not in\n{text}")).to_owned()
}
