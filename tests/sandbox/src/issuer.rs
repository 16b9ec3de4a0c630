//! The identity provider as a state machine: requests and instants in, replies out. It knows no
//! sockets and no faults.

pub(crate) mod device;
pub(crate) mod exchange;
pub(crate) mod keys;
pub(crate) mod own_name;
pub(crate) mod routes;
pub(crate) mod token;
pub(crate) mod vendor;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::Now;
use crate::reply::Reply;
use device::Flow;
use keys::{Digest, Keys};
use token::Grant;
use vendor::{Reach, Vendor};

use crate::fault::Endpoint;
use crate::sandbox::Options;

/// A person who can approve sign-ins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// `sub` in every token; what the API calls the account.
    pub subject: String,
    /// Full name.
    pub name: String,
    /// Address, shown on the sign-in page.
    pub email: String,
    /// Organisation, as claim `tenant`.
    pub tenant: String,
}

/// An application that may ask for sign-ins.
#[derive(Clone)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// What the sign-in page calls it.
    pub name: String,
    /// `None` for a public client; else it authenticates by Basic or in the body.
    pub secret: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What becomes of a refresh token once it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// It stays, and no other is given (Google).
    Never,
    /// A new one comes; the old one works on (Entra).
    Lenient,
    /// A new one comes; the old one, used again, ends the whole grant (RFC 9700 section 4.14.2).
    #[default]
    Strict,
}

/// What the identity provider goes by.
pub(crate) struct Settings {
    pub(crate) vendor: Vendor,
    pub(crate) issuer: String,
    pub(crate) telemetry: String,
    pub(crate) resources: Vec<String>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) clients: Vec<Client>,
    pub(crate) interval: Option<Duration>,
    pub(crate) code_lifetime: Duration,
    pub(crate) access_lifetime: Duration,
    pub(crate) refresh_lifetime: Option<Duration>,
    pub(crate) rotation: Rotation,
}

impl Settings {
    pub(crate) fn new(options: Options, issuer: String, telemetry: String) -> Self {
        Self {
            vendor: options.vendor,
            issuer,
            telemetry,
            resources: options.resources,
            accounts: options.accounts,
            clients: options.clients,
            interval: options.interval,
            code_lifetime: options.code_lifetime,
            access_lifetime: options.access_lifetime,
            refresh_lifetime: options.refresh_lifetime,
            rotation: options.rotation,
        }
    }
}

/// Scopes that are granted when asked for; others vanish silently, as on most servers.
const SCOPES: [&str; 5] = ["openid", "profile", "email", "offline_access", "telemetry.write"];

pub(crate) struct Issuer {
    settings: Settings,
    keys: Keys,
    flows: HashMap<Digest, Flow>,
    wrong_codes: Vec<Duration>,
    grants: HashMap<u64, Grant>,
    next_grant: u64,
    refresh_tokens: HashMap<Digest, RefreshToken>,
    revoked_access: HashSet<String>,
    disabled: HashSet<String>,
    forbids_own_name: bool,
}

/// Which grant a refresh token stands for, and whether it has been replaced.
struct RefreshToken {
    grant: u64,
    replaced: bool,
}

impl Issuer {
    pub(crate) fn new(settings: Settings) -> std::io::Result<Self> {
        Ok(Self {
            settings,
            keys: Keys::generate()?,
            flows: HashMap::new(),
            wrong_codes: Vec::new(),
            grants: HashMap::new(),
            next_grant: 1,
            refresh_tokens: HashMap::new(),
            revoked_access: HashSet::new(),
            disabled: HashSet::new(),
            forbids_own_name: false,
        })
    }

