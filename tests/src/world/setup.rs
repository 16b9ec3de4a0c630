//! What a world is made of, and the agent's configuration in it.

use super::{
    BACKEND, BUILD, ISSUER, Manners, Medium, Policy, Rtc, Sabotage,
    issuer::{CLIENT, CLIENT_SECRET},
};
use signpost::{
    config::{Commit, ShowAccount},
    driver::DriverConfig,
};
use signpost_core::{
    delivery::{DeliveryConfig, Unowned},
    issuer::{ClientAuth, ExplicitEndpoints, IssuerConfig, OwnName},
    owner::OwnerRule,
    profile::{GENERIC, Profile},
    secret::Secret,
    session::{SessionConfig, TokenKey},
};
use signpost_hal::screen::{Start, Support};

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides everything that is not decided here.
    pub seed: u64,
    /// The issuer.
    pub policy: Policy,
    /// What the device believes of it.
    pub profile: &'static Profile,
    /// Who may own the device.
    pub owner: OwnerRule,
    /// Telemetry has a token of its own, for this resource.
    pub telemetry_resource: Option<&'static str>,
    /// What becomes of records that came before the first sign-in; in the device's own name it has
    /// credentials of its own.
    pub unowned: Unowned,
    /// Whether what waits for somebody goes when somebody else signs in.
    pub purges_other_accounts: bool,
    /// What flash is made of.
    pub medium: Medium,
    /// Erase units of the spool: few, so that rings turn round often and quotas are small.
    pub spool_units: u32,
    /// What the board's clock says at the first start.
    pub rtc: Rtc,
    /// How people behave.
    pub manners: Manners,
    /// Whether programs send and ask by themselves.
    pub programs: bool,
    /// The name of the first record, random otherwise; its last three digits say how the backend
    /// takes a record (`Temper`).
    pub first_record: Option<u32>,
    /// One access token in so many is held against a copy of flash.
    pub proof_every: u32,
    /// Whether the board has a button; else five power cycles sign out.
    pub has_button: bool,
    /// How long an acknowledgement may wait for others.
    pub commit: Commit,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

impl Setup {
    /// A board with a right clock, a strict issuer and an attentive owner.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            policy: Policy::default(),
            profile: &GENERIC,
            owner: OwnerRule::First,
            telemetry_resource: None,
            unowned: Unowned::WithFirst,
            purges_other_accounts: false,
            medium: Medium::File,
            spool_units: 24,
            rtc: Rtc::Right,
            manners: Manners::attentive(),
            programs: true,
            first_record: None,
            proof_every: 1,
            has_button: true,
            commit: Commit::Each,
            sabotage: None,
        }
    }
}

pub(super) fn driver_config(setup: &Setup) -> DriverConfig {
    let own_name = (setup.unowned == Unowned::InOwnName)
        .then(|| OwnName { scopes: vec!["telemetry.write".into()], ..OwnName::default() });
    let issuer = IssuerConfig {
        profile: setup.profile,
        code_lifetime: None,
        url: Some(ISSUER.into()),
        explicit: ExplicitEndpoints::default(),
        client_id: CLIENT.into(),
        client_auth: match own_name {
            Some(_) => ClientAuth::SecretPost(Secret::new(CLIENT_SECRET)),
            None => ClientAuth::None,
        },
        dpop: setup.policy.dpop,
        scopes: ["openid", "offline_access", "telemetry.write"].map(Into::into).into(),
        resource: None,
        audience: None,
        extra: Vec::new(),
        own_name,
    };
    DriverConfig {
        session: SessionConfig {
            issuer,
            owner: setup.owner.clone(),
            renewals: 3,
            clock_floor: BUILD,
            verify: signpost::signatures::verify,
        },
        delivery: Some(DeliveryConfig {
            endpoint: BACKEND.into(),
            key: TokenKey::new(setup.telemetry_resource.map(Into::into), &[]),
            headers: Vec::new(),
            unowned: setup.unowned,
        }),
        boot_id: [0; 16],
        start: if setup.has_button { Start::Button } else { Start::Replug },
        support: Support::default(),
        show_account: ShowAccount::Full,
        power_cycles: !setup.has_button,
        purges_other_accounts: setup.purges_other_accounts,
        config_hash: "of the world".into(),
        endurance: None,
        commit: setup.commit,
    }
}
