//! Signs what the machines want signed: compact JWS (RFC 7515 section 3.1) with ES256 or RS256.
//!
//! Only the framing is ours, the cryptography is ring's, which TLS brings along; a JOSE library
//! would add more than that. No key leaves here but to be sealed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest,
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use signpost_core::{
    jws::{DeviceKey, Signatory, Unsigned},
    secret::Secret,
};
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// The key by which an issuer knows this client (RFC 7523 section 3).
pub struct ClientKey {
    pair: Pair,
    /// Further members of the header.
    named: Vec<(&'static str, String)>,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(rsa::KeyPair),
}

impl ClientKey {
    /// Reads a private key in PEM. `key_id` is what the issuer calls it; of `certificate`, in PEM
    /// as well, the thumbprints are sent (Entra wants them).
    ///
    /// # Errors
    /// What is wrong, as advice: with the key `Ok`, with the certificate `Err`.
    pub fn read(
        key: &[u8],
        certificate: Option<&[u8]>,
        key_id: Option<&str>,
    ) -> Result<Self, Unusable> {
        let mut named = Vec::new();
        if let Some(pem) = certificate {
            let der = CertificateDer::from_pem_slice(pem).map_err(|_| Unusable::Certificate)?;
            let print = |algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, &der));
            // RFC 7515 sections 4.1.7 and 4.1.8; older servers know the first alone.
            named.push(("x5t", print(&digest::SHA1_FOR_LEGACY_USE_ONLY)));
            named.push(("x5t#S256", print(&digest::SHA256)));
        }
        named.extend(key_id.map(|id| ("kid", id.to_owned())));
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Unusable::Key)?;
        let pair = Pair::of(&key).ok_or(Unusable::Key)?;
        Ok(Self { pair, named })
    }
}

impl Pair {
    fn of(key: &PrivateKeyDer<'_>) -> Option<Self> {
        match key {
            PrivateKeyDer::Pkcs8(der) => es256(der.secret_pkcs8_der())
                .map(Self::Es256)
                .or_else(|| rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok().map(Self::Rs256)),
            PrivateKeyDer::Pkcs1(der) => {
                rsa::KeyPair::from_der(der.secret_pkcs1_der()).ok().map(Self::Rs256)
            }
            PrivateKeyDer::Sec1(_) | _ => None,
        }
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Rs256(_) => "RS256",
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }

    /// RFC 7517, with what RFC 7638 section 3.2 needs.
    fn jwk(pair: &EcdsaKeyPair) -> Option<Value> {
        // An uncompressed point: 4, x, y (SEC 1 section 2.3.3).
        let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(32)?;
        Some(json!({
            "kty": "EC", "crv": "P-256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }))
    }
}

fn es256(pkcs8: &[u8]) -> Option<EcdsaKeyPair> {
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random).ok()
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({})", self.pair.algorithm())
    }
}

/// What is no key, or no certificate, that this program can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The private key.
    Key,
    /// The certificate.
    Certificate,
}

/// Signs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Signer {
    client: Option<Arc<ClientKey>>,
}

impl Signer {
    /// One that also signs as the client, where it has a key.
    #[must_use]
    pub fn new(client: Option<ClientKey>) -> Self {
        Self { client: client.map(Arc::new) }
    }

    /// The signed object. `None` where the key is not there, or is none.
    #[must_use]
    pub fn sign(&self, unsigned: &Unsigned) -> Option<Secret> {
        let mut header = json!({ "typ": unsigned.typ });
        match &unsigned.by {
            Signatory::Client => {
                let key = self.client.as_deref()?;
                for (name, value) in &key.named {
                    header[*name] = value.as_str().into();
                }
                compact(header, unsigned.claims.expose(), &key.pair)
            }
            Signatory::Device(DeviceKey(key)) => {
                let der = Zeroizing::new(URL_SAFE_NO_PAD.decode(key.expose()).ok()?);
                let pair = es256(&der)?;
                header["jwk"] = Pair::jwk(&pair)?;
                compact(header, unsigned.claims.expose(), &Pair::Es256(pair))
            }
        }
    }
}