    /// Provider metadata (RFC 8414 section 3.2, OpenID Connect Discovery section 4.2).
    pub(crate) fn metadata(&self) -> Reply {
        let at = |path: &str| format!("{}{path}", self.settings.issuer);
        let vendor = self.settings.vendor;
        if !vendor.publishes() {
            return Reply::empty(404);
        }
        let [device, token, revocation] = vendor.paths();
        let reply = Reply::json(
            200,
            &json!({
                "issuer": self.settings.issuer,
                "device_authorization_endpoint": at(device.1),
                "token_endpoint": at(token.1),
                "revocation_endpoint": at(revocation.1),
                "userinfo_endpoint": at("/userinfo"),
                "jwks_uri": at("/jwks"),
                "scopes_supported": SCOPES,
                "response_types_supported": [],
                "grant_types_supported": [device::GRANT_TYPE, "refresh_token", "client_credentials"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "token_endpoint_auth_methods_supported":
                    ["none", "client_secret_basic", "client_secret_post"],
                "revocation_endpoint_auth_methods_supported":
                    ["none", "client_secret_basic", "client_secret_post"],
            }),
        );
        reply.edit(|fields| {
            if vendor.reach() == Reach::Nothing {
                fields.remove("revocation_endpoint");
            }
            // Cognito has none; who puts a device grant before it tells devices where.
            if vendor == Vendor::Cognito {
                fields.remove("device_authorization_endpoint");
            }
        })
    }

    pub(crate) fn telemetry(&self) -> &str {
        &self.settings.telemetry
    }

    pub(crate) fn vendor(&self) -> Vendor {
        self.settings.vendor
    }

    pub(crate) fn jwks(&self) -> Reply {
        Reply::json(200, &self.keys.jwks())
    }

    pub(crate) fn rotate_keys(&mut self) -> std::io::Result<()> {
        self.keys.rotate()
    }

    pub(crate) fn accounts(&self) -> &[Account] {
        &self.settings.accounts
    }

    pub(crate) fn account(&self, subject: &str) -> Option<&Account> {
        self.settings.accounts.iter().find(|account| account.subject == subject)
    }

    /// A disabled account can approve nothing, and its refresh tokens are refused until it is
    /// enabled again.
    pub(crate) fn set_enabled(&mut self, subject: &str, enabled: bool) -> bool {
        if enabled {
            self.disabled.remove(subject);
        } else {
            self.disabled.insert(subject.to_owned());
        }
        self.account(subject).is_some()
    }

    /// The client that a request comes from (RFC 6749 section 2.3).
    fn client(&self, asked: &Asked, endpoint: Endpoint) -> Result<&Client, Reply> {
        let refused = |why| Err(Reply::error(401, "invalid_client", why));
        let basic = match &asked.authorization {
            Some(header) => match basic_credentials(header) {
                Some(credentials) => Some(credentials),
                None => return refused("credentials that cannot be read"),
            },
            None => None,
        };
        let (id, secret) = match (&basic, asked.get("client_id")) {
            (Some((id, _)), Some(other)) if id != other => {
                return refused("two different clients in one request");
            }
            (Some((id, secret)), _) => (id.as_str(), Some(secret.as_str())),
            (None, Some(id)) => (id, asked.get("client_secret")),
            (None, None) => return refused("client_id is missing"),
        };
        let Some(client) = self.settings.clients.iter().find(|client| client.id == id) else {
            return refused("unknown client");
        };
        let vendor = self.settings.vendor;
        if vendor.wants_secret_in_form() {
            if basic.is_some() {
                return refused("a secret goes into the form");
            }
            if endpoint == Endpoint::DeviceAuthorization || endpoint == Endpoint::Revocation {
                return Ok(client);
            }
        }
        match (&client.secret, secret) {
            (None, None | Some("")) => Ok(client),
            (Some(right), Some(given)) if Digest::of(right) == Digest::of(given) => Ok(client),
            _ => refused("wrong or missing client secret"),
        }
    }

    /// The part of the asked scopes that is granted.
    fn granted_scope(asked: Option<&str>) -> String {
        let known = asked.unwrap_or("openid").split(' ').filter(|scope| SCOPES.contains(scope));
        known.collect::<Vec<_>>().join(" ")
    }

    /// The audience of an access token (RFC 8707).
    fn audience(&self, resource: Option<&str>) -> Result<String, Reply> {
        let Some(resource) = resource else { return Ok(self.settings.telemetry.clone()) };
        let known = resource == self.settings.telemetry
            || self.settings.resources.iter().any(|known| known == resource);
        if known {
            Ok(resource.to_owned())
        } else {
            Err(Reply::error(400, "invalid_target", "this resource is not known here"))
        }
    }
}

/// A form as it arrived, with the credentials beside it.
#[derive(Default)]
pub(crate) struct Asked {
    fields: HashMap<String, String>,
    pub(crate) authorization: Option<String>,
    /// What form of answer is asked for.
    pub(crate) accept: Option<String>,
    /// Whether a parameter came twice, which RFC 6749 forbids.
    pub(crate) repeated: bool,
}

impl Asked {
    /// Reads a form; parameters without a value count as left out (RFC 6749 section 3.1).
    pub(crate) fn read(body: &[u8], authorization: Option<String>) -> Self {
        let mut asked = Self { authorization, ..Self::default() };
        for (name, value) in form_urlencoded::parse(body) {
            if value.is_empty() {
                continue;
            }
            let before = asked.fields.insert(name.into_owned(), value.into_owned());
            asked.repeated |= before.is_some();
        }
        asked
    }

    pub(crate) fn accepting(self, accept: Option<String>) -> Self {
        Self { accept, ..self }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

/// Name and secret of a Basic header; both are form-encoded inside (RFC 6749 section 2.3.1).
fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let plain = |text: &str| {
        let form = format!("v={text}");
        form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((plain(id)?, plain(secret)?))
}

/// Why an access token is refused (RFC 6750 section 3.1).
pub(crate) enum Refused {
    /// No token at all.
    Missing,
    /// `invalid_token`, with a reason for people.
    Invalid(&'static str),
    /// `invalid_token`: it is meant for another server.
    WrongAudience,
    /// `insufficient_scope`.
    Scope(String),
}

impl Issuer {
    /// Checks an access token as a resource server does (RFC 9068 section 4); gives its subject.
    pub(crate) fn check_access(
        &self,
        token: Option<&str>,
        audience: Option<&str>,
        scope: Option<&str>,
        now: Now,
    ) -> Result<String, Refused> {
        let token = token.ok_or(Refused::Missing)?;
        let claims = self.keys.verify("at+jwt", token).ok_or(Refused::Invalid("not our token"))?;
        let text = |name: &str| claims[name].as_str().unwrap_or_default();
        if text("iss") != self.settings.issuer {
            return Err(Refused::Invalid("another issuer"));
        }
        if audience.is_some_and(|audience| text("aud") != audience) {
            return Err(Refused::WrongAudience);
        }
        if claims["exp"].as_u64().is_none_or(|exp| exp <= now.unix) {
            return Err(Refused::Invalid("expired"));
        }
        if !self.is_live(&claims) {
            return Err(Refused::Invalid("revoked"));
        }
        if let Some(scope) = scope
            && !text("scope").split(' ').any(|given| given == scope)
        {
            return Err(Refused::Scope(scope.to_owned()));
        }
        Ok(text("sub").to_owned())
    }

    fn is_live(&self, claims: &Value) -> bool {
        let jti = claims["jti"].as_str().unwrap_or_default();
        if jti.starts_with(own_name::MARK) {
            return !self.revoked_access.contains(jti);
        }
        let mut parts = jti.split('.');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
        let (Some(grant), Some(serial)) = (number(), number()) else { return false };
        !self.revoked_access.contains(jti)
            && self.grants.get(&grant).is_some_and(|grant| grant.honours(serial))
    }
}
