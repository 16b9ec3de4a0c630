//! What vendors' identity providers do differently: addresses, statuses, names of errors, members
//! that are missing or called otherwise, what becomes of used refresh tokens, what a revocation
//! takes along. From their documentation, and from what clients were seen to stumble over.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Asked, Rotation};
use crate::fault::Endpoint;
use crate::reply::Reply;

/// A vendor whose manners the sandbox takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Vendor {
    /// By the letter of the standards.
    #[default]
    Generic,
    /// Microsoft Entra ID.
    Entra,
    /// Google.
    Google,
    /// Auth0.
    Auth0,
    /// Okta.
    Okta,
    /// Keycloak, with "Revoke Refresh Token" on.
    Keycloak,
    /// GitHub, an OAuth App.
    Github,
    /// What somebody has put before Amazon Cognito, which has no device grant.
    Cognito,
}

/// What a revocation takes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// There is no such endpoint.
    Nothing,
    /// The token's own grant.
    Grant,
    /// Every grant of that person to that client.
    Person,
}

/// How a client gets a token in its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InOwnName {
    /// By scope and resource, as far as it names them.
    Standard,
    /// By an API's name and `/.default` as the one scope.
    DefaultScope,
    /// For an audience, which it has to name.
    Audience,
    /// Not at all.
    Never,
}

/// How one access token is exchanged for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// RFC 8693.
    Standard,
    /// RFC 7523 with `requested_token_use`.
    OnBehalfOf,
    /// Not at all.
    Never,
}

impl Vendor {
    /// Each of them.
    pub const ALL: [Self; 8] = [
        Self::Entra,
        Self::Google,
        Self::Auth0,
        Self::Okta,
        Self::Keycloak,
        Self::Github,
        Self::Cognito,
        Self::Generic,
    ];

