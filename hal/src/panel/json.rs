//! Screens as JSON lines, for makers with a user interface of their own.
//!
//! One object a line: `screen` names it, `user_code`, `verification_uri`,
//! `verification_uri_complete` and `expires_in` (seconds) are there for `sign-in`, named as in
//! RFC 8628, section 3.2; `title` and `text` in the panel's language for everything else, with the
//! numbers and names in them once more (`stored`, `seconds`, `account`, `hint`, `code`,
//! `revocation_pending`). A line is written when something changes; the time left is not counted
//! down. The last line before the end is `{"screen":"none"}`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use serde_json::{Map, Value};

use super::{Panel, PanelError, advice};
use crate::screen::{Language, Screen, Style, Surface, address, code, layout_in};

/// Longest user code that is passed on, in columns.
const LONGEST_CODE: usize = 64;

/// A writer of JSON lines.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
    language: Language,
    written: Option<Screen>,
}

impl Json<File> {
    /// Writes to the pipe (FIFO) or terminal at `path`.
    ///
    /// # Errors
    /// It does not exist, nobody reads from it, this user may not write to it, or it is a file,
    /// where a code would stay.
    pub fn open(path: &Path, language: Language) -> Result<Self, PanelError> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file =
            OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path);
        let file = file.map_err(|error| {
            if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) {
                return PanelError::new(format!("has no reader at {}", path.display()));
            }
            advice::cannot_open(path, &error)
        })?;
        let kind = file.metadata().map_err(|error| super::io_error(&error))?.file_type();
        if !kind.is_fifo() && !kind.is_char_device() {
            let path = path.display();
            return Err(PanelError::new(format!("{path} would keep a code: use a pipe (mkfifo)")));
        }
        Ok(Self::new(file, language))
    }
}

impl<W: Write> Json<W> {
    /// Writes to `out`.
    pub fn new(out: W, language: Language) -> Self {
        Self { out, language, written: None }
    }

    fn write(&mut self, object: Map<String, Value>) -> Result<(), PanelError> {
        // In one piece: a reader of a pipe never sees half of a line of that length.
        let line = format!("{}\n", Value::Object(object));
        let written = self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush());
        written.map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                PanelError::new("has a reader that does not read")
            } else if error.kind() == io::ErrorKind::BrokenPipe {
                PanelError::new("has lost its reader")
            } else {
                super::io_error(&error)
            }
        })
    }
}

impl<W: Write + Send> Panel for Json<W> {
    fn show(&mut self, screen: &Screen, now: Duration) -> Result<Option<Duration>, PanelError> {
        if self.written.as_ref() != Some(screen) {
            self.write(object(screen, self.language, now))?;
            self.written = Some(screen.clone());
        }
        Ok(None)
    }

    fn clear(&mut self) -> Result<(), PanelError> {
        self.written = None;
        self.write(Map::from_iter([("screen".to_owned(), "none".into())]))
    }
}

