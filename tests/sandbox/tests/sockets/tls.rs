//! TLS by the sandbox's own authority, and certificates that must be refused.

use signpost_sandbox::{Certificate, Options, Sandbox, Tls};

use crate::device::{Device, logs, quick};

#[tokio::test]
async fn whoever_trusts_the_authority_signs_in_over_tls() {
    let options = Options { tls: Some(Tls::Ephemeral), ..quick() };
    let sandbox = Sandbox::start(options).await.unwrap();
    assert!(sandbox.issuer_url().starts_with("https://"));
    let device = Device::at(&sandbox);
    let access = device.sign_in(&sandbox, "anna").await.text("access_token");
    assert_eq!(device.send("/v1/logs", &access, &logs(&["x"])).await.status, 200);
}

#[tokio::test]
async fn wrong_certificates_are_refused_until_a_good_one_is_back() {
    let options = Options { tls: Some(Tls::Ephemeral), ..quick() };
    let sandbox = Sandbox::start(options).await.unwrap();
    let wrong = [
        Certificate::UnknownCa,
        Certificate::WrongName,
        Certificate::Expired,
        Certificate::NotYetValid,
    ];
    let device = Device::at(&sandbox);
    for certificate in wrong {
        // A connection from before would not see the new certificate: it has to be gone.
        assert_eq!(device.get("/jwks").await.unwrap().status(), 200);
        sandbox.set_certificate(certificate).unwrap();
        assert!(is_refused_soon(&device).await, "{certificate:?}");
        sandbox.set_certificate(Certificate::Good).unwrap();
    }
    assert_eq!(device.get("/jwks").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_kept_authority_is_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { tls: Some(Tls::Kept(dir.path().to_owned())), ..quick() };
    let first = Sandbox::start(options()).await.unwrap();
    let device = Device::at(&first);
    let pem = first.ca_pem().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(dir.path().join("ca.pem")).unwrap(), pem);
    drop(first);
    let second = Sandbox::start(options()).await.unwrap();
    assert_eq!(second.ca_pem().unwrap(), pem);
    let url = format!("{}/jwks", second.issuer_url());
    assert_eq!(device.http.get(url).send().await.unwrap().status(), 200);
}

/// Whether a handshake fails within five seconds. Before that, the connection made with the good
/// certificate may still answer, or end in mid-request.
async fn is_refused_soon(device: &Device) -> bool {
    let asking =
        async { while !device.get("/jwks").await.is_err_and(|error| error.is_connect()) {} };
    tokio::time::timeout(std::time::Duration::from_secs(5), asking).await.is_ok()
}