    /// What `--profile` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Entra => "entra",
            Self::Google => "google",
            Self::Auth0 => "auth0",
            Self::Okta => "okta",
            Self::Keycloak => "keycloak",
            Self::Github => "github",
            Self::Cognito => "cognito",
        }
    }

    /// The vendor of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|vendor| vendor.name() == name)
    }

    /// What becomes of its refresh tokens.
    pub const fn rotation(self) -> Rotation {
        match self {
            Self::Entra => Rotation::Lenient,
            Self::Google | Self::Github | Self::Cognito => Rotation::Never,
            Self::Auth0 | Self::Okta | Self::Keycloak | Self::Generic => Rotation::Strict,
        }
    }

    /// How long its codes are said to live.
    pub const fn code_lifetime(self) -> Duration {
        Duration::from_secs(match self {
            Self::Entra | Self::Auth0 | Self::Github => 900,
            Self::Google => 1_800,
            Self::Okta | Self::Keycloak | Self::Cognito | Self::Generic => 600,
        })
    }

    /// How its addresses end, by what is there.
    pub(crate) const fn paths(self) -> [(Endpoint, &'static str); 3] {
        let [device, token, revocation] = match self {
            Self::Entra => ["/oauth2/v2.0/devicecode", "/oauth2/v2.0/token", ""],
            Self::Google => ["/device/code", "/token", "/revoke"],
            Self::Auth0 => ["/oauth/device/code", "/oauth/token", "/oauth/revoke"],
            Self::Okta => ["/v1/device/authorize", "/v1/token", "/v1/revoke"],
            Self::Keycloak => [
                "/protocol/openid-connect/auth/device",
                "/protocol/openid-connect/token",
                "/protocol/openid-connect/revoke",
            ],
            Self::Github => ["/login/device/code", "/login/oauth/access_token", ""],
            Self::Cognito | Self::Generic => ["/device_authorization", "/token", "/revoke"],
        };
        [
            (Endpoint::DeviceAuthorization, device),
            (Endpoint::TokenPoll, token),
            (Endpoint::Revocation, revocation),
        ]
    }

    /// What is at a path of its server.
    pub(crate) fn endpoint(self, path: &str) -> Option<Endpoint> {
        let mut paths = self.paths().into_iter().filter(|(_, end)| !end.is_empty());
        paths.find(|(_, end)| path.ends_with(end)).map(|(endpoint, _)| endpoint)
    }

    /// Whether the keys of its signatures are at this path; Google has them on another host.
    pub(crate) fn has_keys_at(self, path: &str) -> bool {
        let end = match self {
            Self::Entra => "/discovery/v2.0/keys",
            Self::Google => "/oauth2/v3/certs",
            Self::Generic
            | Self::Auth0
            | Self::Okta
            | Self::Keycloak
            | Self::Github
            | Self::Cognito => "/jwks",
        };
        path.ends_with(end)
    }

    /// Whether it publishes metadata where it is looked for.
    pub(crate) const fn publishes(self) -> bool {
        !matches!(self, Self::Google | Self::Github)
    }

    pub(crate) const fn reach(self) -> Reach {
        match self {
            Self::Entra | Self::Github => Reach::Nothing,
            Self::Google => Reach::Person,
            Self::Auth0 | Self::Okta | Self::Keycloak | Self::Cognito | Self::Generic => {
                Reach::Grant
            }
        }
    }

    pub(crate) const fn exchange(self) -> Exchange {
        match self {
            Self::Entra => Exchange::OnBehalfOf,
            Self::Google | Self::Github | Self::Cognito => Exchange::Never,
            Self::Auth0 | Self::Okta | Self::Keycloak | Self::Generic => Exchange::Standard,
        }
    }

    pub(crate) const fn own_name(self) -> InOwnName {
        match self {
            Self::Entra => InOwnName::DefaultScope,
            Self::Auth0 => InOwnName::Audience,
            Self::Google | Self::Github => InOwnName::Never,
            Self::Okta | Self::Keycloak | Self::Cognito | Self::Generic => InOwnName::Standard,
        }
    }

    /// How long a code that has run out is remembered as such.
    pub(crate) const fn remembers(self, interval: Duration) -> Duration {
        match self {
            Self::Keycloak => interval.saturating_add(Duration::from_secs(10)),
            Self::Generic
            | Self::Entra
            | Self::Google
            | Self::Auth0
            | Self::Okta
            | Self::Github
            | Self::Cognito => Duration::from_secs(60),
        }
    }

    /// `expired_token` is said once, and after that the code is unknown.
    pub(crate) fn says_expired_once(self) -> bool {
        self == Self::Auth0
    }

    /// After the approval the next poll still says that it is pending.
    pub(crate) fn lags(self) -> bool {
        self == Self::Keycloak
    }

    /// A scope that it does not know makes it refuse the request.
    pub(crate) fn refuses_scope(self, scope: &str) -> bool {
        self == Self::Google && scope.split(' ').any(|scope| scope == "offline_access")
    }

    /// A refresh token comes for whoever asks for none as well.
    pub(crate) fn always_offline(self) -> bool {
        matches!(self, Self::Google | Self::Cognito)
    }

    /// There are no refresh tokens.
    pub(crate) fn never_offline(self) -> bool {
        self == Self::Github
    }

    /// A secret is asked for only where tokens are given, and only in the form.
    pub(crate) fn wants_secret_in_form(self) -> bool {
        self == Self::Google
    }

    /// The answer of the device authorization endpoint as it gives it.
    pub(crate) fn code(self, reply: Reply, asked: &Asked) -> Reply {
        let reply = reply.edit(|fields| match self {
            Self::Entra => {
                fields.remove("verification_uri_complete");
                fields.insert("message".into(), "To sign in, use a web browser.".into());
            }
            Self::Google => {
                fields.remove("verification_uri_complete");
                rename(fields, "verification_uri", "verification_url");
            }
            Self::Github | Self::Okta => drop(fields.remove("verification_uri_complete")),
            Self::Cognito => {
                for name in ["interval", "expires_in"] {
                    if let Some(Value::Number(number)) = fields.get(name) {
                        let text = number.to_string();
                        fields.insert(name.into(), text.into());
                    }
                }
            }
            Self::Generic | Self::Auth0 | Self::Keycloak => {}
        });
        self.dress(reply, asked)
    }

    /// The answer of the token endpoint as it gives it; `interval` is what holds now.
    pub(crate) fn token(self, reply: Reply, asked: &Asked, interval: Option<Duration>) -> Reply {
        let reply = match self {
            Self::Entra => entra(reply),
            Self::Google => google(reply),
            Self::Auth0 => auth0(reply),
            Self::Okta => okta(reply),
            Self::Keycloak => keycloak(reply),
            Self::Github => github(reply, interval),
            Self::Cognito => reply.edit(|fields| drop(fields.remove("scope"))),
            Self::Generic => reply,
        };
        self.dress(reply, asked)
    }

    /// GitHub speaks in forms unless it is asked for JSON.
    fn dress(self, reply: Reply, asked: &Asked) -> Reply {
        let json = asked.accept.as_deref().is_some_and(|it| it.contains("application/json"));
        if self == Self::Github && !json { reply.into_form() } else { reply }
    }
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.to_owned(), value);
    }
}

/// `error` and the sandbox's own description of an error reply.
fn told(reply: &Reply) -> Option<(String, String)> {
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    body.get("error").map(|_| (text("error"), text("error_description")))
}

fn with(reply: Reply, status: u16, members: Value) -> Reply {
    let mut reply = reply.edit(|fields| {
        if let Value::Object(members) = members {
            fields.extend(members);
        }
    });
    reply.status = status;
    reply
}

