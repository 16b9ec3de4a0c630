//! What vendors do differently, as data: one table, and nobody else knows a vendor by name.
//!
//! What every issuer is forgiven (spellings, statuses, missing members) is in [`crate::wire`] and
//! needs no profile. Here is what would be wrong to believe of the others.

use crate::{
    issuer::ExplicitEndpoints,
    wire::{Meaning, OAuthError},
};
use alloc::format;
use core::time::Duration;

/// What a vendor's issuer does that the standards do not say.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// The name in the configuration.
    pub name: &'static str,
    /// Where it is, for every customer alike; the first is meant unless another is named.
    clouds: &'static [Cloud],
    /// Who the customer is where nobody says; empty: the vendor knows no tenants.
    tenant: &'static str,
    /// What is below that address, or below the configured one where its metadata lacks it.
    paths: Option<Paths>,
    /// Whether it publishes metadata under its address (RFC 8414, OpenID Connect Discovery).
    publishes: bool,
    /// Asked for unless the configuration says otherwise.
    pub scopes: &'static [&'static str],
    /// A secret is taken in the form only.
    pub secret_in_form: bool,
    /// For whom a client's assertion is meant.
    pub audience: AssertionAudience,
    /// Codes were seen to die before they should: a new one is asked for after this time.
    pub code_lifetime: Option<Duration>,
    /// What becomes of a refresh token that was used.
    pub used: UsedToken,
    /// What it says beyond `error`, and what that means for a refresh.
    meanings: &'static [(Said, Meaning)],
    /// What a revocation takes along.
    pub revocation: Reach,
    /// How it gives a device a token in its own name.
    pub own_name: InOwnName,
    /// How it gives another token for one.
    pub exchange: Exchange,
}

/// How an access token is exchanged for one for another API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// RFC 8693.
    Standard,
    /// Entra's on-behalf-of: RFC 7523 with `requested_token_use`.
    OnBehalfOf,
    /// Not at all.
    Never,
}

/// How a client gets a token in its own name (RFC 6749 section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InOwnName {
    /// By the scopes, resource and audience that are set.
    Standard,
    /// By one scope, which is the API's address and `/.default`; rights are given there.
    DefaultScope,
    /// For an audience, without which it is refused.
    Audience,
    /// Not at all: why.
    Never(&'static str),
}

/// One of a vendor's clouds; `{tenant}` stands for the customer.
#[derive(Debug, PartialEq, Eq)]
struct Cloud {
    name: &'static str,
    /// Below this address are its endpoints.
    base: &'static str,
    /// The keys of its signatures; empty: it signs nothing for devices.
    keys: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
struct Paths {
    device_authorization: &'static str,
    token: &'static str,
    /// Empty: there is none.
    revocation: &'static str,
}

/// For whom `aud` of a client assertion names (RFC 7523 section 3; RFC 8414 servers take their
/// issuer, older ones the address that was asked).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The issuer's identifier.
    Issuer,
    /// The token endpoint.
    TokenEndpoint,
}

/// What becomes of a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedToken {
    /// It works on, whether another came or not: a lost answer costs nothing, and the one before
    /// the current one is worth a try.
    WorksOn,
    /// Used again, it may end the whole grant (RFC 9700 section 4.14.2).
    MayEndAll,
}

/// What ends with a token that is revoked (RFC 7009 section 2.1 leaves it open).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// There is no such endpoint: an administrator ends sign-ins.
    Nothing,
    /// What this device holds.
    ThisDevice,
    /// What all devices of this user hold with this client.
    AllOfUser,
}

impl Reach {
    /// `grant.revocation` in `status --json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::ThisDevice => "this-device",
            Self::AllOfUser => "all-of-user",
        }
    }
}

