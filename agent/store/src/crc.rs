//! CRC-32 (IEEE 802.3, reflected), as running state so that places can seed it.

/// Bytes that are taken at a time. Table `n` tells what a byte comes to when `n` more follow it.
const STEP: usize = 8;

const TABLES: [[u32; 256]; STEP] = {
    let mut tables = [[0; 256]; STEP];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][n] = crc;
        n += 1;
    }
    let mut later = 1;
    while later < STEP {
        let mut n = 0;
        while n < 256 {
            let crc = tables[later - 1][n];
            tables[later][n] = (crc >> 8) ^ tables[0][(crc & 0xFF) as usize];
            n += 1;
        }
        later += 1;
    }
    tables
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
        let (steps, rest) = bytes.as_chunks::<STEP>();
        for step in steps {
            let crc = self.0.to_le_bytes();
            self.0 = step.iter().enumerate().fold(0, |sum, (n, &byte)| {
                let byte = crc.get(n).map_or(byte, |crc| crc ^ byte);
                sum ^ TABLES[STEP - 1 - n][usize::from(byte)]
            });
        }
        for &byte in rest {
            self.0 = (self.0 >> 8) ^ TABLES[0][usize::from(self.0 as u8 ^ byte)];
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
        for cut in 0..9 {
            let (first, then) = b"123456789".split_at(cut);
            assert_eq!(Crc::new().with(first).with(then).end(), 0xCBF4_3926);
        }
    }
}
