//! What a sandbox answers when nothing is wrong, over real sockets.

use crate::device::{Device, logs, quick};
use signpost_sandbox::Sandbox;

#[tokio::test]
async fn a_person_approves_and_telemetry_arrives_in_their_name() {
    let sandbox = Sandbox::start(quick()).await.unwrap();
    let device = Device::at(&sandbox);
    let begun = device.begin().await;
    let device_code = begun.text("device_code");
    assert_eq!(device.poll(&device_code).await.error(), "authorization_pending");

    sandbox.approve(&begun.text("user_code"), "anna").unwrap();
    let tokens = device.poll(&device_code).await;
    let sent = device.send("/v1/logs", &tokens.text("access_token"), &logs(&["hello"])).await;

    assert_eq!((sent.status, sent.body), (200, serde_json::json!({})));
    let received = sandbox.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].subject, "anna");
    assert_eq!(received[0].records[0].text, "hello");
    assert_eq!(sandbox.violations(), []);
}
