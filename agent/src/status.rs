//! `status`: how it stands, for people and machines (design.md, section 4).

use serde::Serialize;
use signpost_core::time::Wall;
use std::collections::BTreeMap;

/// A date as `status` writes it, to the second.
#[must_use]
pub fn rfc3339(wall: Wall) -> Option<String> {
    let seconds = i64::try_from(wall.since_epoch().as_secs()).ok()?;
    Some(jiff::Timestamp::from_second(seconds).ok()?.to_string())
}

/// The contract of `status --json`. Instants are RFC 3339, or null while the clock is unusable;
/// spans are seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// 1. Members may join; none changes its meaning.
    pub schema: u32,
    /// The agent's version.
    pub version: String,
    /// The device's id.
    pub device_id: String,
    /// When this was made.
    pub generated_at: Option<String>,
    /// The one word for people.
    pub state: &'static str,
    /// The sign-in under way; null where there is none, or the reader may not know.
    pub pairing: Option<Pairing>,
    /// Why the last sign-in ended without a grant.
    pub pairing_ended: Option<&'static str>,
    /// The grant.
    pub grant: Grant,
    /// The device in its own name; null where it is not to speak in that.
    pub own_name: Option<OwnName>,
    /// `usable` or `unusable`.
    pub clock: &'static str,
    /// Telemetry.
    pub delivery: Delivery,
    /// Flash.
    pub flash: Flash,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// A code that waits for a person. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Serialize)]
pub struct Pairing {
    /// Verbatim.
    pub user_code: String,
    /// Where to type it.
    pub verification_uri: String,
    /// The address with the code in it.
    pub verification_uri_complete: Option<String>,
    /// Seconds.
    pub expires_in: u64,
}

impl std::fmt::Debug for Pairing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pairing(for {} s)", self.expires_in)
    }
}

/// Who signed in, and how that stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grant {
    /// `none`, `held` or `suspended`.
    pub status: &'static str,
    /// Null where nobody is signed in, or the reader may not know.
    pub account: Option<Account>,
    /// When the person approved.
    pub signed_in_at: Option<String>,
    /// When an access token came last.
    pub last_refresh_at: Option<String>,
    /// When the grant ends, where the issuer says.
    pub expires_at: Option<String>,
    /// What a sign-out ends at the issuer: `nothing`, `this-device`, or with this client
    /// `all-of-user`.
    pub revocation: &'static str,
}

/// How the device stands with the issuer in its own name, with nobody's sign-in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OwnName {
    /// `waiting` for a first token, `held` or `refused`.
    pub status: &'static str,
    /// Whether records leave in its name: those that belong to nobody.
    pub sending: bool,
    /// When a token came last, in this run.
    pub last_token_at: Option<String>,
}

/// The person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Account {
    /// `sub`.
    pub subject: Option<String>,
    /// A name for people.
    pub name: Option<String>,
}

/// How telemetry stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Delivery {
    /// `idle`, `sending`, `holding` or `off`.
    pub status: &'static str,
    /// Why it is holding.
    pub reason: Option<&'static str>,
    /// Accepted requests that wait.
    pub records: u64,
    /// Their bytes on flash.
    pub bytes: u64,
    /// Seconds that the oldest of this run has waited.
    pub oldest_age: Option<u64>,
    /// When a batch arrived last.
    pub last_success_at: Option<String>,
    /// Records given up in this run.
    pub dropped: u64,
    /// The same by reason.
    pub dropped_by: BTreeMap<&'static str, u64>,
}

/// How flash stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flash {
    /// Bytes programmed since the agent started, or since the last whole day of its run.
    pub written_today: u64,
    /// What a day costs: the last whole one, or a guess after an hour.
    pub written_per_day: Option<u64>,
    /// How many days the blocks under the stores bear that at least, where it is known.
    pub life_days: Option<u64>,
    /// Most erases of one unit.
    pub worn: u32,
}

/// A row of the fault table that is up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// Stable.
    pub code: &'static str,
    /// Who acts.
    pub class: &'static str,
    /// Short.
    pub title: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// What more is known: which panel, and why; the issuer's error with its correlation ids.
    pub detail: Option<String>,
    /// When it came up.
    pub since: Option<String>,
}
