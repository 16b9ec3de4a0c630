//! The fault table: every lasting failure, once, for panel, status, journal and manual alike.

use crate::time::Boot;
use alloc::collections::BTreeMap;

/// Something that is wrong and that somebody may have to mend.
///
/// The order is that of the codes; codes never change meaning and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The wall clock shows a date that cannot be.
    ClockUnusable,
    /// The issuer's name cannot be resolved or no connection comes about.
    IssuerUnreachable,
    /// The issuer answers, but with failures or nonsense.
    IssuerUnwell,
    /// A web page came where the issuer should have answered.
    CaptivePortal,
    /// The issuer's certificate is signed by nobody whom the device trusts.
    CertificateUntrusted,
    /// A certificate is refused for its dates: clock or certificate is wrong.
    CertificateDates,
    /// The discovery document speaks for another issuer, or names insecure addresses.
    IssuerMismatch,
    /// The issuer names no device authorization endpoint.
    NoDeviceFlow,
    /// The issuer refuses this client or its request.
    ClientRefused,
    /// The grant is suspended: the issuer refused the refresh token.
    SignInAgain,
    /// As [`Fault::SignInAgain`], after an answer with a new token was lost.
    SignInAgainAfterLoss,
    /// Somebody signed in whom the owner rule does not allow.
    OwnerRefused,
    /// The id_token does not stand up to its checks.
    IdTokenRefused,
    /// The token store could not be written; the agent goes on from memory.
    TokensNotSaved,
    /// The spool could not be written or is full; programs are told to wait.
    SpoolNotSaved,
    /// A store of another device or key, or a broken one, was set aside.
    StoreSetAside,
    /// The telemetry backend cannot be reached or is unwell.
    BackendUnreachable,
    /// The telemetry backend refuses the access token, a fresh one too.
    BackendUnauthorized,
    /// The telemetry backend forbids this account or device to send.
    BackendForbidden,
    /// The telemetry backend refused records as malformed or too large.
    RecordsRefused,
    /// Configuration holds keys that this version does not know.
    ConfigUnknownKeys,
    /// A panel does not work.
    PanelFailed,
    /// A sign-out is done here, and not yet known to the issuer.
    RevocationPending,
    /// The sign-in ends soon, and nothing but another prolongs it.
    SignInEnds,
    /// The telemetry backend asks for a stronger or newer sign-in.
    SignInStronger,
    /// The issuer gives the device no token in its own name.
    OwnNameRefused,
    /// The backend refuses the one token that a sign-in without a refresh token has.
    OnlyTokenRefused,
}

/// Who has to act, or what will mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Mends itself; is tried again.
    Retry,
    /// A person has to sign in.
    SignIn,
    /// Whoever runs the issuer or backend has to act.
    Admin,
    /// The configuration is wrong.
    Configuration,
    /// The clock is wrong.
    Clock,
    /// The network is missing.
    Network,
    /// The network wants a login page.
    Portal,
    /// Flash or disk fails.
    Storage,
}

impl Class {
    /// The name in `status --json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::SignIn => "sign-in",
            Self::Admin => "admin",
            Self::Configuration => "configuration",
            Self::Clock => "clock",
            Self::Network => "network",
            Self::Portal => "portal",
            Self::Storage => "storage",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Stable, short, for the telephone: `E12`.
    pub code: &'static str,
    /// Who acts.
    pub class: Class,
    /// At most 16 columns of ASCII.
    pub title: &'static str,
    /// One sentence: what to do.
    pub advice: &'static str,
}

impl Fault {
    /// All faults in the order of their codes.
    pub const ALL: [Self; 27] = [
        Self::ClockUnusable,
        Self::IssuerUnreachable,
        Self::IssuerUnwell,
        Self::CaptivePortal,
        Self::CertificateUntrusted,
        Self::CertificateDates,
        Self::IssuerMismatch,
        Self::NoDeviceFlow,
        Self::ClientRefused,
        Self::SignInAgain,
        Self::SignInAgainAfterLoss,
        Self::OwnerRefused,
        Self::IdTokenRefused,
        Self::TokensNotSaved,
        Self::SpoolNotSaved,
        Self::StoreSetAside,
        Self::BackendUnreachable,
        Self::BackendUnauthorized,
        Self::BackendForbidden,
        Self::RecordsRefused,
        Self::ConfigUnknownKeys,
        Self::PanelFailed,
        Self::RevocationPending,
        Self::SignInEnds,
        Self::SignInStronger,
        Self::OwnNameRefused,
        Self::OnlyTokenRefused,
    ];

