//! Drivers that panicked. A panic ends the program, and whoever started it starts it again; a driver
//! that would do so every time is left alone from then on (design invariant 9).

use crate::shell::files;
use signpost_hal::panel::{PanelError, current_part};
use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The runtime folder: what is noted there is forgotten when the board starts anew.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Has panics from now on noted in `folder`.
pub(super) fn note_in(folder: &Path) {
    // A second agent in one program has the same drivers.
    let _ = FOLDER.set(folder.to_owned());
}

/// Notes that the driver on this thread panicked, if there is one. For the panic hook.
pub(crate) fn note() {
    if let (Some(folder), Some(part)) = (FOLDER.get(), current_part()) {
        let note = path(folder, &part);
        let _ = files::remove(&note);
        // Without it the agent starts as before.
        let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(note);
    }
}

/// Why `part` is left alone, if it is.
pub(super) fn cause(folder: &Path, part: &str) -> Option<PanelError> {
    path(folder, part)
        .exists()
        .then(|| PanelError::new("is left alone until the board starts anew: its driver panicked"))
}

fn path(folder: &Path, part: &str) -> PathBuf {
    folder.join(format!("{part}.broken"))
}
