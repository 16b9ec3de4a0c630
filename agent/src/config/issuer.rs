//! `[issuer]`: who signs people in, and how this device shows itself there.

use signpost_core::{
    issuer::{ExplicitEndpoints, OwnName},
    profile::{self, InOwnName},
    secret::Secret,
};
use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    time::Duration,
};

use super::reading::{Scalar, choice, quoted, section, words};
use super::resolve::Resolve;
use super::storage::CredentialName;
use super::value::{AbsPath, BaseUrl, HttpUrl, Span, Text, text};

/// A vendor whose addresses and quirks are known (`signpost_core::profile` has the table).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile(&'static profile::Profile);

impl Profile {
    /// What is known.
    pub fn get(self) -> &'static profile::Profile {
        self.0
    }
}

impl Scalar for Profile {
    fn allowed() -> Cow<'static, str> {
        profile::ALL.map(|profile| quoted(profile.name)).join(" | ").into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        profile::Profile::named(text).map(Self).ok_or("")
    }

    fn text(&self) -> String {
        self.0.name.to_owned()
    }
}

text! {
    /// A vendor's cloud.
    pub struct Cloud;
    "a cloud of the vendor, such as \"us-government\"";
    |text| profile::ALL.iter().any(|profile| profile.clouds().any(|cloud| cloud == text))
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

/// A file that holds a secret, or a systemd credential. Naming it is harmless; its contents are
/// read by [`Loaded::issuer`](super::Loaded::issuer) when the agent starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile(SecretPlace);

#[derive(Clone, Debug, PartialEq, Eq)]
enum SecretPlace {
    File(AbsPath),
    Credential(CredentialName),
}

impl SecretFile {
    /// Where it is, with systemd's credentials in the folder `credentials`; `None` where it is one
    /// and systemd passes none.
    pub fn path(&self, credentials: Option<&Path>) -> Option<PathBuf> {
        match &self.0 {
            SecretPlace::File(path) => Some(path.as_path().to_owned()),
            SecretPlace::Credential(name) => Some(credentials?.join(name.as_str())),
        }
    }

    /// The credential's name, if it is one.
    pub(super) fn credential(&self) -> Option<&CredentialName> {
        match &self.0 {
            SecretPlace::File(_) => None,
            SecretPlace::Credential(name) => Some(name),
        }
    }
}

impl Scalar for SecretFile {
    const GUARDED: bool = true;

    fn allowed() -> Cow<'static, str> {
        format!("{}, or \"credential:NAME\"", AbsPath::allowed()).into()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix("credential:") {
            Some(name) => CredentialName::parse(name).map(SecretPlace::Credential),
            None => AbsPath::parse(text).map(SecretPlace::File),
        }
        .map(Self)
    }

    fn text(&self) -> String {
        match &self.0 {
            SecretPlace::File(path) => path.text(),
            SecretPlace::Credential(name) => format!("credential:{name}"),
        }
    }
}

section! {
    /// `[issuer]` as written.
    pub(super) struct IssuerKeys {
        url: Option<BaseUrl>,
        profile: Option<Profile>,
        cloud: Option<Cloud>,
        device_authorization_endpoint: Option<HttpUrl>,
        token_endpoint: Option<HttpUrl>,
        revocation_endpoint: Option<HttpUrl>,
        jwks_uri: Option<HttpUrl>,
        client_id: Option<ClientId>,
        scopes: Option<Vec<Scope>>,
        resource: Option<Resource>,
        audience: Option<Text>,
        tenant: Option<Tenant>,
        auth: Option<AuthMethod>,
        client_secret_file: Option<SecretFile>,
        private_key_file: Option<SecretFile>,
        key_id: Option<Text>,
        certificate_file: Option<SecretFile>,
        dpop: bool,
        code_lifetime: Option<Span>,
        extra: Vec<(Parameter, Secret)>,
        own_name: bool,
        own_scopes: Vec<Scope>,
        own_resource: Option<Resource>,
        own_audience: Option<Text>,
    }
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
        /// What the issuer calls it.
        key_id: Option<Text>,
        /// PEM.
        certificate: Option<SecretFile>,
    },
    /// A client certificate (RFC 8705).
    Mtls {
        /// PEM.
        key: SecretFile,
        /// PEM.
        certificate: SecretFile,
    },
}

impl ClientAuth {
    /// The files that it needs.
    pub(super) fn files(&self) -> impl Iterator<Item = &SecretFile> {
        match self {
            Self::None => [None, None],
            Self::SecretBasic(file) | Self::SecretPost(file) => [Some(file), None],
            Self::PrivateKeyJwt { key, certificate, .. } => [Some(key), certificate.as_ref()],
            Self::Mtls { key, certificate } => [Some(key), Some(certificate)],
        }
        .into_iter()
        .flatten()
    }
}

/// `[issuer]`, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// Its address, for discovery (RFC 8414, OpenID Connect Discovery); without one, both
    /// endpoints that a sign-in needs are in `endpoints`.
    pub url: Option<BaseUrl>,
    /// The vendor; `generic` unless said otherwise.
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
    /// Codes are renewed after this time, whatever lifetime the issuer names.
    pub code_lifetime: Option<Duration>,
    /// Further parameters of the device authorization request.
    pub extra: Vec<(Parameter, Secret)>,
    /// What is asked for in the device's own name, where it is to speak in that.
    pub own_name: Option<OwnName>,
}

