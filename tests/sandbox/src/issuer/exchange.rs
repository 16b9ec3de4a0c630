//! One access token for another (RFC 8693), and Entra's on-behalf-of (RFC 7523 with
//! `requested_token_use`).

use super::vendor::Exchange;
use super::{Asked, Issuer};
use crate::clock::Now;
use crate::fault::Endpoint;
use crate::reply::Reply;

/// The grant types of both.
pub(crate) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Issuer {
    /// The token endpoint, asked to exchange.
    pub(crate) fn exchange(&mut self, asked: &Asked, now: Now) -> Reply {
        let reply = self.try_exchange(asked, now).unwrap_or_else(|refused| refused);
        self.settings.vendor.token(reply, asked, None)
    }

    fn try_exchange(&mut self, asked: &Asked, now: Now) -> Result<Reply, Reply> {
        let no = |error, why| Err(Reply::error(400, error, why));
        let is_exchange = asked.get("grant_type") == Some(TOKEN_EXCHANGE);
        let (subject, api, scope) = match (self.settings.vendor.exchange(), is_exchange) {
            (Exchange::Standard, true) => {
                if asked.get("subject_token_type") != Some(ACCESS_TOKEN) {
                    return no("invalid_request", "subject_token_type is not known here");
                }
                let api = asked.get("audience").or(asked.get("resource"));
                (asked.get("subject_token"), api, asked.get("scope"))
            }
            (Exchange::OnBehalfOf, false) => {
                if asked.get("requested_token_use") != Some("on_behalf_of") {
                    return no("invalid_request", "requested_token_use is missing");
                }
                if asked.get("audience").or(asked.get("resource")).is_some() {
                    return no("invalid_request", "the scope names the API here");
                }
                let api = asked.get("scope").and_then(|scope| scope.strip_suffix("/.default"));
                (asked.get("assertion"), api, None)
            }
            _ => return no("unsupported_grant_type", "tokens are not exchanged like this here"),
        };
        let client_id = self.client(asked, Endpoint::TokenExchange)?.id.clone();
        let Some(subject) = subject else {
            return no("invalid_request", "there is no token to exchange");
        };
        if self.check_access(Some(subject), None, None, now).is_err() {
            return no("invalid_grant", "the token to exchange is over");
        }
        let claims = self.keys.verify("at+jwt", subject).unwrap_or_default();
        let grant = claims["jti"].as_str().and_then(|jti| jti.split('.').next()?.parse().ok());
        let Some(grant) = grant.filter(|_| claims["client_id"] == client_id.as_str()) else {
            return no("invalid_grant", "a token of somebody else");
        };
        let Some(api) = api else { return no("invalid_target", "no API is named") };
        let audience = self.audience(Some(api))?;
        let scope = scope.unwrap_or("telemetry.write").to_owned();
        let reply = self.tokens(grant, Some(scope), Some(audience), None, now)?;
        Ok(reply.edit(|fields| {
            fields.remove("id_token");
            if is_exchange {
                fields.insert("issued_token_type".into(), ACCESS_TOKEN.into());
            }
        }))
    }
}
