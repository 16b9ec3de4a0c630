//! Files that the configuration names: read once, when the agent starts, by the agent's user.
//! Offline checks leave them alone, for they belong to the device.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use signpost_core::issuer::{ClientAuth as CoreAuth, ExplicitEndpoints, IssuerConfig};
use signpost_core::secret::Secret;
use zeroize::Zeroizing;

use super::Loaded;
use super::issuer::{ClientAuth, SecretFile};
use super::problem::{ConfigError, Place, Problem};
use super::reading::{Scalar as _, below, segment};
use super::value::{HttpUrl, Text};
use crate::signing::{ClientKey, Signer, Unusable};

const PRIVATE_KEY: &str = "issuer.private_key_file";
const CERTIFICATE: &str = "issuer.certificate_file";

const NO_KEY: &str = "holds no private key; put it into the file in PEM form";
const NO_SIGNING_KEY: &str = "holds no key that can sign (PEM; ES256, or RSA of 2048 to 4096 bits); \
     `openssl pkcs8 -topk8 -nocrypt` brings an older form into the right one";

/// What a client shows in the TLS handshake. It does not print.
pub struct ClientIdentity {
    /// Its certificate first, then those that lead to one that the issuer knows.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

/// Largest file that a key may name: certificates of a whole system's authorities fit.
const MOST_BYTES: u64 = 1 << 20;

impl Loaded {
    /// The issuer as the state machine takes it, with the client's secret read from its file.
    ///
    /// # Errors
    /// The file that cannot be read, or holds no secret.
    pub fn issuer(&self) -> Result<IssuerConfig, ConfigError> {
        let issuer = &self.config.issuer;
        let secret = |file| self.secret("issuer.client_secret_file", file);
        let client_auth = match &issuer.auth {
            ClientAuth::SecretBasic(file) => CoreAuth::SecretBasic(secret(file)?),
            ClientAuth::SecretPost(file) => CoreAuth::SecretPost(secret(file)?),
            ClientAuth::None => CoreAuth::None,
            ClientAuth::PrivateKeyJwt { .. } => CoreAuth::PrivateKeyJwt,
            ClientAuth::Mtls { .. } => CoreAuth::Mtls,
        };
        let text = |url: &Option<HttpUrl>| url.as_ref().map(|url| url.as_str().to_owned());
        let extra = issuer.extra.iter();
        Ok(IssuerConfig {
            profile: issuer.profile.get(),
            code_lifetime: issuer.code_lifetime,
            url: issuer.url.as_ref().map(|url| url.as_str().to_owned()),
            explicit: ExplicitEndpoints {
                device_authorization: text(&issuer.endpoints.device_authorization),
                token: text(&issuer.endpoints.token),
                revocation: text(&issuer.endpoints.revocation),
                jwks: text(&issuer.endpoints.jwks),
            },
            client_id: issuer.client_id.as_str().to_owned(),
            client_auth,
            dpop: issuer.dpop,
            scopes: issuer.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            resource: issuer.resource.as_ref().map(|resource| resource.as_str().to_owned()),
            audience: issuer.audience.as_ref().map(|audience| audience.as_str().to_owned()),
            extra: extra.map(|(k, v)| (k.as_str().to_owned(), v.expose().to_owned())).collect(),
            own_name: issuer.own_name.clone(),
        })
    }

    /// What signs as this client, with the key that the configuration names.
    ///
    /// # Errors
    /// The file that cannot be read, or holds no key that can be used.
    pub fn signer(&self) -> Result<Signer, ConfigError> {
        let ClientAuth::PrivateKeyJwt { key, key_id, certificate } = &self.config.issuer.auth
        else {
            return Ok(Signer::default());
        };
        let pem = self.secret_file(PRIVATE_KEY, key)?;
        let certificate = certificate.as_ref().map(|file| self.secret_file(CERTIFICATE, file));
        let certificate = certificate.transpose()?;
        let key_id = key_id.as_ref().map(Text::as_str);
        match ClientKey::read(&pem, certificate.as_deref().map(Vec::as_slice), key_id) {
            Ok(key) => Ok(Signer::new(Some(key))),
            Err(Unusable::Key) => Err(self.error(PRIVATE_KEY, NO_SIGNING_KEY.to_owned())),
            Err(Unusable::Certificate) => Err(self.no_certificate()),
        }
    }

