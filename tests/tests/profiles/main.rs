//! Every profile of the agent before a provider with that vendor's quirks: it signs in, polls through
//! the vendor's errors, outlives codes, refreshes, rotates, loses an answer, and revokes.
//! `agent/docs/profiles.md` has the table of these tests; one of them compares the two.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "all of it is a test, whose files need not outlive a cut"
)]

mod rig;

use rig::{DAY, DOWNSTREAM, Device, HOUR, MINUTE, Place};
use signpost_core::{
    fault::Fault,
    session::{Ending, Event},
};
use signpost_hal::screen::Screen;
use signpost_sandbox::Vendor;
use std::{collections::BTreeMap, rc::Rc, time::Duration};

/// What a vendor's documentation lets a device owner expect.
struct Expected {
    vendor: Vendor,
    /// Where it is.
    issuer: &'static str,
    /// The two or three settings.
    settings: &'static str,
    /// For how long a code is shown before another one is.
    code: Duration,
    /// Whether there are refresh tokens, and whether each use brings a new one.
    refreshes: bool,
    rotates: bool,
    /// Whether a sign-in outlives the loss of an answer with a new refresh token.
    outlives_loss: bool,
    /// Of two devices of one user, one of which signs out, so many sign-ins are left.
    left: usize,
    /// Whether the issuer can be told of a sign-out.
    revokes: bool,
    /// What more is set for tokens in the device's own name; none where the vendor has no such.
    own_name: Option<&'static str>,
}

impl Expected {
    fn place(&self) -> Rc<Place> {
        Place::of(self.vendor, self.issuer, self.settings.contains("SECRET"))
    }

    fn device(&self, place: &Rc<Place>, name: &'static str) -> Device {
        Device::new(place, name, self.settings)
    }

    fn signed_in(&self) -> (Rc<Place>, Device) {
        let place = self.place();
        let mut device = self.device(&place, "one");
        device.sign_in();
        (place, device)
    }
}

const SIGNED_IN: Event = Event::SignedIn { replaced: false };

fn sign_in(expected: &Expected) {
    let (place, mut device) = expected.signed_in();
    assert_eq!(device.count(&Event::CodeShown), 1);
    assert_eq!(device.count(&SIGNED_IN), 1);
    assert!(device.token().is_some());
    device.pass(2 * MINUTE);
    assert_eq!(device.screen, Some(Screen::Online));
    assert_eq!(place.provider().violations(), []);
}

fn poll_errors(expected: &Expected) {
    let place = expected.place();
    let mut device = expected.device(&place, "one");
    device.pass(22 * Duration::from_secs(1));
    let gaps = |device: &Device| {
        let polls = device.times("device_code");
        polls.windows(2).map(|two| (two[1] - two[0]).as_secs()).collect::<Vec<_>>()
    };
    assert_eq!(gaps(&device), [5, 5, 5], "while it is pending");
    place.provider().slow_down_next();
    device.pass(38 * Duration::from_secs(1));
    assert_eq!(gaps(&device)[3..], [5, 10, 10, 10], "slowed down, for good");
    let code = device.code().unwrap();
    place.provider().deny(&code, device.now).unwrap();
    device.pass(MINUTE);
    assert_eq!(device.count(&Event::PairingEnded(Ending::Denied)), 1, "{:?}", device.journal);
    let asked = device.sent.len();
    device.pass(HOUR);
    assert_eq!(device.sent.len(), asked, "a person said no");
    device.start_sign_in();
    device.sign_in();
    assert_eq!(place.provider().violations(), []);
}

fn expiry(expected: &Expected) {
    let place = expected.place();
    let mut device = expected.device(&place, "one");
    device.pass_until(MINUTE, |device| device.code().is_some());
    let (first, since) = (device.code().unwrap(), device.now);
    device.pass_until(HOUR, |device| device.code().is_some_and(|code| code != first));
    let shown = device.now - since;
    assert!(shown.abs_diff(expected.code) <= Duration::from_secs(15), "shown for {shown:?}");
    device.sign_in();
    assert_eq!(device.count(&Event::CodeShown), 2);
    // An approval that comes when another code is on show already, as long as the issuer takes it.
    let said = expected.vendor.code_lifetime();
    if said > expected.code {
        let mut device = expected.device(&place, "another");
        device.pass_until(MINUTE, |device| device.code().is_some());
        let first = device.code().unwrap();
        device.pass(said * 2 / 3);
        assert_ne!(device.code().unwrap(), first);
        place.provider().approve(&first, "anna", device.now).unwrap();
        device.pass_until(MINUTE, Device::is_online);
    }
    assert_eq!(place.provider().violations(), []);
}

