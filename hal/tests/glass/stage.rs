//! What all panels here are shown.

use std::time::Duration;

use signpost_hal::screen::{Screen, SignIn};

/// When a test begins, since the board started.
pub(crate) const NOW: Duration = Duration::from_secs(100);

/// A code with 14:32 left at [`NOW`].
pub(crate) fn sign_in() -> Screen {
    sign_in_with("WDJB-MJHT")
}

/// The same with another code.
pub(crate) fn sign_in_with(code: &str) -> Screen {
    Screen::SignIn(SignIn {
        user_code: code.to_owned(),
        verification_uri: "https://www.microsoft.com/devicelogin".to_owned(),
        verification_uri_complete: None,
        expires: NOW + Duration::from_secs(14 * 60 + 32),
    })
}
