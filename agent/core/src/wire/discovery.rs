//! RFC 8414 and OpenID Connect Discovery: where an issuer's endpoints are.

use super::{Members, Trouble};
use crate::{
    http::{Outcome, Reply},
    issuer::is_acceptable_url,
};
use alloc::{
    format,
    string::{String, ToString},
};

/// The part of an issuer's metadata that is used, and kept for offline boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The issuer that the document speaks for; checked against the configured one.
    pub issuer: String,
    /// RFC 8628 section 4; some issuers omit it, then configuration names it.
    pub device_authorization_endpoint: Option<String>,
    /// Where codes and refresh tokens are redeemed.
    pub token_endpoint: String,
    /// RFC 7009.
    pub revocation_endpoint: Option<String>,
    /// The keys of the issuer's signatures.
    pub jwks_uri: Option<String>,
    /// Where clients go that show a certificate (RFC 8705 section 5).
    pub mtls_aliases: MtlsAliases,
}

/// `mtls_endpoint_aliases` of RFC 8705: the endpoints that ask for a certificate, where those are
/// others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MtlsAliases {
    /// Of RFC 8628 section 3.1.
    pub device_authorization: Option<String>,
    /// Of RFC 6749 section 3.2.
    pub token: Option<String>,
    /// Of RFC 7009.
    pub revocation: Option<String>,
}

impl MtlsAliases {
    fn read(members: &Members) -> Self {
        let text = |name| members.inner_text("mtls_endpoint_aliases", name);
        Self {
            device_authorization: text("device_authorization_endpoint"),
            token: text("token_endpoint"),
            revocation: text("revocation_endpoint"),
        }
    }

    fn urls(&self) -> impl Iterator<Item = &String> {
        [&self.device_authorization, &self.token, &self.revocation].into_iter().flatten()
    }
}

/// Why a metadata document was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataProblem {
    /// No document now: try again.
    Trouble(Trouble),
    /// There is no document at this address (the other well-known address may have one).
    Absent,
    /// The document speaks for another issuer (RFC 8414 section 3.3): never used.
    WrongIssuer {
        /// For whom it speaks.
        found: String,
    },
    /// The document names an address that no secret may be sent to.
    Insecure,
}

/// The well-known addresses of `issuer`, in the order in which they are tried: OpenID Connect
/// appends, RFC 8414 section 3.1 inserts.
#[must_use]
pub fn discovery_urls(issuer: &str) -> [String; 2] {
    let base = issuer.trim_end_matches('/');
    let inserted =
        match base.split_once("://").and_then(|(s, rest)| Some((s, rest.split_once('/')?))) {
            Some((scheme, (host, path))) => {
                format!("{scheme}://{host}/.well-known/oauth-authorization-server/{path}")
            }
            None => format!("{base}/.well-known/oauth-authorization-server"),
        };
    [format!("{base}/.well-known/openid-configuration"), inserted]
}

impl Metadata {
    /// Reads a discovery answer and holds it against the `issuer` that was configured.
    ///
    /// # Errors
    /// [`MetadataProblem`]; a document that fails any check is not used in part either.
    pub fn read(outcome: &Outcome, issuer: &str) -> Result<Self, MetadataProblem> {
        match outcome {
            Outcome::Reply(Reply { status: 404 | 410, .. }) => Err(MetadataProblem::Absent),
            Outcome::Reply(Reply { status: 200, body, .. }) => match Self::from_json(body) {
                Some(metadata) => metadata.checked(issuer),
                None => Err(MetadataProblem::Trouble(super::trouble_of(outcome))),
            },
            Outcome::Reply(_) | Outcome::NotSent(_) | Outcome::Lost(_) => {
                Err(MetadataProblem::Trouble(super::trouble_of(outcome)))
            }
        }
    }

    fn from_json(body: &[u8]) -> Option<Self> {
        let members = Members::parse(body)?;
        let text = |name| members.text(&[name]).map(ToString::to_string);
        Some(Self {
            issuer: text("issuer")?,
            device_authorization_endpoint: text("device_authorization_endpoint"),
            token_endpoint: text("token_endpoint")?,
            revocation_endpoint: text("revocation_endpoint"),
            jwks_uri: text("jwks_uri"),
            mtls_aliases: MtlsAliases::read(&members),
        })
    }

    /// The same for a client that shows a certificate.
    #[must_use]
    pub(crate) fn for_mtls(&self) -> Self {
        let aliases = self.mtls_aliases.clone();
        let (device, revocation) = (&self.device_authorization_endpoint, &self.revocation_endpoint);
        Self {
            device_authorization_endpoint: aliases.device_authorization.or_else(|| device.clone()),
            token_endpoint: aliases.token.unwrap_or_else(|| self.token_endpoint.clone()),
            revocation_endpoint: aliases.revocation.or_else(|| revocation.clone()),
            ..self.clone()
        }
    }

    /// Holds a document, new or kept, against the configured `issuer`.
    ///
    /// # Errors
    /// As [`Metadata::read`].
    pub fn checked(self, issuer: &str) -> Result<Self, MetadataProblem> {
        // A slash at the end is the one difference that configurations make by accident; it names
        // the same server, so it cannot be an attack from another one.
        if self.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
            return Err(MetadataProblem::WrongIssuer { found: super::clean(&self.issuer) });
        }
        let optional = [&self.device_authorization_endpoint, &self.revocation_endpoint];
        let urls = optional.into_iter().flatten().chain([&self.token_endpoint]);
        let urls = urls.chain(self.mtls_aliases.urls());
        let secure = urls.into_iter().all(|url| is_acceptable_url(url));
        if secure { Ok(self) } else { Err(MetadataProblem::Insecure) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::reply, *};

    const ISSUER: &str = "https://idp.example/realms/acme";

    fn read(body: &str) -> Result<Metadata, MetadataProblem> {
        Metadata::read(&reply(200, "application/json", body), ISSUER)
    }

    #[test]
    fn both_well_known_addresses_are_known() {
        assert_eq!(
            discovery_urls("https://idp.example/realms/acme/"),
            [
                "https://idp.example/realms/acme/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server/realms/acme",
            ]
        );
        assert_eq!(
            discovery_urls("https://idp.example")[1],
            "https://idp.example/.well-known/oauth-authorization-server"
        );
    }

    #[test]
    fn a_document_for_another_issuer_is_never_used() {
        let other =
            r#"{"issuer":"https://evil.example","token_endpoint":"https://evil.example/t"}"#;
        assert!(matches!(read(other), Err(MetadataProblem::WrongIssuer { .. })));
        let plain = r#"{"issuer":"https://idp.example/realms/acme","token_endpoint":"http://idp.example/t"}"#;
        assert_eq!(read(plain), Err(MetadataProblem::Insecure));
        let good = r#"{"issuer":"https://idp.example/realms/acme/","token_endpoint":"https://idp.example/t"}"#;
        assert!(read(good).is_ok_and(|m| m.device_authorization_endpoint.is_none()));
    }

    #[test]
    fn anything_else_is_trouble_and_404_is_absence() {
        for body in ["", "<html>", "{}", "[]"] {
            assert!(matches!(read(body), Err(MetadataProblem::Trouble(_))), "{body}");
        }
        let absent = Metadata::read(&reply(404, "", ""), ISSUER);
        assert_eq!(absent, Err(MetadataProblem::Absent));
    }
}
