//! A certificate authority of the sandbox's own, and certificates that are wrong on purpose.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

/// Where the certificate authority lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Made at start, gone at the end.
    Ephemeral,
    /// `ca.pem` and `ca-key.pem` in this directory: made if missing, else used again.
    Kept(PathBuf),
}

/// What a server shows in its TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    /// One that a client which trusts `ca.pem` takes.
    #[default]
    Good,
    /// Signed by somebody else.
    UnknownCa,
    /// For another host.
    WrongName,
    /// Ended in 2001.
    Expired,
    /// Begins in 2090.
    NotYetValid,
}

pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    names: Vec<String>,
}

impl Authority {
    /// An authority for a server that is reached by these names and addresses.
    pub(crate) fn open(tls: &Tls, names: Vec<String>) -> io::Result<Self> {
        let (key, kept_pem) = match tls {
            Tls::Ephemeral => (KeyPair::generate().map_err(io::Error::other)?, None),
            Tls::Kept(dir) => kept_key(dir)?,
        };
        let params = ca_params();
        let pem = match kept_pem {
            Some(pem) => pem,
            None => params.self_signed(&key).map_err(io::Error::other)?.pem(),
        };
        if let Tls::Kept(dir) = tls {
            write(&dir.join("ca.pem"), pem.as_bytes(), 0o644)?;
        }
        Ok(Self { pem, issuer: Issuer::new(params, key), names })
    }

    /// What clients are to trust.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn server_config(&self, certificate: Certificate) -> io::Result<Arc<ServerConfig>> {
        let names = if certificate == Certificate::WrongName {
            vec!["elsewhere.invalid".to_owned()]
        } else {
            self.names.clone()
        };
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, "Signpost sandbox");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let (from, to) = match certificate {
            Certificate::Expired => (2000, 2001),
            Certificate::NotYetValid => (2090, 2095),
            Certificate::Good | Certificate::UnknownCa | Certificate::WrongName => (2020, 2099),
        };
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let signed = if certificate == Certificate::UnknownCa {
            let stranger = KeyPair::generate().map_err(io::Error::other)?;
            params.signed_by(&key, &Issuer::new(ca_params(), stranger))
        } else {
            params.signed_by(&key, &self.issuer)
        };
        let chain = vec![signed.map_err(io::Error::other)?.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The names and addresses by which a server on this machine is reached.
pub(crate) fn local_names(listen: IpAddr, host: Option<&str>) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let more = [Some(listen.to_string()), host.map(str::to_owned)];
    for name in more.into_iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Signpost sandbox CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(1999, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params
}

/// The key of a kept authority, with its certificate if both are there.
fn kept_key(dir: &Path) -> io::Result<(KeyPair, Option<String>)> {
    fs::create_dir_all(dir)?;
    let path = dir.join("ca-key.pem");
    match fs::read_to_string(&path) {
        Ok(pem) => {
            let key = KeyPair::from_pem(&pem).map_err(io::Error::other)?;
            Ok((key, fs::read_to_string(dir.join("ca.pem")).ok()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            write(&path, key.serialize_pem().as_bytes(), 0o600)?;
            Ok((key, None))
        }
        Err(error) => Err(error),
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?
        .write_all(bytes)
}
