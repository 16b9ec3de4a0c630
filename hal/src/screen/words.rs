//! What each screen says, in English.

use super::{Fault, Screen, Start, Support};
use crate::screen::text::{harmless, width};

/// The words of a screen.
pub(super) struct Words {
    /// At most [`SHORT`] columns.
    pub(super) title: String,
    /// The same length: what there is room for on two short lines.
    pub(super) short: String,
    /// Whole sentences, one a paragraph.
    pub(super) long: Vec<String>,
}

/// Columns of the smallest display.
pub(super) const SHORT: usize = 16;
/// Columns that a name, reason or advice from elsewhere may take.
const LONGEST: usize = 240;

/// Heads the screen of a code where there is room.
pub(super) const SIGN_IN: &str = "Sign in this device";

pub(super) fn words(screen: &Screen) -> Words {
    match screen {
        Screen::Starting { version, device } => {
            let (version, device) = (harmless(version, SHORT), harmless(device, 64));
            let tail: String =
                device.chars().skip(device.chars().count().saturating_sub(4)).collect();
            say(
                "Starting...",
                &spread(&format!("v{version}"), &tail),
                [format!("Signpost {version} on {device}")],
            )
        }
        Screen::NoNetwork => say(
            "No network",
            "Check cable/WiFi",
            ["Check the network cable or the Wi-Fi. The device goes on by itself."],
        ),
        Screen::Portal => say(
            "Network login",
            "Use a browser",
            [
                "This network wants a login on a web page of its own. Log in there from a phone or computer, or use another network.",
            ],
        ),
        Screen::ClockWrong => say(
            "Clock not set",
            "Waiting for time",
            ["The device does not know the time yet. It goes on by itself once it does."],
        ),
        Screen::SignIn(_) => say("Sign in", "", [""; 0]),
        Screen::Renewing => say("Code expired", "Getting new one", ["Getting a new one."]),
        Screen::Saving => {
            say("Approved", "Saving...", ["Saving the sign-in. Leave the device switched on."])
        }
        Screen::SignedIn { account: Some(account) } => {
            say("Signed in", account, [harmless(account, LONGEST)])
        }
        Screen::SignedIn { account: None } => {
            say("Signed in", "Thank you", ["Nothing more to do here."])
        }
        Screen::Online => say("Online", "Signed in", ["Signed in and working."]),
        Screen::Offline { stored } => say(
            "Offline, storing",
            &format!("{stored} saved"),
            [format!("Records saved here: {stored}. They are sent once the service is back.")],
        ),
        Screen::Waiting { start } => say("Not signed in", begin_short(*start), [begin(*start)]),
        Screen::SignInAgain { reason, start } => {
            say("Sign in again", begin_short(*start), [&*harmless(reason, LONGEST), begin(*start)])
        }
        Screen::Expiring { by, start } => {
            let by = harmless(by, SHORT);
            say(
                "Sign in again by",
                &by,
                [&*format!("The sign-in of this device ends on {by}."), begin(*start)],
            )
        }
        Screen::Denied { start } => say(
            "Sign-in refused",
            begin_short(*start),
            ["Somebody refused this sign-in on the sign-in page.", begin(*start)],
        ),
        Screen::WrongAccount { hint: Some(hint) } => {
            let hint = harmless(hint, 64);
            say(
                "Wrong account",
                &format!("Use {hint}"),
                [format!("This device belongs to somebody else. Sign in as {hint}.")],
            )
        }
        Screen::WrongAccount { hint: None } => say(
            "Wrong account",
            "Use the owner's",
            ["This device belongs to somebody else. Sign in with the owner's account."],
        ),
        Screen::Blocked => say(
            "Sign-in blocked",
            "Ask your IT desk",
            [
                "Your organisation does not allow this way of signing in. Ask those who look after its accounts.",
            ],
        ),
        Screen::ResetIn { seconds } => say(
            "Hold to reset",
            &format!("{seconds} s"),
            [format!(
                "Hold the button for {seconds} s more to wipe this device, or let it go to keep everything."
            )],
        ),
        Screen::ResetConfirm => say(
            "Release, then",
            "press to reset",
            [
                "Let the button go and press it once more to wipe this device. Wait to keep everything.",
            ],
        ),
        Screen::ResetDone { revocation_pending: true } => say(
            "Reset done",
            "Connect to end",
            [
                "Everything is wiped. Leave the device connected until the sign-in service has heard of it.",
            ],
        ),
        Screen::ResetDone { revocation_pending: false } => {
            say("Reset done", "All is wiped", ["Everything is wiped."])
        }
        Screen::Fault(fault) => fault_words(fault),
    }
}

fn say<S: AsRef<str>, const N: usize>(title: &str, short: &str, long: [S; N]) -> Words {
    let long = long
        .iter()
        .map(|sentence| sentence.as_ref().to_owned())
        .filter(|sentence| !sentence.is_empty())
        .collect();
    Words { title: harmless(title, SHORT), short: harmless(short, SHORT), long }
}

fn begin_short(start: Start) -> &'static str {
    match start {
        Start::Button => "Press button",
        Start::Replug => "Unplug, replug",
        Start::Command => "signpost sign-in",
    }
}

fn begin(start: Start) -> &'static str {
    match start {
        Start::Button => "Press the button to get a code.",
        Start::Replug => "Unplug the device and plug it in again to get a code.",
        Start::Command => "Run signpost sign-in to get a code.",
    }
}

fn fault_words(fault: &Fault) -> Words {
    let code = harmless(&fault.code, 6);
    let call = fault
        .support
        .phone
        .as_ref()
        .map(|phone| format!("Call {}", harmless(phone, SHORT - 6 - width(&code))));
    let long = [harmless(&fault.advice, LONGEST), contact(&fault.support), format!("Code {code}")];
    say(&fault.title, &spread(&call.unwrap_or_default(), &code), long)
}

fn contact(support: &Support) -> String {
    let known = [&support.name, &support.phone, &support.url].into_iter().flatten();
    let all = known.map(|part| harmless(part, 100)).collect::<Vec<_>>().join(", ");
    if all.is_empty() { all } else { format!("Ask {all}.") }
}

/// The two at the ends of a short line.
fn spread(left: &str, right: &str) -> String {
    let gap = SHORT.saturating_sub(width(left) + width(right)).max(1);
    format!("{left}{}{right}", " ".repeat(gap))
}
