//! `[issuer]`: who signs people in, and how this device shows itself there.

use signpost_core::secret::Secret;
use std::borrow::Cow;

use super::reading::{Scalar, choice, quoted, section, words};
use super::resolve::Resolve;
use super::value::{AbsPath, BaseUrl, HttpUrl, Text, text};

choice! {
    /// A vendor whose addresses and quirks are known.
    pub enum Profile {
        /// Microsoft Entra ID.
        Entra = "entra",
        /// Google.
        Google = "google",
        /// Auth0; needs `url`.
        Auth0 = "auth0",
        /// Okta; needs `url`.
        Okta = "okta",
        /// Keycloak; needs `url`.
        Keycloak = "keycloak",
        /// GitHub.
        Github = "github",
        /// Amazon Cognito; needs explicit endpoints.
        Cognito = "cognito",
        /// Any other server, by the letter of the standards.
        Generic = "generic",
    }
}

impl Profile {
    /// The vendor's endpoints, where they are the same for every customer.
    fn endpoints(self, tenant: Option<&Tenant>) -> Endpoints {
        let [device, token, revocation] = match self {
            Self::Entra => {
                let tenant = tenant.map_or("organizations", Tenant::as_str);
                let base = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0");
                [format!("{base}/devicecode"), format!("{base}/token"), String::new()]
            }
            Self::Google => [
                "https://oauth2.googleapis.com/device/code".to_owned(),
                "https://oauth2.googleapis.com/token".to_owned(),
                "https://oauth2.googleapis.com/revoke".to_owned(),
            ],
            Self::Github => [
                "https://github.com/login/device/code".to_owned(),
                "https://github.com/login/oauth/access_token".to_owned(),
                String::new(),
            ],
            Self::Auth0 | Self::Okta | Self::Keycloak | Self::Cognito | Self::Generic => {
                return Endpoints::default();
            }
        };
        Endpoints {
            device_authorization: HttpUrl::parse(&device).ok(),
            token: HttpUrl::parse(&token).ok(),
            revocation: HttpUrl::parse(&revocation).ok(),
            jwks: self.keys(tenant).and_then(|url| HttpUrl::parse(&url).ok()),
        }
    }
}

impl Profile {
    /// Where the vendor keeps the keys of its signatures.
    fn keys(self, tenant: Option<&Tenant>) -> Option<String> {
        match self {
            Self::Entra => {
                let tenant = tenant.map_or("organizations", Tenant::as_str);
                Some(format!("https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys"))
            }
            Self::Google => Some("https://www.googleapis.com/oauth2/v3/certs".to_owned()),
            // It gives no id_token to devices.
            Self::Github => None,
            Self::Auth0 | Self::Okta | Self::Keycloak | Self::Cognito | Self::Generic => None,
        }
    }
}

choice! {
    /// How the client authenticates, as written.
    pub enum AuthMethod {
        /// A public client.
        None = "none",
        /// `client_secret_basic`.
        SecretBasic = "secret-basic",
        /// `client_secret_post`.
        SecretPost = "secret-post",
        /// RFC 7523.
        PrivateKeyJwt = "private-key-jwt",
        /// RFC 8705.
        Mtls = "mtls",
    }
}

impl AuthMethod {
    /// The methods that this program knows how to use.
    pub const BUILT_IN: &[Self] = &[Self::None, Self::SecretBasic, Self::SecretPost];
}

/// Whether this program can bind tokens to a key of the device.
const DPOP_BUILT_IN: bool = false;

