//! The issuer as configured: where it is, who we are there, what we ask for.

use crate::{jws, profile::Profile, secret::Secret, wire::Metadata};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};

/// How to reach and address the authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The vendor.
    pub profile: &'static Profile,
    /// The issuer's address, for discovery and for holding answers against it. Absent where all
    /// endpoints are given.
    pub url: Option<String>,
    /// Endpoints that are configured, or the same for all of a vendor's customers; they win over
    /// discovered ones.
    pub explicit: ExplicitEndpoints,
    /// Codes are renewed after this time, whatever lifetime the issuer names.
    pub code_lifetime: Option<Duration>,
    /// `client_id` of RFC 6749.
    pub client_id: String,
    /// The client's secret, where the issuer insists on one.
    pub client_auth: ClientAuth,
    /// Tokens are bound to a key of this device (RFC 9449).
    pub dpop: bool,
    /// Scopes asked for at sign-in.
    pub scopes: Vec<String>,
    /// RFC 8707 `resource` asked for at sign-in and refresh.
    pub resource: Option<String>,
    /// Auth0's `audience`.
    pub audience: Option<String>,
    /// Further parameters of the device authorization request.
    pub extra: Vec<(String, String)>,
    /// What is asked for in the device's own name; `None`: nothing is.
    pub own_name: Option<OwnName>,
}

/// What is asked for in the device's own name (RFC 6749 section 4.4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnName {
    /// Scopes; none: those that the issuer gives to a client that names none.
    pub scopes: Vec<String>,
    /// RFC 8707 `resource`.
    pub resource: Option<String>,
    /// Auth0's `audience`.
    pub audience: Option<String>,
}

/// Endpoints given by configuration or profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplicitEndpoints {
    /// RFC 8628 section 3.1.
    pub device_authorization: Option<String>,
    /// RFC 6749 section 3.2.
    pub token: Option<String>,
    /// RFC 7009.
    pub revocation: Option<String>,
    /// The keys of the issuer's signatures (RFC 7517).
    pub jwks: Option<String>,
}

/// Client authentication (RFC 6749 section 2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// A public client.
    None,
    /// HTTP Basic; `client_id` is repeated in the body, which some servers need.
    SecretBasic(Secret),
    /// In the body.
    SecretPost(Secret),
    /// An assertion that the client's key signs (RFC 7523); whoever sends requests has the key.
    PrivateKeyJwt,
    /// A certificate in the TLS handshake (RFC 8705); whoever sends requests has it.
    Mtls,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// RFC 8628 section 3.1. An issuer may stop naming it: nobody new signs in, and whoever has
    /// stays signed in.
    pub device_authorization: Option<String>,
    /// RFC 6749 section 3.2.
    pub token: String,
    /// RFC 7009, where the issuer has one.
    pub revocation: Option<String>,
    /// The keys of the issuer's signatures, where it says and the address may be trusted.
    pub jwks: Option<String>,
}

/// Whose a secret is: it is sent to nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedBy {
    /// The issuer's address, where one is configured; without a slash at its end.
    pub url: Option<String>,
    /// Scheme, host and port of its token endpoint.
    pub origin: String,
}

impl IssuedBy {
    /// Whether both are one issuer: of one address, whatever endpoints it names by now, or at one
    /// origin, however it is configured.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let named = self.url.is_some() && self.url == other.url;
        named || self.origin == other.origin
    }
}

impl IssuerConfig {
    /// What names the issuer whose endpoints are `endpoints`.
    #[must_use]
    pub fn issues(&self, endpoints: &Endpoints) -> IssuedBy {
        let url = self.url.as_ref().map(|url| url.trim_end_matches('/').to_string());
        IssuedBy { url, origin: jws::origin(&endpoints.token).unwrap_or_default() }
    }

    /// The endpoints from configuration and, where known, `metadata`; nothing, as long as nothing
    /// names where tokens are asked for.
    #[must_use]
    pub fn endpoints(&self, metadata: Option<&Metadata>) -> Option<Endpoints> {
        let explicit = &self.explicit;
        let metadata = metadata.map(|metadata| self.as_meant_for_us(metadata));
        let metadata = metadata.as_ref();
        let named = || Some(metadata?.token_endpoint.clone());
        let token = explicit.token.clone().or_else(named)?;
        // What a document that is there does not name.
        let usual = metadata.zip(self.url.as_deref()).map(|(_, url)| self.profile.below(url));
        let usual = usual.unwrap_or_default();
        let device = explicit
            .device_authorization
            .clone()
            .or_else(|| metadata?.device_authorization_endpoint.clone())
            .or(usual.device_authorization);
        Some(Endpoints {
            device_authorization: device,
            token,
            revocation: explicit
                .revocation
                .clone()
                .or_else(|| metadata?.revocation_endpoint.clone())
                .or(usual.revocation),
            jwks: explicit
                .jwks
                .clone()
                .or_else(|| metadata?.jwks_uri.clone())
                .filter(|url| is_acceptable_url(url)),
        })
    }

    /// The metadata with the addresses for a client that proves itself as this one does.
    fn as_meant_for_us(&self, metadata: &Metadata) -> Metadata {
        match self.client_auth {
            ClientAuth::Mtls => metadata.for_mtls(),
            ClientAuth::None
            | ClientAuth::SecretBasic(_)
            | ClientAuth::SecretPost(_)
            | ClientAuth::PrivateKeyJwt => metadata.clone(),
        }
    }
}

/// Whether secrets may be sent to `url`: `https`, or `http` to a loopback address, and no
/// credentials or fragment in it.
#[must_use]
pub fn is_acceptable_url(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    plain
        && match url.scheme() {
            "https" => url.host().is_some(),
            "http" => url.host().is_some_and(|host| match host {
                url::Host::Domain(name) => name == "localhost",
                url::Host::Ipv4(v4) => IpAddr::V4(v4).is_loopback(),
                url::Host::Ipv6(v6) => IpAddr::V6(v6).is_loopback(),
            }),
            _ => false,
        }
}

/// The header of `client_secret_basic` (RFC 6749 section 2.3.1: both parts form-encoded first).
pub(crate) fn basic_header(client_id: &str, secret: &Secret) -> Secret {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let encode = |text: &str| {
        form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().to_string()
    };
    let pair = zeroize::Zeroizing::new([encode(client_id), encode(secret.expose())].join(":"));
    Secret::new(["Basic ", &STANDARD.encode(pair.as_bytes())].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_tls_or_nowhere_but_loopback() {
        for good in [
            "https://idp.example/token",
            "http://127.0.0.1:9000/t",
            "http://[::1]/t",
            "http://localhost:80",
        ] {
            assert!(is_acceptable_url(good), "{good}");
        }
        for bad in [
            "http://idp.example/token",
            "http://127.0.0.1.evil.example/",
            "http://10.0.0.1/",
            "https://user:pw@idp.example/",
            "ftp://idp.example/",
            "https://",
            "/token",
            "",
            "https://idp.example/#x",
        ] {
            assert!(!is_acceptable_url(bad), "{bad}");
        }
    }

    #[test]
    fn basic_encodes_both_parts_first() {
        let header = basic_header("my client", &Secret::new("a:b%"));
        assert_eq!(header.expose(), "Basic bXkrY2xpZW50OmElM0FiJTI1");
    }
}
