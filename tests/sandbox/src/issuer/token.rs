//! Grants and their tokens: refresh, rotation, revocation, userinfo.

use std::time::Duration;

use serde_json::{Value, json};

use super::keys::{Digest, random_text};
use super::vendor::Reach;
use super::{Asked, Issuer, RefreshToken, Rotation};
use crate::clock::Now;
use crate::fault::Endpoint;
use crate::journal::{Caller, Journal, Violation};
use crate::reply::Reply;

/// Grants and refresh tokens beyond so many make the server refuse new ones.
const MOST_GRANTS: usize = 10_000;
const MOST_REFRESH_TOKENS: usize = 100_000;

/// What a person has allowed a client to do.
pub(crate) struct Grant {
    client_id: String,
    subject: String,
    scope: String,
    audience: String,
    signed_in: u64,
    expires: Option<Duration>,
    revoked: bool,
    /// Access tokens are numbered; those below `honoured_from` are refused.
    serial: u64,
    honoured_from: u64,
}

impl Grant {
    pub(super) fn honours(&self, serial: u64) -> bool {
        !self.revoked && serial >= self.honoured_from
    }

    fn has(&self, scope: &str) -> bool {
        self.scope.split(' ').any(|given| given == scope)
    }
}

impl Issuer {
    pub(super) fn new_grant(
        &mut self,
        client_id: String,
        subject: String,
        scope: String,
        audience: String,
        now: Now,
    ) -> Result<Reply, Reply> {
        if self.grants.len() >= MOST_GRANTS {
            self.grants.retain(|_, grant| !grant.revoked);
        }
        if self.grants.len() >= MOST_GRANTS {
            return Err(Reply::error(503, "temporarily_unavailable", "too many grants"));
        }
        let id = self.next_grant;
        self.next_grant += 1;
        let grant = Grant {
            client_id,
            subject,
            scope,
            audience,
            signed_in: now.unix,
            expires: self.settings.refresh_lifetime.map(|span| now.up + span),
            revoked: false,
            serial: 0,
            honoured_from: 0,
        };
        let vendor = self.settings.vendor;
        let offline = grant.has("offline_access") || vendor.always_offline();
        let offline = offline && !vendor.never_offline();
        self.grants.insert(id, grant);
        let refresh_token = if offline { Some(self.new_refresh_token(id)?) } else { None };
        self.tokens(id, None, None, refresh_token, now)
    }

    fn new_refresh_token(&mut self, grant: u64) -> Result<String, Reply> {
        if self.refresh_tokens.len() >= MOST_REFRESH_TOKENS {
            self.refresh_tokens.retain(|_, token| !token.replaced);
        }
        if self.refresh_tokens.len() >= MOST_REFRESH_TOKENS {
            return Err(Reply::error(503, "temporarily_unavailable", "too many tokens"));
        }
        let token =
            random_text(32).map_err(|_| Reply::error(500, "server_error", "no random numbers"))?;
        self.refresh_tokens.insert(Digest::of(&token), RefreshToken { grant, replaced: false });
        Ok(token)
    }

    /// A token reply (RFC 6749 section 5.1) with an id_token if `openid` was granted.
    pub(super) fn tokens(
        &mut self,
        id: u64,
        scope: Option<String>,
        audience: Option<String>,
        refresh_token: Option<String>,
        now: Now,
    ) -> Result<Reply, Reply> {
        let broken = |_| Reply::error(500, "server_error", "cannot sign");
        let Some(grant) = self.grants.get_mut(&id) else {
            return Err(Reply::error(400, "invalid_grant", "unknown grant"));
        };
        let lifetime = self.settings.access_lifetime.as_secs();
        let scope = scope.unwrap_or_else(|| grant.scope.clone());
        let jti = format!("{id}.{}.{}", grant.serial, random_text(9).map_err(broken)?);
        grant.serial += 1;
        let access = json!({
            "iss": self.settings.issuer, "sub": grant.subject, "client_id": grant.client_id,
            "aud": audience.as_deref().unwrap_or(&grant.audience), "scope": scope,
            "iat": now.unix, "exp": now.unix + lifetime, "jti": jti,
        });
        let mut body = json!({
            "access_token": self.keys.sign("at+jwt", &access).map_err(broken)?,
            "token_type": "Bearer", "expires_in": lifetime, "scope": scope,
        });
        if let Some(token) = refresh_token {
            body["refresh_token"] = token.into();
            if let Some(expires) = grant.expires {
                let left = expires.saturating_sub(now.up).as_secs();
                body["refresh_token_expires_in"] = left.into();
            }
        }
        if grant.has("openid")
            && let Some(account) =
                self.settings.accounts.iter().find(|account| account.subject == grant.subject)
        {
            let claims = json!({
                "iss": self.settings.issuer, "sub": account.subject, "aud": grant.client_id,
                "iat": now.unix, "exp": now.unix + lifetime, "auth_time": grant.signed_in,
                "name": account.name, "email": account.email, "preferred_username": account.email,
                "tenant": account.tenant,
            });
            body["id_token"] = self.keys.sign("JWT", &claims).map_err(broken)?.into();
        }
        Ok(Reply::json(200, &body))
    }