text! {
    /// `client_id` (RFC 6749, appendix A.1).
    pub struct ClientId;
    "a client id in quotes (1 to 255 printable ASCII characters)";
    |text| (1..=255).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

text! {
    /// One scope token (RFC 6749, section 3.3).
    pub struct Scope;
    "a scope (1 to 255 printable ASCII characters without blank, \" and \\)";
    |text| (1..=255).contains(&text.len())
        && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

text! {
    /// A resource indicator: an absolute URI without fragment (RFC 8707, section 2).
    pub struct Resource;
    "an absolute URI without # (\"https://api.example.com\")";
    |text| text.len() <= 2048
        && !text.contains(|c: char| c == '#' || c.is_whitespace() || c.is_control())
        && url::Url::parse(text).is_ok()
}

text! {
    /// A tenant's id or domain at Entra.
    pub struct Tenant;
    "a tenant's id or domain (1 to 128 of letters, digits, . and -)";
    |text| (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b))
}

text! {
    /// The name of a further request parameter, none of those that the agent sends itself.
    pub struct Parameter;
    "1 to 64 of letters, digits, _, - and ., and none that the agent sends itself";
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        && !OWN_PARAMETERS.contains(&text)
}

const OWN_PARAMETERS: [&str; 13] = [
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "grant_type",
    "device_code",
    "refresh_token",
    "scope",
    "resource",
    "audience",
    "assertion",
    "subject_token",
    "token",
];

/// A file that holds a secret. Naming it is harmless; its contents are read by
/// [`Loaded::issuer`](super::Loaded::issuer) when the agent starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile(pub(super) AbsPath);

impl SecretFile {
    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        self.0.as_path()
    }
}

impl Scalar for SecretFile {
    const GUARDED: bool = true;

    fn allowed() -> Cow<'static, str> {
        AbsPath::allowed()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        AbsPath::parse(text).map(Self)
    }

    fn text(&self) -> String {
        self.0.text()
    }
}

section! {
    /// `[issuer]` as written.
    pub(super) struct IssuerKeys {
        url: Option<BaseUrl>,
        profile: Option<Profile>,
        device_authorization_endpoint: Option<HttpUrl>,
        token_endpoint: Option<HttpUrl>,
        revocation_endpoint: Option<HttpUrl>,
        jwks_uri: Option<HttpUrl>,
        client_id: Option<ClientId>,
        scopes: Vec<Scope> = default_scopes(),
        resource: Option<Resource>,
        audience: Option<Text>,
        tenant: Option<Tenant>,
        auth: Option<AuthMethod>,
        client_secret_file: Option<SecretFile>,
        private_key_file: Option<SecretFile>,
        certificate_file: Option<AbsPath>,
        dpop: bool,
        extra: Vec<(Parameter, Secret)>,
    }
}

fn default_scopes() -> Vec<Scope> {
    ["openid", "offline_access"].iter().filter_map(|scope| Scope::parse(scope).ok()).collect()
}

/// Endpoints that need no discovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// RFC 8628, section 3.1.
    pub device_authorization: Option<HttpUrl>,
    /// RFC 6749, section 3.2.
    pub token: Option<HttpUrl>,
    /// RFC 7009.
    pub revocation: Option<HttpUrl>,
    /// The keys of the issuer's signatures (RFC 7517).
    pub jwks: Option<HttpUrl>,
}

/// How the client authenticates at the token endpoint, with all that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// A public client.
    None,
    /// HTTP Basic with the secret in this file.
    SecretBasic(SecretFile),
    /// The secret in this file goes into the form.
    SecretPost(SecretFile),
    /// A signed assertion (RFC 7523); some issuers want the certificate's thumbprint in it.
    PrivateKeyJwt {
        /// PEM.
        key: SecretFile,
        /// PEM.
        certificate: Option<AbsPath>,
    },
    /// A client certificate (RFC 8705).
    Mtls {
        /// PEM.
        key: SecretFile,
        /// PEM.
        certificate: AbsPath,
    },
}

/// `[issuer]`, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// Its address, for discovery (RFC 8414, OpenID Connect Discovery); without one, both
    /// endpoints that a sign-in needs are in `endpoints`.
    pub url: Option<BaseUrl>,
    /// The vendor's quirks; `Generic` unless said otherwise.
    pub profile: Profile,
    /// Endpoints set by hand or known of the vendor; each wins over what discovery says.
    pub endpoints: Endpoints,
    /// Who this device is to the issuer.
    pub client_id: ClientId,
    /// What is asked for at sign-in.
    pub scopes: Vec<Scope>,
    /// Which API the token is for (RFC 8707).
    pub resource: Option<Resource>,
    /// The same in Auth0's words.
    pub audience: Option<Text>,
    /// Entra's tenant.
    pub tenant: Option<Tenant>,
    /// How the client authenticates.
    pub auth: ClientAuth,
    /// Whether tokens are bound to a key of this device (RFC 9449).
    pub dpop: bool,
    /// Further parameters of the device authorization request.
    pub extra: Vec<(Parameter, Secret)>,
}

