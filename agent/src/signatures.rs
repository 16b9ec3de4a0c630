//! Signatures of id_tokens, checked by ring: the library that TLS is checked with, too.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use signpost_core::wire::{Algorithm, PublicKey};

/// Whether `signature` over `message` is by the private half of `key`
/// (see [`signpost_core::wire::Verify`]). RSA has 2,048 bits at least (RFC 7518 section 3.3).
#[must_use]
pub fn verify(algorithm: Algorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let plain = |algorithm: &'static dyn VerificationAlgorithm, point: &[u8]| {
        UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
    };
    match (key, algorithm) {
        (PublicKey::P256(point), Algorithm::Es256) => plain(&ECDSA_P256_SHA256_FIXED, point),
        (PublicKey::P384(point), Algorithm::Es384) => plain(&ECDSA_P384_SHA384_FIXED, point),
        (PublicKey::Ed25519(point), Algorithm::EdDsa) => plain(&ED25519, point),
        (PublicKey::Rsa { n, e }, algorithm) => rsa(algorithm).is_some_and(|parameters| {
            RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
        }),
        (PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::Ed25519(_), _) => false,
    }
}

const fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signpost_core::{
        http::{Outcome, Reply},
        secret::Secret,
        wire::{KeySet, Unacceptable, Verdict},
    };

    fn keys(jwk: &str) -> KeySet {
        let body = format!(r#"{{"keys":[{jwk}]}}"#).into_bytes();
        let reply = Reply { status: 200, headers: Vec::new(), body };
        KeySet::read(&Outcome::Reply(reply), "https://idp.example/keys").expect("a key")
    }

    /// Keys and tokens that another program has made.
    fn vectors() -> Vec<(KeySet, &'static str)> {
        let mut key = None;
        let mut vectors = Vec::new();
        for line in include_str!("signatures/openssl.txt").lines().filter(|l| !l.starts_with('#')) {
            match line.starts_with('{') {
                true => key = Some(keys(line)),
                false => vectors.push((key.clone().expect("a key before its tokens"), line)),
            }
        }
        assert_eq!(vectors.len(), 9);
        vectors
    }

    fn verdict(keys: &KeySet, token: &str) -> Verdict {
        KeySet::verdict(Some(keys), &Secret::new(token), verify)
    }

    #[test]
    fn what_another_program_signed_is_verified_and_no_changed_byte_of_it_is() {
        let all = vectors();
        for (keys, token) in &all {
            assert_eq!(verdict(keys, token), Verdict::Signed, "{token}");
            let parts: Vec<&str> = token.split('.').collect();
            let other = all.iter().map(|(_, other)| *other).find(|other| other != token);
            let foreign = other.and_then(|other| other.rsplit('.').next()).expect("another");
            let changed = [
                [parts[0], "eyJzdWIiOiJiZW4ifQ", parts[2]].join("."),
                [parts[0], parts[1], foreign].join("."),
                [parts[0], parts[1], ""].join("."),
                [parts[0], parts[1], &parts[2][4..]].join("."),
            ];
            for forged in changed {
                assert_eq!(verdict(keys, &forged), Verdict::Contradicted, "{forged}");
            }
        }
    }

    #[test]
    fn a_key_is_used_for_its_own_kind_only() {
        let all = vectors();
        for (own, token) in &all {
            let signed = all.iter().filter(|(keys, _)| verdict(keys, token) == Verdict::Signed);
            let own = all.iter().filter(|(keys, _)| keys == own);
            assert_eq!(signed.count(), own.count(), "{token}");
        }
    }

    #[test]
    fn a_signature_taken_away_or_made_with_the_public_key_is_refused() {
        let (keys, token) = vectors().swap_remove(0);
        let payload = token.split('.').nth(1).expect("claims");
        // {"alg":"none"} and {"alg":"HS256","kid":"k"}.
        for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ"] {
            for signature in ["", "AAAA"] {
                let forged = verdict(&keys, &format!("{header}.{payload}.{signature}"));
                assert_eq!(forged, Verdict::Refused(Unacceptable::Algorithm));
            }
        }
    }

    #[test]
    fn rsa_of_fewer_than_2048_bits_signs_nothing() {
        // 1,024 bits; the signature is of no account.
        let n = "AQAB".repeat(42);
        let keys = keys(&format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#));
        assert!(!verify(Algorithm::Rs256, &keys.keys[0].public, b"m", &[1; 126]));
    }
}
