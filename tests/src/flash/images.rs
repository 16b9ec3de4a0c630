//! Images that no store wrote: damaged, forged with right checksums, foreign, or plain noise.

use signpost_hal::flash::Geometry;
use signpost_hal::flash::sim::SimFlash;
use signpost_store::OpenError;

use super::Face;
use super::chance::Chance;

/// Bytes of the two headers before their checksum; see the store's documentation.
const HEADERS: [usize; 2] = [20, 52];
/// Bytes of a part before its payload.
const PART: usize = 8;

/// Opens an image that `chance` makes on flash of this `shape` and uses whatever opens.
///
/// # Errors
/// What the store did other than to work or to give a typed error, in words: it read without end.
pub fn open_any<F: Face>(chance: &mut Chance, shape: Geometry) -> Result<(), String> {
    let image = image::<F>(chance, shape);
    let mut flash = SimFlash::from_image(shape, image, chance.number());
    // Each byte some thousand times: far from for ever, far above what an intact store needs.
    let bound = 4096 * u64::from(shape.size());
    let opened =
        F::open(&mut flash, chance).map(|(mut store, _)| use_it::<F>(&mut store, chance, shape));
    let read = flash.counters().read;
    if read > bound {
        return Err(format!("{read} bytes read from {} ({opened:?})", shape.size()));
    }
    match opened {
        Ok(()) | Err(OpenError::Foreign | OpenError::Garbage | OpenError::OtherVersion) => Ok(()),
        Err(error) => Err(format!("a sound medium: {error}")),
    }
}

/// Whatever an answer is, it comes and is one.
fn use_it<F: Face>(store: &mut F::Store<'_>, chance: &mut Chance, shape: Geometry) {
    let mut model = F::contents(store).unwrap_or_default();
    for _ in 0..4 {
        let step = F::step(chance, &model, shape);
        let _ = F::run(&step, store, &mut model);
    }
    let _ = F::breathe(store);
    let _ = F::contents(store);
}

fn image<F: Face>(chance: &mut Chance, shape: Geometry) -> Vec<u8> {
    let size = shape.size() as usize;
    match chance.below(8) {
        0 => return chance.bytes(size),
        1 => return vec![chance.number() as u8; size],
        _ => {}
    }
    let mut image = lived_in::<F>(chance, shape);
    let segment = (shape.erase_unit() as usize).max(if size < 32 << 10 { 256 } else { 4096 });
    for _ in 0..chance.below(12) {
        let base = segment * chance.below((size / segment) as u64) as usize;
        match chance.below(8) {
            0 => image[base..].fill(if shape.overwrites() { 0 } else { 0xFF }),
            1 => image.rotate_left(base),
            2 => {
                let other = segment * chance.below((size / segment) as u64) as usize;
                image.copy_within(base..base + segment, other);
            }
            3 | 4 => {
                let header = HEADERS[chance.below(2) as usize];
                let at = base + chance.below(header as u64) as usize;
                // One byte, or a number as large as it can be.
                let end = (at + 1 + 7 * chance.below(2) as usize).min(base + header);
                image[at..end].fill(if end > at + 1 { 0xFF } else { chance.number() as u8 });
                forge_header(&mut image[base..], header);
            }
            5 | 6 => {
                let header = HEADERS[chance.below(2) as usize] + 4;
                let at = base + header + chance.below(64) as usize;
                image[at] = chance.number() as u8;
                forge_part(&mut image[base..base + segment], header);
            }
            _ => {
                let at = base + chance.below(segment as u64) as usize;
                image[at] ^= 1 << chance.below(8);
            }
        }
    }
    image
}

/// The image of a store that was used for a while, perhaps with a cut at the end.
fn lived_in<F: Face>(chance: &mut Chance, shape: Geometry) -> Vec<u8> {
    let mut flash = SimFlash::new(shape, chance.number());
    let mut model = F::Model::default();
    if let Ok((mut store, _)) = F::open(&mut flash, chance) {
        for _ in 0..chance.below(24) {
            let step = F::step(chance, &model, shape);
            let _ = F::run(&step, &mut store, &mut model);
        }
    }
    flash.cut_after(chance.below(8192), chance.tear());
    if let Ok((mut store, _)) = F::open(&mut flash, chance) {
        let step = F::step(chance, &model, shape);
        let _ = F::run(&step, &mut store, &mut model);
    }
    flash.image().to_vec()
}

/// Gives a segment's header of `len` bytes its checksum.
fn forge_header(segment: &mut [u8], len: usize) {
    let crc = crc32fast::hash(&segment[..len]);
    segment[len..len + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Gives the part at `offset` of a segment its check bits and its checksum, as the first of its
/// unit, if it is not longer than the segment.
fn forge_part(segment: &mut [u8], offset: usize) {
    let word = u32::from_le_bytes([
        segment[offset],
        segment[offset + 1],
        segment[offset + 2],
        segment[offset + 3],
    ]);
    let (low, len) = (word & 0xF_FFFF, (word & 0xFFFF) as usize);
    let Some(payload) = segment.get(offset + PART..offset + PART + len) else { return };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&segment[4..12]);
    crc.update(&segment[12..16]);
    crc.update(&(offset as u32).to_le_bytes());
    crc.update(&low.to_le_bytes());
    let check = crc.clone().finalize() & 0xFFF;
    crc.update(&0u32.to_le_bytes());
    crc.update(payload);
    let crc = crc.finalize();
    segment[offset..offset + 4].copy_from_slice(&(low | check << 20).to_le_bytes());
    segment[offset + 4..offset + PART].copy_from_slice(&crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::tokens::Tokens;

    #[test]
    fn what_is_forged_counts_as_written() {
        let mut chance = Chance::seeded(1);
        let shape = crate::flash::nor(512, 4, 6);
        let mut flash = SimFlash::new(shape, 1);
        drop(Tokens::open(&mut flash, &mut chance).expect("a new store"));
        let written = flash.image()[..512].to_vec();
        let mut forged = written.clone();
        forged[20..32].fill(0);
        forge_header(&mut forged, 20);
        // The low half of the word is length and flags.
        forged[24..26].copy_from_slice(&written[24..26]);
        forged[26] = written[26] & 0x0F;
        forge_part(&mut forged, 24);
        assert_eq!(forged[..32], written[..32]);
    }
}