impl IssuerKeys {
    /// The complete section, or problems.
    pub(super) fn resolve(self, at: &mut Resolve<'_>) -> Option<Issuer> {
        let profile = self.profile.unwrap_or(Profile::Generic);
        let auth = self.auth(profile, at);
        if self.dpop && !DPOP_BUILT_IN {
            at.wrong::<()>("issuer.dpop", "found true: not in this build; remove it");
        }
        // With an address of its own, the vendor's usual one is not meant (national clouds).
        let known = match self.url {
            Some(_) => Endpoints::default(),
            None => profile.endpoints(self.tenant.as_ref()),
        };
        let endpoints = Endpoints {
            device_authorization: self.device_authorization_endpoint.or(known.device_authorization),
            token: self.token_endpoint.or(known.token),
            revocation: self.revocation_endpoint.or(known.revocation),
            jwks: self.jwks_uri.or(known.jwks),
        };
        let complete = endpoints.device_authorization.is_some() && endpoints.token.is_some();
        if self.url.is_none() && !complete {
            at.missing::<()>(
                "issuer.url",
                "set it, or issuer.profile = \"entra\" | \"google\" | \"github\", or both \
                 device_authorization_endpoint and token_endpoint",
            );
        }
        let client_id = self.client_id.or_else(|| {
            at.missing(
                "issuer.client_id",
                "set it to the id under which the issuer knows this device",
            )
        });
        Some(Issuer {
            url: self.url,
            profile,
            endpoints,
            client_id: client_id?,
            scopes: self.scopes,
            resource: self.resource,
            audience: self.audience,
            tenant: self.tenant,
            auth: auth?,
            dpop: self.dpop,
            extra: self.extra,
        })
    }

    fn auth(&self, profile: Profile, at: &mut Resolve<'_>) -> Option<ClientAuth> {
        let implied = match (&self.client_secret_file, &self.private_key_file) {
            // Google takes the secret in the form only.
            (Some(_), _) if profile == Profile::Google => AuthMethod::SecretPost,
            (Some(_), _) => AuthMethod::SecretBasic,
            (None, Some(_)) => AuthMethod::PrivateKeyJwt,
            (None, None) => AuthMethod::None,
        };
        let method = self.auth.unwrap_or(implied);
        if !AuthMethod::BUILT_IN.contains(&method) {
            let text = format!(
                "found {}: not in this build; built in: {}",
                quoted(method.word()),
                words(AuthMethod::BUILT_IN.iter().map(|method| method.word()))
            );
            at.wrong::<()>("issuer.auth", &text);
        }
        let mut needed = |key: &str, value: &Option<SecretFile>| {
            let advice = format!("issuer.auth = {} needs it", quoted(method.word()));
            value.clone().or_else(|| at.missing(&format!("issuer.{key}"), &advice))
        };
        match method {
            AuthMethod::None => Some(ClientAuth::None),
            AuthMethod::SecretBasic => {
                needed("client_secret_file", &self.client_secret_file).map(ClientAuth::SecretBasic)
            }
            AuthMethod::SecretPost => {
                needed("client_secret_file", &self.client_secret_file).map(ClientAuth::SecretPost)
            }
            AuthMethod::PrivateKeyJwt => Some(ClientAuth::PrivateKeyJwt {
                key: needed("private_key_file", &self.private_key_file)?,
                certificate: self.certificate_file.clone(),
            }),
            AuthMethod::Mtls => {
                let key = needed("private_key_file", &self.private_key_file);
                let certificate =
                    needed("certificate_file", &self.certificate_file.clone().map(SecretFile));
                Some(ClientAuth::Mtls { key: key?, certificate: certificate?.0 })
            }
        }
    }
}
