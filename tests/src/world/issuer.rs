//! An authorization server in memory, at the level of HTTP values: discovery, device
//! authorization (RFC 8628), refresh with rotation and reuse detection (RFC 9700), revocation
//! (RFC 7009). It is always well; whatever goes wrong between it and the device is the network's.

use super::{
    backend::BACKEND,
    clock::truth,
    proofs::{self, Proofs},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use fastrand::Rng;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use signpost_core::http::{Body, Reply, Request};
use std::{borrow::Cow, collections::BTreeMap, time::Duration};

/// The issuer's address.
pub const ISSUER: &str = "https://idp.example";
/// Who the device is at the issuer.
pub(super) const CLIENT: &str = "signpost";
/// What the device proves itself with, where it speaks in its own name.
pub(super) const CLIENT_SECRET: &str = "canary-t-client";
/// A resource for which the issuer gives no token.
pub(super) const FORBIDDEN_RESOURCE: &str = "https://forbidden.example";

/// Every secret begins with this, so that one search finds a leak.
pub(super) const SECRET_MARK: &str = "canary-t";
/// Every user code begins with this.
pub(super) const CODE_MARK: &str = "CNRY-";
/// Every verification address holds this.
pub(super) const ADDRESS_MARK: &str = "canary-a";
/// Every person's name holds this.
pub(super) const PERSON_MARK: &str = "canary-p";

/// Somebody who can sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Person {
    /// Whose device it is.
    Anna,
    /// Somebody else.
    Ben,
}

impl Person {
    /// `sub`.
    #[must_use]
    pub const fn subject(self) -> &'static str {
        match self {
            Self::Anna => "anna-canary-p",
            Self::Ben => "ben-canary-p",
        }
    }
}

/// What becomes of a refresh token when it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It stays (Google).
    None,
    /// A new one comes, the old ones stay valid (Entra).
    OldStaysValid,
    /// A new one comes; using an old one ends the whole family (Auth0, oidc-provider).
    ReuseEndsAll,
}

/// How this issuer is set up.
#[derive(Clone, Debug)]
pub struct Policy {
    /// See there.
    pub rotation: Rotation,
    /// How long a device code lives.
    pub code_lifetime: Duration,
    /// The interval it names; it enforces 5 s where it names none.
    pub interval: Option<Duration>,
    /// How often it says `slow_down` for reasons of its own, in 1,000 polls.
    pub slow_downs: u32,
    /// How long an access token lives.
    pub access_lifetime: Duration,
    /// How long a refresh token lives after its last use, where it says so.
    pub refresh_lifetime: Option<Duration>,
    /// How long a sign-in holds at all, however it is used.
    pub grant_lifetime: Option<Duration>,
    /// Whether it says who signed in.
    pub id_token: bool,
    /// Whether there is a revocation endpoint.
    pub revocation: bool,
    /// Whether a refresh brings claims that a resource server asks for.
    pub claims_by_refresh: bool,
    /// Whether tokens are bound to the device's key, with nonces, here and at the backend.
    pub dpop: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rotation: Rotation::ReuseEndsAll,
            code_lifetime: Duration::from_secs(600),
            interval: Some(Duration::from_secs(5)),
            slow_downs: 0,
            access_lifetime: Duration::from_secs(3_600),
            refresh_lifetime: None,
            grant_lifetime: None,
            id_token: true,
            revocation: true,
            claims_by_refresh: true,
            dpop: false,
        }
    }
}

/// One sign-in and all tokens that came of it.
#[derive(Debug)]
pub struct Family {
    /// Who approved.
    pub person: Person,
    /// Not revoked, not ended by reuse.
    pub alive: bool,
    /// Number of the newest refresh token.
    pub newest: u32,
    /// When it ends by itself.
    pub ends: Option<Duration>,
    /// The sign-in was as strong as somebody wanted.
    pub strong: bool,
    /// The key that its tokens are bound to, if they are.
    pub key: Option<String>,
}

