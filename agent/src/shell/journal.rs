//! Where the agent's messages go: to systemd's journal with its fields where a unit runs us, as
//! readable lines to stderr otherwise.
//!
//! Only what the agent itself says passes. Libraries are silent at every level: what they print
//! of a connection nobody here has checked for secrets (design invariant 7).

use crate::ports::Entry;
use rustix::fs::fstat;
use signpost_core::{
    delivery::{DropReason, Dropped, Note},
    fault::{Class, Fault},
    session::{Ending, Event},
    wire::OAuthError,
};
use std::{
    fmt::{self, Write as _},
    io::{IsTerminal, Write as _},
};
use tracing::{
    Level, Metadata, Subscriber, error, field::Field, info, level_filters::LevelFilter, warn,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
};

/// Sets where this process's messages go, once; later calls change nothing.
///
/// `SIGNPOST_LOG` is the least level: `error`, `warn`, `info` (the default), `debug` or `trace`.
pub fn install() {
    let level = level(std::env::var("SIGNPOST_LOG").ok().as_deref());
    let journald = if is_journal() { tracing_journald::layer().ok() } else { None };
    let filter = Ours(level);
    let set = match journald {
        Some(layer) => {
            let layer = layer.with_field_prefix(None).with_syslog_identifier("signpost".into());
            tracing::subscriber::set_global_default(Registry::default().with(filter).with(layer))
        }
        None => {
            tracing::subscriber::set_global_default(Registry::default().with(filter).with(Text))
        }
    };
    // Somebody who runs the agent inside of another program may have a journal already.
    let _ = set;
}

fn level(text: Option<&str>) -> LevelFilter {
    match text.map(str::trim) {
        Some("off") => LevelFilter::OFF,
        Some("error") => LevelFilter::ERROR,
        Some("warn") => LevelFilter::WARN,
        Some("debug") => LevelFilter::DEBUG,
        Some("trace") => LevelFilter::TRACE,
        Some(_) | None => LevelFilter::INFO,
    }
}

/// Whether stderr is the journal's socket (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    fstat(std::io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// One message with the event's stable name.
macro_rules! say {
    ($level:ident, $event:literal, $($message:tt)+) => {
        $level!(SIGNPOST_EVENT = $event, $($message)+)
    };
}

/// Writes what the state machines have to say.
pub fn write(entry: &Entry) {
    match entry {
        Entry::Session(event) => session(event),
        Entry::Delivery(note) => delivery(note),
        Entry::Dropped(lost) => dropped(*lost),
        Entry::Configured { hash } => {
            say!(info, "configured", "the configuration is another than before: {hash}");
        }
    }
}

fn session(event: &Event) {
    match event {
        Event::CodeShown => say!(info, "code-shown", "a sign-in waits to be approved"),
        Event::PairingEnded(ending) => {
            say!(info, "sign-in-ended", "the sign-in ended: {}", ending_words(*ending));
        }
        Event::SignedIn { replaced: false } => say!(info, "signed-in", "somebody signed in"),
        Event::SignedIn { replaced: true } => {
            say!(warn, "signed-in", "somebody signed in, in place of the owner before");
        }
        Event::OwnerRefused => say!(
            warn,
            "owner-refused",
            "somebody signed in whom owner.allow does not admit; the grant is dropped and revoked"
        ),
        Event::IdentityRefused { problem } => say!(
            warn,
            "identity-refused",
            "the issuer's id_token is not believed: {}",
            problem.name()
        ),
        Event::KeysUnavailable => say!(
            warn,
            "keys-unavailable",
            "the issuer's keys cannot be had: its id_token is taken on the word of TLS"
        ),
        Event::KeysInsecure => say!(
            warn,
            "keys-insecure",
            "the issuer's jwks_uri is no https address and is not used: id_tokens are taken on the word \
             of TLS; set issuer.jwks_uri, or have the issuer mend its metadata"
        ),
        Event::Refreshed { rotated: false } => say!(info, "refreshed", "the access token is new"),
        Event::Refreshed { rotated: true } => {
            say!(info, "refreshed", "access token and refresh token are new");
        }
        Event::Suspended { error } => {
            refused("suspended", "the issuer does not honour the sign-in now", error);
        }
        Event::OtherIssuer => say!(
            warn,
            "other-issuer",
            "the sign-in is another issuer's and is not shown to this one: sign in here, or set \
             issuer.url back"
        ),
        Event::Resumed => say!(info, "resumed", "the issuer honours the sign-in again"),
        Event::Refused { error } => refused("refused", "the issuer refuses this client", error),
        Event::TokenRefused { error } => {
            refused("token-refused", "the issuer gives no token as a program asked for", error)
        }
        Event::OwnNameGranted => {
            say!(info, "own-name", "there is a new token in the device's own name");
        }
        Event::OwnNameRefused { error } => {
            let what = "the issuer gives no token in the device's own name";
            refused("own-name-refused", what, error);
        }
        Event::Challenged { names } => say!(
            warn,
            "challenged",
            "the telemetry backend asks for more than the sign-in gives: {names}"
        ),
        Event::SignedOut => say!(info, "signed-out", "the user is forgotten on this device"),
        Event::Revoked => say!(info, "revoked", "the issuer knows of the sign-out"),
        Event::RevocationGivenUp => say!(
            warn,
            "revocation-given-up",
            "the issuer could not be told of a sign-out: end the device's session there by hand"
        ),
        Event::FaultRaised(fault) => raised(*fault),
        Event::FaultCleared(fault) => cleared(*fault),
    }
}

