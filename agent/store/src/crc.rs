//! CRC-32 (IEEE 802.3, reflected), as running state so that places can seed it.

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
};

/// A checksum under way.
#[derive(Clone, Copy)]
pub(crate) struct Crc(u32);

impl Crc {
    pub(crate) const fn new() -> Self {
        Self(!0)
    }

    #[must_use]
    pub(crate) fn with(mut self, bytes: &[u8]) -> Self {
        for &byte in bytes {
            self.0 = (self.0 >> 8) ^ TABLE[(self.0 as u8 ^ byte) as usize];
        }
        self
    }

    pub(crate) const fn end(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Crc;

    #[test]
    fn agrees_with_the_check_value_of_the_catalogue() {
        assert_eq!(Crc::new().with(b"1234").with(b"56789").end(), 0xCBF4_3926);
    }
}