/// What the issuer knows of an access token.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Which sign-in.
    pub family: usize,
    /// Number of the refresh token that came with it, or stayed.
    pub rank: u32,
    /// Until when.
    pub expires: Duration,
    /// It carries what somebody wanted to be in it.
    pub strong: bool,
    /// It is for the telemetry backend and nobody else (RFC 8707).
    pub for_telemetry: bool,
}

#[derive(Debug)]
struct Code {
    user_code: String,
    expires: Duration,
    interval: Duration,
    polled: Option<Duration>,
    strong: bool,
    decision: Decision,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Open,
    Approved(Person),
    Denied,
    /// The terminal answer was given: it is given once.
    Over,
}

/// See the module.
#[derive(Debug)]
pub struct Issuer {
    /// How it is set up.
    pub policy: Policy,
    /// All sign-ins so far.
    pub families: Vec<Family>,
    /// Accounts that are disabled for now.
    pub disabled: Vec<Person>,
    pub(super) proofs: Proofs,
    codes: BTreeMap<String, Code>,
    /// By the number that each token carries: their texts are alike for long.
    refresh: BTreeMap<u64, (String, (usize, u32))>,
    access: BTreeMap<u64, (String, Access)>,
    /// Tokens in the device's own name: until when, and the key that each is bound to.
    own: BTreeMap<u64, (String, Duration, Option<String>)>,
    /// No client gets a token in its own name.
    pub refuses_own_name: bool,
    /// Somebody else signs its id_tokens, in its name.
    pub forges: bool,
    key: (String, Ed25519KeyPair),
    forger: Ed25519KeyPair,
    rng: Rng,
    made: u64,
}

/// A key and its name. Ed25519 needs no random numbers to sign: the same seed is the same world.
fn signing_key(rng: &mut Rng) -> (String, Ed25519KeyPair) {
    let mut seed = [0; 32];
    rng.fill(&mut seed);
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed");
    (format!("k{}", rng.u32(..)), key)
}

impl Issuer {
    pub(super) fn new(policy: Policy, mut rng: Rng) -> Self {
        let mut of_keys = rng.fork();
        let (key, (_, forger)) = (signing_key(&mut of_keys), signing_key(&mut of_keys));
        Self {
            policy,
            families: Vec::new(),
            disabled: Vec::new(),
            proofs: Proofs::default(),
            codes: BTreeMap::new(),
            refresh: BTreeMap::new(),
            access: BTreeMap::new(),
            own: BTreeMap::new(),
            refuses_own_name: false,
            forges: false,
            key,
            forger,
            rng,
            made: 0,
        }
    }

    /// Answers one request that arrived at `at`.
    pub(super) fn answer(&mut self, request: &Request, at: Duration) -> Reply {
        let field = |name: &str| field(request, name);
        match request.url.strip_prefix(ISSUER) {
            Some("/.well-known/openid-configuration") => self.metadata(),
            Some("/keys") => self.key_set(),
            Some(_) if request.body.is_none() => reply(404, "{}"),
            Some(_) if field("client_id").as_deref() != Some(CLIENT) => {
                error(401, "invalid_client")
            }
            Some("/device") => {
                let strong = ["claims", "acr_values", "max_age"].iter().any(|n| field(n).is_some());
                self.authorize_device(strong, at)
            }
            Some("/token") => self.token(request, at),
            Some("/revoke") => self.revoke(&field("token").unwrap_or_default()),
            Some(_) | None => reply(404, "{}"),
        }
    }

