//! What each screen says.

use super::{Fault, Language, Screen, Start, Support};
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

/// What `screen` says in `language`.
pub(super) fn words(screen: &Screen, language: Language) -> Words {
    let say = Say(language);
    match screen {
        Screen::Starting { version, device } => {
            let (version, device) = (harmless(version, SHORT), harmless(device, 64));
            let tail: String =
                device.chars().skip(device.chars().count().saturating_sub(4)).collect();
            let long = say.fill("starting.long", &[("version", &version), ("device", &device)]);
            say.of("starting", spread(&format!("v{version}"), &tail), [long])
        }
        Screen::NoNetwork => say.plain("no-network"),
        Screen::Portal => say.plain("portal"),
        Screen::ClockWrong => say.plain("clock"),
        Screen::SignIn(_) => say.of("sign-in", String::new(), []),
        Screen::Renewing => say.plain("renewing"),
        Screen::Saving => say.plain("saving"),
        Screen::SignedIn { account: Some(account) } => {
            say.of("signed-in", account.clone(), [harmless(account, LONGEST)])
        }
        Screen::SignedIn { account: None } => say.plain("signed-in"),
        Screen::NewOwner { account } => {
            let account = account.as_deref().unwrap_or_default();
            let long = [say.fill("new-owner.long", &[]), harmless(account, LONGEST)];
            say.of("new-owner", account.to_owned(), long)
        }
        Screen::Online => say.plain("online"),
        Screen::Offline { stored } => {
            let long = say.fill("offline.long", &[("stored", &language.number(*stored))]);
            say.of("offline", say.count(*stored), [long])
        }
        Screen::Waiting { start, own_name: false } => say.begin("waiting", *start, []),
        Screen::Waiting { start, own_name: true } => {
            say.begin("own-name", *start, [say.fill("own-name.long", &[])])
        }
        Screen::SignInAgain { reason, start } => {
            let reason = language.own("again.reason").unwrap_or(reason);
            say.begin("again", *start, [harmless(reason, LONGEST)])
        }
        Screen::Expiring { by, start } => {
            let by = language.date(*by);
            let long = say.fill("expiring.long", &[("by", &by)]);
            Words { short: by, ..say.begin("expiring", *start, [long]) }
        }
        Screen::Denied { start } => say.begin("denied", *start, [say.fill("denied.long", &[])]),
        Screen::WrongAccount { hint: Some(hint) } => {
            let hint = [("hint", &*harmless(hint, 64))];
            say.of("wrong", say.fill("wrong.short", &hint), [say.fill("wrong.long", &hint)])
        }
        Screen::WrongAccount { hint: None } => {
            Words { title: say.title("wrong"), ..say.plain("wrong-no-hint") }
        }
        Screen::Blocked { own_name: false } => say.plain("blocked"),
        Screen::Blocked { own_name: true } => {
            let mut words = say.plain("blocked");
            words.short = say.title("own-name");
            words.long.push(say.fill("own-name.long", &[]));
            words
        }
        Screen::ResetIn { seconds } => {
            let seconds = [("seconds", &*seconds.to_string())];
            let long = say.fill("reset-in.long", &seconds);
            say.of("reset-in", say.fill("reset-in.short", &seconds), [long])
        }
        Screen::ResetConfirm => say.plain("reset-confirm"),
        Screen::ResetDone { revocation_pending: true } => {
            Words { title: say.title("reset-done"), ..say.plain("reset-pending") }
        }
        Screen::ResetDone { revocation_pending: false } => say.plain("reset-done"),
        Screen::Fault(fault) => say.fault(fault),
        Screen::Test => say.plain("test"),
    }
}

/// The two at the ends of a short line.
fn spread(left: &str, right: &str) -> String {
    let gap = SHORT.saturating_sub(width(left) + width(right)).max(1);
    format!("{left}{}{right}", " ".repeat(gap))
}

/// Says things in a language.
struct Say(Language);

impl Say {
    fn of<const N: usize>(&self, name: &str, short: String, long: [String; N]) -> Words {
        let long = long.into_iter().filter(|sentence| !sentence.is_empty()).collect();
        Words { title: self.title(name), short: harmless(&short, SHORT), long }
    }

    /// A screen whose texts need nothing filled in.
    fn plain(&self, name: &str) -> Words {
        let short = self.fill(&format!("{name}.short"), &[]);
        self.of(name, short, [self.fill(&format!("{name}.long"), &[])])
    }

