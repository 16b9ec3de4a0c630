//! Standard output and standard error, for readers who may have left.

use std::io::{self, IsTerminal as _, Write as _};

use super::exit::{Exit, Failure};

/// Prints `text`. A reader who has left is no failure: they have seen enough.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Later, "output", format!("cannot print: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Tells a person what went wrong.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "signpost: {text}");
}

/// Whether a person reads standard output at a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Text that others chose, without what acts on a terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// `text` in bold, on a terminal.
pub(super) fn bold(text: &str) -> String {
    if is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}
