//! What all panels here are shown.

use std::time::Duration;

use signpost_hal::screen::{Screen, SignIn};

/// When a test begins, since the board started.
pub(crate) const NOW: Duration = Duration::from_secs(100);

/// A code with 14:32 left at [`NOW`].
pub(crate) fn sign_in() -> Screen {
    screen("WDJB-MJHT", "https://www.microsoft.com/devicelogin")
}

/// The same with another code.
pub(crate) fn sign_in_with(code: &str) -> Screen {
    screen(code, "https://www.microsoft.com/devicelogin")
}

/// The same with another address.
pub(crate) fn sign_in_at(address: &str) -> Screen {
    screen("WDJB-MJHT", address)
}

fn screen(code: &str, address: &str) -> Screen {
    Screen::SignIn(SignIn {
        user_code: code.to_owned(),
        verification_uri: address.to_owned(),
        verification_uri_complete: None,
        expires: NOW + Duration::from_secs(14 * 60 + 32),
    })
}
