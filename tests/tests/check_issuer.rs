//! `signpost check --issuer` as a program, against the sandbox on real sockets: each step that can be missed is the one
//! that is named, nothing is kept, and no code or secret is printed.
#![expect(clippy::unwrap_used, reason = "what is not as expected here is a failed test")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use signpost_sandbox::{
    Certificate, Client, Endpoint, Fault, Options, Sandbox, Service, Times, Tls,
};

const STEPS: [&str; 6] = [
    "issuer.settings",
    "issuer.dns",
    "issuer.tls",
    "issuer.discovery",
    "issuer.code",
    "issuer.poll",
];

/// A device's configuration beside a sandbox.
struct Device {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Device {
    async fn new() -> Self {
        Self::at(Options::default()).await
    }

    async fn with_tls() -> Self {
        Self::at(Options { tls: Some(Tls::Ephemeral), ..Options::default() }).await
    }

    async fn at(options: Options) -> Self {
        let options = Options { interval: Some(Duration::from_secs(1)), ..options };
        let sandbox = Sandbox::start(options).await.unwrap();
        let device = Self { sandbox, folder: tempfile::tempdir().unwrap() };
        device.configure(&format!("url = \"{}\"\n", device.sandbox.issuer_url()));
        device
    }

    /// Writes the configuration; `issuer`: the rest of its section.
    fn configure(&self, issuer: &str) {
        let at = self.folder.path().display();
        let ca = self.sandbox.ca_pem().map(|pem| {
            #[expect(clippy::disallowed_methods, reason = "a test's own folder")]
            std::fs::write(self.folder.path().join("ca.pem"), pem).unwrap();
            format!("[network]\nca_file = \"{at}/ca.pem\"\nsystem_roots = false\n")
        });
        let text = format!(
            "[issuer]\nclient_id = \"signpost\"\n{issuer}\n\
             [store]\ntokens = {{ path = \"{at}/tokens.flash\" }}\n\
             spool = {{ path = \"{at}/spool.flash\", size = \"1 MiB\" }}\n\
             [control]\nsocket = \"{at}/control.sock\"\n{}",
            ca.unwrap_or_default()
        );
        #[expect(clippy::disallowed_methods, reason = "a test's own folder")]
        std::fs::write(self.folder.path().join("signpost.toml"), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(["check", "--issuer"]).args(arguments);
        command.arg("--config").arg(self.folder.path().join("signpost.toml"));
        for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    async fn output(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
    }

    /// The probes of the steps, and the exit code.
    async fn check(&self) -> (Option<i32>, Vec<Value>) {
        let output = self.output(&["--json"]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        self.assert_silent(&text);
        let told: Value = serde_json::from_str(&text).unwrap();
        let probes = told["probes"].as_array().unwrap();
        let name = |probe: &Value| probe["name"].as_str().unwrap().to_owned();
        let steps = probes.iter().filter(|probe| name(probe).starts_with("issuer."));
        let steps: Vec<Value> = steps.cloned().collect();
        assert_eq!(steps.iter().map(name).collect::<Vec<_>>(), STEPS);
        (output.status.code(), steps)
    }

    /// `step` is missed, what comes before is not, and what comes after is not tried.
    async fn misses(&self, step: &str, detail: &str, advice: &str) {
        let (code, steps) = self.check().await;
        assert_eq!(code, Some(1), "{steps:?}");
        let at = STEPS.iter().position(|name| *name == step).unwrap();
        for (index, probe) in steps.iter().enumerate() {
            let result = probe["result"].as_str().unwrap();
            if index == at {
                assert_eq!(result, "failed", "{steps:?}");
                assert!(probe["detail"].as_str().unwrap().contains(detail), "{probe}");
                assert!(probe["advice"].as_str().unwrap().contains(advice), "{probe}");
            } else if index < at {
                assert_ne!(result, "failed", "{steps:?}");
            } else {
                assert_eq!(result, "skipped", "{steps:?}");
                assert_eq!(probe["detail"], format!("not tried: {step} comes first"));
            }
        }
        assert_eq!(self.sandbox.violations(), []);
    }

    fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.sandbox.set_fault(endpoint, fault, Times::Always);
    }

    /// Neither a code that the sandbox gave nor a secret is in `text`.
    fn assert_silent(&self, text: &str) {
        for code in self.sandbox.pending_codes() {
            assert!(!text.contains(&code.user_code), "{text}");
        }
        for secret in ["user_code", "device_code", "s3cret"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// The agent that was built with this test, or the one that SIGNPOST_BIN names.
fn program() -> Command {
    let built = || {
        let test = std::env::current_exe().unwrap();
        test.parent().and_then(|deps| deps.parent()).unwrap().join("signpost")
    };
    let path = std::env::var_os("SIGNPOST_BIN").map_or_else(built, PathBuf::from);
    assert!(path.exists(), "{} is not built: cargo build -p signpost", path.display());
    Command::new(path)
}

#[tokio::test]
async fn the_whole_way_takes_one_code_and_one_poll_and_leaves_nothing() {
    let device = Device::with_tls().await;
    let (code, steps) = device.check().await;
    assert_eq!(code, Some(0), "{steps:?}");
    assert!(steps.iter().all(|probe| probe["result"] == "ok"), "{steps:?}");
    for (endpoint, count) in [
        (Endpoint::Discovery, 1),
        (Endpoint::DeviceAuthorization, 1),
        (Endpoint::TokenPoll, 1),
        (Endpoint::Revocation, 0),
    ] {
        assert_eq!(device.sandbox.count(endpoint), count, "{endpoint:?}");
    }
    assert_eq!(device.sandbox.violations(), []);
    let first = |endpoint| device.sandbox.arrivals(endpoint)[0];
    let waited = first(Endpoint::TokenPoll) - first(Endpoint::DeviceAuthorization);
    assert!(waited >= Duration::from_secs(1), "the interval: {waited:?}");
    let left: Vec<_> = std::fs::read_dir(device.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "ca.pem and signpost.toml: {left:?}");

    let output = device.output(&[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    device.assert_silent(&text);
    assert!(text.contains("ok       issuer.poll      the issuer waits for a person"), "{text}");
}

#[tokio::test]
async fn without_the_flag_the_issuer_is_left_alone() {
    let device = Device::new().await;
    let mut command = program();
    command.arg("check").arg("--config").arg(device.folder.path().join("signpost.toml"));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(!String::from_utf8(output.stdout).unwrap().contains("issuer.dns"));
    assert_eq!(device.sandbox.count(Endpoint::Discovery), 0);
}

#[tokio::test]
async fn settings_are_missed_where_a_file_cannot_be_read() {
    let device = Device::new().await;
    let url = device.sandbox.issuer_url();
    device.configure(&format!("url = \"{url}\"\nclient_secret_file = \"/nowhere/secret\""));
    device.misses("issuer.settings", "there is no file /nowhere/secret", "correct it").await;
}

#[tokio::test]
async fn dns_is_missed_where_the_name_has_no_address() {
    let device = Device::new().await;
    device.configure("url = \"https://idp.invalid\"");
    device.misses("issuer.dns", "idp.invalid has no address", "DNS").await;
}

#[tokio::test]
async fn tls_is_missed_without_a_connection() {
    let device = Device::new().await;
    device.sandbox.set_open(Service::Issuer, false).await.unwrap();
    device.misses("issuer.tls", "E02 No network: no connection to 127.0.0.1", "firewall").await;
}

#[tokio::test]
async fn tls_is_missed_with_a_wrong_certificate() {
    let device = Device::with_tls().await;
    for (certificate, detail, advice) in [
        (Certificate::UnknownCa, "E05 Untrusted server", "network.ca_file"),
        (Certificate::WrongName, "E05 Untrusted server", "network.ca_file"),
        (Certificate::Expired, "E06 Certificate date", "clock"),
        (Certificate::NotYetValid, "E06 Certificate date", "clock"),
    ] {
        device.sandbox.set_certificate(certificate).unwrap();
        device.misses("issuer.tls", detail, advice).await;
    }
}

#[tokio::test]
async fn discovery_is_missed_where_the_document_is_wrong_or_none() {
    let device = Device::new().await;
    for (fault, detail, advice) in [
        (Fault::wrong_issuer(), "the document speaks for https://issuer.invalid", "issuer.url"),
        (
            Fault::without("device_authorization_endpoint"),
            "names no device_authorization_endpoint",
            "Enable the device flow",
        ),
        (
            Fault::with("token_endpoint", "http://idp.example/token"),
            "an address without TLS",
            "issuer.url",
        ),
        (Fault::status(404), "there is no discovery document below", "openid-configuration"),
        (Fault::status(503), "E03 Issuer trouble: HTTP status 503", "tries again"),
        (Fault::Html { status: 200 }, "E04 WiFi login page", "another network"),
        (Fault::Garbage { status: 200 }, "E03 Issuer trouble", "tries again"),
        (Fault::Reset { processed: false }, "the connection broke before the answer", "firewall"),
    ] {
        device.sandbox.clear_faults(None);
        device.fault(Endpoint::Discovery, fault);
        device.misses("issuer.discovery", detail, advice).await;
    }
    let url = device.sandbox.issuer_url();
    device.configure(&format!("url = \"{url}\"\nprofile = \"keycloak\""));
    device.sandbox.clear_faults(None);
    device.fault(Endpoint::Discovery, Fault::status(404));
    device.misses("issuer.discovery", "below http", "https://HOST/realms/REALM").await;
}

#[tokio::test]
async fn the_code_is_missed_where_the_issuer_does_not_know_the_client() {
    let stranger = Client { id: "stranger".into(), name: "S".into(), secret: None };
    let options = Options { clients: vec![stranger], ..Options::default() };
    let device = Device::at(options).await;
    device.misses("issuer.code", "E09 Client refused: invalid_client", "issuer.client_id").await;
}

#[tokio::test]
async fn the_code_is_missed_where_scopes_or_grant_type_are_refused_and_the_vendor_is_named() {
    let device = Device::new().await;
    let url = device.sandbox.issuer_url();
    let (refused, forbidden) = ("E09 Client refused", "E08 No device login");
    for (profile, fault, error, advice) in [
        ("generic", refused, "invalid_scope", "take out of issuer.scopes"),
        ("generic", forbidden, "unauthorized_client", "allow the device authorization grant"),
        ("keycloak", refused, "invalid_grant", "OAuth 2.0 Device Authorization Grant on"),
        ("auth0", forbidden, "unauthorized_client", "Grant Types: tick Device Code"),
        ("okta", refused, "invalid_scope", "Security > API > the server > Scopes"),
        ("entra", forbidden, "unauthorized_client", "issuer.tenant"),
        ("github", forbidden, "device_flow_disabled", "tick Enable Device Flow"),
        ("google", refused, "invalid_client", "TVs and Limited Input devices"),
        ("generic", refused, "brand_new_error", "Check issuer.client_id, secret and scopes"),
    ] {
        // By hand: not every vendor has a discovery document.
        device.configure(&format!(
            "profile = \"{profile}\"\ntoken_endpoint = \"{url}/token\"\n\
             device_authorization_endpoint = \"{url}/device_authorization\""
        ));
        device.sandbox.clear_faults(None);
        device.fault(Endpoint::DeviceAuthorization, Fault::oauth(error));
        device.misses("issuer.code", &format!("{fault}: {error}"), advice).await;
    }
    device.sandbox.clear_faults(None);
    device.fault(Endpoint::DeviceAuthorization, Fault::Empty { status: 400 });
    device.misses("issuer.code", "HTTP status 400 with what is no answer", "tries again").await;
    device.sandbox.clear_faults(None);
    device.configure(&format!(
        "token_endpoint = \"{url}/token\"\ndevice_authorization_endpoint = \"{url}/nowhere\""
    ));
    device.misses("issuer.code", "HTTP status 404: nobody is there", "issuer.url").await;
}

#[tokio::test]
async fn the_poll_is_missed_where_the_clients_authentication_is_wrong() {
    let client =
        Client { id: "signpost".into(), name: "S".into(), secret: Some("s3cret-of-mine".into()) };
    let device = Device::at(Options { clients: vec![client], ..Options::default() }).await;
    let url = device.sandbox.issuer_url();
    let secret = device.folder.path().join("secret");
    #[expect(clippy::disallowed_methods, reason = "a test's own folder")]
    std::fs::write(&secret, "s3cret-of-mine\n").unwrap();
    let section = |profile: &str| {
        format!(
            "url = \"{url}\"\nprofile = \"{profile}\"\nclient_secret_file = \"{}\"",
            secret.display()
        )
    };
    device.configure(&section("generic"));
    let (code, steps) = device.check().await;
    assert_eq!(code, Some(0), "{steps:?}");
    device.fault(Endpoint::TokenPoll, Fault::oauth("invalid_client"));
    let wrong = "E09 Client refused: invalid_client";
    device.misses("issuer.poll", wrong, "the client's authentication is wrong").await;
    device.configure(&section("entra"));
    device.misses("issuer.poll", wrong, "Allow public client flows: Yes").await;
    device.configure(&section("generic"));
    for (fault, detail, advice) in [
        (Fault::oauth("access_denied"), "before anybody was asked", "a policy"),
        (Fault::oauth("invalid_grant"), "does not know the code", "issuer.dpop"),
        (Fault::status(500), "E03 Issuer trouble: HTTP status 500", "tries again"),
    ] {
        device.sandbox.clear_faults(None);
        device.fault(Endpoint::TokenPoll, fault);
        device.misses("issuer.poll", detail, advice).await;
    }
}

#[tokio::test]
async fn endpoints_that_are_configured_need_no_discovery() {
    let device = Device::new().await;
    let issuer = device.sandbox.issuer_url();
    device.configure(&format!(
        "device_authorization_endpoint = \"{issuer}/device_authorization\"\n\
         token_endpoint = \"{issuer}/token\""
    ));
    let (code, steps) = device.check().await;
    assert_eq!(code, Some(0), "{steps:?}");
    assert_eq!(steps[3]["result"], "skipped");
    assert_eq!(steps[3]["detail"], "not needed: the endpoints are configured");
    assert_eq!(steps[5]["result"], "ok");
    assert_eq!(device.sandbox.count(Endpoint::Discovery), 0);
}

#[tokio::test]
async fn bound_tokens_are_asked_for_with_a_key_that_is_not_kept() {
    let device = Device::new().await;
    let url = device.sandbox.issuer_url();
    device.configure(&format!("url = \"{url}\"\ndpop = true"));
    let (code, steps) = device.check().await;
    assert_eq!(code, Some(0), "{steps:?}");
    assert_eq!(steps[5]["result"], "ok");
    let left: Vec<_> = std::fs::read_dir(device.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "signpost.toml: {left:?}");
}

#[tokio::test]
async fn an_interval_that_nobody_waits_for_is_said() {
    let device = Device::new().await;
    device.fault(Endpoint::DeviceAuthorization, Fault::with("interval", 120));
    let (code, steps) = device.check().await;
    assert_eq!(code, Some(0), "{steps:?}");
    assert_eq!(steps[5]["result"], "skipped");
    assert!(steps[5]["detail"].as_str().unwrap().contains("s before it"), "{steps:?}");
    assert_eq!(device.sandbox.count(Endpoint::TokenPoll), 0);
}

#[tokio::test]
async fn a_token_that_comes_all_the_same_is_revoked() {
    let device = Device::new().await;
    let mut command = device.command(&["--json"]);
    let running = tokio::task::spawn_blocking(move || command.output());
    let shown = |sandbox: &Sandbox| !sandbox.pending_codes().is_empty();
    assert!(device.sandbox.wait_until(Duration::from_secs(20), shown).await);
    let code = device.sandbox.pending_codes()[0].user_code.clone();
    device.sandbox.approve(&code, "anna").unwrap();
    let output = running.await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("a code that nobody has seen; it is revoked again"), "{text}");
    assert!(!text.contains(&code), "{text}");
    assert_eq!(device.sandbox.count(Endpoint::Revocation), 1);
    assert_eq!(device.sandbox.grant_count("anna"), 0);
}