fn delivery(note: &Note) {
    match note {
        Note::Delivered { records } => {
            tracing::debug!(SIGNPOST_EVENT = "delivered", "{records} records were delivered");
        }
        Note::FaultRaised(fault) => raised(*fault),
        Note::FaultCleared(fault) => cleared(*fault),
    }
}

fn dropped(Dropped { records, signal, reason }: Dropped) {
    let why = match reason {
        DropReason::Malformed => "the backend calls them malformed",
        DropReason::TooLarge => "the backend calls them too large",
        DropReason::RejectedByBackend => "the backend took the batch without them",
        DropReason::OverQuota => "they were the oldest, and there was no room for newer ones",
        DropReason::TooOld => "they have waited for longer than telemetry.max_age",
        DropReason::Damaged => "flash gives back something else than was put there",
        DropReason::SignedOut => "their owner signed out",
        DropReason::OtherAccount => "somebody else signed in (telemetry.other_account)",
        DropReason::Reset => "the device was reset",
        DropReason::StoreReplaced => "the store with their key was replaced",
        DropReason::NotSaved => "flash did not take what was answered before",
    };
    say!(warn, "dropped", "{records} {} records are given up: {why}", signal.name());
}

fn refused(event: &str, what: &str, error: &OAuthError) {
    warn!(
        SIGNPOST_EVENT = event,
        SIGNPOST_ERROR = error.error,
        SIGNPOST_SUBERROR = error.suberror,
        SIGNPOST_ERROR_CODE = error.number(),
        SIGNPOST_CORRELATION_ID = error.correlation,
        SIGNPOST_TRACE_ID = error.trace,
        SIGNPOST_ERROR_URI = error.uri,
        "{what}: {error}"
    );
}

fn raised(fault: Fault) {
    let row = fault.row();
    let (code, title, advice) = (row.code, row.title, row.advice);
    match row.class {
        Class::Retry | Class::SignIn | Class::Clock | Class::Network | Class::Portal => {
            warn!(SIGNPOST_EVENT = "fault", SIGNPOST_FAULT = code, "{code} {title}: {advice}");
        }
        Class::Admin | Class::Configuration | Class::Storage => {
            error!(SIGNPOST_EVENT = "fault", SIGNPOST_FAULT = code, "{code} {title}: {advice}");
        }
    }
}

fn cleared(fault: Fault) {
    let row = fault.row();
    info!(
        SIGNPOST_EVENT = "fault-cleared",
        SIGNPOST_FAULT = row.code,
        "{} {}: gone",
        row.code,
        row.title
    );
}

