//! One of every screen, and the addresses of the field.

use std::time::Duration;

use signpost_hal::screen::{Screen, SignIn, samples};

/// When all samples are shown, since the board started.
pub(crate) const NOW: Duration = Duration::from_secs(100);

/// A code with 14:32 left at [`NOW`].
pub(crate) fn sign_in(code: &str, uri: &str, complete: Option<&str>) -> Screen {
    Screen::SignIn(SignIn {
        user_code: code.to_owned(),
        verification_uri: uri.to_owned(),
        verification_uri_complete: complete.map(str::to_owned),
        expires: NOW + Duration::from_secs(14 * 60 + 32),
    })
}

pub(crate) fn microsoft() -> Screen {
    sign_in("WDJB-MJHT", "https://www.microsoft.com/devicelogin", None)
}

pub(crate) fn keycloak() -> Screen {
    let uri = "https://sso.example.com/realms/acme/device";
    sign_in("WDJB-MJHT", uri, Some(&format!("{uri}?user_code=WDJB-MJHT")))
}

pub(crate) fn every_screen() -> Vec<(&'static str, Screen)> {
    samples(NOW)
}

/// Verification addresses as servers of the field hand them out, plain and complete, and made-up
/// ones of 20 to 120 characters.
pub(crate) fn addresses() -> Vec<String> {
    let known = [
        "https://microsoft.com/devicelogin",
        "https://login.microsoft.com/device",
        "https://microsoft.com/deviceloginus",
        "https://www.google.com/device",
        "https://github.com/login/device",
        "https://acme.eu.auth0.com/activate",
        "https://acme.eu.auth0.com/activate?user_code=WDJB-MJHT",
        "https://acme.okta.com/activate",
        "https://acme.okta.com/activate?user_code=WDJBMJHT",
        "https://sso.example.com/realms/acme/device",
        "https://sso.example.com/realms/acme/device?user_code=WDJB-MJHT",
        "https://device.sso.us-east-1.amazonaws.com/?user_code=WDJB-MJHT",
        "https://acme.awsapps.com/start/#/device?user_code=WDJB-MJHT",
        "https://acme.zitadel.cloud/device?user_code=WDJB-MJHT",
        "https://authentik.acme.example/device?code=123456789",
        "https://auth.pingone.eu/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f/device?user_code=WDJB-MJHT",
        "https://openam.example.com:8443/openam/oauth2/device/user?realm=/alpha&user_code=WDJB-MJHT",
        "https://dex.acme.example/dex/device?user_code=WDJB-MJHT",
        "https://op.acme.example/device?user_code=WDJB-MJHT",
        "http://127.0.0.1:8080/device?user_code=WDJB-MJHT",
        "http://[::1]:8080/device?user_code=WDJB-MJHT",
    ];
    let path = "Abc/dEf-0123456789?user_code=WDJB-MJHT&client=signpost&locale=en-GB&state=Qm9hcmQgaW4gdGhlIGdyZWVuaG91c2UgYmVoaW5kIHRoZSBzaGVk";
    let made_up =
        (20..=120).step_by(4).map(|length| format!("https://a.example/{}", &path[..length - 18]));
    known.into_iter().map(str::to_owned).chain(made_up).collect()
}
