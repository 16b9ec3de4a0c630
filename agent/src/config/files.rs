//! Files that the configuration names: read once, when the agent starts, by the agent's user.
//! Offline checks leave them alone, for they belong to the device.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use signpost_core::issuer::{ClientAuth as CoreAuth, ExplicitEndpoints, IssuerConfig};
use signpost_core::secret::Secret;
use zeroize::Zeroizing;

use super::Loaded;
use super::issuer::{ClientAuth, SecretFile};
use super::problem::{ConfigError, Place, Problem};
use super::reading::{below, segment};
use super::value::HttpUrl;

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
            // `AuthMethod::BUILT_IN` lets the last two not pass.
            ClientAuth::None | ClientAuth::PrivateKeyJwt { .. } | ClientAuth::Mtls { .. } => {
                CoreAuth::None
            }
        };
        let text = |url: &Option<HttpUrl>| url.as_ref().map(|url| url.as_str().to_owned());
        let extra = issuer.extra.iter();
        Ok(IssuerConfig {
            url: issuer.url.as_ref().map(|url| url.as_str().to_owned()),
            explicit: ExplicitEndpoints {
                device_authorization: text(&issuer.endpoints.device_authorization),
                token: text(&issuer.endpoints.token),
                revocation: text(&issuer.endpoints.revocation),
                jwks: text(&issuer.endpoints.jwks),
            },
            client_id: issuer.client_id.as_str().to_owned(),
            client_auth,
            scopes: issuer.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            resource: issuer.resource.as_ref().map(|resource| resource.as_str().to_owned()),
            audience: issuer.audience.as_ref().map(|audience| audience.as_str().to_owned()),
            extra: extra.map(|(k, v)| (k.as_str().to_owned(), v.expose().to_owned())).collect(),
        })
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

    fn secret(&self, key: &str, file: &SecretFile) -> Result<Secret, ConfigError> {
        let bytes = self.file(key, file.path())?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        if printable && (1..=4096).contains(&text.len()) {
            return Ok(Secret::new(text));
        }
        let path = file.path().display();
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
