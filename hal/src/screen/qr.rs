//! The QR code of an address.

use std::fmt;

use qrcode::bits::encode_auto;
use qrcode::{Color, EcLevel, QrCode};

/// A QR code: dark and light modules, without their quiet zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Qr {
    size: usize,
    dark: Vec<bool>,
}

impl Qr {
    /// The smallest symbol for a web address, with as much error correction as that size carries.
    ///
    /// `None` for what is not a plain http or https address, or is too long for any symbol.
    pub fn of(uri: &str) -> Option<Self> {
        let data = compact(uri)?;
        let smallest = encode_auto(data.as_bytes(), EcLevel::L).ok()?.version();
        let code =
            [EcLevel::H, EcLevel::Q, EcLevel::M, EcLevel::L].into_iter().find_map(|level| {
                let bits = encode_auto(data.as_bytes(), level).ok()?;
                (bits.version() == smallest).then(|| QrCode::with_bits(bits, level).ok())?
            })?;
        let size = code.width();
        let dark = code.into_colors().into_iter().map(|module| module == Color::Dark).collect();
        Some(Self { size, dark })
    }

    /// Modules along an edge of what [`of`](Self::of) would make, for far less work.
    #[cfg(feature = "pixels")]
    pub(super) fn size_of(uri: &str) -> Option<usize> {
        let data = compact(uri)?;
        let bits = encode_auto(data.as_bytes(), EcLevel::L).ok()?;
        bits.version().width().try_into().ok()
    }

    /// Modules along an edge.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether a module is dark; all that lies outside is light.
    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.size && self.dark.get(y * self.size + x).copied().unwrap_or(false)
    }
}

/// Shows its size alone: the modules may hold a user code.
impl fmt::Debug for Qr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qr").field("size", &self.size).finish_non_exhaustive()
    }
}

/// The address with scheme and host in capitals: a QR code stores them in fewer bits, and they
/// mean the same (RFC 3986, section 6.2.2.1).
fn compact(uri: &str) -> Option<String> {
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (scheme, rest) = uri.split_once("://")?;
    if !(scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")) {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    Some(format!("{}://{}{path}", scheme.to_ascii_uppercase(), authority.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_and_host_become_capitals() {
        let uri = "https://Example.com:8443/Path?user_code=abCD";
        assert_eq!(compact(uri).as_deref(), Some("HTTPS://EXAMPLE.COM:8443/Path?user_code=abCD"));
    }

    #[test]
    fn a_phone_is_handed_nothing_but_a_web_address() {
        for uri in [
            "tel:5550100",
            "javascript://x/",
            "https://",
            "https://good.example@evil.example/",
            "https://a/\u{202e}",
            "https://a/ b",
        ] {
            assert_eq!(Qr::of(uri), None, "{uri}");
        }
    }

    #[test]
    fn correction_rises_only_as_far_as_the_size_stays() {
        for length in 20..120 {
            let uri = format!("https://a.example/{}", "x".repeat(length - 18));
            let least =
                QrCode::with_error_correction_level(compact(&uri).unwrap(), EcLevel::L).unwrap();
            assert_eq!(Qr::of(&uri).unwrap().size(), least.width());
            #[cfg(feature = "pixels")]
            assert_eq!(Qr::size_of(&uri), Some(least.width()));
        }
    }
}
