//! The agent among real parts: oidc-provider signs the device in over TLS and rotates its tokens every few seconds, a
//! person (or Chromium) follows the real pages, the OpenTelemetry SDK for Python sends, a backend checks each token.
//!
//! `tests/run real browser` installs what these tests need, and runs them.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "all of it is a test, among real programs and in real time"
)]

mod agent;
mod clients;
mod parts;
mod running;

use agent::Agent;
use parts::{ACCOUNT, Backend, Issuer, Person, Sender, Stage};
use running::until;

/// So many times at least a renewed token is used with nobody present.
const REFRESHES: usize = 3;

#[test]
#[ignore = "needs packages from npm and PyPI: tests/run real"]
fn with_real_issuer_a_device_stays_signed_in_and_loses_nothing() {
    let stage = Stage::set();
    let issuer = Issuer::start(&stage);
    let mut backend = Backend::start(&stage, &issuer);
    let mut agent = Agent::start(&stage, &issuer, &backend);

    let pairing = agent.wait_for_code();
    Person::follows_the_pages(&stage, &pairing);
    agent.wait_for("online");
    // Its id_token stood up to the issuer's own keys.
    agent.assert_silent_about(&["keys cannot be had"]);

    let sender = Sender::start(&stage, agent.intake());
    sender.wait_for_more(20);

    // From here on nobody is present. A kill at any moment after a refresh has been told must not cost the sign-in.
    agent.wait_for_next_refresh(&issuer);
    agent.kill();
    agent.start_again();
    agent.wait_for("online");

    backend.stop();
    sender.wait_for_more(60);
    agent.wait_for_next_refresh(&issuer);
    agent.kill();
    agent.start_again();
    sender.wait_for_more(60);
    backend.start_again();

    let tokens_used = || backend.journal().tokens();
    until("refreshed tokens in use", 90, || (tokens_used() > REFRESHES).then_some(()));
    let sent = sender.finish();
    for (signal, last) in &sent {
        until(&format!("all {last} of {signal}"), 60, || {
            backend.journal().has_all(signal, *last).then_some(())
        });
    }

    let journal = backend.journal();
    for (signal, last) in &sent {
        assert!(*last > 0, "the program sent no {signal}");
        journal.assert_in_order(signal, *last);
    }
    journal.assert_all_of(ACCOUNT);
    assert_eq!(journal.refusals(), Vec::<String>::new());
    assert!(issuer.refreshes() >= REFRESHES);
    assert_eq!(
        issuer.times("device_authorization"),
        1,
        "the device asked somebody to sign in again"
    );
    assert_eq!(issuer.surprises(), Vec::<String>::new());

    agent.sign_out();
    until("revocation", 20, || (issuer.times("revoked") > 0).then_some(()));
    agent.assert_silent_about(&[&pairing.user_code, ACCOUNT]);
}

#[test]
#[ignore = "needs packages from npm and PyPI: tests/run real"]
fn with_real_issuer_a_device_delivers_in_its_own_name_before_anyone_signs_in() {
    let stage = Stage::set();
    stage.write("secret", clients::SECRET);
    let issuer = Issuer::start(&stage);
    let backend = Backend::start(&stage, &issuer);
    let mut agent = Agent::start_with_own_name(&stage, &issuer, &backend);

    // A code is on show, and nobody looks at it.
    let pairing = agent.wait_for_code();
    let sender = Sender::start(&stage, agent.intake());
    sender.wait_for_more(20);
    let arrived = || backend.journal().senders("logs").len();
    until("what was sent before a sign-in", 30, || (arrived() >= 20).then_some(()));
    until("another token in its own name", 40, || (issuer.own_names() > 1).then_some(()));
    let own = agent.status().unwrap()["own_name"].clone();
    assert_eq!((&own["status"], &own["sending"]), (&"held".into(), &true.into()));
    agent.kill();
    agent.start_again();
    sender.wait_for_more(20);

    Person::follows_the_pages(&stage, &pairing);
    agent.wait_for("online");
    sender.wait_for_more(20);
    let sent = sender.finish();
    for (signal, last) in &sent {
        until(&format!("all {last} of {signal}"), 60, || {
            backend.journal().has_all(signal, *last).then_some(())
        });
    }
    let journal = backend.journal();
    assert_eq!(journal.refusals(), Vec::<String>::new());
    // What came before the sign-in went in the device's own name, what came after it in hers.
    let logs = journal.senders("logs");
    let whose = |name: &'static str| {
        logs.iter().filter(move |(_, sender)| sender == name).map(|(number, _)| *number)
    };
    println!("{} in its own name, {} in hers", whose("own").count(), whose(ACCOUNT).count());
    assert_eq!(whose("own").count() + whose(ACCOUNT).count(), logs.len());
    assert!(whose("own").max() < whose(ACCOUNT).min() && whose(ACCOUNT).count() > 0);
    assert_eq!(issuer.surprises(), Vec::<String>::new());
    agent.assert_silent_about(&[clients::SECRET]);
}

