//! Which endpoints an issuer names, and what goes on without them.

use super::*;

const DOCUMENT: &str = r#"{"issuer":"https://idp.example","token_endpoint":"https://idp.example/t",
    "revocation_endpoint":"https://idp.example/r",
    "device_authorization_endpoint":"https://idp.example/d"}"#;

#[test]
fn an_issuer_that_stops_naming_a_device_endpoint_ends_nothing() {
    let mut config = config();
    config.issuer.explicit = ExplicitEndpoints::default();
    let record = Rig::signed_in().kept();
    let closed = DOCUMENT.replace("device_authorization_endpoint", "was_one");
    let mut rig = Rig::new(config, Stored { record: Some(record), ..Stored::default() });
    rig.answer(&json(200, &closed));
    assert!(rig.session.faults().has(Fault::NoDeviceFlow), "said before somebody needs it");
    assert!(rig.body().contains("refresh_token=rt-1"));
    rig.answer(&renewed("rt-2"));
    assert_eq!(rig.access().token.expose(), "at-rt-2");
    rig.session.sign_out(rig.now);
    rig.drain();
    assert_eq!(rig.sent[0].1.url, "https://idp.example/r");
    rig.answer(&json(200, ""));
    assert!(rig.events.contains(&Event::Revoked));
    rig.session.sign_in(rig.now);
    rig.pass(86_400 + 60);
    assert_eq!(rig.sent.len(), 1, "the document alone is asked for again");
    rig.answer(&json(200, DOCUMENT));
    assert_eq!(rig.sent[0].1.url, "https://idp.example/d");
    assert!(!rig.session.faults().has(Fault::NoDeviceFlow));
}
