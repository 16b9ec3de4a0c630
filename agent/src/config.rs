//! The configuration: found, read strictly, laid over one another, and turned once into values that
//! cannot be wrong. The rest of the agent sees [`Config`] alone.
//!
//! # Layers
//! Later ones win, key by key; tables merge, lists are replaced.
//! 1. `/usr/lib/signpost/signpost.d/*.toml`: the device maker
//! 2. `/etc/signpost/signpost.toml`, 3. `/etc/signpost/signpost.d/*.toml`: the operator
//! 4. environment variables `SIGNPOST__SECTION__KEY`
//!
//! `--config FILE` puts FILE and the drop-ins of the folder beside it that has its name
//! (`board.toml` → `board.d/*.toml`) in place of 1 to 3; the environment still counts.
//!
//! `enabled = false` removes an entry of a named table (`panel.front`, `broker.allow.telemetry`).
//!
//! # Promises
//! - Every problem of every source is reported at once, one line each: where, which key, what was
//!   found, what is allowed.
//! - No file, however large or strange, makes it panic or take more than a few MiB.
//! - Secrets appear in no error, listing or `Debug`.

use std::collections::BTreeMap;

pub mod access;
pub mod board;
pub mod issuer;
mod layers;
mod problem;
mod reading;
mod resolve;
pub mod storage;
pub mod telemetry;
mod value;

pub use layers::Sources;
pub use problem::{ConfigError, Place, Problem, Weight};
pub use resolve::Config;
pub use value::{
    AbsPath, BaseUrl, Hidden, HttpUrl, Listen, Name, Proxy, Size, SocketPath, Span, Text,
};

use layers::Merged;
use reading::{Reading, Setting};
use resolve::{Keys, Resolve};

/// What `load` gives.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the agent runs on.
    pub config: Config,
    /// What it starts without: each becomes part of a fault.
    pub warnings: Vec<Problem>,
    /// Where each key was set that is not at its default: `FILE:LINE` or `$VARIABLE`.
    pub origins: BTreeMap<String, String>,
    /// Every effective key with its value as TOML, secrets hidden.
    effective: Vec<(String, String)>,
}

/// Reads all sources into one configuration.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut merged = Merged::of(sources);
    let mut problems = std::mem::take(&mut merged.problems);
    // What is wrong in a source was reported with its file; the merged tree brings nothing new.
    let keys: Keys = Reading::of(&mut merged.tree).0.unwrap_or_default();
    let mut effective = Vec::new();
    keys.list("", &mut effective);
    let mut resolve =
        Resolve { origins: &merged.origins, fallback: &merged.fallback, problems: Vec::new() };
    let config = keys.resolve(&mut resolve);
    problems.append(&mut resolve.problems);
    let (warnings, errors): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| problem.weight == Weight::Ignored);
    match config {
        Some(config) if errors.is_empty() => {
            Ok(Loaded { config, warnings, origins: merged.origins, effective })
        }
        _ => Err(ConfigError::of(errors)),
    }
}