/// Something in an error reply that tells more than `error` does.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// `error` itself.
    Error(&'static str),
    /// `suberror` or `error_subtype`.
    Suberror(&'static str),
    /// One of `error_codes`.
    Code(u32),
    /// How the description begins.
    Description(&'static str),
}

/// By the letter of the standards; what is not known is taken at its worst.
const STANDARD: Profile = Profile {
    name: "generic",
    clouds: &[],
    tenant: "",
    paths: None,
    publishes: true,
    scopes: &["openid", "offline_access"],
    secret_in_form: false,
    audience: AssertionAudience::Issuer,
    code_lifetime: None,
    used: UsedToken::MayEndAll,
    meanings: &[],
    revocation: Reach::ThisDevice,
    own_name: InOwnName::Standard,
    exchange: Exchange::Standard,
};

/// Microsoft Entra ID, in all its clouds.
pub static ENTRA: Profile = Profile {
    name: "entra",
    clouds: &[
        Cloud {
            name: "global",
            base: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0",
            keys: "https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys",
        },
        Cloud {
            name: "us-government",
            base: "https://login.microsoftonline.us/{tenant}/oauth2/v2.0",
            keys: "https://login.microsoftonline.us/{tenant}/discovery/v2.0/keys",
        },
        Cloud {
            name: "china",
            base: "https://login.partner.microsoftonline.cn/{tenant}/oauth2/v2.0",
            keys: "https://login.partner.microsoftonline.cn/{tenant}/discovery/v2.0/keys",
        },
    ],
    tenant: "organizations",
    paths: Some(Paths { device_authorization: "/devicecode", token: "/token", revocation: "" }),
    scopes: &["openid", "profile", "offline_access"],
    audience: AssertionAudience::TokenEndpoint,
    // It says 900 s; users saw codes die after about 300.
    code_lifetime: Some(Duration::from_secs(300)),
    used: UsedToken::WorksOn,
    meanings: &[
        // A loop breaker: whoever asks too often is told to stop; the token is good.
        (Said::Code(50_196), Meaning::Later),
        // A policy stands in the way, or the account is disabled: both may change.
        (Said::Code(53_003), Meaning::Suspended),
        (Said::Code(50_057), Meaning::Suspended),
        // Unused for 90 days; ended by a password change; older than the tenant's sign-in frequency.
        (Said::Code(700_082), Meaning::Final),
        (Said::Code(50_173), Meaning::Final),
        (Said::Code(70_043), Meaning::Final),
        (Said::Suberror("bad_token"), Meaning::Final),
        (Said::Suberror("token_expired"), Meaning::Final),
        (Said::Suberror("client_mismatch"), Meaning::Final),
    ],
    revocation: Reach::Nothing,
    own_name: InOwnName::DefaultScope,
    exchange: Exchange::OnBehalfOf,
    ..STANDARD
};

/// Google.
pub static GOOGLE: Profile = Profile {
    name: "google",
    clouds: &[Cloud {
        name: "global",
        base: "https://oauth2.googleapis.com",
        keys: "https://www.googleapis.com/oauth2/v3/certs",
    }],
    paths: Some(Paths {
        device_authorization: "/device/code",
        token: "/token",
        revocation: "/revoke",
    }),
    // It refuses scopes that it does not know, `offline_access` among them.
    scopes: &["openid", "email", "profile"],
    secret_in_form: true,
    used: UsedToken::WorksOn,
    meanings: &[
        (Said::Error("admin_policy_enforced"), Meaning::Suspended),
        (Said::Error("org_internal"), Meaning::Suspended),
        (Said::Description("Token has been expired or revoked"), Meaning::Final),
    ],
    revocation: Reach::AllOfUser,
    own_name: InOwnName::Never("Google knows no client_credentials"),
    exchange: Exchange::Never,
    ..STANDARD
};

/// Auth0.
pub static AUTH0: Profile = Profile {
    name: "auth0",
    paths: Some(Paths {
        device_authorization: "/oauth/device/code",
        token: "/oauth/token",
        revocation: "/oauth/revoke",
    }),
    scopes: &["openid", "profile", "offline_access"],
    meanings: &[
        // So it says of a token that was replayed, and of all that came of the same sign-in.
        (Said::Description("Unknown or invalid refresh token"), Meaning::Final),
        (Said::Error("unauthorized"), Meaning::Suspended),
    ],
    own_name: InOwnName::Audience,
    ..STANDARD
};

/// Okta.
pub static OKTA: Profile = Profile {
    name: "okta",
    paths: Some(Paths {
        device_authorization: "/v1/device/authorize",
        token: "/v1/token",
        revocation: "/v1/revoke",
    }),
    scopes: &["openid", "profile", "offline_access"],
    audience: AssertionAudience::TokenEndpoint,
    ..STANDARD
};

/// Keycloak.
pub static KEYCLOAK: Profile = Profile {
    name: "keycloak",
    paths: Some(Paths {
        device_authorization: "/protocol/openid-connect/auth/device",
        token: "/protocol/openid-connect/token",
        revocation: "/protocol/openid-connect/revoke",
    }),
    meanings: &[
        (Said::Description("Maximum allowed refresh token reuse exceeded"), Meaning::Final),
        (Said::Description("Stale token"), Meaning::Final),
        (Said::Description("Session not active"), Meaning::Final),
        (Said::Description("Offline session not active"), Meaning::Final),
        (Said::Description("Offline user session not found"), Meaning::Final),
    ],
    ..STANDARD
};

/// GitHub, and GitHub Enterprise Server under an address of its own.
pub static GITHUB: Profile = Profile {
    name: "github",
    clouds: &[Cloud { name: "global", base: "https://github.com", keys: "" }],
    paths: Some(Paths {
        device_authorization: "/login/device/code",
        token: "/login/oauth/access_token",
        revocation: "",
    }),
    publishes: false,
    scopes: &[],
    secret_in_form: true,
    revocation: Reach::Nothing,
    own_name: InOwnName::Never("GitHub gives OAuth Apps no tokens of their own"),
    exchange: Exchange::Never,
    ..STANDARD
};

/// Amazon Cognito: it has no device grant; somebody puts one before it, with endpoints to set.
pub static COGNITO: Profile = Profile {
    name: "cognito",
    scopes: &["openid"],
    exchange: Exchange::Never,
    meanings: &[
        (Said::Description("Refresh Token has been revoked"), Meaning::Final),
        (Said::Description("Refresh Token has expired"), Meaning::Final),
    ],
    ..STANDARD
};

/// Any other server.
pub static GENERIC: Profile = STANDARD;

/// Every profile, in the order of the documentation.
pub static ALL: [&Profile; 8] =
    [&ENTRA, &GOOGLE, &AUTH0, &OKTA, &KEYCLOAK, &GITHUB, &COGNITO, &GENERIC];

impl Profile {
    /// The profile of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|profile| profile.name == name)
    }

    /// The names of its clouds; more than one where customers choose.
    pub fn clouds(&self) -> impl Iterator<Item = &'static str> {
        self.clouds.iter().map(|cloud| cloud.name)
    }

    /// Its endpoints where it has the same ones for every customer; none for other vendors, and
    /// for a cloud that it does not have.
    #[must_use]
    pub fn endpoints(&self, cloud: Option<&str>, tenant: Option<&str>) -> ExplicitEndpoints {
        let wanted = |name: &str| cloud.is_none_or(|cloud| cloud == name);
        let of_tenant = |url: &str| url.replace("{tenant}", tenant.unwrap_or(self.tenant));
        let cloud = self.clouds.iter().find(|cloud| wanted(cloud.name));
        cloud.map_or_else(ExplicitEndpoints::default, |cloud| ExplicitEndpoints {
            jwks: Some(of_tenant(cloud.keys)).filter(|keys| !keys.is_empty()),
            ..self.at(&of_tenant(cloud.base))
        })
    }

    /// The endpoints that it has below a customer's own address, for what metadata does not say.
    #[must_use]
    pub fn below(&self, url: &str) -> ExplicitEndpoints {
        // Where there are tenants, metadata and endpoints lie beside each other.
        if self.tenant.is_empty() { self.at(url) } else { ExplicitEndpoints::default() }
    }

    fn at(&self, base: &str) -> ExplicitEndpoints {
        let base = base.trim_end_matches('/');
        let at = |path: &str| (!path.is_empty()).then(|| format!("{base}{path}"));
        self.paths.as_ref().map_or_else(ExplicitEndpoints::default, |paths| ExplicitEndpoints {
            device_authorization: at(paths.device_authorization),
            token: at(paths.token),
            revocation: at(paths.revocation),
            jwks: None,
        })
    }

    /// Whether there is metadata to be had at a customer's own address.
    #[must_use]
    pub const fn publishes(&self) -> bool {
        self.publishes
    }

    /// What `error` means for a refresh, where this vendor means something of its own by it.
    pub(crate) fn meaning(&self, error: &OAuthError, description: &str) -> Option<Meaning> {
        let is = |said: &Said| match said {
            Said::Error(name) => error.is(name),
            Said::Suberror(name) => error.suberror.as_deref() == Some(*name),
            Said::Code(code) => error.codes.contains(code),
            Said::Description(begin) => description.starts_with(begin),
        };
        self.meanings.iter().find(|(said, _)| is(said)).map(|(_, meaning)| *meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_found_by_its_name() {
        for profile in ALL {
            assert_eq!(Profile::named(profile.name), Some(profile));
        }
        assert_eq!(Profile::named("entraid"), None);
    }

    #[test]
    fn clouds_and_tenants_are_addresses() {
        let token = |cloud, tenant| ENTRA.endpoints(cloud, tenant).token;
        assert_eq!(
            token(None, None).as_deref(),
            Some("https://login.microsoftonline.com/organizations/oauth2/v2.0/token")
        );
        assert_eq!(
            token(Some("us-government"), Some("acme.example")).as_deref(),
            Some("https://login.microsoftonline.us/acme.example/oauth2/v2.0/token")
        );
        assert_eq!(token(Some("moon"), None), None);
        assert_eq!(ENTRA.endpoints(None, None).revocation, None);
        assert_eq!(AUTH0.endpoints(None, None), ExplicitEndpoints::default());
    }

    #[test]
    fn what_metadata_does_not_say_is_below_the_customers_address() {
        let device = |profile: &Profile, url: &str| profile.below(url).device_authorization;
        assert_eq!(
            device(&AUTH0, "https://acme.eu.auth0.com/").as_deref(),
            Some("https://acme.eu.auth0.com/oauth/device/code")
        );
        assert_eq!(
            device(&KEYCLOAK, "https://id.example/realms/acme").as_deref(),
            Some("https://id.example/realms/acme/protocol/openid-connect/auth/device")
        );
        assert_eq!(device(&GENERIC, "https://id.example"), None);
        assert_eq!(device(&ENTRA, "https://login.microsoftonline.us/x/v2.0"), None);
    }
}