    /// A screen that ends with how to ask for a code.
    fn begin<const N: usize>(&self, name: &str, start: Start, long: [String; N]) -> Words {
        let way = match start {
            Start::Button => "start-button",
            Start::Replug => "start-replug",
            Start::Command => "start-command",
        };
        let mut words = self.of(name, self.fill(&format!("{way}.short"), &[]), long);
        words.long.push(self.fill(&format!("{way}.long"), &[]));
        words
    }

    fn title(&self, name: &str) -> String {
        harmless(self.0.text(&format!("{name}.title")), SHORT)
    }

    fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        self.0.fill(key, values)
    }

    /// A count that fits a short line, in millions if it must; never a part of its digits.
    fn count(&self, stored: u64) -> String {
        let millions = format!("{} M", stored / 1_000_000);
        let ways = [self.0.number(stored), stored.to_string(), millions];
        let mut lines = ways.iter().map(|count| self.fill("offline.short", &[("stored", count)]));
        lines.find(|line| width(line) <= SHORT).unwrap_or_default()
    }

    fn fault(&self, fault: &Fault) -> Words {
        let code = harmless(&fault.code, 6);
        let own = |what: &str, given: &str, most: usize| {
            let known = self.0.own(&format!("{code}.{what}"));
            harmless(known.unwrap_or(given), most)
        };
        // A part of a telephone number helps nobody.
        let phone = fault.support.phone.as_ref().map(|phone| harmless(phone, 40));
        let with = |phone: String| {
            let call = self.fill("support.short", &[("phone", &phone)]);
            [spread(&call, &code), spread(&phone, &code), phone]
        };
        let mut ways = phone.into_iter().flat_map(with).filter(|way| width(way) <= SHORT);
        let short = ways.next().unwrap_or_else(|| spread("", &code));
        let long = [
            own("advice", &fault.advice, LONGEST),
            self.contact(&fault.support),
            self.fill("fault.code", &[("code", &code)]),
        ];
        Words { title: own("title", &fault.title, SHORT), ..self.of("fault", short, long) }
    }

    fn contact(&self, support: &Support) -> String {
        let known = [&support.name, &support.phone, &support.url].into_iter().flatten();
        let all = known.map(|part| harmless(part, 100)).collect::<Vec<_>>().join(", ");
        if all.is_empty() { all } else { self.fill("support.long", &[("contact", &all)]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telephone_number_is_whole_or_not_there() {
        let short = |phone: &str, language: &str| {
            let support = Support { phone: Some(phone.to_owned()), ..Support::default() };
            let (code, title, advice) = ("E14".to_owned(), String::new(), String::new());
            let fault = Fault { code, title, advice, support };
            words(&Screen::Fault(fault), Language::of(language)).short
        };
        assert_eq!(short("555-010", "en"), "Call 555-010 E14");
        assert_eq!(short("555-0100", "en"), "555-0100     E14");
        assert_eq!(short("555-010", "de"), "Tel. 555-010 E14");
        assert_eq!(short("+49 30 1234567", "en"), "+49 30 1234567");
        assert_eq!(short("+49 (0) 30 1234567", "en"), "             E14");
    }

    #[test]
    fn a_count_is_whole_or_in_millions() {
        let short = |stored| words(&Screen::Offline { stored }, Language::ENGLISH).short;
        let counts = [1284, 12_840, 128_400_000, u64::MAX].map(short);
        assert_eq!(counts[..3], ["1284 saved", "12,840 saved", "128400000 saved"]);
        assert!(!counts[3].contains("..."), "{}", counts[3]);
    }

    #[test]
    fn a_fault_is_told_in_the_panel_s_language_by_its_code() {
        let say = |code: &str, language: &str| {
            let (title, advice) = ("Storage fault".to_owned(), "Check flash.".to_owned());
            let support = Support::default();
            let fault = Fault { code: code.to_owned(), title, advice, support };
            words(&Screen::Fault(fault), Language::of(language)).title
        };
        assert_eq!(say("E14", "en"), "Storage fault");
        assert_eq!(say("E14", "de"), "Speicherfehler");
        assert_eq!(say("E99", "de"), "Storage fault", "a fault that is newer than the texts");
    }
}
