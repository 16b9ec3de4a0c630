//! Who signed an id_token: the compact form of RFC 7515 and the issuer's keys of RFC 7517.
//!
//! Framing and the choice of a key are here; the cryptography is handed in as [`Verify`]. The
//! algorithm is the token's to name and ours to allow: no `none`, no shared secrets, and a key is
//! used for its own kind only.

use super::{Sorted, Trouble, Unacceptable, sort, trouble_of};
use crate::{http::Outcome, secret::Secret};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// More keys than these no issuer has in use; the others are not looked at.
const MAX_KEYS: usize = 32;

/// Longest name of a key that is kept.
const MAX_KID: usize = 200;

/// Longest modulus: RSA of 8,192 bits.
const MAX_MODULUS: usize = 1_024;

/// Whether `signature` over `message` is by the private half of the key, under this algorithm. A
/// pure function; false for whatever it does not know.
pub type Verify = fn(Algorithm, &PublicKey, message: &[u8], signature: &[u8]) -> bool;

/// How a token can be signed (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// The same with SHA-384.
    Rs384,
    /// The same with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// The same with SHA-384.
    Ps384,
    /// The same with SHA-512.
    Ps512,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    const ALL: [(&'static str, Self); 10] = [
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("EdDSA", Self::EdDsa),
        ("Ed25519", Self::EdDsa),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }
}

/// A public key, as far as its algorithm is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Modulus and exponent, big-endian without zeros before.
    Rsa {
        /// Modulus.
        n: Vec<u8>,
        /// Exponent.
        e: Vec<u8>,
    },
    /// An uncompressed point of P-256 (SEC 1 section 2.3.3).
    P256(Vec<u8>),
    /// An uncompressed point of P-384.
    P384(Vec<u8>),
    /// The 32 bytes of RFC 8032.
    Ed25519(Vec<u8>),
}

impl PublicKey {
    const fn is_for(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Es256 => matches!(self, Self::P256(_)),
            Algorithm::Es384 => matches!(self, Self::P384(_)),
            Algorithm::EdDsa => matches!(self, Self::Ed25519(_)),
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => matches!(self, Self::Rsa { .. }),
        }
    }
}

/// One key of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `kid`, where it has one.
    pub id: Option<String>,
    /// The key itself.
    pub public: PublicKey,
}

/// An issuer's keys, and where they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// `jwks_uri`: keys of another place are not these.
    pub uri: String,
    /// Those that can be used here.
    pub keys: Vec<Key>,
}

/// What a token's signature says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One of the keys made it.
    Signed,
    /// It names none of the keys: a newer one may have made it.
    NotByThese,
    /// A key that it may be by did not make it, unless that was replaced under its name.
    Contradicted,
    /// No key could help.
    Refused(Unacceptable),
}

impl KeySet {
    /// Reads the answer of `uri`. Keys of kinds and uses that are not known here are passed over.
    ///
    /// # Errors
    /// There is no document, or no key in it that could be used: worth another try.
    pub fn read(outcome: &Outcome, uri: &str) -> Result<Self, Trouble> {
        let members = match (sort(outcome), outcome) {
            (Sorted::Members(members), Outcome::Reply(reply)) if reply.status == 200 => members,
            (Sorted::Trouble(trouble), _) => return Err(trouble),
            (Sorted::Members(_) | Sorted::Error(..), _) => return Err(trouble_of(outcome)),
        };
        let listed = members.0.get("keys").and_then(Value::as_array);
        let keys = listed.into_iter().flatten().filter_map(Value::as_object);
        let keys: Vec<Key> = keys.filter_map(Key::from_jwk).take(MAX_KEYS).collect();
        if keys.is_empty() {
            return Err(trouble_of(outcome));
        }
        Ok(Self { uri: uri.to_string(), keys })
    }

