//! A seeded source of chance, shapes of flash, and cuts.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use signpost_hal::flash::Geometry;
use signpost_hal::flash::sim::Tear;
use signpost_store::Entropy;

/// SplitMix64.
#[derive(Clone)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    pub fn tear(&mut self) -> Tear {
        Tear::ALL[self.below(Tear::ALL.len() as u64) as usize]
    }

    pub fn entropy(&mut self) -> Entropy {
        let mut own = Self(self.next());
        Box::new(move |into| into.fill_with(|| own.next() as u8))
    }
}

pub fn nor(erase_unit: u32, program_unit: u32, units: u32) -> Geometry {
    Geometry::new(erase_unit, program_unit, units).unwrap()
}

pub fn file(block: u32, units: u32) -> Geometry {
    Geometry::new(block, block, units).unwrap().overwriting()
}

/// How many seeds a test runs: `SIGNPOST_SEEDS` times as many for a long run.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let times = std::env::var("SIGNPOST_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    0..usual * times
}
