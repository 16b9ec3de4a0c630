//! `telemetry.compression`: bodies become smaller on their way out.

use crate::config::{Compression, Config};
use std::io::Write;

/// Bodies above this are compressed on another thread, for a small board takes its time.
const COMPRESS_HERE: usize = 16 * 1024;

/// A content coding (RFC 9110, section 8.4.1; RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Coding {
    pub(super) fn of(config: &Config) -> Option<Self> {
        match config.telemetry.compression {
            Compression::None => None,
            Compression::Gzip => Some(Self::Gzip),
            #[cfg(feature = "zstd")]
            Compression::Zstd => Some(Self::Zstd),
            #[cfg(not(feature = "zstd"))]
            Compression::Zstd => {
                tracing::warn!(
                    "telemetry.compression = \"zstd\" is not in this build; gzip is used"
                );
                Some(Self::Gzip)
            }
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
        }
    }

    /// `None`: it does not get smaller, or cannot be done.
    pub(super) async fn compress(self, body: &[u8]) -> Option<Vec<u8>> {
        let small = if body.len() <= COMPRESS_HERE {
            self.compress_here(body)
        } else {
            let there = body.to_vec();
            let there = tokio::task::spawn_blocking(move || self.compress_here(&there));
            there.await.ok().flatten()
        };
        small.filter(|small| small.len() < body.len())
    }

    fn compress_here(self, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Gzip => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(body).ok()?;
                encoder.finish().ok()
            }
            // The level that takes least memory; 3 saves another tenth of the bytes.
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd::bulk::compress(body, 1).ok(),
        }
    }
}
