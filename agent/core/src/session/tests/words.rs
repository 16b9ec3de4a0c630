//! What the issuer said beside a fault that it caused, for whoever asks its support.

use super::*;

fn blocked(code: &str, id: &str) -> Outcome {
    let description = "AADSTS53003: anna@acme.example is blocked";
    let body = format!(
        r#"{{"error":"{code}","error_codes":[53003],"correlation_id":"{id}",
            "error_description":"{description}"}}"#
    );
    json(400, &body)
}

fn words(rig: &Rig, fault: Fault) -> Option<String> {
    rig.session.words(fault).map(ToString::to_string)
}

#[test]
fn a_refused_client_has_the_issuers_words_until_it_is_taken() {
    let mut rig = Rig::fresh();
    rig.answer(&blocked("invalid_scope", "c-1"));
    let said = "invalid_scope (AADSTS53003, correlation id c-1)";
    assert_eq!(words(&rig, Fault::ClientRefused).as_deref(), Some(said));
    rig.pass(120);
    rig.answer(&blocked("invalid_scope", "c-2"));
    assert!(words(&rig, Fault::ClientRefused).is_some_and(|said| said.contains("c-2")), "latest");
    rig.pass(3_600);
    rig.answer(&json(200, CODE));
    assert_eq!(words(&rig, Fault::ClientRefused), None);

    rig.pass(5);
    rig.answer(&blocked("unauthorized_client", "c-3"));
    assert!(words(&rig, Fault::NoDeviceFlow).is_some_and(|said| said.contains("c-3")), "polling");
    rig.session.sign_in(rig.now);
    rig.drain();
    rig.answer(&blocked("invalid_client", "c-4"));
    assert_eq!(words(&rig, Fault::NoDeviceFlow), None);
    assert!(words(&rig, Fault::ClientRefused).is_some_and(|said| said.contains("c-4")));
}

#[test]
fn a_suspended_sign_in_has_them_too_and_so_has_each_later_try() {
    let mut rig = Rig::signed_in();
    rig.pass(3_600);
    rig.answer(&blocked("invalid_grant", "c-1"));
    let said = "invalid_grant (AADSTS53003, correlation id c-1)";
    assert_eq!(words(&rig, Fault::SignInAgain).as_deref(), Some(said));
    assert!(!format!("{:?}", rig.events).contains("anna@"), "no description");

    let restarted = rig.restarted();
    assert!(restarted.session.faults().has(Fault::SignInAgain));
    assert_eq!(words(&restarted, Fault::SignInAgain), None, "not kept on flash");

    rig.pass(86_401);
    rig.answer(&blocked("invalid_grant", "c-2"));
    assert!(words(&rig, Fault::SignInAgain).is_some_and(|said| said.contains("c-2")));
    rig.session.sign_out(rig.now);
    assert_eq!(words(&rig, Fault::SignInAgain), None);
}

#[test]
fn a_refused_refresh_has_them_until_one_succeeds() {
    let mut rig = Rig::signed_in();
    rig.pass(3_600);
    rig.answer(&blocked("invalid_client", "c-1"));
    assert!(words(&rig, Fault::ClientRefused).is_some_and(|said| said.contains("c-1")));
    rig.pass(120);
    rig.answer(&renewed("rt-2"));
    assert!(!rig.session.faults().has(Fault::ClientRefused));
    assert_eq!(words(&rig, Fault::ClientRefused), None);
}
