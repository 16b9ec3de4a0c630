//! What each vendor calls the setting that a refusal is about. `agent/docs/issuers/` says more.

use signpost_core::fault::Fault;
use signpost_core::wire::OAuthError;

/// Where a refusal can come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Code,
    Poll,
    Either,
}

/// Profile, place, errors, advice; the first row that fits counts. An empty profile is anybody's.
const REFUSED: [(&str, At, &[&str], &str); 22] = [
    (
        "entra",
        At::Either,
        &["invalid_client"],
        "Entra: App registrations > the app > Authentication > Allow public client flows: Yes",
    ),
    (
        "entra",
        At::Either,
        &["unauthorized_client"],
        "Entra: this tenant has no such app: check issuer.client_id and issuer.tenant",
    ),
    (
        "entra",
        At::Code,
        &["invalid_scope", "invalid_resource"],
        "Entra: App registrations > the app > API permissions must hold each of issuer.scopes; \
         name them api://APP_ID/NAME",
    ),
    (
        "keycloak",
        At::Code,
        &["invalid_grant", "unauthorized_client"],
        "Keycloak: Clients > the client > Settings > Capability config: switch OAuth 2.0 Device \
         Authorization Grant on",
    ),
    (
        "keycloak",
        At::Either,
        &["invalid_client"],
        "Keycloak: check issuer.client_id; Client authentication is off for a client without \
         secret, else set issuer.client_secret_file",
    ),
    (
        "keycloak",
        At::Code,
        &["invalid_scope"],
        "Keycloak: Clients > the client > Client scopes must hold each of issuer.scopes",
    ),
    (
        "auth0",
        At::Either,
        &["unauthorized_client"],
        "Auth0: Applications > the application > Settings > Advanced > Grant Types: tick Device Code",
    ),
    (
        "auth0",
        At::Code,
        &["access_denied", "invalid_request", "invalid_target"],
        "Auth0: check issuer.client_id; issuer.audience must be the Identifier of an API under \
         Applications > APIs",
    ),
    (
        "auth0",
        At::Either,
        &["invalid_client"],
        "Auth0: check issuer.client_id; the application is Native, its authentication method None",
    ),
    (
        "okta",
        At::Either,
        &["unauthorized_client", "unsupported_grant_type"],
        "Okta: Applications > the app > General > Grant type: tick Device Authorization",
    ),
    (
        "okta",
        At::Either,
        &["access_denied", "invalid_grant"],
        "Okta: Security > API > the server > Access Policies needs a rule for this client that \
         allows Device Authorization",
    ),
    (
        "okta",
        At::Code,
        &["invalid_scope"],
        "Okta: Security > API > the server > Scopes must hold each of issuer.scopes, and its \
         policy must allow them",
    ),
    (
        "google",
        At::Either,
        &["invalid_client", "unauthorized_client"],
        "Google: the client must be of type TVs and Limited Input devices, and \
         issuer.client_secret_file hold its secret",
    ),
    (
        "google",
        At::Code,
        &["invalid_scope"],
        "Google: devices get few scopes, and offline_access is none of them: set issuer.scopes",
    ),
    (
        "github",
        At::Either,
        &["device_flow_disabled", "unauthorized_client"],
        "GitHub: Settings > Developer settings > the app > tick Enable Device Flow",
    ),
    (
        "github",
        At::Either,
        &["Not Found", "invalid_client"],
        "GitHub: there is no app with this id: check issuer.client_id",
    ),
    (
        "",
        At::Poll,
        &["invalid_client"],
        "the client's authentication is wrong: check issuer.auth, and the secret or key it needs",
    ),
    (
        "",
        At::Code,
        &["invalid_client"],
        "the issuer does not know this client: check issuer.client_id, issuer.auth and the secret",
    ),
    (
        "",
        At::Either,
        &["unauthorized_client", "unsupported_grant_type", "device_flow_disabled"],
        "allow the device authorization grant for this client at the issuer",
    ),
    (
        "",
        At::Code,
        &["invalid_scope"],
        "take out of issuer.scopes what the issuer does not offer to this client",
    ),
    ("", At::Either, &["invalid_target"], "issuer.resource must be an API that the issuer knows"),
    (
        "",
        At::Either,
        &["access_denied"],
        "a policy of the issuer forbids this client or the device flow: ask whoever runs it",
    ),
];

