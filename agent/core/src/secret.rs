//! Secrets as types: they do not print, and their memory is cleared when they go.

use alloc::string::String;
use core::fmt;
use zeroize::Zeroize;

/// Text that must reach no log, error, panel or core dump (design invariant 7).
///
/// `Debug` prints its length class only; there is no `Display`. [`Secret::expose`] is the one way
/// in, and easy to search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` into custody.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the wire or for sealing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(empty)" } else { "Secret(..)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn invariant_7_a_secret_does_not_print() {
        let secret = Secret::new("rt-0123456789");
        assert!(!format!("{secret:?} {:#?}", Some(&secret)).contains("0123"));
        assert_eq!(secret.expose(), "rt-0123456789");
    }
}