    /// What this client shows in the TLS handshake (RFC 8705), if anything.
    ///
    /// # Errors
    /// The file that cannot be read, or holds neither key nor certificate.
    pub fn client_identity(&self) -> Result<Option<ClientIdentity>, ConfigError> {
        let ClientAuth::Mtls { key, certificate } = &self.config.issuer.auth else {
            return Ok(None);
        };
        let pem = self.secret_file(CERTIFICATE, certificate)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
        if chain.is_empty() {
            return Err(self.no_certificate());
        }
        let pem = self.secret_file(PRIVATE_KEY, key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem);
        let key = key.map_err(|_| self.error(PRIVATE_KEY, NO_KEY.to_owned()))?;
        Ok(Some(ClientIdentity { chain, key }))
    }

    fn no_certificate(&self) -> ConfigError {
        self.error(CERTIFICATE, "holds no certificate; put it into the file in PEM form".to_owned())
    }

    /// Further headers of telemetry requests, those from files included.
    ///
    /// # Errors
    /// The first file that cannot be read, or holds no secret.
    pub fn telemetry_headers(&self) -> Result<Vec<(String, Secret)>, ConfigError> {
        let telemetry = &self.config.telemetry;
        let plain = telemetry.headers.iter();
        let mut headers: Vec<_> =
            plain.map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect();
        for (name, file) in &telemetry.header_files {
            let key = below("telemetry.header_files", &segment(name.as_str()));
            headers.push((name.as_str().to_owned(), self.secret(&key, file)?));
        }
        Ok(headers)
    }

    /// The file at `path`, which `key` names; at most 1 MiB.
    ///
    /// # Errors
    /// What is wrong with it, naming the key and where it was set.
    pub fn file(&self, key: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        read_bounded(path, MOST_BYTES).map_err(|error| {
            let path = path.display();
            #[expect(clippy::wildcard_enum_match_arm, reason = "the rest has no remedy of its own")]
            let text = match error.kind() {
                io::ErrorKind::NotFound => {
                    format!("there is no file {path}; create it or name another")
                }
                io::ErrorKind::PermissionDenied => format!(
                    "not allowed to read {path}; hand it to the agent's user \
                     (chown signpost, chmod 0400) or pass it by LoadCredential="
                ),
                _ => format!("cannot read {path}: {error}"),
            };
            self.error(key, text)
        })
    }

    fn secret_file(&self, key: &str, file: &SecretFile) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        match file.path(folder.as_deref()) {
            Some(path) => self.file(key, &path),
            None => Err(self.error(
                key,
                "systemd passes no credentials; add LoadCredentialEncrypted= to the unit"
                    .to_owned(),
            )),
        }
    }

    fn secret(&self, key: &str, file: &SecretFile) -> Result<Secret, ConfigError> {
        let bytes = self.secret_file(key, file)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if printable && (1..=4096).contains(&text.len()) {
            return Ok(Secret::new(text));
        }
        let path = file.text();
        let text = format!(
            "{path} holds no secret (one line of 1 to 4096 printable ASCII characters); \
             write the secret alone into it"
        );
        Err(self.error(key, text))
    }

    fn error(&self, key: &str, text: String) -> ConfigError {
        let origin = self.origins.get(key).map_or("configuration", String::as_str);
        ConfigError::of(vec![Problem::stops(Place::from_origin(origin), key, text)])
    }
}

/// A regular file of at most `most` bytes.
pub(super) fn read_bounded(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // Opening a pipe would wait for its other end.
    let length = match fs::metadata(path)? {
        meta if meta.is_dir() => return Err(io::Error::other("it is a directory")),
        meta if !meta.is_file() => return Err(io::Error::other("it is not a regular file")),
        meta => meta.len().min(most),
    };
    // Room for all of it at once: a buffer that grew would leave pieces of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let text = format!("it is over {} KiB; is this the right file?", most >> 10);
        return Err(io::Error::other(text));
    }
    Ok(bytes)
}
