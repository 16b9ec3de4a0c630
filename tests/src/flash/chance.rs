//! Where the tests of the stores take their choices from: a seed, or the bytes of a fuzzer.

use signpost_hal::flash::sim::Tear;
use signpost_store::Entropy;

/// A source of choices. The same seed, or the same bytes, make the same choices.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
    /// A fuzzer's choices; none once they are used up.
    bytes: Option<Vec<u8>>,
    at: usize,
    /// How often randomness was asked for.
    drawn: u64,
}

impl Chance {
    /// Choices that follow from `seed`, without end.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed, bytes: None, at: 0, drawn: 0 }
    }

    /// Choices that `bytes` make, and always the first possible one behind their end.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self { state: 0, bytes: Some(bytes.to_vec()), at: 0, drawn: 0 }
    }

    /// Whether a fuzzer's bytes are used up.
    pub fn is_over(&self) -> bool {
        self.bytes.as_ref().is_some_and(|bytes| self.at >= bytes.len())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        match &self.bytes {
            Some(bytes) => {
                let mut number = [0; 8];
                for (to, from) in number.iter_mut().zip(bytes.iter().skip(self.at)).take(2) {
                    *to = *from;
                }
                self.at += 2;
                u64::from_le_bytes(number)
            }
            None => split_mix(&mut self.state),
        }
    }

    /// A number from 0 to `limit - 1`; 0 for a limit of 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number().checked_rem(limit).unwrap_or(0)
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there is none.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// `len` bytes that do not repeat.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut state = self.number();
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(split_mix(&mut state).to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// What a cut leaves behind.
    pub fn tear(&mut self) -> Tear {
        self.one_of(&Tear::ALL)
    }

    /// Randomness for a store: seeded, so that a failure can be repeated.
    pub fn entropy(&mut self) -> Entropy {
        // A fuzzer's bytes end; the system's randomness does not, and never repeats.
        self.drawn += 1;
        let mut state = self.number() ^ self.drawn << 32;
        Box::new(move |into| {
            for chunk in into.chunks_mut(8) {
                chunk.copy_from_slice(&split_mix(&mut state).to_le_bytes()[..chunk.len()]);
            }
        })
    }
}

/// SplitMix64: small, and the same everywhere.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