const fn ending_words(ending: Ending) -> &'static str {
    match ending {
        Ending::Expired => "nobody approved it in time",
        Ending::Denied => "it was denied",
        Ending::WrongAccount => "this account may not own the device",
        Ending::Refused => "the issuer refuses this client",
        Ending::BadIdentity => "the id_token does not stand up to its checks",
        Ending::SignedOut => "somebody signed out",
        Ending::Resumed => "the earlier sign-in works again",
    }
}

/// Lets pass what this product says at a level or above it.
struct Ours(LevelFilter);

impl<S: Subscriber> Layer<S> for Ours {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let target = metadata.target();
        let ours = target.split("::").next().is_some_and(|name| {
            name.strip_prefix("signpost")
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        });
        ours && *metadata.level() <= self.0
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0)
    }
}

/// Lines for people: level where it is not the usual, and message.
struct Text;

impl<S: Subscriber> Layer<S> for Text {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = String::from(match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            Level::INFO => "",
            Level::DEBUG => "debug: ",
            Level::TRACE => "trace: ",
        });
        event.record(&mut |field: &Field, value: &dyn fmt::Debug| {
            if field.name() == "message" {
                let _ = write!(line, "{value:?}");
            }
        });
        let mut stderr = std::io::stderr();
        // A panel may share this terminal, and leaves the cursor wherever it drew last.
        let end = if stderr.is_terminal() { "\r\n" } else { "\n" };
        line.push_str(end);
        // Where not even this can be written there is nobody to tell.
        let _ = stderr.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let mut text = String::new();
            event.record(&mut |field: &Field, value: &dyn fmt::Debug| {
                let _ = write!(text, "{}={value:?} ", field.name());
            });
            self.0.lock().unwrap().push(text);
        }
    }

    fn heard(level: LevelFilter, say: impl FnOnce()) -> Vec<String> {
        let heard = Heard::default();
        let subscriber = Registry::default().with(Ours(level)).with(heard.clone());
        tracing::subscriber::with_default(subscriber, say);
        heard.0.lock().unwrap().clone()
    }

    #[test]
    fn events_have_a_stable_name_and_the_issuers_own_words() {
        let error = OAuthError {
            error: "invalid_grant".into(),
            codes: vec![50_057],
            correlation: Some("c-1".into()),
            trace: Some("t-1".into()),
            uri: Some("https://idp.example/e".into()),
            ..OAuthError::default()
        };
        let lines = heard(LevelFilter::INFO, || {
            write(&Entry::Session(Event::Suspended { error }));
            write(&Entry::Session(Event::FaultRaised(Fault::ClockUnusable)));
            write(&Entry::Delivery(Note::Delivered { records: 5 }));
        });
        assert_eq!(lines.len(), 2, "what is delivered is no news: {lines:?}");
        assert!(lines[0].contains(r#"SIGNPOST_EVENT="suspended""#), "{lines:?}");
        for field in [
            r#"SIGNPOST_ERROR="invalid_grant""#,
            r#"SIGNPOST_ERROR_CODE="AADSTS50057""#,
            r#"SIGNPOST_CORRELATION_ID="c-1""#,
            r#"SIGNPOST_TRACE_ID="t-1""#,
            r#"SIGNPOST_ERROR_URI="https://idp.example/e""#,
            "invalid_grant (AADSTS50057, correlation id c-1, trace id t-1, see https://idp.example/e)",
        ] {
            assert!(lines[0].contains(field), "{field}: {lines:?}");
        }
        assert!(!lines[0].contains("SUBERROR"), "{lines:?}");
        assert!(lines[1].contains(r#"SIGNPOST_FAULT="E01""#), "{lines:?}");
    }

    #[test]
    fn invariant_7_libraries_are_silent_at_every_level() {
        let lines = heard(LevelFilter::TRACE, || {
            tracing::error!(target: "hyper::proto", "of a library");
            tracing::error!(target: "signposting", "of somebody with a like name");
            tracing::trace!(target: "signpost_hal::panel", "ours");
            tracing::trace!("ours");
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
    }

    #[test]
    fn levels_are_read_and_anything_else_is_the_default() {
        assert_eq!(level(Some("debug")), LevelFilter::DEBUG);
        assert_eq!(level(Some("signpost=loud")), LevelFilter::INFO);
        assert_eq!(level(None), LevelFilter::INFO);
    }
}
