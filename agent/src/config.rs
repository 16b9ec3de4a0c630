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

mod access;
mod board;
mod files;
mod issuer;
mod layers;
mod owner;
mod panel;
mod problem;
mod reading;
mod resolve;
mod storage;
mod telemetry;
mod unit;
mod value;

pub use access::{
    AccountName, Broker, Control, Device, DeviceId, Language, Metrics, Network, Peer, Pins,
    PowerCycles, Rule, ShowAccount, Uid,
};
pub use board::{Button, KeyCode, Output, Quiet, Support, TimeOfDay};
pub use files::ClientIdentity;
pub use issuer::{
    AuthMethod, ClientAuth, ClientId, Cloud, Endpoints, Issuer, Parameter, Profile, Resource,
    Scope, SecretFile, Tenant,
};
pub use layers::Sources;
pub use owner::Owner;
pub use panel::{
    Baud, Cells, Degrees, Driver, Hertz, I2cAddress, Idle, Offset, Panel, PanelKind, Pixels,
};
pub use problem::{ConfigError, Place, Problem, Weight};
pub use resolve::Config;
pub use storage::{
    Bind, Commit, CredentialName, KeySource, SealingKeys, SpoolMedium, SpoolSize, Store,
    TokensMedium, TokensSize,
};
pub use telemetry::{
    AttributeName, Compression, HeaderName, OtherAccount, Quota, Quotas, Telemetry, Unowned,
    Vitals, WhenFull, WhenFullByStream,
};
pub use unit::unit;
pub use value::{AbsPath, BaseUrl, HttpUrl, Listen, Name, Proxy, Size, SocketPath, Span, Text};

use layers::Merged;
use reading::{Reading, Setting};
use resolve::{Keys, Resolve};
use ring::digest;

/// The annotated sample; it says of every key what it means and what it is when left out.
pub const SAMPLE: &str = include_str!("../../systemd/signpost.toml");

/// What [`load`] gives.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the agent runs on.
    pub config: Config,
    /// What it starts without: unknown keys, panels that this build cannot drive. A fault.
    pub warnings: Vec<Problem>,
    /// Where each key was set that is not at its default: `FILE:LINE` or `$VARIABLE`.
    pub origins: BTreeMap<String, String>,
    /// Every effective key with its value as TOML, secrets hidden.
    effective: Vec<(String, String)>,
}

/// Reads all sources into one configuration.
///
/// # Errors
/// Everything that stops the start; what does not is in [`Loaded::warnings`].
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let (loaded, problems) = evaluate(sources);
    let (warnings, errors): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| problem.weight == Weight::Ignored);
    match loaded {
        Some(loaded) if errors.is_empty() => Ok(Loaded { warnings, ..loaded }),
        _ => Err(ConfigError::of(errors)),
    }
}

/// Checks sources without a device: what would be a warning is an error here, and files that keys
/// name are left alone.
///
/// # Errors
/// Everything that is wrong.
pub fn check(sources: &Sources) -> Result<(), ConfigError> {
    let (_, problems) = evaluate(sources);
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::of(problems)) }
}

fn evaluate(sources: &Sources) -> (Option<Loaded>, Vec<Problem>) {
    let mut merged = Merged::of(sources);
    let (keys, beyond) = Reading::of::<Keys>(&mut merged.tree);
    let mut problems = merged.problems;
    if !problems.iter().any(|problem| problem.weight == Weight::Stops) {
        // Only what no source has by itself, such as too many panels in all.
        problems.extend(beyond);
    }
    let keys = keys.unwrap_or_default();
    let mut effective = Vec::new();
    keys.list("", &mut effective);
    let (origins, fallback, partial) = (&merged.origins, &*merged.fallback, merged.partial);
    let mut resolve = Resolve { origins, fallback, partial, problems };
    let config = keys.resolve(&mut resolve);
    let problems = resolve.problems;
    let loaded = config.map(|config| Loaded {
        config,
        warnings: Vec::new(),
        origins: merged.origins,
        effective,
    });
    (loaded, problems)
}

impl Loaded {
    /// Tells one effective configuration from another: the first half of SHA-256, in hexadecimal.
    /// What secrets are does not go into it, nor where keys are set.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for (key, value) in &self.effective {
            context.update(format!("{key} = {value}\n").as_bytes());
        }
        let hash = context.finish();
        hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The effective configuration as TOML, each key with where it was set, secrets hidden.
pub fn show(loaded: &Loaded) -> String {
    let width = loaded.effective.iter().map(|(key, value)| key.len() + value.len() + 3).max();
    let width = width.unwrap_or_default().min(60);
    let mut out = String::new();
    for (key, value) in &loaded.effective {
        let line = format!("{key} = {value}");
        let origin = loaded.origins.get(key).map_or("default", String::as_str);
        out.push_str(&format!("{line:<width$}  # {origin}\n"));
    }
    out
}

#[cfg(test)]
mod tests;