fn refresh(expected: &Expected) {
    let (place, mut device) = expected.signed_in();
    let first = device.token().unwrap();
    device.pass(3 * DAY);
    let token = device.token().unwrap();
    let refreshes = device.times("refresh_token").len();
    if expected.refreshes {
        assert_ne!(token, first);
        assert!((72..220).contains(&refreshes), "{refreshes} refreshes in three days");
    } else {
        assert_eq!((token, refreshes), (first.clone(), 0), "it has no end");
        let mut device = device.restarted();
        device.pass(400 * DAY);
        assert_eq!(device.token(), Some(first), "nor over a restart");
        assert_eq!(device.count(&SIGNED_IN), 0);
        return;
    }
    // An account that is disabled for a week, and back.
    place.provider().set_account_enabled("anna", false);
    device.pass(7 * DAY);
    assert!(device.has_fault(Fault::SignInAgain), "{:?}", device.journal);
    let tries = device.times("refresh_token").len() - refreshes;
    assert!((7..20).contains(&tries), "{tries} tries in a week");
    place.provider().set_account_enabled("anna", true);
    device.pass(DAY + HOUR);
    assert!(device.is_online(), "nobody had to come: {:?}", device.journal);
    assert_eq!(device.count(&SIGNED_IN), 1);
    assert_eq!(place.provider().violations(), []);
}

fn rotation(expected: &Expected) {
    let (place, mut device) = expected.signed_in();
    device.pass(DAY);
    let count = |rotated| Event::Refreshed { rotated };
    let (new, same) = (device.count(&count(true)), device.count(&count(false)));
    assert_eq!((new > 0, same > 0), (expected.rotates, expected.refreshes && !expected.rotates));
    // What a restart finds on flash is the newest.
    for _ in 0..5 {
        device = device.restarted();
        device.pass(HOUR);
        assert!(device.is_online(), "{:?}", device.screen);
        assert!(device.token().is_some());
    }
    assert_eq!(place.provider().grant_count("anna"), 1);
    assert_eq!(place.provider().violations(), []);
}

fn lost_reply(expected: &Expected) {
    // Of a poll that brought the tokens: that code is spent, and another one is shown.
    let place = expected.place();
    let mut device = expected.device(&place, "one");
    device.pass_until(MINUTE, |device| device.code().is_some());
    let code = device.code().unwrap();
    place.provider().approve(&code, "anna", device.now).unwrap();
    if expected.vendor == Vendor::Keycloak {
        // The next poll does not know of it yet.
        device.pass(5 * Duration::from_secs(1));
    }
    device.lose_answer("device_code");
    device.pass_until(2 * MINUTE, |device| device.code().is_some_and(|it| it != code));
    device.sign_in();
    if !expected.refreshes {
        return;
    }
    // Of a refresh.
    device.lose_answer("refresh_token");
    device.pass(3 * HOUR);
    if expected.outlives_loss {
        assert!(device.is_online(), "{:?}", device.screen);
        assert_eq!(device.count(&SIGNED_IN), 1);
    } else {
        let asks = matches!(device.screen, Some(Screen::SignInAgain { .. }));
        assert!(asks, "{:?}", device.screen);
        assert!(device.has_fault(Fault::SignInAgainAfterLoss), "with the reason");
        let tries = device.times("refresh_token").len();
        device.pass(40 * DAY);
        assert!(device.times("refresh_token").len() - tries <= 30, "no storm");
        device.start_sign_in();
        device.sign_in();
    }
    device.pass(DAY);
    assert!(device.is_online() && device.token().is_some());
}

