//! Joins the machines of `signpost-core` to the ports.

use crate::{
    ports::{Complete, Submit},
    storage::Opened,
};
use signpost_core::{
    delivery::DeliveryConfig,
    fault::Fault,
    session::{PendingSignIn, SessionConfig, Wake},
    time::{Boot, Now},
};
use signpost_hal::screen::{Start, Support};

/// What the driver needs to know of configuration and board.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// The issuer and who may own the device.
    pub session: SessionConfig,
    /// Where telemetry goes; `None`: nowhere.
    pub delivery: Option<DeliveryConfig>,
    /// Which run of the board this is.
    pub boot_id: [u8; 16],
    /// What the board has for starting a sign-in.
    pub start: Start,
    /// Whom the maker wants to be asked.
    pub support: Support,
    /// How much of an account's name panels show.
    pub show_account: crate::config::ShowAccount,
}

/// See the module.
#[derive(Debug)]
pub struct Driver {}

impl Driver {
    /// A driver that goes on where flash (`opened`) and runtime folder (`pending`, of this same
    /// boot) were left. `seed` decides all jitter.
    #[must_use]
    pub fn new(
        _config: DriverConfig,
        _opened: Opened,
        _pending: Option<PendingSignIn>,
        _seed: u64,
        _now: Now,
    ) -> Self {
        Self {}
    }

    /// Something happened at a port.
    pub fn complete(&mut self, _done: Complete, _now: Now) {}

    /// Time has passed.
    pub fn timeout(&mut self, _now: Now) {}

    /// A fault outside the machines came up, or is gone: a panel, a store set aside, configuration.
    pub fn fault(&mut self, _fault: Fault, _up: bool, _now: Now) {}

    /// The next thing to do; call until `None` after every other call.
    pub fn poll(&mut self) -> Option<Submit> {
        None
    }

    /// When, and why, [`Driver::timeout`] is due.
    #[must_use]
    pub fn wake(&self) -> Option<(Boot, Wake)> {
        None
    }

    /// Whether everything that must be durable is durable, for an orderly stop.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        true
    }
}
