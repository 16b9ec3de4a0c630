//! A device as small as it can be: it asks when it is told to, and waits for nothing.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;
use signpost_sandbox::{Options, Sandbox};

/// Status and JSON body (null if it is none).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or("")
    }

    pub(crate) fn text(&self, field: &str) -> String {
        self.body[field]
            .as_str()
            .unwrap_or_else(|| panic!("no {field} in {}", self.body))
            .to_owned()
    }
}

pub(crate) struct Device {
    pub(crate) http: Client,
    issuer: String,
    telemetry: String,
    pub(crate) client_id: String,
}

pub(crate) const SCOPE: &str = "openid offline_access telemetry.write";

/// Codes that may be polled for without waiting.
pub(crate) fn quick() -> Options {
    Options { interval: Some(Duration::ZERO), ..Options::default() }
}

impl Device {
    pub(crate) fn at(sandbox: &Sandbox) -> Self {
        install_crypto();
        let mut http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(5));
        if let Some(pem) = sandbox.ca_pem() {
            let ca = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
            http = http.tls_certs_only([ca]);
        } else {
            http = http.tls_certs_only([]);
        }
        Self {
            http: http.build().unwrap(),
            issuer: sandbox.issuer_url().to_owned(),
            telemetry: sandbox.telemetry_url().to_owned(),
            client_id: "signpost".to_owned(),
        }
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> reqwest::Result<Response> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let request = self.http.post(format!("{}{path}", self.issuer));
        request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.finish())
            .send()
            .await
    }

    pub(crate) async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let response = self.post(path, fields).await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Result<Response> {
        self.http.get(format!("{}{path}", self.issuer)).send().await
    }

    pub(crate) async fn begin(&self) -> Answer {
        let fields = [("client_id", self.client_id.as_str()), ("scope", SCOPE)];
        self.ask("/device_authorization", &fields).await
    }

    pub(crate) async fn poll(&self, device_code: &str) -> Answer {
        self.ask("/token", &self.poll_fields(device_code)).await
    }

    pub(crate) fn poll_fields<'a>(&'a self, device_code: &'a str) -> [(&'a str, &'a str); 3] {
        [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", &self.client_id),
            ("device_code", device_code),
        ]
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Answer {
        self.ask("/token", &self.refresh_fields(refresh_token)).await
    }

    pub(crate) fn refresh_fields<'a>(&'a self, refresh_token: &'a str) -> [(&'a str, &'a str); 3] {
        [
            ("grant_type", "refresh_token"),
            ("client_id", &self.client_id),
            ("refresh_token", refresh_token),
        ]
    }

    /// The token reply of a sign-in that `subject` has approved.
    pub(crate) async fn sign_in(&self, sandbox: &Sandbox, subject: &str) -> Answer {
        let begun = self.begin().await;
        sandbox.approve(&begun.text("user_code"), subject).unwrap();
        let tokens = self.poll(&begun.text("device_code")).await;
        assert_eq!(tokens.status, 200, "{}", tokens.body);
        tokens
    }

    /// Sends OTLP as JSON.
    pub(crate) async fn send(&self, path: &str, token: &str, body: &Value) -> Answer {
        let request = self.http.post(format!("{}{path}", self.telemetry));
        let response = request
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    pub(crate) fn telemetry(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.telemetry))
    }
}

/// Log records with these bodies.
pub(crate) fn logs(bodies: &[&str]) -> Value {
    let records: Vec<Value> =
        bodies.iter().map(|text| serde_json::json!({ "body": { "stringValue": text } })).collect();
    serde_json::json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": records }] }] })
}

pub(crate) fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