    /// Holds `token` against the keys. `keys` may be absent: then the verdict is about the token
    /// alone.
    #[must_use]
    pub fn verdict(keys: Option<&Self>, token: &Secret, verify: Verify) -> Verdict {
        let Some(parts) = Parts::of(token.expose()) else {
            return Verdict::Refused(Unacceptable::Malformed);
        };
        let Some(algorithm) = Algorithm::named(&parts.algorithm).filter(|_| !parts.critical) else {
            return Verdict::Refused(Unacceptable::Algorithm);
        };
        let keys = keys.map_or(&[][..], |set| set.keys.as_slice());
        let named = keys.iter().any(|key| key.id.is_some());
        // Where either side has no name for a key, each may be the one.
        let is_meant = |key: &&Key| match (&parts.kid, &key.id) {
            (Some(kid), Some(id)) => kid == id,
            (Some(_), None) => !named,
            (None, _) => true,
        };
        let made_it = |key: &Key| {
            key.public.is_for(algorithm)
                && verify(algorithm, &key.public, parts.message.as_bytes(), &parts.signature)
        };
        let mut meant = keys.iter().filter(is_meant).peekable();
        if meant.peek().is_none() {
            return Verdict::NotByThese;
        }
        if meant.any(made_it) { Verdict::Signed } else { Verdict::Contradicted }
    }
}

impl Key {
    fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| {
            URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok().filter(|b| !b.is_empty())
        };
        let number = |name: &str| {
            let bytes = bytes(name)?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            bytes.get(zeros..).filter(|rest| !rest.is_empty()).map(<[u8]>::to_vec)
        };
        let point = |length: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == length && y.len() == length).then(|| [&[4], &*x, &*y].concat())
        };
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let public = match (text("kty")?, text("crv")) {
            ("RSA", _) => PublicKey::Rsa {
                n: number("n").filter(|n| n.len() <= MAX_MODULUS)?,
                e: number("e").filter(|e| e.len() <= 8)?,
            },
            ("EC", Some("P-256")) => PublicKey::P256(point(32)?),
            ("EC", Some("P-384")) => PublicKey::P384(point(48)?),
            ("OKP", Some("Ed25519")) => PublicKey::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        // A key that names its algorithm is for that one alone.
        let fits = |name| Algorithm::named(name).is_some_and(|it| public.is_for(it));
        if text("alg").is_some_and(|name| !fits(name)) {
            return None;
        }
        let id = text("kid").filter(|kid| kid.len() <= MAX_KID).map(ToString::to_string);
        Some(Self { id, public })
    }
}

