//! The servers' side of RFC 9449: proofs are held against the request that they come with, nonces
//! run out, and no proof is taken twice. Signatures are the binary's: here a key is its name.

use super::issuer::error;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use signpost_core::{
    http::{Reply, Request},
    jws::{Place, Signatory},
};
use std::{collections::BTreeSet, time::Duration};

/// After this time a new nonce is wanted; the one before is taken for as long again.
const ROTATION: Duration = Duration::from_secs(150);

/// The proofs that one server has seen.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    seen: BTreeSet<String>,
    /// Proofs that no well-behaved device would have sent.
    pub(super) objections: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoProof {
    /// Another nonce is wanted.
    Nonce,
    /// It proves nothing.
    Invalid,
}

impl Proofs {
    /// The name of the key that `request` proves to have, at this `server`; with `access`, for
    /// that token.
    pub(super) fn check(
        &mut self,
        server: &str,
        request: &Request,
        access: Option<&str>,
        at: Duration,
    ) -> Result<String, NoProof> {
        let proof = request.unsigned.iter().find(|it| it.place == Place::Header("dpop"));
        let proof = proof.ok_or(NoProof::Invalid)?;
        let claims: Value =
            serde_json::from_str(proof.claims.expose()).map_err(|_| NoProof::Invalid)?;
        let text = |name: &str| claims[name].as_str().unwrap_or_default();
        let Signatory::Device(key) = &proof.by else { return Err(NoProof::Invalid) };
        if text("htm") != "POST" || text("htu") != request.url {
            self.objections.push(format!("a proof for {} at {}", text("htu"), request.url));
            return Err(NoProof::Invalid);
        }
        if !self.seen.insert(text("jti").to_owned()) {
            self.objections.push("a proof was used twice".into());
            return Err(NoProof::Invalid);
        }
        let hash = access.map(|access| URL_SAFE_NO_PAD.encode(Sha256::digest(access)));
        if hash.is_some_and(|hash| text("ath") != hash) {
            self.objections.push("a proof for another token".into());
            return Err(NoProof::Invalid);
        }
        let taken = [at, at.saturating_sub(ROTATION)].map(|at| nonce(server, at));
        if !taken.iter().any(|nonce| nonce == text("nonce")) {
            return Err(NoProof::Nonce);
        }
        Ok(key.0.expose().to_owned())
    }
}

/// The newest nonce of `server`.
pub(super) fn nonce(server: &str, at: Duration) -> String {
    format!("{}-{}", server.len(), at.as_secs() / ROTATION.as_secs())
}

/// What the issuer says to that (RFC 9449 sections 5 and 8).
pub(super) fn refusal(why: &NoProof, server: &str, at: Duration) -> Reply {
    match why {
        NoProof::Nonce => with_nonce(error(400, "use_dpop_nonce"), server, at),
        NoProof::Invalid => error(400, "invalid_dpop_proof"),
    }
}

/// What a resource server says (RFC 9449 sections 7.1 and 9).
pub(super) fn challenge(why: &NoProof, server: &str, at: Duration) -> Reply {
    let error = match why {
        NoProof::Nonce => "use_dpop_nonce",
        NoProof::Invalid => "invalid_dpop_proof",
    };
    let header = ("www-authenticate".to_owned(), format!("DPoP error=\"{error}\""));
    let reply = Reply { status: 401, headers: vec![header], body: Vec::new() };
    if *why == NoProof::Nonce { with_nonce(reply, server, at) } else { reply }
}

fn with_nonce(mut reply: Reply, server: &str, at: Duration) -> Reply {
    reply.headers.push(("dpop-nonce".into(), nonce(server, at)));
    reply
}
