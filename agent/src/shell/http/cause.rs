//! What reqwest's errors mean: whether the server can have seen anything, and why it went wrong.

use rustls::CertificateError;
use signpost_core::http::{Cause, Outcome};
use std::{error::Error, io};

/// What the failure of sending, or of waiting for the reply's head, comes to.
pub(super) fn outcome(error: &reqwest::Error) -> Outcome {
    if error.is_builder() {
        return Outcome::NotSent(Cause::Broken);
    }
    // Name, connection, proxy and TLS: all before the first byte of the request.
    if error.is_connect() {
        return Outcome::NotSent(before_sending(error));
    }
    Outcome::Lost(after_sending(error))
}

fn before_sending(error: &reqwest::Error) -> Cause {
    if error.is_dns() {
        return Cause::Dns;
    }
    if error.is_timeout() {
        return Cause::Timeout;
    }
    if let Some(tls) = chain(error).find_map(|error| error.downcast_ref()) {
        return of_tls(tls);
    }
    // The innermost is the system's own.
    let io = chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).last();
    match io.map(io::Error::kind) {
        // There was a connection, and it ended in the handshake.
        Some(
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::InvalidData,
        ) => Cause::Tls,
        Some(_) | None => Cause::Connect,
    }
}

/// What the failure of a reply that was under way comes to.
pub(super) fn after_sending(error: &reqwest::Error) -> Cause {
    if error.is_timeout() {
        return Cause::Timeout;
    }
    chain(error).find_map(|error| error.downcast_ref()).map_or(Cause::Broken, of_tls)
}

fn of_tls(error: &rustls::Error) -> Cause {
    #[expect(clippy::wildcard_enum_match_arm, reason = "both enums grow with the library")]
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => Cause::CertificateDates,
        rustls::Error::InvalidCertificate(_) => Cause::CertificateUntrusted,
        _ => Cause::Tls,
    }
}

/// The causes in one line, without any address: its query may hold a secret.
pub(super) fn describe(error: &reqwest::Error) -> String {
    let causes: Vec<String> = chain(error).skip(1).map(ToString::to_string).collect();
    if causes.is_empty() { "malformed request".to_owned() } else { causes.join(": ") }
}

/// All causes, those that an [`io::Error`] carries inside included: its own `source` skips them.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inside) => Some(inside),
            None => error.source(),
        }
    })
}