    fn token(&mut self, request: &Request, at: Duration) -> Reply {
        let field = |name: &str| field(request, name);
        let key = match self.policy.dpop {
            false => None,
            true => match self.proofs.check(ISSUER, request, None, at) {
                Ok(key) => Some(key),
                Err(why) => {
                    // The trap: some servers have consumed the token before they ask for a nonce.
                    let token = field("refresh_token").unwrap_or_default();
                    if let Some((family, rank)) = self.refresh_token(&token) {
                        self.families[family].newest = rank + 1;
                    }
                    return proofs::refusal(&why, ISSUER, at);
                }
            },
        };
        match field("grant_type").as_deref() {
            Some("refresh_token") => {
                let token = field("refresh_token").unwrap_or_default();
                let bound =
                    self.refresh_token(&token).map(|(family, _)| &self.families[family].key);
                if bound.is_some_and(|bound| *bound != key) {
                    return error(400, "invalid_grant");
                }
                let with_claims = field("claims").is_some();
                self.refresh(&token, field("resource").as_deref(), with_claims, at)
            }
            Some("urn:ietf:params:oauth:grant-type:device_code") => {
                self.poll(&field("device_code").unwrap_or_default(), key, at)
            }
            Some("client_credentials")
                if field("client_secret").as_deref() != Some(CLIENT_SECRET) =>
            {
                error(401, "invalid_client")
            }
            Some("client_credentials") if self.refuses_own_name => {
                error(400, "unauthorized_client")
            }
            Some("client_credentials") => self.own_name(key, at),
            Some(_) | None => error(400, "unsupported_grant_type"),
        }
    }

    fn own_name(&mut self, key: Option<String>, at: Duration) -> Reply {
        let token = self.secret("o");
        let lifetime = self.policy.access_lifetime;
        let token_type = if key.is_some() { "DPoP" } else { "Bearer" };
        self.own.retain(|_, (_, end, _)| *end > at);
        self.own.insert(self.made, (token.clone(), at + lifetime, key));
        let seconds = lifetime.as_secs();
        let body = format!(
            r#"{{"access_token":"{token}","token_type":"{token_type}","expires_in":{seconds}}}"#
        );
        reply(200, &body)
    }

    /// Until when this is a token in the device's own name, and the key that it is bound to.
    pub(super) fn own_token(&self, token: &str) -> Option<(Duration, Option<&str>)> {
        let (text, end, key) = self.own.get(&number(token)?)?;
        (text == token).then_some((*end, key.as_deref()))
    }

    /// A person types `user_code` and says yes (`Some`) or no. False where the page says that
    /// there is no such code.
    pub fn decide(&mut self, user_code: &str, who: Option<Person>, at: Duration) -> bool {
        let code = self.codes.values_mut().find(|code| code.user_code == user_code);
        let Some(code) = code.filter(|c| c.expires > at && c.decision == Decision::Open) else {
            return false;
        };
        code.decision = who.map_or(Decision::Denied, Decision::Approved);
        true
    }

    /// An administrator ends everything that `person` approved.
    pub fn end_sessions(&mut self, person: Person) {
        for family in self.families.iter_mut().filter(|family| family.person == person) {
            family.alive = false;
        }
    }

    /// Family and number of a refresh token.
    pub(super) fn refresh_token(&self, token: &str) -> Option<(usize, u32)> {
        let (text, known) = self.refresh.get(&number(token)?)?;
        (text == token).then_some(*known)
    }

    /// What an access token is, also after its end.
    pub(super) fn access_token(&self, token: &str) -> Option<Access> {
        let (text, known) = self.access.get(&number(token)?)?;
        (text == token).then_some(*known)
    }

    /// Whether the issuer honours this access token now.
    pub(super) fn honours(&self, access: Access, at: Duration) -> bool {
        let family = &self.families[access.family];
        at < access.expires && family.alive && !self.disabled.contains(&family.person)
    }