fn entra(reply: Reply) -> Reply {
    let Some((error, why)) = told(&reply) else {
        return reply.edit(|fields| {
            let half = fields.get("expires_in").and_then(Value::as_u64).unwrap_or(0) / 2;
            fields.insert("refresh_in".into(), half.into());
            fields.insert("ext_expires_in".into(), 0.into());
        });
    };
    let (name, code) = match (error.as_str(), why.as_str()) {
        ("authorization_pending", _) => ("authorization_pending", 70_016),
        ("access_denied", _) => ("authorization_declined", 70_018),
        ("expired_token", _) => ("expired_token", 70_020),
        ("invalid_grant", why) if why.contains("device code") => ("bad_verification_code", 70_019),
        ("invalid_grant", why) if why.contains("disabled") => ("invalid_grant", 50_057),
        ("invalid_grant", why) if why.contains("expired") => ("invalid_grant", 700_082),
        ("invalid_grant", _) => ("invalid_grant", 50_173),
        (other, _) => (other, 900_001),
    };
    let status = reply.status;
    let members = json!({
        "error": name, "error_codes": [code], "trace_id": "11111111-trace",
        "correlation_id": "22222222-correlation", "timestamp": "2026-01-01 00:00:00Z",
        "error_description": format!("AADSTS{code}: {why}"),
    });
    with(reply, status, members)
}

fn google(reply: Reply) -> Reply {
    let Some((error, why)) = told(&reply) else {
        return reply.edit(|fields| drop(fields.remove("refresh_token_expires_in")));
    };
    let (status, description) = match (error.as_str(), why.as_str()) {
        ("authorization_pending", _) => (428, "Precondition Required"),
        ("slow_down", _) => (403, "Rate Limit Exceeded"),
        ("access_denied", _) => (403, "Forbidden"),
        ("invalid_grant", why) if why.contains("disabled") => (400, "Account has been disabled."),
        ("invalid_grant", _) => (400, "Token has been expired or revoked."),
        ("invalid_client", _) => (401, "Unauthorized"),
        (_, why) => (reply.status, why),
    };
    let members = json!({ "error_description": description });
    with(reply, status, members)
}

fn auth0(reply: Reply) -> Reply {
    let Some((error, why)) = told(&reply) else { return reply };
    let (status, description) = match (error.as_str(), why.as_str()) {
        ("slow_down", _) => (429, "You are polling faster than the specified interval."),
        ("invalid_grant", why) if why.contains("disabled") => {
            let members =
                json!({ "error": "unauthorized", "error_description": "user is blocked" });
            return with(reply, 403, members);
        }
        ("invalid_grant", why) if !why.contains("device code") => {
            (403, "Unknown or invalid refresh token.")
        }
        ("invalid_client", why) => (401, why),
        (_, why) => (403, why),
    };
    let members = json!({ "error_description": description });
    with(reply, status, members)
}

fn okta(reply: Reply) -> Reply {
    let refresh = told(&reply)
        .filter(|(error, why)| error == "invalid_grant" && !why.contains("device code"));
    if refresh.is_none() {
        return reply;
    }
    let members = json!({ "error_description": "The refresh token is invalid or expired." });
    with(reply, 400, members)
}

fn keycloak(reply: Reply) -> Reply {
    let Some((error, why)) = told(&reply) else {
        return reply.edit(|fields| {
            rename(fields, "refresh_token_expires_in", "refresh_expires_in");
            fields.entry("refresh_expires_in").or_insert(0.into());
            fields.insert("not-before-policy".into(), 0.into());
            fields.insert("session_state".into(), "33333333-session".into());
        });
    };
    let description = match (error.as_str(), why.as_str()) {
        ("invalid_grant", why) if why.contains("device code") => "Device code not valid",
        ("invalid_grant", why) if why.contains("replaced") => {
            "Maximum allowed refresh token reuse exceeded"
        }
        ("invalid_grant", why) if why.contains("disabled") => "User disabled",
        ("invalid_grant", _) => "Offline session not active",
        (_, why) => why,
    };
    let members = json!({ "error_description": description });
    with(reply, 400, members)
}

fn github(reply: Reply, interval: Option<Duration>) -> Reply {
    let Some((error, why)) = told(&reply) else {
        return reply.edit(|fields| {
            for name in ["expires_in", "refresh_token", "refresh_token_expires_in", "id_token"] {
                fields.remove(name);
            }
            fields.insert("token_type".into(), "bearer".into());
            if let Some(Value::String(scope)) = fields.get("scope") {
                let commas = scope.replace(' ', ",");
                fields.insert("scope".into(), commas.into());
            }
        });
    };
    let name = match error.as_str() {
        "invalid_grant" if why.contains("device code") => "incorrect_device_code",
        "invalid_client" => "incorrect_client_credentials",
        other => other,
    };
    let mut members = json!({ "error": name });
    if let (true, Some(interval)) = (error == "slow_down", interval) {
        members["interval"] = interval.as_secs().into();
    }
    with(reply, 200, members)
}