fn revoke(expected: &Expected) {
    let (place, mut one) = expected.signed_in();
    let mut two = expected.device(&place, "another");
    two.sign_in();
    assert_eq!(place.provider().grant_count("anna"), 2);
    // What `signpost sign-out` says of it is what happens.
    let says = ["all-of-user", "this-device", "nothing"];
    assert_eq!(one.revocation(), says[expected.left]);
    one.sign_out();
    one.pass(HOUR);
    assert_eq!(one.token(), None);
    assert_eq!(place.provider().grant_count("anna"), expected.left);
    assert_eq!(one.count(&Event::Revoked) == 1, expected.revokes, "{:?}", one.journal);
    assert_eq!(one.count(&Event::RevocationGivenUp) == 1, !expected.revokes);
    two.pass(DAY);
    assert_eq!(two.is_online(), expected.left > 0, "{:?}", two.screen);
    if expected.left == 0 {
        // A final word: nothing is gained by asking again.
        let asked = two.times("refresh_token").len();
        two.pass(10 * DAY);
        assert_eq!(two.times("refresh_token").len(), asked);
    }
}

/// What is set for a client that proves itself, and speaks in its own name.
fn with_own_name(expected: &Expected, more: &str) -> String {
    let secret = "client_secret_file = SECRET";
    let settings = expected.settings.replace(secret, "");
    format!("{settings}\n{secret}\nown_name = true\n{more}")
}

fn own_name(expected: &Expected) {
    let place = Place::of(expected.vendor, expected.issuer, true);
    let Some(more) = expected.own_name else {
        let why = place.refused(&with_own_name(expected, "")).unwrap();
        assert!(why.contains("issuer.own_name") && why.lines().count() == 1, "{why}");
        return;
    };
    // Nobody is there.
    let mut device = Device::new(&place, "one", &with_own_name(expected, more));
    for _ in 0..24 {
        device.send_record();
        device.pass(HOUR);
    }
    assert_eq!(device.delivered(), BTreeMap::from([("signpost".to_owned(), 24)]));
    let asked = device.times("client_credentials").len();
    assert!((20..50).contains(&asked), "{asked} tokens in a day");
    // Somebody comes: what is theirs goes in their name, what was nobody's never does.
    device.send_record();
    device.start_sign_in();
    device.sign_in();
    device.pass(HOUR);
    // That she has signed in is recorded, too.
    assert_eq!(device.delivered()["signpost"], 25);
    assert_eq!(device.delivered()["anna"], 1);
    device.send_record();
    device.pass(HOUR);
    assert_eq!(device.delivered()["signpost"], 25);
    assert_eq!(device.delivered()["anna"], 2);
    // Somebody there forbids it: a fault, seldom asked about, and no harm to the sign-in.
    place.provider().allow_own_name(false);
    device.sign_out();
    device.pass(2 * HOUR);
    let asked = device.times("client_credentials").len();
    device.send_record();
    device.pass(DAY);
    assert!(device.has_fault(Fault::OwnNameRefused), "{:?}", device.journal);
    let tries = device.times("client_credentials").len() - asked;
    assert!((10..40).contains(&tries), "{tries} tries in a day");
    device.start_sign_in();
    device.sign_in();
    place.provider().allow_own_name(true);
    device.pass(2 * HOUR);
    assert!(!device.has_fault(Fault::OwnNameRefused));
    assert!(device.delivered()["signpost"] > 25, "{:?}", device.delivered());
    assert_eq!(place.provider().violations(), []);
}

