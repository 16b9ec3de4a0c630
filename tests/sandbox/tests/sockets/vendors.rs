//! `--profile`: what a vendor's clients meet on the wire, at that vendor's addresses.

use serde_json::Value;
use signpost_sandbox::{Client, Options, Sandbox, Vendor};

use crate::device::{Device, SCOPE, quick};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn at(vendor: Vendor) -> (Sandbox, Device) {
    let clients = vec![Client { id: "signpost".into(), name: "x".into(), secret: None }];
    let options = Options { interval: quick().interval, clients, ..Options::of(vendor) };
    let sandbox = Sandbox::start(options).await.unwrap();
    let device = Device::at(&sandbox);
    (sandbox, device)
}

#[tokio::test]
async fn each_has_its_addresses_its_statuses_and_its_names() {
    for (vendor, base, code, token, pending, denied) in [
        (
            Vendor::Entra,
            "/acme.example",
            "/oauth2/v2.0/devicecode",
            "/oauth2/v2.0/token",
            (400, "authorization_pending"),
            (400, "authorization_declined"),
        ),
        (
            Vendor::Google,
            "",
            "/device/code",
            "/token",
            (428, "authorization_pending"),
            (403, "access_denied"),
        ),
        (
            Vendor::Auth0,
            "",
            "/oauth/device/code",
            "/oauth/token",
            (403, "authorization_pending"),
            (403, "access_denied"),
        ),
        (
            Vendor::Keycloak,
            "/realms/acme",
            "/protocol/openid-connect/auth/device",
            "/protocol/openid-connect/token",
            (400, "authorization_pending"),
            (400, "access_denied"),
        ),
    ] {
        let (sandbox, device) = at(vendor).await;
        let scope = if vendor == Vendor::Google { "openid" } else { SCOPE };
        let asked = [("client_id", "signpost"), ("scope", scope)];
        let begun = device.ask(&format!("{base}{code}"), &asked).await;
        assert_eq!(begun.status, 200, "{vendor:?} {begun:?}");
        let device_code = begun.text("device_code");
        let fields =
            [("client_id", "signpost"), ("grant_type", DEVICE), ("device_code", &*device_code)];
        let polled = device.ask(&format!("{base}{token}"), &fields).await;
        assert_eq!((polled.status, polled.error()), pending, "{vendor:?}");
        sandbox.deny(&begun.text("user_code")).unwrap();
        let mut polled = device.ask(&format!("{base}{token}"), &fields).await;
        if vendor == Vendor::Keycloak {
            assert_eq!((polled.status, polled.error()), pending, "it lags");
            polled = device.ask(&format!("{base}{token}"), &fields).await;
        }
        assert_eq!((polled.status, polled.error()), denied, "{vendor:?}");
        assert_eq!(polled.body["error_codes"].is_array(), vendor == Vendor::Entra);
        let address = begun.body["verification_url"].is_string();
        assert_eq!(address, vendor == Vendor::Google);
    }
}

#[tokio::test]
async fn github_speaks_in_forms_unless_it_is_asked_for_json() {
    let (_sandbox, device) = at(Vendor::Github).await;
    let asked = [("client_id", "signpost")];
    let reply = device.post("/login/device/code", &asked).await.unwrap();
    assert_eq!(reply.headers()["content-type"], "application/x-www-form-urlencoded");
    let fields = [("client_id", "signpost"), ("grant_type", DEVICE), ("device_code", "x")];
    let reply = device.post("/login/oauth/access_token", &fields).await.unwrap();
    assert_eq!(reply.status(), 200);
    let body = reply.text().await.unwrap();
    assert!(body.contains("error=incorrect_device_code"), "{body}");
    let metadata = device.get("/.well-known/openid-configuration").await.unwrap();
    assert_eq!(metadata.status(), 404);
}

#[tokio::test]
async fn metadata_names_the_vendors_own_addresses() {
    let (sandbox, device) = at(Vendor::Okta).await;
    let found = device.get("/.well-known/openid-configuration").await.unwrap();
    let found: Value = serde_json::from_slice(&found.bytes().await.unwrap()).unwrap();
    let expected = format!("{}/v1/device/authorize", sandbox.issuer_url());
    assert_eq!(found["device_authorization_endpoint"], expected);
    for name in Vendor::ALL.map(Vendor::name) {
        assert_eq!(Vendor::named(name).map(Vendor::name), Some(name));
    }
}