#[test]
#[ignore = "needs packages from npm and PyPI: tests/run real"]
fn with_real_issuer_nothing_is_lost_or_sent_in_a_wrong_name_when_sign_ins_are_refused_or_change() {
    const OTHER: &str = "grace.hopper";
    let stage = Stage::set();
    let issuer = Issuer::start(&stage);
    let backend = Backend::start(&stage, &issuer);
    let mut agent = Agent::start_for_anybody(&stage, &issuer, &backend);
    let sign_in_as = |agent: &Agent, account: &str| {
        Person::follows_the_pages_as(account, &stage, &agent.wait_for_code());
        agent.wait_for("online");
    };
    sign_in_as(&agent, ACCOUNT);
    let sender = Sender::start(&stage, agent.intake());
    sender.wait_for_more(20);

    // No token is good enough for a while: fresh ones are tried, nothing is dropped.
    backend.refuse_all(true);
    until("a refusal", 30, || (!backend.journal().refusals().is_empty()).then_some(()));
    sender.wait_for_more(60);
    backend.refuse_all(false);

    // The issuer sees an old refresh token again, and ends the grant.
    let flash = agent.copy_flash();
    agent.wait_for_next_refresh(&issuer);
    agent.start_again_with(&flash);
    agent.wait_for("waiting");
    sender.wait_for_more(20);

    // Somebody else signs in: what came until then waits for whose it is.
    agent.sign_in();
    sign_in_as(&agent, OTHER);
    let others = || backend.journal().senders("logs").iter().filter(|(_, it)| it == OTHER).count();
    until("records in the other name", 60, || (others() >= 20).then_some(()));
    agent.sign_in();
    Person::follows_the_pages_as(ACCOUNT, &stage, &agent.wait_for_code());
    let is_hers = || {
        let account = agent.status()?["grant"]["account"]["subject"].clone();
        (account == ACCOUNT).then_some(())
    };
    until("the first owner again", 45, is_hers);
    sender.wait_for_more(20);

    let sent = sender.finish();
    for (signal, last) in &sent {
        until(&format!("all {last} of {signal}"), 90, || {
            backend.journal().has_all(signal, *last).then_some(())
        });
    }
    let journal = backend.journal();
    assert!(journal.refusals().iter().all(|it| it.contains("401")), "{:?}", journal.refusals());
    let mut logs = journal.senders("logs");
    logs.sort();
    logs.dedup();
    let owners: Vec<&str> = logs.chunk_by(|a, b| a.1 == b.1).map(|run| run[0].1.as_str()).collect();
    println!("{} logs; in the order of their numbers they came from {owners:?}", logs.len());
    assert_eq!(owners, [ACCOUNT, OTHER, ACCOUNT]);
    let numbers = logs.iter().map(|(number, _)| *number);
    assert!(numbers.eq(1..=logs.len() as u64), "none twice in two names, none missing");
}

#[test]
#[ignore = "needs packages from npm: tests/run real"]
fn with_real_issuer_every_kind_of_client_signs_in_renews_and_signs_out() {
    clients::every_kind_of_client_signs_in_renews_and_signs_out();
}

#[test]
#[ignore = "needs Chromium and packages from npm and PyPI: tests/run browser"]
fn with_real_browser_a_person_types_the_code_and_telemetry_arrives() {
    let stage = Stage::set();
    let issuer = Issuer::start(&stage);
    let backend = Backend::start(&stage, &issuer);
    let agent = Agent::start(&stage, &issuer, &backend);

    Person::uses_a_browser(&agent.wait_for_code());
    agent.wait_for("online");

    let sender = Sender::start(&stage, agent.intake());
    sender.wait_for_more(20);
    let sent = sender.finish();
    for (signal, last) in &sent {
        until(&format!("all {last} of {signal}"), 60, || {
            backend.journal().has_all(signal, *last).then_some(())
        });
    }
    backend.journal().assert_all_of(ACCOUNT);
}
