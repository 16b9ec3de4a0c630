//! The token log.

use std::collections::BTreeMap;

use super::parts::{Kind, Segment, Unit, segments, units};
use super::{Complaint, Shape, VERSION, take, unseal, varint};

/// A key and its sealed value.
type Entry<'a> = (u8, &'a [u8]);

const STORE_KEYS: [u8; 2] = [255, 254];

/// What each key holds. `outer` are the keys of which one wraps the store's own, `device` is
/// what the store is bound to.
pub fn tokens(
    image: &[u8],
    shape: Shape,
    outer: &[[u8; 32]],
    device: &[u8],
) -> Result<BTreeMap<u8, Vec<u8>>, Complaint> {
    let size = 256_usize.next_multiple_of(shape.erase_unit);
    let all = segments(image, size)?;
    let ring = image.len() / size;
    let mut heads: Vec<_> = all.iter().filter(|s| s.kind == Kind::Tokens).collect();
    heads.sort_by_key(|s| std::cmp::Reverse(s.seq));
    let (store, units) = heads
        .into_iter()
        .map(|head| (head.store, units(&chain(&all, head, ring), shape.program_unit)))
        .find(|(_, units)| !units.is_empty())
        .ok_or("no token store with a whole unit")?;
    let (_, newest) = units.last().ok_or("no unit")?;
    let (distance, _) = entries(newest)?;
    let oldest = newest.seq - distance;

    let mut found = BTreeMap::new();
    for (_, unit) in units.iter().filter(|(_, unit)| unit.seq >= oldest) {
        for (key, sealed) in entries(unit)?.1 {
            found.insert(key, (unit, sealed));
        }
    }
    let wrapped = |key| found.get(&key).map(|(_, sealed): &(&Unit, &[u8])| *sealed);
    let store_key = STORE_KEYS
        .into_iter()
        .filter_map(wrapped)
        .flat_map(|sealed| outer.iter().map(move |outer| (outer, sealed)))
        .find_map(|(outer, sealed)| {
            unseal(outer, &[b"signpost", &[VERSION, 0], &store, device], sealed)
        })
        .ok_or("no key of these opens the store")?;
    let store_key: [u8; 32] = store_key.try_into().map_err(|_| "store key has another length")?;

    let mut values = BTreeMap::new();
    for (key, (unit, sealed)) in found {
        if STORE_KEYS.contains(&key) || sealed.is_empty() {
            continue;
        }
        let place = [unit.seq, unit.offset].map(u32::to_le_bytes).concat();
        let value =
            unseal(&store_key, &[b"signpost", &[VERSION, 1], &store, &[key], &place], sealed)
                .ok_or_else(|| format!("value of key {key} does not open"))?;
        values.insert(key, value);
    }
    Ok(values)
}

/// The segments that lead to `head`, oldest first, and `head`.
fn chain<'a>(all: &[Segment<'a>], head: &Segment<'a>, ring: usize) -> Vec<Segment<'a>> {
    let mut chain = vec![head.clone()];
    let mut last = head;
    while let Some(before) = all.iter().find(|s| {
        s.kind == Kind::Tokens
            && s.store == last.store
            && s.seq < last.seq
            && match last.back {
                0 => false,
                0xFF => s.place == (last.place + ring - 1) % ring,
                back => s.seq == last.seq.saturating_sub(u32::from(back)),
            }
    }) {
        chain.push(before.clone());
        last = before;
    }
    chain.reverse();
    chain
}

/// How far below its own `seq` a unit says the oldest needed one is, and its entries.
fn entries(unit: &Unit) -> Result<(u32, Vec<Entry<'_>>), Complaint> {
    let mut rest = unit.payload.as_slice();
    let front = varint(&mut rest).ok_or("unit without a front")?;
    let distance = u32::try_from(front / 8).map_err(|_| "distance too long")?;
    let mut entries = Vec::new();
    while let Some(&[key]) = take(&mut rest, 1) {
        let len = varint(&mut rest).ok_or("entry without a length")?;
        let len = usize::try_from(len).map_err(|_| "entry too long")?;
        entries.push((key, take(&mut rest, len).ok_or("entry cut short")?));
    }
    Ok((distance, entries))
}