fn compact(mut header: Value, claims: &str, pair: &Pair) -> Option<Secret> {
    header["alg"] = pair.algorithm().into();
    let mut text = URL_SAFE_NO_PAD.encode(header.to_string());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut text);
    let signature = pair.sign(text.as_bytes())?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Some(Secret::new(text))
}

/// A new key for this device (ES256), from the system's random numbers; `None` where it has none.
#[must_use]
pub fn make_device_key() -> Option<DeviceKey> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
    Some(DeviceKey(Secret::new(URL_SAFE_NO_PAD.encode(pkcs8.as_ref()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use signpost_core::time::Wall;
    use std::time::Duration;

    const NOW: Wall = Wall::new(Duration::from_secs(1_800_000_000));

    fn parts(jws: &Secret) -> (Value, String, Vec<u8>) {
        let (signed, signature) = jws.expose().rsplit_once('.').unwrap();
        let header = URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap()).unwrap();
        let header = serde_json::from_slice(&header).unwrap();
        (header, signed.to_owned(), URL_SAFE_NO_PAD.decode(signature).unwrap())
    }

    #[test]
    fn a_proof_verifies_under_the_key_that_it_carries() {
        let key = make_device_key().unwrap();
        let proof = Unsigned::proof(key.clone(), ("GET", "https://a"), None, None, "j".into(), NOW);
        let (header, signed, signature) = parts(&Signer::default().sign(&proof).unwrap());
        assert_eq!((&header["typ"], &header["alg"]), (&"dpop+jwt".into(), &"ES256".into()));
        assert_eq!(header["jwk"].as_object().unwrap().len(), 4, "nothing private: {header}");
        let point = |name: &str| URL_SAFE_NO_PAD.decode(header["jwk"][name].as_str().unwrap());
        let public = [&[4], &*point("x").unwrap(), &*point("y").unwrap()].concat();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
        public.verify(signed.as_bytes(), &signature).unwrap();
        assert_ne!(make_device_key(), Some(key), "each device its own");
    }

    #[test]
    fn a_client_signs_with_either_kind_of_key_and_names_its_certificate() {
        let ec = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&ec).unwrap();
        let rsa = include_str!("../tests/keys/rsa.pem");
        let assertion = Unsigned::assertion("c", "https://idp.example", "j".into(), NOW);
        for (pem, algorithm) in [(ec.serialize_pem().as_str(), "ES256"), (rsa, "RS256")] {
            let certificate = certificate.pem();
            let key = ClientKey::read(pem.as_bytes(), Some(certificate.as_bytes()), Some("k1"));
            let key = key.unwrap();
            assert!(!format!("{key:?}").contains("PRIVATE"));
            let public = match &key.pair {
                Pair::Es256(pair) => pair.public_key().as_ref().to_vec(),
                Pair::Rs256(pair) => pair.public_key().as_ref().to_vec(),
            };
            let (header, signed, signature) =
                parts(&Signer::new(Some(key)).sign(&assertion).unwrap());
            assert_eq!(header["alg"], algorithm);
            assert_eq!(header["kid"], "k1");
            assert_eq!(header["x5t"].as_str().map(str::len), Some(27));
            assert_eq!(header["x5t#S256"].as_str().map(str::len), Some(43));
            if algorithm == "ES256" {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
                    .verify(signed.as_bytes(), &signature)
                    .unwrap();
            } else {
                UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
                    .verify(signed.as_bytes(), &signature)
                    .unwrap();
            }
        }
    }

    #[test]
    fn what_is_no_key_is_said_and_never_signs() {
        let bad = |key: &str| ClientKey::read(key.as_bytes(), None, None).unwrap_err();
        for key in
            ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
        {
            assert_eq!(bad(key), Unusable::Key, "{key}");
        }
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        assert_eq!(bad(&p384.serialize_pem()), Unusable::Key);
        let assertion = Unsigned::assertion("c", "a", "j".into(), NOW);
        assert_eq!(Signer::default().sign(&assertion), None);
        for text in ["", "!", "AAAA"] {
            let key = DeviceKey(Secret::new(text));
            let proof = Unsigned::proof(key, ("GET", "u"), None, None, "j".into(), NOW);
            assert_eq!(Signer::default().sign(&proof), None, "{text}");
        }
    }
}
