//! Whom TLS trusts: the system's authorities and those that the configuration names.

use super::HttpError;
use crate::config::{AbsPath, ClientIdentity, Loaded};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::sync::Arc;

/// Sessions that are kept for resumption; issuer and backend are few servers.
const SESSIONS: usize = 16;

/// A set of authorities.
#[derive(Clone)]
pub(super) struct Trust(RootCertStore);

impl Trust {
    /// Those of `[network]`. Reading the system's takes several milliseconds: once is enough.
    pub(super) fn load(loaded: &Loaded) -> Result<Self, HttpError> {
        let network = &loaded.config.network;
        let mut roots = RootCertStore::empty();
        if network.system_roots {
            let found = rustls_native_certs::load_native_certs();
            // A system has certificates that nobody can parse; the others count all the same.
            let (good, _) = roots.add_parsable_certificates(found.certs);
            tracing::debug!("{good} of the system's certificate authorities are trusted");
            if good == 0 && network.ca_file.is_none() {
                tracing::warn!(
                    "this system has no certificate authorities: install ca-certificates, \
                     or name a file in network.ca_file"
                );
            }
        }
        let mut trust = Self(roots);
        if let Some(path) = &network.ca_file {
            trust.add(loaded, "network.ca_file", path)?;
        }
        Ok(trust)
    }

    /// The same with `telemetry.ca_file`; `None` where there is none.
    pub(super) fn with_telemetry(&self, loaded: &Loaded) -> Result<Option<Self>, HttpError> {
        let Some(path) = &loaded.config.telemetry.ca_file else { return Ok(None) };
        let mut trust = Self(self.0.clone());
        trust.add(loaded, "telemetry.ca_file", path)?;
        Ok(Some(trust))
    }

    fn add(&mut self, loaded: &Loaded, key: &'static str, path: &AbsPath) -> Result<(), HttpError> {
        let pem = loaded.file(key, path.as_path())?;
        let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        match self.0.add_parsable_certificates(certificates) {
            (0, _) => Err(HttpError::NoCertificate { key, path: path.as_path().to_owned() }),
            _ => Ok(()),
        }
    }

    /// Settings of TLS; with `identity` for servers that ask who the client is.
    pub(super) fn into_config(
        self,
        identity: Option<ClientIdentity>,
    ) -> Result<ClientConfig, HttpError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| HttpError::Client(error.to_string()))?
            .with_root_certificates(self.0);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(ClientIdentity { chain, key }) => {
                builder.with_client_auth_cert(chain, key).map_err(|_| HttpError::Identity)?
            }
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }
}
