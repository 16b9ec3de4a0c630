//! TLS: who is trusted, and what a handshake that fails is called.

use super::{
    LIMITS, form, reply,
    servers::{OK, Server, answer},
    telemetry, try_http,
};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use signpost::shell::http::{Http, HttpError};
use signpost_core::http::{Cause, Outcome};
use std::{io::Write, sync::Arc};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

/// Signs certificates, and is trusted by whoever has its file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(params.self_signed(&key).unwrap().pem().as_bytes()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    fn trusted(&self, table: &str) -> String {
        format!("[{table}]\nca_file = \"{}\"\n", self.file.path().display())
    }

    /// A server that calls itself `name`, within these years.
    async fn server(&self, name: &str, years: (i32, i32)) -> Server {
        self.server_for(name, years, false).await
    }

    /// One that says what certificate its clients show, if `asks` for one.
    async fn server_for(&self, name: &str, years: (i32, i32), asks: bool) -> Server {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = if asks {
            let mut roots = RootCertStore::empty();
            let pem = std::fs::read(self.file.path()).unwrap();
            roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                Arc::new(rustls::crypto::ring::default_provider()),
            );
            let verifier = verifier.allow_unauthenticated().build().unwrap();
            config.with_client_cert_verifier(verifier)
        } else {
            config.with_no_client_auth()
        };
        let config = config.with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Server::doing(move |stream, heard| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let shown = stream.get_ref().1.peer_certificates();
                    let shown: &[u8] =
                        if shown.is_some() { b"a certificate" } else { b"a handshake" };
                    let _ = heard.send(shown.to_vec());
                    answer(&mut stream).await;
                }
            }
        })
        .await
    }
}

const GOOD_YEARS: (i32, i32) = (2020, 2099);

fn url(server: &Server) -> String {
    format!("https://{}/token", server.address)
}

fn trusting(authority: &Authority) -> Http {
    let network = authority.trusted("network") + "system_roots = false\n";
    try_http(&network).unwrap()
}

#[tokio::test]
async fn an_authority_of_the_configuration_is_trusted_beside_the_systems_or_alone() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", GOOD_YEARS).await;
    reply(trusting(&authority).exchange(form(&url(&server))).await);
    let beside = try_http(&authority.trusted("network")).unwrap();
    reply(beside.exchange(form(&url(&server))).await);
}

#[tokio::test]
async fn the_backends_authority_vouches_for_the_backend_alone() {
    let authority = Authority::new();
    let server = authority.server("127.0.0.1", GOOD_YEARS).await;
    let http = try_http(&authority.trusted("telemetry")).unwrap();
    reply(http.exchange(telemetry(&url(&server), b"metrics")).await);
    let issuer = http.exchange(form(&url(&server))).await;
    assert_eq!(issuer, Outcome::NotSent(Cause::CertificateUntrusted));
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_with_a_bad_certificate() {
    let authority = Authority::new();
    for (name, years, cause) in [
        ("127.0.0.1", (2000, 2001), Cause::CertificateDates),
        ("127.0.0.1", (2090, 2099), Cause::CertificateDates),
        ("elsewhere.example", GOOD_YEARS, Cause::CertificateUntrusted),
    ] {
        let mut server = authority.server(name, years).await;
        let outcome = trusting(&authority).exchange(form(&url(&server))).await;
        assert_eq!(outcome, Outcome::NotSent(cause), "{name} {years:?}");
        assert!(server.is_untouched());
    }
    let mut server = Authority::new().server("127.0.0.1", GOOD_YEARS).await;
    let outcome = trusting(&authority).exchange(form(&url(&server))).await;
    assert_eq!(outcome, Outcome::NotSent(Cause::CertificateUntrusted), "of a stranger");
    assert!(server.is_untouched());
}

#[tokio::test]
async fn what_speaks_no_tls_gets_nothing() {
    let http = trusting(&Authority::new());
    let plain = Server::doing(|mut stream, _| async move {
        stream.write_all(OK).await.unwrap();
    });
    let plain = plain.await;
    let outcome = http.exchange(form(&url(&plain))).await;
    assert_eq!(outcome, Outcome::NotSent(Cause::Tls), "plain HTTP");
    let closing = Server::doing(|stream, _| async move { drop(stream) }).await;
    let outcome = http.exchange(form(&url(&closing))).await;
    assert_eq!(outcome, Outcome::NotSent(Cause::Tls), "closed at once");
    let reset = Server::doing(|stream, _| async move { stream.set_zero_linger().unwrap() }).await;
    let outcome = http.exchange(form(&url(&reset))).await;
    assert_eq!(outcome, Outcome::NotSent(Cause::Tls), "reset at once");
}

#[tokio::test]
async fn a_handshake_that_hangs_ends_at_the_limit_of_connecting() {
    assert!(LIMITS.connect < LIMITS.exchange);
    let silent = Server::doing(|stream, _| async move {
        let _open = stream;
        std::future::pending().await
    });
    let outcome = trusting(&Authority::new()).exchange(form(&url(&silent.await))).await;
    assert_eq!(outcome, Outcome::NotSent(Cause::Timeout));
}

#[test]
fn a_file_without_certificates_is_told_by_its_key() {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(b"-----BEGIN CERTIFICATE-----\nnonsense\n").unwrap();
    let path = file.path().to_owned();
    for (table, key) in [("network", "network.ca_file"), ("telemetry", "telemetry.ca_file")] {
        let more = format!("[{table}]\nca_file = \"{}\"\n", path.display());
        let error = try_http(&more).unwrap_err();
        assert_eq!(error, HttpError::NoCertificate { key, path: path.clone() });
        assert!(error.to_string().starts_with(key), "{error}");
    }
    let error = try_http("[network]\nca_file = \"/nowhere/ca.pem\"\n").unwrap_err().to_string();
    assert!(error.contains("network.ca_file: there is no file /nowhere/ca.pem"), "{error}");
}

#[tokio::test]
async fn the_clients_certificate_is_shown_to_the_issuer_and_to_nobody_else() {
    let authority = Authority::new();
    let mut server = authority.server_for("127.0.0.1", GOOD_YEARS, true).await;
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().signed_by(&key, &authority.issuer).unwrap();
    let (mut key_file, mut file) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
    key_file.write_all(key.serialize_pem().as_bytes()).unwrap();
    file.write_all(certificate.pem().as_bytes()).unwrap();
    let text = |file: &NamedTempFile| {
        format!(
            "auth = \"mtls\"\nprivate_key_file = \"{}\"\ncertificate_file = \"{}\"\n{}system_roots = false\n",
            key_file.path().display(),
            file.path().display(),
            authority.trusted("network"),
        )
    };
    let http = try_http(&text(&file)).unwrap();
    reply(http.exchange(form(&url(&server))).await);
    assert_eq!(server.heard().await, b"a certificate");
    reply(http.exchange(telemetry(&url(&server), b"x")).await);
    assert_eq!(server.heard().await, b"a handshake");

    let other = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap();
    let mut of_another = NamedTempFile::new().unwrap();
    of_another.write_all(other.pem().as_bytes()).unwrap();
    assert_eq!(try_http(&text(&of_another)).unwrap_err(), HttpError::Identity);
}