/// A token in its parts.
struct Parts<'a> {
    algorithm: String,
    kid: Option<String>,
    /// It names extensions that have to be understood (RFC 7515 section 4.1.11): none is.
    critical: bool,
    message: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        let header: Map<String, Value> =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let text = |name: &str| header.get(name).and_then(Value::as_str).map(ToString::to_string);
        (!payload.contains('.')).then_some(Self {
            algorithm: text("alg")?,
            kid: text("kid"),
            critical: header.contains_key("crit"),
            message,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::reply, *};
    use alloc::format;

    const URI: &str = "https://idp.example/keys";

    /// The signature is the key's first byte, told to the checks that are not about cryptography.
    fn first_byte(_: Algorithm, key: &PublicKey, _: &[u8], signature: &[u8]) -> bool {
        let bytes = match key {
            PublicKey::Rsa { n, .. } => n,
            PublicKey::P256(point) | PublicKey::P384(point) => point,
            PublicKey::Ed25519(x) => x,
        };
        bytes.first() == signature.first()
    }

    fn set(keys: &str) -> KeySet {
        let body = format!(r#"{{"keys":[{keys}]}}"#);
        KeySet::read(&reply(200, "application/json", &body), URI).expect("keys")
    }

    fn ed(kid: &str, first: u8) -> String {
        let mut x = [9; 32];
        x[0] = first;
        let x = URL_SAFE_NO_PAD.encode(x);
        let kid = if kid.is_empty() { String::new() } else { format!(r#","kid":"{kid}""#) };
        format!(r#"{{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","x":"{x}"{kid}}}"#)
    }

    fn verdict(keys: Option<&KeySet>, header: &str, signature: &[u8]) -> Verdict {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let token = format!("{}.e30.{}", encode(header.as_bytes()), encode(signature));
        KeySet::verdict(keys, &Secret::new(token), first_byte)
    }

    #[test]
    fn a_token_is_held_against_the_key_that_it_names() {
        let keys = set(&[ed("a", 1), ed("b", 2)].join(","));
        let by = |kid: &str, key: u8| {
            verdict(Some(&keys), &format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#), &[key])
        };
        assert_eq!(by("a", 1), Verdict::Signed);
        assert_eq!(by("b", 1), Verdict::Contradicted, "another key's signature");
        assert_eq!(by("c", 1), Verdict::NotByThese, "a newer key");
        assert_eq!(verdict(Some(&keys), r#"{"alg":"EdDSA"}"#, &[2]), Verdict::Signed);
        assert_eq!(verdict(None, r#"{"alg":"EdDSA","kid":"a"}"#, &[1]), Verdict::NotByThese);
        let nameless = set(&ed("", 7));
        assert_eq!(verdict(Some(&nameless), r#"{"alg":"EdDSA","kid":"x"}"#, &[7]), Verdict::Signed);
    }

    #[test]
    fn neither_none_nor_a_shared_secret_signs() {
        let keys = set(&ed("a", 1));
        for name in ["none", "None", "HS256", "HS384", "HS512", "ES256K", "dir", ""] {
            let header = format!(r#"{{"alg":"{name}","kid":"a"}}"#);
            let refused = Verdict::Refused(Unacceptable::Algorithm);
            assert_eq!(verdict(Some(&keys), &header, &[1]), refused, "{name}");
        }
        let critical = r#"{"alg":"EdDSA","kid":"a","crit":["b64"],"b64":false}"#;
        assert_eq!(verdict(Some(&keys), critical, &[1]), Verdict::Refused(Unacceptable::Algorithm));
        // The public key of RSA as the secret of an HMAC, and one kind's key for another.
        let other_kind = verdict(Some(&keys), r#"{"alg":"ES256","kid":"a"}"#, &[1]);
        assert_eq!(other_kind, Verdict::Contradicted);
    }

    #[test]
    fn malformed_tokens_are_refused() {
        let keys = set(&ed("a", 1));
        for token in ["", ".", "..", "a.b.c", "e30.e30.AQ", "e30.e30.!", "W10.e30.AQ", "a.b.c.d"] {
            let refused = KeySet::verdict(Some(&keys), &Secret::new(token), first_byte);
            assert_eq!(refused, Verdict::Refused(Unacceptable::Malformed), "{token}");
        }
    }

    #[test]
    fn keys_that_are_not_known_are_passed_over_and_none_at_all_is_trouble() {
        let good = ed("a", 1);
        let odd = [
            r#"{"kty":"oct","k":"c2VjcmV0"}"#,
            r#"{"kty":"AKP","alg":"ML-DSA-65","pub":"AA"}"#,
            r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
            r#"{"kty":"RSA","n":"","e":"AQAB"}"#,
            r#"{"kty":"RSA","n":"AAAA","e":"AQAB"}"#,
            r#"{"kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"RSA","alg":"RSA-OAEP","n":"AQAB","e":"AQAB"}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#,
            "{}",
            "5",
            "null",
        ];
        let all = odd.iter().copied().chain([good.as_str()]).collect::<Vec<_>>().join(",");
        assert_eq!(set(&all).keys.len(), 1);
        for body in [
            "",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":5}"#,
            &format!(r#"{{"keys":[{}]}}"#, odd.join(",")),
            "<html>",
        ] {
            let read = KeySet::read(&reply(200, "application/json", body), URI);
            assert!(read.is_err(), "{body}");
        }
        let missing = KeySet::read(&reply(404, "", r#"{"keys":[]}"#), URI);
        assert_eq!(missing, Err(Trouble::Garbage { status: 404 }));
        let many = (0..100).map(|_| good.as_str()).collect::<Vec<_>>().join(",");
        assert_eq!(set(&many).keys.len(), MAX_KEYS);
    }

    #[test]
    fn zeros_before_a_modulus_and_padding_after_it_do_not_count() {
        let keys = set(r#"{"kty":"RSA","n":"AAEC","e":"AQAB="}"#);
        assert_eq!(keys.keys[0].public, PublicKey::Rsa { n: [1, 2].into(), e: [1, 0, 1].into() });
    }
}
