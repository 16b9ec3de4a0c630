//! The switches over HTTP.

use serde_json::{Value, json};
use signpost_sandbox::Sandbox;

use crate::device::{Device, logs, quick};

struct Control<'a> {
    device: &'a Device,
    base: String,
}

impl Control<'_> {
    async fn post(&self, path: &str, body: Value) -> u16 {
        let request = self.device.http.post(format!("{}{path}", self.base));
        request.body(body.to_string()).send().await.unwrap().status().as_u16()
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.device.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_script_steers_everything() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let base = format!("{}/control", sandbox.issuer_url());
    let control = Control { device: &device, base };

    let begun = device.begin().await;
    let codes = control.get("/codes").await;
    assert_eq!(codes["codes"][0]["user_code"], begun.text("user_code"));
    let approve = json!({"user_code": begun.text("user_code"), "account": "anna"});
    assert_eq!(control.post("/approve", approve.clone()).await, 200);
    assert_eq!(control.post("/approve", approve).await, 400);
    let tokens = device.poll(&begun.text("device_code")).await;
    device.send("/v1/logs", &tokens.text("access_token"), &logs(&["x"])).await;
    let received = control.get("/received?after=0").await;
    assert_eq!(received["received"][0]["subject"], "anna");
    assert_eq!(received["received"][0]["records"][0]["text"], "x");
    assert_eq!(control.get("/received?after=1").await["received"], json!([]));

    let fault = json!({"endpoint": "token_refresh", "times": 1, "fault":
        {"kind": "status", "status": 503, "retry_after": {"seconds": 0}}});
    assert_eq!(control.post("/faults", fault).await, 200);
    assert_eq!(device.refresh("x").await.status, 503);
    assert_eq!(device.refresh("x").await.error(), "invalid_grant");
    let forever = json!({"endpoint": "token_refresh", "fault": {"kind": "hang"}});
    assert_eq!(control.post("/faults", forever).await, 200);
    let url = format!("{}/faults?endpoint=token_refresh", control.base);
    assert_eq!(device.http.delete(url).send().await.unwrap().status(), 200);
    assert_eq!(device.refresh("x").await.error(), "invalid_grant");
    assert_eq!(control.post("/faults", json!({"endpoint": "nowhere"})).await, 400);

    let anna = json!({"subject": "anna"});
    assert_eq!(control.post("/access-tokens/revoke", anna.clone()).await, 200);
    let sent = device.send("/v1/logs", &tokens.text("access_token"), &logs(&["x"])).await;
    assert_eq!(sent.status, 401);
    let off = json!({"subject": "anna", "enabled": false});
    assert_eq!(control.post("/account", off).await, 200);
    assert_eq!(control.post("/grants/revoke", anna).await, 200);
    assert_eq!(sandbox.grant_count("anna"), 0);
    assert_eq!(control.post("/keys/rotate", json!({})).await, 200);
    assert_eq!(control.post("/advance", json!({"seconds": 60})).await, 200);
    assert_eq!(control.post("/open", json!({"service": "telemetry", "open": false})).await, 200);
    assert_eq!(control.post("/certificate", json!({"certificate": "expired"})).await, 400);
    let journal = control.get("/journal").await;
    assert_eq!(journal["counts"]["token_refresh"], 3);
    assert_eq!(journal["violations"], json!([]));
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_steer_it() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let request = device.http.post(format!("{}/control/advance", sandbox.issuer_url()));
    let request = request.header("origin", "https://evil.example").body("{\"seconds\": 1}");
    assert_eq!(request.send().await.unwrap().status(), 403);
}
