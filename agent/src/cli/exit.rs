//! How a command ends.

use std::fmt::Display;
use std::process::ExitCode;

use serde_json::json;

use super::output;
use crate::shell::run::RunError;

/// Exit codes (sysexits.h, where it has them): who can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Done = 0,
    /// `check` found something, `config check` too.
    Found = 1,
    /// Wrong arguments.
    Usage = 2,
    /// The agent cannot be reached.
    Unreachable = 69,
    /// A bug.
    Bug = 70,
    /// Try again later.
    Later = 75,
    /// Not allowed.
    NotAllowed = 77,
    /// Wrong configuration.
    Configuration = 78,
}

impl Exit {
    const ALL: [Self; 8] = [
        Self::Done,
        Self::Found,
        Self::Usage,
        Self::Unreachable,
        Self::Bug,
        Self::Later,
        Self::NotAllowed,
        Self::Configuration,
    ];

    /// Why the agent does not run.
    pub(super) fn of_run(error: &RunError) -> Self {
        let code = error.exit_code();
        Self::ALL.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Self::Bug)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// For programs, in OAuth's words where it has some.
    pub(super) error: String,
    /// For people: what, why, what to do.
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(exit: Exit, error: &str, text: impl Display) -> Self {
        Self { exit, error: error.to_owned(), text: text.to_string() }
    }

    /// Says it, and gives the exit code.
    pub(super) fn tell(&self, json: bool) -> ExitCode {
        if json {
            let object = json!({ "error": self.error, "error_description": self.text });
            let _ = output::print(&format!("{object}\n"));
        }
        output::complain(&self.text);
        self.exit.into()
    }
}
