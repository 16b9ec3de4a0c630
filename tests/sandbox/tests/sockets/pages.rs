//! The sign-in page without a browser's script, and the live page.

use signpost_sandbox::Sandbox;

use crate::device::{Device, logs, quick};

struct Page {
    status: u16,
    text: String,
    policy: String,
}

async fn open(device: &Device, url: &str) -> Page {
    read(device.http.get(url).send().await.unwrap()).await
}

async fn read(response: reqwest::Response) -> Page {
    let header = |name| response.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
    let policy = header("content-security-policy").unwrap_or_default();
    let status = response.status().as_u16();
    let text = String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap();
    Page { status, text, policy }
}

impl Page {
    fn ticket(&self) -> String {
        let (_, rest) = self.text.split_once("name=\"ticket\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }
}

async fn answer(device: &Device, fields: &[(&str, &str)]) -> Page {
    read(device.post("/device/answer", fields).await.unwrap()).await
}

#[tokio::test]
async fn a_person_types_the_code_confirms_it_and_is_done() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let begun = device.begin().await;
    let (page, code) = (begun.text("verification_uri"), begun.text("user_code"));

    let empty = open(&device, &page).await;
    assert!(empty.status == 200 && empty.text.contains("name=\"user_code\""));
    assert!(empty.policy.starts_with("default-src 'none';"));
    assert!(!empty.text.contains("<script"));

    let typed = code.to_lowercase().replace('-', "");
    let shown = open(&device, &format!("{page}?user_code={typed}")).await;
    for part in [code.as_str(), "Is this your device?", "Anna Berg", "Harbour Lab"] {
        assert!(shown.text.contains(part), "{part}");
    }
    // Looking grants nothing.
    assert_eq!(device.poll(&begun.text("device_code")).await.error(), "authorization_pending");

    let ticket = shown.ticket();
    let fields = [("ticket", ticket.as_str()), ("account", "ben"), ("answer", "approve")];
    let done = answer(&device, &fields).await;
    assert!(done.status == 200 && done.text.contains("You can close this page"));
    let again = answer(&device, &fields).await;
    assert!(again.status == 200 && again.text.contains("Ben Okoro"));
    assert_eq!(device.poll(&begun.text("device_code")).await.status, 200);
    assert_eq!(sandbox.grant_count("ben"), 1);
}

#[tokio::test]
async fn the_complete_address_still_asks_and_no_means_no() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let begun = device.begin().await;
    let shown = open(&device, &begun.text("verification_uri_complete")).await;
    assert!(shown.text.contains(&begun.text("user_code")));
    let ticket = shown.ticket();
    let undecided = answer(&device, &[("ticket", &ticket), ("answer", "approve")]).await;
    assert!(undecided.status == 400 && undecided.text.contains("Choose an account"));
    let denied = answer(&device, &[("ticket", &ticket), ("answer", "deny")]).await;
    assert!(denied.text.contains("was not signed in"));
    assert_eq!(device.poll(&begun.text("device_code")).await.error(), "access_denied");
    // A reload after the device has heard of it still says the same.
    let again = answer(&device, &[("ticket", &ticket), ("answer", "deny")]).await;
    assert!(again.text.contains("was not signed in"));
}

#[tokio::test]
async fn an_answer_needs_the_page_that_was_shown() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let begun = device.begin().await;
    let code = begun.text("user_code");
    let forged =
        [("user_code", code.as_str()), ("ticket", "x"), ("account", "anna"), ("answer", "approve")];
    assert_eq!(answer(&device, &forged).await.status, 400);
    assert_eq!(device.poll(&begun.text("device_code")).await.error(), "authorization_pending");
}

#[tokio::test]
async fn wrong_old_and_locked_each_end_clearly() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let page = format!("{}/device", sandbox.issuer_url());
    let wrong = open(&device, &format!("{page}?user_code=%22%3E%3Cscript%3E")).await;
    assert!(wrong.status == 400 && wrong.text.contains("No device shows this code"));
    assert!(wrong.text.contains("role=\"alert\"") && !wrong.text.contains("<script"));

    let begun = device.begin().await;
    let complete = begun.text("verification_uri_complete");
    let ticket = open(&device, &complete).await.ticket();
    sandbox.set_account_enabled("anna", false);
    let fields = [("ticket", ticket.as_str()), ("account", "anna"), ("answer", "approve")];
    let locked = answer(&device, &fields).await;
    assert!(locked.status == 400 && locked.text.contains("This account is locked"));

    sandbox.advance(std::time::Duration::from_secs(601));
    for old in [open(&device, &complete).await, answer(&device, &fields[..1]).await] {
        assert!(old.status == 410 || old.status == 400, "{}", old.status);
    }
    assert!(open(&device, &complete).await.text.contains("This code is too old"));
}

#[tokio::test]
async fn telemetry_appears_on_the_live_page_escaped_and_by_event() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let page = open(&device, sandbox.telemetry_url()).await;
    assert!(page.text.contains("Waiting for the first device"));
    let events = format!("{}/live/events", sandbox.telemetry_url());
    let mut events = device.http.get(events).send().await.unwrap();
    let first = events.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: "));

    let access = device.sign_in(&sandbox, "anna").await.text("access_token");
    device.send("/v1/logs", &access, &logs(&["<b>pump</b>"])).await;
    let second = events.chunk().await.unwrap().unwrap();
    let second = String::from_utf8(second.to_vec()).unwrap();
    assert!(second.contains("for Anna Berg") && second.contains("&lt;b&gt;pump"), "{second}");
    assert!(open(&device, sandbox.telemetry_url()).await.text.contains("&lt;b&gt;pump"));
}
