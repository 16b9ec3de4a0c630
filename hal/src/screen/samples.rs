//! One of every screen, for previews, tests and documentation.

use std::time::Duration;

use super::{Day, Fault, Screen, SignIn, Start, Support};

/// Every screen under a name, some in several shapes; codes have 14:32 left at `now`.
pub fn samples(now: Duration) -> Vec<(&'static str, Screen)> {
    let support = Support {
        name: Some("ACME Helpdesk".to_owned()),
        phone: Some("555-0100".to_owned()),
        url: Some("help.acme.example".to_owned()),
    };
    let fault = |support| {
        Screen::Fault(Fault {
            code: "E14".to_owned(),
            title: "Storage fault".to_owned(),
            advice: "The sign-in cannot be saved and would not survive a power cut; check flash and disk.".to_owned(),
            support,
        })
    };
    let sign_in = |uri: &str, complete: Option<&str>| {
        Screen::SignIn(SignIn {
            user_code: "WDJB-MJHT".to_owned(),
            verification_uri: uri.to_owned(),
            verification_uri_complete: complete.map(str::to_owned),
            expires: now.saturating_add(Duration::from_secs(14 * 60 + 32)),
        })
    };
    let keycloak = "https://sso.example.com/realms/acme/device";
    let reason = "The sign-in service says that the password was changed.".to_owned();
    vec![
        (
            "starting",
            Screen::Starting { version: "1.2".to_owned(), device: "greenhouse-4F2A".to_owned() },
        ),
        ("no-network", Screen::NoNetwork),
        ("portal", Screen::Portal),
        ("clock-wrong", Screen::ClockWrong),
        ("sign-in", sign_in("https://www.microsoft.com/devicelogin", None)),
        ("sign-in-complete", sign_in(keycloak, Some(&format!("{keycloak}?user_code=WDJB-MJHT")))),
        ("renewing", Screen::Renewing),
        ("saving", Screen::Saving),
        ("signed-in", Screen::SignedIn { account: Some("Anna / ACME".to_owned()) }),
        ("signed-in-hidden", Screen::SignedIn { account: None }),
        ("new-owner", Screen::NewOwner { account: Some("Ben / ACME".to_owned()) }),
        ("online", Screen::Online),
        ("offline", Screen::Offline { stored: 1284 }),
        ("offline-one", Screen::Offline { stored: 1 }),
        ("waiting", Screen::Waiting { start: Start::Button, own_name: false }),
        ("waiting-no-button", Screen::Waiting { start: Start::Replug, own_name: false }),
        ("waiting-shell", Screen::Waiting { start: Start::Command, own_name: false }),
        ("waiting-own-name", Screen::Waiting { start: Start::Button, own_name: true }),
        ("sign-in-again", Screen::SignInAgain { reason, start: Start::Button }),
        ("expiring", Screen::Expiring { by: Day { month: 3, day: 14 }, start: Start::Button }),
        ("denied", Screen::Denied { start: Start::Button }),
        ("wrong-account", Screen::WrongAccount { hint: Some("A…@acme".to_owned()) }),
        ("wrong-account-no-hint", Screen::WrongAccount { hint: None }),
        ("blocked", Screen::Blocked { own_name: false }),
        ("blocked-own-name", Screen::Blocked { own_name: true }),
        ("reset-held", Screen::ResetIn { seconds: 9 }),
        ("reset-confirm", Screen::ResetConfirm),
        ("reset-pending", Screen::ResetDone { revocation_pending: true }),
        ("reset-done", Screen::ResetDone { revocation_pending: false }),
        ("fault", fault(support)),
        ("fault-no-support", fault(Support::default())),
        ("test", Screen::Test),
    ]
}
