//! ES256 keys, the tokens signed with them, and random strings.
//!
//! Only the framing of a compact JWS (RFC 7515 section 3.1) is ours; the cryptography is ring's. The
//! tests read these tokens with another implementation.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use serde_json::{Value, json};

/// Signing keys: the newest signs, the older ones still verify.
pub(crate) struct Keys {
    random: SystemRandom,
    keys: Vec<(String, EcdsaKeyPair)>,
}

/// Older keys are forgotten, and tokens signed with them refused.
const MOST_KEYS: usize = 4;

impl Keys {
    pub(crate) fn generate() -> std::io::Result<Self> {
        let mut keys = Self { random: SystemRandom::new(), keys: Vec::new() };
        keys.rotate()?;
        Ok(keys)
    }

    /// Adds a key and signs with it from now on.
    pub(crate) fn rotate(&mut self) -> std::io::Result<()> {
        let failed = |_| std::io::Error::other("cannot make a signing key");
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.random)
            .map_err(failed)?;
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            pkcs8.as_ref(),
            &self.random,
        )
        .map_err(|_| std::io::Error::other("cannot read a signing key"))?;
        self.keys.push((random_text(8)?, key));
        if self.keys.len() > MOST_KEYS {
            self.keys.remove(0);
        }
        Ok(())
    }

    /// A JSON Web Key Set (RFC 7517) with all public keys.
    pub(crate) fn jwks(&self) -> Value {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|(kid, key)| {
                // An uncompressed point: 4, x, y (SEC 1 section 2.3.3).
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
                    "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
                })
            })
            .collect();
        json!({ "keys": keys })
    }

    /// A signed token of type `typ` (`JWT`, `at+jwt`).
    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> std::io::Result<String> {
        let Some((kid, key)) = self.keys.last() else {
            return Err(std::io::Error::other("no signing key"));
        };
        let header = json!({ "alg": "ES256", "typ": typ, "kid": kid });
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
        let signature = key
            .sign(&self.random, token.as_bytes())
            .map_err(|_| std::io::Error::other("cannot sign"))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// The claims of a token that one of these keys has signed as `typ`.
    pub(crate) fn verify(&self, typ: &str, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
        if header["alg"] != "ES256" || header["typ"] != typ {
            return None;
        }
        let (_, key) = self.keys.iter().find(|(kid, _)| header["kid"] == kid.as_str())?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key())
            .verify(signed.as_bytes(), &decode(signature)?)
            .ok()?;
        serde_json::from_slice(&decode(claims)?).ok()
    }
}

/// That many bytes from the operating system, base64url.
pub(crate) fn random_text(bytes: usize) -> std::io::Result<String> {
    let mut buffer = vec![0; bytes];
    SystemRandom::new()
        .fill(&mut buffer)
        .map_err(|_| std::io::Error::other("no random numbers from the system"))?;
    Ok(URL_SAFE_NO_PAD.encode(buffer))
}

/// A user code of eight letters without vowels and look-alikes (RFC 8628 section 6.1): 34 bits.
pub(crate) fn random_user_code() -> std::io::Result<String> {
    const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
    let random = SystemRandom::new();
    let mut code = String::with_capacity(9);
    while code.len() < 9 {
        if code.len() == 4 {
            code.push('-');
        }
        let mut byte = [0];
        random
            .fill(&mut byte)
            .map_err(|_| std::io::Error::other("no random numbers from the system"))?;
        // 240 is the largest multiple of 20 in a byte: every letter is equally likely.
        if byte[0] < 240 {
            code.push(char::from(LETTERS[usize::from(byte[0] % 20)]));
        }
    }
    Ok(code)
}

/// What is kept of a secret and what tables are keyed by: looking a digest up tells nothing about
/// the secret by its timing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(secret: &str) -> Self {
        Self::of_bytes(secret.as_bytes())
    }

    pub(crate) fn of_bytes(secret: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, secret);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}