impl IssuerKeys {
    /// The complete section, or problems. `backend`: the API that telemetry's token is for.
    pub(super) fn resolve(
        self,
        backend: Option<&Resource>,
        at: &mut Resolve<'_>,
    ) -> Option<Issuer> {
        let profile = self.profile.unwrap_or(Profile(&profile::GENERIC));
        let auth = self.auth(profile, at);
        let own_name = match self.own_name {
            true => self.own_name(profile.get(), auth.as_ref(), backend, at),
            false => {
                let unused = [
                    ("own_scopes", !self.own_scopes.is_empty()),
                    ("own_resource", self.own_resource.is_some()),
                    ("own_audience", self.own_audience.is_some()),
                ];
                for (key, _) in unused.into_iter().filter(|(_, is_set)| *is_set) {
                    let text = "it is not used without issuer.own_name = true".to_owned();
                    at.ignored(&format!("issuer.{key}"), text);
                }
                None
            }
        };
        let known = self.known_endpoints(profile.get(), at);
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
        let usual = || profile.get().scopes.iter().filter_map(|scope| Scope::parse(scope).ok());
        let code_lifetime = self.code_lifetime.map(Span::get);
        Some(Issuer {
            url: self.url,
            profile,
            endpoints,
            client_id: client_id?,
            scopes: self.scopes.unwrap_or_else(|| usual().collect()),
            code_lifetime: code_lifetime.or(profile.get().code_lifetime),
            resource: self.resource,
            audience: self.audience,
            tenant: self.tenant,
            auth: auth?,
            dpop: self.dpop,
            extra: self.extra,
            own_name,
        })
    }

    /// What to ask for in the device's own name, in the vendor's form.
    fn own_name(
        &self,
        profile: &profile::Profile,
        auth: Option<&ClientAuth>,
        backend: Option<&Resource>,
        at: &mut Resolve<'_>,
    ) -> Option<OwnName> {
        if let InOwnName::Never(why) = profile.own_name {
            let text = format!("profile {}: {why}; leave it out", quoted(profile.name));
            return at.wrong("issuer.own_name", &text);
        }
        if auth == Some(&ClientAuth::None) {
            let text = "only a client that proves itself has a name of its own: set \
                        client_secret_file, private_key_file or auth = \"mtls\"";
            return at.wrong("issuer.own_name", text);
        }
        let mut scopes: Vec<String> = self.own_scopes.iter().map(ToString::to_string).collect();
        let resource = self.own_resource.as_ref().or(backend).or(self.resource.as_ref());
        let resource = resource.map(ToString::to_string);
        let audience = self.own_audience.as_ref().or(self.audience.as_ref());
        let audience = audience.map(ToString::to_string);
        match profile.own_name {
            InOwnName::DefaultScope => {
                if scopes.is_empty() {
                    let needed = "Entra gives a client tokens for one API: set it to the address \
                                  of the backend's (\"api://…\")";
                    let api = resource.or_else(|| at.missing("issuer.own_resource", needed))?;
                    scopes.push(format!("{api}/.default"));
                }
                Some(OwnName { scopes, resource: None, audience: None })
            }
            InOwnName::Audience => {
                let needed = "Auth0 gives a client tokens for one API: set it to the backend's";
                let audience = audience.or_else(|| at.missing("issuer.own_audience", needed))?;
                Some(OwnName { scopes, resource: None, audience: Some(audience) })
            }
            InOwnName::Standard | InOwnName::Never(_) => {
                Some(OwnName { scopes, resource, audience })
            }
        }
    }

    /// The vendor's endpoints, as far as they do not come from its metadata.
    fn known_endpoints(&self, profile: &profile::Profile, at: &mut Resolve<'_>) -> Endpoints {
        let cloud = self.cloud.as_ref().map(Cloud::as_str);
        if cloud.is_some_and(|cloud| !profile.clouds().any(|known| known == cloud)) {
            let has = words(profile.clouds());
            let has = if has.is_empty() { "none".to_owned() } else { has };
            let text = format!("profile {} has {has}; it is not used", quoted(profile.name));
            at.ignored("issuer.cloud", text);
        }
        // With an address of its own, the vendor's usual one is not meant.
        let known = match &self.url {
            Some(_) if profile.publishes() => ExplicitEndpoints::default(),
            Some(url) => profile.below(url.as_str()),
            None => profile.endpoints(cloud, self.tenant.as_ref().map(Tenant::as_str)),
        };
        let url = |text: Option<String>| HttpUrl::parse(&text?).ok();
        Endpoints {
            device_authorization: url(known.device_authorization),
            token: url(known.token),
            revocation: url(known.revocation),
            jwks: url(known.jwks),
        }
    }

    fn auth(&self, profile: Profile, at: &mut Resolve<'_>) -> Option<ClientAuth> {
        let implied = match (&self.client_secret_file, &self.private_key_file) {
            (Some(_), _) if profile.get().secret_in_form => AuthMethod::SecretPost,
            (Some(_), _) => AuthMethod::SecretBasic,
            (None, Some(_)) => AuthMethod::PrivateKeyJwt,
            (None, None) => AuthMethod::None,
        };
        let method = self.auth.unwrap_or(implied);
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
                key_id: self.key_id.clone(),
                certificate: self.certificate_file.clone(),
            }),
            AuthMethod::Mtls => {
                let key = needed("private_key_file", &self.private_key_file);
                let certificate = needed("certificate_file", &self.certificate_file);
                Some(ClientAuth::Mtls { key: key?, certificate: certificate? })
            }
        }
    }
}