fn exchange(expected: &Expected) {
    use signpost_core::profile::Exchange;
    let (place, mut device) = expected.signed_in();
    let asks =
        |device: &Device| device.times("token-exchange").len() + device.times("jwt-bearer").len();
    let profile = signpost_core::profile::Profile::named(expected.vendor.name()).unwrap();
    if profile.exchange == Exchange::Never {
        assert_eq!(device.exchanged(DOWNSTREAM), Err(()));
        assert_eq!(asks(&device), 0);
        return;
    }
    let token = device.exchanged(DOWNSTREAM).unwrap().unwrap();
    let holder =
        |device: &Device, token: &str| place.provider().holder(token, DOWNSTREAM, device.now);
    assert_eq!(holder(&device, &token).as_deref(), Some("anna"), "at that API");
    assert_eq!(place.provider().sender(&token, device.now), None, "and at no other");
    assert_eq!(device.exchanged(DOWNSTREAM), Ok(Some(token.clone())), "kept");
    // Renewed for as long as it is used; the sign-in's own first where that is over.
    for _ in 0..12 {
        device.pass(HOUR);
        let token = device.exchanged(DOWNSTREAM).unwrap().unwrap();
        assert_eq!(holder(&device, &token).as_deref(), Some("anna"));
    }
    assert!((10..30).contains(&asks(&device)), "{}", asks(&device));
    // What the issuer does not know is refused, and nothing else is the worse for it.
    let before = asks(&device);
    for _ in 0..5 {
        assert_eq!(device.exchanged("https://nowhere.example"), Err(()));
    }
    assert_eq!(asks(&device), before + 1);
    assert!(device.is_online() && device.token().is_some());
    device.sign_out();
    device.pass(HOUR);
    assert_eq!(device.exchanged(DOWNSTREAM), Ok(None));
    if expected.left == 1 {
        assert_eq!(holder(&device, &token), None, "it went with the sign-in");
    }
    assert_eq!(place.provider().violations(), []);
}