fn object(screen: &Screen, language: Language, now: Duration) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    let name = match screen {
        Screen::Starting { .. } => "starting",
        Screen::NoNetwork => "no-network",
        Screen::Portal => "portal",
        Screen::ClockWrong => "clock-wrong",
        Screen::SignIn(sign_in) => {
            put("user_code", code(&sign_in.user_code, LONGEST_CODE).into());
            put("verification_uri", address(&sign_in.verification_uri).into());
            if let Some(complete) = &sign_in.verification_uri_complete {
                put("verification_uri_complete", address(complete).into());
            }
            put("expires_in", sign_in.expires.saturating_sub(now).as_secs().into());
            "sign-in"
        }
        Screen::Renewing => "renewing",
        Screen::Saving => "saving",
        Screen::SignedIn { account } => {
            put("account", account.clone().into());
            "signed-in"
        }
        Screen::NewOwner { account } => {
            put("account", account.clone().into());
            "new-owner"
        }
        Screen::Online => "online",
        Screen::Offline { stored } => {
            put("stored", (*stored).into());
            "offline"
        }
        Screen::Waiting { own_name, .. } => {
            put("own_name", (*own_name).into());
            "waiting"
        }
        Screen::SignInAgain { .. } => "sign-in-again",
        Screen::Expiring { .. } => "expiring",
        Screen::Denied { .. } => "denied",
        Screen::WrongAccount { hint } => {
            put("hint", hint.clone().into());
            "wrong-account"
        }
        Screen::Blocked { own_name } => {
            put("own_name", (*own_name).into());
            "blocked"
        }
        Screen::ResetIn { seconds } => {
            put("seconds", (*seconds).into());
            "reset-in"
        }
        Screen::ResetConfirm => "reset-confirm",
        Screen::ResetDone { revocation_pending } => {
            put("revocation_pending", (*revocation_pending).into());
            "reset-done"
        }
        Screen::Fault(fault) => {
            put("code", fault.code.clone().into());
            "fault"
        }
        Screen::Test => "test",
    };
    put("screen", name.into());
    if !matches!(screen, Screen::SignIn(_)) {
        let surface = Surface::Terminal { columns: 80, rows: 24 };
        let lines = layout_in(language, screen, surface, 0, now).lines;
        let of = |title: bool| {
            let lines = lines.iter().filter(|line| (line.style == Style::Title) == title);
            lines.map(|line| line.text.trim()).collect::<Vec<_>>().join(" ")
        };
        put("title", of(true).into());
        put("text", of(false).into());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::SignIn;

    fn lines(screens: &[Screen]) -> Vec<Value> {
        let mut out = Vec::new();
        let mut panel = Json::new(&mut out, Language::ENGLISH);
        for screen in screens {
            assert_eq!(panel.show(screen, Duration::from_secs(100)), Ok(None));
        }
        panel.clear().unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_sign_in_has_the_names_of_its_specification_and_nothing_that_acts_on_a_display() {
        let screen = Screen::SignIn(SignIn {
            user_code: "WDJB\u{202E}-M\u{1B}[2J".to_owned(),
            verification_uri: "https://a.example/\u{7}d".to_owned(),
            verification_uri_complete: None,
            expires: Duration::from_secs(972),
        });
        let lines = lines(&[screen.clone(), screen]);
        assert_eq!(lines.len(), 2, "the same screen is written once");
        assert_eq!(lines[0]["screen"], "sign-in");
        assert_eq!(lines[0]["expires_in"], 872);
        let shown = |key: &str| lines[0][key].as_str().unwrap().to_owned();
        assert!(shown("user_code").starts_with("WDJB?-M?"), "{}", shown("user_code"));
        assert_eq!(shown("verification_uri"), "https://a.example/%07d");
        assert_eq!(lines[1], serde_json::json!({ "screen": "none" }));
    }

    #[test]
    fn what_was_taken_off_is_written_again() {
        let mut out = Vec::new();
        let mut panel = Json::new(&mut out, Language::ENGLISH);
        panel.show(&Screen::NoNetwork, Duration::ZERO).unwrap();
        panel.clear().unwrap();
        panel.show(&Screen::NoNetwork, Duration::ZERO).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains("no-network")).count(), 2, "{text}");
    }

    #[test]
    fn other_screens_say_it_in_words_and_numbers() {
        let lines = lines(&[Screen::Offline { stored: 7 }, Screen::NoNetwork]);
        assert_eq!(lines[0]["stored"], 7);
        assert!(lines[0]["text"].as_str().unwrap().contains('7'));
        assert_eq!(
            (&lines[1]["screen"], &lines[1]["title"]),
            (&"no-network".into(), &"No network".into())
        );
    }

    #[test]
    fn a_code_never_goes_to_a_file_and_a_pipe_wants_a_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("screens");
        let error = |path: &Path| Json::open(path, Language::ENGLISH).unwrap_err().to_string();
        assert!(error(&path).contains("does not exist"));
        File::create(&path).unwrap();
        assert!(error(&path).contains("mkfifo"));
        std::fs::remove_file(&path).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        assert!(error(&path).contains("has no reader"));
        let read = OFlags::NONBLOCK.bits().cast_signed();
        let reader = OpenOptions::new().read(true).custom_flags(read).open(&path).unwrap();
        let mut panel = Json::open(&path, Language::ENGLISH).unwrap();
        panel.show(&Screen::Online, Duration::ZERO).unwrap();
        drop(reader);
        let error = panel.show(&Screen::NoNetwork, Duration::ZERO).unwrap_err().to_string();
        assert_eq!(error, "has lost its reader");
    }
}
