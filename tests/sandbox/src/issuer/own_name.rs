//! Tokens for a client in its own name (RFC 6749 section 4.4), with what vendors want of it.

use serde_json::json;

use super::keys::random_text;
use super::vendor::InOwnName;
use super::{Asked, Issuer};
use crate::clock::Now;
use crate::fault::Endpoint;
use crate::reply::Reply;

/// How the number of such a token begins; that of a grant's is a number.
pub(super) const MARK: &str = "own.";

impl Issuer {
    /// The token endpoint, asked with client credentials.
    pub(crate) fn own_name(&mut self, asked: &Asked, now: Now) -> Reply {
        let reply = self.try_own_name(asked, now).unwrap_or_else(|refused| refused);
        self.settings.vendor.token(reply, asked, None)
    }

    /// From now on clients get such tokens, or get none.
    pub(crate) const fn allow_own_name(&mut self, allowed: bool) {
        self.forbids_own_name = !allowed;
    }

    fn try_own_name(&self, asked: &Asked, now: Now) -> Result<Reply, Reply> {
        let no = |error, why| Err(Reply::error(400, error, why));
        let manner = self.settings.vendor.own_name();
        if manner == InOwnName::Never {
            return no("unsupported_grant_type", "device_code or refresh_token");
        }
        let client = self.client(asked, Endpoint::TokenOwnName)?;
        if client.secret.is_none() || self.forbids_own_name {
            return no("unauthorized_client", "this client is nobody in its own name");
        }
        let (scope, api) = match (manner, asked.get("scope"), asked.get("resource")) {
            (InOwnName::DefaultScope, _, Some(_)) => {
                return no("invalid_request", "resource is not known here");
            }
            (InOwnName::DefaultScope, scope, None) => {
                let Some(api) = scope.and_then(|scope| scope.strip_suffix("/.default")) else {
                    return no("invalid_scope", "the scope has to be an API and /.default");
                };
                ("telemetry.write".to_owned(), Some(api))
            }
            (InOwnName::Audience, scope, _) => {
                let Some(audience) = asked.get("audience") else {
                    return Err(Reply::error(403, "access_denied", "no audience is named"));
                };
                (scope.unwrap_or("telemetry.write").to_owned(), Some(audience))
            }
            (InOwnName::Standard | InOwnName::Never, scope, resource) => {
                let scope = scope.unwrap_or("telemetry.write");
                if scope.split(' ').any(|it| it == "openid" || it == "offline_access") {
                    return no("invalid_scope", "nobody signs in");
                }
                (Self::granted_scope(Some(scope)), resource.or(asked.get("audience")))
            }
        };
        let audience = self.audience(api)?;
        let broken = |_| Reply::error(500, "server_error", "cannot sign");
        let lifetime = self.settings.access_lifetime.as_secs();
        let jti = format!("{MARK}{}", random_text(9).map_err(broken)?);
        let access = json!({
            "iss": self.settings.issuer, "sub": client.id, "client_id": client.id,
            "aud": audience, "scope": scope, "iat": now.unix, "exp": now.unix + lifetime,
            "jti": jti,
        });
        let body = json!({
            "access_token": self.keys.sign("at+jwt", &access).map_err(broken)?,
            "token_type": "Bearer", "expires_in": lifetime, "scope": scope,
        });
        Ok(Reply::json(200, &body))
    }
}