/// One module of tests a profile, and the list of them all.
macro_rules! profiles {
    ($($profile:ident: $expected:expr,)*; $cells:tt) => {
        $(profiles!(@tests $profile, $expected, $cells);)*

        /// Every test of the table, by profile.
        const TABLE: &[(&str, &[&str])] = &[$((stringify!($profile), profiles!(@names $cells)),)*];
    };
    (@tests $profile:ident, $expected:expr, [$($cell:ident)*]) => {
        mod $profile {
            use super::*;
            const EXPECTED: Expected = $expected;
            $(#[test] fn $cell() { super::$cell(&EXPECTED); })*
        }
    };
    (@names [$($cell:ident)*]) => { &[$(stringify!($cell)),*] };
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

profiles! {
    entra: Expected {
        vendor: Vendor::Entra,
        issuer: "https://login.microsoftonline.com/acme.example",
        settings: "profile = \"entra\"\ntenant = \"acme.example\"\nclient_id = \"signpost\"",
        // Though it says 900.
        code: seconds(300),
        refreshes: true,
        rotates: true,
        outlives_loss: true,
        left: 2,
        revokes: false,
        own_name: Some("own_resource = \"https://login.microsoftonline.com/acme.example/telemetry\""),
    },
    google: Expected {
        vendor: Vendor::Google,
        issuer: "https://oauth2.googleapis.com",
        settings: "profile = \"google\"\nclient_id = \"signpost\"\nclient_secret_file = SECRET",
        code: seconds(1_800),
        refreshes: true,
        rotates: false,
        outlives_loss: true,
        left: 0,
        revokes: true,
        own_name: None,
    },
    auth0: Expected {
        vendor: Vendor::Auth0,
        issuer: "https://acme.eu.auth0.com",
        settings: "profile = \"auth0\"\nurl = \"https://acme.eu.auth0.com/\"\nclient_id = \"signpost\"",
        code: seconds(900),
        refreshes: true,
        rotates: true,
        outlives_loss: false,
        left: 1,
        revokes: true,
        own_name: Some("own_audience = \"https://acme.eu.auth0.com/telemetry\""),
    },
    okta: Expected {
        vendor: Vendor::Okta,
        issuer: "https://acme.okta.com/oauth2/default",
        settings: "profile = \"okta\"\nurl = \"https://acme.okta.com/oauth2/default\"\nclient_id = \"signpost\"",
        code: seconds(600),
        refreshes: true,
        rotates: true,
        outlives_loss: false,
        left: 1,
        revokes: true,
        own_name: Some("own_scopes = [\"telemetry.write\"]"),
    },
    keycloak: Expected {
        vendor: Vendor::Keycloak,
        issuer: "https://id.example/realms/acme",
        settings: "profile = \"keycloak\"\nurl = \"https://id.example/realms/acme\"\nclient_id = \"signpost\"",
        code: seconds(600),
        refreshes: true,
        rotates: true,
        outlives_loss: false,
        left: 1,
        revokes: true,
        own_name: Some("own_scopes = [\"telemetry.write\"]"),
    },
    github: Expected {
        vendor: Vendor::Github,
        issuer: "https://github.com",
        settings: "profile = \"github\"\nclient_id = \"signpost\"",
        code: seconds(900),
        refreshes: false,
        rotates: false,
        outlives_loss: true,
        left: 2,
        revokes: false,
        own_name: None,
    },
    cognito: Expected {
        vendor: Vendor::Cognito,
        issuer: "https://sign-in.example",
        settings: "profile = \"cognito\"\nclient_id = \"signpost\"\n\
            device_authorization_endpoint = \"https://sign-in.example/device_authorization\"\n\
            token_endpoint = \"https://sign-in.example/token\"\n\
            revocation_endpoint = \"https://sign-in.example/revoke\"",
        code: seconds(600),
        refreshes: true,
        rotates: false,
        outlives_loss: true,
        left: 1,
        revokes: true,
        own_name: Some("own_scopes = [\"telemetry.write\"]"),
    },
    generic: Expected {
        vendor: Vendor::Generic,
        issuer: "https://idp.example",
        settings: "url = \"https://idp.example\"\nclient_id = \"signpost\"",
        code: seconds(600),
        refreshes: true,
        rotates: true,
        outlives_loss: false,
        left: 1,
        revokes: true,
        own_name: Some("own_scopes = [\"telemetry.write\"]\nown_resource = \"https://idp.example/telemetry\""),
    },
    ; [sign_in poll_errors expiry refresh rotation lost_reply revoke own_name exchange]
}

#[test]
fn the_documented_table_names_exactly_these_tests() {
    let text = include_str!("../../../agent/docs/profiles.md");
    let table: Vec<&str> =
        text.lines().skip_while(|line| !line.contains("<!-- profiles")).skip(1).collect();
    let rows = table.iter().take_while(|line| line.starts_with('|')).skip(2);
    let documented: Vec<(String, Vec<String>)> = rows
        .map(|row| {
            let cells = row.trim_matches('|').split('|').map(|it| it.trim().trim_matches('`'));
            let mut cells = cells.map(str::to_owned);
            (cells.next().unwrap(), cells.collect())
        })
        .collect();
    let tests = TABLE.iter().map(|(profile, cells)| {
        let named = cells.iter().map(|cell| format!("{profile}::{cell}"));
        ((*profile).to_owned(), named.collect())
    });
    assert_eq!(documented, tests.collect::<Vec<_>>());
    let known: Vec<&str> = signpost_core::profile::ALL.iter().map(|it| it.name).collect();
    assert_eq!(TABLE.iter().map(|(profile, _)| *profile).collect::<Vec<_>>(), known);
}

#[test]
fn the_documentation_says_of_each_profile_what_the_agent_knows() {
    use signpost_core::profile::{ALL, Exchange, InOwnName, Reach, UsedToken};
    let row = |profile: &signpost_core::profile::Profile| {
        let scopes = profile.scopes.join(" ");
        let scopes = if scopes.is_empty() { "none".to_owned() } else { format!("`{scopes}`") };
        let used = match profile.used {
            UsedToken::WorksOn => "works on",
            UsedToken::MayEndAll => "may end all",
        };
        let ends = match profile.revocation {
            Reach::Nothing => "nothing",
            Reach::ThisDevice => "this device",
            Reach::AllOfUser => "all devices of the user",
        };
        let code = profile.code_lifetime.map(|span| format!("{} min at most", span.as_secs() / 60));
        let code = code.unwrap_or_else(|| "its lifetime".to_owned());
        let own = match profile.own_name {
            InOwnName::Standard => "yes",
            InOwnName::DefaultScope => "by `/.default`",
            InOwnName::Audience => "for an audience",
            InOwnName::Never(_) => "never",
        };
        let exchange = match profile.exchange {
            Exchange::Standard => "RFC 8693",
            Exchange::OnBehalfOf => "on-behalf-of",
            Exchange::Never => "never",
        };
        let name = profile.name;
        format!("| `{name}` | {scopes} | {used} | {ends} | {code} | {own} | {exchange} |")
    };
    let text = include_str!("../../../agent/docs/profiles.md");
    let (_, known) = text.split_once("<!-- known").unwrap();
    let (known, _) = known.split_once("<!-- /known").unwrap();
    let documented: Vec<&str> = known.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(documented, ALL.map(row));
}