/// What to do about `error`; `polling`: it answered a poll, else the request for a code.
pub(super) fn refused(profile: &str, polling: bool, error: &OAuthError) -> &'static str {
    let at = if polling { At::Poll } else { At::Code };
    let row = REFUSED.iter().find(|(whose, place, errors, _)| {
        (*whose == profile || whose.is_empty())
            && (*place == at || *place == At::Either)
            && errors.contains(&error.error.as_str())
    });
    row.map_or(Fault::ClientRefused.row().advice, |(.., advice)| advice)
}

/// The issuer said no before anybody was asked.
pub(super) fn denied(profile: &str) -> &'static str {
    match profile {
        "entra" => {
            "Entra: a Conditional Access policy (Authentication flows) may block device code"
        }
        "okta" => {
            "Okta: Security > API > the server > Access Policies needs a rule for this client that \
             allows Device Authorization"
        }
        _ => "a policy of the issuer forbids this client or the device flow: ask whoever runs it",
    }
}

/// How the vendor's issuers are written.
pub(super) fn address(profile: &str) -> &'static str {
    match profile {
        "entra" => {
            "Entra: leave issuer.url out and set issuer.tenant, or set \
             https://login.microsoftonline.com/TENANT_ID/v2.0"
        }
        "keycloak" => "Keycloak: issuer.url is https://HOST/realms/REALM",
        "auth0" => "Auth0: issuer.url is https://TENANT.REGION.auth0.com, or the custom domain",
        "okta" => {
            "Okta: issuer.url is https://ORG.okta.com/oauth2/default, or without a path for the \
             org's own server"
        }
        "google" | "github" => "leave issuer.url out: the profile knows the addresses",
        "cognito" => {
            "Cognito has no device flow of its own: set device_authorization_endpoint and \
             token_endpoint to what stands before it"
        }
        _ => {
            "issuer.url is the address below which .well-known/openid-configuration lies; without \
             one set device_authorization_endpoint and token_endpoint"
        }
    }
}

/// Where the vendor has the device flow that its discovery document does not name.
pub(super) fn no_device_endpoint(profile: &str) -> Option<&'static str> {
    match profile {
        "keycloak" => Some("Keycloak names one since version 13: update it"),
        "okta" => Some("Okta: Settings > Features may have to allow Device Authorization first"),
        "cognito" => Some(address(profile)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signpost_core::profile::Profile;

    fn advice(profile: &str, polling: bool, error: &str) -> &'static str {
        let error = OAuthError { error: error.into(), ..OAuthError::default() };
        refused(profile, polling, &error)
    }

    #[test]
    fn each_row_is_of_a_profile_that_is_known_and_can_be_reached() {
        for (profile, at, errors, text) in REFUSED {
            assert!(profile.is_empty() || Profile::named(profile).is_some(), "{profile}");
            let profile = if profile.is_empty() { "generic" } else { profile };
            let reached = errors.iter().any(|error| {
                [false, true]
                    .into_iter()
                    .filter(|polling| at == At::Either || (at == At::Poll) == *polling)
                    .any(|polling| advice(profile, polling, error) == text)
            });
            assert!(reached, "{text}");
            assert!(text.len() <= 160, "one line: {text}");
        }
    }

    #[test]
    fn a_wrong_secret_is_told_from_an_unknown_client_and_a_vendor_from_the_others() {
        assert!(advice("generic", true, "invalid_client").contains("authentication is wrong"));
        assert!(advice("generic", false, "invalid_client").contains("does not know"));
        assert!(advice("entra", true, "invalid_client").contains("Allow public client flows"));
        assert!(advice("keycloak", false, "invalid_grant").contains("Device Authorization Grant"));
        assert_eq!(advice("okta", false, "brand_new"), Fault::ClientRefused.row().advice);
    }
}