    fn metadata(&self) -> Reply {
        let revocation = if self.policy.revocation {
            format!(r#","revocation_endpoint":"{ISSUER}/revoke""#)
        } else {
            String::new()
        };
        reply(
            200,
            &format!(
                r#"{{"issuer":"{ISSUER}","device_authorization_endpoint":"{ISSUER}/device","token_endpoint":"{ISSUER}/token","jwks_uri":"{ISSUER}/keys"{revocation}}}"#
            ),
        )
    }

    fn authorize_device(&mut self, strong: bool, at: Duration) -> Reply {
        let device_code = self.secret("d");
        let user_code = format!("{CODE_MARK}{:04}", self.made % 10_000);
        let lifetime = self.policy.code_lifetime;
        let interval = self.policy.interval;
        let named =
            interval.map_or_else(String::new, |i| format!(r#","interval":{}"#, i.as_secs()));
        let body = format!(
            r#"{{"device_code":"{device_code}","user_code":"{user_code}","verification_uri":"{ISSUER}/{ADDRESS_MARK}","verification_uri_complete":"{ISSUER}/{ADDRESS_MARK}?user_code={user_code}","expires_in":{}{named}}}"#,
            lifetime.as_secs()
        );
        let code = Code {
            user_code,
            expires: at + lifetime,
            interval: interval.unwrap_or(Duration::from_secs(5)),
            polled: None,
            strong,
            decision: Decision::Open,
        };
        self.codes.retain(|_, code| code.expires + Duration::from_secs(3_600) > at);
        self.codes.insert(device_code, code);
        reply(200, &body)
    }

    fn poll(&mut self, device_code: &str, key: Option<String>, at: Duration) -> Reply {
        let whim = self.rng.u32(0..1_000) < self.policy.slow_downs;
        let Some(code) = self.codes.get_mut(device_code) else {
            return error(400, "invalid_grant");
        };
        let early = code.polled.is_some_and(|last| at < last + code.interval);
        code.polled = Some(at);
        if code.decision == Decision::Over {
            return error(400, "invalid_grant");
        }
        if at >= code.expires {
            code.decision = Decision::Over;
            return error(400, "expired_token");
        }
        if early || whim {
            code.interval += Duration::from_secs(5);
            return error(400, "slow_down");
        }
        match code.decision {
            Decision::Open => error(400, "authorization_pending"),
            Decision::Denied => {
                code.decision = Decision::Over;
                error(400, "access_denied")
            }
            Decision::Approved(person) => {
                let strong = code.strong;
                code.decision = Decision::Over;
                let ends = self.policy.grant_lifetime.map(|lifetime| at + lifetime);
                self.families.push(Family { person, alive: true, newest: 0, ends, strong, key });
                let family = self.families.len() - 1;
                let token = self.new_refresh_token(family);
                self.grant(family, Some(&token), (false, false), at)
            }
            Decision::Over => error(400, "invalid_grant"),
        }
    }

    fn refresh(
        &mut self,
        token: &str,
        resource: Option<&str>,
        with_claims: bool,
        at: Duration,
    ) -> Reply {
        let Some((family, rank)) = self.refresh_token(token) else {
            return error(400, "invalid_grant");
        };
        if self.families[family].ends.is_some_and(|end| at >= end) {
            self.families[family].alive = false;
        }
        let newest = self.families[family].newest;
        if rank < newest && self.policy.rotation == Rotation::ReuseEndsAll {
            self.families[family].alive = false;
        }
        let person = self.families[family].person;
        if !self.families[family].alive || self.disabled.contains(&person) {
            return error(400, "invalid_grant");
        }
        if with_claims && !self.policy.claims_by_refresh {
            return error(400, "interaction_required");
        }
        if resource == Some(FORBIDDEN_RESOURCE) {
            return error(400, "invalid_target");
        }
        let new = match self.policy.rotation {
            Rotation::None => None,
            Rotation::OldStaysValid | Rotation::ReuseEndsAll => {
                self.families[family].newest += 1;
                Some(self.new_refresh_token(family))
            }
        };
        let for_telemetry = resource == Some(BACKEND);
        self.grant(family, new.as_deref(), (with_claims, for_telemetry), at)
    }

    fn new_refresh_token(&mut self, family: usize) -> String {
        let token = self.secret("r");
        let known = (family, self.families[family].newest);
        self.refresh.insert(self.made, (token.clone(), known));
        token
    }

    fn grant(
        &mut self,
        family: usize,
        refresh_token: Option<&str>,
        (with_claims, for_telemetry): (bool, bool),
        at: Duration,
    ) -> Reply {
        let Family { person, newest, ends, strong, .. } = self.families[family];
        let token_type = if self.policy.dpop { "DPoP" } else { "Bearer" };
        let token = self.secret("a");
        let expires = at + self.policy.access_lifetime;
        let strong = strong || with_claims;
        let access = Access { family, rank: newest, expires, strong, for_telemetry };
        self.access.insert(self.made, (token.clone(), access));
        let mut body = format!(
            r#"{{"access_token":"{token}","token_type":"{token_type}","expires_in":{}"#,
            self.policy.access_lifetime.as_secs()
        );
        if let Some(token) = refresh_token {
            body += &format!(r#","refresh_token":"{token}""#);
        }
        if let Some(lifetime) = self.policy.refresh_lifetime {
            body += &format!(r#","refresh_expires_in":{}"#, lifetime.as_secs());
        }
        if let Some(end) = ends {
            let left = end.saturating_sub(at).as_secs();
            body += &format!(r#","refresh_token_expires_in":{left}"#);
        }
        if self.policy.id_token {
            let expires = truth(at).as_secs() + 3_600;
            let subject = person.subject();
            let claims = format!(
                r#"{{"iss":"{ISSUER}","aud":"{CLIENT}","sub":"{subject}","exp":{expires},"email":"{subject}@acme.example"}}"#
            );
            body += &format!(r#","id_token":"{}""#, self.signed(&claims));
        }
        reply(200, &(body + "}"))
    }

    /// Signs with a new key from now on; the old one is no longer shown.
    pub fn rotate_keys(&mut self) {
        self.key = signing_key(&mut self.rng);
    }

    fn key_set(&self) -> Reply {
        let (kid, x) = (&self.key.0, URL_SAFE_NO_PAD.encode(self.key.1.public_key()));
        reply(
            200,
            &format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}]}}"#),
        )
    }

    fn signed(&self, claims: &str) -> String {
        let header = format!(r#"{{"alg":"EdDSA","kid":"{}"}}"#, self.key.0);
        let [header, claims] = [header.as_str(), claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let message = format!("{header}.{claims}");
        let signer = if self.forges { &self.forger } else { &self.key.1 };
        let signature = URL_SAFE_NO_PAD.encode(signer.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn revoke(&mut self, token: &str) -> Reply {
        let family = self.refresh_token(token).map(|(family, _)| family);
        let family = family.or_else(|| self.access_token(token).map(|access| access.family));
        if let Some(family) = family {
            self.families[family].alive = false;
        }
        reply(200, "")
    }

    fn secret(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{SECRET_MARK}{kind}{}-{:016x}", self.made, self.rng.u64(..))
    }
}

/// The number that [`Issuer::secret`] gave.
fn number(token: &str) -> Option<u64> {
    let rest = token.strip_prefix(SECRET_MARK)?.get(1..)?;
    rest.split_once('-')?.0.parse().ok()
}

/// A field of a form POST; none where the request is something else.
pub(super) fn field<'a>(request: &'a Request, name: &str) -> Option<Cow<'a, str>> {
    match &request.body {
        Some(Body::Form(form)) => {
            let mut fields = form_urlencoded::parse(form.expose().as_bytes());
            fields.find(|(n, _)| n == name).map(|(_, value)| value)
        }
        Some(Body::Protobuf(_)) | None => None,
    }
}

pub(super) fn reply(status: u16, body: &str) -> Reply {
    let json = ("content-type".to_owned(), "application/json".to_owned());
    Reply { status, headers: vec![json], body: body.as_bytes().to_vec() }
}

pub(super) fn error(status: u16, code: &str) -> Reply {
    reply(status, &format!(r#"{{"error":"{code}","error_description":"no"}}"#))
}