    /// This fault's row.
    #[must_use]
    pub const fn row(self) -> Row {
        let (code, class, title, advice) = match self {
            Self::ClockUnusable => (
                "E01",
                Class::Clock,
                "Clock not set",
                "Let the device reach a time server, or set its clock; sign-in follows by itself.",
            ),
            Self::IssuerUnreachable => (
                "E02",
                Class::Network,
                "No network",
                "Check cable or WiFi, and that DNS and a firewall let the issuer's address through.",
            ),
            Self::IssuerUnwell => (
                "E03",
                Class::Retry,
                "Issuer trouble",
                "The sign-in service answers with errors; the device tries again by itself.",
            ),
            Self::CaptivePortal => (
                "E04",
                Class::Portal,
                "WiFi login page",
                "This network shows a login page; register the device there or use another network.",
            ),
            Self::CertificateUntrusted => (
                "E05",
                Class::Configuration,
                "Untrusted server",
                "Name the CA of the server in network.ca_file, or find out who intercepts TLS.",
            ),
            Self::CertificateDates => (
                "E06",
                Class::Clock,
                "Certificate date",
                "Check the device's clock; if it is right, the server's certificate has run out.",
            ),
            Self::IssuerMismatch => (
                "E07",
                Class::Configuration,
                "Wrong issuer",
                "Set issuer.url to exactly the address that the discovery document names.",
            ),
            Self::NoDeviceFlow => (
                "E08",
                Class::Admin,
                "No device login",
                "Enable the device flow at the issuer, or set issuer.device_authorization_endpoint.",
            ),
            Self::ClientRefused => (
                "E09",
                Class::Admin,
                "Client refused",
                "Check issuer.client_id, secret and scopes against the registration at the issuer.",
            ),
            Self::SignInAgain => (
                "E10",
                Class::SignIn,
                "Sign in again",
                "The issuer ended the sign-in; start a new one at the device or by `signpost sign-in`.",
            ),
            Self::SignInAgainAfterLoss => (
                "E11",
                Class::SignIn,
                "Sign in again",
                "A lost answer cost the sign-in; start a new one at the device or by `signpost sign-in`.",
            ),
            Self::OwnerRefused => (
                "E12",
                Class::SignIn,
                "Wrong account",
                "Sign in with the account that owns this device, or sign it out first.",
            ),
            Self::IdTokenRefused => (
                "E13",
                Class::Admin,
                "Identity refused",
                "The issuer's id_token is for another client or date, or ill-signed; check its registration.",
            ),
            Self::TokensNotSaved => (
                "E14",
                Class::Storage,
                "Storage fault",
                "The sign-in cannot be saved and would not survive a power cut; check flash and disk.",
            ),
            Self::SpoolNotSaved => (
                "E15",
                Class::Storage,
                "Storage full",
                "Telemetry cannot be stored; check disk space, or let the device reach its backend.",
            ),
            Self::StoreSetAside => (
                "E16",
                Class::Storage,
                "Storage replaced",
                "The old store was unreadable and set aside; sign in anew.",
            ),
            Self::BackendUnreachable => (
                "E17",
                Class::Retry,
                "Backend trouble",
                "The telemetry backend does not take data; it is stored and sent later.",
            ),
            Self::BackendUnauthorized => (
                "E18",
                Class::Admin,
                "Backend refuses",
                "The backend refuses even a fresh token; check its issuer, audience and scopes.",
            ),
            Self::BackendForbidden => (
                "E19",
                Class::Admin,
                "Sending refused",
                "The backend forbids this account to send; grant it the right, data is kept.",
            ),
            Self::RecordsRefused => (
                "E20",
                Class::Admin,
                "Records refused",
                "The backend refused records as malformed or too large; they are counted as dropped.",
            ),
            Self::ConfigUnknownKeys => (
                "E21",
                Class::Configuration,
                "Config unknown",
                "Run `signpost config check`: some keys are unknown to this version and are ignored.",
            ),
            Self::PanelFailed => (
                "E22",
                Class::Configuration,
                "Panel fault",
                "Check the panel's wiring, kind and address; `signpost check --panels` tests it.",
            ),
            Self::RevocationPending => (
                "E23",
                Class::Retry,
                "Sign-out pending",
                "The device forgot its user; the issuer is told as soon as it can be reached.",
            ),
            Self::SignInEnds => (
                "E24",
                Class::SignIn,
                "Sign-in ends",
                "The sign-in ends soon; sign in again before, at the device or by `signpost sign-in`.",
            ),
            Self::SignInStronger => (
                "E25",
                Class::SignIn,
                "Sign in again",
                "The backend asks for a stronger or newer sign-in; use the device or `signpost sign-in`.",
            ),
            Self::OwnNameRefused => (
                "E26",
                Class::Admin,
                "Own name refused",
                "Allow client_credentials for this client at the issuer; check its secret and own_scopes.",
            ),
            Self::OnlyTokenRefused => (
                "E27",
                Class::SignIn,
                "Sign in again",
                "The sign-in's only token is refused, and none replaces it: use the device or `signpost sign-in`.",
            ),
        };
        Row { code, class, title, advice }
    }
}

/// The faults that are up, and since when.
#[derive(Clone, Debug, Default)]
pub struct Faults(BTreeMap<Fault, Boot>);

impl Faults {
    /// Raises `fault`; true if it was not up.
    pub fn raise(&mut self, fault: Fault, now: Boot) -> bool {
        let up = self.0.contains_key(&fault);
        self.0.entry(fault).or_insert(now);
        !up
    }

    /// Clears `fault`; true if it was up.
    pub fn clear(&mut self, fault: Fault) -> bool {
        self.0.remove(&fault).is_some()
    }

    /// Whether `fault` is up.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.0.contains_key(&fault)
    }

    /// All that are up, in the order of their codes.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, Boot)> + '_ {
        self.0.iter().map(|(fault, since)| (*fault, *since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn rows_fit_a_panel_and_codes_count_up() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            let row = fault.row();
            assert_eq!(row.code, format!("E{:02}", index + 1));
            assert!(row.title.len() <= 16 && row.title.is_ascii(), "{}", row.title);
            assert!(row.advice.ends_with('.') && row.advice.len() <= 100, "{}", row.advice);
        }
    }

    #[test]
    fn a_fault_keeps_its_first_instant() {
        let at = |s| Boot::new(core::time::Duration::from_secs(s));
        let mut faults = Faults::default();
        assert!(faults.raise(Fault::IssuerUnwell, at(1)));
        assert!(!faults.raise(Fault::IssuerUnwell, at(9)));
        assert_eq!(faults.iter().next(), Some((Fault::IssuerUnwell, at(1))));
        assert!(faults.clear(Fault::IssuerUnwell) && !faults.clear(Fault::IssuerUnwell));
    }
}