    /// Who asks for a refresh: the grant, so that a rotated token is still the same caller.
    pub(crate) fn refresh_caller(&self, asked: &Asked) -> Caller {
        let token = asked.get("refresh_token").unwrap_or_default();
        match self.refresh_tokens.get(&Digest::of(token)) {
            Some(known) => Caller::of(known.grant),
            None => Caller::of(token),
        }
    }

    /// The token endpoint, asked with a refresh token (RFC 6749 section 6).
    pub(crate) fn refresh(&mut self, asked: &Asked, journal: &mut Journal, now: Now) -> Reply {
        let reply = self.try_refresh(asked, journal, now).unwrap_or_else(|refused| refused);
        self.settings.vendor.token(reply, asked, None)
    }

    fn try_refresh(
        &mut self,
        asked: &Asked,
        journal: &mut Journal,
        now: Now,
    ) -> Result<Reply, Reply> {
        let client_id = self.client(asked, Endpoint::TokenRefresh)?.id.clone();
        let no = |error, why| Err(Reply::error(400, error, why));
        let Some(given) = asked.get("refresh_token") else {
            return no("invalid_request", "refresh_token is missing");
        };
        let Some(token) = self.refresh_tokens.get_mut(&Digest::of(given)) else {
            return no("invalid_grant", "unknown refresh token");
        };
        let id = token.grant;
        let Some(grant) = self.grants.get_mut(&id) else {
            return no("invalid_grant", "unknown grant");
        };
        if grant.client_id != client_id {
            return no("invalid_grant", "a refresh token of another client");
        }
        if token.replaced && self.settings.rotation == Rotation::Strict {
            grant.revoked = true;
            journal.violation(Violation::ReusedRefreshToken { subject: grant.subject.clone() });
            return no("invalid_grant", "this refresh token was replaced: the grant is revoked");
        }
        if grant.revoked {
            return no("invalid_grant", "revoked");
        }
        if grant.expires.is_some_and(|expires| now.up >= expires) {
            return no("invalid_grant", "the grant has expired");
        }
        if self.disabled.contains(&grant.subject) {
            return no("invalid_grant", "the account is disabled");
        }
        let scope = match asked.get("scope") {
            Some(scope) if !scope.split(' ').all(|scope| grant.has(scope)) => {
                return no("invalid_scope", "more than what was granted");
            }
            narrower => narrower.map(str::to_owned),
        };
        let audience = asked.get("resource").map(|name| self.audience(Some(name))).transpose()?;
        let refresh_token = match self.settings.rotation {
            Rotation::Never => None,
            Rotation::Lenient | Rotation::Strict => {
                let new = self.new_refresh_token(id)?;
                if let Some(token) = self.refresh_tokens.get_mut(&Digest::of(given)) {
                    token.replaced = true;
                }
                Some(new)
            }
        };
        self.tokens(id, scope, audience, refresh_token, now)
    }

    /// The revocation endpoint: 200 for unknown tokens too (RFC 7009 section 2.2).
    pub(crate) fn revoke(&mut self, asked: &Asked) -> Reply {
        let reach = self.settings.vendor.reach();
        let client_id = match self.client(asked, Endpoint::Revocation) {
            Ok(client) => client.id.clone(),
            Err(refused) => return refused,
        };
        let Some(token) = asked.get("token") else {
            return Reply::error(400, "invalid_request", "token is missing");
        };
        if reach == Reach::Nothing {
            return Reply::empty(404);
        }
        if let Some(known) = self.refresh_tokens.get(&Digest::of(token)) {
            let grant = self.grants.get(&known.grant).filter(|it| it.client_id == client_id);
            let ended = grant.map(|grant| (known.grant, grant.subject.clone()));
            for (id, grant) in &mut self.grants {
                let Some((own, subject)) = &ended else { break };
                let with = reach == Reach::Person && grant.subject == *subject;
                grant.revoked |= id == own || (with && grant.client_id == client_id);
            }
        } else if let Some(claims) = self.keys.verify("at+jwt", token)
            && claims["client_id"] == client_id.as_str()
            && self.revoked_access.len() < MOST_REFRESH_TOKENS
        {
            self.revoked_access.insert(claims["jti"].as_str().unwrap_or_default().to_owned());
        }
        Reply::empty(200)
    }

    /// Claims about the person behind an access token (OpenID Connect Core section 5.3).
    pub(crate) fn userinfo(&self, subject: &str) -> Reply {
        let Some(account) = self.account(subject) else { return Reply::empty(404) };
        let claims: Value = json!({
            "sub": account.subject, "name": account.name, "email": account.email,
            "preferred_username": account.email, "tenant": account.tenant,
        });
        Reply::json(200, &claims)
    }

    /// Ends every grant of a person; says how many there were.
    pub(crate) fn revoke_grants(&mut self, subject: &str) -> usize {
        self.live_grants(subject).map(|grant| grant.revoked = true).count()
    }

    /// Makes every access token of a person worthless; their grants stay.
    pub(crate) fn revoke_access_tokens(&mut self, subject: &str) {
        self.live_grants(subject).for_each(|grant| grant.honoured_from = grant.serial);
    }

    /// How many grants of a person are alive.
    pub(crate) fn grant_count(&self, subject: &str) -> usize {
        self.grants.values().filter(|grant| grant.subject == subject && !grant.revoked).count()
    }

    fn live_grants(&mut self, subject: &str) -> impl Iterator<Item = &mut Grant> {
        self.grants.values_mut().filter(move |grant| grant.subject == subject && !grant.revoked)
    }
}
